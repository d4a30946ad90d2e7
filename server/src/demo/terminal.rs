//! The demo's one updating block in the terminal; plain lines where there is no terminal.

use std::io::{IsTerminal, Write};

use barid_core::client::Phase;

use super::phone::Snapshot;
use super::story::ORGANISATIONS;

/// Without a terminal, a block is written every so many seconds.
const PLAIN_EVERY_S: u64 = 10;

/// Draws the block over the one before.
#[derive(Debug)]
pub(super) struct Terminal {
    lines_drawn: usize,
    live: bool,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { lines_drawn: 0, live: std::io::stdout().is_terminal() }
    }

    /// Shows every phone once a second.
    pub(super) fn show(&mut self, second: u64, phones: &[Snapshot]) {
        if !self.live && !second.is_multiple_of(PLAIN_EVERY_S) {
            return;
        }
        let mut block =
            format!("second {second:<4} phone  range         recorded  waiting  received  conflicts  last\n");
        for phone in phones {
            block.push_str(&line(phone));
        }
        let mut out = std::io::stdout().lock();
        if self.live && self.lines_drawn > 0 {
            // Up over the last block, then clear to the end of the screen.
            write!(out, "\x1b[{}A\x1b[J", self.lines_drawn).ok();
        }
        self.lines_drawn = block.lines().count();
        out.write_all(block.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

fn line(phone: &Snapshot) -> String {
    // Words beside the marks: neither colour nor shape carries the meaning alone.
    let range = match (phone.in_range, phone.phase) {
        (false, _) => "○ no network",
        (true, Phase::UpToDate) => "● up to date",
        (true, Phase::Syncing) => "◐ syncing",
        (true, _) => "◌ connecting",
    };
    format!(
        "  {:<13} {:<5} {:<13} {:>8} {:>8} {:>9} {:>10}  {}\n",
        ORGANISATIONS[phone.organisation].name_en,
        phone.callsign,
        range,
        phone.recorded,
        phone.unsent,
        phone.received,
        phone.conflicts,
        phone.last_act,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_out_of_range_says_so_in_words() {
        let snapshot = Snapshot {
            callsign: "BG-1",
            organisation: 0,
            in_range: false,
            phase: Phase::Waiting,
            recorded: 12,
            unsent: 3,
            received: 7,
            conflicts: 0,
            last_act: "SOS".to_owned(),
        };
        assert_eq!(
            line(&snapshot),
            "  Border Guard  BG-1  ○ no network        12        3         7          0  SOS\n"
        );
    }
}
