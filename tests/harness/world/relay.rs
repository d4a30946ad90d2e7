//! The relay of the world: the real log, room and session, performed as the server's connection does,
//! one step after another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use barid_core::batch::{BatchKind, Lane, SealedBatch};
use barid_core::bundle::BundleReader;
use barid_core::clock::Timestamp;
use barid_core::control::{Membership, Verdict};
use barid_core::id::{BatchId, DeviceId, Incarnation, SpaceId};
use barid_core::identity::Identity;
use barid_core::position::Cursor;
use barid_core::protocol::{
    CloseCode, CursorClaim, Logged, OpenedSpace, RelayInput, RelaySession, RelaySessionConfig,
};
use barid_core::store::{Store, StoreConfig};
use barid_server::log::bundle::{self, Imported};
use barid_server::log::reader::LogReader;
use barid_server::log::writer::LogWriter;
use barid_server::log::{LogError, LoggedBatch, Outcome, VerifiedBatch, verify};
use barid_server::relay::room::{LinkId, Room};
use barid_server::relay::standing::Standing;
use rusqlite::Connection;

use super::clock::NodeClock;
use super::disk::{Disk, End, Image};
use super::double::Double;
use super::photos::Blobs;
use super::random::Random;
use super::template;

/// The log's file.
const LOG: &str = "log.db";

/// The relay's end of one link.
#[derive(Debug)]
pub(crate) struct RelayEnd {
    pub(crate) session: RelaySession,
    pub(crate) wake_at: Option<Timestamp>,
    /// The spaces that were opened.
    pub(crate) spaces: Vec<SpaceId>,
    pub(crate) joined: Option<LinkId>,
    /// What the device was in each space when the link opened.
    pub(crate) standing: Option<(DeviceId, Vec<Standing>)>,
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
    pub(crate) disk: Disk,
    running: Option<Running>,
    spaces: Vec<SpaceId>,
    /// How often it was restored from an older copy.
    pub(crate) generation: u64,
    backup: Option<Image>,
    double: Double,
    /// Batches as they came, for doubles that serve them so again.
    stash: BTreeMap<BatchId, Arc<[u8]>>,
    /// Batches that came again since this was last looked at.
    pub(crate) held_already: u64,
    /// The rows derived from the log, kept up to date as the log grows.
    pub(crate) views: Store,
    /// Attachments; and those that are in the copy of its folder.
    pub(crate) blobs: Blobs,
    blobs_backup: Blobs,
}

impl Relay {
    /// A relay with an empty log of these spaces.
    pub(crate) fn new(
        random: &mut Random,
        clock: NodeClock,
        disk: Disk,
        spaces: &[SpaceId],
        double: Double,
    ) -> Self {
        disk.install(LOG, template::log());
        let path = disk.path(LOG);
        drop(LogWriter::create(&path, clock.source()).expect("a log"));
        name(&path, random);
        let mut relay = Self {
            identity: Arc::new(Identity::from_seed(random.bytes())),
            views: replica(&clock, spaces),
            clock,
            disk,
            running: None,
            spaces: spaces.to_vec(),
            generation: 0,
            backup: None,
            double,
            stash: BTreeMap::new(),
            held_already: 0,
            blobs: Blobs::default(),
            blobs_backup: Blobs::default(),
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
            let path = self.disk.path(LOG);
            let writer = LogWriter::open(&path, self.clock.source())?;
            let reader = LogReader::open(&path)?;
            Ok(Running { writer, reader, room: Room::default(), queue: Vec::new() })
        };
        self.running = Some(open().map_err(|error| format!("opening the log: {error:?}"))?);
        Ok(())
    }

    /// Ends its process: what was not committed is gone.
    pub(crate) fn kill(&mut self, end: End, random: &mut Random) {
        self.disk.die(end, random);
        self.running = None;
        self.disk.settle();
        self.blobs.kill(random);
    }

