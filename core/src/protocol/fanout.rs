//! The relay's half of sending: how far each space's log has gone out, and what to read next.
//!
//! One read is in flight at a time, the spaces taking turns. A group of batches ends with a ping;
//! the device's answer says that they are stored, and makes room for the next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::close::CloseCode;
use super::message::{Message, batch_frame, control_frame};
use super::relay::{Logged, RelayOutput};
use super::window::Window;
use crate::clock::Timestamp;
use crate::id::{DeviceId, Incarnation, LogDigest, SpaceId};
use crate::limits::RELAY_READ_LEN_MAX;

#[derive(Debug)]
pub(super) struct Outbox {
    /// By place on the link; none where the device is no member.
    spaces: Vec<Option<Feed>>,
    /// News of spaces that are being opened.
    early_heads: BTreeMap<SpaceId, u64>,
    window: Window<u64>,
    pings: u64,
    /// What is being read.
    reading: Option<Reading>,
    /// The place whose turn it is.
    turn: usize,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    place: usize,
    /// The space's head when the read was asked for.
    head: u64,
}

/// Where the sending of a space begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    pub(super) position: u64,
    pub(super) head: u64,
    /// Only control batches go out.
    pub(super) is_restricted: bool,
}

#[derive(Debug)]
struct Feed {
    space: SpaceId,
    /// Everything up to here has gone out, or is left out.
    position: u64,
    head: u64,
    /// Only control batches go out.
    is_restricted: bool,
    /// Control batches up to here have gone out, if they had to go ahead of others.
    control_to: u64,
    /// One read is not enough to reach the head: control batches go ahead of what lies before them.
    has_backlog: bool,
    /// Groups on their way: the number of the ping behind each, and the position before it.
    unanswered: VecDeque<(u64, u64)>,
    /// What the host was told that the device holds.
    confirmed: Option<u64>,
    /// The position, while the device has not been told of it.
    untold: Option<(u64, LogDigest)>,
}

impl Outbox {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            spaces: Vec::new(),
            early_heads: BTreeMap::new(),
            window: Window::new(now),
            pings: 0,
            reading: None,
            turn: 0,
        }
    }

    /// Spaces are being opened: what is new in them until then must not be missed.
    pub(super) fn expect(&mut self, spaces: impl Iterator<Item = SpaceId>) {
        self.early_heads = spaces.map(|space| (space, 0)).collect();
    }

    /// The next space of the link, or none if it stays closed.
    pub(super) fn open(&mut self, space: SpaceId, begin: Option<Begin>) {
        let early_head = self.early_heads.remove(&space).unwrap_or(0);
        self.spaces.push(begin.map(|Begin { position, head, is_restricted }| Feed {
            space,
            position,
            head: head.max(early_head),
            is_restricted,
            control_to: position,
            has_backlog: position < head,
            unanswered: VecDeque::new(),
            confirmed: None,
            untold: None,
        }));
    }

    /// Whether something less urgent may go: no batch waits to be sent, and none is unanswered for long.
    pub(super) fn lets_by(&self, now: Timestamp) -> bool {
        let is_behind = self.spaces.iter().flatten().any(Feed::is_behind);
        !is_behind && self.reading.is_none() && self.window.lets_by(now)
    }

    /// The place of an open space on the link.
    pub(super) fn place(&self, space: SpaceId) -> Option<u8> {
        self.spaces.iter().position(|feed| is_of(feed, space)).and_then(|place| u8::try_from(place).ok())
    }

    /// Whether nothing but control batches goes out of a space: the device was revoked there.
    pub(super) fn is_restricted(&self, place: u8) -> bool {
        self.spaces.get(usize::from(place)).and_then(Option::as_ref).is_some_and(|feed| feed.is_restricted)
    }

    /// The space at a place, if it is open.
    pub(super) fn space(&self, place: u8) -> Option<SpaceId> {
        Some(self.spaces.get(usize::from(place))?.as_ref()?.space)
    }

    pub(super) fn news(&mut self, space: SpaceId, head: u64) {
        if let Some(early_head) = self.early_heads.get_mut(&space) {
            *early_head = head.max(*early_head);
        } else if let Some(feed) = self.spaces.iter_mut().flatten().find(|feed| feed.space == space) {
            feed.head = head.max(feed.head);
        }
    }

    /// Sends what was read.
    pub(super) fn read(
        &mut self,
        space: SpaceId,
        batches: &[Logged],
        reached: Option<(u64, LogDigest)>,
        now: Timestamp,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        let Some(Reading { place, head: head_then }) = self.reading.take() else {
            return;
        };
        let Some(Some(feed)) = self.spaces.get_mut(place).filter(|feed| is_of(feed, space)) else {
            return;
        };
        let before = feed.position;
        let len = feed.send(place as u8, batches, outputs);
        feed.pass(reached);
        if feed.position == before && feed.head == head_then {
            // Nothing there after all: without this it would be asked for again and again.
            feed.head = before;
        }
        feed.has_backlog = feed.position > before && feed.position < head_then;
        feed.control_to = feed.control_to.max(feed.position);
        if len > 0 {
            feed.unanswered.push_back((self.pings + 1, before));
        }
        self.end_group(len, now, outputs);
    }

    /// Sends control batches ahead of their turn; `reached` is how far the log was looked through.
    pub(super) fn control(
        &mut self,
        space: SpaceId,
        batches: &[Arc<[u8]>],
        reached: u64,
        now: Timestamp,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        let Some(Reading { place, head: head_then }) = self.reading.take() else {
            return;
        };
        let Some(Some(feed)) = self.spaces.get_mut(place).filter(|feed| is_of(feed, space)) else {
            return;
        };
        // At least one step, or it would be asked for again and again.
        let reached = if reached > feed.control_to { reached } else { head_then };
        feed.control_to = reached.max(feed.control_to);
        let frames = batches.iter().map(|batch| RelayOutput::Send(control_frame(place as u8, batch)));
        outputs.extend(frames);
        self.end_group(batches.iter().map(|batch| batch.len()).sum(), now, outputs);
    }

    fn end_group(&mut self, len: usize, now: Timestamp, outputs: &mut VecDeque<RelayOutput>) {
        if len > 0 {
            self.pings += 1;
            self.window.sent(self.pings, len, now);
            outputs.push_back(RelayOutput::Send(Message::Ping { number: self.pings }.encode()));
        }
    }

    /// Whether a position is kept back until the device falls quiet.
    pub(super) fn is_untold(&self) -> bool {
        self.spaces.iter().flatten().any(|feed| feed.untold.is_some())
    }

    /// The device has stored everything before a ping.
    pub(super) fn taken_in(&mut self, number: u64, now: Timestamp) -> Result<(), CloseCode> {
        self.window.answered(&number, now).ok_or(CloseCode::Unexpected)?;
        for feed in self.spaces.iter_mut().flatten() {
            feed.unanswered.retain(|(ping, _)| *ping != number);
        }
        Ok(())
    }

    /// Reads on if there is something to read and room to send it; tells the device of positions
    /// that it would not learn otherwise, once it has stopped sending what moves them.
    pub(super) fn settle(
        &mut self,
        excluding: (DeviceId, Incarnation),
        is_quiet: bool,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        if is_quiet {
            for (place, feed) in self.spaces.iter_mut().enumerate() {
                if let Some(feed) = feed.as_mut().filter(|feed| feed.position >= feed.head) {
                    feed.tell(place as u8, outputs);
                }
            }
        }
        for feed in self.spaces.iter_mut().flatten() {
            feed.confirm(outputs);
        }
        // Two groups fit the window, so that one is on its way while the other is stored; smaller ones
        // would cost a commit each.
        let len_max = (self.window.len() / 2).min(RELAY_READ_LEN_MAX);
        if self.reading.is_some() || self.window.room() < len_max {
            return;
        }
        let count = self.spaces.len();
        let in_turn = (0..count).map(|step| (self.turn + step) % count);
        let behind = in_turn
            .filter_map(|place| Some((place, self.spaces[place].as_ref()?)))
            .find(|(_, feed)| feed.is_behind());
        if let Some((place, feed)) = behind {
            let (space, head) = (feed.space, feed.head);
            if feed.wants_control() {
                let (position, after) = (feed.position, feed.control_to.max(feed.position));
                outputs.push_back(RelayOutput::ReadControl { space, position, after, len_max });
                self.reading = Some(Reading { place, head });
                return;
            }
            let (after, control_only) = (feed.position, feed.is_restricted);
            outputs.push_back(RelayOutput::ReadLog { space, after, excluding, len_max, control_only });
            self.reading = Some(Reading { place, head });
            self.turn = place + 1;
        }
    }
}

