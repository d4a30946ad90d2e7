//! What a device does without a network, beside raw SQLite doing the same.
//!
//! Raw SQLite means: one table with the columns that are asked for and the rest as JSON, an index on
//! the time, a full-text index and a map index, as durable as the device. It has no history, merges
//! nothing and signs nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use barid_core::clock::system_clock;
use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::store::{Query, Store, StoreConfig};
use rusqlite::{Connection, params};
use serde_json::{Value as Json, json};

use crate::observation::{self, to_fields};
use crate::process::{Usage, load};
use crate::record::{ReferenceRecord, degrees, record, record_id};

type Failure = Box<dyn std::error::Error>;

/// Records of one write while the database is filled.
const GROUP: u32 = 100;
/// How often each operation is timed.
const TIMES: u32 = 200;
/// A word of every tenth Arabic note or so, as somebody types it.
const WORD: &str = "البرج";
/// A tenth of a degree, within the area of the records.
const BBOX: [f64; 4] = [30.0, 36.0, 30.1, 36.1];
const SPACE: SpaceId = SpaceId::from_bytes([5; 32]);

/// Fills both with so many records and times each operation, a row each.
pub fn run(count: u32, folder: &Path, sink: &mut dyn FnMut(Json)) -> Result<(), Failure> {
    let folder = folder.join(format!("local-{count}"));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder)?;
    let mut emit = |operation: &str, barid: Json, sqlite: Json| {
        sink(json!({
            "w": "local", "n": count, "operation": operation, "barid": barid, "sqlite": sqlite, "load1": load(),
        }));
    };
    let (mut device, mut plain) = (Barid::open(&folder)?, Plain::open(&folder)?);
    let fill = |contestant: &mut dyn Contestant| -> Result<Json, Failure> {
        let begun = Instant::now();
        for from in (0..count).step_by(GROUP as usize) {
            contestant.put(from..(from + GROUP).min(count))?;
        }
        Ok(micros(begun, count))
    };
    emit("put, 100 a write: µs a record", fill(&mut device)?, fill(&mut plain)?);
    let operations: [(&str, Operation); 6] = [
        ("put one: µs", |of, count, turn| of.put(count + turn..count + turn + 1).map(|()| 1)),
        ("patch one field: µs", |of, count, turn| of.patch(spread(count, turn), turn)),
        ("get by id: µs", |of, count, turn| of.get(spread(count, turn))),
        ("query, newest 100: µs", |of, _, _| of.newest()),
        ("search a word, newest 100: µs", |of, _, _| of.search()),
        ("bounding box, newest 100: µs", |of, _, _| of.within()),
    ];
    for (name, operation) in operations {
        let barid = median(&mut device, count, operation)?;
        let sqlite = median(&mut plain, count, operation)?;
        emit(name, barid.0, sqlite.0);
        // Both must have found the same, or they were not asked the same.
        if barid.1 != sqlite.1 {
            emit(&format!("DIFFERS: {name}: rows found"), barid.1.into(), sqlite.1.into());
        }
    }
    drop((device, plain));
    let opened = |open: &dyn Fn() -> Result<(), Failure>| -> Result<Json, Failure> {
        let mut took = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            open()?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        Ok(json!(rounded(took[2])))
    };
    emit(
        "open, to the first record read: ms",
        opened(&|| Barid::open(&folder)?.get(0).map(drop))?,
        opened(&|| Plain::open(&folder)?.get(0).map(drop))?,
    );
    let len = |name: &str| {
        let len =
            |ending: &str| folder.join(format!("{name}{ending}")).metadata().map_or(0, |file| file.len());
        json!(rounded((len("") + len("-wal")) as f64 / f64::from(count)))
    };
    emit("database: bytes a record", len("device.db"), len("plain.db"));
    if let Some(usage) = Usage::of(std::process::id()) {
        emit("both at once, peak RSS: MB", usage.peak_mb.into(), Json::Null);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The turn's record, somewhere among all.
fn spread(count: u32, turn: u32) -> u32 {
    (turn.wrapping_mul(2_654_435_761)) % count
}

/// One operation: how many records there are, the how manieth time; it says how many it found.
type Operation = fn(&mut dyn Contestant, u32, u32) -> Result<usize, Failure>;

trait Contestant {
    fn put(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure>;
    fn patch(&mut self, number: u32, turn: u32) -> Result<usize, Failure>;
    fn get(&mut self, number: u32) -> Result<usize, Failure>;
    fn newest(&mut self) -> Result<usize, Failure>;
    fn search(&mut self) -> Result<usize, Failure>;
    fn within(&mut self) -> Result<usize, Failure>;
}

/// The median in microseconds, and how many records were found in all.
fn median(of: &mut dyn Contestant, count: u32, operation: Operation) -> Result<(Json, usize), Failure> {
    let (mut took, mut found) = (Vec::new(), 0);
    for turn in 0..TIMES {
        let begun = Instant::now();
        found += operation(of, count, turn)?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok((json!(rounded(took[took.len() / 2])), found))
}

fn micros(begun: Instant, count: u32) -> Json {
    json!(rounded(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)))
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

struct Barid(Store);

impl Barid {
    fn open(folder: &Path) -> Result<Self, Failure> {
        let identity = std::sync::Arc::new(Identity::from_seed([7; 32]));
        let store = Store::open(StoreConfig {
            kinds: observation::kinds(),
            clock: system_clock(),
            ..StoreConfig::device(folder.join("device.db"), identity)
        })?;
        store.join_space(SPACE)?;
        Ok(Self(store))
    }

    fn found(&self, query: Query) -> Result<usize, Failure> {
        let query = Query { kind: Some(observation::NAME.to_owned()), limit: 100, ..query };
        Ok(self.0.query(&query)?.records.len())
    }
}

impl Contestant for Barid {
    fn put(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        self.0.write(|write| {
            for number in numbers {
                let record = record(number);
                write.put(SPACE, observation::NAME, Some(record.id), to_fields(&record))?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn patch(&mut self, number: u32, turn: u32) -> Result<usize, Failure> {
        let puts = BTreeMap::from([("status".to_owned(), Some(format!("edited-{turn}").into()))]);
        self.0.write(|write| write.patch(SPACE, observation::NAME, record_id(number), puts))?;
        Ok(1)
    }

    fn get(&mut self, number: u32) -> Result<usize, Failure> {
        Ok(self.0.get(SPACE, observation::NAME, record_id(number))?.into_iter().count())
    }

    fn newest(&mut self) -> Result<usize, Failure> {
        self.found(Query::default())
    }

    fn search(&mut self) -> Result<usize, Failure> {
        self.found(Query { text: Some(WORD.to_owned()), ..Query::default() })
    }

    fn within(&mut self) -> Result<usize, Failure> {
        self.found(Query { bbox: Some(BBOX), ..Query::default() })
    }
}

struct Plain(Connection);

impl Plain {
    fn open(folder: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(folder.join("plain.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS rec (
                id INTEGER PRIMARY KEY, record BLOB NOT NULL UNIQUE, time INTEGER NOT NULL,
                status TEXT NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL, json TEXT NOT NULL
            );
            CREATE INDEX IF NOT EXISTS rec_time ON rec (time DESC);
            CREATE VIRTUAL TABLE IF NOT EXISTS rec_text USING fts5 (words, content='', detail=none);
            CREATE VIRTUAL TABLE IF NOT EXISTS rec_place USING rtree (id, lat0, lat1, lon0, lon1)",
        )?;
        Ok(Self(connection))
    }

    /// Reads every row found, whole.
    fn found(&self, condition: &str, values: impl rusqlite::Params) -> Result<usize, Failure> {
        let sql = format!("SELECT json FROM rec WHERE {condition} ORDER BY time DESC LIMIT 100");
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        let mut found = 0;
        while let Some(row) = rows.next()? {
            let json = serde_json::from_slice(row.get_ref(0)?.as_bytes()?)?;
            found += ReferenceRecord::from_json(&json).into_iter().count();
        }
        Ok(found)
    }
}

impl Contestant for Plain {
    fn put(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        let transaction = self.0.transaction()?;
        for number in numbers {
            let record = record(number);
            let (lat, lon) = (degrees(record.lat_millionths), degrees(record.lon_millionths));
            let json = record.to_json().to_string();
            transaction
                .prepare_cached("INSERT INTO rec VALUES (NULL, ?, ?, ?, ?, ?, ?)")?
                .execute(params![record.id.as_bytes(), record.observed_at, record.status, lat, lon, json])?;
            let id = transaction.last_insert_rowid();
            let words = format!("{} {} {}", record.title, record.note, record.category);
            transaction
                .prepare_cached("INSERT INTO rec_text (rowid, words) VALUES (?, ?)")?
                .execute(params![id, words])?;
            transaction
                .prepare_cached("INSERT INTO rec_place VALUES (?1, ?2, ?2, ?3, ?3)")?
                .execute(params![id, lat, lon])?;
        }
        Ok(transaction.commit()?)
    }

    fn patch(&mut self, number: u32, turn: u32) -> Result<usize, Failure> {
        let status = format!("edited-{turn}");
        let sql = "UPDATE rec SET status = ?2, json = json_set(json, '$.status', ?2) WHERE record = ?1";
        Ok(self.0.prepare_cached(sql)?.execute(params![record_id(number).as_bytes(), status])?)
    }

    fn get(&mut self, number: u32) -> Result<usize, Failure> {
        self.found("record = ?", [record_id(number).as_bytes()])
    }

    fn newest(&mut self) -> Result<usize, Failure> {
        self.found("TRUE", [])
    }

    fn search(&mut self) -> Result<usize, Failure> {
        self.found("id IN (SELECT rowid FROM rec_text WHERE rec_text MATCH ?)", [WORD])
    }

    fn within(&mut self) -> Result<usize, Failure> {
        let condition =
            "id IN (SELECT id FROM rec_place WHERE lat1 >= ?1 AND lat0 <= ?3 AND lon1 >= ?2 AND lon0 <= ?4)
            AND lat >= ?1 AND lat <= ?3 AND lon >= ?2 AND lon <= ?4";
        self.found(condition, BBOX)
    }
}
