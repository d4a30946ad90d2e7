//! Damaged databases: whatever is left of a file and its log, bringing it back ends, and with a reason
//! or a report.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barid_core::batch::Lane;
use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::model::event;
use barid_core::store::{Store, StoreConfig};
use rusqlite::Connection;

use super::super::{Target, bits, kind, signal};
use crate::forge::Chain;
use crate::memory_folder::memory_folder;
use crate::phone::event_fields;

/// The input: four bytes of length, the database, its write-ahead log.
pub(super) struct Recovery {
    identity: Arc<Identity>,
    folder: tempfile::TempDir,
    /// Into which is brought back, and how often yet.
    into: Option<(Store, u32)>,
}

/// Inputs that are brought back into one store before a new one is begun: to make one costs more than
/// to bring back, and bringing back again what is there is one of its promises.
const INPUTS_A_STORE: u32 = 128;

impl Recovery {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir_in(memory_folder()).unwrap();
        Self { identity: Arc::new(Identity::from_seed([5; 32])), folder, into: None }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("damaged.db")
    }

    /// A store with records, sealed and not, and another's batch. While it is open, what was written last is
    /// in its log; of a phone's first days the log has everything.
    fn made(&self, end: End) -> Vec<u8> {
        let path = self.folder.path().join(format!("made-{end:?}.db"));
        let open = || Store::open(StoreConfig::device(&path, self.identity.clone())).unwrap();
        let mut store = open();
        let space = SpaceId::from_bytes([3; 32]);
        store.join_space(space).unwrap();
        for number in 0..4 {
            store.write(|group| group.put(space, event::NAME, None, event_fields(number))).unwrap();
        }
        store.outgoing(&[], &[], usize::MAX).unwrap();
        if end == End::Reopened {
            drop(store);
            store = open();
        }
        store.write(|group| group.put(space, event::NAME, None, event_fields(9))).unwrap();
        let other = Identity::from_seed([6; 32]);
        let mut chain = Chain::new(&other, 1, space, Lane::Normal);
        let batch = barid_core::batch::SealedBatch::parse(chain.next(&[vec![200, 1]])).unwrap();
        store.ingest(space, &[(1, batch)], None).unwrap();
        if end == End::Closed {
            drop(store);
            return input(&std::fs::read(&path).unwrap(), &[]);
        }
        input(&std::fs::read(&path).unwrap(), &std::fs::read(beside(&path)).unwrap())
    }
}

/// The same in pages of 512 bytes: most of a page of 4096 is empty here, and a change of it reaches
/// nothing; and what fills a page there goes on over several. With a log, if what the file holds was written
/// over since.
fn in_small_pages(folder: &Path, made: &[u8], has_log: bool) -> Vec<u8> {
    let (large, small) = (folder.join("large.db"), folder.join("small.db"));
    let (database, log) = parts(made);
    write_over(&large, database).unwrap();
    write_over(&beside(&large), log).unwrap();
    let connection = Connection::open(&large).unwrap();
    connection.execute_batch("PRAGMA page_size = 512").unwrap();
    connection.execute("VACUUM INTO ?1", [small.to_str()]).unwrap();
    let connection = Connection::open(&small).unwrap();
    if has_log {
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                UPDATE batch SET acknowledged = 1;
                DELETE FROM pending WHERE id = (SELECT max(id) FROM pending);",
            )
            .unwrap();
    }
    let log = if has_log { std::fs::read(beside(&small)).unwrap() } else { Vec::new() };
    let input = input(&std::fs::read(&small).unwrap(), &log);
    drop(connection);
    std::fs::remove_file(small).unwrap();
    input
}

/// How far a store has come when its files are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    New,
    Reopened,
    Closed,
}

/// Writes a file in the place of the one before, whose memory is taken over.
fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

fn input(database: &[u8], log: &[u8]) -> Vec<u8> {
    [&(database.len() as u32).to_be_bytes()[..], database, log].concat()
}

/// The database and the log of an input.
fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = input.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    rest.split_at(rest.len().min(u32::from_be_bytes(*len) as usize))
}

/// Where SQLite looks for the log of a database.
fn beside(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", database.display()))
}

impl Target for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn len_max(&self) -> usize {
        2 * 1024 * 1024
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let [reopened, closed, new] = [End::Reopened, End::Closed, End::New].map(|end| self.made(end));
        let small = |made: &[u8], has_log| in_small_pages(self.folder.path(), made, has_log);
        let small = [small(&new, false), small(&new, true), small(&reopened, true)];
        [reopened, closed, new].into_iter().chain(small).collect()
    }

    fn words(&self) -> Vec<Vec<u8>> {
        // Kinds of tree pages, the magic numbers of a file and of a log.
        [
            &[13, 0, 0][..],
            &[10, 0, 0],
            &[5, 0, 0],
            &[2],
            b"SQLite format 3\0",
            &[0x37, 0x7f, 0x06, 0x82],
            &[0x10, 0],
        ]
        .map(<[u8]>::to_vec)
        .into()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let (database, log) = parts(input);
        write_over(&self.path(), database).unwrap();
        if log.is_empty() {
            std::fs::remove_file(beside(&self.path())).ok();
        } else {
            write_over(&beside(&self.path()), log).unwrap();
        }
        let (into, inputs) =
            self.into.take().filter(|(_, inputs)| *inputs < INPUTS_A_STORE).unwrap_or_else(|| {
                let config =
                    StoreConfig { identity: Some(self.identity.clone()), ..StoreConfig::in_memory() };
                (Store::open(config).unwrap(), 0)
            });
        let recovered = into.recover_here(&self.path());
        self.into = Some((into, inputs + 1));
        match recovered {
            Ok(report) => signal((
                bits(report.batches as usize),
                report.batches_own_unsent,
                report.pending_reauthored,
                report.entries_reauthored,
                bits(report.failed as usize),
            )),
            Err(error) => signal((1, kind(&error))),
        }
    }
}
