//! Phones, a relay's log and slow wires in memory: they perform what the sessions put out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::message::Versions;
use super::super::{
    CloseReason, CursorClaim, DeviceInput, DeviceOutput, DeviceSession, DeviceSessionConfig, Logged,
    OpenedSpace, RelayInput, RelayOutput, RelaySession, RelaySessionConfig, SessionProgress,
};
use super::album::{Album, Shelf};
use crate::batch::{BatchKind, Entry, Lane, SealSpec, SealedBatch, seal};
use crate::clock::Timestamp;
use crate::control::{RefuseReason, RetryReason, Verdict};
use crate::id::{BatchId, ChainId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};
use crate::identity::Identity;
use crate::position::{Cursor, Height, OwnChain, QuarantineDigest, SpacePosition};

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub(super) fn space(number: u8) -> SpaceId {
    SpaceId::from_bytes([number; 32])
}

/// One device: its database is what it sealed, what it holds of others, and how far.
pub(super) struct Phone {
    pub(super) identity: Arc<Identity>,
    pub(super) incarnation: Incarnation,
    pub(super) spaces: BTreeMap<SpaceId, Replica>,
    /// Batches given to sessions, again and again if it comes to that.
    pub(super) offered: Vec<BatchId>,
    pub(super) album: Album,
}

#[derive(Default)]
pub(super) struct Replica {
    pub(super) own: Vec<SealedBatch>,
    pub(super) acknowledged: BTreeSet<BatchId>,
    pub(super) quarantined: BTreeSet<BatchId>,
    pub(super) watermark: u64,
    pub(super) held: BTreeMap<BatchId, SealedBatch>,
    /// What of it came from a peer, and is not known to be in the relay's log.
    pub(super) carried: BTreeSet<BatchId>,
    pub(super) unread: Vec<Vec<u8>>,
    pub(super) cursor: Option<Cursor>,
    pub(super) commits: usize,
}

impl Phone {
    pub(super) fn new(number: u8, spaces: &[SpaceId]) -> Self {
        Self {
            identity: Arc::new(Identity::from_seed([number; 32])),
            incarnation: Incarnation::from_bytes([number; 8]),
            spaces: spaces.iter().map(|space| (*space, Replica::default())).collect(),
            offered: Vec::new(),
            album: Album::default(),
        }
    }

    /// Seals one batch of about `len` bytes that nothing can compress.
    pub(super) fn record(&mut self, space: SpaceId, lane: Lane, len: usize) -> BatchId {
        self.seal(space, lane, len, BatchKind::Entries)
    }

    /// Seals one control batch, of which nobody here reads what it states.
    pub(super) fn state(&mut self, space: SpaceId) -> BatchId {
        self.seal(space, Lane::Urgent, 100, BatchKind::Control)
    }

    fn seal(&mut self, space: SpaceId, lane: Lane, len: usize, kind: BatchKind) -> BatchId {
        let replica = self.spaces.get_mut(&space).unwrap();
        let chain = ChainId::derive(self.identity.device(), self.incarnation, space, lane);
        let before = replica.own.iter().rfind(|batch| batch.chain() == chain);
        let seq = before.map_or(1, |batch| batch.header().seq + 1);
        let mut noise = vec![0; len.max(1)];
        blake3::Hasher::new()
            .update(chain.as_bytes())
            .update(&seq.to_be_bytes())
            .finalize_xof()
            .fill(&mut noise);
        let spec = SealSpec {
            key: &self.identity,
            incarnation: self.incarnation,
            space,
            lane,
            seq,
            prev: before.map_or(BatchId::from_bytes([0; 32]), SealedBatch::id),
            control_head: BatchId::from_bytes([0; 32]),
            kind,
            claimed_time: at(seq as i64),
            seed: [7; 16],
        };
        let entry = |bytes: &[u8]| match kind {
            BatchKind::Entries => Entry::Unknown { tag: 200, bytes: bytes.to_vec() },
            BatchKind::Control => Entry::Control(bytes.to_vec()),
        };
        let entries: Vec<_> = noise.chunks(60_000).map(entry).collect();
        let batch = seal(spec, &entries).unwrap();
        replica.own.push(batch.clone());
        batch.id()
    }

    pub(super) fn unsent(&self) -> u64 {
        let unsent = |replica: &Replica| replica.own.len() - replica.acknowledged.len();
        self.spaces.values().map(unsent).sum::<usize>() as u64
    }

