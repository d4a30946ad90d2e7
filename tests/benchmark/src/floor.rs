//! The floor: records as compressed lines over HTTP into SQLite, the last writer of a record wins.
//!
//! The same as `floor/floor.rs` of the peers, for where those are not: a change cursor, a long poll,
//! durable at the answer; no history, no merge, no signature, no index but the id.

use std::io::Write;
use std::path::Path;

use rusqlite::Connection;

/// Opens the floor's database: every commit is on the disk before the next begins.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS rec (
            id TEXT PRIMARY KEY, seq INTEGER NOT NULL, dirty INTEGER NOT NULL, json TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS rec_seq ON rec (seq);
        CREATE INDEX IF NOT EXISTS rec_dirty ON rec (dirty) WHERE dirty > 0;
        CREATE TABLE IF NOT EXISTS meta (k TEXT PRIMARY KEY, v INTEGER)",
    )?;
    Ok(connection)
}

/// The one text column of a query's rows as compressed lines, and how many.
pub(crate) fn pack(
    connection: &Connection,
    first: Option<String>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<(Vec<u8>, i64), Box<dyn std::error::Error>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
    let mut count = 0;
    if let Some(first) = first {
        writeln!(encoder, "{first}")?;
    }
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        encoder.write_all(row.get_ref(0)?.as_bytes()?)?;
        encoder.write_all(b"\n")?;
        count += 1;
    }
    Ok((encoder.finish()?, count))
}

/// The lines that [`pack`] wrote.
pub(crate) fn unpack(bytes: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    Ok(String::from_utf8(zstd::decode_all(bytes)?)?)
}

/// The id in a record's line. The line is read whole: whoever stores it knows what it stores.
pub(crate) fn id_of(line: &str) -> Result<String, Box<dyn std::error::Error>> {
    let record: serde_json::Value = serde_json::from_str(line)?;
    Ok(record["id"].as_str().ok_or("a record without an id")?.to_owned())
}
