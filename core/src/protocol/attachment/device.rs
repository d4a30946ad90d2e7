//! The device's half, both ways.

use std::collections::VecDeque;

use super::super::device::DeviceOutput;
use super::AttachmentProgress;
use super::give::Giving;
use super::take::Taking;
use crate::attachment::{AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer};
use crate::clock::Timestamp;
use crate::id::SpaceId;

#[derive(Debug)]
pub(in crate::protocol) struct Attachments {
    pub(in crate::protocol) giving: Giving,
    pub(in crate::protocol) taking: Taking,
    /// They were asked for, and are not named yet.
    asked: bool,
    /// There may be some that were not named yet.
    more: bool,
    progress: AttachmentProgress,
    shown: AttachmentProgress,
}

impl Attachments {
    pub(in crate::protocol) fn new(now: Timestamp) -> Self {
        Self {
            giving: Giving::new(now),
            taking: Taking::default(),
            asked: false,
            more: true,
            progress: AttachmentProgress::default(),
            shown: AttachmentProgress::default(),
        }
    }

    pub(in crate::protocol) fn changed(&mut self) {
        self.more = true;
    }

    /// Offers and fetches what was named.
    pub(in crate::protocol) fn named(
        &mut self,
        offers: Vec<AttachmentOffer>,
        fetches: Vec<AttachmentFetch>,
        place: impl Fn(SpaceId) -> Option<u8>,
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        if !std::mem::take(&mut self.asked) {
            return;
        }
        for offer in offers {
            self.giving.offer(offer, place(offer.space), now, outputs);
        }
        for fetch in fetches {
            self.taking.fetch(fetch, place(fetch.space), now, outputs);
        }
    }

    pub(in crate::protocol) fn held(
        &mut self,
        name: AttachmentName,
        (held, head): (u64, Option<u64>),
        now: Timestamp,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        // Each that is over makes room for another.
        self.more |= self.giving.held(name, (held, head), now, &mut self.progress, outputs);
        self.more |= self.taking.found(name);
    }

    pub(in crate::protocol) fn kept(
        &mut self,
        name: AttachmentName,
        kept: AttachmentKept,
        len: u64,
        outputs: &mut VecDeque<DeviceOutput>,
    ) {
        self.taking.kept(name, kept, len, &mut self.progress, outputs);
        self.more |= matches!(kept, AttachmentKept::Whole | AttachmentKept::Unwanted);
    }

    pub(in crate::protocol) fn deadline(&self) -> Option<Timestamp> {
        [self.giving.deadline(), self.taking.deadline()].into_iter().flatten().min()
    }

    pub(in crate::protocol) fn tick(&mut self, now: Timestamp) {
        self.more |= self.giving.tick(now);
        self.more |= self.taking.tick(now);
    }

    pub(in crate::protocol) fn set_time(&mut self, now: Timestamp) {
        self.giving.set_time(now);
        self.taking.set_time(now);
    }

    /// Goes on, where no batch has to wait for it.
    pub(in crate::protocol) fn settle(&mut self, lets_by: bool, outputs: &mut VecDeque<DeviceOutput>) {
        if lets_by {
            let (offers, fetches) = (self.giving.room(), self.taking.room());
            if self.more && !self.asked && offers + fetches > 0 {
                self.more = false;
                self.asked = true;
                let known = self.giving.known().chain(self.taking.known()).collect();
                outputs.push_back(DeviceOutput::AttachmentsWanted { offers, fetches, known });
            }
            self.giving.ask(outputs);
        }
        if self.progress != self.shown {
            self.shown = self.progress;
            outputs.push_back(DeviceOutput::AttachmentProgress(self.progress));
        }
    }
}
