//! What is held of a record, and whether all of it has found its place.
//!
//! Every place of every change is known: in `record_entry` if the change is part of its record, in
//! `held_entry` otherwise, and for its other places. An ordinary change goes straight into its record
//! and never comes by here; whatever is not ordinary is written down, and its record is built again
//! when the transaction ends.

use std::sync::Arc;

use super::Writing;
use super::chain::{self, ChainKey};
use super::error::StoreError;
use super::ingest::{EntryRefusal, First};
use super::merge::{Outcome, Place, RecordName, Target};
use super::observe::TRACK;
use super::space;
use crate::batch::{AncestorEntry, Body, BodyEntry, ChangeEntry, Entry, Lane};
use crate::document::{Change, scan};
use crate::id::{ChainId, DeviceId, Incarnation, SpaceId};
use crate::model::TrackChunk;

/// A held change that counts, and waits for what it builds on.
pub(super) const WAITS: u8 = 0;
/// A held change, or another place of one, that counts only for what builds on it.
pub(super) const SPARE: u8 = 1;
/// Added to the number of an [`EntryRefusal`].
pub(super) const REFUSED: u8 = 10;
/// Refused because of other changes of the record, and not on its own account alone.
pub(super) const REFUSED_BESIDE_OTHERS: [u8; 2] =
    [REFUSED + EntryRefusal::SequenceReused as u8, REFUSED + EntryRefusal::ContradictsAncestors as u8];

/// What stands for the batch of a change that is still pending.
pub(super) const PENDING: i64 = 0;

/// Whose change it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    /// The number of the chain.
    pub(super) chain: i64,
    pub(super) id: ChainId,
    /// Carried by another author.
    pub(super) is_ancestor: bool,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryPlace {
    pub(super) batch: i64,
    pub(super) entry: u32,
}

impl From<EntryPlace> for Place {
    fn from(EntryPlace { batch, entry }: EntryPlace) -> Self {
        Self::Batch { batch, entry }
    }
}

