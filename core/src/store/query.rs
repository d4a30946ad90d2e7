//! Finding records. Queries read rows alone and never a document.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::error::StoreError;
use super::row::{self, RECORD_COLUMNS, RECORD_TABLES, Record};
use super::{Store, search, space};
use crate::clock::Timestamp;
use crate::id::{OrganisationId, RecordId, SpaceId};

/// Records of one page, at most.
const LIMIT_MAX: usize = 1000;

/// Which records to find. The default is the newest hundred that are not withdrawn.
#[derive(Clone)]
pub struct Query {
    /// Only of this space.
    pub space: Option<SpaceId>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this time or later.
    pub from: Option<Timestamp>,
    /// Only of before this time.
    pub to: Option<Timestamp>,
    /// Only with a place within these degrees: lowest latitude, lowest longitude, highest latitude,
    /// highest longitude. A box over the date line has its lowest longitude above its highest.
    pub bbox: Option<[f64; 4]>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only created by a device of this organisation.
    pub organisation: Option<OrganisationId>,
    /// Only with all of these words, each as typed or as the beginning of a longer one.
    pub text: Option<String>,
    /// Only changed after this revision, as an earlier answer gave it.
    pub changed_since: Option<u64>,
    /// The withdrawn ones too.
    pub include_withdrawn: bool,
    /// Only with a conflict.
    pub conflicts_only: bool,
    /// How many at most; a thousand is the highest.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<PageToken>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            space: None,
            kind: None,
            from: None,
            to: None,
            bbox: None,
            state: None,
            organisation: None,
            text: None,
            changed_since: None,
            include_withdrawn: false,
            conflicts_only: false,
            limit: 100,
            after: None,
        }
    }
}

/// Shows what is asked about, never the words or the place.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("space", &self.space)
            .field("kind", &self.kind)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Records in the order of their time, the newest first, and where to go on.
#[derive(Debug, Clone)]
pub struct Page {
    /// The records; those of one time in the order of their ids.
    pub records: Vec<Record>,
    /// What to ask for next; none at the end.
    pub next: Option<PageToken>,
}

/// The record that a page ended with. As text it is opaque and safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken {
    /// Its time.
    pub time: Timestamp,
    /// Its id.
    pub id: RecordId,
    /// Its space.
    pub space: SpaceId,
    /// Its kind.
    pub kind: String,
}

/// A text is not a page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a page token")]
pub struct PageTokenError;

impl PageToken {
    fn of(record: &Record) -> Self {
        Self { time: record.time, id: record.id, space: record.space, kind: record.kind.clone() }
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = crate::id::to_hex(self.kind.as_bytes());
        write!(f, "{}.{}.{}.{kind}", self.time.as_millis(), self.id, self.space)
    }
}

impl FromStr for PageToken {
    type Err = PageTokenError;

    fn from_str(text: &str) -> Result<Self, PageTokenError> {
        let parts: Vec<&str> = text.split('.').collect();
        let [time, id, space, kind] = parts[..] else { return Err(PageTokenError) };
        let digits = kind.as_bytes().chunks(2).map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .filter(|_| pair.len() == 2)
                .and_then(|p| u8::from_str_radix(p, 16).ok())
        });
        let kind = digits.collect::<Option<Vec<u8>>>().and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Self {
            time: Timestamp::from_millis(time.parse().map_err(|_| PageTokenError)?),
            id: id.parse().map_err(|_| PageTokenError)?,
            space: space.parse().map_err(|_| PageTokenError)?,
            kind: kind.ok_or(PageTokenError)?,
        })
    }
}

/// Rows that a tree is asked for before it is said that it has many.
const FEW_MAX: i64 = 4_096;
/// To look at one row costs as much as to pass over so many in the index by time.
const PASSED_A_LOOK: i64 = 32;

/// Conditions on rows of `record r`, and what they compare with.
#[derive(Default)]
struct Filter {
    sql: String,
    values: Vec<Sql>,
    trees: Vec<Tree>,
}

/// What the tree of places, of words or of revisions finds: rows, by their number.
struct Tree {
    sql: String,
    values: Vec<Sql>,
    /// A condition of the filter says the same, so it need not be asked of a row that was found otherwise.
    is_said: bool,
}

/// How the rows are come by that a filter is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By whatever index, which is the one by time.
    Index,
    /// One of the trees finds few: each of those is looked at.
    Tree(usize),
}

impl Way {
    /// What keeps SQLite from taking a condition for a way.
    fn mark(self, is_way: bool) -> &'static str {
        if self == Self::Index || is_way { "" } else { "+" }
    }
}

