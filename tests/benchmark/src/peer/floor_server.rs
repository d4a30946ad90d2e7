//! The floor's server.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::params;
use serde_json::json;

use crate::floor;
use crate::http::Connection;
use crate::line::{self, Answer, Command};

type Failure = Box<dyn std::error::Error>;

/// How long a poll waits for news.
const POLL: Duration = Duration::from_secs(25);

#[derive(Debug)]
struct Floor {
    database: Mutex<rusqlite::Connection>,
    /// The number of the last change.
    seq: Mutex<i64>,
    news: Condvar,
}

/// Answers every command until standard input ends.
pub fn serve() -> Result<(), String> {
    let mut floor: Option<Arc<Floor>> = None;
    line::say_ready();
    line::serve(|command| {
        Some(match (command.name.as_str(), &floor) {
            ("init", _) => Floor::listen(command).map_err(|error| error.to_string()).map(|made| {
                floor = Some(made);
                json!({})
            }),
            ("stored", Some(floor)) => floor.stored(),
            _ => Ok(json!({})),
        })
    });
    Ok(())
}

impl Floor {
    fn listen(command: &Command) -> Result<Arc<Self>, Failure> {
        let folder = Path::new(command.text("dir")?);
        std::fs::create_dir_all(folder)?;
        let database = floor::open(&folder.join("floor.db"))?;
        let seq = database.query_row("SELECT coalesce(max(seq), 0) FROM rec", [], |row| row.get(0))?;
        let floor =
            Arc::new(Self { database: Mutex::new(database), seq: Mutex::new(seq), news: Condvar::new() });
        let listener = TcpListener::bind(("127.0.0.1", u16::try_from(command.number("port")?)?))?;
        let accepting = floor.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let floor = accepting.clone();
                std::thread::spawn(move || {
                    if let Ok(connection) = Connection::new(stream) {
                        floor.answer(connection).ok();
                    }
                });
            }
        });
        Ok(floor)
    }

    fn stored(&self) -> Answer {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let count: i64 = database
            .query_row("SELECT count(*) FROM rec", [], |row| row.get(0))
            .map_err(|error| error.to_string())?;
        Ok(json!({ "n": count }))
    }

    /// Every request of a connection, until it ends or does something wrong.
    fn answer(&self, mut connection: Connection) -> Result<(), Failure> {
        while let Some((request, body)) = connection.receive()? {
            let answer = match request.split(' ').nth(1) {
                Some("/push") => self.push(&body)?,
                Some(path) => self.pull(path)?,
                None => return Err("a request without a path".into()),
            };
            connection.answer(&answer)?;
        }
        Ok(())
    }

    fn push(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let lines = floor::unpack(body)?;
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seq = self.seq.lock().unwrap_or_else(PoisonError::into_inner);
        let mut top = *seq;
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO rec VALUES (?, ?, 0, ?)")?;
            for line in lines.lines() {
                top += 1;
                insert.execute(params![floor::id_of(line)?, top, line])?;
            }
        }
        transaction.commit()?;
        *seq = top;
        self.news.notify_all();
        Ok(top.to_string().into_bytes())
    }

    /// `/pull/SINCE`, or `/wait/SINCE` to wait until there is something.
    fn pull(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let since: i64 = path.rsplit('/').next().unwrap_or_default().parse()?;
        let mut seq = self.seq.lock().unwrap_or_else(PoisonError::into_inner);
        if path.starts_with("/wait/") {
            let waited = self.news.wait_timeout_while(seq, POLL, |seq| *seq <= since);
            seq = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let top = *seq;
        drop(seq);
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "SELECT json FROM rec WHERE seq > ? AND seq <= ? ORDER BY seq";
        Ok(floor::pack(&database, Some(top.to_string()), sql, [since, top])?.0)
    }
}
