//! Writing the log: the decisions on a batch and the rows, inside one transaction.
//!
//! More than one process may write (the relay, and `barid enrol` beside it), so nothing is believed
//! from memory without looking: heads are read inside the transaction, and the membership of a
//! space is brought up to its head there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barid_core::batch::{BatchKind, Lane, SealedBatch};
use barid_core::clock::{Clock, Timestamp};
use barid_core::control::{Membership, RefuseReason, RetryReason, Verdict, seal_control};
use barid_core::id::{BatchId, ChainId, Incarnation, LogDigest, LogId, SpaceId};
use barid_core::identity::Identity;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};

use super::reader::{meta, to_sql};
use super::{LogError, LogState, Outcome, SpaceState, VerifiedBatch, verify};
use crate::data_dir::DataDir;

/// The one connection of a process that appends.
pub struct LogWriter {
    connection: Connection,
    clock: Clock,
    id: LogId,
    incarnation: Incarnation,
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
type Known = BTreeMap<SpaceId, KnownSpace>;

#[derive(Debug, Clone)]
struct KnownSpace {
    number: i64,
    digest: LogDigest,
    state: SpaceState,
}

/// A statement to be signed and appended by this relay itself.
#[derive(Debug, Clone)]
pub struct OwnStatements {
    /// Where.
    pub space: SpaceId,
    /// Who signs.
    pub signer: Arc<Identity>,
    /// The statements, which stand or fall together.
    pub statements: Vec<Vec<u8>>,
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
        Self::over(connection, clock)
    }

    fn over(connection: Connection, clock: Clock) -> Result<Self, LogError> {
        let id = meta(&connection, "log")?.map(LogId::from_bytes).ok_or(LogError::NotCreated)?;
        let incarnation =
            meta(&connection, "incarnation")?.map(Incarnation::from_bytes).ok_or(LogError::NotCreated)?;
        let known = Known::new();
        let mut writer =
            Self { connection, clock, id, incarnation, known, is_complete: false, joint_space: None };
        writer.refresh()?;
        Ok(writer)
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
        let mut append = Append {
            transaction: &transaction,
            known: &mut self.known,
            now: (self.clock)().as_millis(),
            incarnation: self.incarnation,
        };
        let result = work(&mut append)?;
        self.joint_space = meta(&transaction, "joint_space")?.map(SpaceId::from_bytes);
        transaction.commit()?;
        self.is_complete = true;
        Ok(result)
    }
}

/// A transaction on the log, while it runs.
#[derive(Debug)]
pub struct Append<'a> {
    transaction: &'a Transaction<'a>,
    known: &'a mut Known,
    now: i64,
    incarnation: Incarnation,
}

