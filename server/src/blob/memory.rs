//! Attachments in memory, with a disk that can be full, broken or slow: for tests.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::{BlobError, BlobId, Blobs, PartId, Piece, Put};

/// What the disk does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Disk {
    /// All that it should.
    #[default]
    Sound,
    /// Nothing more goes on it.
    Full,
    /// It fails.
    Broken,
    /// Every write takes so long.
    Slow(Duration),
}

/// The double.
#[derive(Debug, Default)]
pub(crate) struct MemoryBlobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    disk: Disk,
    whole: BTreeMap<BlobId, Vec<u8>>,
    parts: BTreeMap<PartId, (u64, Vec<u8>)>,
}

impl MemoryBlobs {
    /// From now on the disk does this.
    pub(crate) fn set_disk(&self, disk: Disk) {
        self.state().disk = disk;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn usable(&self) -> Result<MutexGuard<'_, State>, BlobError> {
        let state = self.state();
        match state.disk {
            Disk::Broken => Err(io::Error::other("broken").into()),
            _ => Ok(state),
        }
    }
}

impl Blobs for MemoryBlobs {
    fn whole(&self, blob: BlobId) -> Result<Option<u64>, BlobError> {
        Ok(self.usable()?.whole.get(&blob).map(|bytes| bytes.len() as u64))
    }

    fn part(&self, part: PartId, len: u64) -> Result<u64, BlobError> {
        let state = self.usable()?;
        let held = state.parts.get(&part).filter(|(announced, _)| *announced == len);
        Ok(held.map_or(0, |(_, bytes)| bytes.len() as u64))
    }

    fn put(&self, part: PartId, len: u64, offset: u64, bytes: &[u8]) -> Result<Put, BlobError> {
        let disk = self.state().disk;
        if let Disk::Slow(time) = disk {
            std::thread::sleep(time);
        }
        let mut state = self.usable()?;
        if state.whole.contains_key(&part.blob) {
            return Ok(Put::Whole);
        }
        if state.disk == Disk::Full {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        let (announced, held) = state.parts.entry(part).or_default();
        if *announced != len {
            (*announced, *held) = (len, Vec::new());
        }
        if offset != held.len() as u64 || offset + bytes.len() as u64 > len {
            return Ok(Put::Held(held.len() as u64));
        }
        held.extend(bytes);
        if (held.len() as u64) < len {
            return Ok(Put::Held(held.len() as u64));
        }
        let (_, held) = state.parts.remove(&part).unwrap();
        if blake3::hash(&held).as_bytes() != part.blob.hash.as_bytes() {
            return Ok(Put::Mismatch);
        }
        state.whole.insert(part.blob, held);
        Ok(Put::Whole)
    }

    fn read(&self, blob: BlobId, offset: u64, len_max: usize) -> Result<Option<Piece>, BlobError> {
        let state = self.usable()?;
        Ok(state.whole.get(&blob).map(|whole| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
            let to = from.saturating_add(len_max).min(whole.len());
            Piece { len: whole.len() as u64, bytes: whole[from..to].to_vec() }
        }))
    }

    fn remove(&self, blob: BlobId) -> Result<bool, BlobError> {
        let mut state = self.usable()?;
        let before = state.parts.len();
        state.parts.retain(|part, _| part.blob != blob);
        let had_parts = state.parts.len() < before;
        Ok(state.whole.remove(&blob).is_some() || had_parts)
    }

    fn give_up(&self, part: PartId) -> Result<(), BlobError> {
        self.usable()?.parts.remove(&part);
        Ok(())
    }

    fn list(&self) -> Result<Vec<(BlobId, u64)>, BlobError> {
        Ok(self.usable()?.whole.iter().map(|(blob, bytes)| (*blob, bytes.len() as u64)).collect())
    }

    fn sweep(&self, idle: Duration) -> Result<Vec<(PartId, u64)>, BlobError> {
        let mut state = self.usable()?;
        let whole: Vec<_> = state.whole.keys().copied().collect();
        state.parts.retain(|part, _| !whole.contains(&part.blob) && !idle.is_zero());
        Ok(state.parts.iter().map(|(part, (_, bytes))| (*part, bytes.len() as u64)).collect())
    }
}