    fn positions(&self) -> Vec<SpacePosition> {
        let position = |(space, replica): (&SpaceId, &Replica)| {
            let acknowledged = replica.own.iter().filter(|batch| replica.acknowledged.contains(&batch.id()));
            SpacePosition {
                space: *space,
                cursor: replica.cursor,
                own: heights(acknowledged),
                quarantined: QuarantineDigest::of(replica.quarantined.iter().copied()),
            }
        };
        self.spaces.iter().map(position).collect()
    }

    fn outgoing(
        &mut self,
        sent: &[(SpaceId, Height)],
        foreign: &[SpaceId],
        budget_len: usize,
    ) -> (Vec<SealedBatch>, bool) {
        let is_sent = |batch: &SealedBatch| {
            let header = batch.header();
            sent.iter().any(|(space, chain)| {
                *space == header.space
                    && chain.device == header.device
                    && chain.incarnation == header.incarnation
                    && chain.lane == header.lane
                    && header.seq <= chain.seq
            })
        };
        let unsent = |(space, replica): (&SpaceId, &'_ Replica)| -> Vec<SealedBatch> {
            let is_there = |batch: &SealedBatch| {
                replica.acknowledged.contains(&batch.id()) || replica.quarantined.contains(&batch.id())
            };
            let own = replica.own.iter().filter(|batch| !is_there(batch));
            let carried = replica.carried.iter().map(|id| &replica.held[id]);
            own.chain(carried.filter(|_| foreign.contains(space))).cloned().collect()
        };
        let mut batches: Vec<SealedBatch> =
            self.spaces.iter().flat_map(unsent).filter(|batch| !is_sent(batch)).collect();
        batches.sort_by_key(|batch| (batch.header().lane, batch.chain(), batch.header().seq));
        let mut len = 0;
        let fits = batches.iter().take_while(|batch| {
            len += batch.as_bytes().len();
            len <= budget_len
        });
        let count = fits.count().max(1).min(batches.len());
        let exhausted = count == batches.len();
        batches.truncate(count);
        let taken = batches;
        self.offered.extend(taken.iter().map(SealedBatch::id));
        (taken, exhausted)
    }

    pub(super) fn session(&self, relay: DeviceId, nonce: u8, now: Timestamp) -> DeviceSession {
        self.session_speaking(Versions::SPOKEN, relay, nonce, now)
    }

    pub(super) fn session_speaking(
        &self,
        versions: Versions,
        relay: DeviceId,
        nonce: u8,
        now: Timestamp,
    ) -> DeviceSession {
        let config = DeviceSessionConfig {
            identity: self.identity.clone(),
            relay,
            nonce: [nonce; 16],
            incarnation: self.incarnation,
            spaces: self.positions(),
            unsent: self.unsent(),
        };
        DeviceSession::speaking(versions, config, now)
    }

    /// Whether everything up to an offset of a log is here.
    fn holds(&self, log: &Log, space: SpaceId, offset: u64) -> bool {
        let here = self.batches(space);
        let is_restricted = log.revoked.contains(&self.identity.device());
        let mut upto = log.spaces.get(&space).into_iter().flatten().filter(|(at, _)| *at <= offset);
        is_restricted || upto.all(|(_, batch)| here.contains(&batch.id()))
    }

    /// Everything held in a space, own and others'.
    pub(super) fn batches(&self, space: SpaceId) -> BTreeSet<BatchId> {
        let replica = &self.spaces[&space];
        replica.own.iter().map(SealedBatch::id).chain(replica.held.keys().copied()).collect()
    }
}

fn heights<'a>(batches: impl Iterator<Item = &'a SealedBatch>) -> Vec<OwnChain> {
    let mut heights = BTreeMap::new();
    for batch in batches {
        let header = batch.header();
        let chain = OwnChain {
            incarnation: header.incarnation,
            lane: header.lane,
            seq: header.seq,
            batch: batch.id(),
        };
        heights.insert((header.incarnation, header.lane), chain);
    }
    heights.into_values().collect()
}

