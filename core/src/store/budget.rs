//! Batches that are taken for somebody until so many bytes are reached.

use crate::batch::SealedBatch;

/// What was taken, within a budget of bytes.
pub(super) struct Budgeted {
    budget_len: usize,
    len: usize,
    pub(super) batches: Vec<SealedBatch>,
}

impl Budgeted {
    pub(super) fn new(budget_len: usize) -> Self {
        Self { budget_len, len: 0, batches: Vec::new() }
    }

    /// Takes a batch if it still fits; the first one always does.
    pub(super) fn take(&mut self, batch: SealedBatch) -> bool {
        let len = batch.as_bytes().len();
        if !self.batches.is_empty() && self.len + len > self.budget_len {
            return false;
        }
        self.len += len;
        self.batches.push(batch);
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.budget_len
    }

    pub(super) fn room(&self) -> usize {
        self.budget_len.saturating_sub(self.len)
    }
}
