//! The disk of one node: the real SQLite writes to it, and the world decides what of that is left.
//!
//! While a database is open its files are memory of this module's, one state a node, reached through
//! a VFS of SQLite's that is this process's default; the product knows nothing of it. When the last
//! connection closes, or the node dies, what is left is written where the product looks for it with
//! the file system: so a node's folder is as a real one would be whenever its process does not run.
//!
//! A write is on the disk when the file was synced after it. A process that is killed leaves every
//! write; a power cut leaves, of those that were not synced, whatever the seed says, sector by sector.

mod file;
mod vfs;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use file::File;

/// How a process ends when nobody asked it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process alone: what it wrote stays in the machine's memory and reaches the disk.
    Killed,
    /// The machine: what was not synced is kept, lost or torn.
    PowerCut,
}

impl End {
    /// One as it comes.
    pub(crate) fn draw(random: &mut Random) -> Self {
        random.pick(&[Self::Killed, Self::PowerCut])
    }
}

/// What the disk answers instead of doing what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space is left: writes fail.
    Full,
    /// Writes fail.
    WriteError,
    /// Reads fail.
    ReadError,
    /// Syncs fail, and what was written may be lost.
    SyncError,
}

impl Fault {
    /// Every one.
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::WriteError, Self::ReadError, Self::SyncError];

    /// What it counts as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "writes that found the disk full",
            Self::WriteError => "writes that failed",
            Self::ReadError => "reads that failed",
            Self::SyncError => "syncs that failed",
        }
    }
}

/// Every file of a folder, as it was at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image(BTreeMap<String, Vec<u8>>);

impl Image {
    /// With this in a file's place.
    pub(crate) fn with(mut self, name: &str, content: Option<&[u8]>) -> Self {
        self.0.remove(name);
        self.0.extend(content.map(|content| (name.to_owned(), content.to_vec())));
        self
    }

    /// One file's content.
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// Operations of one kind that will fail.
#[derive(Debug, Clone, Copy)]
struct Failing {
    fault: Fault,
    /// Operations of this kind before the first.
    after: u64,
    /// How many fail then.
    count: u64,
}

/// How the node dies by itself.
#[derive(Debug)]
struct Doom {
    /// Operations that change something, before it.
    after: u64,
    end: End,
    random: Random,
}

/// What a VFS works on.
#[derive(Debug)]
struct State {
    folder: PathBuf,
    files: BTreeMap<String, File>,
    handles: u64,
    doom: Option<Doom>,
    failing: Option<Failing>,
    /// What a dead node leaves; nothing changes it any more.
    left: Option<Image>,
    /// Syncs are forgotten: a wrong double of an operating system, or of `synchronous=OFF`.
    forgets_syncs: bool,
    /// While it is set, whoever looks is no part of the world: nothing fails and nobody dies of it.
    is_observed: Arc<AtomicBool>,
    has_failed: bool,
    /// An operation failed and no sync of the database succeeded since.
    is_doubtful: bool,
    failed: BTreeMap<&'static str, u64>,
    torn: u64,
    lost: u64,
}

type Shared = Arc<Mutex<State>>;

/// Whether a file is the attachments' and not the database's.
fn is_of_attachments(name: &str) -> bool {
    name.contains("-attachments")
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node's disk.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Shared,
    folder: PathBuf,
}

impl Disk {
    /// An empty disk at a folder, which is made. Nothing goes wrong with it while `is_observed` is set.
    pub(crate) fn new(folder: PathBuf, is_observed: &Arc<AtomicBool>) -> Self {
        fs::create_dir_all(&folder).expect("a folder in memory");
        let state = State {
            folder: folder.clone(),
            files: BTreeMap::new(),
            handles: 0,
            doom: None,
            failing: None,
            left: None,
            forgets_syncs: false,
            is_observed: Arc::clone(is_observed),
            has_failed: false,
            is_doubtful: false,
            failed: BTreeMap::new(),
            torn: 0,
            lost: 0,
        };
        let state = Arc::new(Mutex::new(state));
        vfs::serve(&folder, &state);
        Self { state, folder }
    }

    /// Where the product finds it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a database there that was made before, as whoever opens it first would have made it.
    pub(crate) fn install(&self, name: &str, bytes: &[u8]) {
        lock(&self.state).files.insert(name.to_owned(), File::installed(bytes));
    }

    /// Makes it forget what it is told to make sure of.
    pub(crate) fn forget_syncs(&self) {
        lock(&self.state).forgets_syncs = true;
    }

    /// Lets the node die by itself before it has changed its disk so many times more.
    pub(crate) fn doom(&self, after: u64, end: End, random: Random) {
        lock(&self.state).doom = Some(Doom { after, end, random });
    }

    /// Lets operations fail: so many, after so many.
    pub(crate) fn fail(&self, fault: Fault, after: u64, count: u64) {
        lock(&self.state).failing = Some(Failing { fault, after, count });
    }

    /// Lets nothing fail any more, and nobody die.
    pub(crate) fn heal(&self) {
        let mut state = lock(&self.state);
        (state.doom, state.failing, state.has_failed) = (None, None, false);
    }

    /// Whether the node died by itself.
    pub(crate) fn is_dead(&self) -> bool {
        lock(&self.state).left.is_some()
    }

    /// Whether anything failed since this was last asked.
    pub(crate) fn take_has_failed(&self) -> bool {
        std::mem::take(&mut lock(&self.state).has_failed)
    }

