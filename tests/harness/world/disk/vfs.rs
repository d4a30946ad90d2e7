//! The VFS by which SQLite reaches the disks of worlds. It is this process's default; whatever lies
//! outside of a world's folders goes to the one that was the default before.

#![allow(unsafe_code, reason = "SQLite takes a VFS as C structures of functions and pointers")]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rusqlite::ffi;

use super::file::SHM_LOCKS;
use super::{Fault, File, Shared, State, is_of_attachments, lock, name_of, read_if_there};

/// Disks by their folders.
static DISKS: Mutex<BTreeMap<PathBuf, Shared>> = Mutex::new(BTreeMap::new());
static DEFAULT: OnceLock<Default> = OnceLock::new();

/// The VFS that was the default before ours.
#[derive(Clone, Copy)]
struct Default(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite's VFS objects live as long as the process and are used from any thread.
unsafe impl Send for Default {}
// SAFETY: as above.
unsafe impl Sync for Default {}

/// What SQLite holds of an open file.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// One connection's hold of one file.
struct Handle {
    disk: Shared,
    name: String,
    number: u64,
    level: c_int,
    shm_shared: u8,
    shm_exclusive: u8,
    has_shm: bool,
}

/// Serves a folder's files from now on.
pub(super) fn serve(folder: &Path, disk: &Shared) {
    DEFAULT.get_or_init(register);
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    disks.insert(folder.to_owned(), Arc::clone(disk));
}

/// Serves it no longer.
pub(super) fn forget(folder: &Path) {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
}

fn register() -> Default {
    // SAFETY: the default VFS is found and ours registered before this process has opened anything
    // through ours; both objects live as long as the process. A copy of the default keeps what is
    // not a file's: time, sleep, loading.
    unsafe {
        // Worlds that live side by side would wait for each other at every allocation that is counted.
        // Where SQLite has begun already it says no, and that is no harm.
        ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int);
        assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK, "SQLite begins");
        let before = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!before.is_null(), "there is a default VFS");
        let mut ours = *before;
        ours.zName = c"world".as_ptr();
        ours.pNext = std::ptr::null_mut();
        ours.iVersion = 2;
        ours.szOsFile = (*before).szOsFile.max(size_of::<OpenFile>() as c_int);
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        ours.xAccess = Some(access);
        ours.xFullPathname = Some(full_path);
        ours.xRandomness = Some(randomness);
        ours.xSleep = Some(sleep);
        let ours = Box::leak(Box::new(ours));
        assert_eq!(ffi::sqlite3_vfs_register(ours, 1), ffi::SQLITE_OK, "our VFS is registered");
        Default(before)
    }
}

fn before() -> *mut ffi::sqlite3_vfs {
    DEFAULT.get().expect("it was registered").0
}

/// The disk that a path is on, and the file's name there.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn find(path: *const c_char) -> Option<(Shared, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as promised.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    Some((Arc::clone(disks.get(path.parent()?)?), name_of(path)))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string or null, and room of szOsFile bytes.
    unsafe {
        let Some((disk, name)) = find(path) else {
            return (*before()).xOpen.expect("a VFS opens")(before(), path, file, flags, out);
        };
        let file = file.cast::<OpenFile>();
        (*file).base.pMethods = std::ptr::null();
        let Some(number) = lock(&disk).open(&name, flags) else { return ffi::SQLITE_CANTOPEN };
        let handle = Handle { disk, name, number, level: 0, shm_shared: 0, shm_exclusive: 0, has_shm: false };
        (*file).handle = Box::into_raw(Box::new(handle));
        (*file).base.pMethods = &METHODS;
        if !out.is_null() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite gives a C string.
    unsafe {
        match find(path) {
            Some((disk, name)) => {
                lock(&disk).delete(&name);
                ffi::SQLITE_OK
            }
            None => (*before()).xDelete.expect("a VFS deletes")(before(), path, sync_folder),
        }
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string and a place for the answer.
    unsafe {
        let Some((disk, name)) = find(path) else {
            return (*before()).xAccess.expect("a VFS looks")(before(), path, flags, out);
        };
        let state = lock(&disk);
        // As SQLite's own does: a file without content does not exist.
        let len = state.files.get(&name).map(|file| file.bytes.len() as u64);
        let len = len.or_else(|| state.folder.join(&name).metadata().ok().map(|metadata| metadata.len()));
        *out = c_int::from(len.is_some_and(|len| flags != ffi::SQLITE_ACCESS_EXISTS || len > 0));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a C string and room of `len` bytes.
    unsafe {
        if find(path).is_none() {
            return (*before()).xFullPathname.expect("a VFS names")(before(), path, len, out);
        }
        let bytes = CStr::from_ptr(path).to_bytes_with_nul();
        if bytes.len() > len as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.cast(), bytes.len());
    }
    ffi::SQLITE_OK
}

/// The same in every run: nothing that is kept depends on it.
unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite gives room of `len` bytes.
    unsafe { std::ptr::write_bytes(out, 0x5a, len as usize) };
    len
}

