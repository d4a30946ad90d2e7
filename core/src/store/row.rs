//! The row of a record: what its folded fields become, and how it reads back.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::error::StoreError;
use super::search;
use crate::attachment::MENTION_PREFIX;
use crate::clock::Timestamp;
use crate::document::{FirstFolded, Folded};
use crate::id::{DeviceId, OrganisationId, RecordId, SpaceId};
use crate::model::value::{entries_to_cbor, fields_from_cbor};
use crate::model::{Fields, Kind, Value};

/// A record as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its space.
    pub space: SpaceId,
    /// Its kind.
    pub kind: String,
    /// Its id, unique within space and kind.
    pub id: RecordId,
    /// Every field, the undeclared ones too.
    pub fields: Fields,
    /// The time that its kind says it is of; when it was created if there is none.
    pub time: Timestamp,
    /// Where it happened: latitude and longitude in degrees.
    pub place: Option<(f64, f64)>,
    /// Its state.
    pub state: Option<String>,
    /// Whose device created it; unknown while the control records that say so are not held.
    pub organisation: Option<OrganisationId>,
    /// Which device created it.
    pub created_by: DeviceId,
    /// When, as that device claimed.
    pub created_at: Timestamp,
    /// Which device changed it last.
    pub updated_by: DeviceId,
    /// When, as that device claimed.
    pub updated_at: Timestamp,
    /// Taken back by somebody, and not worked on meanwhile by anybody else.
    pub withdrawn: bool,
    /// Fields with more than one value.
    pub conflicts: u32,
    /// The relay holds every change of it that this device made.
    pub delivered: bool,
    /// Grows with every change of any record in this store; means nothing elsewhere.
    pub revision: u64,
}

/// Everything that reads records selects these columns, from [`RECORD_TABLES`].
pub(super) const RECORD_COLUMNS: &str = "r.kind, r.record, r.fields, r.time, r.lat, r.lon, r.state,
    c.organisation, c.device, r.created_at, u.device, r.updated_at, r.withdrawn, r.conflicts, r.revision,
    NOT EXISTS (SELECT 1 FROM undelivered d WHERE d.record = r.id)
    AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.record = r.record AND p.kind = r.kind AND p.space = s.space),
    s.space";

pub(super) const RECORD_TABLES: &str = "record r JOIN space s ON s.id = r.space
    JOIN chain c ON c.id = r.created_by JOIN chain u ON u.id = r.updated_by";

/// Reads a row of [`RECORD_COLUMNS`].
pub(super) fn read_record(row: &Row<'_>) -> Result<Record, StoreError> {
    let fields = fields_from_cbor(row.get_ref(2)?.as_bytes().map_err(rusqlite::Error::from)?);
    let place: (Option<f64>, Option<f64>) = (row.get(4)?, row.get(5)?);
    Ok(Record {
        kind: row.get(0)?,
        id: RecordId::from_bytes(row.get(1)?),
        fields: fields.map_err(|_| StoreError::Unreadable("a record's fields"))?,
        time: Timestamp::from_millis(row.get(3)?),
        place: place.0.zip(place.1),
        state: row.get(6)?,
        organisation: row.get::<_, Option<[u8; 32]>>(7)?.map(OrganisationId::from_bytes),
        created_by: DeviceId::from_bytes(row.get(8)?),
        created_at: Timestamp::from_millis(row.get(9)?),
        updated_by: DeviceId::from_bytes(row.get(10)?),
        updated_at: Timestamp::from_millis(row.get(11)?),
        withdrawn: row.get(12)?,
        conflicts: row.get(13)?,
        revision: row.get::<_, i64>(14)? as u64,
        delivered: row.get(15)?,
        space: SpaceId::from_bytes(row.get(16)?),
    })
}

/// Reads one record.
pub(super) fn find_record(
    connection: &Connection,
    space: i64,
    kind: &str,
    id: RecordId,
) -> Result<Option<Record>, StoreError> {
    let sql = format!(
        "SELECT {RECORD_COLUMNS} FROM {RECORD_TABLES} WHERE r.space = ?1 AND r.kind = ?2 AND r.record = ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((space, kind, id.as_bytes()))?;
    rows.next()?.map(read_record).transpose()
}

/// A record's number and whether it has a merged document.
pub(super) fn find_row(
    connection: &Connection,
    space: i64,
    kind: &str,
    id: RecordId,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM record WHERE space = ?1 AND kind = ?2 AND record = ?3")?
        .query_row((space, kind, id.as_bytes()), |row| row.get(0))
        .optional()?)
}

/// The columns that follow from a record's changes alone, whoever made them.
pub(super) struct Columns {
    fields: Vec<u8>,
    time: i64,
    place: Option<(f64, f64)>,
    state: Option<String>,
    words: String,
    created_at: i64,
    updated_at: i64,
    withdrawn: bool,
    conflicts: u32,
    /// It mentions attachments.
    pub(super) mentions: bool,
}

/// The chains of those who made a record and changed it last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authors {
    pub(super) created_by: i64,
    pub(super) updated_by: i64,
}

/// What a record's changes show, lent by them.
pub(super) struct Shown<'a> {
    fields: BTreeMap<&'a str, &'a Value>,
    withdrawn: bool,
    conflicts: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a Folded> for Shown<'a> {
    fn from(folded: &'a Folded) -> Self {
        Self {
            fields: folded.fields.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            withdrawn: folded.withdrawn,
            conflicts: folded.conflicts.len() as u32,
            created_at: folded.created.time,
            updated_at: folded.updated.time,
        }
    }
}