fn is_of(feed: &Option<Feed>, space: SpaceId) -> bool {
    feed.as_ref().is_some_and(|feed| feed.space == space)
}

impl Feed {
    fn is_behind(&self) -> bool {
        self.position < self.head
    }

    /// Whether there may be control batches that would have to wait behind others.
    fn wants_control(&self) -> bool {
        self.has_backlog && !self.is_restricted && self.control_to.max(self.position) < self.head
    }

    /// Sends batches after the position; their bytes.
    fn send(&mut self, place: u8, batches: &[Logged], outputs: &mut VecDeque<RelayOutput>) -> usize {
        let mut len = 0;
        for Logged { offset, digest, batch } in batches {
            if *offset > self.position {
                self.position = *offset;
                self.untold = None;
                len += batch.len();
                outputs.push_back(RelayOutput::Send(batch_frame(place, *offset, *digest, batch)));
            }
        }
        len
    }

    /// Passes over what is left out.
    fn pass(&mut self, reached: Option<(u64, LogDigest)>) {
        if let Some((offset, digest)) = reached.filter(|(offset, _)| *offset > self.position) {
            self.position = offset;
            self.untold = Some((offset, digest));
        }
    }

    /// Says what the device is known to hold, when that is more than was said: all before what it has
    /// not answered for. What is left out is its own.
    fn confirm(&mut self, outputs: &mut VecDeque<RelayOutput>) {
        let offset = self.unanswered.front().map_or(self.position, |(_, before)| *before);
        if self.confirmed.is_none_or(|confirmed| confirmed < offset) {
            self.confirmed = Some(offset);
            outputs.push_back(RelayOutput::Confirmed { space: self.space, offset });
        }
    }

    fn tell(&mut self, space: u8, outputs: &mut VecDeque<RelayOutput>) {
        if let Some((offset, digest)) = self.untold.take() {
            outputs.push_back(RelayOutput::Send(Message::Reached { space, offset, digest }.encode()));
        }
    }
}