/// One relay's log, its members, and the verdicts that it was told to give.
pub(super) struct Log {
    pub(super) id: LogId,
    /// Batches with their offsets.
    pub(super) spaces: BTreeMap<SpaceId, Vec<(u64, SealedBatch)>>,
    pub(super) watermark: u64,
    pub(super) revoked: BTreeSet<DeviceId>,
    /// What was answered to be in quarantine.
    pub(super) quarantined: BTreeMap<SpaceId, BTreeSet<BatchId>>,
    pub(super) strangers: BTreeSet<(DeviceId, SpaceId)>,
    pub(super) verdicts: BTreeMap<BatchId, Verdict>,
    /// Batches that came although they were there.
    pub(super) repeated: usize,
    pub(super) reads: usize,
    /// Checks signatures and bodies, which costs time.
    pub(super) verifies: bool,
    pub(super) shelf: Shelf,
}

impl Log {
    pub(super) fn new(number: u8) -> Self {
        Self {
            id: LogId::from_bytes([number; 16]),
            spaces: BTreeMap::new(),
            watermark: 0,
            revoked: BTreeSet::new(),
            quarantined: BTreeMap::new(),
            strangers: BTreeSet::new(),
            verdicts: BTreeMap::new(),
            repeated: 0,
            reads: 0,
            verifies: false,
            shelf: Shelf::default(),
        }
    }

    pub(super) fn batches(&self, space: SpaceId) -> BTreeSet<BatchId> {
        self.spaces.get(&space).into_iter().flatten().map(|(_, batch)| batch.id()).collect()
    }

    /// The last offset of a space.
    fn head(&self, space: SpaceId) -> u64 {
        self.spaces.get(&space).and_then(|log| log.last()).map_or(0, |(offset, _)| *offset)
    }

    /// Loses all but the first batches of a space.
    pub(super) fn roll_back(&mut self, space: SpaceId, kept: usize) {
        self.spaces.entry(space).or_default().truncate(kept);
    }

    /// What the log is up to an offset, if it has a batch there.
    pub(super) fn digest_at(&self, space: SpaceId, offset: u64) -> Option<LogDigest> {
        let log = self.spaces.get(&space)?;
        let place = log.iter().position(|(at, _)| *at == offset)?;
        Some(log[..=place].iter().fold(LogDigest::EMPTY, |digest, (_, batch)| digest.then(batch.id())))
    }

    fn append(&mut self, batch: &SealedBatch) -> Verdict {
        if self.verifies && (batch.verify_signature().is_err() || batch.open().is_err()) {
            return Verdict::Refused(RefuseReason::WrongSignature);
        }
        if let Some(verdict) = self.verdicts.get(&batch.id()) {
            if matches!(verdict, Verdict::Quarantined(_)) {
                self.quarantined.entry(batch.header().space).or_default().insert(batch.id());
            }
            return *verdict;
        }
        let offset = self.head(batch.header().space) + 1;
        let log = self.spaces.entry(batch.header().space).or_default();
        if log.iter().any(|(_, held)| held.id() == batch.id()) {
            self.repeated += 1;
            return Verdict::Accepted;
        }
        let last = log.iter().rfind(|(_, held)| held.chain() == batch.chain());
        let (height, head) =
            last.map_or((0, BatchId::from_bytes([0; 32])), |(_, last)| (last.header().seq, last.id()));
        let header = batch.header();
        if header.seq <= height {
            Verdict::Refused(RefuseReason::Fork)
        } else if header.seq > height + 1 || header.prev != head {
            Verdict::RetryLater(RetryReason::MissingPredecessor)
        } else {
            log.push((offset, batch.clone()));
            Verdict::Accepted
        }
    }

    fn opened(
        &self,
        device: DeviceId,
        incarnation: Incarnation,
        spaces: &[(SpaceId, Option<CursorClaim>)],
    ) -> Vec<OpenedSpace> {
        let opened = |(space, claim): &(SpaceId, Option<CursorClaim>)| {
            if self.strangers.contains(&(device, *space)) {
                return OpenedSpace::NotMember;
            }
            let log = self.spaces.get(space).map_or(&[][..], Vec::as_slice);
            let claimed = claim.map_or(0, |claim| claim.offset);
            let len = |after: u64| {
                let foreign = log
                    .iter()
                    .filter(|(offset, batch)| *offset > after && !is_by(batch, device, incarnation));
                foreign.map(|(_, batch)| batch.as_bytes().len() as u64).sum()
            };
            OpenedSpace::Member {
                log: self.id,
                head: self.head(*space),
                at_cursor: self.digest_at(*space, claimed),
                len_after_cursor: len(claimed),
                len_total: len(0),
                watermark: self.watermark,
                is_revoked: self.revoked.contains(&device),
                quarantined: QuarantineDigest::of(self.quarantined.get(space).into_iter().flatten().copied()),
                own: heights(
                    log.iter().map(|(_, batch)| batch).filter(|batch| batch.header().device == device),
                ),
            }
        };
        spaces.iter().map(opened).collect()
    }

