//! One change at a time, and what waits for the changes that it builds on.

use rusqlite::OptionalExtension;

use super::EntryRefusal;
use crate::document::scan;
use crate::id::{ChainId, RecordId, SpaceId};
use crate::store::Writing;
use crate::store::error::StoreError;
use crate::store::merge::{Outcome, Place, Target};
use crate::store::observe::TRACK;

/// A record that entries wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct WaitingFor {
    space: i64,
    space_id: SpaceId,
    kind: String,
    record: RecordId,
}

/// One entry that waits.
struct WaitingEntry {
    chain: i64,
    seq: i64,
    batch: i64,
    entry: u32,
}

impl Writing<'_> {
    /// Takes one change of a batch in, or lets it wait.
    pub(super) fn take_change(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        author: ChainId,
        raw: &[u8],
        place: Place,
    ) -> Result<Outcome, StoreError> {
        if target.kind == TRACK {
            return Ok(Outcome::Refused(EntryRefusal::ReservedKind));
        }
        let Ok(change) = scan(raw) else { return Ok(Outcome::Refused(EntryRefusal::Malformed)) };
        if change.actor != author.actor() {
            return Ok(Outcome::Refused(EntryRefusal::WrongAuthor));
        }
        let outcome = self.apply(target, chain, &change, raw, place)?;
        match outcome {
            Outcome::Applied if self.has_waiting()? => {
                self.retry.insert(WaitingFor {
                    space: target.space,
                    space_id: target.space_id,
                    kind: target.kind.to_owned(),
                    record: target.record,
                });
            }
            Outcome::Waits => return self.let_wait(target, chain, &change, place),
            _ => {}
        }
        Ok(outcome)
    }

    fn let_wait(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        change: &crate::document::Change,
        place: Place,
    ) -> Result<Outcome, StoreError> {
        let Place::Batch { batch, entry } = place else {
            return Err(StoreError::Unreadable("a change recorded here without what it builds on"));
        };
        let key = (target.space, target.kind, target.record.as_bytes(), chain, change.seq as i64);
        let sql = "SELECT hash FROM waiting_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 AND chain = ?4 AND seq = ?5";
        let held: Option<[u8; 32]> =
            self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
        match held {
            Some(hash) if hash == *change.hash.as_bytes() => return Ok(Outcome::Held),
            Some(_) => return Ok(Outcome::Refused(EntryRefusal::SequenceReused)),
            None => {}
        }
        let sql = "INSERT INTO waiting_entry (space, kind, record, chain, seq, hash, batch, entry)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.transaction.prepare_cached(sql)?.execute((
            key.0,
            key.1,
            key.2,
            key.3,
            key.4,
            change.hash.as_bytes(),
            batch,
            entry,
        ))?;
        self.has_waiting = Some(true);
        Ok(Outcome::Waits)
    }

    /// Whether any entry waits at all: nearly never, and then nothing is looked up.
    fn has_waiting(&mut self) -> Result<bool, StoreError> {
        if let Some(has_waiting) = self.has_waiting {
            return Ok(has_waiting);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM waiting_entry)";
        let has_waiting = self.transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        self.has_waiting = Some(has_waiting);
        Ok(has_waiting)
    }

    /// Tries what waits for the records that something arrived for.
    pub(super) fn retry_entries(&mut self) -> Result<(), StoreError> {
        for record in std::mem::take(&mut self.retry) {
            let target = Target {
                space: record.space,
                space_id: record.space_id,
                kind: &record.kind,
                record: record.record,
            };
            while self.retry_once(&target)? {}
        }
        Ok(())
    }

    /// Tries every entry that waits for a record once; says whether one found its place.
    fn retry_once(&mut self, target: &Target<'_>) -> Result<bool, StoreError> {
        let mut progress = false;
        for waiting in self.waiting_for(target)? {
            let place = Place::Batch { batch: waiting.batch, entry: waiting.entry };
            let raw = self.inner.change_at(self.transaction, place)?;
            let change = scan(&raw).map_err(|_| StoreError::Unreadable("a change that waits"))?;
            let outcome = self.apply(target, waiting.chain, &change, &raw, place)?;
            if outcome == Outcome::Waits {
                continue;
            }
            if let Outcome::Refused(refusal) = outcome {
                self.refuse_entry(waiting.batch, waiting.entry, refusal)?;
            }
            let sql = "DELETE FROM waiting_entry
                WHERE space = ?1 AND kind = ?2 AND record = ?3 AND chain = ?4 AND seq = ?5";
            let key = (target.space, target.kind, target.record.as_bytes(), waiting.chain, waiting.seq);
            self.transaction.prepare_cached(sql)?.execute(key)?;
            progress = true;
        }
        Ok(progress)
    }

    fn waiting_for(&self, target: &Target<'_>) -> Result<Vec<WaitingEntry>, StoreError> {
        let sql = "SELECT chain, seq, batch, entry FROM waiting_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 ORDER BY chain, seq";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let key = (target.space, target.kind, target.record.as_bytes());
        let rows = statement.query_map(key, |row| {
            Ok(WaitingEntry { chain: row.get(0)?, seq: row.get(1)?, batch: row.get(2)?, entry: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn set_batch_read(&self, batch: i64) -> Result<(), StoreError> {
        self.transaction.prepare_cached("UPDATE batch SET state = 0 WHERE id = ?1")?.execute([batch])?;
        Ok(())
    }

    pub(super) fn refuse_entry(
        &self,
        batch: i64,
        entry: u32,
        refusal: EntryRefusal,
    ) -> Result<(), StoreError> {
        tracing::warn!(batch, entry, ?refusal, "an entry is refused");
        let sql = "INSERT INTO refused_entry (batch, entry, code) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute((batch, entry, refusal as u8))?;
        Ok(())
    }
}