impl Append<'_> {
    /// Begins a space, so that batches are taken for it. Its control batches come next.
    pub fn found(&mut self, space: SpaceId) -> Result<(), LogError> {
        self.transaction
            .prepare_cached("INSERT INTO space (id, head, len, digest) VALUES (?1, 0, 0, ?2)")?
            .execute([&space.as_bytes()[..], LogDigest::EMPTY.as_bytes()])?;
        Ok(())
    }

    /// Says which space the organisations share.
    pub fn set_joint_space(&mut self, space: SpaceId) -> Result<(), LogError> {
        self.transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('joint_space', ?1)
             ON CONFLICT DO UPDATE SET value = excluded.value",
            [space.as_bytes()],
        )?;
        Ok(())
    }

    /// What the space's control records say now, this transaction's own included.
    pub fn membership(&mut self, space: SpaceId) -> Result<Option<Arc<Membership>>, LogError> {
        let known = up_to_date(self.transaction, self.known, space)?;
        Ok(known.map(|known| Arc::clone(&known.state.membership)))
    }

    /// Judges a batch and appends it if it is good.
    pub fn batch(&mut self, batch: &VerifiedBatch) -> Result<Outcome, LogError> {
        let header = batch.header();
        let Some(known) = up_to_date(self.transaction, self.known, header.space)? else {
            return Ok(Outcome::RetryLater(RetryReason::UnknownSpace));
        };
        let chain = chain_row(self.transaction, header.chain())?;
        let height = chain.as_ref().map_or(0, |chain| chain.seq);
        if let Some(chain) = &chain
            && header.seq <= chain.seq
        {
            return held(self.transaction, chain.number, batch.sealed());
        }
        if header.kind == BatchKind::Entries {
            match known.state.membership.verdict(header, batch.sealed().id()) {
                Verdict::Accepted => {}
                Verdict::RetryLater(reason) => return Ok(Outcome::RetryLater(reason)),
                // There is no place for it yet, and what is not stored is not acknowledged.
                Verdict::Quarantined(_) => return Ok(Outcome::RetryLater(RetryReason::NotDurable)),
                Verdict::Refused(reason) => return Ok(Outcome::Refused(reason)),
            }
        }
        if header.seq > height + 1 {
            return Ok(Outcome::RetryLater(RetryReason::MissingPredecessor));
        }
        if header.prev != chain.as_ref().map_or(BatchId::from_bytes([0; 32]), |chain| chain.head) {
            return Ok(Outcome::Refused(RefuseReason::Fork));
        }
        // Last, because judging a control batch also applies it.
        if let Some(body) = &batch.control {
            match Arc::make_mut(&mut known.state.membership).apply_batch(batch.sealed(), body) {
                Verdict::Accepted => {}
                Verdict::RetryLater(reason) => return Ok(Outcome::RetryLater(reason)),
                // There is no place for it yet, and what is not stored is not acknowledged.
                Verdict::Quarantined(_) => return Ok(Outcome::RetryLater(RetryReason::NotDurable)),
                Verdict::Refused(reason) => return Ok(Outcome::Refused(reason)),
            }
        }
        let offset = insert(self.transaction, known, chain, batch, self.now)?;
        Ok(Outcome::Appended { offset })
    }

    /// Signs statements and appends them as the next batch of the signer's own chain.
    pub fn statements(&mut self, own: &OwnStatements) -> Result<BatchId, LogError> {
        let device = own.signer.device();
        let chain = ChainId::derive(device, self.incarnation, own.space, Lane::Urgent);
        let head = chain_row(self.transaction, chain)?;
        let nothing = BatchId::from_bytes([0; 32]);
        let control_head = self.membership(own.space)?.and_then(|membership| membership.control_head());
        let sealed = seal_control(
            &own.signer,
            self.incarnation,
            own.space,
            head.as_ref().map_or(1, |chain| chain.seq + 1),
            head.as_ref().map_or(nothing, |chain| chain.head),
            control_head.unwrap_or(nothing),
            &own.statements,
            Timestamp::from_millis(self.now),
            crate::secret::random(),
        )?;
        let id = sealed.id();
        let verified = verify(sealed).map_err(LogError::OwnBatch)?;
        match self.batch(&verified)? {
            Outcome::Appended { .. } => Ok(id),
            other => Err(LogError::Statement(other)),
        }
    }
}

struct ChainRow {
    number: i64,
    seq: u64,
    head: BatchId,
}

fn chain_row(connection: &Connection, chain: ChainId) -> Result<Option<ChainRow>, LogError> {
    Ok(connection
        .prepare_cached("SELECT number, seq, head FROM chain WHERE id = ?1")?
        .query_row([chain.as_bytes()], |row| {
            Ok(ChainRow {
                number: row.get(0)?,
                seq: row.get::<_, i64>(1)?.unsigned_abs(),
                head: BatchId::from_bytes(row.get(2)?),
            })
        })
        .optional()?)
}

