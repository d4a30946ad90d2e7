//! The device's half of sending: what is offered, what goes next, and from where.

use std::collections::{BTreeMap, VecDeque};

use super::super::device::DeviceOutput;
use super::super::message::Message;
use super::super::window::Window;
use super::delay::PutOff;
use super::{AttachmentProgress, piece_len};
use crate::attachment::{AttachmentName, AttachmentOffer, AttachmentRefusal};
use crate::clock::Timestamp;
use crate::limits::{ATTACHMENT_ANSWER_MS_MAX, ATTACHMENT_HARMED_MAX, ATTACHMENT_OFFERS_MAX};

/// Thumbnails first, and then in the order in which they were given.
type Turn = (bool, u64);

#[derive(Debug)]
pub(in crate::protocol) struct Giving {
    window: Window<AttachmentName>,
    offered: BTreeMap<AttachmentName, Offered>,
    turns: BTreeMap<Turn, AttachmentName>,
    given: u64,
    /// Bytes of this one were asked for.
    asked: Option<AttachmentName>,
    /// Not to be offered for now, or for as long as the link lasts.
    put_off: PutOff,
}

#[derive(Debug)]
struct Offered {
    place: u8,
    len: u64,
    turn: Turn,
    /// Where the next part begins; none while the offer is not answered.
    next: Option<u64>,
    /// Where each part on its way ends.
    on_their_way: VecDeque<u64>,
    /// The relay does not hold what was thought: when all is answered, it goes on from here.
    resume_at: Option<u64>,
    resumed: u32,
    /// When the relay last said something of it.
    heard: Timestamp,
}

impl Giving {
    pub(in crate::protocol) fn new(now: Timestamp) -> Self {
        Self {
            window: Window::of_attachments(now),
            offered: BTreeMap::new(),
            turns: BTreeMap::new(),
            given: 0,
            asked: None,
            put_off: PutOff::default(),
        }
    }

    /// How many more may be offered.
    pub(in crate::protocol) fn room(&self) -> usize {
        ATTACHMENT_OFFERS_MAX.saturating_sub(self.offered.len())
    }

