//! What came from the other device and is not in the store yet.

use std::collections::VecDeque;

use super::message::Tally;
use crate::batch::{BatchKind, SealedBatch};
use crate::id::SpaceId;
use crate::limits::{FRAME_LEN_MAX, PEER_WINDOW_LEN};
use crate::protocol::CloseCode;

#[derive(Debug, Default)]
pub(super) struct Takings {
    queue: VecDeque<(SpaceId, SealedBatch)>,
    /// Bytes in the queue, and of what the store was given and has not taken in.
    len: u64,
    /// Groups that the store was given.
    groups: usize,
    /// Of batches that came and were never given to the store.
    unread: u64,
    tally: Tally,
}

impl Takings {
    /// Queues a batch, if there may be one so long and of this kind.
    pub(super) fn batch(
        &mut self,
        space: SpaceId,
        bytes: Vec<u8>,
        control_only: bool,
    ) -> Result<(), CloseCode> {
        self.len += bytes.len() as u64;
        if self.len > (PEER_WINDOW_LEN + FRAME_LEN_MAX) as u64 {
            return Err(CloseCode::Overrun);
        }
        match SealedBatch::parse(bytes) {
            Ok(batch) if batch.header().space != space => return Err(CloseCode::BatchMalformed),
            Ok(batch) if control_only && batch.header().kind != BatchKind::Control => {
                return Err(CloseCode::Unexpected);
            }
            Ok(batch) => self.queue.push_back((space, batch)),
            Err(error) if error.keeps_unread() => self.unread += 1,
            Err(_) => return Err(CloseCode::BatchMalformed),
        }
        Ok(())
    }

    /// The next batches of one space, for the store.
    pub(super) fn next_group(&mut self) -> Option<(SpaceId, Vec<SealedBatch>)> {
        let space = self.queue.front()?.0;
        let mut batches = Vec::new();
        while let Some((_, batch)) = self.queue.pop_front_if(|(of, _)| *of == space) {
            batches.push(batch);
        }
        self.groups += 1;
        Some((space, batches))
    }

    pub(super) fn taken_in(&mut self, tally: &Tally) {
        self.groups = self.groups.saturating_sub(1);
        self.tally.add(tally);
    }

    /// Bytes taken in, and what became of them, once nothing is on its way into the store.
    pub(super) fn answer(&mut self) -> Option<(u64, Tally)> {
        if self.groups > 0 || !self.queue.is_empty() || self.len == 0 {
            return None;
        }
        self.tally.unread += std::mem::take(&mut self.unread);
        Some((std::mem::take(&mut self.len), std::mem::take(&mut self.tally)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}
