//! The views: what the API reads. Queries only; they never write.
//!
//! The rows are a core replica's, kept by the materialiser in another process; here they are read
//! through the same store, opened read-only. Beside them are read the log (when a batch was logged)
//! and what devices said of themselves. Removing `views.db` loses nothing.

pub mod attachments;
pub mod devices;
pub mod events;
mod history;
mod mentions;
mod names;
pub mod page;
pub mod patrols;
pub mod positions;
pub mod shape;
pub mod spaces;
pub mod stats;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barid_core::clock::Timestamp;
use barid_core::id::RecordId;
use barid_core::store::{ChangePlace, Mentioning, OpenError, Record, Store, StoreConfig, StoreError};

use crate::data_dir::DataDir;
use crate::log::LogError;
use crate::log::reader::LogReader;
use crate::materialiser::aside::{Aside, AsideError};
use mentions::Mentions;
use names::Names;

/// The views cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// They do not exist yet.
    #[error("the views do not exist yet")]
    NotReady,
    /// The file cannot be opened.
    #[error("opening the views")]
    Open(#[source] OpenError),
    /// A query failed.
    #[error("reading the views")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("reading the log beside the views")]
    Log(#[from] LogError),
    /// What devices said of themselves cannot be read.
    #[error("reading what devices reported")]
    Reports(#[from] rusqlite::Error),
    /// The list of what was set aside cannot be read.
    #[error("reading what was set aside")]
    Aside(#[from] AsideError),
}

/// The views of one relay; clones share what is open.
#[derive(Debug, Clone)]
pub struct Views {
    dir: DataDir,
    open: Arc<Mutex<Option<Open>>>,
    /// How many files were opened so far.
    generations: Arc<AtomicU64>,
}

/// What is kept open between two requests.
#[derive(Debug)]
struct Open {
    view: View,
    /// Which file it is: another one takes its place when the views are built anew.
    file: FileId,
    /// Which control records the names are from.
    control: u64,
}

/// The views as one request sees them. Clones share what is open.
#[derive(Debug, Clone)]
pub struct View {
    store: Store,
    log: Arc<LogReader>,
    names: Arc<Names>,
    mentions: Arc<Mutex<Mentions>>,
    dir: DataDir,
    generation: u64,
}

impl Views {
    /// Names the views of a data directory; nothing is opened before somebody looks.
    pub fn new(dir: DataDir) -> Self {
        Self { dir, open: Arc::default(), generations: Arc::default() }
    }

    /// Looks at the views as they are now. Blocks.
    pub fn look(&self) -> Result<View, ViewError> {
        let path = self.dir.views_db();
        let file = FileId::of(&path).ok_or(ViewError::NotReady)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|open| open.file != file) {
            *open = Some(self.open(&path, file)?);
        }
        let open = open.as_mut().ok_or(ViewError::NotReady)?;
        let control = open.view.store.control_version()?;
        if open.control != control {
            open.view.names = Arc::new(read_names(&open.view.store)?);
            open.control = control;
        }
        Ok(open.view.clone())
    }

    fn open(&self, path: &Path, file: FileId) -> Result<Open, ViewError> {
        let store = Store::open_read_only(StoreConfig::replica(path)).map_err(|error| match error {
            // The worker has not made the tables yet, or is about to make them anew.
            OpenError::Missing | OpenError::NotAStore | OpenError::TooNew { .. } => ViewError::NotReady,
            error => ViewError::Open(error),
        })?;
        let control = store.control_version()?;
        let view = View {
            names: Arc::new(read_names(&store)?),
            store,
            log: Arc::new(LogReader::open(&self.dir.log_db())?),
            mentions: Arc::default(),
            dir: self.dir.clone(),
            generation: self.generations.fetch_add(1, Ordering::Relaxed),
        };
        Ok(Open { view, file, control })
    }
}

fn read_names(store: &Store) -> Result<Names, StoreError> {
    let spaces = store.spaces()?;
    let memberships = spaces.into_iter().map(|space| Ok((space, store.membership(space)?)));
    Ok(Names::collect(&memberships.collect::<Result<Vec<_>, StoreError>>()?))
}

impl View {
    /// Says which file these views are: another when they were built anew.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Grows with every change of any record.
    pub(crate) fn revision(&self) -> Result<u64, ViewError> {
        Ok(self.store.revision()?)
    }

    /// Looks at so many records that changed after a place: which attachments they name now. The end is
    /// where no further place is given.
    pub(crate) fn mentions_since(
        &self,
        after: ChangePlace,
        mentioned_before: &HashSet<RecordId>,
        rows_max: usize,
    ) -> Result<(Vec<Mentioning>, Option<ChangePlace>), ViewError> {
        Ok(self.store.mentions_since(after, mentioned_before, rows_max)?)
    }

    /// When this relay logged the last change of a record.
    fn received_at(&self, record: &Record) -> Result<Option<Timestamp>, ViewError> {
        match self.store.last_logged(record.space, &record.kind, record.id)? {
            Some(offset) => Ok(self.log.received_at(record.space, offset)?),
            None => Ok(None),
        }
    }

    /// How many events and alerts name a patrol.
    fn mentions(&self) -> Result<MutexGuard<'_, Mentions>, ViewError> {
        let mut mentions = self.mentions.lock().unwrap_or_else(PoisonError::into_inner);
        mentions.refresh(&self.store)?;
        Ok(mentions)
    }

    /// How many batches are set aside.
    fn set_aside(&self) -> Result<u64, ViewError> {
        Ok(Aside::count(&self.dir.aside_db())?)
    }
}

/// Which file stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        (metadata.len() > 0).then(|| Self(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        // An open file cannot be removed there, so no other can take its place.
        (metadata.len() > 0).then_some(Self(0, 0))
    }
}
