//! The store: what one device, or one replica, holds in SQLite.
//!
//! Ground state are the batches exactly as sealed, and what was recorded here and not sealed yet;
//! every row beside them is derived, and equal on all replicas that hold the same batches, in
//! whatever order they came. A record of one change is folded straight from it; a document is opened
//! only where there is something to merge, once in a transaction, and a query never touches it.
//!
//! There is one connection that writes, behind a lock, and as many that read as threads do.
//! Nothing here knows of links, frames or relays: what is on its way is the engine's business.

mod ancestry;
mod attachment;
mod branch;
mod budget;
mod chain;
mod cipher;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod convergence;
mod digest;
mod erase;
mod error;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod fixture;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod golden;
mod held;
mod history;
mod incarnation;
mod ingest;
mod key;
mod lock;
mod merge;
mod observe;
mod open;
mod orphan;
mod outgoing;
mod peer;
mod poison;
mod progress;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod properties;
mod quarantine;
mod query;
mod rebuild;
mod recover;
mod row;
mod schema;
mod search;
mod space;
mod track;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod trouble;
mod witness;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::checkpoint::Checkpoints;
use crate::clock::Timestamp;
use crate::control::Membership;
use crate::id::{DeviceId, Incarnation, RecordId, SpaceId};
use crate::identity::Identity;
use crate::model::{Kind, Kinds};

pub use attachment::{AttachError, Attachment, AttachmentState, ChangePlace, Mentioning, UnsentAttachments};
pub use error::StoreError;
pub use history::{ConflictingValue, Delivery, FieldConflict, HistoryEntry};
pub use ingest::{
    CarriedOutcome, CarriedReport, EntryRefusal, IngestError, IngestReport, Stopped, StoppedBy,
};
pub use key::{DatabaseKey, KeyError};
pub use observe::{Changed, News, Subscription, TRACK, Watch};
pub use open::{Entropy, OpenError, StoreConfig, damaged_beside};
pub use quarantine::Quarantined;
pub use query::{Page, PageToken, PageTokenError, Query};
pub use recover::{RecoverError, RecoverReport, is_brought_back};
pub use row::Record;
pub use schema::STEPS as SCHEMA_STEPS;
pub use search::{arabic_fold, light_stem};
pub use space::Counts;
pub use track::{LatestPosition, StoredTrack};
pub use witness::Witnessed;
pub use write::{WriteError, WriteGroup};

use attachment::Attachments;
use chain::ActorCache;
use lock::Lock;
use merge::{BodyCache, OpenRecords, RecordName};
use observe::Observers;
use schema::Durability;

/// What a device, or a replica, holds. Cloning gives another handle of the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// Connections that read, when nobody does. A store in memory reads with its one connection.
    /// They are closed before the writer, which as the last one folds the write-ahead log in.
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Writer>,
    /// Who belongs to each space, as of the last commit.
    memberships: RwLock<BTreeMap<SpaceId, Arc<Membership>>>,
    bodies: Mutex<BodyCache>,
    /// The last revision given to a row. Each commit has its own, so what was counted at one is right
    /// until there is another.
    revision: AtomicI64,
    unsent: Mutex<Option<space::CountedUnsent>>,
    observers: Observers,
    attachments: Attachments,
    config: StoreConfig,
    /// What this file is called in the chains it writes.
    incarnation: RwLock<Incarnation>,
    /// Opened beside a process that writes.
    is_read_only: bool,
    _lock: Option<Lock>,
}

/// What the one writer holds.
struct Writer {
    connection: Connection,
    checkpoints: Checkpoints,
    actors: ActorCache,
}

