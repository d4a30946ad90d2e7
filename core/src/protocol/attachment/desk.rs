//! The relay's half, both ways: what a device offers and sends, and what it fetches.
//!
//! It stores nothing and reads nothing: every offer and every part is handed on and answered once, in the
//! order in which they came, and the bytes of what is fetched are asked for part by part, each attachment
//! in turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::close::CloseCode;
use super::super::message::Message;
use super::super::relay::RelayOutput;
use super::super::window::Window;
use super::piece_len;
use crate::attachment::{AttachmentName, AttachmentRefusal};
use crate::clock::Timestamp;
use crate::id::{AttachmentHash, SpaceId};
use crate::limits::{
    ATTACHMENT_LEN_MAX, ATTACHMENT_LINK_MAX, ATTACHMENT_SOUGHT_MAX, ATTACHMENT_UNTAKEN_LEN_MAX,
};

/// Offers of one attachment that wait for an answer, at most: a device whose offer was not answered for
/// long makes another.
const OFFERED_AGAIN_MAX: usize = 8;

#[derive(Debug)]
pub(in crate::protocol) struct Desk {
    offered: BTreeMap<AttachmentName, Offered>,
    untaken_len: usize,
    window: Window<AttachmentName>,
    /// What the device fetches, the next in turn first.
    fetched: VecDeque<Fetched>,
    /// Bytes of this one were asked for, at this offset.
    asked: Option<(AttachmentName, u64)>,
    /// What the device was told is lacking.
    lacked: BTreeSet<AttachmentName>,
}

#[derive(Debug)]
struct Offered {
    place: u8,
    /// Bytes of what was handed on and is not answered for; 0 for the offer itself.
    unanswered: VecDeque<usize>,
}

#[derive(Debug)]
struct Fetched {
    name: AttachmentName,
    place: u8,
    next: u64,
}

impl Desk {
    pub(in crate::protocol) fn new(now: Timestamp) -> Self {
        Self {
            offered: BTreeMap::new(),
            untaken_len: 0,
            window: Window::of_attachments(now),
            fetched: VecDeque::new(),
            asked: None,
            lacked: BTreeSet::new(),
        }
    }

    pub(in crate::protocol) fn offer(
        &mut self,
        place: u8,
        name: AttachmentName,
        len: u64,
        is_restricted: bool,
        outputs: &mut VecDeque<RelayOutput>,
    ) -> Result<(), CloseCode> {
        if is_restricted {
            say_not_wanted(place, name, AttachmentRefusal::NotPermitted, outputs);
            return Ok(());
        }
        if len == 0 || len > ATTACHMENT_LEN_MAX {
            say_not_wanted(place, name, AttachmentRefusal::TooLarge, outputs);
            return Ok(());
        }
        if self.offered.len() >= ATTACHMENT_LINK_MAX && !self.offered.contains_key(&name) {
            self.offered.retain(|_, offered| !offered.unanswered.is_empty());
            if self.offered.len() >= ATTACHMENT_LINK_MAX {
                return Err(CloseCode::Overrun);
            }
        }
        let offered = self.offered.entry(name);
        let offered = offered.or_insert_with(|| Offered { place, unanswered: VecDeque::new() });
        if offered.unanswered.iter().filter(|len| **len == 0).count() >= OFFERED_AGAIN_MAX {
            return Err(CloseCode::Overrun);
        }
        offered.unanswered.push_back(0);
        outputs.push_back(RelayOutput::AttachmentOffered { space: name.0, hash: name.1, len });
        Ok(())
    }

    pub(in crate::protocol) fn piece(
        &mut self,
        place: u8,
        name: AttachmentName,
        offset: u64,
        bytes: Vec<u8>,
        outputs: &mut VecDeque<RelayOutput>,
    ) -> Result<(), CloseCode> {
        let Some(offered) = self.offered.get_mut(&name) else {
            // Was on its way when the attachment was refused.
            say_not_wanted(place, name, AttachmentRefusal::NotNow, outputs);
            return Ok(());
        };
        if self.untaken_len + bytes.len() > ATTACHMENT_UNTAKEN_LEN_MAX {
            return Err(CloseCode::Overrun);
        }
        self.untaken_len += bytes.len();
        offered.unanswered.push_back(bytes.len());
        outputs.push_back(RelayOutput::AttachmentPiece { space: name.0, hash: name.1, offset, bytes });
        Ok(())
    }

    /// How much of an attachment is here now.
    pub(in crate::protocol) fn held(
        &mut self,
        name: AttachmentName,
        (held, len, head): (u64, u64, u64),
        place: Option<u8>,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        let is_whole = held >= len;
        let place = if let Some(offered) = self.answered(name) {
            let place = offered.place;
            if is_whole {
                self.forget(name);
            }
            place
        } else if let Some(place) = place.filter(|_| is_whole && self.lacked.remove(&name)) {
            place
        } else {
            return;
        };
        let head = is_whole.then_some(head);
        let message = Message::Holds { space: place, hash: name.1, held, head };
        outputs.push_back(RelayOutput::Send(message.encode()));
    }