    fn read(
        &mut self,
        space: SpaceId,
        after: u64,
        excluding: (DeviceId, Incarnation),
        len_max: usize,
        control_only: bool,
    ) -> RelayInput {
        self.reads += 1;
        let (mut batches, mut reached, mut len) = (Vec::new(), None, 0);
        let mut digest = LogDigest::EMPTY;
        for (offset, batch) in self.spaces.entry(space).or_default().iter() {
            let offset = *offset;
            digest = digest.then(batch.id());
            if offset <= after {
                continue;
            }
            let is_left_out = control_only && batch.header().kind == BatchKind::Entries;
            if !is_left_out && !is_by(batch, excluding.0, excluding.1) {
                len += batch.as_bytes().len();
                if !batches.is_empty() && len > len_max {
                    break;
                }
                batches.push(Logged { offset, digest, batch: Arc::from(batch.as_bytes()) });
            }
            reached = Some((offset, digest));
        }
        RelayInput::Read { space, batches, reached }
    }
}

impl Log {
    fn shelve(&mut self, output: RelayOutput) -> RelayInput {
        let heads = self.spaces.iter().map(|(space, log)| (*space, log.last().map_or(0, |last| last.0)));
        let heads: BTreeMap<SpaceId, u64> = heads.collect();
        self.shelf.perform(output, |space| heads.get(&space).copied().unwrap_or(0))
    }

    /// Control batches that others lie before.
    fn control_ahead(&self, space: SpaceId, position: u64, after: u64) -> RelayInput {
        let log = self.spaces.get(&space).into_iter().flatten().filter(|(offset, _)| *offset > position);
        let is_entries = |(_, batch): &&(u64, SealedBatch)| batch.header().kind == BatchKind::Entries;
        let is_control = |(_, batch): &&(u64, SealedBatch)| batch.header().kind == BatchKind::Control;
        let ahead = log.skip_while(|batch| !is_entries(batch)).filter(is_control);
        let ahead = ahead.filter(|(offset, _)| *offset > after);
        let batches = ahead.map(|(_, batch)| Arc::from(batch.as_bytes())).collect();
        RelayInput::ControlRead { space, batches, reached: self.head(space) }
    }
}

fn is_by(batch: &SealedBatch, device: DeviceId, incarnation: Incarnation) -> bool {
    batch.header().device == device && batch.header().incarnation == incarnation
}

/// One direction of a link.
#[derive(Default)]
pub(super) struct Wire {
    frames: VecDeque<(Timestamp, Vec<u8>)>,
    free_at: Option<Timestamp>,
    /// Everything that was ever put on it.
    pub(super) sent: Vec<Vec<u8>>,
}

impl Wire {
    fn put(&mut self, frame: Vec<u8>, now: Timestamp, bytes_a_second: Option<i64>) {
        let start = self.free_at.map_or(now, |free_at| free_at.max(now));
        let ms = bytes_a_second.map_or(0, |rate| frame.len() as i64 * 1000 / rate);
        let arrival = start.plus_millis(ms);
        self.free_at = Some(arrival);
        self.sent.push(frame.clone());
        self.frames.push_back((arrival, frame));
    }

    pub(super) fn bytes(&self) -> usize {
        self.sent.iter().map(Vec::len).sum()
    }
}

/// One connection of one phone.
pub(super) struct Link {
    pub(super) phone: usize,
    pub(super) device: DeviceSession,
    pub(super) relay: RelaySession,
    pub(super) up: Wire,
    pub(super) down: Wire,
    device_wake: Option<Timestamp>,
    relay_wake: Option<Timestamp>,
    pub(super) device_closed: Option<CloseReason>,
    pub(super) relay_closed: Option<CloseReason>,
    pub(super) progress: Vec<SessionProgress>,
    pub(super) seen: Vec<u64>,
    pub(super) up_to_date: usize,
    /// What became of batches, and when.
    pub(super) acknowledged: Vec<(BatchId, Timestamp)>,
    pub(super) answered: Vec<(BatchId, Verdict, Timestamp)>,
    pub(super) resets: Vec<SpaceId>,
    pub(super) relay_heights: Vec<(SpaceId, Vec<OwnChain>)>,
    pub(super) not_member: Vec<SpaceId>,
    pub(super) revoked: Vec<SpaceId>,
    pub(super) quarantine_differs: usize,
    /// Control batches that came ahead, and how many batches were held then.
    pub(super) control_ahead: Vec<(BatchId, usize)>,
    /// The phone is too busy to store anything.
    pub(super) stalled: bool,
}

