//! Enrolling: one short link that turns a code into membership.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::status::SyncError;
use super::transport::{self, RelayAddress};
use crate::clock::Clock;
use crate::device::Enrolment;
use crate::enrolment::EnrolmentCode;
use crate::identity::Identity;
use crate::limits::HANDSHAKE_MS_MAX;
use crate::protocol::{self, CloseReason, EnrolInput, EnrolOutput, EnrolSession, EnrolSessionConfig};
use crate::store::StoreError;

/// A device could not be enrolled. The code may still be good.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The relay cannot be reached, or is not the one that made the code.
    #[error("enrolling: no link to the relay")]
    Link(#[source] SyncError),
    /// The relay said no.
    #[error("enrolling: the relay did not accept the code")]
    Rejected(#[source] CloseReason),
    /// The device's own database failed.
    #[error("enrolling: the device's database failed")]
    Store(#[source] StoreError),
    /// No thread or no randomness.
    #[error("enrolling: the system has no room for a link")]
    System(#[source] std::io::Error),
}

/// Enrols with the relay that made the code; blocks until it has answered.
pub(crate) fn enrol(
    code: &EnrolmentCode,
    identity: &Arc<Identity>,
    label: &str,
    clock: &Clock,
) -> Result<Enrolment, EnrolError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| EnrolError::System(error.into()))?;
    let config = EnrolSessionConfig {
        identity: identity.clone(),
        relay: code.relay_key,
        token: code.token,
        label: label.to_owned(),
        nonce,
    };
    let address = RelayAddress { url: code.url.clone(), certificate_pin: code.certificate_pin };
    // A runtime of its own on a thread of its own: the caller may be inside another runtime.
    let membership = std::thread::scope(|scope| {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(EnrolError::System)?;
            let asked = runtime.block_on(ask(&address, config, clock));
            // A name that is still being looked up must not outlast the deadline.
            runtime.shutdown_background();
            asked
        };
        let thread = std::thread::Builder::new().name("barid-enrol".to_owned()).spawn_scoped(scope, ask);
        let thread = thread.map_err(EnrolError::System)?;
        thread.join().unwrap_or(Err(EnrolError::Link(SyncError::Cut)))
    })?;
    Ok(Enrolment {
        address,
        relay: code.relay_key,
        organisation: membership.organisation,
        spaces: membership.spaces,
    })
}

async fn ask(
    address: &RelayAddress,
    config: EnrolSessionConfig,
    clock: &Clock,
) -> Result<protocol::Enrolment, EnrolError> {
    let deadline = Duration::from_millis(HANDSHAKE_MS_MAX as u64);
    let mut socket = transport::connect(address, deadline).await.map_err(EnrolError::Link)?;
    let mut session = EnrolSession::new(config, clock());
    let mut enrolled = None;
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                EnrolOutput::Send(frame) => {
                    let sent = socket.send(Message::Binary(frame.into())).await;
                    sent.map_err(|_| EnrolError::Link(SyncError::Cut))?;
                }
                EnrolOutput::Enrolled(membership) => enrolled = Some(membership),
                // The deadline below is the same one, by the machine's steady clock.
                EnrolOutput::WakeAt(_) => {}
                EnrolOutput::Closed(reason) => {
                    tokio::time::timeout(Duration::from_millis(500), socket.close(None)).await.ok();
                    return enrolled.ok_or(EnrolError::Rejected(reason));
                }
            }
        }
        let message = tokio::time::timeout(deadline, socket.next()).await;
        let input = match message {
            Ok(Some(Ok(Message::Binary(bytes)))) => EnrolInput::Frame(bytes.into()),
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(_) => return Err(EnrolError::Link(SyncError::Cut)),
            Err(_) => return Err(EnrolError::Link(SyncError::Unreachable)),
        };
        session.handle(input, clock());
    }
}
