//! The worker: reads the log from its cursor and takes it in, step by step, until its input ends.
//!
//! What it is about to take in is noted before it begins, in a file that survives its death. It
//! judges nothing for good: an entry that cannot be taken is recorded by the store, and a batch that
//! kills it is skipped only here, and only by this version.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use barid_core::batch::{BatchKind, BodyEntry, Entry, SealedBatch};
use barid_core::control::Statement;
use barid_core::id::SpaceId;
use barid_core::position::Cursor;
use barid_core::store::{IngestError, IngestReport, OpenError, Store, StoreConfig, StoreError};

use super::aside::{Aside, AsideError, Attempt, Caution};
use super::report::{ChangedItem, Report};
use crate::data_dir::DataDir;
use crate::log::reader::LogReader;
use crate::log::{LogError, LoggedBatch};

/// Between two looks at the log when nobody tells of news.
const POLL: Duration = Duration::from_secs(1);
/// Bytes of batches taken in with one commit, at most; one batch at least.
const STEP_LEN_MAX: usize = 512 * 1024;

/// The bounds within which the worker works.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of address space.
    pub memory_len_max: u64,
    /// How long one step may take.
    pub step: Duration,
}

/// The worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The views cannot be opened.
    #[error("opening the views")]
    Open(#[source] OpenError),
    /// The views cannot be read.
    #[error("reading the views")]
    Store(#[from] StoreError),
    /// A step cannot be committed.
    #[error("taking in batches")]
    Ingest(#[from] IngestError),
    /// The log cannot be read.
    #[error("reading the log")]
    Log(#[from] LogError),
    /// What is being done cannot be noted.
    #[error("noting what comes next")]
    Aside(#[from] AsideError),
    /// Nobody reads the reports.
    #[error("writing a report")]
    Report(#[source] io::Error),
    /// The system said no.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
}

/// Bounds this process for good: what is decoded here must not take the machine with it.
pub fn bound_process(bounds: Bounds) -> io::Result<()> {
    let (_, hard) = rlimit::Resource::AS.get()?;
    let bound = bounds.memory_len_max.min(hard);
    rlimit::Resource::AS.set(bound, bound)
}

/// What comes over the input: a line means that the log has news, its end means stop.
pub fn read_news(input: impl BufRead + Send + 'static) -> Receiver<()> {
    let (sender, receiver): (Sender<()>, _) = channel();
    std::thread::spawn(move || {
        // Nothing is ever read from a line but its end.
        for line in input.split(b'\n') {
            if line.is_err() || sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Ends the process when a step takes too long, as a decoder that loops for ever would.
#[derive(Debug, Clone)]
pub struct Watchdog {
    began: Instant,
    /// Milliseconds after `began` at which the step must be over; 0 while none runs.
    deadline_ms: Arc<AtomicU64>,
    step: Duration,
}

impl Watchdog {
    /// Starts watching.
    pub fn start(step: Duration) -> Self {
        let watchdog = Self { began: Instant::now(), deadline_ms: Arc::default(), step };
        let watching = watchdog.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(250));
                let deadline_ms = watching.deadline_ms.load(Ordering::Relaxed);
                if deadline_ms != 0 && watching.now_ms() > deadline_ms {
                    tracing::error!(seconds = watching.step.as_secs(), "a step takes too long; giving up");
                    std::process::abort();
                }
            }
        });
        watchdog
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn watch<T>(&self, step: impl FnOnce() -> T) -> T {
        let allowed = u64::try_from(self.step.as_millis()).unwrap_or(u64::MAX);
        self.deadline_ms.store(self.now_ms().saturating_add(allowed).max(1), Ordering::Relaxed);
        let done = step();
        self.deadline_ms.store(0, Ordering::Relaxed);
        done
    }
}

/// The worker and all it holds.
#[derive(Debug)]
pub struct Worker {
    log: LogReader,
    store: Store,
    aside: Aside,
    watchdog: Watchdog,
}

impl Worker {
    /// Opens the log, the views and the list of what was set aside. Views that are not this log's,
    /// damaged or of another version are removed: they are built anew.
    pub fn open(dir: &DataDir, version: &str, step: Duration) -> Result<Self, WorkerError> {
        let log = LogReader::open(&dir.log_db())?;
        let aside = Aside::open(&dir.aside_db(), version)?;
        let mut store = open_views(&dir.views_db())?;
        if !is_of_this_log(&store, &log)? {
            tracing::warn!("the views are of another log, and are built anew");
            drop(store);
            remove_database(&dir.views_db())?;
            store = open_views(&dir.views_db())?;
        }
        let restricted = DataDir::restrict_database(&dir.views_db());
        restricted.map_err(|error| WorkerError::Io("keeping the views private", error))?;
        Ok(Self { log, store, aside, watchdog: Watchdog::start(step) })
    }

    /// Takes in the log as it grows, until `news` ends. One line for each step goes to `reports`.
    pub fn run(&mut self, news: &Receiver<()>, reports: &mut impl Write) -> Result<(), WorkerError> {
        self.try_again(reports)?;
        loop {
            while self.catch_up(reports)? {
                if is_over(news) {
                    return Ok(());
                }
            }
            match news.recv_timeout(POLL) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Takes one step in every space that has news. Returns whether there was any.
    pub fn catch_up(&mut self, reports: &mut impl Write) -> Result<bool, WorkerError> {
        let mut progressed = false;
        for (space, head) in self.log.spaces()? {
            self.store.join_space(space)?;
            progressed |= self.step(space, head, reports)?;
        }
        Ok(progressed)
    }

    fn step(&mut self, space: SpaceId, head: u64, reports: &mut impl Write) -> Result<bool, WorkerError> {
        let after = self.store.cursor(space)?.map_or(0, |cursor| cursor.offset);
        if after >= head {
            return Ok(false);
        }
        let page = self.log.read_after(space, after, STEP_LEN_MAX, None)?;
        let mut logged = page.batches;
        let ends = |logged: &[LoggedBatch]| {
            let ends = logged.first().zip(logged.last());
            ends.map(|(first, last)| (first.offset, last.offset, last.digest))
        };
        let Some((first, ..)) = ends(&logged) else {
            // What is left of the log does not stand, or the disk has spoiled it.
            let Some((offset, digest)) = page.reached else { return Ok(false) };
            self.store.ingest(space, &[], Some(Cursor { log: self.log.id(), offset, digest }))?;
            return Ok(true);
        };
        match self.aside.next_caution(space, after)? {
            Some(near) if near <= first => logged.truncate(1),
            Some(near) => logged.retain(|logged| logged.offset < near),
            None => {}
        }
        let Some((first, last, digest)) = ends(&logged) else { return Ok(false) };
        let mut batches: Vec<(u64, SealedBatch)> =
            logged.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
        let cursor = Cursor { log: self.log.id(), offset: last, digest };
        if self.aside.caution(space, first)? == Caution::SetAside {
            tracing::error!(%space, offset = first, "a batch is set aside: the worker died of it more than once");
            self.aside.set_aside(space, first)?;
            batches.clear();
        }
        let changed = match self.take_in(space, first, &batches, Some(cursor)) {
            Err(WorkerError::Ingest(IngestError::Stopped { stopped, report: before, source })) => {
                // The relay checked every chain before it appended, so this is a fault of ours; no
                // other batch shall suffer from it.
                tracing::error!(%space, offset = stopped.offset, reason = %source, "a batch is set aside");
                self.aside.set_aside(space, stopped.offset)?;
                let offset = stopped.offset;
                let digest = self.log.digest_at(space, offset)?;
                let digest = digest.ok_or(LogError::Contradiction { offset })?;
                let cursor = Cursor { log: self.log.id(), offset, digest };
                self.store.ingest(space, &[], Some(cursor))?;
                let changed = changed_items(&before, &batches);
                report(reports, &Report { space: space.to_string(), offset: stopped.offset, changed })?;
                return Ok(true);
            }
            other => other?,
        };
        report(reports, &Report { space: space.to_string(), offset: last, changed })?;
        Ok(true)
    }

    /// Tries what an earlier version set aside.
    fn try_again(&mut self, reports: &mut impl Write) -> Result<(), WorkerError> {
        for (space, offset) in self.aside.to_try_again()? {
            let Some(cursor) = self.store.cursor(space)?.filter(|cursor| cursor.offset >= offset) else {
                // The views were built anew, so it comes by itself.
                self.aside.taken_in(space, offset)?;
                continue;
            };
            if self.aside.caution(space, offset)? == Caution::SetAside {
                self.aside.set_aside(space, offset)?;
                continue;
            }
            let page = self.log.read_after(space, offset - 1, 1, None)?;
            let batches: Vec<_> =
                page.batches.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
            let changed = match self.take_in(space, offset, &batches, None) {
                Err(WorkerError::Ingest(IngestError::Stopped { .. })) => {
                    self.aside.set_aside(space, offset)?;
                    continue;
                }
                other => other?,
            };
            self.aside.taken_in(space, offset)?;
            report(reports, &Report { space: space.to_string(), offset: cursor.offset, changed })?;
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        space: SpaceId,
        first: u64,
        batches: &[(u64, SealedBatch)],
        cursor: Option<Cursor>,
    ) -> Result<Vec<ChangedItem>, WorkerError> {
        let last = batches.last().map_or(first, |(last, _)| *last);
        self.aside.begin(Attempt { space, first, last })?;
        let ingested = self.watchdog.watch(|| {
            let report = self.store.ingest(space, batches, cursor)?;
            Ok::<_, IngestError>(changed_items(&report, batches))
        });
        if matches!(&ingested, Err(error) if is_out_of_memory(error)) {
            // As good as dead of it: the supervisor counts this like any other death.
            std::process::abort();
        }
        self.aside.end()?;
        Ok(ingested?)
    }
}

/// What an ingest changed, each item once.
fn changed_items(report: &IngestReport, batches: &[(u64, SealedBatch)]) -> Vec<ChangedItem> {
    let records = report.changed.iter();
    let mut changed: BTreeSet<ChangedItem> = records
        .map(|changed| ChangedItem { kind: changed.kind.clone(), id: changed.id.to_string() })
        .collect();
    for (_, batch) in batches {
        add_statements(batch, &mut changed);
    }
    changed.into_iter().collect()
}

/// What a control batch says something about.
fn add_statements(batch: &SealedBatch, changed: &mut BTreeSet<ChangedItem>) {
    if batch.header().kind != BatchKind::Control {
        return;
    }
    let Ok(body) = batch.open() else { return };
    for entry in body.entries {
        let BodyEntry::Present { entry: Entry::Control(statement), .. } = entry else { continue };
        let (kind, id) = match Statement::from_bytes(&statement) {
            Ok(Statement::Device(device)) => ("device", device.device.to_string()),
            Ok(Statement::Revoke(revoke)) => ("device", revoke.device.to_string()),
            Ok(Statement::Organisation(organisation)) => ("organisation", organisation.id.to_string()),
            Ok(Statement::Space(space)) => ("space", space.id.to_string()),
            _ => continue,
        };
        changed.insert(ChangedItem { kind: kind.to_owned(), id });
    }
}

fn report(reports: &mut impl Write, report: &Report) -> Result<(), WorkerError> {
    let mut line = serde_json::to_vec(report).expect("names and ids have a JSON form");
    line.push(b'\n');
    let written = reports.write_all(&line).and_then(|()| reports.flush());
    written.map_err(WorkerError::Report)
}

/// Whether the input has ended; what it said until then is news that is being looked at anyway.
fn is_over(news: &Receiver<()>) -> bool {
    loop {
        match news.try_recv() {
            Ok(()) => {}
            Err(std::sync::mpsc::TryRecvError::Empty) => return false,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return true,
        }
    }
}

fn open_views(path: &Path) -> Result<Store, WorkerError> {
    let open = || Store::open(StoreConfig::replica(path));
    match open() {
        Ok(store) => Ok(store),
        Err(error @ (OpenError::TooNew { .. } | OpenError::NotAStore | OpenError::OtherDevice { .. })) => {
            tracing::warn!(%error, "the views are built anew");
            remove_database(path)?;
            open().map_err(WorkerError::Open)
        }
        Err(error @ OpenError::Damaged { .. }) => {
            tracing::warn!(%error, "the views are built anew");
            if let OpenError::Damaged { kept_as } = &error {
                // Nothing in it exists nowhere else.
                remove_database(kept_as)?;
            }
            open().map_err(WorkerError::Open)
        }
        Err(error) => Err(WorkerError::Open(error)),
    }
}

/// Whether everything in the views is in this log too.
fn is_of_this_log(store: &Store, log: &LogReader) -> Result<bool, WorkerError> {
    for position in store.positions()? {
        let Some(cursor) = position.cursor else { continue };
        let held = log.digest_at(position.space, cursor.offset)?;
        if cursor.log != log.id() || held != Some(cursor.digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a database and what SQLite keeps beside it.
fn remove_database(path: &Path) -> Result<(), WorkerError> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WorkerError::Io("removing the views", error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_out_of_memory(error: &IngestError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            return error.sqlite_error_code() == Some(rusqlite::ErrorCode::OutOfMemory);
        }
        next = error.source();
    }
    false
}
