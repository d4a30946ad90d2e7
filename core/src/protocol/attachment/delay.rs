//! What is left alone for a while, or for as long as the link lasts.

use std::collections::BTreeMap;

use crate::attachment::AttachmentName;
use crate::clock::Timestamp;
use crate::limits::{OFFER_AGAIN_MS_MIN, RETRY_DELAY_MS_MAX};

#[derive(Debug, Default)]
pub(super) struct PutOff(BTreeMap<AttachmentName, Delay>);

#[derive(Debug, Clone, Copy)]
struct Delay {
    /// None if it is not put off any more, or for as long as the link lasts.
    until: Option<Timestamp>,
    /// Milliseconds of this delay; the next one is longer.
    ms: i64,
    /// It may be tried again.
    is_over: bool,
}

impl PutOff {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is put off now.
    pub(super) fn names(&self) -> impl Iterator<Item = AttachmentName> + '_ {
        self.0.iter().filter(|(_, delay)| !delay.is_over).map(|(name, _)| *name)
    }

    /// Puts something off for a while, each time for longer.
    pub(super) fn for_a_while(&mut self, name: AttachmentName, now: Timestamp) {
        let before_ms = self.0.get(&name).map_or(0, |delay| delay.ms);
        let ms = (before_ms * 2).clamp(OFFER_AGAIN_MS_MIN, RETRY_DELAY_MS_MAX);
        self.0.insert(name, Delay { until: Some(now.plus_millis(ms)), ms, is_over: false });
    }

    /// Puts something off for as long as the link lasts.
    pub(super) fn for_good(&mut self, name: AttachmentName) {
        self.0.insert(name, Delay { until: None, ms: 0, is_over: false });
    }

    /// Whatever it was put off for is over and forgotten.
    pub(super) fn forget(&mut self, name: AttachmentName) {
        self.0.remove(&name);
    }

    /// Ends a delay before its time; whether there was one.
    pub(super) fn end(&mut self, name: AttachmentName) -> bool {
        match self.0.get_mut(&name).filter(|delay| delay.until.is_some()) {
            Some(delay) => {
                *delay = Delay { until: None, is_over: true, ..*delay };
                true
            }
            None => false,
        }
    }

    /// When the next delay is over.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|delay| delay.until).min()
    }

    /// Ends the delays whose time has come; whether there were any.
    pub(super) fn tick(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        for delay in self.0.values_mut().filter(|delay| delay.until.is_some_and(|until| until <= now)) {
            *delay = Delay { until: None, is_over: true, ..*delay };
            any = true;
        }
        any
    }

    /// Takes the time in: where the clock was set back, nothing waits for it to catch up.
    pub(super) fn set_time(&mut self, now: Timestamp) {
        for delay in self.0.values_mut() {
            let latest = now.plus_millis(delay.ms);
            delay.until = delay.until.map(|until| until.min(latest));
        }
    }
}
