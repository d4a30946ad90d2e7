//! What is given to the other device: which batches go next, and how much is on its way.
//!
//! Nothing is read ahead but the next few batches of each space, so that the most urgent of all
//! spaces goes first and memory is bounded by the window, whatever is held.

use std::collections::{BTreeMap, VecDeque};

use super::message::{ChainKey, chain_key};
use crate::batch::{BatchKind, SealedBatch};
use crate::id::BatchId;
use crate::limits::{PEER_GROUP_LEN, PEER_WINDOW_LEN};
use crate::position::Height;

/// What goes to the other device of one space.
#[derive(Debug, Default)]
pub(super) struct Gift {
    /// What it holds, and what was sent to it.
    heights: BTreeMap<ChainKey, (u64, BatchId)>,
    /// Chains of which something was sent: from there on only upwards, so that giving ends.
    sent: BTreeMap<ChainKey, u64>,
    queue: VecDeque<SealedBatch>,
    asked: bool,
    exhausted: bool,
}

impl Gift {
    /// Begins above what the other device holds.
    pub(super) fn above(theirs: &[Height]) -> Self {
        let heights = theirs.iter().map(|height| (chain_key(height), (height.seq, height.batch))).collect();
        Self { heights, ..Self::default() }
    }

    /// Whether batches should be asked for now; then they are.
    pub(super) fn ask(&mut self) -> bool {
        let asks = self.queue.is_empty() && !self.asked && !self.exhausted;
        self.asked |= asks;
        asks
    }

    /// Something else may stand now than when this was found to be all.
    pub(super) fn look_again(&mut self) {
        self.exhausted = false;
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    pub(super) fn heights(&self) -> Vec<Height> {
        let height = |(key, at): (&ChainKey, &(u64, BatchId))| Height {
            device: key.0,
            incarnation: key.1,
            lane: key.2,
            seq: at.0,
            batch: at.1,
        };
        self.heights.iter().map(height).collect()
    }

    pub(super) fn offer(&mut self, batches: Vec<SealedBatch>, exhausted: bool) {
        self.asked = false;
        for batch in batches {
            let header = batch.header();
            let key = (header.device, header.incarnation, header.lane);
            // Whatever is offered again was sent already, or would go round for ever.
            if self.sent.get(&key).is_none_or(|sent| *sent < header.seq) {
                self.sent.insert(key, header.seq);
                self.heights.insert(key, (header.seq, batch.id()));
                self.queue.push_back(batch);
            }
        }
        self.exhausted = exhausted || self.queue.is_empty();
    }

    /// What decides which of several spaces goes first.
    pub(super) fn urgency(&self) -> Option<(bool, u8)> {
        let header = self.queue.front()?.header();
        Some((header.kind != BatchKind::Control, header.lane as u8))
    }

    pub(super) fn next(&mut self) -> Option<SealedBatch> {
        self.queue.pop_front()
    }

    pub(super) fn is_given(&self) -> bool {
        self.exhausted && self.queue.is_empty()
    }
}

/// Bytes sent and not yet taken in.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    len: u64,
    /// Of these, bytes sent after the last take.
    unmarked_len: u64,
}

impl OnTheWay {
    pub(super) fn has_room(&self) -> bool {
        self.len < PEER_WINDOW_LEN as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is something that the other end was not told to take in.
    pub(super) fn is_unmarked(&self) -> bool {
        self.unmarked_len > 0
    }

    /// Notes a batch; whether the group is long enough to be taken in.
    pub(super) fn send(&mut self, len: usize) -> bool {
        self.len += len as u64;
        self.unmarked_len += len as u64;
        self.unmarked_len >= PEER_GROUP_LEN as u64
    }

    pub(super) fn mark(&mut self) {
        self.unmarked_len = 0;
    }

    /// Notes that so much was taken in. False if it was not on its way.
    pub(super) fn taken(&mut self, len: u64) -> bool {
        let is_possible = len <= self.len - self.unmarked_len;
        if is_possible {
            self.len -= len;
        }
        is_possible
    }
}
