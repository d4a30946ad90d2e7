//! The relay's links: one websocket a device, from which batches go into the log and to which the
//! log is read out.
//!
//! What a link *says* is decided by `barid_core::protocol::RelaySession`, who is linked by [`room`];
//! [`connection`] performs both on the socket and the log. Wake-ups come from the log's own state,
//! which changes after every commit: there is no second source of news that could differ from it.

mod attachment;
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
use tokio::sync::{Notify, watch};

use crate::app::App;
use crate::log::LogState;
use crate::serve::ConnectionPlace;
use room::{LinkId, Room};

/// Bytes that are read from a socket at a time; every link keeps so many.
const READ_LEN: usize = 8 * 1024;

/// The route of devices. It needs no login: a device proves itself with its key.
pub fn routes() -> Router<App> {
    Router::new().route("/sync", get(open))
}

async fn open(
    State(app): State<App>,
    place: Option<Extension<ConnectionPlace>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let bounded = upgrade.max_message_size(FRAME_LEN_MAX).max_frame_size(FRAME_LEN_MAX);
    bounded.read_buffer_size(READ_LEN).on_upgrade(async move |socket| {
        connection::run(app, socket).await;
        // A link counts among the connections for as long as it lives.
        drop(place);
    })
}

/// Wakes the links of every space whose log has grown, and no other, for as long as there is a log: a
/// commit in one space must not cost what all the links of all spaces do.
pub(crate) async fn tell_links(mut log: watch::Receiver<Arc<LogState>>, links: Links) {
    let mut told = log.borrow_and_update().clone();
    while log.changed().await.is_ok() {
        let state = log.borrow_and_update().clone();
        for (space, known) in &state.spaces {
            if told.spaces.get(space).is_none_or(|told| told.head != known.head) {
                links.ring(*space);
            }
        }
        told = state;
    }
}

/// Who is linked now; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    room: Room,
    bells: BTreeMap<LinkId, Arc<Bells>>,
}

/// What a connection is woken by.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// It must end.
    end: Notify,
    /// There may be news in one of its spaces.
    news: Notify,
}

impl Links {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device has proved itself, and hears of these spaces. An older link of the same device is told to
    /// end.
    fn join(&self, device: DeviceId, spaces: Vec<SpaceId>) -> (LinkId, Arc<Bells>) {
        let mut shared = self.shared();
        let joined = shared.room.join(device, spaces);
        if let Some(bells) = joined.replaces.and_then(|older| shared.bells.get(&older)) {
            bells.end.notify_one();
        }
        let bells = Arc::new(Bells::default());
        // What was appended while the link was being opened was told to nobody.
        bells.news.notify_one();
        shared.bells.insert(joined.link, bells.clone());
        (joined.link, bells)
    }

    fn ring(&self, space: SpaceId) {
        let shared = self.shared();
        for bells in shared.room.linked(space).filter_map(|link| shared.bells.get(&link)) {
            bells.news.notify_one();
        }
    }

    fn reached(&self, link: LinkId, space: SpaceId, offset: u64) {
        self.shared().room.reached(link, space, offset);
    }

    /// The link is over; how far it had read the log.
    fn leave(&self, link: LinkId) -> BTreeMap<SpaceId, u64> {
        let mut shared = self.shared();
        shared.bells.remove(&link);
        shared.room.leave(link)
    }

    /// Every device that is linked now, and how far it has read the log of each space.
    pub fn connected(&self) -> BTreeMap<DeviceId, BTreeMap<SpaceId, u64>> {
        self.shared().room.connected()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::log::SpaceState;

    fn state(heads: [(SpaceId, u64); 2]) -> Arc<LogState> {
        let known = |(space, head)| (space, SpaceState { head, ..SpaceState::new(space) });
        Arc::new(LogState { spaces: heads.map(known).into(), joint_space: None })
    }

    async fn is_rung(bells: &Bells) -> bool {
        tokio::time::timeout(Duration::from_millis(50), bells.news.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn what_is_appended_in_a_space_wakes_its_links_and_no_other() {
        let [one, other] = [1, 2].map(|n| SpaceId::from_bytes([n; 32]));
        let links = Links::default();
        let join = |n: u8, spaces: &[SpaceId]| links.join(DeviceId::from_bytes([n; 32]), spaces.to_vec()).1;
        let (near, far, both) = (join(1, &[one]), join(2, &[other]), join(3, &[one, other]));
        for bells in [&near, &far, &both] {
            assert!(is_rung(bells).await, "what was appended before it joined");
        }
        let (log, told) = watch::channel(state([(one, 1), (other, 1)]));
        let telling = tokio::spawn(tell_links(told, links.clone()));
        tokio::task::yield_now().await;
        log.send_replace(state([(one, 2), (other, 1)]));
        assert!(is_rung(&near).await && is_rung(&both).await && !is_rung(&far).await);
        log.send_replace(state([(one, 2), (other, 1)]));
        assert!(!is_rung(&both).await, "nothing is new");
        drop(log);
        telling.await.unwrap();
    }
}
