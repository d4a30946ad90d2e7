//! The relay of the world: the real log, room and session, performed as the server's connection does,
//! one step after another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barid_core::batch::{Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::Verdict;
use barid_core::id::{BatchId, DeviceId, Incarnation, SpaceId};
use barid_core::identity::Identity;
use barid_core::position::Cursor;
use barid_core::protocol::{
    CloseCode, CursorClaim, Logged, OpenedSpace, RelayInput, RelaySession, RelaySessionConfig,
};
use barid_core::store::{Store, StoreConfig};
use barid_server::log::reader::LogReader;
use barid_server::log::writer::LogWriter;
use barid_server::log::{LogError, LoggedBatch, Outcome, VerifiedBatch, verify};
use barid_server::relay::room::{LinkId, Room};
use rusqlite::Connection;

use super::clock::NodeClock;
use super::double::Double;
use super::files;
use super::random::Random;

/// The relay's end of one link.
#[derive(Debug)]
pub(crate) struct RelayEnd {
    pub(crate) session: RelaySession,
    pub(crate) wake_at: Option<Timestamp>,
    /// The spaces that were opened.
    pub(crate) spaces: Vec<SpaceId>,
    pub(crate) joined: Option<LinkId>,
    pub(crate) is_closed: bool,
}

/// A batch that was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) link: u64,
    pub(crate) space: SpaceId,
    pub(crate) device: DeviceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) lane: Lane,
    pub(crate) seq: u64,
    pub(crate) batch: BatchId,
    pub(crate) verdict: Verdict,
}

impl Answer {
    fn new(link: u64, batch: &SealedBatch, verdict: Verdict) -> Self {
        let header = batch.header();
        Self {
            link,
            space: header.space,
            device: header.device,
            incarnation: header.incarnation,
            lane: header.lane,
            seq: header.seq,
            batch: batch.id(),
            verdict,
        }
    }
}

/// What runs while the relay's process does.
#[derive(Debug)]
struct Running {
    writer: LogWriter,
    reader: LogReader,
    room: Room,
    /// Batches that wait for the next commit.
    queue: Vec<(u64, VerifiedBatch)>,
}

/// The relay, whether its process runs or not.
#[derive(Debug)]
pub(crate) struct Relay {
    identity: Arc<Identity>,
    pub(crate) clock: NodeClock,
    path: PathBuf,
    running: Option<Running>,
    /// How often it was restored from an older copy.
    pub(crate) generation: u64,
    has_backup: bool,
    double: Double,
    /// Batches that came again since this was last looked at.
    pub(crate) held_already: u64,
    /// The rows derived from the log, kept up to date as the log grows.
    pub(crate) views: Store,
}

