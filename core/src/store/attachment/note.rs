//! What records mention is noted, so that thumbnails come by themselves, whoever watches a record hears of
//! its pictures, and what belongs to nothing any more goes.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension};

use super::super::error::StoreError;
use super::super::observe::{Changed, TRACK};
use super::super::schema::Durability;
use super::super::{Inner, Writing, meta, set_meta};
use super::album::{Album, find, set_state, want};
use super::bytes::drop_runs;
use super::since::{ChangePlace, Mentioning, mentions_since, read_mentioning};
use super::{Attachments, State};
use crate::attachment::Mention;
use crate::id::{AttachmentHash, SpaceId};

/// In a database beside which there is no file of attachments: no record changed up to this revision
/// mentions any.
const NONE_UP_TO: &str = "attachments_none_up_to";

/// After how many changed records is noted up to where was looked. An opening looks at what changed since,
/// so it takes no longer the more records there are.
pub(super) const NOTE_EVERY: usize = 1_000;

/// What one record mentions now; nothing if it is gone.
#[derive(Debug)]
pub(super) struct Noting {
    changed: Changed,
    mentions: Vec<Mention>,
    /// It was erased: what only it mentioned goes at once.
    is_erased: bool,
}

impl From<Mentioning> for Noting {
    fn from(Mentioning { record, mentions }: Mentioning) -> Self {
        Self { changed: record, mentions, is_erased: false }
    }
}

impl Writing<'_> {
    /// Before a commit: where there is no file, notes now and then that no record so far mentions anything.
    pub(in crate::store) fn note_no_attachments(&self) -> Result<(), StoreError> {
        let attachments = &self.inner.attachments;
        if !self.inner.keeps_attachments() || attachments.is_there.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_due = attachments.is_note_due(self.changed.len()) && self.mentioning.is_empty();
        if is_due && !attachments.has_missed.load(Ordering::Acquire) {
            set_meta(self.transaction, NONE_UP_TO, &self.revision.to_be_bytes())?;
            attachments.unnoted.store(0, Ordering::Release);
        }
        Ok(())
    }
}

impl Inner {
    /// Notes what a commit changed of what records mention: reads the database as it is then. What cannot
    /// be noted now is made up for when the file is opened next.
    pub(in crate::store) fn note_attachments(
        &self,
        connection: &Connection,
        changed: &[Changed],
        mentioning: &[i64],
        revision: i64,
    ) {
        let is_there = self.attachments.is_there.load(Ordering::Acquire);
        if !self.keeps_attachments() || (mentioning.is_empty() && !is_there) {
            return;
        }
        let noted = self.notings(connection, changed, mentioning).and_then(|notings| {
            let is_due = is_there && self.attachments.is_note_due(changed.len());
            if notings.is_empty() && !is_due {
                return Ok(());
            }
            self.with_album(|album| album.note(&notings, revision))?;
            self.attachments.unnoted.store(0, Ordering::Release);
            if !notings.is_empty() {
                self.attachments.remember(&notings);
                self.attachments.changed();
            }
            Ok(())
        });
        if let Err(error) = noted {
            tracing::error!(error = &error as &dyn std::error::Error, "what is attached was not noted");
            self.attachments.has_missed.store(true, Ordering::Release);
            *self.attachments.lock() = None;
        }
    }

    /// What is to be noted of a commit: of records that mention something now, or did before.
    fn notings(
        &self,
        connection: &Connection,
        changed: &[Changed],
        mentioning: &[i64],
    ) -> Result<Vec<Noting>, StoreError> {
        let mut notings = Vec::new();
        for row in mentioning {
            notings.extend(read_mentioning(connection, *row)?.map(Noting::from));
        }
        for changed in self.attachments.that_did_mention(changed) {
            if notings.iter().any(|noting: &Noting| noting.changed == *changed) {
                continue;
            }
            let sql = "SELECT r.id FROM record r JOIN space s ON s.id = r.space
                WHERE s.space = ?1 AND r.kind = ?2 AND r.record = ?3";
            let names = (changed.space.as_bytes(), &changed.kind, changed.id.as_bytes());
            let row: Option<i64> =
                connection.prepare_cached(sql)?.query_row(names, |row| row.get(0)).optional()?;
            let read = row.map(|row| read_mentioning(connection, row)).transpose()?.flatten();
            notings.push(read.map(Noting::from).unwrap_or_else(|| Noting {
                is_erased: self.membership(changed.space).is_erased(&changed.kind, changed.id),
                changed: changed.clone(),
                mentions: Vec::new(),
            }));
        }
        Ok(notings)
    }