/// Handles are used from any thread.
const _: () = {
    const fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<Store>()
};

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("incarnation", &self.inner.incarnation()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store, or makes it if there is no file.
    ///
    /// While a damaged file is being brought back into it, and after that was cut off, it is still
    /// the damaged file that is to be opened: [`OpenError::Damaged`] names it until
    /// [`recover`](Self::recover) has come to its end.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        let store = Self::open_even_unfinished(config)?;
        match recover::unfinished(&store) {
            Ok(None) => Ok(store),
            Ok(Some(kept_as)) => Err(OpenError::Damaged { kept_as }),
            Err(source) => Err(OpenError::Unreadable { source: Box::new(source) }),
        }
    }

    fn open_even_unfinished(config: StoreConfig) -> Result<Self, OpenError> {
        let durability = if config.identity.is_some() { Durability::Full } else { Durability::Relaxed };
        let (mut connection, lock) = match &config.path {
            Some(path) => {
                let (connection, lock) = open::open_file(path, durability, config.key.as_ref())?;
                (connection, Some(lock))
            }
            None => (open::open_memory()?, None),
        };
        let begun = begin(&mut connection, &config)?;
        let unreadable = |source| OpenError::Unreadable { source: Box::new(source) };
        poison::read_note(&mut connection, &config).map_err(unreadable)?;
        let store = Self::new(connection, config, begun, lock);
        store.read_unread().and_then(|()| store.try_set_aside()).map_err(unreadable)?;
        store.inner.begin_attachments();
        Ok(store)
    }

    /// Opens a store that another process writes, to read only. It takes no lock, and must be of
    /// this program's schema.
    pub fn open_read_only(config: StoreConfig) -> Result<Self, OpenError> {
        let path = config.path.as_deref().ok_or(OpenError::Missing)?;
        let connection = open::open_beside(path, config.key.as_ref())?;
        let incarnation =
            meta(&connection, "incarnation").map_err(|source| OpenError::Database { source })?;
        let incarnation = incarnation.and_then(|bytes| Incarnation::from_slice(&bytes));
        let begun = Begun {
            incarnation: incarnation.ok_or(OpenError::Missing)?,
            revision: 0,
            memberships: BTreeMap::new(),
        };
        Ok(Self::new(connection, config, begun, None))
    }

    fn new(connection: Connection, config: StoreConfig, begun: Begun, lock: Option<Lock>) -> Self {
        let is_read_only = config.path.is_some() && lock.is_none();
        let checkpoints = Checkpoints::new(&connection, schema::BUSY);
        let writer = Writer { connection, checkpoints, actors: ActorCache::default() };
        Self {
            inner: Arc::new(Inner {
                writer: Mutex::new(writer),
                readers: Mutex::default(),
                memberships: RwLock::new(begun.memberships),
                bodies: Mutex::default(),
                revision: AtomicI64::new(begun.revision),
                unsent: Mutex::default(),
                observers: Observers::default(),
                attachments: Attachments::default(),
                config,
                incarnation: RwLock::new(begun.incarnation),
                is_read_only,
                _lock: lock,
            }),
        }
    }

    /// What this database file is called in the chains it writes.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation()
    }

    /// Who records here; nobody in a replica.
    pub fn device(&self) -> Option<DeviceId> {
        self.inner.config.identity.as_ref().map(|identity| identity.device())
    }

    /// Where the database is; nowhere if it is in memory.
    pub fn path(&self) -> Option<&PathBuf> {
        self.inner.config.path.as_ref()
    }

    /// Reports every committed change from now on, until the subscription is dropped: what changed, or
    /// to a slow reader that everything may have.
    pub fn subscribe(&self) -> Subscription {
        self.inner.observers.subscribe()
    }

    /// Calls back with every committed change from now on, on the thread that committed it, until the
    /// registration is dropped.
    pub fn subscribe_with(&self, call: impl Fn(&[Changed]) + Send + Sync + 'static) -> Watch {
        self.inner.observers.watch(Arc::new(call))
    }

    /// A fresh id for a record of this store.
    pub fn new_record_id(&self) -> RecordId {
        RecordId::new(self.inner.now(), self.inner.random())
    }

    /// What was saved under a name, if anything was.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read(|connection| Ok(meta(connection, &setting_key(name))?))
    }

    /// Saves something about this device that is no record and never leaves it.
    pub fn save_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.inner.transaction(|writing| Ok(set_meta(writing.transaction, &setting_key(name), value)?))
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.config.entropy)(&mut bytes);
        bytes
    }

    fn identity(&self) -> Option<&Identity> {
        self.config.identity.as_deref()
    }

    fn incarnation(&self) -> Incarnation {
        *self.incarnation.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn kinds(&self) -> &Kinds {
        &self.config.kinds
    }

    /// The kind's schema, or one that knows nothing but the name.
    fn kind(&self, name: &str) -> std::borrow::Cow<'_, Kind> {
        self.kinds().find_or_undeclared(name)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic between two statements left a transaction that was rolled back when it was
        // dropped: the database is as before.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn membership(&self, space: SpaceId) -> Arc<Membership> {
        let held = self.memberships.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&space).cloned().unwrap_or_else(|| Arc::new(Membership::new(space)))
    }

    fn set_membership(&self, space: SpaceId, membership: Arc<Membership>) {
        self.memberships.write().unwrap_or_else(PoisonError::into_inner).insert(space, membership);
    }

    /// Runs one read on a consistent state of the database.
    fn read<T, E: From<StoreError>>(&self, read: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let Some(path) = &self.config.path else {
            return read(&self.writer().connection);
        };
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::open_reader(path, self.config.key.as_ref()).map_err(StoreError::from)?,
        };
        let read = {
            let snapshot = connection.transaction().map_err(StoreError::from)?;
            read(&snapshot)
        };
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        read
    }

    /// Runs one transaction of the writer and commits it if the closure succeeds.
    fn transaction<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_read_only {
            return Err(StoreError::ReadOnly.into());
        }
        let mut guard = self.writer();
        let Writer { connection, checkpoints, actors } = &mut *guard;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let revision = self.revision.load(Ordering::Acquire) + 1;
        let mut writing = Writing {
            transaction: &transaction,
            inner: self,
            actors,
            revision,
            changed: Vec::new(),
            open: OpenRecords::new(),
            rebuild: BTreeSet::new(),
            mentioning: Vec::new(),
            has_unsettled: None,
            membership: None,
            has_erased: false,
            incarnation: None,
            has_orphans: None,
        };
        let outcome = change(&mut writing).and_then(|value| {
            writing.flush()?;
            writing.note_no_attachments()?;
            Ok(value)
        });
        let Writing { mut changed, mentioning, membership, incarnation, has_erased, .. } = writing;
        match outcome.and_then(|value| {
            transaction.commit().map_err(StoreError::from)?;
            Ok(value)
        }) {
            Ok(value) => {
                self.revision.store(revision, Ordering::Release);
                if has_erased {
                    erase::empty_log(connection);
                }
                checkpoints.after_commit(connection);
                if let Some((space, membership)) = membership {
                    self.set_membership(space, membership);
                }
                if let Some(incarnation) = incarnation {
                    *self.incarnation.write().unwrap_or_else(PoisonError::into_inner) = incarnation;
                }
                changed.sort_unstable();
                changed.dedup();
                self.note_attachments(connection, &changed, &mentioning, revision);
                drop(guard);
                self.observers.announce(changed);
                Ok(value)
            }
            Err(error) => {
                // They may name rows that were rolled back, and whose numbers will be given again.
                *actors = ActorCache::default();
                self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clear();
                // Of a disk that failed SQLite tells once more when the next transaction begins, though
                // nothing is wrong any more: a person's record must not be what hears of it.
                let _told_here = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
                Err(error)
            }
        }
    }
}

