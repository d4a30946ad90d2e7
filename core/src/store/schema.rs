//! The tables and how a connection to them is set up.

use std::time::Duration;

use rusqlite::Connection;

use crate::migration::{self, MigrationError};

/// Marks the file as ours: "Bar1", set by the first migration. Files of the time before the formats were
/// frozen have another mark, and are no stores.
pub(super) const APPLICATION_ID: i32 = 0x4261_7231;

/// What leads from an empty file to the newest schema, step by step.
pub const STEPS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// The newest schema that this program knows.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// How surely a commit must be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Before it returns: what a device records exists nowhere else.
    Full,
    /// Some time later: a replica reads its log again.
    Relaxed,
}

/// How long a connection waits for another that writes.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Brings an empty or older database to this program's schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), MigrationError> {
    migration::migrate(connection, STEPS)
}

/// Sets up the one connection that writes.
pub(super) fn prepare_writer(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    prepare_reader(connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // What one large ingest made of it is given back to the disk afterwards.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 * 1024 * 1024, |_| Ok(()))?;
    // Ids are random, so every group of records touches pages everywhere: the more that are kept, the fewer
    // are read again.
    connection.pragma_update(None, "cache_size", -48_000)?; // KiB
    // What is erased, and what is deleted on the way, must not be left in free space.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    set_durability(connection, durability)
}

/// Says how surely the commits to come must be on the disk. One with [`Durability::Full`] takes
/// those before it along.
pub(super) fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

/// Sets up a connection that reads.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(96);
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -16_000)?; // KiB
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A damaged cell is found when its page is read and not when it is used.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", false)
}