    /// Notes what was changed since the file was written last.
    pub(super) fn catch_up(&self, album: &mut Album) -> Result<(), StoreError> {
        if self.config.path.is_none() {
            return Ok(());
        }
        let noted = album.noted()?;
        let (mut notings, revision) = self.read(|connection| {
            let revision = newest(connection)?;
            // An older database than the one that was noted of may be another in everything.
            let after = if noted > revision { 0 } else { noted };
            Ok::<_, StoreError>((mentioning_after(connection, after)?, revision))
        })?;
        let mut gone = Vec::new();
        for (space, record) in &album.mentioning()? {
            let membership = self.membership(*space);
            if membership.has_erasures() {
                for (kind, _) in membership.erasures().filter(|(_, erased)| erased == record) {
                    let changed = Changed { space: *space, kind: kind.to_owned(), id: *record };
                    gone.push(Noting { changed, mentions: Vec::new(), is_erased: true });
                }
            }
        }
        if noted != revision || !gone.is_empty() {
            notings.extend(gone);
            album.note(&notings, revision)?;
            self.attachments.remember(&notings);
        }
        album.forget_unmentioned()
    }

    /// Looks whether any record mentions an attachment, though there is no file of them.
    pub(super) fn look_for_mentions(&self) -> Result<(), StoreError> {
        if self.config.path.is_none() {
            return Ok(());
        }
        let (is_any, looked_at) = self.read(|connection| {
            let after = none_up_to(connection)?;
            let after = if after > newest(connection)? { 0 } else { after };
            let sql = "SELECT count(*) FROM record WHERE revision > ?1";
            let looked_at: i64 = connection.prepare_cached(sql)?.query_row([after], |row| row.get(0))?;
            Ok::<_, StoreError>((!mentioning_after(connection, after)?.is_empty(), looked_at))
        })?;
        self.attachments.unnoted.store(usize::try_from(looked_at).unwrap_or(usize::MAX), Ordering::Release);
        if is_any { self.with_album(|_| Ok(())) } else { Ok(()) }
    }
}

impl Attachments {
    /// Whether so many records were changed since the last note that another is worth its write.
    fn is_note_due(&self, changed: usize) -> bool {
        self.unnoted.fetch_add(changed, Ordering::AcqRel).saturating_add(changed) >= NOTE_EVERY
    }

    /// Those of the changed records that mentioned something before.
    fn that_did_mention<'a>(&self, changed: &'a [Changed]) -> Vec<&'a Changed> {
        let mentioning = self.mentioning.read().unwrap_or_else(PoisonError::into_inner);
        let did = |changed: &&Changed| mentioning.contains(&(changed.space, changed.id));
        changed.iter().filter(|changed| changed.kind != TRACK).filter(did).collect()
    }

    fn remember(&self, notings: &[Noting]) {
        let mut mentioning = self.mentioning.write().unwrap_or_else(PoisonError::into_inner);
        for Noting { changed, mentions, .. } in notings {
            let name = (changed.space, changed.id);
            if mentions.is_empty() {
                mentioning.remove(&name);
            } else {
                mentioning.insert(name);
            }
        }
    }
}

pub(super) fn none_up_to(connection: &Connection) -> Result<i64, StoreError> {
    let noted = meta(connection, NONE_UP_TO)?.and_then(|bytes| bytes.try_into().ok());
    Ok(noted.map_or(0, i64::from_be_bytes))
}

