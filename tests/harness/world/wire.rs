//! The network: one direction of one link, a stream that is late, slow, silent or cut.
//!
//! A stream keeps its order and doubles nothing, and a message that did not come whole never comes:
//! so a cut at any byte is a cut between two frames.

use std::collections::VecDeque;

use super::random::Random;

/// How a link is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// Milliseconds that a frame is on its way.
    pub(crate) delay_ms: i64,
    /// How fast bytes leave.
    pub(crate) bytes_a_second: i64,
}

impl Quality {
    /// A link as it comes: good, far away, or slow.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let delay_ms = match random.below(4) {
            0 | 1 => random.between(1, 50),
            2 => random.between(50, 900),
            _ => random.between(900, 4_000),
        };
        Self { delay_ms, bytes_a_second: random.pick(&[10_000_000, 1_000_000, 8_000, 1_200, 300]) }
    }

    /// A link that nothing is wrong with.
    pub(crate) const GOOD: Self = Self { delay_ms: 20, bytes_a_second: 1_000_000 };
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Wire {
    quality: Quality,
    frames: VecDeque<(i64, Vec<u8>)>,
    free_at: i64,
    /// What is put on it is never heard of, and nobody is told.
    pub(crate) is_silent: bool,
    /// Bytes put on it.
    pub(crate) len: usize,
}

impl Wire {
    /// An empty one.
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, frames: VecDeque::new(), free_at: 0, is_silent: false, len: 0 }
    }

    /// Puts a frame on it; when it arrives, if it does.
    pub(crate) fn put(&mut self, frame: Vec<u8>, now: i64) -> Option<i64> {
        self.len += frame.len();
        if self.is_silent {
            return None;
        }
        self.free_at = self.free_at.max(now) + frame.len() as i64 * 1_000 / self.quality.bytes_a_second;
        let arrival = self.free_at + self.quality.delay_ms;
        self.frames.push_back((arrival, frame));
        Some(arrival)
    }

    /// The next frame, if it has arrived.
    pub(crate) fn take(&mut self, now: i64) -> Option<Vec<u8>> {
        if self.is_silent || self.frames.front()?.0 > now {
            return None;
        }
        self.frames.pop_front().map(|(_, frame)| frame)
    }

    /// Loses everything but so many frames that are on their way.
    pub(crate) fn lose_after(&mut self, kept: usize) {
        self.frames.truncate(kept);
    }

    /// When the last frame on its way arrives, and the end of the stream behind it.
    pub(crate) fn end_at(&self, now: i64) -> i64 {
        self.frames.back().map_or(now, |(arrival, _)| *arrival).max(now) + 1
    }

    /// How many frames are on their way.
    pub(crate) fn on_the_way(&self) -> usize {
        if self.is_silent { 0 } else { self.frames.len() }
    }

    /// Whether more is on its way than pings and their answers: of many slow links one has always one of
    /// those under way.
    pub(crate) fn is_busy(&self) -> bool {
        let is_ping = |frame: &[u8]| matches!(frame.first(), Some(0x20 | 0x21));
        !self.is_silent && self.frames.iter().any(|(_, frame)| !is_ping(frame))
    }

    /// How many bytes are on their way.
    pub(crate) fn len_on_the_way(&self) -> usize {
        if self.is_silent { 0 } else { self.frames.iter().map(|(_, frame)| frame.len()).sum() }
    }

    /// Flips one bit of the last frame on its way that is longer than this.
    pub(crate) fn flip_bit(&mut self, longer_than: usize, random: &mut Random) -> bool {
        let Some((_, frame)) = self.frames.iter_mut().rev().find(|(_, frame)| frame.len() > longer_than)
        else {
            return false;
        };
        let byte = random.between(longer_than as i64, frame.len() as i64 - 1) as usize;
        frame[byte] ^= 1 << random.below(8);
        true
    }
}
