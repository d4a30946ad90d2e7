//! The relay's links: one websocket a device, from which batches go into the log and to which the
//! log is read out.
//!
//! What a link *says* is decided by `barid_core::protocol::RelaySession`, who is linked by [`room`];
//! [`connection`] performs both on the socket and the log. Wake-ups come from the log's own state,
//! which changes after every commit: there is no second source of news that could differ from it.

pub mod connection;
pub mod room;
pub mod standing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use barid_core::id::{DeviceId, SpaceId};
use barid_core::limits::FRAME_LEN_MAX;
use tokio::sync::Notify;

use crate::app::App;
use crate::serve::ConnectionPlace;
use room::{LinkId, Room};

/// The route of devices. It needs no login: a device proves itself with its key.
pub fn routes() -> Router<App> {
    Router::new().route("/sync", get(open))
}

async fn open(
    State(app): State<App>,
    place: Option<Extension<ConnectionPlace>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.max_message_size(FRAME_LEN_MAX).max_frame_size(FRAME_LEN_MAX).on_upgrade(async move |socket| {
        connection::run(app, socket).await;
        // A link counts among the connections for as long as it lives.
        drop(place);
    })
}

/// Who is linked now; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    room: Room,
    /// Wakes the connection that must end.
    ends: BTreeMap<LinkId, Arc<Notify>>,
}

impl Links {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device has proved itself. An older link of the same device is told to end.
    fn join(&self, device: DeviceId) -> (LinkId, Arc<Notify>) {
        let mut shared = self.shared();
        let joined = shared.room.join(device);
        if let Some(end) = joined.replaces.and_then(|older| shared.ends.remove(&older)) {
            end.notify_one();
        }
        let end = Arc::new(Notify::new());
        shared.ends.insert(joined.link, end.clone());
        (joined.link, end)
    }

    fn reached(&self, link: LinkId, space: SpaceId, offset: u64) {
        self.shared().room.reached(link, space, offset);
    }

    /// The link is over; how far it had read the log.
    fn leave(&self, link: LinkId) -> BTreeMap<SpaceId, u64> {
        let mut shared = self.shared();
        shared.ends.remove(&link);
        shared.room.leave(link)
    }

    /// Every device that is linked now, and how far it has read the log of each space.
    pub fn connected(&self) -> BTreeMap<DeviceId, BTreeMap<SpaceId, u64>> {
        self.shared().room.connected()
    }
}