/// Nobody else runs in a world, so there is nothing to wait for.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    micros
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(take_lock),
    xUnlock: Some(release_lock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The handle of an open file.
///
/// # Safety
/// `file` was opened by [`open`] and is not closed; SQLite uses one file from one thread at a time.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: as promised.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file that it opened, once.
    let handle = unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) };
    let mut state = lock(&handle.disk);
    if let Some(file) = state.files.get_mut(&handle.name) {
        release(file, &handle, 0);
        file.opens -= 1;
    }
    state.close(&handle.name);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, len: c_int, at: i64) -> c_int {
    // SAFETY: the file is open, and there is room of `len` bytes.
    let (handle, to) =
        unsafe { (handle(file), std::slice::from_raw_parts_mut(to.cast::<u8>(), len as usize)) };
    let mut state = lock(&handle.disk);
    if state.left.is_some() || state.fails(&[Fault::ReadError]).is_some() {
        return ffi::SQLITE_IOERR_READ;
    }
    let Some(file) = state.files.get(&handle.name) else { return ffi::SQLITE_IOERR_READ };
    let held = file.bytes.get(at as usize..).unwrap_or_default();
    let len = held.len().min(to.len());
    to[..len].copy_from_slice(&held[..len]);
    to[len..].fill(0);
    if len < to.len() { ffi::SQLITE_IOERR_SHORT_READ } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, len: c_int, at: i64) -> c_int {
    // SAFETY: the file is open, and there are `len` bytes.
    let (handle, from) =
        unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), len as usize)) };
    let mut state = lock(&handle.disk);
    if !state.changes() {
        return ffi::SQLITE_IOERR_WRITE;
    }
    match state.fails(&[Fault::Full, Fault::WriteError]) {
        Some(Fault::Full) => return ffi::SQLITE_FULL,
        Some(_) => return ffi::SQLITE_IOERR_WRITE,
        None => {}
    }
    let Some(file) = state.files.get_mut(&handle.name) else { return ffi::SQLITE_IOERR_WRITE };
    file.write(at as usize, from);
    ffi::SQLITE_OK
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: i64) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = lock(&handle.disk);
    if !state.changes() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    let Some(file) = state.files.get_mut(&handle.name) else { return ffi::SQLITE_IOERR_TRUNCATE };
    file.truncate(len as usize);
    ffi::SQLITE_OK
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = lock(&handle.disk);
    if !state.changes() || state.fails(&[Fault::SyncError]).is_some() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // What lies beside says nothing of the database's log.
    state.is_doubtful &= is_of_attachments(&handle.name);
    if !state.forgets_syncs
        && let Some(file) = state.files.get_mut(&handle.name)
    {
        file.sync();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: the file is open, and there is a place for the answer.
    unsafe {
        let handle = handle(file);
        *out = lock(&handle.disk).files.get(&handle.name).map_or(0, |file| file.bytes.len() as i64);
    }
    ffi::SQLITE_OK
}

const SHARED: c_int = ffi::SQLITE_LOCK_SHARED;
const RESERVED: c_int = ffi::SQLITE_LOCK_RESERVED;
const PENDING: c_int = ffi::SQLITE_LOCK_PENDING;
const EXCLUSIVE: c_int = ffi::SQLITE_LOCK_EXCLUSIVE;

unsafe extern "C" fn take_lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = lock(&handle.disk);
    let Some(file) = state.files.get_mut(&handle.name) else { return ffi::SQLITE_IOERR_LOCK };
    if handle.level >= level {
        return ffi::SQLITE_OK;
    }
    let other = file.locks.writer.filter(|(number, _)| *number != handle.number);
    if level == SHARED {
        if other.is_some_and(|(_, level)| level >= PENDING) {
            return ffi::SQLITE_BUSY;
        }
        file.locks.shared += 1;
        handle.level = SHARED;
        return ffi::SQLITE_OK;
    }
    if other.is_some() {
        return ffi::SQLITE_BUSY;
    }
    let is_alone = file.locks.shared <= 1;
    handle.level = if level == EXCLUSIVE && !is_alone { PENDING } else { level };
    file.locks.writer = Some((handle.number, handle.level));
    if handle.level == level { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn release_lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = lock(&handle.disk);
    if let Some(file) = state.files.get_mut(&handle.name) {
        release(file, handle, level);
    }
    handle.level = handle.level.min(level);
    ffi::SQLITE_OK
}

