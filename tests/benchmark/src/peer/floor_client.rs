//! The floor's client.

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde_json::{Value as Json, json};

use crate::floor;
use crate::http::Connection;
use crate::line::{self, Answer, Command, now_ms, wait_until};
use crate::record::{Digest, ReferenceRecord, record, record_id};

type Failure = Box<dyn std::error::Error>;

/// How often what is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct State {
    /// Something was written here and not pushed.
    is_dirty: bool,
    /// The first push is over: what was pushed is not pulled back.
    is_pushed: bool,
    /// The first pull is over.
    is_synced: bool,
}

#[derive(Debug)]
struct Floor {
    database: Mutex<rusqlite::Connection>,
    state: Mutex<State>,
    news: Condvar,
}

/// Answers every command until standard input ends.
pub fn serve() {
    let mut floor: Option<Arc<Floor>> = None;
    line::say_ready();
    line::serve(|command| match (command.name.as_str(), &floor) {
        ("init", _) => Some(Floor::open(command).map_err(|error| error.to_string()).map(|opened| {
            floor = Some(Arc::new(opened));
            json!({})
        })),
        ("exit" | "flush", _) => Some(Ok(json!({}))),
        ("close", _) => {
            floor = None;
            Some(Ok(json!({})))
        }
        (_, None) => Some(Err("not initialised".to_owned())),
        ("wait_uploaded" | "wait_synced" | "wait_count" | "watch", Some(floor)) => {
            let (floor, command) = (floor.clone(), command.clone());
            std::thread::spawn(move || {
                command.answer(floor.wait(&command).map_err(|error| error.to_string()));
            });
            None
        }
        (_, Some(floor)) => Some(answer(floor, command).map_err(|error| error.to_string())),
    });
}

fn answer(floor: &Arc<Floor>, command: &Command) -> Result<Json, Failure> {
    Ok(match command.name.as_str() {
        "create" => floor.create(command.number("from").unwrap_or(0), command.number("n")?)?,
        "connect" => {
            let address = command.text("url")?.to_owned();
            for link in [push_always, pull_always] {
                let (floor, address) = (floor.clone(), address.clone());
                std::thread::spawn(move || link(&floor, &address).map_err(|error| error.to_string()));
            }
            json!({})
        }
        "edit" => {
            let t0 = now_ms();
            let mut record = floor.record(command.number("i")?)?.ok_or("edit: no such record")?;
            record.set_text(command.text("field")?, command.text("value")?);
            floor.put(&record)?;
            json!({ "t0": t0 })
        }
        "get" => json!({ "rec": floor.record(command.number("i")?)?.map(|record| record.to_json()) }),
        "digest" => floor.digest()?,
        _ => json!({}),
    })
}

/// Pushes whenever something was written.
fn push_always(floor: &Floor, address: &str) -> Result<(), Failure> {
    let mut connection = Connection::new(TcpStream::connect(address)?)?;
    loop {
        floor.push(&mut connection)?;
        let mut state = floor.state();
        state.is_pushed = true;
        floor.news.notify_all();
        let mut state =
            floor.news.wait_while(state, |state| !state.is_dirty).unwrap_or_else(PoisonError::into_inner);
        state.is_dirty = false;
    }
}

/// Pulls once, and then whenever there is news.
fn pull_always(floor: &Floor, address: &str) -> Result<(), Failure> {
    let mut connection = Connection::new(TcpStream::connect(address)?)?;
    let wait = floor.news.wait_while(floor.state(), |state| !state.is_pushed);
    drop(wait.unwrap_or_else(PoisonError::into_inner));
    floor.pull(&mut connection, "pull")?;
    floor.state().is_synced = true;
    loop {
        floor.pull(&mut connection, "wait")?;
    }
}

impl Floor {
    fn open(command: &Command) -> Result<Self, Failure> {
        let folder = Path::new(command.text("dir")?);
        std::fs::create_dir_all(folder)?;
        let database = Mutex::new(floor::open(&folder.join("floor.db"))?);
        Ok(Self { database, state: Mutex::default(), news: Condvar::new() })
    }

