//! The device's half of fetching: what was asked for, and what came of it.

use std::collections::{BTreeMap, VecDeque};

use super::super::device::DeviceOutput;
use super::super::message::Message;
use super::AttachmentProgress;
use super::delay::PutOff;
use crate::attachment::{AttachmentFetch, AttachmentKept, AttachmentName};
use crate::clock::Timestamp;
use crate::limits::{
    ATTACHMENT_ANSWER_MS_MAX, ATTACHMENT_FETCHES_MAX, ATTACHMENT_HARMED_MAX, ATTACHMENT_LEN_MAX,
    ATTACHMENT_LINK_MAX,
};

#[derive(Debug, Default)]
pub(in crate::protocol) struct Taking {
    fetched: BTreeMap<AttachmentName, Fetched>,
    /// What the relay lacks, or what nothing came of.
    put_off: PutOff,
}

#[derive(Debug)]
struct Fetched {
    place: u8,
    /// What comes next.
    next: u64,
    harmed: u32,
    /// When something of it last came.
    heard: Timestamp,
}

impl Taking {
    /// How many more may be fetched.
    pub(in crate::protocol) fn room(&self) -> usize {
        let room = ATTACHMENT_FETCHES_MAX.saturating_sub(self.fetched.len());
        if self.put_off.len() < ATTACHMENT_LINK_MAX { room } else { 0 }
    }

    /// What must not be given again now.
    pub(in crate::protocol) fn known(&self) -> impl Iterator<Item = AttachmentName> + '_ {
        self.fetched.keys().copied().chain(self.put_off.names())
    }

    pub(in crate::protocol) fn fetch(
        &mut self,
        fetch: AttachmentFetch,
        place: Option<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let name = (fetch.space, fetch.hash);
        if self.fetched.contains_key(&name) || self.fetched.len() >= ATTACHMENT_FETCHES_MAX {
            return;
        }
        let Some(place) = place else { return self.put_off.for_good(name) };
        self.fetched.insert(name, Fetched { place, next: fetch.held, harmed: 0, heard: now });
        say_fetch(place, name, fetch.held, outputs);
    }

    /// A part came.
    pub(in crate::protocol) fn came(
        &mut self,
        place: u8,
        name: AttachmentName,
        (len, offset): (u64, u64),
        bytes: Vec<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let end = offset.checked_add(bytes.len() as u64);
        let is_sound = len <= ATTACHMENT_LEN_MAX && end.is_some_and(|end| end <= len);
        let Some(fetched) = self.fetched.get_mut(&name).filter(|fetched| fetched.next == offset && is_sound)
        else {
            // Was on its way when something else was asked for; or is nonsense, and then nothing more of
            // it is waited for.
            if !is_sound && self.fetched.remove(&name).is_some() {
                self.put_off.for_good(name);
            }
            let held = self.fetched.get(&name).map_or(0, |fetched| fetched.next);
            return say_got(place, name, held, outputs);
        };
        fetched.next += bytes.len() as u64;
        fetched.heard = now;
        let (space, hash) = name;
        outputs.push_back(DeviceOutput::AttachmentCame { space, hash, len, offset, bytes });
    }

    /// What became of the part that came.
    pub(in crate::protocol) fn kept(
        &mut self,
        name: AttachmentName,
        kept: AttachmentKept,
        came_len: u64,
        progress: &mut AttachmentProgress,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        let Some(fetched) = self.fetched.get_mut(&name) else { return };
        progress.down_len += came_len;
        let (place, next) = (fetched.place, fetched.next);
        match kept {
            AttachmentKept::Part { held } if held == next => say_got(place, name, held, outputs),
            AttachmentKept::Part { held } => {
                fetched.next = held;
                fetched.harmed += 1;
                let is_left = fetched.harmed > ATTACHMENT_HARMED_MAX;
                say_got(place, name, held, outputs);
                self.begin_again(name, is_left, outputs);
            }
            AttachmentKept::Whole => {
                progress.down += 1;
                self.fetched.remove(&name);
                self.put_off.forget(name);
                say_got(place, name, next, outputs);
            }
            AttachmentKept::Harmed => {
                fetched.next = 0;
                fetched.harmed += 1;
                let is_left = fetched.harmed > ATTACHMENT_HARMED_MAX;
                say_got(place, name, 0, outputs);
                self.begin_again(name, is_left, outputs);
            }
            AttachmentKept::Unwanted => {
                say_got(place, name, next, outputs);
                self.fetched.remove(&name);
                self.put_off.for_good(name);
            }
        }
    }

    fn begin_again(&mut self, name: AttachmentName, is_left: bool, outputs: &mut VecDeque<DeviceOutput>) {
        if is_left {
            self.fetched.remove(&name);
            self.put_off.for_good(name);
        } else if let Some(fetched) = self.fetched.get(&name) {
            say_fetch(fetched.place, name, fetched.next, outputs);
        }
    }

    /// The relay lacks it, for now.
    pub(in crate::protocol) fn lacks(&mut self, name: AttachmentName, now: Timestamp) {
        if self.fetched.remove(&name).is_some() {
            self.put_off.for_a_while(name, now);
        }
    }

    /// The relay has got something; whether it was lacking.
    pub(in crate::protocol) fn found(&mut self, name: AttachmentName) -> bool {
        self.put_off.end(name)
    }

    pub(in crate::protocol) fn deadline(&self) -> Option<Timestamp> {
        let heard = self.fetched.values().map(|fetched| fetched.heard).min();
        let given_up = heard.map(|heard| heard.plus_millis(ATTACHMENT_ANSWER_MS_MAX));
        self.put_off.deadline().into_iter().chain(given_up).min()
    }

    /// Whether something that was lacking may be asked for again.
    pub(in crate::protocol) fn tick(&mut self, now: Timestamp) -> bool {
        let is_late = |fetched: &Fetched| now.millis_since(fetched.heard) >= ATTACHMENT_ANSWER_MS_MAX;
        let late: Vec<AttachmentName> =
            self.fetched.iter().filter(|(_, fetched)| is_late(fetched)).map(|(name, _)| *name).collect();
        late.iter().for_each(|name| self.lacks(*name, now));
        self.put_off.tick(now) || !late.is_empty()
    }

    pub(in crate::protocol) fn set_time(&mut self, now: Timestamp) {
        self.put_off.set_time(now);
        for fetched in self.fetched.values_mut() {
            fetched.heard = fetched.heard.min(now);
        }
    }
}

fn say_fetch(place: u8, name: AttachmentName, offset: u64, outputs: &mut VecDeque<DeviceOutput>) {
    outputs.push_back(DeviceOutput::Send(Message::Fetch { space: place, hash: name.1, offset }.encode()));
}

fn say_got(place: u8, name: AttachmentName, held: u64, outputs: &mut VecDeque<DeviceOutput>) {
    outputs.push_back(DeviceOutput::Send(Message::Got { space: place, hash: name.1, held }.encode()));
}
