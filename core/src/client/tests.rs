//! A client whose relay does not answer: nothing of the app waits for it.

use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::id::SpaceId;
use crate::model::Fields;
use crate::store::StoreConfig;

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
const PATIENCE: Duration = Duration::from_secs(20);

/// A device with one record, and a client of a relay that takes connections and says nothing.
fn silent() -> (TcpListener, Store, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let identity = Arc::new(Identity::from_seed([1; 32]));
    let config = StoreConfig { identity: Some(Arc::clone(&identity)), ..StoreConfig::in_memory() };
    let store = Store::open(config).unwrap();
    store.join_space(SPACE).unwrap();
    record(&store);
    let config = ClientConfig {
        address: RelayAddress {
            url: format!("ws://{}", listener.local_addr().unwrap()),
            certificate_pin: None,
        },
        relay: DeviceId::from_bytes([2; 32]),
        identity,
        last_success: None,
        meeting: Meeting::default(),
    };
    let clock: Clock = Arc::new(|| Timestamp::from_millis(1));
    let client = Client::start(store.clone(), config, clock).unwrap();
    (listener, store, client)
}

fn record(store: &Store) {
    store.write(|w| w.put(SPACE, "event", None, Fields::new())).unwrap();
}

/// Waits for a status, for much less time than a connection may take.
fn wait_for(client: &Client, is_it: impl FnMut(&SyncStatus) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut status = client.status();
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, status.wait_for(is_it)).await })
        .unwrap()
        .unwrap();
}

#[test]
fn what_is_unsent_is_known_before_there_is_any_link_and_while_paused() {
    let (_listener, store, client) = silent();
    wait_for(&client, |status| status.phase == Phase::Connecting && status.unsent_records == 1);
    client.pause();
    wait_for(&client, |status| status.phase == Phase::Paused && status.next_try.is_none());
    record(&store);
    wait_for(&client, |status| status.phase == Phase::Paused && status.unsent_records == 2);
    client.resume();
    wait_for(&client, |status| status.phase == Phase::Connecting);
}

#[test]
fn a_client_is_dropped_at_once_although_its_relay_does_not_answer() {
    let (_listener, _store, client) = silent();
    wait_for(&client, |status| status.phase == Phase::Connecting);
    let (dropped, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(client);
        dropped.send(()).unwrap();
    });
    let patience = Duration::from_millis(HANDSHAKE_MS_MAX as u64 / 2);
    done.recv_timeout(patience).expect("dropped before the connection is given up");
}