impl Filter {
    /// Adds a condition; each `?` in it takes the next of the values.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Sql>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Everything that a query asks for but its space, kind and page.
    fn new(query: &Query) -> Self {
        let mut filter = Self::default();
        if !query.include_withdrawn {
            filter.and("r.withdrawn = 0", []);
        }
        if query.conflicts_only {
            filter.and("r.conflicts > 0", []);
        }
        if let Some(from) = query.from {
            filter.and("r.time >= ?", [from.as_millis().into()]);
        }
        if let Some(to) = query.to {
            filter.and("r.time < ?", [to.as_millis().into()]);
        }
        if let Some(state) = &query.state {
            filter.and("r.state = ?", [state.clone().into()]);
        }
        if let Some(organisation) = query.organisation {
            let condition = "r.created_by IN (SELECT id FROM chain WHERE organisation = ?)";
            filter.and(condition, [organisation.as_bytes().to_vec().into()]);
        }
        if let Some(revision) = query.changed_since {
            let revision = Sql::from(i64::try_from(revision).unwrap_or(i64::MAX));
            // Marked, or SQLite would sort all that changed by their time where that is not few.
            filter.and("+r.revision > ?", [revision.clone()]);
            let sql = "SELECT id FROM record WHERE revision > ?".to_owned();
            filter.trees.push(Tree { sql, values: vec![revision], is_said: true });
        }
        if let Some(bbox) = query.bbox {
            filter.within(bbox);
        }
        if let Some(expression) = query.text.as_deref().and_then(search::match_expression) {
            let sql = "SELECT rowid FROM record_text WHERE record_text MATCH ?".to_owned();
            filter.trees.push(Tree { sql, values: vec![expression.into()], is_said: false });
        }
        filter
    }

    /// The best way to what passes the filter, if it is gone so many times.
    fn way(&self, connection: &Connection, times: usize) -> Result<Way, StoreError> {
        if self.trees.is_empty() {
            return Ok(Way::Index);
        }
        let newest: i64 = connection
            .prepare_cached("SELECT coalesce(max(id), 0) FROM record")?
            .query_row([], |row| row.get(0))?;
        let (mut best, mut few) =
            (Way::Index, (newest / PASSED_A_LOOK / times.max(1) as i64).clamp(16, FEW_MAX));
        for (place, tree) in self.trees.iter().enumerate() {
            let sql = format!("SELECT count(*) FROM ({} LIMIT ?)", tree.sql);
            let values = tree.values.iter().cloned().chain([(few + 1).into()]);
            let found: i64 =
                connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
            if found <= few {
                (best, few) = (Way::Tree(place), found);
            }
        }
        Ok(best)
    }

    /// Everything that is asked for, in SQL.
    fn by(&self, way: Way) -> (String, Vec<Sql>) {
        let (mut sql, mut values) = (self.sql.clone(), self.values.clone());
        for (place, tree) in self.trees.iter().enumerate() {
            if tree.is_said && way != Way::Tree(place) {
                continue;
            }
            let mark = way.mark(way == Way::Tree(place));
            sql.push_str(&format!(" AND {mark}r.id IN ({})", tree.sql));
            values.extend(tree.values.iter().cloned());
        }
        (sql, values)
    }

    /// The tree of places has 32 bits and rounds outwards, so the row has the last word.
    fn within(&mut self, [lat_min, lon_min, lat_max, lon_max]: [f64; 4]) {
        let degrees = [lat_min, lat_max, lon_min, lon_max].map(Sql::from);
        let lon_rule = if lon_min <= lon_max { "AND" } else { "OR" };
        let sql = format!(
            "SELECT id FROM record_place
                WHERE lat_max >= ? AND lat_min <= ? AND (lon_max >= ? {lon_rule} lon_min <= ?)"
        );
        self.trees.push(Tree { sql, values: degrees.to_vec(), is_said: false });
        self.and(&format!("r.lat >= ? AND r.lat <= ? AND (r.lon >= ? {lon_rule} r.lon <= ?)"), degrees);
    }
}

/// A row found, with what it is ordered by.
struct Found {
    time: i64,
    id: RecordId,
    space: SpaceId,
    kind: String,
    row: i64,
}

impl Store {
    /// A record as it is now; withdrawn ones too.
    pub fn get(&self, space: SpaceId, kind: &str, id: RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.read(|connection| match space::number(connection, space)? {
            Some(space) => row::find_record(connection, space, kind, id),
            None => Ok(None),
        })
    }