    /// Copies its folder.
    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.disk.image());
        self.blobs_backup = self.blobs.clone();
    }

    /// Kills it and copies the older folder back; with another log id, or with the old one. `None` if
    /// there is no copy, else whether the log has another id now.
    pub(crate) fn restore(&mut self, random: &mut Random) -> Option<bool> {
        let image = self.backup.clone()?;
        self.kill(End::Killed, random);
        self.disk.put_back(&image);
        self.blobs = self.blobs_backup.clone();
        let is_renamed = random.one_in(2);
        if is_renamed {
            name(&self.disk.path(LOG), random);
        }
        self.generation += 1;
        self.views = replica(&self.clock, &self.spaces);
        Some(is_renamed)
    }

    /// Begins its end of a link.
    pub(crate) fn accept(&self, random: &mut Random) -> RelayEnd {
        let config = RelaySessionConfig { identity: Arc::clone(&self.identity), nonce: random.bytes() };
        RelayEnd {
            session: RelaySession::new(config, self.clock.now()),
            wake_at: None,
            spaces: Vec::new(),
            joined: None,
            standing: None,
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
            let at_cursor = match (self.double, claim) {
                (Double::BelievesEveryCursor, Some(claim)) => Some(claim.digest),
                _ => at_cursor,
            };
            let own = match self.double {
                Double::HeightsInflated => {
                    let mut own = running.reader.own_chains(*space, device)?;
                    own.iter_mut().for_each(|chain| chain.seq += 1);
                    own
                }
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
        let joined = running.room.join(device, spaces.iter().map(|(space, _)| *space).collect());
        end.standing = Some((device, self.standing(device)));
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
        if self.double == Double::QuarantineFannedOut
            && let Some(last) = batches.last().map(|last| (last.offset, last.digest))
        {
            let held = running.reader.quarantined(space)?;
            // In the last one's place: what comes behind it at the same offset the session leaves out.
            if let Some(batch) = held.iter().find_map(|held| self.stash.get(&held.id).cloned()) {
                let (offset, digest) = last;
                batches.pop();
                batches.push(Logged { offset, digest, batch });
            }
        }
        if self.double == Double::ErasedServedAgain {
            for (logged, at) in page.batches.iter().zip(&mut batches) {
                if let Some(before) = self.stash.get(&logged.batch.id()) {
                    at.batch = Arc::clone(before);
                }
            }
        }
        if self.double == Double::UrgentLeftOut {
            let is_urgent = |offset| {
                let of = page.batches.iter().find(|logged| logged.offset == offset);
                of.is_some_and(|logged| {
                    let header = logged.batch.header();
                    header.lane == Lane::Urgent && header.kind == BatchKind::Entries
                })
            };
            batches.retain(|logged| !is_urgent(logged.offset));
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
        if matches!(self.double, Double::ErasedServedAgain | Double::QuarantineFannedOut) {
            self.stash.insert(sealed.id(), Arc::from(sealed.as_bytes()));
        }
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

    /// The links whose batches wait for the next commit.
    pub(crate) fn senders(&self) -> BTreeSet<u64> {
        self.running.iter().flat_map(|running| running.queue.iter().map(|(link, _)| *link)).collect()
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
                append_again(&self.disk.path(LOG), batch.sealed());
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

    /// Its key.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes a bundle in, as `barid import` does: nobody is answered. Nothing if it is for nobody here, or
    /// not even begins as one.
    pub(crate) fn take_bundle(&mut self, bytes: &[u8]) -> Result<Option<Imported>, LogError> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let Ok(reader) = BundleReader::open(bytes, &self.identity) else { return Ok(None) };
        bundle::take(&mut running.writer, reader).map(Some)
    }

    /// The spaces of which a phone may have something, and whether all of each.
    pub(crate) fn due(&self, recipient: DeviceId) -> Vec<(SpaceId, bool)> {
        self.running
            .as_ref()
            .map(|running| bundle::due(&running.writer.state(), recipient))
            .unwrap_or_default()
    }

    /// Writes a bundle, as `barid export` does.
    pub(crate) fn give(
        &self,
        recipient: DeviceId,
        spaces: &[(SpaceId, bool)],
        random: [u8; 40],
    ) -> Result<Vec<u8>, String> {
        let reader = self.reader().ok_or("the relay is down")?;
        let is_short = self.double == Double::BundlesWithoutEntries;
        let spaces: Vec<_> = spaces.iter().map(|(space, full)| (*space, *full && !is_short)).collect();
        let mut bytes = Vec::new();
        bundle::manifest(reader, &spaces, self.clock.now())
            .and_then(|(manifest, _)| bundle::give(reader, &spaces, recipient, &manifest, random, &mut bytes))
            .map_err(|error| format!("writing a bundle: {error:?}"))?;
        Ok(bytes)
    }

    /// Every space's newest offset, as the writer knows it.
    pub(crate) fn heads(&self) -> Vec<(SpaceId, u64)> {
        let Some(running) = &self.running else { return Vec::new() };
        running.writer.state().spaces.iter().map(|(space, known)| (*space, known.head)).collect()
    }

    /// Who belongs to a space, by the control records of the log.
    pub(crate) fn membership(&self, space: SpaceId) -> Option<Arc<Membership>> {
        let state = self.running.as_ref()?.writer.state();
        state.spaces.get(&space).map(|known| Arc::clone(&known.membership))
    }

    /// What a device is in each of the log's spaces.
    pub(crate) fn standing(&self, device: DeviceId) -> Vec<Standing> {
        let state = self.running.as_ref().map(|running| running.writer.state()).unwrap_or_default();
        let of = |space: &SpaceId| {
            state.spaces.get(space).map_or(Standing::Stranger, |known| Standing::of(device, known))
        };
        self.spaces.iter().map(of).collect()
    }

    /// The log as any process reads it: committed, and nothing else.
    pub(crate) fn reader(&self) -> Option<&LogReader> {
        self.running.as_ref().map(|running| &running.reader)
    }

    /// Brings the views up to the log's end.
    pub(crate) fn catch_up(&self) -> Result<(), String> {
        match self.reader() {
            Some(reader) => follow(reader, &self.views, self.double == Double::ViewsLag),
            None => Ok(()),
        }
    }

    /// A replica that reads the whole log from its beginning.
    pub(crate) fn replay(&self, error_ms: i64) -> Result<Store, String> {
        let reader = self.reader().ok_or("the relay is down")?;
        let store = self.empty_replica(error_ms);
        follow(reader, &store, false)?;
        Ok(store)
    }

    /// A replica of the log's spaces that has read nothing yet, by a clock that is wrong by so much.
    pub(crate) fn empty_replica(&self, error_ms: i64) -> Store {
        let clock = self.clock.another();
        clock.set_error(error_ms);
        replica(&clock, &self.spaces)
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

fn follow(reader: &LogReader, store: &Store, is_lagging: bool) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Debug| format!("following the log: {error:?}");
    for (space, _) in reader.spaces().map_err(|error| failed(&error))? {
        loop {
            let after =
                store.cursor(space).map_err(|error| failed(&error))?.map_or(0, |cursor| cursor.offset);
            let page = reader.read_after(space, after, 1 << 18, None).map_err(|error| failed(&error))?;
            let Some((offset, digest)) = page.reached else { break };
            let mut batches: Vec<_> =
                page.batches.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
            if is_lagging {
                batches.pop();
            }
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
