//! A chain of this device's own in which the log has something else than this file.
//!
//! It happened under an earlier name: this file was copied and the copy sent first, or this file
//! was sent back in time. What the log has stands, because others have it; what this file has in its
//! place is taken out of the chain, shown as before, and moves to the present name as an orphan.

use std::collections::BTreeSet;

use super::chain::{self, ChainKey, ChainRow};
use super::error::StoreError;
use super::{Writing, row};
use crate::batch::{BodyEntry, Entry, Header, Lane};
use crate::document::scan;
use crate::id::{BatchId, Incarnation, RecordId, SpaceId};

/// The branch that gives way.
struct Branch {
    number: i64,
    space: SpaceId,
    lane: Lane,
    incarnation: Incarnation,
    chain: i64,
    /// The pending rows that its entries became.
    rows: BTreeSet<i64>,
    /// The records of its changes.
    records: BTreeSet<(String, RecordId)>,
}

impl Writing<'_> {
    /// Makes room for a batch that a log has in a chain of this device's, if another one is held in
    /// its place.
    pub(super) fn give_way(
        &mut self,
        number: i64,
        header: &Header,
        batch: BatchId,
    ) -> Result<(), StoreError> {
        let Header { device, incarnation, space, lane, seq, .. } = *header;
        if self.inner.identity().is_none_or(|own| own.device() != device) {
            return Ok(());
        }
        let key = ChainKey { device, incarnation, space, lane };
        let Some(chain) = chain::find(self.transaction, number, &key)? else { return Ok(()) };
        if seq > chain.height || self.batch_at(chain.id, seq)?.is_none_or(|stands| stands == batch) {
            return Ok(());
        }
        tracing::warn!(chain = chain.id, seq, "the log has another branch of an own chain");
        let (rows, records) = (BTreeSet::new(), BTreeSet::new());
        let branch = Branch { number, space, lane, incarnation, chain: chain.id, rows, records };
        self.take_out(branch, &chain, seq)
    }

    /// Makes orphans of everything in a chain from a place on.
    fn take_out(&mut self, mut branch: Branch, chain: &ChainRow, from: u64) -> Result<(), StoreError> {
        for batch in self.batches_from(chain.id, from)? {
            self.take_out_entries(&mut branch, batch)?;
            for table in ["undelivered", "held_entry", "refused_entry"] {
                self.transaction.execute(&format!("DELETE FROM {table} WHERE batch = ?1"), [batch])?;
            }
            self.transaction.prepare_cached("DELETE FROM batch WHERE id = ?1")?.execute([batch])?;
        }
        // Numbers of batches may be given again.
        self.inner.bodies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        let head = match from - 1 {
            0 => None,
            height => self.batch_at(chain.id, height)?,
        };
        chain::set_height(
            self.transaction,
            chain.id,
            from - 1,
            head.unwrap_or(BatchId::from_bytes([0; 32])),
        )?;
        let sql = "INSERT INTO unsettled (space, read_again) VALUES (?1, 0) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute([branch.number])?;
        self.has_orphans = None;
        self.orphan_what_builds_on(&branch)?;
        self.put_behind(&branch)
    }

    fn batches_from(&self, chain: i64, from: u64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM batch WHERE chain = ?1 AND seq >= ?2 AND state < 3 ORDER BY seq";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map((chain, from as i64), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes orphans of the entries of a batch that are in rows.
    fn take_out_entries(&mut self, branch: &mut Branch, batch: i64) -> Result<(), StoreError> {
        let body = self.inner.body(self.transaction, batch)?;
        let mut group = None;
        for (index, entry) in (0u32..).zip(&body.entries) {
            let BodyEntry::Present { entry, .. } = entry else { continue };
            match entry {
                Entry::Change(entry) => {
                    let row = row::find_row(self.transaction, branch.number, &entry.kind, entry.record)?;
                    let change = scan(&entry.change).ok();
                    if let (Some(row), Some(change)) = (row, change)
                        && self.is_at(row, branch.chain, change.seq, batch, index)?
                    {
                        let kind = Some(entry.kind.as_str());
                        let pending = self.insert_orphan(branch, group, kind, entry.record, &entry.change)?;
                        group = entry.continues.then_some(group.unwrap_or(-pending));
                        self.transaction
                            .prepare_cached(
                                "UPDATE record_entry SET batch = NULL, entry = ?4
                                WHERE record = ?1 AND chain = ?2 AND seq = ?3",
                            )?
                            .execute((row, branch.chain, change.seq as i64, pending))?;
                        branch.records.insert((entry.kind.clone(), entry.record));
                    }
                }
                Entry::Track(chunk) => {
                    let Ok(body) = chunk.to_bytes() else { continue };
                    let sql = "SELECT EXISTS (SELECT 1 FROM track_chunk
                        WHERE space = ?1 AND chain = ?2 AND chunk = ?3 AND body = ?4)";
                    let key = (branch.number, branch.chain, chunk.id.as_bytes(), &body);
                    if self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0))? {
                        self.insert_orphan(branch, None, None, chunk.id, &body)?;
                        let sql = "UPDATE track_chunk SET batch = NULL WHERE space = ?1 AND chain = ?2 AND chunk = ?3";
                        self.transaction.prepare_cached(sql)?.execute((key.0, key.1, key.2))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a record's change is the one in this entry.
    fn is_at(&self, row: i64, chain: i64, seq: u64, batch: i64, entry: u32) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM record_entry
            WHERE record = ?1 AND chain = ?2 AND seq = ?3 AND batch = ?4 AND entry = ?5)";
        let key = (row, chain, seq as i64, batch, entry);
        Ok(self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0))?)
    }

    fn insert_orphan(
        &self,
        branch: &mut Branch,
        group: Option<i64>,
        kind: Option<&str>,
        record: RecordId,
        body: &[u8],
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO pending (space, lane, write_group, kind, record, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (space, lane) = (branch.space.as_bytes(), branch.lane as u8);
        self.transaction.prepare_cached(sql)?.execute((
            space,
            lane,
            group.unwrap_or(0),
            kind,
            record.as_bytes(),
            body,
        ))?;
        let pending = self.transaction.last_insert_rowid();
        if group.is_none() {
            // Writes of the app count their groups upwards from 1.
            let sql = "UPDATE pending SET write_group = ?2 WHERE id = ?1";
            self.transaction.prepare_cached(sql)?.execute((pending, -pending))?;
        }
        let sql = "INSERT INTO orphan (pending, incarnation) VALUES (?1, ?2)";
        self.transaction.prepare_cached(sql)?.execute((pending, branch.incarnation.as_bytes()))?;
        branch.rows.insert(pending);
        Ok(pending)
    }

    /// What is pending for the same records builds on what gives way.
    fn orphan_what_builds_on(&mut self, branch: &Branch) -> Result<(), StoreError> {
        for (kind, record) in &branch.records {
            let sql =
                "SELECT DISTINCT p.lane, p.write_group FROM pending p WHERE p.record = ?1 AND p.kind = ?2
                AND p.space = ?3 AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.pending = p.id)";
            let key = (record.as_bytes(), kind, branch.space.as_bytes());
            let groups: Vec<(u8, i64)> = {
                let mut statement = self.transaction.prepare_cached(sql)?;
                let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<_, _>>()?
            };
            for (lane, group) in groups {
                let lane = Lane::from_u8(lane).ok_or(StoreError::Unreadable("a pending row's lane"))?;
                self.orphan_group(branch.space, lane, group)?;
            }
        }
        Ok(())
    }

    /// Puts the orphans that were there before behind those of the branch, which they may build on.
    fn put_behind(&mut self, branch: &Branch) -> Result<(), StoreError> {
        let sql = "SELECT p.id, p.kind, p.record FROM orphan o JOIN pending p ON p.id = o.pending
            WHERE p.space = ?1 AND p.lane = ?2 ORDER BY p.id";
        let before: Vec<(i64, Option<String>, [u8; 16])> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows = statement.query_map((branch.space.as_bytes(), branch.lane as u8), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect::<Result<_, _>>()?
        };
        for (id, kind, record) in before {
            if branch.rows.contains(&id) {
                continue;
            }
            let sql = "INSERT INTO pending (space, lane, write_group, kind, record, body)
                SELECT space, lane, write_group, kind, record, body FROM pending WHERE id = ?1";
            self.transaction.prepare_cached(sql)?.execute([id])?;
            let moved = self.transaction.last_insert_rowid();
            self.transaction
                .prepare_cached("UPDATE orphan SET pending = ?2 WHERE pending = ?1")?
                .execute((id, moved))?;
            self.transaction.prepare_cached("DELETE FROM pending WHERE id = ?1")?.execute([id])?;
            let Some(kind) = kind else { continue };
            let record = RecordId::from_bytes(record);
            let row = row::find_row(self.transaction, branch.number, &kind, record)?;
            let sql = "UPDATE record_entry SET entry = ?3 WHERE record = ?1 AND batch IS NULL AND entry = ?2";
            self.transaction.prepare_cached(sql)?.execute((row, id, moved))?;
        }
        Ok(())
    }
}