impl<'a> From<FirstFolded<'a>> for Shown<'a> {
    fn from(FirstFolded { fields, withdrawn, origin }: FirstFolded<'a>) -> Self {
        Self { fields, withdrawn, conflicts: 0, created_at: origin.time, updated_at: origin.time }
    }
}

impl Shown<'_> {
    fn mentions(&self) -> bool {
        let first = self.fields.range(MENTION_PREFIX..).next();
        first.is_some_and(|(name, _)| name.starts_with(MENTION_PREFIX))
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).copied()
    }
}

impl Columns {
    pub(super) fn new(shown: &Shown<'_>, kind: &Kind) -> Self {
        let time = kind.time.as_ref().and_then(|name| shown.find(name)).and_then(Value::as_int);
        let state = kind.state.as_ref().and_then(|name| shown.find(name)).and_then(Value::as_text);
        Self {
            time: time.unwrap_or(shown.created_at.as_millis()),
            place: place(shown, kind),
            state: state.map(str::to_owned),
            words: words(shown, kind),
            created_at: shown.created_at.as_millis(),
            updated_at: shown.updated_at.as_millis(),
            withdrawn: shown.withdrawn,
            conflicts: shown.conflicts,
            mentions: shown.mentions(),
            fields: entries_to_cbor(shown.fields.iter().map(|(name, value)| (*name, *value))),
        }
    }
}

/// A place on Earth, if both degrees are there and possible.
fn place(shown: &Shown<'_>, kind: &Kind) -> Option<(f64, f64)> {
    let (lat, lon) = kind.place.as_ref()?;
    let degrees = |name: &String, limit: f64| {
        shown.find(name).and_then(Value::as_number).filter(|degrees| degrees.abs() <= limit)
    };
    Some((degrees(lat, 90.0)?, degrees(lon, 180.0)?))
}

/// What the record is found by.
fn words(shown: &Shown<'_>, kind: &Kind) -> String {
    match &kind.searched {
        Some(names) => {
            search::index_text(names.iter().filter_map(|name| shown.find(name)).filter_map(Value::as_text))
        }
        None => search::index_text(shown.fields.values().filter_map(|value| value.as_text())),
    }
}

/// Inserts a record of one change; `None` if there is one of this name.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    space: i64,
    kind: &str,
    id: RecordId,
    columns: &Columns,
    authors: Authors,
    revision: i64,
) -> Result<Option<i64>, StoreError> {
    let sql =
        "INSERT INTO record (space, kind, record, fields, time, lat, lon, state, created_by, created_at,
            updated_by, updated_at, withdrawn, conflicts, revision)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
        ON CONFLICT (space, kind, record) DO NOTHING";
    let inserted = transaction.prepare_cached(sql)?.execute(rusqlite::params![
        space,
        kind,
        id.as_bytes(),
        columns.fields,
        columns.time,
        columns.place.map(|place| place.0),
        columns.place.map(|place| place.1),
        columns.state,
        authors.created_by,
        columns.created_at,
        authors.updated_by,
        columns.updated_at,
        columns.withdrawn,
        columns.conflicts,
        revision,
    ])?;
    if inserted == 0 {
        return Ok(None);
    }
    let row = transaction.last_insert_rowid();
    insert_words(transaction, row, &columns.words)?;
    insert_place(transaction, row, columns.place)?;
    Ok(Some(row))
}

/// Brings a record's row up to date; `doc` is its merged document, if it has more than one change.
pub(super) fn update(
    transaction: &Transaction<'_>,
    row: i64,
    columns: &Columns,
    authors: Authors,
    revision: i64,
    doc: Option<&[u8]>,
) -> Result<(), StoreError> {
    let sql = "UPDATE record SET fields = ?2, time = ?3, lat = ?4, lon = ?5, state = ?6, created_by = ?7,
            created_at = ?8, updated_by = ?9, updated_at = ?10, withdrawn = ?11, conflicts = ?12,
            revision = ?13, doc = ?14
        WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(rusqlite::params![
        row,
        columns.fields,
        columns.time,
        columns.place.map(|place| place.0),
        columns.place.map(|place| place.1),
        columns.state,
        authors.created_by,
        columns.created_at,
        authors.updated_by,
        columns.updated_at,
        columns.withdrawn,
        columns.conflicts,
        revision,
        doc,
    ])?;
    transaction.prepare_cached("DELETE FROM record_text WHERE rowid = ?1")?.execute([row])?;
    transaction.prepare_cached("DELETE FROM record_place WHERE id = ?1")?.execute([row])?;
    insert_words(transaction, row, &columns.words)?;
    insert_place(transaction, row, columns.place)
}

fn insert_words(transaction: &Transaction<'_>, row: i64, words: &str) -> Result<(), StoreError> {
    if !words.is_empty() {
        transaction
            .prepare_cached("INSERT INTO record_text (rowid, text) VALUES (?1, ?2)")?
            .execute((row, words))?;
    }
    Ok(())
}

fn insert_place(
    transaction: &Transaction<'_>,
    row: i64,
    place: Option<(f64, f64)>,
) -> Result<(), StoreError> {
    if let Some((lat, lon)) = place {
        transaction
            .prepare_cached("INSERT INTO record_place VALUES (?1, ?2, ?2, ?3, ?3)")?
            .execute((row, lat, lon))?;
    }
    Ok(())
}
