//! What a link asks of the attachments, and tells.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::super::Store;
use super::super::error::StoreError;
use super::super::schema::Durability;
use super::album::{Album, State, read_name, set_state};
use crate::attachment::{
    AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer, AttachmentRefusal,
};
use crate::id::{AttachmentHash, SpaceId};

/// How often the observers of a record hear of a picture that is on its way.
const TOLD_LEN: u64 = 64 * 1024;

impl Store {
    /// Grows whenever there may be more attachments to send or to fetch.
    pub fn attachments_version(&self) -> u64 {
        self.inner.attachments.version.load(Ordering::Acquire)
    }

    /// Attachments to send, thumbnails first and then the oldest; and to fetch, thumbnails first and of
    /// these the newest. At most so many of each, and not these.
    pub fn moving_attachments(
        &self,
        offers: usize,
        fetches: usize,
        except: &BTreeSet<AttachmentName>,
    ) -> Result<(Vec<AttachmentOffer>, Vec<AttachmentFetch>), StoreError> {
        let moving = self.inner.with_album_if_there(|album| {
            Ok((album.to_send(offers, except)?, album.wanted(fetches, except)?))
        })?;
        Ok(moving.unwrap_or_default())
    }

    /// Keeps a part of an attachment that came.
    pub fn keep_attachment_part(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
        len: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<AttachmentKept, StoreError> {
        let name = (space, hash);
        let kept = self.inner.with_album_if_there(|album| {
            let kept = album.keep_part(name, len, offset, bytes)?;
            let is_told = match kept {
                AttachmentKept::Part { held } => held / TOLD_LEN != offset / TOLD_LEN,
                _ => true,
            };
            Ok((kept, if is_told { album.records_of(name)? } else { Vec::new() }))
        })?;
        let Some((kept, records)) = kept else { return Ok(AttachmentKept::Unwanted) };
        self.inner.observers.announce(records);
        Ok(kept)
    }

    /// Takes in that the relay holds a part of an attachment.
    pub fn attachment_held_there(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
        held: u64,
    ) -> Result<(), StoreError> {
        let records = self.inner.with_album_if_there(|album| {
            let before = album.there.insert((space, hash), held).unwrap_or(0);
            if before / TOLD_LEN == held / TOLD_LEN {
                Ok(Vec::new())
            } else {
                album.records_of((space, hash))
            }
        })?;
        self.inner.observers.announce(records.unwrap_or_default());
        Ok(())
    }

    /// Takes in that the relay holds an attachment, and where the space's log was then.
    pub fn acknowledge_attachment(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
        head: u64,
    ) -> Result<(), StoreError> {
        let records = self.inner.with_album_if_there(|album| {
            album.there.remove(&(space, hash));
            let sql = "UPDATE attachment SET state = 2, head = ?3, refusal = NULL
                WHERE space = ?1 AND hash = ?2 AND state = 1";
            let values = (space.as_bytes(), hash.as_bytes(), head as i64);
            album.connection.prepare_cached(sql)?.execute(values)?;
            album.records_of((space, hash))
        })?;
        self.inner.observers.announce(records.unwrap_or_default());
        Ok(())
    }

    /// Takes in why the relay does not take an attachment.
    pub fn attachment_not_taken(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
        refusal: AttachmentRefusal,
    ) -> Result<(), StoreError> {
        let records = self.inner.with_album_if_there(|album| {
            let sql = "UPDATE attachment SET refusal = ?3
                WHERE space = ?1 AND hash = ?2 AND refusal IS NOT ?3";
            let values = (space.as_bytes(), hash.as_bytes(), refusal.code());
            let is_news = album.connection.prepare_cached(sql)?.execute(values)? > 0;
            if is_news { album.records_of((space, hash)) } else { Ok(Vec::new()) }
        })?;
        self.inner.observers.announce(records.unwrap_or_default());
        Ok(())
    }

    /// Takes in that the relay lacks some: what of them is here is to be sent.
    pub fn seek_attachments(&self, space: SpaceId, hashes: &[AttachmentHash]) -> Result<(), StoreError> {
        self.inner.with_album_if_there(|album| {
            album.transaction(Durability::Relaxed, |connection| {
                let to_send = |hash: &AttachmentHash| {
                    set_state(connection, (space, *hash), State::Delivered, State::ToSend)
                };
                hashes.iter().try_for_each(to_send)
            })
        })?;
        self.inner.attachments.changed();
        Ok(())
    }

    /// The relay's log of a space is another: whatever is here whole is to be offered again.
    pub(in crate::store) fn forget_attachments_there(&self, space: SpaceId) -> Result<(), StoreError> {
        self.inner.with_album_if_there(|album| {
            let sql = "UPDATE attachment SET state = 1, head = NULL WHERE space = ?1 AND state = 2";
            album.there.retain(|name, _| name.0 != space);
            let forget = |connection: &rusqlite::Connection| {
                Ok(connection.prepare_cached(sql)?.execute([space.as_bytes()])?)
            };
            album.transaction(Durability::Full, forget)
        })?;
        self.inner.attachments.changed();
        Ok(())
    }
}

impl Album {
    fn to_send(
        &self,
        count: usize,
        except: &BTreeSet<AttachmentName>,
    ) -> Result<Vec<AttachmentOffer>, StoreError> {
        let sql =
            "SELECT space, hash, len, is_thumbnail FROM attachment WHERE state = 1 AND is_thumbnail = ?1
            ORDER BY id";
        let mut offers = Vec::new();
        for is_thumbnail in [true, false] {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([is_thumbnail])?;
            while offers.len() < count
                && let Some(row) = rows.next()?
            {
                let (space, hash) = read_name(row)?;
                if !except.contains(&(space, hash)) {
                    let len = row.get::<_, i64>(2)? as u64;
                    offers.push(AttachmentOffer { space, hash, len, is_thumbnail });
                }
            }
        }
        Ok(offers)
    }

    fn wanted(
        &self,
        count: usize,
        except: &BTreeSet<AttachmentName>,
    ) -> Result<Vec<AttachmentFetch>, StoreError> {
        let sql = "SELECT space, hash, held_len FROM attachment WHERE state = 0 AND is_thumbnail = ?1
            ORDER BY CASE is_thumbnail WHEN 1 THEN -id ELSE id END";
        let mut fetches = Vec::new();
        for is_thumbnail in [true, false] {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([is_thumbnail])?;
            while fetches.len() < count
                && let Some(row) = rows.next()?
            {
                let (space, hash) = read_name(row)?;
                if !except.contains(&(space, hash)) {
                    fetches.push(AttachmentFetch { space, hash, held: row.get::<_, i64>(2)? as u64 });
                }
            }
        }
        Ok(fetches)
    }
}