impl Writing<'_> {
    /// Takes one change of a batch that stands into its record; as `first` if it was read as that.
    pub(super) fn take_change(
        &mut self,
        space: (i64, SpaceId),
        author: Author,
        entry: &ChangeEntry,
        place: EntryPlace,
        first: Option<&First>,
    ) -> Result<(), StoreError> {
        let target = Target { space: space.0, space_id: space.1, kind: &entry.kind, record: entry.record };
        if let Some(First { seq, hash, columns, .. }) = first.filter(|first| first.actor == author.id.actor())
            && !self.is_unsettled(&target)?
            && self.apply_first(&target, author.chain, (*seq, *hash), columns, place.into())?
        {
            return Ok(());
        }
        let Some(change) = self.read_change(&target, author, &entry.change, place)? else { return Ok(()) };
        let is_unsettled = self.is_unsettled(&target)?;
        // An orphan in its place has to move, and only what is applied finds that out.
        if is_unsettled && !self.has_orphans()? {
            return self.hold(&target, author, &change, place, WAITS);
        }
        match self.apply(&target, author.chain, &change, &entry.change, place.into())? {
            Outcome::Applied => {
                if is_unsettled {
                    self.rebuild.insert(target.name());
                }
                Ok(())
            }
            Outcome::Held => self.hold(&target, author, &change, place, SPARE),
            Outcome::Waits | Outcome::Refused(_) => self.hold(&target, author, &change, place, WAITS),
        }
    }

    /// Notes one change of a batch that does not stand.
    pub(super) fn note_change(
        &mut self,
        space: (i64, SpaceId),
        author: Author,
        entry: &ChangeEntry,
        place: EntryPlace,
    ) -> Result<(), StoreError> {
        let target = Target { space: space.0, space_id: space.1, kind: &entry.kind, record: entry.record };
        self.note(&target, author, &entry.change, place)
    }

    /// Notes a change that another author carries along.
    pub(super) fn note_ancestor(
        &mut self,
        space: (i64, SpaceId),
        entry: &AncestorEntry,
        place: EntryPlace,
    ) -> Result<(), StoreError> {
        let target = Target { space: space.0, space_id: space.1, kind: &entry.kind, record: entry.record };
        let author = self.carried_author(space, entry.device, entry.incarnation, entry.lane)?;
        self.note(&target, author, &entry.change, place)
    }

    fn carried_author(
        &self,
        (number, space): (i64, SpaceId),
        device: DeviceId,
        incarnation: Incarnation,
        lane: Lane,
    ) -> Result<Author, StoreError> {
        let key = ChainKey { device, incarnation, space, lane };
        let membership = self.membership_of(space);
        let organisation = space::organisation_of(&membership, device);
        let chain = chain::find_or_insert(self.transaction, number, &key, organisation)?.id;
        Ok(Author { chain, id: ChainId::derive(device, incarnation, space, lane), is_ancestor: true })
    }

    fn note(
        &mut self,
        target: &Target<'_>,
        author: Author,
        raw: &[u8],
        place: EntryPlace,
    ) -> Result<(), StoreError> {
        let Some(change) = self.read_change(target, author, raw, place)? else { return Ok(()) };
        let is_waited_for = self.is_unsettled(target)?;
        self.insert_held(target, author.chain, Some(&change), author.is_ancestor, place, SPARE)?;
        if is_waited_for {
            self.rebuild.insert(target.name());
        }
        Ok(())
    }

    /// Reads a change; one that is refused whatever else is held is noted as that.
    fn read_change(
        &mut self,
        target: &Target<'_>,
        author: Author,
        raw: &[u8],
        place: EntryPlace,
    ) -> Result<Option<Arc<Change>>, StoreError> {
        let refusal = match scan(raw) {
            _ if target.kind == TRACK => EntryRefusal::ReservedKind,
            Err(_) => EntryRefusal::Malformed,
            Ok(change) if change.actor != author.id.actor() => EntryRefusal::WrongAuthor,
            Ok(change) => return Ok(Some(Arc::new(change))),
        };
        tracing::warn!(batch = place.batch, entry = place.entry, ?refusal, "an entry is refused");
        let state = REFUSED + refusal as u8;
        self.insert_held(target, author.chain, None, author.is_ancestor, place, state)?;
        Ok(None)
    }

    /// Writes a change down whose record has to be built again.
    fn hold(
        &mut self,
        target: &Target<'_>,
        author: Author,
        change: &Change,
        place: EntryPlace,
        state: u8,
    ) -> Result<(), StoreError> {
        self.insert_held(target, author.chain, Some(change), author.is_ancestor, place, state)?;
        if state == WAITS {
            self.has_unsettled = Some(true);
        }
        self.rebuild.insert(target.name());
        Ok(())
    }

    pub(super) fn insert_held(
        &self,
        target: &Target<'_>,
        chain: i64,
        change: Option<&Change>,
        is_ancestor: bool,
        place: EntryPlace,
        state: u8,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO held_entry (space, kind, record, batch, entry, chain, seq, hash, ancestor, state)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute((
            target.space,
            target.kind,
            target.record.as_bytes(),
            place.batch,
            place.entry,
            chain,
            change.map_or(0, |change| change.seq as i64),
            change.map_or(&[][..], |change| change.hash.as_bytes()),
            is_ancestor,
            state,
        ))?;
        Ok(())
    }

    /// Notes a track chunk that is in no row: its batch does not stand, or another is in its place.
    pub(super) fn hold_track(
        &self,
        (space, space_id): (i64, SpaceId),
        chain: i64,
        chunk: &TrackChunk,
        place: EntryPlace,
        refusal: Option<EntryRefusal>,
    ) -> Result<(), StoreError> {
        if let Some(refusal) = refusal {
            tracing::warn!(batch = place.batch, entry = place.entry, ?refusal, "an entry is refused");
        }
        let target = Target { space, space_id, kind: TRACK, record: chunk.patrol };
        let state = refusal.map_or(SPARE, |refusal| REFUSED + refusal as u8);
        self.insert_held(&target, chain, None, false, place, state)
    }

    /// Forgets the notes about a batch's track chunks, which are about to be taken.
    pub(super) fn forget_tracks(&self, space: i64, batch: i64, body: &Body) -> Result<(), StoreError> {
        let sql = "DELETE FROM held_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 AND batch = ?4 AND entry = ?5";
        for (entry, content) in (0u32..).zip(&body.entries) {
            let BodyEntry::Present { entry: Entry::Track(chunk), .. } = content else { continue };
            let key = (space, TRACK, chunk.patrol.as_bytes(), batch, entry);
            self.transaction.prepare_cached(sql)?.execute(key)?;
        }
        Ok(())
    }

    /// Whether something that counts is held of a record and is not part of it: then what is added may
    /// change more than itself. Nearly never, and then it costs one look a transaction.
    pub(super) fn is_unsettled(&mut self, target: &Target<'_>) -> Result<bool, StoreError> {
        let has_unsettled = match self.has_unsettled {
            Some(has_unsettled) => has_unsettled,
            None => {
                let sql = "SELECT EXISTS (SELECT 1 FROM held_entry INDEXED BY held_entry_unsettled
                    WHERE state <> 1 AND state IN (0, 13, 14))";
                let has = self.transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
                *self.has_unsettled.insert(has)
            }
        };
        if !has_unsettled {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM held_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 AND state IN (0, 13, 14))";
        let key = (target.space, target.kind, target.record.as_bytes());
        Ok(self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0))?)
    }

    pub(super) fn refuse_entry(&self, place: EntryPlace, refusal: EntryRefusal) -> Result<(), StoreError> {
        tracing::warn!(batch = place.batch, entry = place.entry, ?refusal, "an entry is refused");
        let sql = "INSERT INTO refused_entry (batch, entry, code) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute((place.batch, place.entry, refusal as u8))?;
        Ok(())
    }

    /// Builds every record again that was marked for it.
    pub(super) fn rebuild_marked(&mut self) -> Result<(), StoreError> {
        while let Some(name) = self.rebuild.pop_first() {
            self.rebuild_record(&name)?;
        }
        Ok(())
    }

    /// Marks a record to be built again when the transaction ends.
    pub(super) fn mark_rebuild(&mut self, name: RecordName) {
        self.rebuild.insert(name);
    }
}
