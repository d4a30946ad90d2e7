//! How many events and alerts name each patrol: counted once, and from then on by what changes.

use std::collections::HashMap;

use barid_core::id::{RecordId, SpaceId};
use barid_core::model::{alert, event};
use barid_core::store::{Query, Record, Store, StoreError};

use super::events::patrol_of;

type Patrol = (SpaceId, RecordId);

/// The counts, as of one revision of the store.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    revision: u64,
    /// By record, which patrol it was counted for.
    counted: HashMap<(SpaceId, &'static str, RecordId), Patrol>,
    counts: HashMap<Patrol, u64>,
}

impl Mentions {
    /// How many records name a patrol, as far as counted.
    pub(super) fn of(&self, space: SpaceId, patrol: RecordId) -> u64 {
        self.counts.get(&(space, patrol)).copied().unwrap_or(0)
    }

    /// Counts what changed since the last time.
    pub(super) fn refresh(&mut self, store: &Store) -> Result<(), StoreError> {
        // Before anything is read: what changes meanwhile is counted the next time.
        let revision = store.revision()?;
        if revision == self.revision {
            return Ok(());
        }
        for kind in [event::NAME, alert::NAME] {
            let mut query = Query {
                kind: Some(kind.to_owned()),
                changed_since: Some(self.revision),
                include_withdrawn: true,
                limit: 1000,
                ..Query::default()
            };
            loop {
                let page = store.query(&query)?;
                for record in &page.records {
                    self.count(kind, record);
                }
                let Some(next) = page.next else { break };
                query.after = Some(next);
            }
        }
        self.revision = revision;
        Ok(())
    }

    fn count(&mut self, kind: &'static str, record: &Record) {
        let key = (record.space, kind, record.id);
        let patrol = patrol_of(&record.fields).filter(|_| !record.withdrawn);
        let patrol = patrol.map(|patrol| (record.space, patrol));
        let before = match patrol {
            Some(patrol) => self.counted.insert(key, patrol),
            None => self.counted.remove(&key),
        };
        if before == patrol {
            return;
        }
        if let Some(before) = before
            && let Some(count) = self.counts.get_mut(&before)
        {
            *count = count.saturating_sub(1);
        }
        if let Some(patrol) = patrol {
            *self.counts.entry(patrol).or_default() += 1;
        }
    }
}
