//! The device's half of sending: which batches are on their way, and when to ask for more.
//!
//! It keeps no queue. What it asks for it sends at once, and it asks only while the window has room;
//! so an urgent batch waits for nothing but what is on its way already.

use std::collections::{BTreeMap, VecDeque};

use super::device::{DeviceOutput, Transfer};
use super::message::push_frame;
use super::window::Window;
use crate::batch::{Lane, SealedBatch};
use crate::clock::Timestamp;
use crate::control::{RefuseReason, Verdict};
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};
use crate::limits::{OFFER_AGAIN_MS_MIN, OFFER_REFUSED_MS, RETRY_DELAY_MS_MAX};
use crate::position::{HEIGHT_STOPPED, Height, OwnChain};

/// Bytes of room that are always enough to ask for more.
const ASKED_LEN: usize = 256 * 1024;

type ChainKey = (SpaceId, DeviceId, Incarnation, Lane);

#[derive(Debug, Default)]
struct Chain {
    /// What the relay holds.
    held: Option<(u64, BatchId)>,
    /// What was sent on this link, or was held before it.
    sent: Option<(u64, BatchId)>,
    stop: Option<Stop>,
    /// The batch that was refused last on this link: perhaps it was harmed on its way.
    refused: Option<BatchId>,
    /// Milliseconds that the next stop will last.
    delay_ms: i64,
}

/// A chain goes no further: each batch names the one before it, so none may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Until that time.
    Until(Timestamp),
    /// As long as the link lasts.
    Link,
}

#[derive(Debug)]
pub(super) struct Uploads {
    /// Whose chains are its own.
    device: DeviceId,
    /// Spaces of which others' batches may go too.
    foreign: Vec<SpaceId>,
    window: Window<BatchId>,
    chains: BTreeMap<ChainKey, Chain>,
    /// Which chain a batch on its way belongs to, and its place there.
    on_their_way: BTreeMap<BatchId, (ChainKey, u64)>,
    /// A `Wanted` is out and not yet answered.
    asked: bool,
    /// There may be something that was not offered yet.
    more: bool,
    /// Something changed after the last `Wanted`.
    changed: bool,
    done: Transfer,
}

impl Uploads {
    pub(super) fn new(device: DeviceId, now: Timestamp) -> Self {
        Self {
            device,
            foreign: Vec::new(),
            window: Window::new(now),
            chains: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
            asked: false,
            more: true,
            changed: false,
            done: Transfer::default(),
        }
    }

    /// Begins after what the relay holds of this device's chains in a space.
    pub(super) fn begin(&mut self, space: SpaceId, held: &[OwnChain]) {
        for chain in held {
            let height = Some((chain.seq, chain.batch));
            let key = (space, self.device, chain.incarnation, chain.lane);
            self.chains.insert(key, Chain { held: height, sent: height, ..Chain::default() });
        }
    }

    /// Offers nothing of a space on this link.
    pub(super) fn leave(&mut self, space: SpaceId, own: &[OwnChain], incarnation: Incarnation) {
        let mine = Lane::ALL.map(|lane| (incarnation, lane));
        for (incarnation, lane) in own.iter().map(|chain| (chain.incarnation, chain.lane)).chain(mine) {
            self.chains.entry((space, self.device, incarnation, lane)).or_default().stop = Some(Stop::Link);
        }
    }

    /// Lets others' batches of these spaces go too, from now on.
    pub(super) fn let_foreign(&mut self, spaces: Vec<SpaceId>) {
        if spaces != self.foreign {
            self.foreign = spaces;
            self.changed();
        }
    }

    pub(super) fn changed(&mut self) {
        self.more = true;
        self.changed = true;
    }

    /// Asks for batches, if the window has room and there may be some. For what was just recorded any room
    /// will do, as it may be urgent; what is a lot is sealed many at a time, with one commit.
    pub(super) fn ask(&mut self, outputs: &mut VecDeque<DeviceOutput>) {
        let room_min = if self.changed { 1 } else { self.window.len() / 2 };
        if self.asked || !self.more || self.window.room() < room_min.clamp(1, ASKED_LEN) {
            return;
        }
        self.asked = true;
        self.changed = false;
        outputs.push_back(DeviceOutput::Wanted {
            sent: self.sent(),
            foreign: self.foreign.clone(),
            budget_len: self.window.room(),
        });
    }

    fn sent(&self) -> Vec<(SpaceId, Height)> {
        let height = |chain: &Chain| match chain.stop {
            Some(_) => Some((HEIGHT_STOPPED, BatchId::from_bytes([0; 32]))),
            None => chain.sent,
        };
        self.chains
            .iter()
            .filter_map(|(&(space, device, incarnation, lane), chain)| {
                let (seq, batch) = height(chain)?;
                Some((space, Height { device, incarnation, lane, seq, batch }))
            })
            .collect()
    }

    /// Sends what was asked for, the most urgent first. `place` finds a space's place on the link.
    pub(super) fn offer(
        &mut self,
        mut batches: Vec<SealedBatch>,
        exhausted: bool,
        place: impl Fn(SpaceId) -> Option<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        self.asked = false;
        batches.sort_by_key(|batch| batch.header().lane);
        let mut moved = false;
        for batch in batches {
            moved |= self.send(&batch, place(batch.header().space), now, outputs);
        }
        // If nothing came of it, asking again at once would go round for ever.
        self.more = self.changed || (!exhausted && moved);
    }

