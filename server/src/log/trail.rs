//! The audit trail: what was decided on this relay, by whom and when, each entry bound to all before it.
//!
//! An entry is written in the transaction of what it tells of, so that neither is there without the
//! other. Its hash covers the hash before it: whoever keeps the newest hash, on paper or at another
//! organisation, sees later whether anything up to there was changed or left out. Names, reasons and
//! contents are not in it; they are in the records and statements that it names.

use barid_core::clock::Timestamp;
use barid_core::id::to_hex;
use barid_core::model::value::{Fields, Value, fields_from_cbor, fields_to_cbor};
use rusqlite::{Connection, OptionalExtension as _};

use super::LogError;

const CONTEXT: &str = "barid 2026 audit trail";

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct TrailEntry {
    /// Its place, from 1.
    pub number: u64,
    /// When, by the relay's clock.
    pub at: Timestamp,
    /// What was done: `revoke`, `adopt`, `discard`, `erase`, `export`, `import`.
    pub action: String,
    /// Who did it, as the operating system calls them; not proved.
    pub by: String,
    /// What it was done to.
    pub details: Fields,
    /// Of this entry and all before it.
    pub hash: [u8; 32],
}

/// Something that was decided, on its way into the trail.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What was done.
    pub action: &'static str,
    /// Who did it, as the operating system calls them.
    pub by: String,
    /// What it was done to.
    pub details: Fields,
}

impl TrailEntry {
    /// What it was done to, as one line for people.
    pub fn details_text(&self) -> String {
        let line: Vec<_> =
            self.details.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
        line.join(" ")
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => to_hex(bytes),
        Value::Int(number) => number.to_string(),
        Value::List(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        value => value.as_text().unwrap_or_default().to_owned(),
    }
}

/// Adds an entry at the end.
pub(super) fn note(connection: &Connection, now: i64, decision: &Decision) -> Result<(), LogError> {
    let newest = connection
        .query_row("SELECT number, hash FROM trail ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
        })
        .optional()?;
    let (number, before) = newest.unwrap_or((0, [0; 32]));
    let entry = fields_to_cbor(&Fields::from([
        ("action".to_owned(), Value::from(decision.action)),
        ("at".to_owned(), Value::Int(now)),
        ("by".to_owned(), Value::Text(decision.by.clone())),
        ("details".to_owned(), Value::Map(decision.details.clone())),
    ]));
    let hash = hash(&before, &entry);
    connection
        .execute("INSERT INTO trail (number, entry, hash) VALUES (?1, ?2, ?3)", (number + 1, entry, hash))?;
    Ok(())
}

/// Reads the whole trail, and the place of the first entry that is not as it was written, if any.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<(Vec<TrailEntry>, Option<u64>)> {
    let mut statement = connection.prepare("SELECT number, entry, hash FROM trail ORDER BY number")?;
    let mut rows = statement.query([])?;
    let (mut entries, mut before) = (Vec::new(), [0; 32]);
    while let Some(row) = rows.next()? {
        let number = row.get::<_, i64>(0)?.unsigned_abs();
        let (bytes, stated): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let hash = hash(&before, &bytes);
        match entry(number, &bytes, hash) {
            Some(entry) if hash == *stated && number == entries.len() as u64 + 1 => entries.push(entry),
            _ => return Ok((entries, Some(number))),
        }
        before = hash;
    }
    Ok((entries, None))
}

fn entry(number: u64, bytes: &[u8], hash: [u8; 32]) -> Option<TrailEntry> {
    let mut fields = fields_from_cbor(bytes).ok()?;
    let details = match fields.remove("details")? {
        Value::Map(details) => details,
        _ => return None,
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
    let at = Timestamp::from_millis(fields.get("at")?.as_int()?);
    Some(TrailEntry { number, at, action: text("action")?, by: text("by")?, details, hash })
}

fn hash(before: &[u8; 32], entry: &[u8]) -> [u8; 32] {
    blake3::derive_key(CONTEXT, &[before, entry].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn trail() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../migrations/log_0001_first.sql")).unwrap();
        for (now, action) in [(1, "revoke"), (2, "adopt"), (3, "erase")] {
            let details = Fields::from([("record".to_owned(), Value::Bytes(vec![now as u8; 16]))]);
            note(&connection, now, &Decision { action, by: "salma".to_owned(), details }).unwrap();
        }
        connection
    }

    #[test]
    fn the_trail_reads_back_in_order() {
        let (entries, broken) = read(&trail()).unwrap();
        assert_eq!(broken, None);
        let said: Vec<_> = entries.iter().map(|entry| (entry.number, entry.action.as_str())).collect();
        assert_eq!(said, [(1, "revoke"), (2, "adopt"), (3, "erase")]);
        assert_eq!((entries[1].at.as_millis(), entries[1].by.as_str()), (2, "salma"));
        assert_eq!(entries[0].details_text(), format!("record={}", "01".repeat(16)));
    }

    #[test]
    fn an_entry_changed_or_left_out_is_found() {
        for (change, place) in [
            ("UPDATE trail SET entry = CAST(replace(entry, 'revoke', 'revoka') AS BLOB) WHERE number = 1", 1),
            ("UPDATE trail SET entry = zeroblob(9) WHERE number = 2", 2),
            ("UPDATE trail SET hash = zeroblob(32) WHERE number = 3", 3),
            ("DELETE FROM trail WHERE number = 1", 2),
            ("DELETE FROM trail WHERE number = 2", 3),
        ] {
            let connection = trail();
            connection.execute(change, []).unwrap();
            assert_eq!(read(&connection).unwrap().1, Some(place), "{change}");
        }
    }
}
