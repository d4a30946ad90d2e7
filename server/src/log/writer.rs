//! Writing the log: one connection, one transaction at a time.
//!
//! More than one process may write (the relay, and `barid enrol` beside it), so nothing is believed
//! from memory without looking: heads are read inside the transaction, and the membership of a
//! space is brought up to its head there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barid_core::batch::SealedBatch;
use barid_core::checkpoint::Checkpoints;
use barid_core::clock::Clock;
use barid_core::id::{Incarnation, LogDigest, LogId, SpaceId};
use barid_core::migration::migrate;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

pub use super::append::{Append, OwnStatements};
use super::quarantine::{self, QuarantineLimits};
use super::reader::{meta, to_sql};
use super::{LogError, LogState, SpaceState, verify};
use crate::data_dir::DataDir;

/// How long a transaction waits for that of another process.
const BUSY: Duration = Duration::from_secs(10);

/// What leads from an empty file to the log's newest schema, step by step.
pub const SCHEMA_STEPS: &[&str] = &[include_str!("../../migrations/log_0001_first.sql")];

/// The one connection of a process that appends.
pub struct LogWriter {
    connection: Connection,
    checkpoints: Checkpoints,
    clock: Clock,
    id: LogId,
    incarnation: Incarnation,
    limits: QuarantineLimits,
    /// What was erased is still in the write-ahead log: a reader kept it from being emptied.
    has_traces: bool,
    known: Known,
    /// Whether every space is in `known`, so that a state may be given out.
    is_complete: bool,
    joint_space: Option<SpaceId>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What was last seen of each space: an accelerator, brought up to date in every transaction.
pub(super) type Known = BTreeMap<SpaceId, KnownSpace>;

#[derive(Debug, Clone)]
pub(super) struct KnownSpace {
    pub(super) number: i64,
    pub(super) digest: LogDigest,
    pub(super) state: SpaceState,
}

impl LogWriter {
    /// Makes a log with a new identity; there must be none at the path.
    pub fn create(path: &Path, clock: Clock) -> Result<Self, LogError> {
        let connection = connect(path)?;
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('log', ?1), ('incarnation', ?2)",
            params![crate::secret::random::<16>(), crate::secret::random::<8>()],
        )?;
        Self::over(connection, clock)
    }

    /// Opens a log that was created.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, LogError> {
        if !path.exists() {
            return Err(LogError::NotCreated);
        }
        Self::over(connect(path)?, clock)
    }

    /// Makes a log of its own of a copy of another: with a new id, so that devices compare what they
    /// hold with what is here, and with a new incarnation, so that no number in a chain of control
    /// batches is ever used for two.
    pub fn renew(path: &Path, clock: Clock) -> Result<Self, LogError> {
        if !path.exists() {
            return Err(LogError::NotCreated);
        }
        let connection = connect(path)?;
        connection.execute(
            "UPDATE meta SET value = CASE key WHEN 'log' THEN ?1 ELSE ?2 END
             WHERE key IN ('log', 'incarnation')",
            params![crate::secret::random::<16>(), crate::secret::random::<8>()],
        )?;
        // What it was copied from has all of it.
        connection.execute("UPDATE space SET watermark = head", [])?;
        Self::over(connection, clock)
    }

    fn over(connection: Connection, clock: Clock) -> Result<Self, LogError> {
        let id = meta(&connection, "log")?.map(LogId::from_bytes).ok_or(LogError::NotCreated)?;
        let incarnation =
            meta(&connection, "incarnation")?.map(Incarnation::from_bytes).ok_or(LogError::NotCreated)?;
        let mut writer = Self {
            checkpoints: Checkpoints::new(&connection, BUSY),
            connection,
            clock,
            id,
            incarnation,
            limits: QuarantineLimits::default(),
            has_traces: false,
            known: Known::new(),
            is_complete: false,
            joint_space: None,
        };
        writer.refresh()?;
        Ok(writer)
    }

    /// Lets a device have so much in quarantine, and no more.
    pub fn with_quarantine_limits(self, limits: QuarantineLimits) -> Self {
        Self { limits, ..self }
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// What is known of every space.
    pub fn state(&self) -> LogState {
        LogState {
            spaces: self.known.iter().map(|(id, known)| (*id, known.state.clone())).collect(),
            joint_space: self.joint_space,
        }
    }

    /// Looks at what other processes appended.
    pub fn refresh(&mut self) -> Result<(), LogError> {
        self.leave_no_traces()?;
        let snapshot = self.connection.transaction()?;
        self.joint_space = meta(&snapshot, "joint_space")?.map(SpaceId::from_bytes);
        learn_all(&snapshot, &mut self.known)?;
        self.is_complete = true;
        Ok(())
    }

    /// Changes whenever another connection has committed.
    pub fn data_version(&self) -> Result<i64, LogError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Does some work in one transaction, durable when this returns.
    pub fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Append<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let result = self.try_transact(work);
        if result.is_err() {
            // What was learnt in a transaction that did not happen is forgotten.
            self.known.clear();
            self.is_complete = false;
            // If this fails too, the next transaction learns it.
            let _ = self.refresh();
        }
        result
    }

    fn try_transact<T>(
        &mut self,
        work: impl FnOnce(&mut Append<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        // Immediate: the lock is taken before anything is read, so what is read stays true.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !self.is_complete {
            learn_all(&transaction, &mut self.known)?;
        }
        let now = (self.clock)().as_millis();
        let mut append = Append::new(&transaction, &mut self.known, now, self.incarnation, self.limits);
        let result = work(&mut append)?;
        let has_erased = append.has_erased();
        self.joint_space = meta(&transaction, "joint_space")?.map(SpaceId::from_bytes);
        transaction.commit()?;
        self.checkpoints.after_commit(&self.connection);
        self.is_complete = true;
        self.has_traces |= has_erased;
        if let Err(error) = self.leave_no_traces() {
            // It is committed, and tried again whenever the log is looked at.
            tracing::warn!(%error, "what was erased is not yet out of the log's file");
        }
        Ok(result)
    }

    /// Whether what was erased is still in the write-ahead log; [`Self::refresh`] tries again.
    pub fn has_traces(&self) -> bool {
        self.has_traces
    }

    /// Empties the write-ahead log, which still holds what the file itself has erased.
    /// Waits for nobody: while somebody reads an older state it cannot be done, and is tried again.
    pub(super) fn leave_no_traces(&mut self) -> Result<(), LogError> {
        if self.has_traces {
            self.connection.busy_timeout(Duration::ZERO)?;
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            self.connection.busy_timeout(BUSY)?;
            self.has_traces = emptied?;
        }
        Ok(())
    }
}

