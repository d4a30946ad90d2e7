//! Attachments as files: `<space>/<first two digits>/<hash>` when whole, `<space>/parts/` until then.
//!
//! Every name is made of parsed identifiers, so no path leads elsewhere; what else lies there is passed
//! over. A file gets its name when its bytes have its hash and are on disk.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use barid_core::id::{AttachmentHash, SpaceId};

use super::{BlobError, BlobId, Blobs, PartId, Piece, Put};
use crate::data_dir::{DataDir, sync_dir};

/// The folder of what is arriving.
const PARTS: &str = "parts";

/// Attachments in a folder.
#[derive(Debug)]
pub struct FileBlobs {
    root: PathBuf,
    busy: Busy,
}

impl FileBlobs {
    /// Keeps them in a folder, which is made with the first.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), busy: Busy::default() }
    }

    fn space_dir(&self, space: SpaceId) -> PathBuf {
        self.root.join(space.to_string())
    }

    /// Where an attachment lies when it is whole.
    pub fn path(&self, blob: BlobId) -> PathBuf {
        let hash = blob.hash.to_string();
        self.space_dir(blob.space).join(&hash[..2]).join(hash)
    }

    fn part_path(&self, part: PartId, len: u64) -> PathBuf {
        // The length that was announced is part of the name: another length is another beginning.
        let name = format!("{}.{}.{len}.part", part.blob.hash, part.device);
        self.space_dir(part.blob.space).join(PARTS).join(name)
    }

    /// Compares what came with its hash, and gives it its name.
    fn finish(&self, part: PartId, path: &Path, file: &mut File) -> Result<Put, BlobError> {
        file.seek(SeekFrom::Start(0))?;
        if hash_of(file)? != part.blob.hash {
            fs::remove_file(path)?;
            return Ok(Put::Mismatch);
        }
        file.sync_all()?;
        let target = self.path(part.blob);
        let folder = target.parent().unwrap_or(&self.root);
        self.create_dir(folder)?;
        fs::rename(path, &target)?;
        sync_dir(folder)?;
        Ok(Put::Whole)
    }

    /// Makes a folder, durably with those it lies in.
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        DataDir::create_private_dir(folder)?;
        for made in folder.ancestors().skip(1) {
            sync_dir(made)?;
            if made == self.root {
                // The folder of all attachments is itself new in the data directory, at first.
                return made.parent().map_or(Ok(()), sync_dir);
            }
        }
        Ok(())
    }

    fn spaces(&self) -> io::Result<Vec<(SpaceId, PathBuf)>> {
        Ok(entries(&self.root)?
            .into_iter()
            .filter_map(|(name, path)| Some((name.parse().ok()?, path)))
            .collect())
    }

    fn remove_parts(&self, is_meant: impl Fn(PartId) -> bool, space: SpaceId) -> io::Result<()> {
        let mut meant = self.parts(space)?.into_iter().filter(|(part, _)| is_meant(*part));
        meant.try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// What is being sent in a space: what it is to become, and where it lies.
    fn parts(&self, space: SpaceId) -> io::Result<Vec<(PartId, PathBuf)>> {
        let named = entries(&self.space_dir(space).join(PARTS))?;
        Ok(named.into_iter().filter_map(|(name, path)| Some((part_named(space, &name)?, path))).collect())
    }
}