/// A batch at a sequence number that is taken: the same one again, or a fork.
fn held(connection: &Connection, chain: i64, batch: &SealedBatch) -> Result<Outcome, LogError> {
    let (id, offset): ([u8; 32], i64) = connection
        .prepare_cached("SELECT id, batch_offset FROM batch WHERE chain = ?1 AND seq = ?2")?
        .query_row(params![chain, to_sql(batch.header().seq)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(if id == *batch.id().as_bytes() {
        Outcome::AlreadyHeld { offset: offset.unsigned_abs() }
    } else {
        Outcome::Refused(RefuseReason::Fork)
    })
}

fn insert(
    connection: &Connection,
    known: &mut KnownSpace,
    chain: Option<ChainRow>,
    batch: &VerifiedBatch,
    now: i64,
) -> Result<u64, LogError> {
    let header = batch.header();
    let id = batch.sealed().id();
    let bytes = batch.sealed().as_bytes();
    let chain = match chain {
        Some(chain) => {
            connection
                .prepare_cached("UPDATE chain SET seq = ?2, head = ?3 WHERE number = ?1")?
                .execute(params![chain.number, to_sql(header.seq), id.as_bytes()])?;
            chain.number
        }
        None => connection
            .prepare_cached(
                "INSERT INTO chain (id, space, device, incarnation, lane, seq, head)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![
                header.chain().as_bytes(),
                known.number,
                header.device.as_bytes(),
                header.incarnation.as_bytes(),
                header.lane as u8,
                to_sql(header.seq),
                id.as_bytes()
            ])?,
    };
    let (offset, len) = (known.state.head + 1, known.state.len + bytes.len() as u64);
    let digest = known.digest.then(id);
    connection
        .prepare_cached(
            "INSERT INTO batch (space, batch_offset, id, digest, chain, seq, kind, received_at, cumulative_len,
                                bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            known.number,
            to_sql(offset),
            id.as_bytes(),
            digest.as_bytes(),
            chain,
            to_sql(header.seq),
            header.kind as u8,
            now,
            to_sql(len),
            bytes
        ])?;
    connection
        .prepare_cached("UPDATE space SET head = ?2, len = ?3, digest = ?4 WHERE number = ?1")?
        .execute(params![known.number, to_sql(offset), to_sql(len), digest.as_bytes()])?;
    (known.state.head, known.state.len, known.digest) = (offset, len, digest);
    Ok(offset)
}

fn learn_all(connection: &Connection, known: &mut Known) -> Result<(), LogError> {
    let mut statement = connection.prepare_cached("SELECT id FROM space")?;
    let ids: Vec<[u8; 32]> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        up_to_date(connection, known, SpaceId::from_bytes(id))?;
    }
    Ok(())
}

/// Brings what is known of a space up to its head in this transaction.
fn up_to_date<'a>(
    connection: &Connection,
    known: &'a mut Known,
    space: SpaceId,
) -> Result<Option<&'a mut KnownSpace>, LogError> {
    let row = connection
        .prepare_cached("SELECT number, head, len, digest FROM space WHERE id = ?1")?
        .query_row([space.as_bytes()], |row| {
            let (head, len) = (row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs());
            Ok((row.get(0)?, head, len, LogDigest::from_bytes(row.get(3)?)))
        })
        .optional()?;
    let Some((number, head, len, digest)) = row else { return Ok(None) };
    let known = known.entry(space).or_insert_with(|| KnownSpace {
        number,
        digest: LogDigest::EMPTY,
        state: SpaceState { head: 0, len: 0, membership: Arc::new(Membership::new(space)) },
    });
    if known.state.head < head {
        let mut statement = connection.prepare_cached(
            "SELECT batch_offset, bytes FROM batch WHERE space = ?1 AND kind = 2 AND batch_offset > ?2
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
        (known.state.head, known.state.len, known.digest) = (head, len, digest);
    }
    Ok(Some(known))
}

fn connect(path: &Path) -> Result<Connection, LogError> {
    DataDir::touch_private(path).map_err(LogError::File)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledgement promises that a power cut takes nothing back.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Migrations::new(vec![M::up(include_str!("../../migrations/log_0001_first.sql"))])
        .to_latest(&mut connection)?;
    Ok(connection)
}
