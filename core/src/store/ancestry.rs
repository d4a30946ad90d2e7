//! What this device carries along of others: the ancestors of its own changes, and of a revoked device's.
//!
//! A change builds on others, and those may never be in the log: they came from a peer whose own
//! batches are in quarantine by now. So that what this device wrote stands everywhere, it carries such
//! ancestors in its own chain, each once, in batches of their own ahead of what needs them.
//!
//! It learns only later that a log lost some of them, restored from an older copy. Who is revoked before it has
//! heard of that, or before what it carries has come, leaves changes behind that stand and wait; then whoever
//! holds their ancestors carries them in its place.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::Writing;
use super::chain::{self, ChainKey};
use super::error::StoreError;
use super::held::{EntryPlace, SPARE};
use super::ingest::READ;
use super::merge::{Place, Target};
use super::outgoing::{PendingRow, SEALED_RAW_LEN};
use super::row;
use super::space;
use crate::batch::{ANCESTOR_HEAD_LEN, AncestorEntry, BODY_HEAD_LEN, Entry, Lane, SealedBatch};
use crate::document::{Change, is_first, scan};
use crate::id::{ChangeHash, DeviceId, Incarnation, RecordId, SpaceId};
use crate::identity::Identity;
use crate::limits::BATCH_ENTRIES_MAX;

/// An ancestor that is owed.
struct Owed {
    kind: String,
    record: RecordId,
    hash: ChangeHash,
}

/// Where a change of a record is, and what is known of its batch.
struct Found {
    chain: i64,
    place: Place,
    /// This device has written it, or carries it along already, under its present name: what it wrote
    /// under another one may be judged in another way.
    is_own: bool,
    /// The relay's log has it.
    is_logged: bool,
}

/// Whether ancestors are to be carried in a lane of a space.
pub(super) fn has_owed(connection: &Connection, space: i64, lane: Lane) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM owed_ancestor WHERE space = ?1 AND lane = ?2)";
    Ok(connection.prepare_cached(sql)?.query_row((space, lane as u8), |row| row.get(0))?)
}

