//! One websocket to a relay: bytes in, bytes out, nothing known of what they mean.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::status::SyncError;
use super::tls;
use crate::limits::FRAME_LEN_MAX;

/// A relay's address, as an enrolment code gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayAddress {
    /// `ws://host:port` on loopback, `wss://host:port` elsewhere.
    pub url: String,
    /// SHA-256 of the certificate to trust; needed for `wss`.
    pub certificate_pin: Option<[u8; 32]>,
}

/// A byte stream under a websocket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(super) type WebSocket = WebSocketStream<Box<dyn Stream>>;

/// Connects within `deadline`.
pub(super) async fn connect(address: &RelayAddress, deadline: Duration) -> Result<WebSocket, SyncError> {
    tokio::time::timeout(deadline, connect_unbounded(address)).await.unwrap_or(Err(SyncError::Unreachable))
}

async fn connect_unbounded(address: &RelayAddress) -> Result<WebSocket, SyncError> {
    let uri: Uri = address.url.parse().map_err(|_| SyncError::NotARelay)?;
    let host = uri.host().ok_or(SyncError::NotARelay)?;
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    if !secure && bare_host.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback()) {
        return Err(SyncError::Unencrypted);
    }
    let tcp = TcpStream::connect((bare_host, port)).await.map_err(|_| SyncError::Unreachable)?;
    // A name may stand for any address; nothing was said yet.
    if !secure && !tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
        return Err(SyncError::Unencrypted);
    }
    // Small frames must not wait for one another: an SOS is one of them.
    tcp.set_nodelay(true).map_err(|_| SyncError::Unreachable)?;
    let stream: Box<dyn Stream> = if secure {
        let pin = address.certificate_pin.ok_or(SyncError::Certificate)?;
        let config = tls::pinned(pin).map_err(|_| SyncError::Certificate)?;
        let name = ServerName::try_from(bare_host.to_owned()).map_err(|_| SyncError::NotARelay)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        Box::new(connected.map_err(|error| tls_failure(&error))?)
    } else {
        Box::new(tcp)
    };
    let request = format!("{}/sync", address.url.trim_end_matches('/'))
        .into_client_request()
        .map_err(|_| SyncError::NotARelay)?;
    let limits =
        WebSocketConfig::default().max_message_size(Some(FRAME_LEN_MAX)).max_frame_size(Some(FRAME_LEN_MAX));
    let (socket, _) =
        client_async_with_config(request, stream, Some(limits)).await.map_err(|error| match error {
            WebSocketError::Io(_) => SyncError::Unreachable,
            _ => SyncError::NotARelay,
        })?;
    Ok(socket)
}

fn tls_failure(error: &io::Error) -> SyncError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => SyncError::Certificate,
        Some(_) => SyncError::NotARelay,
        None => SyncError::Unreachable,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_machine_is_never_spoken_to_in_the_clear() {
        for (url, error) in [
            ("ws://192.0.2.1:7600", SyncError::Unencrypted),
            ("ws://[2001:db8::1]:7600", SyncError::Unencrypted),
            ("http://192.0.2.1:7600", SyncError::Unencrypted),
            ("wss://192.0.2.1:7600", SyncError::Unreachable),
            // Nobody listens there.
            ("ws://127.0.0.1:9", SyncError::Unreachable),
            ("ws://[::1]:9", SyncError::Unreachable),
        ] {
            let address = RelayAddress { url: url.to_owned(), certificate_pin: None };
            let refused = connect(&address, Duration::from_millis(200)).await;
            assert_eq!(refused.err(), Some(error), "{url}");
        }
    }
}
