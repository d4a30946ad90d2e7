//! Two phones meet in the desert and give each other what the other lacks.

use std::sync::Arc;

use barid_core::exchange::{PeerLink, PeerLinkInput};
use barid_core::pairing::{Invitation, PairingCode};
use barid_core::protocol::{PeerReport, PeerRole};

use super::{Violation, World, checks};

/// Frames of one exchange; more never come.
const FRAMES_MAX: usize = 20_000;

impl World {
    /// Two phones meet; the one may go before all is said.
    pub(super) fn meet(&mut self, number: usize) -> Result<(), Violation> {
        let others: Vec<usize> = (0..self.devices.len()).filter(|other| *other != number).collect();
        let pair = (number, self.random.pick(&others));
        let cut_after = self.random.one_in(3).then(|| self.random.below(40));
        let Some(report) = self.exchange(pair, cut_after)? else { return Ok(()) };
        self.coverage.add("batches given from phone to phone", report.given.taken + report.taken.taken);
        self.coverage.add("batches from a phone that wait", report.given.waiting + report.taken.waiting);
        self.coverage.add(
            "batches from a phone that are in quarantine",
            report.given.quarantined + report.taken.quarantined,
        );
        if !report.is_complete {
            self.coverage.count("exchanges cut off");
            return Ok(());
        }
        self.coverage.count("exchanges completed");
        // Both hold the same now, if nothing that waits or is refused is between them.
        if self.random.one_in(4)
            && let Some(again) = self.exchange(pair, None)?
            && again.is_complete
        {
            self.coverage.count(checks::MET);
            let tallies = [again.given, again.taken];
            if tallies.iter().any(|tally| tally.taken > 0) {
                return Err(Violation::new(checks::MET, format!("{tallies:?} after {report:?}")));
            }
        }
        Ok(())
    }

    /// One exchange, at whose end each phone goes on. Nothing if one of them could not begin.
    fn exchange(
        &mut self,
        (first, second): (usize, usize),
        cut_after: Option<usize>,
    ) -> Result<Option<PeerReport>, Violation> {
        let (Some(store), Some(other)) =
            (self.devices[first].store.clone(), self.devices[second].store.clone())
        else {
            return Ok(None);
        };
        let inviter = &self.devices[first];
        let invitation =
            Arc::new(Invitation::new(inviter.identity.device(), self.random.bytes(), inviter.clock.now()));
        let Ok(code) = invitation.code().to_string().parse::<PairingCode>() else {
            return Err(Violation::new(checks::ENGINE, "a pairing code is not read"));
        };
        let roles = [(first, PeerRole::Inviting(invitation)), (second, PeerRole::Joining(code))];
        let mut links = Vec::new();
        for ((number, role), store) in roles.into_iter().zip([&store, &other]) {
            let device = &self.devices[number];
            device.disk.take_has_failed();
            let identity = Arc::clone(&device.identity);
            links.push(PeerLink::begin(store, identity, role, self.random.bytes(), device.clock.now()));
        }
        let mut report = None;
        let mut failed = Vec::new();
        let begun: Vec<_> =
            links.into_iter().map(|link| link.map_err(|error| failed.push(format!("{error:?}")))).collect();
        if let [Ok(mut here), Ok(mut there)] = <[_; 2]>::try_from(begun).expect("two links") {
            let mut frames = 0;
            loop {
                let mut is_quiet = true;
                for is_up in [true, false] {
                    let (from, to, at) =
                        if is_up { (&mut here, &mut there, second) } else { (&mut there, &mut here, first) };
                    while let Some(frame) = from.next_frame() {
                        is_quiet = false;
                        frames += 1;
                        let is_cut = cut_after.is_some_and(|after| frames > after);
                        let input = if is_cut { PeerLinkInput::Cut } else { PeerLinkInput::Frame(frame) };
                        if let Err(error) = to.handle(input, self.devices[at].clock.now()) {
                            failed.push(format!("{error:?}"));
                        }
                    }
                }
                if is_quiet || frames > FRAMES_MAX || !failed.is_empty() {
                    break;
                }
            }
            if frames > FRAMES_MAX {
                return Err(Violation::new(checks::MET, "an exchange does not come to its end"));
            }
            report = Some(here.report());
        }
        drop((store, other));
        let mut is_excused = false;
        for number in [first, second] {
            is_excused |= self.devices[number].disk.take_has_failed() | self.devices[number].is_dying();
            if self.devices[number].is_dying() {
                self.coverage.count("devices killed while they met another");
                self.kill_device(number);
                report = None;
            }
        }
        match failed.first() {
            Some(error) if !is_excused => Err(Violation::new(checks::ENGINE, error.clone())),
            Some(_) => Ok(None),
            None => {
                for number in [first, second] {
                    self.tell_of_change(number)?;
                }
                Ok(report)
            }
        }
    }

    /// A phone's link hears of what was committed beside it.
    pub(super) fn tell_of_change(&mut self, number: usize) -> Result<(), Violation> {
        self.devices[number].has_news();
        match self.devices[number].link {
            Some(link) => self.tell_device(link, barid_core::engine::LinkInput::LocalChange),
            None => Ok(()),
        }
    }
}