    /// Whether its log may hold a commit of which whoever made it was told that it failed.
    pub(crate) fn is_doubtful(&self) -> bool {
        lock(&self.state).is_doubtful
    }

    /// Whether every commit is on the disk. A commit is in the write-ahead log; what a checkpoint that
    /// failed left half done in the database is done again from there. And what a failed operation left
    /// half done in the log belongs to no commit, until the next that succeeds. Of attachments that come
    /// nothing is promised: what a power cut takes of them comes again.
    pub(crate) fn is_synced(&self) -> bool {
        let state = lock(&self.state);
        let is_log = |name: &str| name.ends_with("-wal") && !is_of_attachments(name);
        let mut logs = state.files.iter().filter(|(name, _)| is_log(name));
        state.is_doubtful || logs.all(|(_, file)| file.is_synced())
    }

    /// What failed, by kind, and sectors that were lost or torn, since this was last asked.
    pub(crate) fn take_counts(&self) -> Vec<(&'static str, u64)> {
        let mut state = lock(&self.state);
        let mut counts: Vec<_> = std::mem::take(&mut state.failed).into_iter().collect();
        counts.push(("unsynced sectors lost in a power cut", std::mem::take(&mut state.lost)));
        counts.push(("unsynced sectors torn in a power cut", std::mem::take(&mut state.torn)));
        counts.retain(|(_, count)| *count > 0);
        counts
    }

    /// Ends the node's process: from now on nothing reaches the disk. Once its handles are gone,
    /// [`Self::settle`] shows what is left.
    pub(crate) fn die(&self, end: End, random: &mut Random) {
        lock(&self.state).die(end, random);
    }

    /// Nobody will look at it any more: what is still written, as at the closing of its files, is lost.
    pub(crate) fn abandon(&self) {
        lock(&self.state).left.get_or_insert_default();
    }

    /// Puts what the dead node left into its folder.
    pub(crate) fn settle(&self) {
        let mut state = lock(&self.state);
        assert!(!state.files.values().any(|file| file.opens > 0), "a handle outlives its process");
        (state.doom, state.failing) = (None, None);
        if let Some(left) = state.left.take() {
            state.files.clear();
            put(&self.folder, &left);
        }
    }

    /// Every file, as it is now.
    pub(crate) fn image(&self) -> Image {
        lock(&self.state).image()
    }

    /// Makes the folder what it was, or what another was. Nobody has a file open.
    pub(crate) fn put_back(&self, image: &Image) {
        let mut state = lock(&self.state);
        assert!(!state.files.values().any(|file| file.opens > 0), "somebody has a file open");
        state.files.clear();
        state.left = None;
        put(&self.folder, image);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::forget(&self.folder);
    }
}

impl State {
    fn die(&mut self, end: End, random: &mut Random) {
        if self.left.is_some() {
            return;
        }
        if end == End::PowerCut {
            for file in self.files.values_mut() {
                let (lost, torn) = file.cut_power(random);
                (self.lost, self.torn) = (self.lost + lost, self.torn + torn);
            }
        }
        self.left = Some(self.image());
    }

    fn image(&self) -> Image {
        let mut image = read_folder(&self.folder);
        for (name, file) in self.files.iter().filter(|(_, file)| file.opens > 0 || file.is_installed) {
            image.0.insert(name.clone(), file.bytes.clone());
        }
        image
    }

    /// One more operation that changes something. False once the node is dead.
    fn changes(&mut self) -> bool {
        if let Some(doom) = self.doom.as_mut().filter(|_| !self.is_observed.load(Ordering::Relaxed)) {
            doom.after = doom.after.saturating_sub(1);
            if doom.after == 0
                && let Some(Doom { end, mut random, .. }) = self.doom.take()
            {
                self.die(end, &mut random);
            }
        }
        self.left.is_none()
    }

    /// Whether an operation of one of these kinds fails.
    fn fails(&mut self, kinds: &[Fault]) -> Option<Fault> {
        if self.is_observed.load(Ordering::Relaxed) {
            return None;
        }
        let failing = self.failing.as_mut().filter(|failing| kinds.contains(&failing.fault))?;
        if failing.after > 0 {
            failing.after -= 1;
            return None;
        }
        failing.count = failing.count.checked_sub(1)?;
        let fault = failing.fault;
        (self.has_failed, self.is_doubtful) = (true, true);
        *self.failed.entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    /// Writes a file that nobody has open any more where the file system shows it.
    fn close(&mut self, name: &str) {
        if self.left.is_none()
            && let Some(file) = self.files.get(name).filter(|file| file.opens == 0)
        {
            fs::write(self.folder.join(name), &file.bytes).expect("a file in memory");
            self.files.remove(name);
        }
    }
}

fn read_folder(folder: &Path) -> Image {
    let entries = fs::read_dir(folder).expect("a folder in memory");
    let paths = entries.map(|entry| entry.expect("a folder in memory").path()).filter(|path| path.is_file());
    Image(paths.map(|path| (name_of(&path), fs::read(&path).expect("a file in memory"))).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes a folder hold these files and no others.
fn put(folder: &Path, image: &Image) {
    for name in read_folder(folder).0.keys().filter(|name| !image.0.contains_key(*name)) {
        fs::remove_file(folder.join(name)).expect("a file in memory");
    }
    for (name, bytes) in &image.0 {
        fs::write(folder.join(name), bytes).expect("a file in memory");
    }
}

/// Reads a file that may not be there.
fn read_if_there(path: &Path) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("a file in memory: {error}"),
    }
}
