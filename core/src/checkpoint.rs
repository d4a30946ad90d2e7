//! Keeps a write-ahead log from growing without end.
//!
//! SQLite folds its log into the file after a commit, and begins it anew when nobody reads from it any
//! more. Where somebody always reads, that moment never comes, and the log grows by everything that is
//! written: to 10 GB, while a million records were downloaded and counted at each commit. So whoever writes
//! looks at the log's length, and above a limit waits a moment until the reads that began before are done.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

/// How long a log grows before anybody waits for it. A commit that is larger by itself is let be.
const LOG_LEN_MAX: u64 = 64 * 1024 * 1024;

/// How long a write waits for reads, and how often: SQLite waits for a place among the readers, which others
/// may take meanwhile, and looks anew only when it is asked anew. Where all of it is too short, it is tried
/// again when the log has grown by as much again.
const PATIENCE: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 10;

/// The length of one database's log, for the connection that writes it.
#[derive(Debug)]
pub struct Checkpoints {
    log: Option<PathBuf>,
    len_max: u64,
    /// From which length on something is done.
    next_len: u64,
    /// For how long the connection waits otherwise.
    busy: Duration,
}

impl Checkpoints {
    /// Of a connection's database, which has no log in memory. `busy` is the connection's own timeout.
    pub fn new(connection: &Connection, busy: Duration) -> Self {
        let path = connection.path().filter(|path| !path.is_empty());
        let log = path.map(|path| PathBuf::from(format!("{path}-wal")));
        Self { log, len_max: LOG_LEN_MAX, next_len: LOG_LEN_MAX, busy }
    }

    /// To be called after each commit, outside any transaction. What fails is tried again later: the
    /// commit itself is done.
    pub fn after_commit(&mut self, connection: &Connection) {
        let Some(log) = &self.log else { return };
        let len = fs::metadata(log).map_or(0, |metadata| metadata.len());
        if len < self.next_len {
            return;
        }
        let is_folded = self.fold(connection).unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a write-ahead log was not folded");
            false
        });
        self.next_len = if is_folded { self.len_max } else { len.saturating_add(self.len_max) };
    }

    /// Whether the next commit begins the log anew.
    fn fold(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.busy_timeout(PATIENCE)?;
        let attempt = || connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0));
        let mut is_busy = Ok(true);
        for _ in 0..ATTEMPTS {
            is_busy = attempt();
            if !matches!(is_busy, Ok(true)) {
                break;
            }
        }
        connection.busy_timeout(self.busy)?;
        Ok(!is_busy?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    const BUSY: Duration = Duration::from_secs(10);

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(BUSY).unwrap();
        connection
    }

    #[test]
    fn a_log_stays_short_though_somebody_always_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let writer = open(&path);
        let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA journal_size_limit = 65536;
            CREATE TABLE t (x BLOB);";
        writer.execute_batch(set_up).unwrap();
        let len_max = 1_000_000;
        let mut checkpoints = Checkpoints { len_max, next_len: len_max, ..Checkpoints::new(&writer, BUSY) };
        let log = checkpoints.log.clone().unwrap();
        let is_done = AtomicBool::new(false);
        let longest = thread::scope(|scope| {
            // Two take turns, so that one always reads.
            for _ in 0..2 {
                scope.spawn(|| {
                    let reader = open(&path);
                    while !is_done.load(Ordering::Acquire) {
                        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
                        thread::sleep(Duration::from_millis(20));
                        reader.execute_batch("COMMIT").unwrap();
                    }
                });
                thread::sleep(Duration::from_millis(10));
            }
            let mut longest = 0;
            for _ in 0..200 {
                writer.execute("INSERT INTO t VALUES (zeroblob(100000))", []).unwrap();
                longest = longest.max(fs::metadata(&log).unwrap().len());
                checkpoints.after_commit(&writer);
                thread::sleep(Duration::from_millis(1));
            }
            is_done.store(true, Ordering::Release);
            longest
        });
        // Of 20 MB that were written. A busy machine may miss the moment now and then.
        assert!(longest < 8_000_000, "{longest}");
    }
}
