//! What records mention that changed since some revision. Of the others nothing but their bytes is looked at.

use std::collections::HashSet;

use rusqlite::Connection;

use super::super::Store;
use super::super::error::StoreError;
use super::super::observe::Changed;
use super::mentions;
use crate::attachment::Mention;
use crate::id::{RecordId, SpaceId};
use crate::model::value::fields_from_cbor;

/// A place in the order in which records changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePlace {
    revision: i64,
    row: i64,
}

impl ChangePlace {
    /// Behind every record that changed at this revision or before.
    pub fn after(revision: u64) -> Self {
        Self { revision: i64::try_from(revision).unwrap_or(i64::MAX), row: i64::MAX }
    }
}

/// What one record mentions now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentioning {
    /// Which record.
    pub record: Changed,
    /// What it mentions: nothing any more, if it is one that did before.
    pub mentions: Vec<Mention>,
}

impl Store {
    /// What those records mention that changed after a place: withdrawn ones too, and of those that mention
    /// nothing now only the ones that did before. `rows_max` records are looked at; where to go on is
    /// `None` at the end.
    pub fn mentions_since(
        &self,
        after: ChangePlace,
        mentioned_before: &HashSet<RecordId>,
        rows_max: usize,
    ) -> Result<(Vec<Mentioning>, Option<ChangePlace>), StoreError> {
        self.inner.read(|connection| mentions_since(connection, after, mentioned_before, rows_max))
    }
}

pub(super) fn mentions_since(
    connection: &Connection,
    after: ChangePlace,
    mentioned_before: &HashSet<RecordId>,
    rows_max: usize,
) -> Result<(Vec<Mentioning>, Option<ChangePlace>), StoreError> {
    let sql = "SELECT revision, id, record, instr(fields, CAST('attachment/' AS BLOB)) > 0 FROM record
        WHERE (revision, id) > (?1, ?2) ORDER BY revision, id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut rows = statement.query((after.revision, after.row, limit))?;
    let (mut found, mut seen, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        seen += 1;
        last = ChangePlace { revision: row.get(0)?, row: row.get(1)? };
        let did_before = mentioned_before.contains(&RecordId::from_bytes(row.get(2)?));
        if !did_before && !row.get::<_, bool>(3)? {
            continue;
        }
        if let Some(mentioning) = read_mentioning(connection, last.row)?
            && (did_before || !mentioning.mentions.is_empty())
        {
            found.push(mentioning);
        }
    }
    Ok((found, (seen == rows_max).then_some(last)))
}

/// What a record mentions, by its row.
pub(super) fn read_mentioning(connection: &Connection, row: i64) -> Result<Option<Mentioning>, StoreError> {
    let sql = "SELECT s.space, r.kind, r.record, r.fields FROM record r JOIN space s ON s.id = r.space
        WHERE r.id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([row])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let fields = fields_from_cbor(row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?);
    let fields = fields.map_err(|_| StoreError::Unreadable("a record's fields"))?;
    let space = SpaceId::from_bytes(row.get(0)?);
    let record = Changed { space, kind: row.get(1)?, id: RecordId::from_bytes(row.get(2)?) };
    Ok(Some(Mentioning { record, mentions: mentions(&fields).collect() }))
}