pub(super) fn learn_all(connection: &Connection, known: &mut Known) -> Result<(), LogError> {
    let mut statement = connection.prepare_cached("SELECT id FROM space")?;
    let ids: Vec<[u8; 32]> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        up_to_date(connection, known, SpaceId::from_bytes(id))?;
    }
    Ok(())
}

/// Brings what is known of a space up to its head in this transaction.
pub(super) fn up_to_date<'a>(
    connection: &Connection,
    known: &'a mut Known,
    space: SpaceId,
) -> Result<Option<&'a mut KnownSpace>, LogError> {
    let row = connection
        .prepare_cached("SELECT number, head, len, digest, watermark FROM space WHERE id = ?1")?
        .query_row([space.as_bytes()], |row| {
            let number_at = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
            let digest = LogDigest::from_bytes(row.get(3)?);
            Ok((row.get(0)?, number_at(1)?, number_at(2)?, digest, number_at(4)?))
        })
        .optional()?;
    let Some((number, head, len, digest, watermark)) = row else { return Ok(None) };
    let known = known.entry(space).or_insert_with(|| KnownSpace {
        number,
        digest: LogDigest::EMPTY,
        state: SpaceState::new(space),
    });
    known.state.watermark = watermark;
    if known.state.head < head {
        let mut statement = connection.prepare_cached(
            "SELECT batch_offset, bytes FROM batch WHERE space = ?1 AND kind = 2 AND batch_offset > ?2
                 AND bytes IS NOT NULL
             ORDER BY batch_offset",
        )?;
        let mut rows = statement.query(params![number, to_sql(known.state.head)])?;
        while let Some(row) = rows.next()? {
            let offset = row.get::<_, i64>(0)?.unsigned_abs();
            // It was verified before it was appended; whether it still is shows in its own hashes.
            let batch = SealedBatch::parse(row.get::<_, Vec<u8>>(1)?).and_then(verify);
            let batch = batch.map_err(|source| LogError::Damaged { offset, source })?;
            if let Some(body) = &batch.control {
                Arc::make_mut(&mut known.state.membership).apply_batch(batch.sealed(), body);
            }
        }
        known.state.displaced = Arc::new(quarantine::displaced(connection, number)?);
        (known.state.head, known.state.len, known.digest) = (head, len, digest);
    }
    Ok(Some(known))
}

fn connect(path: &Path) -> Result<Connection, LogError> {
    DataDir::touch_private(path).map_err(LogError::File)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledgement promises that a power cut takes nothing back.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is erased is overwritten, not only forgotten.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, SCHEMA_STEPS)?;
    Ok(connection)
}