    pub(in crate::protocol) fn refused(
        &mut self,
        name: AttachmentName,
        refusal: AttachmentRefusal,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        let Some(offered) = self.answered(name) else { return };
        let place = offered.place;
        if refusal != AttachmentRefusal::Harmed {
            self.forget(name);
        }
        say_not_wanted(place, name, refusal, outputs);
    }

    /// The next answer for an attachment is there, if one is waited for.
    fn answered(&mut self, name: AttachmentName) -> Option<&Offered> {
        let offered = self.offered.get_mut(&name)?;
        self.untaken_len -= offered.unanswered.pop_front()?;
        Some(offered)
    }

    fn forget(&mut self, name: AttachmentName) {
        if let Some(offered) = self.offered.remove(&name) {
            self.untaken_len -= offered.unanswered.iter().sum::<usize>();
        }
    }

    pub(in crate::protocol) fn fetch(
        &mut self,
        place: u8,
        name: AttachmentName,
        offset: u64,
        is_restricted: bool,
        outputs: &mut VecDeque<RelayOutput>,
    ) -> Result<(), CloseCode> {
        if is_restricted {
            say_lacks(place, name, outputs);
            return Ok(());
        }
        self.fetched.retain(|fetched| fetched.name != name);
        if self.fetched.len() >= ATTACHMENT_LINK_MAX {
            return Err(CloseCode::Overrun);
        }
        self.lacked.remove(&name);
        self.fetched.push_back(Fetched { name, place, next: offset });
        Ok(())
    }

    /// The device has taken a part in.
    pub(in crate::protocol) fn got(&mut self, name: AttachmentName, now: Timestamp) -> Result<(), CloseCode> {
        self.window.answered(&name, now).map(drop).ok_or(CloseCode::Unexpected)
    }

    /// Asks for the next part, if it may go.
    pub(in crate::protocol) fn ask(&mut self, outputs: &mut VecDeque<RelayOutput>) {
        if self.asked.is_some() || self.window.room() == 0 {
            return;
        }
        let Some(next) = self.fetched.front() else { return };
        self.asked = Some((next.name, next.next));
        outputs.push_back(RelayOutput::AttachmentWanted {
            space: next.name.0,
            hash: next.name.1,
            offset: next.next,
            len_max: piece_len(&self.window),
        });
    }

    /// Sends the part that was asked for.
    pub(in crate::protocol) fn bytes(
        &mut self,
        name: AttachmentName,
        (len, offset): (u64, u64),
        bytes: Vec<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<RelayOutput>,
    ) {
        if self.asked != Some((name, offset)) {
            return;
        }
        if bytes.is_empty() {
            return self.lacking(name, outputs);
        }
        self.asked = None;
        let is_it = |fetched: &Fetched| fetched.name == name && fetched.next == offset;
        // Not there any more: something else was asked for meanwhile.
        let Some(mut fetched) =
            self.fetched.iter().position(is_it).and_then(|place| self.fetched.remove(place))
        else {
            return;
        };
        fetched.next += bytes.len() as u64;
        self.window.sent(name, bytes.len(), now);
        let message = Message::Bytes { space: fetched.place, hash: name.1, len, offset, bytes };
        outputs.push_back(RelayOutput::Send(message.encode()));
        if fetched.next < len {
            self.fetched.push_back(fetched);
        }
    }

    /// What was asked for is not here.
    pub(in crate::protocol) fn lacking(&mut self, name: AttachmentName, outputs: &mut VecDeque<RelayOutput>) {
        if self.asked.is_none_or(|(asked, _)| asked != name) {
            return;
        }
        self.asked = None;
        if let Some(index) = self.fetched.iter().position(|fetched| fetched.name == name)
            && let Some(fetched) = self.fetched.remove(index)
        {
            if self.lacked.len() < ATTACHMENT_LINK_MAX {
                self.lacked.insert(name);
            }
            say_lacks(fetched.place, name, outputs);
        }
    }
}

/// Says which attachments the relay lacks.
pub(in crate::protocol) fn say_sought(
    place: u8,
    hashes: &[AttachmentHash],
    outputs: &mut VecDeque<RelayOutput>,
) {
    for hashes in hashes.chunks(ATTACHMENT_SOUGHT_MAX) {
        let message = Message::Sought { space: place, hashes: hashes.to_vec() };
        outputs.push_back(RelayOutput::Send(message.encode()));
    }
}

fn say_not_wanted(
    place: u8,
    (_, hash): (SpaceId, AttachmentHash),
    refusal: AttachmentRefusal,
    outputs: &mut VecDeque<RelayOutput>,
) {
    outputs.push_back(RelayOutput::Send(Message::NotWanted { space: place, hash, refusal }.encode()));
}

fn say_lacks(place: u8, (_, hash): (SpaceId, AttachmentHash), outputs: &mut VecDeque<RelayOutput>) {
    outputs.push_back(RelayOutput::Send(Message::Lacks { space: place, hash }.encode()));
}
