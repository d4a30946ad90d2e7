//! `relay.db`: accounts, sessions, tokens and the devices' last reports.
//!
//! One connection behind a lock: every statement is a point query. What was promised (a token is
//! used up, a password is changed) is on disk before anybody hears of it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barid_core::migration::{MigrationError, migrate};
use rusqlite::Connection;

use crate::data_dir::DataDir;

/// What leads from an empty file to the newest schema, step by step.
pub const SCHEMA_STEPS: &[&str] = &[include_str!("../migrations/relay_0001_first.sql")];

/// `relay.db` cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRelayDbError {
    /// The file cannot be created or reached.
    #[error("opening relay.db")]
    File(#[source] std::io::Error),
    /// SQLite refuses it.
    #[error("opening relay.db")]
    Database(#[source] rusqlite::Error),
    /// Written by a newer version, or a migration failed.
    #[error("bringing relay.db to this version")]
    Migration(#[source] MigrationError),
}

/// A handle on `relay.db`; clones share the connection.
#[derive(Debug, Clone)]
pub struct RelayDb {
    connection: Arc<Mutex<Connection>>,
}

impl RelayDb {
    /// Opens the file, creating it if there is none.
    pub fn open(path: &Path) -> Result<Self, OpenRelayDbError> {
        DataDir::touch_private(path).map_err(OpenRelayDbError::File)?;
        Self::prepare(Connection::open(path).map_err(OpenRelayDbError::Database)?)
    }

    /// A database that ends with its last handle.
    pub fn in_memory() -> Result<Self, OpenRelayDbError> {
        Self::prepare(Connection::open_in_memory().map_err(OpenRelayDbError::Database)?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, OpenRelayDbError> {
        let pragmas = |connection: &Connection| {
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)
        };
        pragmas(&connection).map_err(OpenRelayDbError::Database)?;
        migrate(&mut connection, SCHEMA_STEPS).map_err(OpenRelayDbError::Migration)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Forgets who was signed in and which links and codes were open, and where devices stood in a log
    /// that is gone: what ended after a backup was made must not begin again with it.
    pub fn forget_visitors(&self) -> Result<(), rusqlite::Error> {
        let tables = ["session", "login_token", "enrolment", "device_cursor"];
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for table in tables {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit()
    }

    /// The connection, for one short piece of work. A panic elsewhere leaves no open transaction
    /// behind: rusqlite rolls back on drop.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a row could be written now.
    pub fn is_writable(&self) -> bool {
        self.lock().execute_batch("BEGIN IMMEDIATE; ROLLBACK;").is_ok()
    }
}