/// A relay, phones, and the links between them.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) relay: Arc<Identity>,
    pub(super) log: Log,
    pub(super) phones: Vec<Phone>,
    pub(super) links: Vec<Link>,
    pub(super) bytes_a_second: Option<i64>,
    /// What each end speaks.
    pub(super) versions: (Versions, Versions),
    /// The next frame of this type is lost on its way, and nothing else.
    pub(super) loses: Option<u8>,
    nonce: u8,
}

impl World {
    pub(super) fn new(phones: u8, spaces: &[SpaceId]) -> Self {
        Self {
            now: at(1_000_000),
            relay: Arc::new(Identity::from_seed([99; 32])),
            log: Log::new(1),
            phones: (1..=phones).map(|number| Phone::new(number, spaces)).collect(),
            links: Vec::new(),
            bytes_a_second: None,
            versions: (Versions::SPOKEN, Versions::SPOKEN),
            loses: None,
            nonce: 0,
        }
    }

    /// Opens a link; its place among the links.
    pub(super) fn connect(&mut self, phone: usize) -> usize {
        self.nonce = self.nonce.wrapping_add(1);
        let config = RelaySessionConfig { identity: self.relay.clone(), nonce: [!self.nonce; 16] };
        let device = {
            let (versions, relay) = (self.versions.0, self.relay.device());
            self.phones[phone].session_speaking(versions, relay, self.nonce, self.now)
        };
        self.links.push(Link {
            phone,
            device,
            relay: RelaySession::speaking(self.versions.1, config, self.now),
            up: Wire::default(),
            down: Wire::default(),
            device_wake: None,
            relay_wake: None,
            device_closed: None,
            relay_closed: None,
            progress: Vec::new(),
            seen: Vec::new(),
            up_to_date: 0,
            acknowledged: Vec::new(),
            answered: Vec::new(),
            resets: Vec::new(),
            relay_heights: Vec::new(),
            not_member: Vec::new(),
            revoked: Vec::new(),
            quarantine_differs: 0,
            control_ahead: Vec::new(),
            stalled: false,
        });
        let link = self.links.len() - 1;
        self.perform_device(link);
        self.perform_relay(link);
        link
    }

    /// A link is gone, with everything on its way.
    pub(super) fn cut(&mut self, link: usize) {
        self.tell_device(link, DeviceInput::Cut);
        self.links.remove(link);
    }

    pub(super) fn tell_device(&mut self, link: usize, input: DeviceInput) {
        self.links[link].device.handle(input, self.now);
        self.perform_device(link);
    }

    pub(super) fn tell_relay(&mut self, link: usize, input: RelayInput) {
        self.links[link].relay.handle(input, self.now);
        self.perform_relay(link);
    }

    /// Something was recorded on a phone with a link.
    pub(super) fn record(&mut self, link: usize, space: SpaceId, lane: Lane, len: usize) -> BatchId {
        let phone = &mut self.phones[self.links[link].phone];
        let batch = phone.record(space, lane, len);
        let unsent = phone.unsent();
        self.tell_device(link, DeviceInput::LocalChange { unsent });
        batch
    }

    fn perform_device(&mut self, index: usize) {
        while let Some(output) = self.links[index].device.poll_output() {
            let link = &mut self.links[index];
            let phone = &mut self.phones[link.phone];
            let input = match output {
                DeviceOutput::Send(frame) => {
                    link.up.put(frame, self.now, self.bytes_a_second);
                    None
                }
                DeviceOutput::Wanted { sent, foreign, budget_len } => {
                    let (batches, exhausted) = phone.outgoing(&sent, &foreign, budget_len);
                    Some(DeviceInput::Outgoing { batches, exhausted })
                }
                DeviceOutput::Ingest { space, batches, unread, cursor } => {
                    let replica = phone.spaces.get_mut(&space).unwrap();
                    batches.iter().for_each(|(_, batch)| {
                        replica.carried.remove(&batch.id());
                    });
                    replica.held.extend(batches.into_iter().map(|(_, batch)| (batch.id(), batch)));
                    replica.unread.extend(unread.into_iter().map(|(_, bytes)| bytes));
                    replica.cursor = Some(cursor);
                    replica.commits += 1;
                    (!link.stalled).then_some(DeviceInput::Ingested { space })
                }
                other => match phone.album.perform(other) {
                    Ok(input) => input,
                    Err(other) => {
                        link.note(phone, other, self.now);
                        None
                    }
                },
            };
            if let Some(input) = input {
                self.links[index].device.handle(input, self.now);
            }
        }
    }

