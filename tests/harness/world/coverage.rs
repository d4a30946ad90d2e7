//! What worlds were put through, what they reached, and what they did not reach.
//!
//! Everything that can be counted is listed here, so that what never came is named as well: a count
//! under another name is a mistake of the harness.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use barid_core::control::{QuarantineReason, RefuseReason, RetryReason};
use barid_core::protocol::CloseCode;

use super::checks::INVARIANTS;
use super::disk::Fault;
use super::faults::Cut;

/// What a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What people and nodes did.
    Work,
    /// What went wrong.
    Fault,
    /// States, verdicts and frames that were reached.
    State,
    /// How often each invariant was checked.
    Check,
}

const WORK: &[&str] = &[
    "actions",
    "alerts raised",
    "bundles read by a phone",
    "bundles read by the relay",
    "bundles read by the sister relay",
    "bundles written",
    "bundles written by a relay",
    "batches acknowledged",
    "changes recorded",
    "commits of the log",
    "copies of a phone's database made",
    "copies of the relay's folder made",
    "batches given from phone to phone",
    "devices",
    "devices revoked",
    "edits",
    "edits of records in conflict",
    "events written",
    "exchanges completed",
    "large records written",
    "late batches adopted",
    "late batches discarded",
    "links begun",
    "notes added",
    "photos attached",
    "records brought back",
    "records erased",
    "records in conflict at rest",
    "records withdrawn",
    "rounds of storm and calm",
    "track chunks written",
    "views brought up to date in the storm",
    "worlds of more than 14 devices",
    "worlds of more than 50 devices",
    "worlds with a sister relay",
];

const FAULTS: &[&str] = &[
    "answers of the relay that its disk failed",
    "batches of nonsense by a member",
    "bits flipped on the way to the relay",
    "bundles spoiled",
    "bundles torn",
    "calms that begin with links nobody knows to be dead",
    "clock jumps of a device",
    "clock jumps of the relay",
    "commits of the log that failed",
    "devices gone out of reach",
    "devices killed between steps",
    "devices killed inside of a step",
    "devices killed while they met another",
    "devices killed while they started",
    "devices killed while they wrote",
    "devices killed while they wrote or read a bundle",
    "devices that did not start because their disk failed",
    "devices that never return",
    "databases rolled back, and another token beside them",
    "databases rolled back, and no token beside them",
    "databases rolled back together with their token",
    "devices revoked while they were linked",
    "exchanges cut off",
    "frames lost by cuts",
    "links given up because a device's disk failed",
    "links not begun because a device's disk failed",
    "times at which every link flaps",
    "photos harmed on their way",
    "photos that the relay could not keep just then",
    "relay killed after a commit and before its acknowledgements",
    "relay killed before a commit",
    "relay killed between an output and its performance",
    "relay killed between steps",
    "relay killed while it committed",
    "relay killed while it read or wrote",
    "relay killed while it took in control records",
    "relay restored from an older copy, under a new log id",
    "relay's folder replaced by an older copy, under its old log id",
    "sister relay killed",
    "sister relay's folder replaced by an older copy",
    "starts of the relay that its disk failed",
    "unsynced sectors lost in a power cut",
    "unsynced sectors torn in a power cut",
    "writes of people that a disk failed",
];

const STATES: &[&str] = &[
    "batches that came again and were held",
    "batches from a phone that are in quarantine",
    "batches from a phone that wait",
    "bundles read up to where they were harmed",
    "links cut because a device's standing changed",
    "links replaced by a newer one",
    "programs updated, for a batch that was set aside",
];

/// Frames by their type, as `PROTOCOL.md` lists them.
const FRAMES: &[(u8, &str)] = &[
    (0x01, "frame: hello"),
    (0x02, "frame: welcome"),
    (0x03, "frame: proof"),
    (0x04, "frame: state"),
    (0x10, "frame: push"),
    (0x11, "frame: accepted"),
    (0x12, "frame: not taken"),
    (0x18, "frame: batch"),
    (0x19, "frame: reached"),
    (0x1a, "frame: control"),
    (0x20, "frame: ping"),
    (0x21, "frame: pong"),
    (0x22, "frame: report"),
    (0x40, "frame: offer"),
    (0x41, "frame: holds"),
    (0x42, "frame: piece"),
    (0x43, "frame: not wanted"),
    (0x44, "frame: fetch"),
    (0x45, "frame: bytes"),
    (0x46, "frame: got"),
    (0x47, "frame: lacks"),
    (0x48, "frame: sought"),
    (0x7f, "frame: close"),
];