    /// What must not be given again now.
    pub(in crate::protocol) fn known(&self) -> impl Iterator<Item = AttachmentName> + '_ {
        self.offered.keys().copied().chain(self.put_off.names())
    }

    pub(in crate::protocol) fn offer(
        &mut self,
        offer: AttachmentOffer,
        place: Option<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let name = (offer.space, offer.hash);
        // Long ones leave room for thumbnails that come later.
        let originals = self.turns.keys().filter(|(is_original, _)| *is_original).count();
        let is_full = self.room() == 0 || (!offer.is_thumbnail && originals >= ATTACHMENT_OFFERS_MAX / 2);
        if self.offered.contains_key(&name) || is_full {
            return;
        }
        let Some(place) = place else {
            return self.put_off.for_good(name);
        };
        self.given += 1;
        let turn = (!offer.is_thumbnail, self.given);
        self.turns.insert(turn, name);
        let offered = Offered {
            place,
            len: offer.len,
            turn,
            next: None,
            on_their_way: VecDeque::new(),
            resume_at: None,
            resumed: 0,
            heard: now,
        };
        self.offered.insert(name, offered);
        let message = Message::Offer { space: place, hash: offer.hash, len: offer.len };
        outputs.push_back(DeviceOutput::Send(message.encode()));
    }

    /// The relay holds so much of an attachment, or all; whether that makes room for another.
    pub(in crate::protocol) fn held(
        &mut self,
        name: AttachmentName,
        (held, head): (u64, Option<u64>),
        now: Timestamp,
        progress: &mut AttachmentProgress,
        outputs: &mut VecDeque<DeviceOutput>,
    ) -> bool {
        let Some(offered) = self.offered.get_mut(&name) else { return false };
        offered.heard = now;
        let (space, hash) = name;
        let end = offered.on_their_way.pop_front();
        if end.is_some() {
            progress.up_len += self.window.answered(&name, now).unwrap_or(0) as u64;
        }
        if held >= offered.len && head.is_none() {
            // It thinks that there is more: it was told another length, or what it was told was harmed.
            self.leave(name, true, now);
            return true;
        }
        if let Some(head) = head {
            self.forget(name, now);
            self.put_off.forget(name);
            progress.up += 1;
            outputs.push_back(DeviceOutput::AttachmentAcknowledged { space, hash, head });
            return true;
        }
        match (offered.next, end) {
            (None, _) => offered.next = Some(held),
            (Some(_), Some(end)) if end == held && offered.resume_at.is_none() => {}
            (Some(_), Some(_)) => offered.resume_at = Some(held),
            // Told without having been asked: another device is sending it too.
            (Some(_), None) => {}
        }
        outputs.push_back(DeviceOutput::AttachmentHeldThere { space, hash, held });
        self.resume(name, now);
        false
    }

    /// The relay does not take an attachment, or a part of it.
    pub(in crate::protocol) fn refused(
        &mut self,
        name: AttachmentName,
        refusal: AttachmentRefusal,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let Some(offered) = self.offered.get_mut(&name) else { return };
        offered.heard = now;
        if offered.on_their_way.pop_front().is_some() {
            self.window.answered(&name, now);
        }
        if refusal == AttachmentRefusal::Harmed {
            offered.next.get_or_insert(0);
            offered.resume_at = Some(0);
            return self.resume(name, now);
        }
        self.leave(name, refusal.is_for_now(), now);
        let (space, hash) = name;
        outputs.push_back(DeviceOutput::AttachmentNotTaken { space, hash, refusal });
    }

    /// Goes on from what the relay holds, once nothing that it did not expect is on its way any more.
    fn resume(&mut self, name: AttachmentName, now: Timestamp) {
        let Some(offered) = self.offered.get_mut(&name) else { return };
        if offered.on_their_way.is_empty()
            && let Some(held) = offered.resume_at.take()
        {
            offered.next = Some(held);
            offered.resumed += 1;
            if offered.resumed > ATTACHMENT_HARMED_MAX {
                self.leave(name, true, now);
            }
        }
    }

    /// Asks for the next part, if it may go.
    pub(in crate::protocol) fn ask(&mut self, outputs: &mut VecDeque<DeviceOutput>) {
        if self.asked.is_some() || self.window.room() == 0 {
            return;
        }
        let may_go = |name: &&AttachmentName| self.offered.get(*name).is_some_and(Offered::may_go);
        let Some(&name) = self.turns.values().find(may_go) else { return };
        let Some((offset, left)) = self.offered.get(&name).and_then(Offered::left) else { return };
        self.asked = Some(name);
        let len = left.min(piece_len(&self.window) as u64) as usize;
        outputs.push_back(DeviceOutput::AttachmentPieceWanted { space: name.0, hash: name.1, offset, len });
    }

    /// Sends the part that was asked for; none if it cannot be read any more.
    pub(in crate::protocol) fn give(
        &mut self,
        bytes: Option<Vec<u8>>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let Some(name) = self.asked.take() else { return };
        let Some(offered) = self.offered.get_mut(&name).filter(|offered| offered.may_go()) else { return };
        let (Some(bytes), Some(offset)) = (bytes.filter(|bytes| !bytes.is_empty()), offered.next) else {
            return self.leave(name, false, now);
        };
        let end = offset + bytes.len() as u64;
        if offered.on_their_way.is_empty() {
            offered.heard = now;
        }
        offered.next = Some(end);
        offered.on_their_way.push_back(end);
        self.window.sent(name, bytes.len(), now);
        let message = Message::Piece { space: offered.place, hash: name.1, offset, bytes };
        outputs.push_back(DeviceOutput::Send(message.encode()));
    }

    /// The relay says that it lacks this: whatever it said before.
    pub(in crate::protocol) fn sought(&mut self, name: AttachmentName) {
        self.put_off.forget(name);
    }

    pub(in crate::protocol) fn deadline(&self) -> Option<Timestamp> {
        let waiting = self.offered.values().filter(|offered| offered.waits());
        let given_up = waiting.map(|offered| offered.heard.plus_millis(ATTACHMENT_ANSWER_MS_MAX)).min();
        self.put_off.deadline().into_iter().chain(given_up).min()
    }

    /// Whether something that was put off may be offered again.
    pub(in crate::protocol) fn tick(&mut self, now: Timestamp) -> bool {
        // An answer that does not come was harmed on its way, as was what it answers.
        let is_late = |offered: &Offered| {
            offered.waits() && now.millis_since(offered.heard) >= ATTACHMENT_ANSWER_MS_MAX
        };
        let late: Vec<AttachmentName> =
            self.offered.iter().filter(|(_, offered)| is_late(offered)).map(|(name, _)| *name).collect();
        late.iter().for_each(|name| self.leave(*name, true, now));
        self.put_off.tick(now) || !late.is_empty()
    }

    pub(in crate::protocol) fn set_time(&mut self, now: Timestamp) {
        self.put_off.set_time(now);
        for offered in self.offered.values_mut() {
            offered.heard = offered.heard.min(now);
        }
    }

    fn leave(&mut self, name: AttachmentName, is_for_now: bool, now: Timestamp) {
        self.forget(name, now);
        if is_for_now {
            self.put_off.for_a_while(name, now);
        } else {
            self.put_off.for_good(name);
        }
    }

    fn forget(&mut self, name: AttachmentName, now: Timestamp) {
        let Some(offered) = self.offered.remove(&name) else { return };
        self.turns.remove(&offered.turn);
        for _ in offered.on_their_way {
            self.window.answered(&name, now);
        }
    }
}

impl Offered {
    /// The relay owes an answer.
    fn waits(&self) -> bool {
        self.next.is_none() || !self.on_their_way.is_empty()
    }

    fn may_go(&self) -> bool {
        self.resume_at.is_none() && self.left().is_some()
    }

    /// Where the next part begins, and how many bytes are left from there.
    fn left(&self) -> Option<(u64, u64)> {
        let next = self.next?;
        Some((next, self.len.checked_sub(next).filter(|left| *left > 0)?))
    }
}
