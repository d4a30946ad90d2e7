//! What is erased leaves the log: its bytes go, the batch keeps its id, signature and place.

use barid_core::batch::{BatchError, Body, BodyEntry, Entry, SealedBatch};
use barid_core::control::Membership;
use rusqlite::{Connection, params};

use super::LogError;
use super::reader::checksum;

/// Which entries of a body say something about what is erased.
fn erased(body: &Body, membership: &Membership) -> Vec<usize> {
    let is_erased = |entry: &BodyEntry| match entry {
        BodyEntry::Present { entry: Entry::Change(change), .. } => {
            membership.is_erased(&change.kind, change.record)
        }
        BodyEntry::Present { entry: Entry::Ancestor(ancestor), .. } => {
            membership.is_erased(&ancestor.kind, ancestor.record)
        }
        BodyEntry::Present { entry: Entry::Track(chunk), .. } => membership.is_erased("track", chunk.patrol),
        _ => false,
    };
    let places = body.entries.iter().enumerate();
    places.filter(|(_, entry)| is_erased(entry)).map(|(place, _)| place).collect()
}

/// The same batch without what is erased, if there is something of it in the batch.
pub(super) fn strip(batch: &SealedBatch, membership: &Membership) -> Result<Option<SealedBatch>, BatchError> {
    if !membership.has_erasures() {
        return Ok(None);
    }
    match erased(&batch.open()?, membership) {
        places if places.is_empty() => Ok(None),
        places => batch.erase(&places).map(Some),
    }
}

/// Rewrites whatever of a space holds something that is erased now; how many batches that were.
pub(super) fn rewrite(connection: &Connection, space: i64, membership: &Membership) -> Result<u64, LogError> {
    let in_log = "SELECT number FROM batch WHERE space = ?1 AND kind = 1 AND bytes IS NOT NULL";
    let aside = "SELECT q.number FROM quarantine AS q JOIN chain AS c ON c.number = q.chain
        WHERE c.space = ?1 AND q.bytes IS NOT NULL";
    let mut rewritten = 0;
    for (table, sql) in [("batch", in_log), ("quarantine", aside)] {
        let mut statement = connection.prepare(sql)?;
        let rows: Vec<i64> = statement.query_map([space], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for row in rows {
            rewritten += u64::from(rewrite_row(connection, table, row, membership)?);
        }
    }
    Ok(rewritten)
}

fn rewrite_row(
    connection: &Connection,
    table: &'static str,
    row: i64,
    membership: &Membership,
) -> Result<bool, LogError> {
    let sql = format!("SELECT bytes FROM {table} WHERE number = ?1");
    let bytes: Vec<u8> = connection.prepare_cached(&sql)?.query_row([row], |row| row.get(0))?;
    let stripped = match SealedBatch::parse(bytes).and_then(|batch| strip(&batch, membership)) {
        Ok(stripped) => stripped,
        Err(error) => {
            // Spoiled by the disk: it is served to nobody, and `barid check` names it.
            tracing::error!(table, row, %error, "a batch that cannot be read may hold what is erased");
            None
        }
    };
    let Some(stripped) = stripped else { return Ok(false) };
    let bytes = stripped.as_bytes();
    if table == "batch" {
        let sql = "UPDATE batch SET bytes = ?2, checksum = ?3 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute(params![row, bytes, checksum(bytes)])?;
    } else {
        let sql = "UPDATE quarantine SET bytes = ?2, len = ?3 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute(params![row, bytes, bytes.len() as i64])?;
    }
    Ok(true)
}
