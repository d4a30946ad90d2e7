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
        let log = format!("{}-wal", path.display());
        input(&std::fs::read(&path).unwrap(), &std::fs::read(log).unwrap())
    }
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

impl Target for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn len_max(&self) -> usize {
        2 * 1024 * 1024
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        [End::Reopened, End::Closed, End::New].map(|end| self.made(end)).into()
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
        let (len, rest) = input.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (database, log) = rest.split_at(rest.len().min(u32::from_be_bytes(*len) as usize));
        write_over(&self.path(), database).unwrap();
        let beside = format!("{}-wal", self.path().display());
        if log.is_empty() {
            std::fs::remove_file(beside).ok();
        } else {
            write_over(Path::new(&beside), log).unwrap();
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