impl Writing<'_> {
    /// Notes that this device carries a change along.
    pub(super) fn owe(&self, target: &Target<'_>, lane: Lane, hash: ChangeHash) -> Result<(), StoreError> {
        let sql = "INSERT INTO owed_ancestor (space, lane, kind, record, hash) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO NOTHING";
        let values = (target.space, lane as u8, target.kind, target.record.as_bytes(), hash.as_bytes());
        self.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// The chains that a device writes, or wrote, in a space.
    pub(super) fn own_chains_of(&self, space: i64, device: DeviceId) -> Result<BTreeSet<i64>, StoreError> {
        let sql = "SELECT id FROM chain WHERE space = ?1 AND device = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let chains = statement.query_map((space, device.as_bytes()), |row| row.get(0))?;
        Ok(chains.collect::<Result<_, _>>()?)
    }

    /// The chains in a space of devices that were revoked; none where this device was, of which nothing is
    /// taken either.
    pub(super) fn revoked_chains_of(
        &self,
        (number, space): (i64, SpaceId),
        this: DeviceId,
    ) -> Result<BTreeSet<i64>, StoreError> {
        let membership = self.membership_of(space);
        if membership.is_revoked(this) {
            return Ok(BTreeSet::new());
        }
        let chains = space::chains(self.transaction, number, space)?.into_iter();
        Ok(chains.filter(|(_, key)| membership.is_revoked(key.device)).map(|(chain, _)| chain).collect())
    }

    /// Notes the ancestors of what is about to be sealed that are held, and of which it is not known that
    /// the relay's log has them.
    pub(super) fn owe_ancestors_of(
        &self,
        identity: &Identity,
        space: (i64, SpaceId),
        lane: Lane,
        pending: &[PendingRow],
    ) -> Result<(), StoreError> {
        for pending in pending {
            let Some(kind) = &pending.kind else { continue };
            // Nearly all that is recorded is new records, and these build on nothing.
            if is_first(&pending.body) {
                continue;
            }
            let change = scan(&pending.body).map_err(|_| StoreError::Unreadable("a pending change"))?;
            let target = Target { space: space.0, space_id: space.1, kind, record: pending.record };
            let Some(row) = row::find_row(self.transaction, space.0, kind, pending.record)? else { continue };
            self.owe_beyond(identity, &target, lane, row, change.deps)?;
        }
        Ok(())
    }

    fn owe_beyond(
        &self,
        identity: &Identity,
        target: &Target<'_>,
        lane: Lane,
        row: i64,
        mut next: Vec<ChangeHash>,
    ) -> Result<(), StoreError> {
        let mut seen = BTreeSet::new();
        while let Some(hash) = next.pop() {
            if !seen.insert(hash) {
                continue;
            }
            let Some(found) = self.find_change(identity, row, hash)? else { continue };
            if found.is_own || found.is_logged || self.carries(identity, target, hash)? {
                continue;
            }
            self.owe(target, lane, hash)?;
            let raw = self.inner.change_at(self.transaction, found.place)?;
            let Change { deps, .. } = scan(&raw).map_err(|_| StoreError::Unreadable("a change"))?;
            next.extend(deps);
        }
        Ok(())
    }

    fn find_change(
        &self,
        identity: &Identity,
        row: i64,
        hash: ChangeHash,
    ) -> Result<Option<Found>, StoreError> {
        let sql = "SELECT e.chain, e.batch, e.entry, c.device = ?3 AND c.incarnation = ?5,
                b.acknowledged = 1 AND b.state = ?4
            FROM record_entry e LEFT JOIN batch b ON b.id = e.batch
            LEFT JOIN chain c ON c.id = coalesce(b.chain, e.chain) WHERE e.record = ?1 AND e.hash = ?2";
        let (device, name) = (identity.device(), self.inner.incarnation());
        let values = (row, hash.as_bytes(), device.as_bytes(), READ, name.as_bytes());
        let found = self.transaction.prepare_cached(sql)?.query_row(values, |row| {
            let (batch, entry): (Option<i64>, i64) = (row.get(1)?, row.get(2)?);
            Ok(Found {
                chain: row.get(0)?,
                place: match batch {
                    Some(batch) => Place::Batch { batch, entry: entry as u32 },
                    None => Place::Pending(entry),
                },
                is_own: row.get::<_, Option<bool>>(3)?.unwrap_or(false),
                is_logged: row.get::<_, Option<bool>>(4)?.unwrap_or(false),
            })
        });
        Ok(found.optional()?)
    }

    /// Whether a batch of this device carries the change along.
    fn carries(
        &self,
        identity: &Identity,
        target: &Target<'_>,
        hash: ChangeHash,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM held_entry h JOIN batch b ON b.id = h.batch
            JOIN chain c ON c.id = b.chain WHERE h.space = ?1 AND h.kind = ?2 AND h.record = ?3 AND h.hash = ?4
            AND h.ancestor = 1 AND c.device = ?5 AND c.incarnation = ?6)";
        let (device, name) = (identity.device(), self.inner.incarnation());
        let (record, hash) = (target.record.as_bytes(), hash.as_bytes());
        let values = (target.space, target.kind, record, hash, device.as_bytes(), name.as_bytes());
        Ok(self.transaction.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
    }

    /// Seals as much as fits of what is owed in a lane.
    pub(super) fn seal_owed(
        &mut self,
        identity: &Identity,
        number: i64,
        space: SpaceId,
        lane: Lane,
    ) -> Result<Option<SealedBatch>, StoreError> {
        let (mut entries, mut taken, mut len) = (Vec::new(), Vec::new(), BODY_HEAD_LEN);
        for owed in self.owed(number, lane)? {
            let Some(ancestor) = self.ancestor(identity, (number, space), &owed)? else {
                self.settle_owed(number, lane, &owed)?;
                continue;
            };
            len += Entry::len_in_body(ANCESTOR_HEAD_LEN + ancestor.kind.len() + ancestor.change.len());
            if !entries.is_empty() && len > SEALED_RAW_LEN {
                break;
            }
            entries.push(Entry::Ancestor(ancestor));
            taken.push(owed);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let (batch, row, _) = self.seal_in(identity, number, space, lane, &entries)?;
        for ((entry, owed), content) in (0..).zip(&taken).zip(&entries) {
            let Entry::Ancestor(ancestor) = content else { continue };
            let target = Target { space: number, space_id: space, kind: &owed.kind, record: owed.record };
            let AncestorEntry { device, incarnation, lane: of_lane, .. } = *ancestor;
            let key = ChainKey { device, incarnation, space, lane: of_lane };
            let author = chain::find(self.transaction, number, &key)?;
            let author = author.ok_or(StoreError::Unreadable("a change of an unknown chain"))?;
            let change = scan(&ancestor.change).map_err(|_| StoreError::Unreadable("a change"))?;
            let place = EntryPlace { batch: row, entry };
            self.insert_held(&target, author.id, Some(&change), true, place, SPARE)?;
            self.settle_owed(number, lane, owed)?;
            if let Some(record) = row::find_row(self.transaction, number, &owed.kind, owed.record)? {
                self.give_places(&target, record)?;
            }
        }
        Ok(Some(batch))
    }

    fn owed(&self, space: i64, lane: Lane) -> Result<Vec<Owed>, StoreError> {
        let sql = "SELECT kind, record, hash FROM owed_ancestor WHERE space = ?1 AND lane = ?2
            ORDER BY kind, record, hash LIMIT ?3";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map((space, lane as u8, BATCH_ENTRIES_MAX as i64), |row| {
            Ok(Owed {
                kind: row.get(0)?,
                record: RecordId::from_bytes(row.get(1)?),
                hash: ChangeHash::from_bytes(row.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn settle_owed(&self, space: i64, lane: Lane, owed: &Owed) -> Result<(), StoreError> {
        let sql = "DELETE FROM owed_ancestor
            WHERE space = ?1 AND lane = ?2 AND kind = ?3 AND record = ?4 AND hash = ?5";
        let key = (space, lane as u8, &owed.kind, owed.record.as_bytes(), owed.hash.as_bytes());
        self.transaction.prepare_cached(sql)?.execute(key)?;
        Ok(())
    }

    /// What is owed, as an entry; nothing if the record has lost it meanwhile, or it is carried already.
    fn ancestor(
        &self,
        identity: &Identity,
        (number, space): (i64, SpaceId),
        owed: &Owed,
    ) -> Result<Option<AncestorEntry>, StoreError> {
        let target = Target { space: number, space_id: space, kind: &owed.kind, record: owed.record };
        let Some(row) = row::find_row(self.transaction, number, &owed.kind, owed.record)? else {
            return Ok(None);
        };
        let Some(found) = self.find_change(identity, row, owed.hash)? else { return Ok(None) };
        if found.is_own || self.carries(identity, &target, owed.hash)? {
            return Ok(None);
        }
        let change = self.inner.change_at(self.transaction, found.place)?;
        let sql = "SELECT device, incarnation, lane FROM chain WHERE id = ?1";
        let (device, incarnation, lane) =
            self.transaction.prepare_cached(sql)?.query_row([found.chain], |row| {
                let (device, incarnation) =
                    (DeviceId::from_bytes(row.get(0)?), Incarnation::from_bytes(row.get(1)?));
                Ok((device, incarnation, row.get(2)?))
            })?;
        let lane = Lane::from_u8(lane).ok_or(StoreError::Unreadable("a chain's lane"))?;
        let (kind, record) = (owed.kind.clone(), owed.record);
        Ok(Some(AncestorEntry { device, incarnation, lane, record, kind, change }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