/// The name under which a frame is counted.
pub(crate) fn frame(frame: &[u8]) -> &'static str {
    let kind = frame.first();
    FRAMES.iter().find(|(byte, _)| Some(byte) == kind).map_or("frame: of an unknown type", |(_, name)| name)
}

fn listed() -> &'static BTreeMap<String, Group> {
    static LISTED: OnceLock<BTreeMap<String, Group>> = OnceLock::new();
    LISTED.get_or_init(|| {
        let of = |group, names: &[&str]| -> Vec<(String, Group)> {
            names.iter().map(|name| ((*name).to_owned(), group)).collect()
        };
        let mut listed = of(Group::Work, WORK);
        listed.extend(of(Group::Fault, FAULTS));
        listed.extend(of(Group::Fault, &Cut::ALL.map(Cut::name)));
        listed.extend(of(Group::Fault, &Fault::ALL.map(Fault::name)));
        listed.extend(of(Group::State, STATES));
        listed.extend(FRAMES.iter().map(|(_, name)| ((*name).to_owned(), Group::State)));
        listed.extend(RetryReason::ALL.iter().map(|reason| (retry(*reason), Group::State)));
        listed.extend(RefuseReason::ALL.iter().map(|reason| (refuse(*reason), Group::State)));
        listed.extend(QuarantineReason::ALL.iter().map(|reason| (quarantine(*reason), Group::State)));
        listed.extend(CloseCode::ALL.iter().map(|code| (close(*code), Group::State)));
        listed.extend(of(Group::Check, &INVARIANTS));
        listed.into_iter().collect()
    })
}

/// A batch was to be sent again later.
pub(crate) fn retry(reason: RetryReason) -> String {
    format!("to be sent again: {reason:?}")
}

/// A batch was refused.
pub(crate) fn refuse(reason: RefuseReason) -> String {
    format!("refused: {reason:?}")
}

/// A batch was kept and not merged.
pub(crate) fn quarantine(reason: QuarantineReason) -> String {
    format!("quarantined: {reason:?}")
}

/// A link was closed by one of its ends.
pub(crate) fn close(code: CloseCode) -> String {
    format!("link closed: {code:?}")
}

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// One more of these.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&mut self, what: &str, count: u64) {
        if let Some(counted) = self.0.get_mut(what) {
            *counted += count;
            return;
        }
        assert!(listed().contains_key(what), "coverage does not list {what:?}");
        self.0.insert(what.to_owned(), count);
    }

    /// How many there were.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Everything of a group together.
    pub fn total(&self, group: Group) -> u64 {
        self.0.iter().filter(|(what, _)| listed()[*what] == group).map(|(_, count)| count).sum()
    }

    /// How much of a group is listed, and what of it never came.
    pub fn unreached(&self, group: Group) -> (usize, Vec<&'static str>) {
        let names = listed().iter().filter(|(_, of)| **of == group).map(|(what, _)| what.as_str());
        (names.clone().count(), names.filter(|what| self.of(what) == 0).collect())
    }

    /// Takes another world's counts in.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, title) in [
            (Group::Work, "what was done"),
            (Group::Fault, "faults injected"),
            (Group::State, "states reached"),
            (Group::Check, "invariants checked"),
        ] {
            let (listed_count, unreached) = self.unreached(group);
            writeln!(f, "{title}: {} of {listed_count} kinds", listed_count - unreached.len())?;
            for (what, count) in self.0.iter().filter(|(what, _)| listed()[*what] == group) {
                writeln!(f, "{count:>12}  {what}")?;
            }
            for what in unreached {
                writeln!(f, "           -  not reached: {what}")?;
            }
        }
        Ok(())
    }
}