/// One transaction of the writer, with what it needs besides the database.
struct Writing<'a> {
    transaction: &'a Transaction<'a>,
    inner: &'a Inner,
    actors: &'a mut ActorCache,
    /// What the rows that change in this transaction get as their revision.
    revision: i64,
    changed: Vec<Changed>,
    open: OpenRecords,
    /// Records that are to be built again.
    rebuild: BTreeSet<RecordName>,
    /// The rows of records that mention attachments now.
    mentioning: Vec<i64>,
    /// Whether any change that counts is not part of its record, once that was looked up.
    has_unsettled: Option<bool>,
    /// Who belongs to a space now, if this transaction changes that.
    membership: Option<(SpaceId, Arc<Membership>)>,
    /// What the file is called from the commit on, if this transaction renames it.
    incarnation: Option<Incarnation>,
    /// Whether there are orphans, once that was looked up.
    has_orphans: Option<bool>,
    /// Something was erased: nothing of it may stay in the file.
    has_erased: bool,
}

impl Writing<'_> {
    /// Who belongs to a space, as of this transaction.
    fn membership_of(&self, space: SpaceId) -> Arc<Membership> {
        match &self.membership {
            Some((changed, membership)) if *changed == space => Arc::clone(membership),
            _ => self.inner.membership(space),
        }
    }
}

/// What an opened store begins with.
struct Begun {
    incarnation: Incarnation,
    revision: i64,
    memberships: BTreeMap<SpaceId, Arc<Membership>>,
}

/// Reads, or makes, what names this file, and reads the control records it holds.
fn begin(connection: &mut Connection, config: &StoreConfig) -> Result<Begun, OpenError> {
    let database = |source| OpenError::Database { source };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    let device = meta(&transaction, "device").map_err(database)?.and_then(|b| DeviceId::from_slice(&b));
    match (device, &config.identity) {
        (Some(device), Some(identity)) if device != identity.device() => {
            return Err(OpenError::OtherDevice { device });
        }
        (None, Some(identity)) => {
            set_meta(&transaction, "device", identity.device().as_bytes()).map_err(database)?;
        }
        _ => {}
    }
    let incarnation = incarnation::name(&transaction, config)?;
    // Pending rows count too: a write of tracks alone changes no record, and the next write must not
    // take its number, or the two would be sealed as one.
    let sql = "SELECT max(coalesce((SELECT max(revision) FROM record), 0),
        coalesce((SELECT max(write_group) FROM pending), 0))";
    let revision = transaction.query_row(sql, [], |row| row.get(0)).map_err(database)?;
    transaction.commit().map_err(database)?;
    incarnation::renew_token(connection, config);
    let memberships = space::read_memberships(connection)
        .map_err(|source| OpenError::Unreadable { source: Box::new(source) })?;
    Ok(Begun { incarnation, revision, memberships })
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Settings share a table with what names the file, and never a name.
const SETTING_PREFIX: &str = "setting/";

fn setting_key(name: &str) -> String {
    format!("{SETTING_PREFIX}{name}")
}

fn set_meta(transaction: &Transaction<'_>, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    transaction.execute(sql, (key, value)).map(drop)
}
