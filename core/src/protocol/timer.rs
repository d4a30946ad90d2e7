//! When a link wants to be woken: one deadline at a time, promised as rarely as possible.
//!
//! Hearing something moves the deadline away with every frame; the host is told only when the
//! deadline comes nearer, or when the last one it was told has passed.

use crate::clock::Timestamp;

/// Keeps the time that the host was last asked to wake the session at.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    promised: Option<Timestamp>,
}

impl Alarm {
    /// The time to ask for, unless what was asked for already will do.
    pub(super) fn set(&mut self, deadline: Timestamp, now: Timestamp) -> Option<Timestamp> {
        // Never in the past: a host that is asked for now would be asked again without end.
        let deadline = deadline.max(now.plus_millis(1));
        if self.promised.is_some_and(|promised| promised > now && promised <= deadline) {
            return None;
        }
        self.promised = Some(deadline);
        self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_again_only_for_an_earlier_time_or_when_the_last_has_passed() {
        let at = Timestamp::from_millis;
        let mut alarm = Alarm::default();
        assert_eq!(alarm.set(at(100), at(0)), Some(at(100)));
        assert_eq!(alarm.set(at(200), at(50)), None);
        assert_eq!(alarm.set(at(80), at(60)), Some(at(80)));
        assert_eq!(alarm.set(at(200), at(80)), Some(at(200)));
        assert_eq!(alarm.set(at(90), at(90)), Some(at(91)));
    }
}
