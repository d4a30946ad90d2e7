//! One open file: its bytes, what of them is not on the disk yet, its locks and its shared memory.

use super::Random;

/// What a disk writes at once or not at all, if all is well.
const SECTOR_LEN: usize = 512;
/// Locks of a write-ahead log's index.
pub(super) const SHM_LOCKS: usize = 8;

/// A write that was not synced: enough to take it back, and to do a part of it again.
#[derive(Debug)]
struct Unsynced {
    at: usize,
    /// What stood there, up to the end that the file had.
    old: Vec<u8>,
    old_len: usize,
    /// What was written; nothing if the file was cut short to `at`.
    new: Vec<u8>,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    unsynced: Vec<Unsynced>,
    pub(super) opens: usize,
    /// Put there before anybody opened it.
    pub(super) is_installed: bool,
    pub(super) locks: Locks,
    /// Pages of the write-ahead log's index. Connections hold pointers into them.
    pub(super) shm: Vec<Box<[u64]>>,
    pub(super) shm_users: usize,
    pub(super) shm_locks: [i32; SHM_LOCKS],
}

/// Who has locked a database file: any number share it, one may be about to write.
#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) shared: usize,
    pub(super) writer: Option<(u64, i32)>,
}

impl File {
    /// One with this content, which is on the disk.
    pub(super) fn with(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// One that the first to open it will find.
    pub(super) fn installed(bytes: &[u8]) -> Self {
        Self { is_installed: true, ..Self::with(bytes.to_vec()) }
    }

    /// Whether everything written is on the disk. A file that was cut short may come back longer: SQLite
    /// cuts a write-ahead log only when all that it holds is in the database.
    pub(super) fn is_synced(&self) -> bool {
        self.unsynced.iter().all(|write| write.new.is_empty())
    }

    pub(super) fn write(&mut self, at: usize, new: &[u8]) {
        let (old_len, end) = (self.bytes.len(), at + new.len());
        let old = self.bytes[at.min(old_len)..end.min(old_len)].to_vec();
        self.unsynced.push(Unsynced { at, old, old_len, new: new.to_vec() });
        self.put(at, new);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.bytes.len() {
            let old = self.bytes[len..].to_vec();
            self.unsynced.push(Unsynced { at: len, old, old_len: self.bytes.len(), new: Vec::new() });
            self.bytes.truncate(len);
        }
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
    }

    fn put(&mut self, at: usize, new: &[u8]) {
        if new.is_empty() {
            return;
        }
        if self.bytes.len() < at + new.len() {
            self.bytes.resize(at + new.len(), 0);
        }
        self.bytes[at..at + new.len()].copy_from_slice(new);
    }

    /// Takes back what was not synced, and does again what the seed says: all of it, nothing, or some
    /// of its sectors, of which one may be torn. How many sectors were lost, and how many torn.
    pub(super) fn cut_power(&mut self, random: &mut Random) -> (u64, u64) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for write in unsynced.iter().rev() {
            self.bytes.truncate(write.old_len);
            self.put(write.at, &write.old);
        }
        let (mut lost, mut torn) = (0, 0);
        let is_all_or_nothing = random.one_in(4);
        for write in &unsynced {
            if write.new.is_empty() {
                if random.one_in(2) {
                    self.bytes.truncate(write.at);
                }
                continue;
            }
            let whole = is_all_or_nothing.then(|| random.one_in(2));
            let mut at = 0;
            while at < write.new.len() {
                let to_border = SECTOR_LEN - (write.at + at) % SECTOR_LEN;
                let sector = &write.new[at..write.new.len().min(at + to_border)];
                if whole.unwrap_or_else(|| !random.one_in(3)) {
                    self.put(write.at + at, sector);
                } else if random.one_in(4) {
                    torn += 1;
                    self.put(write.at + at, &sector[..random.below(sector.len())]);
                } else {
                    lost += 1;
                }
                at += sector.len();
            }
        }
        (lost, torn)
    }
}
