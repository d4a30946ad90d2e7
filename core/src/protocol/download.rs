//! The device's half of receiving: batches are gathered into groups, and handed on one group a space
//! at a time.
//!
//! A group ends where the relay's ping says so, because one commit for many batches is far cheaper
//! than one each. The ping is answered when everything before it has been taken in: that answer is
//! what gives the relay room for more, so nothing piles up in a phone that is slower than its link.

use std::collections::VecDeque;

use super::close::CloseCode;
use super::device::{DeviceOutput, Transfer};
use super::message::Message;
use crate::batch::{BatchKind, SealedBatch};
use crate::id::{LogDigest, LogId, SpaceId};
use crate::limits::{RELAY_READ_LEN_MAX, UNTAKEN_LEN_MAX};
use crate::position::Cursor;

/// Pings of the relay that wait for their answer, at most.
const PINGS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Downloads {
    /// By place on the link; none where the device is no member.
    spaces: Vec<Option<Inbox>>,
    /// How many batches were ever received.
    received: u64,
    untaken_len: usize,
    /// Number, and how many batches had been received when it came.
    pings: VecDeque<(u64, u64)>,
    done: Transfer,
    len_total: u64,
}

#[derive(Debug)]
struct Inbox {
    space: SpaceId,
    log: LogId,
    /// Everything up to here is taken in.
    taken: u64,
    /// The last offset that came.
    reached: u64,
    /// The last offset known that there is a batch at for this device.
    head: u64,
    /// The same when the link opened.
    head_at_opening: u64,
    gathered: Group,
    /// Control batches that came ahead of their offsets.
    control: Vec<SealedBatch>,
    control_len: usize,
    /// Handed on, and not yet taken in.
    in_hand: Option<InHand>,
    /// The group gathered is complete.
    complete: bool,
}

#[derive(Debug, Default)]
struct Group {
    batches: Vec<(u64, SealedBatch)>,
    /// Batches that only a newer version can read.
    unread: Vec<(u64, Vec<u8>)>,
    cursor: Option<(u64, LogDigest)>,
    len: usize,
    /// The number of its first batch among all that were received.
    first: u64,
}

#[derive(Debug)]
struct InHand {
    /// The offset that it reaches.
    offset: u64,
    batches: u64,
    len: usize,
    /// The number of its first batch, or of the next one if it has none.
    first: u64,
}

impl Downloads {
    pub(super) fn new() -> Self {
        Self {
            spaces: Vec::new(),
            received: 0,
            untaken_len: 0,
            pings: VecDeque::new(),
            done: Transfer::default(),
            len_total: 0,
        }
    }

    /// The next space of the link is open, and held up to `taken`.
    pub(super) fn open(&mut self, space: SpaceId, log: LogId, taken: u64, head: u64, len_after: u64) {
        self.len_total = self.len_total.saturating_add(len_after);
        // What follows may all be the device's own.
        let head = if len_after == 0 { taken } else { head };
        self.spaces.push(Some(Inbox {
            space,
            log,
            taken,
            reached: taken,
            head,
            head_at_opening: head,
            gathered: Group::default(),
            control: Vec::new(),
            control_len: 0,
            in_hand: None,
            complete: false,
        }));
    }

    /// The next space of the link stays closed.
    pub(super) fn leave(&mut self) {
        self.spaces.push(None);
    }

    /// The place of an open space on the link.
    pub(super) fn place(&self, space: SpaceId) -> Option<u8> {
        let is_it = |inbox: &Option<Inbox>| inbox.as_ref().is_some_and(|inbox| inbox.space == space);
        self.spaces.iter().position(is_it).and_then(|place| u8::try_from(place).ok())
    }

    /// The space at a place, if it is open.
    pub(super) fn space(&self, place: u8) -> Option<SpaceId> {
        Some(self.spaces.get(usize::from(place))?.as_ref()?.space)
    }

    pub(super) fn batch(
        &mut self,
        place: u8,
        (offset, digest): (u64, LogDigest),
        batch: SealedBatch,
    ) -> Result<(), CloseCode> {
        let (space, len) = (batch.header().space, batch.as_bytes().len());
        let group = self.gather(place, (offset, digest), len, Some(space))?;
        group.batches.push((offset, batch));
        Ok(())
    }

    pub(super) fn unread(
        &mut self,
        place: u8,
        (offset, digest): (u64, LogDigest),
        bytes: Vec<u8>,
    ) -> Result<(), CloseCode> {
        let group = self.gather(place, (offset, digest), bytes.len(), None)?;
        group.unread.push((offset, bytes));
        Ok(())
    }

    /// A control batch ahead of its offset.
    pub(super) fn control(&mut self, place: u8, batch: SealedBatch) -> Result<(), CloseCode> {
        let len = batch.as_bytes().len();
        if self.untaken_len + len > UNTAKEN_LEN_MAX {
            return Err(CloseCode::Overrun);
        }
        let header = batch.header();
        let inbox = self.spaces.get_mut(usize::from(place)).and_then(Option::as_mut);
        let inbox = inbox
            .filter(|inbox| inbox.space == header.space && header.kind == BatchKind::Control)
            .ok_or(CloseCode::Unexpected)?;
        self.untaken_len += len;
        inbox.control_len += len;
        inbox.control.push(batch);
        inbox.complete |= inbox.control_len >= RELAY_READ_LEN_MAX;
        Ok(())
    }