    /// Sends one batch. False if that changes nothing: the batch was sent before or its chain stopped.
    fn send(
        &mut self,
        batch: &SealedBatch,
        place: Option<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) -> bool {
        let header = batch.header();
        let key = (header.space, header.device, header.incarnation, header.lane);
        let chain = self.chains.entry(key).or_default();
        if chain.stop.is_some() || chain.sent.is_some_and(|(seq, _)| header.seq <= seq) {
            return false;
        }
        let Some(place) = place else {
            chain.stop = Some(Stop::Link);
            return true;
        };
        let id = batch.id();
        chain.sent = Some((header.seq, id));
        self.on_their_way.insert(id, (key, header.seq));
        self.window.sent(id, batch.as_bytes().len(), now);
        outputs.push_back(DeviceOutput::Send(push_frame(place, batch.as_bytes())));
        true
    }

    /// Takes the relay's verdict on a batch in. The space it is of, unless it was not on its way.
    pub(super) fn answered(&mut self, batch: BatchId, verdict: Verdict, now: Timestamp) -> Option<SpaceId> {
        let (key, seq) = self.on_their_way.remove(&batch)?;
        let len = self.window.answered(&batch, now)?;
        let chain = self.chains.entry(key).or_default();
        match (verdict, chain.stop) {
            // In quarantine it is delivered too, though not into the log, and the chain goes on. But that says
            // nothing of what stopped the chain before it, and is offered again.
            (Verdict::Accepted | Verdict::Quarantined(_), stop) => {
                if verdict == Verdict::Accepted || stop.is_none() {
                    chain.hold(seq, batch);
                }
                self.done.batches += 1;
                self.done.len += len as u64;
            }
            // An administrator may make room for it.
            (Verdict::Refused(RefuseReason::QuarantineFull), None) => chain.stop_for_a_while(now),
            (Verdict::Refused(RefuseReason::QuarantineFull), Some(_)) => {}
            (Verdict::Refused(_), _) => chain.refused(batch, now),
            (Verdict::RetryLater(_), None) => chain.stop_for_a_while(now),
            // What followed the batch that stopped the chain.
            (Verdict::RetryLater(_), Some(_)) => {}
        }
        Some(key.0)
    }

    /// When the next chain that was stopped for a while may go on.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.chains.values().filter_map(|chain| chain.until()).min()
    }

    /// Takes the time in: where the clock was set back, no chain waits for it to catch up.
    pub(super) fn set_time(&mut self, now: Timestamp) {
        for chain in self.chains.values_mut() {
            if let Some(Stop::Until(until)) = &mut chain.stop {
                *until = (*until).min(now.plus_millis(chain.delay_ms.max(OFFER_AGAIN_MS_MIN)));
            }
        }
    }

    /// Lets chains go on whose time has come, from what the relay holds of them.
    pub(super) fn tick(&mut self, now: Timestamp) {
        let on_their_way = &self.on_their_way;
        for (key, chain) in &mut self.chains {
            if chain.until().is_none_or(|until| until > now) {
                continue;
            }
            if on_their_way.values().any(|(other, _)| other == key) {
                chain.stop = Some(Stop::Until(now.plus_millis(OFFER_AGAIN_MS_MIN)));
                continue;
            }
            chain.stop = None;
            chain.sent = chain.held;
            self.more = true;
        }
    }

    /// Who belongs to a space has changed: what the relay asked to keep, for it did not know the author, is
    /// offered again now.
    pub(super) fn membership_changed(&mut self, now: Timestamp) {
        for chain in self.chains.values_mut().filter(|chain| chain.delay_ms <= RETRY_DELAY_MS_MAX) {
            if let Some(Stop::Until(until)) = &mut chain.stop {
                *until = now;
            }
        }
        self.tick(now);
        self.changed();
    }

    /// Chains of this device that the relay keeps from going on. Others' that are only carried are
    /// their authors' to worry about.
    pub(super) fn held_back(&self) -> u32 {
        let is_own = |key: &ChainKey| key.1 == self.device;
        self.chains.iter().filter(|(key, chain)| is_own(key) && chain.stop.is_some()).count() as u32
    }

    /// Whether everything that was recorded is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        !self.asked && !self.more && self.window.is_empty() && self.held_back() == 0
    }

    /// Whether something less urgent may go: no batch waits to be sent, and none is unanswered for long.
    pub(super) fn lets_by(&self, now: Timestamp) -> bool {
        !self.asked && !self.more && self.window.lets_by(now)
    }

    pub(super) fn progress(&self) -> Transfer {
        let is_known = !self.asked && !self.more;
        let total = |done: u64, on_the_way: usize| is_known.then_some(done + on_the_way as u64);
        Transfer {
            batches_total: total(self.done.batches, self.on_their_way.len()),
            len_total: total(self.done.len, self.window.in_flight_len()),
            ..self.done
        }
    }
}

impl Chain {
    fn hold(&mut self, seq: u64, batch: BatchId) {
        if self.held.is_none_or(|(held, _)| held < seq) {
            self.held = Some((seq, batch));
        }
        self.delay_ms = 0;
    }

    fn refused(&mut self, batch: BatchId, now: Timestamp) {
        if self.refused.replace(batch) == Some(batch) {
            // It costs its bytes each time; but what harms batches may end while the link lives on.
            self.delay_ms = OFFER_REFUSED_MS;
            self.stop = Some(Stop::Until(now.plus_millis(OFFER_REFUSED_MS)));
        } else if self.stop.is_none() {
            self.stop_for_a_while(now);
        }
    }

    fn stop_for_a_while(&mut self, now: Timestamp) {
        self.delay_ms = (self.delay_ms * 2).clamp(OFFER_AGAIN_MS_MIN, RETRY_DELAY_MS_MAX);
        self.stop = Some(Stop::Until(now.plus_millis(self.delay_ms)));
    }

    fn until(&self) -> Option<Timestamp> {
        match self.stop {
            Some(Stop::Until(time)) => Some(time),
            Some(Stop::Link) | None => None,
        }
    }
}
