//! Files that are in memory.

use std::path::{Path, PathBuf};

/// Where files are in memory if the machine has such a place, for tests of which the disk's speed is not the
/// subject; otherwise where temporary files are.
pub(crate) fn memory_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
