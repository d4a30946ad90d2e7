//! Databases as the product makes them, made once: running the migrations for every node of every
//! world would be a third of the time.

use std::sync::{Arc, OnceLock};

use barid_core::clock::system_clock;
use barid_core::store::{Store, StoreConfig};
use barid_server::log::writer::LogWriter;
use rusqlite::Connection;

use super::disk::Disk;

/// A store that nobody has opened yet.
pub(crate) fn store() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        made("store.db", |path| drop(Store::open(StoreConfig::replica(path)).expect("a store")))
    })
}

/// A log that has no identity yet.
pub(crate) fn log() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| made("log.db", |path| drop(LogWriter::create(path, system_clock()).expect("a log"))))
}

/// What is left of it when whoever made it is forgotten.
fn made(name: &str, make: impl FnOnce(&std::path::Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path().join("template"), &Arc::default());
    make(&disk.path(name));
    let connection = Connection::open(disk.path(name)).expect("it was made");
    connection.execute_batch("DELETE FROM meta").expect("it names itself there");
    drop(connection);
    disk.image().file(name).expect("it was closed").to_vec()
}