    /// The group to which the next batch belongs, after counting it in.
    fn gather(
        &mut self,
        place: u8,
        end: (u64, LogDigest),
        len: usize,
        space: Option<SpaceId>,
    ) -> Result<&mut Group, CloseCode> {
        if self.untaken_len + len > UNTAKEN_LEN_MAX {
            return Err(CloseCode::Overrun);
        }
        let number = self.received;
        let inbox = self.spaces.get_mut(usize::from(place)).and_then(Option::as_mut);
        let inbox = inbox
            .filter(|inbox| end.0 > inbox.reached && space.is_none_or(|space| space == inbox.space))
            .ok_or(CloseCode::Unexpected)?;
        self.received += 1;
        self.untaken_len += len;
        inbox.gather(number, end, len);
        Ok(&mut inbox.gathered)
    }

    pub(super) fn reached(&mut self, place: u8, end: (u64, LogDigest)) -> Result<(), CloseCode> {
        let inbox = self.spaces.get_mut(usize::from(place)).and_then(Option::as_mut);
        let inbox = inbox.filter(|inbox| end.0 > inbox.reached).ok_or(CloseCode::Unexpected)?;
        inbox.reach(end);
        inbox.complete = true;
        Ok(())
    }

    pub(super) fn ping(&mut self, number: u64) -> Result<(), CloseCode> {
        if self.pings.len() >= PINGS_MAX {
            return Err(CloseCode::Overrun);
        }
        self.pings.push_back((number, self.received));
        self.complete_all();
        Ok(())
    }

    /// Ends every group where it stands.
    pub(super) fn complete_all(&mut self) {
        for inbox in self.spaces.iter_mut().flatten() {
            inbox.complete |= inbox.gathered.cursor.is_some() || !inbox.control.is_empty();
        }
    }

    pub(super) fn ingested(&mut self, space: SpaceId) {
        let inbox = self.spaces.iter_mut().flatten().find(|inbox| inbox.space == space);
        let Some((inbox, taken)) = inbox.and_then(|inbox| inbox.in_hand.take().map(|taken| (inbox, taken)))
        else {
            return;
        };
        inbox.taken = taken.offset;
        self.untaken_len -= taken.len;
        self.done.batches += taken.batches;
        self.done.len += taken.len as u64;
        // What was written since the link opened was not counted then.
        self.len_total = self.len_total.max(self.done.len);
        if self.is_done() {
            self.len_total = self.done.len;
        }
    }

    /// Hands complete groups on, one a space, and answers the pings whose batches are taken in.
    pub(super) fn hand_on(&mut self, outputs: &mut VecDeque<DeviceOutput>) {
        for inbox in self.spaces.iter_mut().flatten() {
            if inbox.complete && !inbox.control.is_empty() {
                // Performed before the answer to the ping that comes after it, so it needs none.
                let batches = std::mem::take(&mut inbox.control);
                self.untaken_len -= std::mem::take(&mut inbox.control_len);
                outputs.push_back(DeviceOutput::Control { space: inbox.space, batches });
            }
            if inbox.complete && inbox.in_hand.is_none() {
                inbox.hand_on(outputs);
            }
        }
        let untaken_from = self.spaces.iter().flatten().filter_map(Inbox::first_untaken).min();
        let taken_before = untaken_from.unwrap_or(u64::MAX);
        while self.pings.front().is_some_and(|(_, received)| *received <= taken_before) {
            if let Some((number, _)) = self.pings.pop_front() {
                outputs.push_back(DeviceOutput::Send(Message::Pong { number }.encode()));
            }
        }
    }

    /// Hands on what is left as a link ends; no ping is answered any more.
    pub(super) fn hand_on_last(&mut self, outputs: &mut VecDeque<DeviceOutput>) {
        self.pings.clear();
        self.hand_on(outputs);
    }

    /// Whether everything that the relay is known to have is taken in. A cursor that only moves on
    /// over the device's own batches brings nothing.
    pub(super) fn is_done(&self) -> bool {
        self.spaces.iter().flatten().all(|inbox| inbox.taken >= inbox.head)
    }

    /// The spaces of which everything is taken in that the relay had when the link opened.
    pub(super) fn read_to_the_opening(&self) -> Vec<SpaceId> {
        let open = self.spaces.iter().flatten();
        open.filter(|inbox| inbox.taken >= inbox.head_at_opening).map(|inbox| inbox.space).collect()
    }

    pub(super) fn progress(&self) -> Transfer {
        Transfer { len_total: Some(self.len_total), ..self.done }
    }
}

impl Inbox {
    fn gather(&mut self, number: u64, end: (u64, LogDigest), len: usize) {
        self.reach(end);
        self.head = self.head.max(end.0);
        let group = &mut self.gathered;
        group.first = if group.is_empty() { number } else { group.first };
        group.len += len;
        self.complete |= self.gathered.len >= RELAY_READ_LEN_MAX;
    }

    fn reach(&mut self, end: (u64, LogDigest)) {
        self.reached = end.0;
        self.gathered.cursor = Some(end);
    }

    fn hand_on(&mut self, outputs: &mut VecDeque<DeviceOutput>) {
        self.complete = false;
        let group = std::mem::take(&mut self.gathered);
        let Some((offset, digest)) = group.cursor else {
            return;
        };
        self.in_hand = Some(InHand {
            offset,
            batches: (group.batches.len() + group.unread.len()) as u64,
            len: group.len,
            first: group.first,
        });
        outputs.push_back(DeviceOutput::Ingest {
            space: self.space,
            batches: group.batches,
            unread: group.unread,
            cursor: Cursor { log: self.log, offset, digest },
        });
    }

    /// The number of the first batch that is not taken in.
    fn first_untaken(&self) -> Option<u64> {
        let in_hand = self.in_hand.as_ref().map(|in_hand| in_hand.first);
        let gathered = (!self.gathered.is_empty()).then_some(self.gathered.first);
        in_hand.or(gathered)
    }
}

impl Group {
    fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.unread.is_empty()
    }
}