fn newest(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(revision), 0) FROM record";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Records changed after a revision that mention something.
fn mentioning_after(connection: &Connection, after: i64) -> Result<Vec<Noting>, StoreError> {
    let after = ChangePlace::after(after.unsigned_abs());
    let (found, _) = mentions_since(connection, after, &HashSet::new(), usize::MAX)?;
    Ok(found.into_iter().map(Noting::from).collect())
}

impl Album {
    pub(super) fn noted(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce((SELECT value FROM meta WHERE key = 'revision'), 0)";
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Notes what records mention now.
    fn note(&mut self, notings: &[Noting], revision: i64) -> Result<(), StoreError> {
        let has_erased = notings.iter().any(|noting| noting.is_erased);
        let durability = if has_erased { Durability::Full } else { Durability::Relaxed };
        self.transaction(durability, |connection| {
            notings.iter().try_for_each(|noting| note_one(connection, noting))?;
            let sql = "INSERT INTO meta (key, value) VALUES ('revision', ?1)
                ON CONFLICT DO UPDATE SET value = ?1";
            connection.prepare_cached(sql)?.execute([revision])?;
            Ok(())
        })?;
        if has_erased {
            super::super::erase::empty_log(&self.connection);
            self.give_room_back();
        }
        Ok(())
    }

    /// Drops what was to be attached when the program ended, and is not.
    fn forget_unmentioned(&mut self) -> Result<(), StoreError> {
        self.transaction(Durability::Relaxed, |connection| {
            let sql = "SELECT id, space, hash FROM attachment WHERE state = 4";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let name = (SpaceId::from_bytes(row.get(1)?), AttachmentHash::from_bytes(row.get(2)?));
                Ok((row.get::<_, i64>(0)?, name))
            })?;
            for (id, name) in rows.collect::<Result<Vec<_>, _>>()? {
                if is_mentioned(connection, name)? {
                    set_state(connection, name, State::Attaching, State::ToSend)?;
                } else {
                    forget(connection, id)?;
                }
            }
            Ok(())
        })
    }
}

fn is_mentioned(
    connection: &Connection,
    (space, hash): (SpaceId, AttachmentHash),
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM mention WHERE space = ?1 AND hash = ?2)";
    let names = (space.as_bytes(), hash.as_bytes());
    Ok(connection.prepare_cached(sql)?.query_row(names, |row| row.get(0))?)
}

fn forget(connection: &Connection, id: i64) -> Result<(), StoreError> {
    drop_runs(connection, id)?;
    connection.prepare_cached("DELETE FROM attachment WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn note_one(connection: &Connection, noting: &Noting) -> Result<(), StoreError> {
    let Changed { space, kind, id } = &noting.changed;
    let sql = "DELETE FROM mention WHERE space = ?1 AND kind = ?2 AND record = ?3 RETURNING hash";
    let mut statement = connection.prepare_cached(sql)?;
    let before = statement
        .query_map((space.as_bytes(), kind, id.as_bytes()), |row| row.get(0).map(AttachmentHash::from_bytes))?
        .collect::<Result<Vec<_>, _>>()?;
    for mention in &noting.mentions {
        let thumbnail = mention.thumbnail.map(|(hash, _)| hash);
        for hash in [Some(mention.hash), thumbnail].into_iter().flatten() {
            let sql = "INSERT OR IGNORE INTO mention (space, kind, record, hash) VALUES (?1, ?2, ?3, ?4)";
            let values = (space.as_bytes(), kind, id.as_bytes(), hash.as_bytes());
            connection.prepare_cached(sql)?.execute(values)?;
            set_state(connection, (*space, hash), State::Attaching, State::ToSend)?;
        }
        // Small, and what a list shows: they come without being asked for.
        if let Some((hash, len)) = mention.thumbnail
            && find(connection, (*space, hash))?.is_none()
        {
            want(connection, (*space, hash), len, true)?;
        }
    }
    for hash in before.into_iter().filter(|_| noting.is_erased) {
        if !is_mentioned(connection, (*space, hash))?
            && let Some(found) = find(connection, (*space, hash))?
        {
            forget(connection, found.id)?;
        }
    }
    Ok(())
}
