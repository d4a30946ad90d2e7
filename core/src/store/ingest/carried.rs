//! Taking in what a peer or a bundle carries: batches without a place in any log.
//!
//! They are judged as those of a log are, and answered for one by one. What a relay has not said that
//! it holds will be pushed to one.

use super::ahead::{Ahead, read_ahead};
use super::taking::{Ingest, Step};
use super::{IngestError, StoppedBy};
use crate::batch::SealedBatch;
use crate::control::{QuarantineReason, RefuseReason};
use crate::id::SpaceId;
use crate::store::observe::Changed;
use crate::store::space;
use crate::store::{Store, Writing};

/// What became of one carried batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarriedOutcome {
    /// Taken in.
    Taken,
    /// It was here already.
    Held,
    /// It is kept, and waits: for control records, or for a program that does not die at it.
    Waiting,
    /// It is kept, and does not stand.
    Quarantined(QuarantineReason),
    /// It is not kept.
    Refused(RefuseReason),
    /// It is not kept: its predecessor is not here.
    Missing,
    /// It is not kept: it was written with this database file, which does not hold it. The file was
    /// rolled back or copied.
    RolledBack,
}

/// What came of carried batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CarriedReport {
    /// Of each batch, in their order.
    pub outcomes: Vec<CarriedOutcome>,
    /// What is not what it was, in order, each once.
    pub changed: Vec<Changed>,
    /// Who belongs to the space is not what it was.
    pub membership_changed: bool,
}

impl Store {
    /// Takes in batches that a peer or a bundle carries. Nothing stops it: a batch that cannot be taken
    /// is answered for, and the next one is looked at. If one shows that this file was rolled back or
    /// copied, the file takes another name first.
    pub fn ingest_carried(
        &self,
        space: SpaceId,
        batches: &[SealedBatch],
    ) -> Result<CarriedReport, IngestError> {
        let device = self.device();
        let is_own_past = |batch: &SealedBatch| {
            let header = batch.header();
            Some(header.device) == device && header.incarnation == self.incarnation()
        };
        let mut all = self.carry_noted(space, batches)?;
        if all.outcomes.contains(&CarriedOutcome::RolledBack) && batches.iter().any(is_own_past) {
            self.begin_incarnation()?;
            let again = self.carry_noted(space, batches)?;
            all.changed.extend(again.changed);
            all.changed.sort_unstable();
            all.changed.dedup();
            all.membership_changed |= again.membership_changed;
            // What was taken in the first time is held the second.
            for (outcome, again) in all.outcomes.iter_mut().zip(again.outcomes) {
                if matches!(outcome, CarriedOutcome::RolledBack | CarriedOutcome::Missing) {
                    *outcome = again;
                }
            }
        }
        Ok(all)
    }

    /// Takes carried batches in, in one transaction.
    pub(in crate::store) fn carry_together(
        &self,
        space: SpaceId,
        batches: &[SealedBatch],
    ) -> Result<CarriedReport, IngestError> {
        read_ahead(batches.iter(), self.inner.kinds(), |ahead| {
            self.inner.transaction(|writing| carry(writing, space, batches, ahead))
        })
    }
}

fn carry(
    writing: &mut Writing<'_>,
    space: SpaceId,
    batches: &[SealedBatch],
    mut ahead: Ahead,
) -> Result<CarriedReport, IngestError> {
    let number = space::number(writing.transaction, space)?.ok_or(IngestError::UnknownSpace(space))?;
    let mut ingest = Ingest::new(writing, number, space);
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut read = ahead.next();
        outcomes.push(outcome(ingest.take(None, batch, &mut read)?));
        ahead.give_back(read);
    }
    ingest.finish(None)?;
    let report = ingest.end()?;
    let (changed, membership_changed) = (report.changed, report.membership_changed);
    Ok(CarriedReport { outcomes, changed, membership_changed })
}

fn outcome(step: Step) -> CarriedOutcome {
    match step {
        Step::Taken => CarriedOutcome::Taken,
        Step::Held => CarriedOutcome::Held,
        Step::Waits => CarriedOutcome::Waiting,
        Step::Quarantined(reason) => CarriedOutcome::Quarantined(reason),
        Step::Refused(reason) => CarriedOutcome::Refused(reason),
        Step::Stops(StoppedBy::OtherSpace) => CarriedOutcome::Refused(RefuseReason::Misplaced),
        Step::Stops(StoppedBy::RolledBack) => CarriedOutcome::RolledBack,
        Step::Stops(StoppedBy::Gap { .. } | StoppedBy::WrongPrevious { .. }) => CarriedOutcome::Missing,
    }
}
