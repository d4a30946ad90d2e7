//! The store: what one device, or one replica, holds in SQLite.
//!
//! Ground state are the batches exactly as sealed, and what was recorded here and not sealed yet;
//! every row beside them is derived, and equal on all replicas that hold the same batches, in
//! whatever order they came. A record of one change is folded straight from it; Automerge is loaded
//! only where there is something to merge, and a query never touches it.
//!
//! There is one connection that writes, behind a lock, and as many that read as threads do.
//! Nothing here knows of links, frames or relays: what is on its way is the engine's business.

mod error;
mod lock;
mod observe;
mod open;
#[allow(dead_code, reason = "bringing batches and changes back needs what is still being built")]
mod recover;
mod schema;
mod search;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::id::{DeviceId, Incarnation};

pub use error::StoreError;
pub use observe::{Changed, Subscription, TRACK};
pub use open::{Entropy, OpenError, StoreConfig, damaged_beside};
pub use search::{arabic_fold, light_stem};

use lock::Lock;
use observe::Observers;
use schema::Durability;

/// What a device, or a replica, holds. Cloning gives another handle of the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Mutex<Writer>,
    /// Connections that read, when nobody does. A store in memory reads with its one connection.
    readers: Mutex<Vec<Connection>>,
    observers: Observers,
    config: StoreConfig,
    incarnation: Incarnation,
    _lock: Option<Lock>,
}

/// What the one writer holds.
struct Writer {
    connection: Connection,
    /// The last revision given to a row.
    revision: i64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("incarnation", &self.inner.incarnation).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store, or makes it if there is no file.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        let durability = if config.identity.is_some() { Durability::Full } else { Durability::Relaxed };
        let (mut connection, lock) = match &config.path {
            Some(path) => {
                let (connection, lock) = open::open_file(path, durability)?;
                (connection, Some(lock))
            }
            None => (open::open_memory()?, None),
        };
        let begun = begin(&mut connection, &config)?;
        let writer = Writer { connection, revision: begun.revision };
        Ok(Self {
            inner: Arc::new(Inner {
                writer: Mutex::new(writer),
                readers: Mutex::default(),
                observers: Observers::default(),
                config,
                incarnation: begun.incarnation,
                _lock: lock,
            }),
        })
    }

    /// What this database file is called in the chains it writes.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// Who records here; nobody in a replica.
    pub fn device(&self) -> Option<DeviceId> {
        self.inner.config.identity.as_ref().map(|identity| identity.device())
    }

    /// Where the database is; nowhere if it is in memory.
    pub fn path(&self) -> Option<&PathBuf> {
        self.inner.config.path.as_ref()
    }

    /// Reports every committed change from now on, until the subscription is dropped.
    pub fn subscribe(&self) -> Subscription {
        self.inner.observers.subscribe()
    }
}

/// What an opened store begins with.
struct Begun {
    incarnation: Incarnation,
    revision: i64,
}

/// Reads, or makes, what names this file, and reads the control records it holds.
fn begin(connection: &mut Connection, config: &StoreConfig) -> Result<Begun, OpenError> {
    let database = |source| OpenError::Database { source };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    let device = meta(&transaction, "device").map_err(database)?.and_then(|b| DeviceId::from_slice(&b));
    let held = meta(&transaction, "incarnation").map_err(database)?;
    let incarnation = match held.and_then(|bytes| Incarnation::from_slice(&bytes)) {
        Some(incarnation) => incarnation,
        None => {
            let mut bytes = [0; Incarnation::LEN];
            (config.entropy)(&mut bytes);
            set_meta(&transaction, "incarnation", &bytes).map_err(database)?;
            Incarnation::from_bytes(bytes)
        }
    };
    match (device, &config.identity) {
        (Some(device), Some(identity)) if device != identity.device() => {
            return Err(OpenError::OtherDevice { device });
        }
        (None, Some(identity)) => {
            set_meta(&transaction, "device", identity.device().as_bytes()).map_err(database)?;
        }
        _ => {}
    }
    let revision = transaction
        .query_row("SELECT coalesce(max(revision), 0) FROM record", [], |row| row.get(0))
        .map_err(database)?;
    transaction.commit().map_err(database)?;
    Ok(Begun { incarnation, revision })
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn set_meta(transaction: &Transaction<'_>, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    transaction.execute(sql, (key, value)).map(drop)
}