fn release(file: &mut File, handle: &Handle, level: c_int) {
    if level < RESERVED && file.locks.writer.is_some_and(|(number, _)| number == handle.number) {
        file.locks.writer = None;
    }
    if level < SHARED && handle.level >= SHARED {
        file.locks.shared -= 1;
    }
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: the file is open, and there is a place for the answer.
    unsafe {
        let handle = handle(file);
        let state = lock(&handle.disk);
        let is_reserved = state.files.get(&handle.name).is_some_and(|file| file.locks.writer.is_some());
        *out = c_int::from(is_reserved);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As SQLite's own says of a disk on Unix: what stands beside a write is not touched by it.
unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    len: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: the file is open, and there is a place for the answer. What is given out lives until
    // the last connection unmaps it.
    unsafe {
        let handle = handle(file);
        let mut state = lock(&handle.disk);
        *out = std::ptr::null_mut();
        let Some(file) = state.files.get_mut(&handle.name) else { return ffi::SQLITE_IOERR_SHMMAP };
        if !handle.has_shm {
            handle.has_shm = true;
            file.shm_users += 1;
        }
        while extend != 0 && file.shm.len() <= page as usize {
            file.shm.push(vec![0_u64; (len as usize).div_ceil(8)].into_boxed_slice());
        }
        if let Some(region) = file.shm.get_mut(page as usize) {
            *out = region.as_mut_ptr().cast();
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    from: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let Handle { disk, name, shm_shared, shm_exclusive, .. } = handle;
    let mut state = lock(disk);
    let Some(file) = state.files.get_mut(name) else { return ffi::SQLITE_IOERR_SHMLOCK };
    let slots = from as usize..(from + count) as usize;
    debug_assert!(slots.end <= SHM_LOCKS, "SQLite has eight of these locks");
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        unlock(file, slots, shm_shared, shm_exclusive);
        return ffi::SQLITE_OK;
    }
    let is_free = |slot: usize| {
        let (mask, holders) = (1 << slot, file.shm_locks[slot]);
        if flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 {
            holders == 0 || *shm_exclusive & mask != 0
        } else {
            holders >= 0
        }
    };
    if !slots.clone().all(is_free) {
        return ffi::SQLITE_BUSY;
    }
    for slot in slots {
        let mask = 1 << slot;
        if flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 {
            file.shm_locks[slot] = -1;
            *shm_exclusive |= mask;
        } else if *shm_shared & mask == 0 {
            file.shm_locks[slot] += 1;
            *shm_shared |= mask;
        }
    }
    ffi::SQLITE_OK
}

/// Lets go of what a connection holds of some locks.
fn unlock(file: &mut File, slots: Range<usize>, shared: &mut u8, exclusive: &mut u8) {
    for slot in slots {
        let mask = 1 << slot;
        if *exclusive & mask != 0 {
            file.shm_locks[slot] = 0;
        } else if *shared & mask != 0 {
            file.shm_locks[slot] -= 1;
        }
        *exclusive &= !mask;
        *shared &= !mask;
    }
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open, and SQLite lets go of its pointers with this.
    let handle = unsafe { handle(file) };
    let Handle { disk, name, shm_shared, shm_exclusive, has_shm, .. } = handle;
    let mut state = lock(disk);
    if let Some(file) = state.files.get_mut(name).filter(|_| *has_shm) {
        *has_shm = false;
        unlock(file, 0..SHM_LOCKS, shm_shared, shm_exclusive);
        file.shm_users -= 1;
        if file.shm_users == 0 {
            file.shm.clear();
        }
    }
    ffi::SQLITE_OK
}

impl State {
    /// A new hold of a file, which is made if that is asked for. `None` if it is not there.
    fn open(&mut self, name: &str, flags: c_int) -> Option<u64> {
        if self.left.is_some() {
            return None;
        }
        let is_known = self.files.get(name).is_some_and(|file| file.opens > 0 || file.is_installed);
        if !is_known {
            // What the file system shows may have been renamed or replaced since this was last open.
            let bytes = read_if_there(&self.folder.join(name));
            if bytes.is_none() && flags & ffi::SQLITE_OPEN_CREATE == 0 {
                return None;
            }
            self.files.insert(name.to_owned(), File::with(bytes.unwrap_or_default()));
        }
        let file = self.files.get_mut(name)?;
        file.opens += 1;
        file.is_installed = false;
        self.handles += 1;
        Some(self.handles)
    }

    fn delete(&mut self, name: &str) {
        if self.left.is_none() {
            self.files.remove(name);
            std::fs::remove_file(self.folder.join(name)).ok();
        }
    }
}