    fn perform_relay(&mut self, index: usize) {
        while let Some(output) = self.links[index].relay.poll_output() {
            let link = &mut self.links[index];
            let input = match output {
                RelayOutput::Send(frame) => {
                    link.down.put(frame, self.now, self.bytes_a_second);
                    None
                }
                RelayOutput::Open { device, incarnation, spaces } => {
                    Some(RelayInput::Opened(self.log.opened(device, incarnation, &spaces)))
                }
                RelayOutput::Append { space, batch } => {
                    let outcome = self.log.append(&batch);
                    self.links[index]
                        .relay
                        .handle(RelayInput::Appended { batch: batch.id(), outcome }, self.now);
                    let head = self.log.head(space);
                    self.news(space, head);
                    None
                }
                RelayOutput::ReadLog { space, after, excluding, len_max, control_only } => {
                    Some(self.log.read(space, after, excluding, len_max, control_only))
                }
                RelayOutput::ReadControl { space, position, after, .. } => {
                    Some(self.log.control_ahead(space, position, after))
                }
                RelayOutput::Confirmed { space, offset } => {
                    let phone = &self.phones[self.links[index].phone];
                    assert!(phone.holds(&self.log, space, offset), "a relay believes too much");
                    None
                }
                RelayOutput::Seen { unsent, .. } => {
                    link.seen.push(unsent);
                    None
                }
                RelayOutput::WakeAt(time) => {
                    link.relay_wake = Some(time);
                    None
                }
                RelayOutput::Closed(reason) => {
                    link.relay_closed = Some(reason);
                    None
                }
                RelayOutput::Enrol { .. } => unreachable!("nobody enrols here"),
                other => Some(self.log.shelve(other)),
            };
            if let Some(input) = input {
                self.links[index].relay.handle(input, self.now);
            }
        }
    }

    fn news(&mut self, space: SpaceId, head: u64) {
        for index in 0..self.links.len() {
            self.links[index].relay.handle(RelayInput::News { space, head }, self.now);
        }
        // Each link's outputs are performed in its own turn.
        for index in 0..self.links.len() {
            self.perform_relay(index);
        }
    }

    /// Delivers the next frame of any link, the earliest first. False if none is on its way.
    pub(super) fn deliver_one(&mut self) -> bool {
        let arrivals = self.links.iter().enumerate().flat_map(|(index, link)| {
            let front = |wire: &Wire| wire.frames.front().map(|(arrival, _)| *arrival);
            [(front(&link.up), index, true), (front(&link.down), index, false)]
        });
        let Some((arrival, index, is_up)) =
            arrivals.filter_map(|(arrival, index, is_up)| Some((arrival?, index, is_up))).min()
        else {
            return false;
        };
        self.now = self.now.max(arrival);
        let link = &mut self.links[index];
        let wire = if is_up { &mut link.up } else { &mut link.down };
        let (_, frame) = wire.frames.pop_front().unwrap();
        if self.loses.is_some_and(|kind| frame[0] == kind) {
            self.loses = None;
            return true;
        }
        if is_up {
            self.tell_relay(index, RelayInput::Frame(frame));
        } else {
            self.tell_device(index, DeviceInput::Frame(frame));
        }
        true
    }