    fn database(&self) -> MutexGuard<'_, rusqlite::Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, from: u32, count: u32) -> Result<Json, Failure> {
        let mut database = self.database();
        let transaction = database.transaction()?;
        for number in from..from + count {
            let record = record(number);
            transaction
                .prepare_cached("INSERT OR REPLACE INTO rec VALUES (?, 0, 1, ?)")?
                .execute(params![record.id.to_string(), record.to_json().to_string()])?;
        }
        transaction.commit()?;
        Ok(json!({}))
    }

    fn put(&self, record: &ReferenceRecord) -> Result<(), Failure> {
        self.database()
            .prepare_cached("INSERT OR REPLACE INTO rec VALUES (?, 0, 1, ?)")?
            .execute(params![record.id.to_string(), record.to_json().to_string()])?;
        self.state().is_dirty = true;
        self.news.notify_all();
        Ok(())
    }

    fn record(&self, number: u32) -> Result<Option<ReferenceRecord>, Failure> {
        let json: Option<String> = self
            .database()
            .prepare_cached("SELECT json FROM rec WHERE id = ?")?
            .query_row([record_id(number).to_string()], |row| row.get(0))
            .optional()?;
        let Some(json) = json else { return Ok(None) };
        Ok(ReferenceRecord::from_json(&serde_json::from_str(&json)?))
    }

    fn push(&self, connection: &mut Connection) -> Result<(), Failure> {
        let (body, count) = {
            let database = self.database();
            // What is edited while the push is under way becomes 1 again.
            database.execute("UPDATE rec SET dirty = 2 WHERE dirty = 1", [])?;
            floor::pack(&database, None, "SELECT json FROM rec WHERE dirty = 2", [])?
        };
        if count == 0 {
            return Ok(());
        }
        let top: i64 = String::from_utf8(connection.ask("POST", "/push", &body)?)?.parse()?;
        let database = self.database();
        database.execute("UPDATE rec SET dirty = 0 WHERE dirty = 2", [])?;
        // If nobody else wrote meanwhile, one's own rows need not be pulled back.
        let sql = "INSERT INTO meta SELECT 'cursor', ?1
            WHERE coalesce((SELECT v FROM meta WHERE k = 'cursor'), 0) = ?2
            ON CONFLICT (k) DO UPDATE SET v = ?1";
        database.execute(sql, params![top, top - count])?;
        Ok(())
    }

    fn pull(&self, connection: &mut Connection, how: &str) -> Result<(), Failure> {
        let sql = "SELECT coalesce((SELECT v FROM meta WHERE k = 'cursor'), 0)";
        let since: i64 = self.database().query_row(sql, [], |row| row.get(0))?;
        let body = floor::unpack(&connection.ask("GET", &format!("/{how}/{since}"), &[])?)?;
        let mut lines = body.lines();
        let top: i64 = lines.next().unwrap_or_default().parse()?;
        let mut database = self.database();
        let transaction = database.transaction()?;
        {
            let sql = "INSERT INTO rec VALUES (?1, 0, 0, ?2)
                ON CONFLICT (id) DO UPDATE SET json = ?2 WHERE dirty = 0";
            let mut insert = transaction.prepare_cached(sql)?;
            for line in lines {
                insert.execute(params![floor::id_of(line)?, line])?;
            }
            if top != since {
                transaction.execute("INSERT OR REPLACE INTO meta VALUES ('cursor', ?)", [top])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn digest(&self) -> Result<Json, Failure> {
        let database = self.database();
        let mut statement = database.prepare("SELECT json FROM rec")?;
        let mut rows = statement.query([])?;
        let mut digest = Digest::default();
        while let Some(row) = rows.next()? {
            let record = ReferenceRecord::from_json(&serde_json::from_slice(row.get_ref(0)?.as_bytes()?)?);
            digest.add(&record.ok_or("a record lacks a field")?);
        }
        Ok(digest.to_json())
    }

    fn wait(&self, command: &Command) -> Answer {
        let failed = |error: Failure| error.to_string();
        match command.name.as_str() {
            "watch" => self.watch(command).map_err(failed),
            "wait_count" => {
                let wanted = i64::from(command.number("n")?);
                let sql = "SELECT count(*) FROM rec";
                let count = || self.database().query_row(sql, [], |row| row.get::<_, i64>(0));
                wait_until(LOOK_EVERY, || Ok(count()? >= wanted))
                    .map_err(|error: rusqlite::Error| error.to_string())?;
                Ok(json!({}))
            }
            _ => {
                wait_until(Duration::from_millis(1), || Ok::<_, String>(self.state().is_synced))?;
                Ok(json!({ "note": "the pull since the cursor was answered" }))
            }
        }
    }

    fn watch(&self, command: &Command) -> Result<Json, Failure> {
        let edits = command.argument("edits").as_array().ok_or("watch: edits are missing")?;
        let mut left: Vec<(usize, &Json)> = edits.iter().enumerate().collect();
        let mut seen = serde_json::Map::new();
        while !left.is_empty() {
            let mut still = Vec::new();
            for (place, edit) in left {
                let record = self.record(u32::try_from(edit[0].as_u64().unwrap_or(u64::MAX))?)?;
                let held =
                    record.as_ref().and_then(|record| record.text(edit[1].as_str().unwrap_or_default()));
                if held.is_some() && held == edit[2].as_str() {
                    seen.insert(place.to_string(), now_ms().into());
                } else {
                    still.push((place, edit));
                }
            }
            left = still;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(json!({ "seen": seen }))
    }
}