impl Relay {
    /// A relay with an empty log of these spaces.
    pub(crate) fn new(
        random: &mut Random,
        clock: NodeClock,
        folder: &Path,
        spaces: &[SpaceId],
        double: Double,
    ) -> Self {
        let path = folder.join("log.db");
        drop(LogWriter::create(&path, clock.source()).expect("a log"));
        name(&path, random);
        let mut relay = Self {
            identity: Arc::new(Identity::from_seed(random.bytes())),
            views: replica(&clock, spaces),
            clock,
            path,
            running: None,
            generation: 0,
            has_backup: false,
            double,
            held_already: 0,
        };
        relay.start().expect("the log opens");
        let running = relay.running.as_mut().expect("it was just started");
        let found = |append: &mut barid_server::log::writer::Append<'_>| {
            spaces.iter().try_for_each(|space| append.found(*space))
        };
        running.writer.transact(found).expect("spaces are founded");
        relay
    }

    /// The key that devices have pinned.
    pub(crate) fn key(&self) -> DeviceId {
        self.identity.device()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Starts its process.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let open = || -> Result<Running, LogError> {
            let writer = LogWriter::open(&self.path, self.clock.source())?;
            let reader = LogReader::open(&self.path)?;
            Ok(Running { writer, reader, room: Room::default(), queue: Vec::new() })
        };
        self.running = Some(open().map_err(|error| format!("opening the log: {error:?}"))?);
        Ok(())
    }

    /// Kills its process: what was not committed is gone.
    pub(crate) fn kill(&mut self) {
        let left = files::copy_of(&self.path, ".left");
        files::copy(&self.path, &left);
        self.running = None;
        files::put_back(&left, &self.path);
    }

    /// Copies its folder.
    pub(crate) fn back_up(&mut self) {
        files::copy(&self.path, &files::copy_of(&self.path, ".backup"));
        self.has_backup = true;
    }

    /// Kills it and copies the older folder back; with another log id, or with the old one. False if
    /// there is no copy.
    pub(crate) fn restore(&mut self, random: &mut Random, spaces: &[SpaceId]) -> bool {
        if !self.has_backup {
            return false;
        }
        self.running = None;
        files::put_back(&files::copy_of(&self.path, ".backup"), &self.path);
        if random.one_in(2) {
            name(&self.path, random);
        }
        self.generation += 1;
        self.views = replica(&self.clock, spaces);
        true
    }

    /// Begins its end of a link.
    pub(crate) fn accept(&self, random: &mut Random) -> RelayEnd {
        let config = RelaySessionConfig { identity: Arc::clone(&self.identity), nonce: random.bytes() };
        RelayEnd {
            session: RelaySession::new(config, self.clock.now()),
            wake_at: None,
            spaces: Vec::new(),
            joined: None,
            is_closed: false,
        }
    }

    /// Answers `Open`: what joined, the link that it replaces, and what to tell the session.
    pub(crate) fn open(
        &mut self,
        end: &mut RelayEnd,
        device: DeviceId,
        spaces: &[(SpaceId, Option<CursorClaim>)],
    ) -> Result<(RelayInput, Option<LinkId>), LogError> {
        let Some(running) = &mut self.running else { return Ok((RelayInput::Close(CloseCode::Busy), None)) };
        let state = running.writer.state();
        let is_active = |space: &SpaceId| {
            let known = state.spaces.get(space);
            known
                .is_some_and(|known| known.membership.device(device).is_some_and(|device| device.is_active()))
        };
        if !state.spaces.keys().any(is_active) {
            return Ok((RelayInput::Close(CloseCode::UnknownDevice), None));
        }
        let mut opened = Vec::with_capacity(spaces.len());
        for (space, claim) in spaces {
            let Some(known) = state.spaces.get(space).filter(|_| is_active(space)) else {
                opened.push(OpenedSpace::NotMember);
                continue;
            };
            let (at_cursor, len_after_cursor) = match claim {
                Some(claim) => (
                    running.reader.digest_at(*space, claim.offset)?,
                    running.reader.bytes_after(*space, claim.offset)?,
                ),
                None => (None, known.len),
            };
            let own = match self.double {
                // It does not look at what it holds: neither here nor when a batch comes.
                Double::DedupeOff => Vec::new(),
                _ => running.reader.own_chains(*space, device)?,
            };
            opened.push(OpenedSpace::Member {
                log: running.reader.id(),
                head: known.head,
                at_cursor,
                len_after_cursor,
                len_total: known.len,
                watermark: known.watermark,
                is_revoked: known.membership.is_revoked(device),
                quarantined: running.reader.quarantined_of(*space, device)?,
                own,
            });
            end.spaces.push(*space);
        }
        let joined = running.room.join(device);
        end.joined = Some(joined.link);
        Ok((RelayInput::Opened(opened), joined.replaces))
    }

    /// A link of the room is gone.
    pub(crate) fn leave(&mut self, link: LinkId) {
        if let Some(running) = &mut self.running {
            running.room.leave(link);
        }
    }

    /// Answers `ReadLog`.
    pub(crate) fn read(
        &self,
        space: SpaceId,
        after: u64,
        excluding: (DeviceId, Incarnation),
        len_max: usize,
        control_only: bool,
    ) -> Result<RelayInput, LogError> {
        let Some(running) = &self.running else { return Ok(RelayInput::Close(CloseCode::Busy)) };
        let page = if control_only {
            running.reader.read_control_after(space, after, len_max)?
        } else {
            running.reader.read_after(space, after, len_max, Some(excluding))?
        };
        let on_its_way = |logged: &LoggedBatch| Logged {
            offset: logged.offset,
            digest: logged.digest,
            batch: Arc::from(logged.batch.as_bytes()),
        };
        let mut batches: Vec<_> = page.batches.iter().map(on_its_way).collect();
        if self.double == Double::CursorOffByOne {
            batches.pop();
        }
        Ok(RelayInput::Read { space, batches, reached: page.reached })
    }

    /// Answers `ReadControl`.
    pub(crate) fn read_control(
        &self,
        space: SpaceId,
        position: u64,
        after: u64,
        len_max: usize,
    ) -> Result<RelayInput, LogError> {
        let Some(running) = &self.running else { return Ok(RelayInput::Close(CloseCode::Busy)) };
        let page = running.reader.read_control_ahead(space, position, after, len_max)?;
        let batches = page.batches.iter().map(|logged| Arc::from(logged.batch.as_bytes())).collect();
        let reached = page.reached.map_or(after, |(offset, _)| offset);
        Ok(RelayInput::ControlRead { space, batches, reached })
    }

    /// Checks a batch and queues it for the next commit; the answer, if there is one at once.
    pub(crate) fn append(&mut self, link: u64, sealed: SealedBatch) -> Option<Answer> {
        let running = self.running.as_mut()?;
        let answer = |verdict| Some(Answer::new(link, &sealed, verdict));
        match verify(sealed.clone()) {
            Err(error) => answer(Verdict::from(error)),
            Ok(_) if self.double == Double::NeverAppended => answer(Verdict::Accepted),
            Ok(verified) => {
                running.queue.push((link, verified));
                if self.double == Double::AckBeforeCommit { answer(Verdict::Accepted) } else { None }
            }
        }
    }

    /// Whether anything waits for a commit.
    pub(crate) fn is_behind(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.queue.is_empty())
    }

    /// Commits what waits, in one transaction, and says what came of it.
    pub(crate) fn commit(&mut self) -> Result<Vec<Answer>, LogError> {
        let Some(running) = &mut self.running else { return Ok(Vec::new()) };
        let group = std::mem::take(&mut running.queue);
        let outcomes = running.writer.transact(|append| {
            group.iter().map(|(_, batch)| append.batch(batch)).collect::<Result<Vec<_>, _>>()
        })?;
        let mut answers = Vec::with_capacity(group.len());
        for ((link, batch), outcome) in group.iter().zip(outcomes) {
            self.held_already += u64::from(matches!(outcome, Outcome::AlreadyHeld { .. }));
            if self.double == Double::DedupeOff && matches!(outcome, Outcome::AlreadyHeld { .. }) {
                append_again(&self.path, batch.sealed());
            }
            if self.double == Double::AckBeforeCommit {
                continue;
            }
            answers.push(Answer::new(*link, batch.sealed(), Verdict::from(outcome)));
        }
        Ok(answers)
    }

    /// Takes in what others than devices bring: control records, and the rogue's.
    pub(crate) fn take_in(&mut self, batches: &[SealedBatch]) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let batches = batches.iter().cloned().map(verify).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(|error| format!("a batch of the world's own: {error:?}"))?;
        let outcomes = running.writer.transact(|append| {
            batches.iter().map(|batch| append.batch(batch)).collect::<Result<Vec<_>, _>>()
        });
        let outcomes = outcomes.map_err(|error| format!("appending: {error:?}"))?;
        let is_held =
            |outcome: &Outcome| matches!(outcome, Outcome::Appended { .. } | Outcome::AlreadyHeld { .. });
        match outcomes.iter().find(|outcome| !is_held(outcome)) {
            None => Ok(()),
            Some(outcome) => Err(format!("the log does not take a sound batch: {outcome:?}")),
        }
    }

    /// Every space's newest offset, as the writer knows it.
    pub(crate) fn heads(&self) -> Vec<(SpaceId, u64)> {
        let Some(running) = &self.running else { return Vec::new() };
        running.writer.state().spaces.iter().map(|(space, known)| (*space, known.head)).collect()
    }

    /// The log as any process reads it: committed, and nothing else.
    pub(crate) fn reader(&self) -> Option<&LogReader> {
        self.running.as_ref().map(|running| &running.reader)
    }

    /// Brings the views up to the log's end.
    pub(crate) fn catch_up(&self) -> Result<(), String> {
        match self.reader() {
            Some(reader) => follow(reader, &self.views),
            None => Ok(()),
        }
    }

    /// A replica that reads the whole log from its beginning.
    pub(crate) fn replay(&self) -> Result<Store, String> {
        let reader = self.reader().ok_or("the relay is down")?;
        let spaces = reader.spaces().map_err(|error| format!("{error:?}"))?;
        let spaces: Vec<SpaceId> = spaces.into_iter().map(|(space, _)| space).collect();
        let store = replica(&self.clock, &spaces);
        follow(reader, &store)?;
        Ok(store)
    }
}