    /// Sets every clock back. The timers run out all the same.
    pub(super) fn set_clocks_back(&mut self, ms: i64) {
        self.now = self.now.plus_millis(-ms);
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            (link.up.free_at, link.down.free_at) = (None, None);
            self.tell_device(index, DeviceInput::Tick);
            self.tell_relay(index, RelayInput::Tick);
        }
    }

    /// Runs until no frame is on its way; no timer fires.
    pub(super) fn run_until_quiet(&mut self) {
        let mut steps = 0;
        while self.deliver_one() {
            steps += 1;
            assert!(steps < 1_000_000, "the link never falls silent");
        }
    }

    /// Runs for a time, timers and all.
    pub(super) fn run_for(&mut self, ms: i64) {
        let end = self.now.plus_millis(ms);
        loop {
            let next_frame = self
                .links
                .iter()
                .flat_map(|link| [&link.up, &link.down])
                .filter_map(|wire| wire.frames.front().map(|(arrival, _)| *arrival))
                .min();
            let wakes = |link: &Link| [link.device_wake, link.relay_wake];
            let next_wake = self.links.iter().flat_map(wakes).flatten().min();
            let Some(next) = next_frame.into_iter().chain(next_wake).min().filter(|next| *next <= end) else {
                break;
            };
            if next_frame == Some(next) {
                self.deliver_one();
                continue;
            }
            self.now = self.now.max(next);
            for index in 0..self.links.len() {
                if self.links[index].device_wake.is_some_and(|wake| wake <= self.now) {
                    self.links[index].device_wake = None;
                    self.tell_device(index, DeviceInput::Tick);
                }
                if self.links[index].relay_wake.is_some_and(|wake| wake <= self.now) {
                    self.links[index].relay_wake = None;
                    self.tell_relay(index, RelayInput::Tick);
                }
            }
        }
        self.now = end;
    }

    /// Asserts that the log and every phone hold the same, and that every phone knows it.
    pub(super) fn assert_equal(&self, spaces: &[SpaceId]) {
        for space in spaces {
            let expected = self.log.batches(*space);
            for phone in &self.phones {
                assert_eq!(phone.batches(*space), expected);
                assert_eq!(phone.unsent(), 0);
            }
        }
    }
}

impl Link {
    fn note(&mut self, phone: &mut Phone, output: DeviceOutput, now: Timestamp) {
        match output {
            DeviceOutput::Acknowledged { space, batch } => {
                let replica = phone.spaces.get_mut(&space).unwrap();
                if !replica.carried.remove(&batch) {
                    replica.acknowledged.insert(batch);
                }
                self.acknowledged.push((batch, now));
            }
            DeviceOutput::Answered { space, batch, verdict } => {
                if matches!(verdict, Verdict::Quarantined(_)) {
                    phone.spaces.get_mut(&space).unwrap().quarantined.insert(batch);
                }
                self.answered.push((batch, verdict, now));
            }
            DeviceOutput::QuarantineDiffers { space } => {
                phone.spaces.get_mut(&space).unwrap().quarantined.clear();
                self.quarantine_differs += 1;
            }
            DeviceOutput::Revoked { space } => self.revoked.push(space),
            DeviceOutput::Watermark { space, offset } => {
                phone.spaces.get_mut(&space).unwrap().watermark = offset;
            }
            DeviceOutput::Control { space, batches } => {
                let replica = phone.spaces.get_mut(&space).unwrap();
                self.control_ahead.extend(batches.iter().map(|batch| (batch.id(), replica.held.len())));
                replica.held.extend(batches.into_iter().map(|batch| (batch.id(), batch)));
            }
            DeviceOutput::RelayHeights { space, heights } => {
                let replica = phone.spaces.get_mut(&space).unwrap();
                let is_held = |batch: &&SealedBatch| {
                    let header = batch.header();
                    heights.iter().any(|height| {
                        height.incarnation == header.incarnation
                            && height.lane == header.lane
                            && header.seq <= height.seq
                    })
                };
                replica.acknowledged = replica.own.iter().filter(is_held).map(SealedBatch::id).collect();
                self.relay_heights.push((space, heights));
            }
            DeviceOutput::ResetCursor { space } => {
                let replica = phone.spaces.get_mut(&space).unwrap();
                replica.cursor = None;
                // Whether the relay still has them shows when its log has been read.
                replica.carried = replica.held.keys().copied().collect();
                self.resets.push(space);
            }
            DeviceOutput::NotMember { space } => self.not_member.push(space),
            DeviceOutput::Progress(progress) => self.progress.push(progress),
            DeviceOutput::UpToDate => self.up_to_date += 1,
            DeviceOutput::WakeAt(time) => self.device_wake = Some(time),
            DeviceOutput::Closed(reason) => self.device_closed = Some(reason),
            other => unreachable!("performed before: {other:?}"),
        }
    }
}
