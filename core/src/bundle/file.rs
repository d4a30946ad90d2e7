//! A file that is there when it is whole, and not before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// A file cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is a file of this name, which may be all that is left of something.
    #[error("there is a file of this name already; it was not changed")]
    Exists,
    /// The disk, or the stick, failed.
    #[error("the file could not be written")]
    Write(#[from] io::Error),
}

/// Writes a new file: under another name, then to the disk, then under its own. If anything fails,
/// nothing is left of it. Only its owner may read it, where the file system knows owners.
pub fn write_file<T, E: From<FileError>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    if path.try_exists().map_err(FileError::Write)? {
        return Err(FileError::Exists.into());
    }
    let unfinished = Unfinished(beside(path));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(&unfinished.0).map_err(FileError::Write)?);
    let written = write(&mut file)?;
    put_in_place(file, &unfinished.0, path).map_err(FileError::Write)?;
    std::mem::forget(unfinished);
    Ok(written)
}

fn put_in_place(mut file: BufWriter<File>, unfinished: &Path, path: &Path) -> io::Result<()> {
    file.flush()?;
    file.get_ref().sync_all()?;
    drop(file);
    fs::rename(unfinished, path)?;
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A stick's file system may know no such thing; the file itself is on it.
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).ok();
    }
    Ok(())
}

/// A name in the same folder that nothing else has.
fn beside(path: &Path) -> PathBuf {
    let mut random = [0u8; 4];
    // Without randomness the name is one that may be taken, and then nothing is written.
    getrandom::fill(&mut random).ok();
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.unfinished", crate::id::to_hex(&random)));
    path.with_file_name(name)
}

/// Removes the file unless it was put in place.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