/// A log's id and incarnation come from the machine's randomness; in a world, from the seed.
fn name(path: &Path, random: &mut Random) {
    let connection = Connection::open(path).expect("the log's file");
    let sql = "UPDATE meta SET value = ?2 WHERE key = ?1";
    connection.execute(sql, ("log", random.bytes::<16>())).expect("a log has an id");
    connection.execute(sql, ("incarnation", random.bytes::<8>())).expect("a log has an incarnation");
}

fn replica(clock: &NodeClock, spaces: &[SpaceId]) -> Store {
    let entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
    let config = StoreConfig { clock: clock.source(), entropy, ..StoreConfig::in_memory() };
    let store = Store::open(config).expect("a store in memory");
    spaces.iter().for_each(|space| store.join_space(*space).expect("a space is joined"));
    store
}

fn follow(reader: &LogReader, store: &Store) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Debug| format!("following the log: {error:?}");
    for (space, _) in reader.spaces().map_err(|error| failed(&error))? {
        loop {
            let after =
                store.cursor(space).map_err(|error| failed(&error))?.map_or(0, |cursor| cursor.offset);
            let page = reader.read_after(space, after, 1 << 18, None).map_err(|error| failed(&error))?;
            let Some((offset, digest)) = page.reached else { break };
            let batches: Vec<_> =
                page.batches.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
            let cursor = Cursor { log: reader.id(), offset, digest };
            store.ingest(space, &batches, Some(cursor)).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

/// What a log would do that did not look whether it holds a batch already.
fn append_again(path: &Path, batch: &SealedBatch) {
    let connection = Connection::open(path).expect("the log's file");
    let sql = "DROP INDEX IF EXISTS batch_by_seq;";
    connection.execute_batch(sql).expect("the index goes");
    let sql = "INSERT INTO batch (space, batch_offset, id, digest, chain, seq, prev, kind, received_at, len,
            cumulative_len, stands, checksum, bytes)
        SELECT b.space, s.head + 1, b.id, b.digest, b.chain, b.seq, b.prev, b.kind, b.received_at, b.len,
            s.len + b.len, b.stands, b.checksum, b.bytes
        FROM batch b JOIN space s ON s.number = b.space WHERE b.id = ?1 ORDER BY b.number LIMIT 1";
    connection.execute(sql, [batch.id().as_bytes()]).expect("it is there once more");
    let sql = "UPDATE space SET head = head + 1, len = len + ?2 WHERE id = ?1";
    let len = batch.as_bytes().len() as i64;
    connection.execute(sql, (batch.header().space.as_bytes(), len)).expect("the head moves");
}