    /// The records that a query asks for, the newest first.
    pub fn query(&self, query: &Query) -> Result<Page, StoreError> {
        let limit = query.limit.clamp(1, LIMIT_MAX);
        self.inner.read(|connection| {
            let filter = Filter::new(query);
            let partitions = partitions(connection, query)?;
            let way = filter.way(connection, partitions.len())?;
            let mut found = Vec::new();
            // Within one space and kind the index has the order; nothing is sorted but what is found.
            for (number, space, kind) in partitions {
                find_in(connection, query, (&filter, way), (number, space, &kind), limit + 1, &mut found)?;
            }
            found.sort_by(|a, b| {
                let key = |f: &Found| (Reverse(f.time), f.id, f.space);
                key(a).cmp(&key(b)).then_with(|| a.kind.cmp(&b.kind))
            });
            let has_more = found.len() > limit;
            found.truncate(limit);
            let sql = format!("SELECT {RECORD_COLUMNS} FROM {RECORD_TABLES} WHERE r.id = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut records = Vec::with_capacity(found.len());
            for found in &found {
                let mut rows = statement.query([found.row])?;
                if let Some(row) = rows.next()? {
                    records.push(row::read_record(row)?);
                }
            }
            let next = records.last().filter(|_| has_more).map(PageToken::of);
            Ok(Page { records, next })
        })
    }

    /// How many records a query asks for, on all of its pages together.
    pub fn count(&self, query: &Query) -> Result<u64, StoreError> {
        self.inner.read(|connection| {
            let mut filter = Filter::new(query);
            let way = filter.way(connection, 1)?;
            let mark = way.mark(false);
            match query.space {
                Some(space) => {
                    let condition = format!("{mark}r.space = (SELECT id FROM space WHERE space = ?)");
                    filter.and(&condition, [space.as_bytes().to_vec().into()]);
                }
                // Says nothing, and lets the index by space and kind be used.
                None => filter.and(&format!("{mark}r.space IN (SELECT id FROM space)"), []),
            }
            if let Some(kind) = &query.kind {
                filter.and(&format!("{mark}r.kind = ?"), [kind.clone().into()]);
            }
            let (conditions, values) = filter.by(way);
            let sql = format!("SELECT count(*) FROM record r WHERE TRUE{conditions}");
            let mut statement = connection.prepare_cached(&sql)?;
            let count: i64 = statement.query_row(params_from_iter(values), |row| row.get(0))?;
            Ok(count as u64)
        })
    }
}

/// The spaces and kinds that a query looks into.
fn partitions(connection: &Connection, query: &Query) -> Result<Vec<(i64, SpaceId, String)>, StoreError> {
    let mut partitions = Vec::new();
    for (number, space) in space::all(connection)? {
        if query.space.is_some_and(|wanted| wanted != space) {
            continue;
        }
        match &query.kind {
            Some(kind) => partitions.push((number, space, kind.clone())),
            None => {
                for kind in kinds(connection, number)? {
                    partitions.push((number, space, kind));
                }
            }
        }
    }
    Ok(partitions)
}

/// The kinds of which a space has records: one step of the index for each.
fn kinds(connection: &Connection, space: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT kind FROM record WHERE space = ?1 AND kind > ?2 ORDER BY kind LIMIT 1")?;
    let mut kinds: Vec<String> = Vec::new();
    loop {
        let last = kinds.last().map_or("", String::as_str);
        let mut rows = statement.query((space, last))?;
        match rows.next()? {
            Some(row) => kinds.push(row.get(0)?),
            None => return Ok(kinds),
        }
    }
}

fn find_in(
    connection: &Connection,
    query: &Query,
    (filter, way): (&Filter, Way),
    (number, space, kind): (i64, SpaceId, &str),
    limit: usize,
    found: &mut Vec<Found>,
) -> Result<(), StoreError> {
    let (mark, (conditions, compared)) = (way.mark(false), filter.by(way));
    let mut sql = format!(
        "SELECT r.id, r.time, r.record FROM record r WHERE {mark}r.space = ? AND {mark}r.kind = ?{conditions}"
    );
    let mut values = vec![Sql::from(number), Sql::from(kind.to_owned())];
    values.extend(compared);
    if let Some(after) = &query.after {
        // Of one time and id, the places of space and kind decide what was on the page before.
        let passed = (space, kind) <= (after.space, after.kind.as_str());
        let beyond = if passed { ">" } else { ">=" };
        sql.push_str(&format!(" AND r.time <= ? AND (r.time < ? OR r.record {beyond} ?)"));
        let time = after.time.as_millis();
        values.extend([time.into(), time.into(), Sql::from(after.id.as_bytes().to_vec())]);
    }
    sql.push_str(" ORDER BY r.time DESC, r.record LIMIT ?");
    values.push((limit as i64).into());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        found.push(Found {
            row: row.get(0)?,
            time: row.get(1)?,
            id: RecordId::from_bytes(row.get(2)?),
            space,
            kind: kind.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