impl Blobs for FileBlobs {
    fn whole(&self, blob: BlobId) -> Result<Option<u64>, BlobError> {
        match fs::metadata(self.path(blob)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn part(&self, part: PartId, len: u64) -> Result<u64, BlobError> {
        match fs::metadata(self.part_path(part, len)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn put(&self, part: PartId, len: u64, offset: u64, bytes: &[u8]) -> Result<Put, BlobError> {
        let _alone = self.busy.enter(part.blob);
        if self.whole(part.blob)?.is_some() {
            return Ok(Put::Whole);
        }
        let path = self.part_path(part, len);
        if !path.exists() {
            // Another length is another beginning, and there is one at a time.
            self.remove_parts(|other| other == part, part.blob.space)?;
            self.create_dir(path.parent().unwrap_or(&self.root))?;
        }
        let mut file = open_part(&path)?;
        let held = file.metadata()?.len();
        if held >= len {
            // Whole but for its name: the relay was stopped before it could look.
            return self.finish(part, &path, &mut file);
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != held || end > len {
            return Ok(Put::Held(held));
        }
        let written = file.seek(SeekFrom::Start(held)).and_then(|_| file.write_all(bytes));
        if let Err(error) = written {
            // What was written of the piece is as good as any beginning; without it, the count is plain.
            file.set_len(held)?;
            return Err(error.into());
        }
        if end == len { self.finish(part, &path, &mut file) } else { Ok(Put::Held(end)) }
    }

    fn read(&self, blob: BlobId, offset: u64, len_max: usize) -> Result<Option<Piece>, BlobError> {
        let mut file = match File::open(self.path(blob)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let len = file.metadata()?.len();
        let wanted = len.saturating_sub(offset).min(len_max as u64);
        let mut bytes = Vec::with_capacity(wanted as usize);
        file.seek(SeekFrom::Start(offset.min(len)))?;
        file.take(wanted).read_to_end(&mut bytes)?;
        Ok(Some(Piece { len, bytes }))
    }

    fn remove(&self, blob: BlobId) -> Result<bool, BlobError> {
        let _alone = self.busy.enter(blob);
        let parts = self.parts(blob.space)?.into_iter().filter(|(part, _)| part.blob == blob);
        let mut is_removed = false;
        for path in parts.map(|(_, path)| path).chain([self.path(blob)]) {
            match fs::remove_file(&path) {
                Ok(()) => {
                    is_removed = true;
                    sync_dir(path.parent().unwrap_or(&self.root))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(is_removed)
    }

    fn give_up(&self, part: PartId) -> Result<(), BlobError> {
        let _alone = self.busy.enter(part.blob);
        Ok(self.remove_parts(|other| other == part, part.blob.space)?)
    }

    fn list(&self) -> Result<Vec<(BlobId, u64)>, BlobError> {
        let mut held = Vec::new();
        for (space, folder) in self.spaces()? {
            for (name, folder) in entries(&folder)? {
                if name == PARTS {
                    continue;
                }
                for (name, path) in entries(&folder)? {
                    if let Some(hash) = parse::<AttachmentHash>(&name)
                        && let Ok(metadata) = fs::metadata(path)
                    {
                        held.push((BlobId { space, hash }, metadata.len()));
                    }
                }
            }
        }
        Ok(held)
    }

    fn sweep(&self, idle: Duration) -> Result<Vec<(PartId, u64)>, BlobError> {
        let mut left = Vec::new();
        for (space, _) in self.spaces()? {
            for (part, path) in self.parts(space)? {
                let _alone = self.busy.enter(part.blob);
                // It may have become whole meanwhile.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                // A clock that was set back makes it no older.
                let age = metadata.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
                if age >= idle || self.whole(part.blob)?.is_some() {
                    fs::remove_file(&path)?;
                } else {
                    left.push((part, metadata.len()));
                }
            }
        }
        Ok(left)
    }
}

/// Which attachments something is being written of: one at a time each.
#[derive(Debug, Default)]
struct Busy {
    blobs: Mutex<HashSet<BlobId>>,
    freed: Condvar,
}

impl Busy {
    fn enter(&self, blob: BlobId) -> Alone<'_> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        while !blobs.insert(blob) {
            blobs = self.freed.wait(blobs).unwrap_or_else(PoisonError::into_inner);
        }
        Alone { busy: self, blob }
    }
}

struct Alone<'a> {
    busy: &'a Busy,
    blob: BlobId,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.busy.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.blob);
        self.busy.freed.notify_all();
    }
}

fn open_part(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What lies in a folder, by name; nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let read = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        read => read?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn part_named(space: SpaceId, name: &str) -> Option<PartId> {
    let mut words = name.strip_suffix(".part")?.split('.');
    let (hash, device) = (parse(words.next()?)?, parse(words.next()?)?);
    Some(PartId { blob: BlobId { space, hash }, device })
}

/// An identifier as this module writes it: other spellings of the same are other files.
fn parse<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|id| id.to_string() == text)
}

/// What the rest of a file hashes to.
pub(crate) fn hash_of(file: &mut impl Read) -> io::Result<AttachmentHash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(AttachmentHash::from_bytes(*hasher.finalize().as_bytes())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use barid_core::id::DeviceId;

    fn blob() -> (Vec<u8>, PartId) {
        let bytes = vec![7u8; 100];
        let hash = AttachmentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
        let blob = BlobId { space: SpaceId::from_bytes([1; 32]), hash };
        (bytes, PartId { blob, device: DeviceId::from_bytes([2; 32]) })
    }

    #[test]
    fn a_relay_started_again_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, part) = blob();
        FileBlobs::new(dir.path()).put(part, 100, 0, &bytes[..60]).unwrap();
        let blobs = FileBlobs::new(dir.path());
        assert_eq!(blobs.part(part, 100).unwrap(), 60);
        assert_eq!(blobs.put(part, 100, 60, &bytes[60..]).unwrap(), Put::Whole);
    }

    #[test]
    fn a_part_that_had_every_byte_when_the_relay_was_killed_is_finished_with_the_next_piece() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, part) = blob();
        let blobs = FileBlobs::new(dir.path());
        blobs.put(part, 100, 0, &bytes[..60]).unwrap();
        fs::write(blobs.part_path(part, 100), &bytes).unwrap();
        assert_eq!(blobs.put(part, 100, 60, &bytes[60..]).unwrap(), Put::Whole);
    }

    #[test]
    fn what_has_no_name_of_ours_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, part) = blob();
        let blobs = FileBlobs::new(dir.path());
        blobs.put(part, 100, 0, &bytes).unwrap();
        let folder = blobs.path(part.blob).parent().unwrap().to_owned();
        for name in ["thumbs.db", &part.blob.hash.to_string().to_uppercase(), ".."] {
            let _ = fs::write(folder.join(name), "x");
        }
        fs::write(dir.path().join("readme"), "x").unwrap();
        assert_eq!(blobs.list().unwrap(), [(part.blob, 100)]);
        assert_eq!(blobs.sweep(Duration::ZERO).unwrap(), []);
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (bytes, part) = blob();
        let blobs = FileBlobs::new(dir.path().join("attachments"));
        blobs.put(part, 100, 0, &bytes).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&blobs.path(part.blob)), 0o600);
        assert_eq!(mode(&dir.path().join("attachments")), 0o700);
    }
}
