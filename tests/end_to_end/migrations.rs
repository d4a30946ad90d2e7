//! A migration killed at any moment: the file has the schema of a whole step, holds what it held, and
//! the next start goes on from there. There is no second step yet, so one is made up for each database.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use barid_core::migration::{MigrationError, migrate, schema_of};
use barid_core::store::SCHEMA_STEPS as STORE_STEPS;
use barid_server::log::writer::SCHEMA_STEPS as LOG_STEPS;
use barid_server::relay_db::SCHEMA_STEPS as RELAY_STEPS;
use harness::phone::{Phone, PhoneFiles, event_fields};
use harness::relay::Relay;
use rusqlite::Connection;

/// The made-up steps: a table whose rows take a while to write, and then all of them changed and
/// joined to the first table that the database has.
const SECOND: &str = "CREATE TABLE made_up (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO made_up SELECT i, printf('%040d', i) FROM n;";
const THIRD: &str = "UPDATE made_up SET text = text || '!';
    CREATE INDEX made_up_by_text ON made_up (text);";

/// Which database the child of [`child`] is to bring to its third schema.
const CHILD: &str = "BARID_MIGRATE";

fn steps_of(name: &str) -> Vec<&'static str> {
    let first = match name {
        "store" => STORE_STEPS,
        "log" => LOG_STEPS,
        _ => RELAY_STEPS,
    };
    assert_eq!(first.len(), 1, "there is a real second step: use it here");
    [first, &[SECOND, THIRD]].concat()
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
}

/// What the file holds besides the made-up table, as one text.
fn content(connection: &Connection, table: &str) -> String {
    let sql =
        format!("SELECT group_concat(hex(x), ',') FROM (SELECT quote({table}.rowid) AS x FROM {table})");
    let rows: Option<String> = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    rows.unwrap_or_default()
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (name, path) = task.split_once('=').unwrap();
    migrate(&mut open(Path::new(path)), &steps_of(name)).unwrap();
}

#[test]
fn a_migration_killed_at_any_moment_leaves_a_whole_step_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "phone");
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    for number in 0..50 {
        phone.put_event(event_fields(number));
    }
    phone.sync_once();
    drop(phone);
    relay.stop();
    let databases = [
        ("store", files.database, "record"),
        ("log", relay.folder().join("log.db"), "batch"),
        ("relay", relay.folder().join("relay.db"), "account"),
    ];
    for (name, original, table) in databases {
        let before = content(&open(&original), table);
        assert!(!before.is_empty());
        let (mut seen, mut within) = ([0; 4], [0; 2]);
        for kill in 0..30u64 {
            let path = folder.path().join(format!("{name}-{kill}.db"));
            // One file, as a copy: nobody has it open.
            open(&original).execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
            let mut lives = 0;
            loop {
                let mut child = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "migrations::child"])
                    .env(CHILD, format!("{name}={}", path.display()))
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                // A third of the first lives ends within the first made-up step, a third within the second.
                // Otherwise each is longer than the one before, so that the last comes to the end.
                let step = (kill % 3) as i32;
                let is_within = lives == 0 && step > 0 && wait_within(&path, step, 1 + kill / 3, &mut child);
                if !is_within {
                    std::thread::sleep(Duration::from_millis(1 + kill + lives * (17 + kill)));
                }
                child.kill().unwrap();
                child.wait().unwrap();
                lives += 1;
                let connection = open(&path);
                let schema = schema_of(&connection).unwrap();
                seen[schema as usize] += 1;
                if is_within && schema == step {
                    within[step as usize - 1] += 1;
                }
                assert_whole(&connection, schema, table, &before);
                if schema == 3 {
                    break;
                }
            }
            let mut connection = open(&path);
            assert!(matches!(
                migrate(&mut connection, &steps_of(name)[..1]),
                Err(MigrationError::TooNew { found: 3, supported: 1 })
            ));
            assert_whole(&connection, 3, table, &before);
        }
        println!(
            "{name}: after a kill the schema was 1 {} times, 2 {}, 3 {}; {} kills fell into the writing of the \
             first made-up step and {} into that of the second",
            seen[1], seen[2], seen[3], within[0], within[1]
        );
        assert!(seen[1] > 0 && seen[3] > 0, "kills fell before and after");
        assert!(within[0] > 0 && within[1] > 0, "kills fell into both steps: {within:?}");
    }
}

/// Waits until a migration has the schema before a step and has written a part of it, so much that it
/// does not fit its memory. False if it has ended before that was seen.
fn wait_within(path: &Path, schema: i32, part: u64, child: &mut Child) -> bool {
    let reader = Connection::open(path).unwrap();
    let log = format!("{}-wal", path.display());
    let len = || std::fs::metadata(&log).map_or(0, |log| log.len());
    let mut begun = None;
    loop {
        match schema_of(&reader).unwrap() {
            found if found == schema && len() > *begun.get_or_insert_with(len) + part * 32 * 1024 => {
                return true;
            }
            found if found > schema => return false,
            _ => {}
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
}

/// The file is sound and has exactly what its schema says, and everything that it had before.
fn assert_whole(connection: &Connection, schema: i32, table: &str, before: &str) {
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
    assert_eq!(content(connection, table), before);
    let made_up: (i64, i64) = connection
        .query_row("SELECT count(*) FILTER (WHERE name = 'made_up'), count(*) FILTER (WHERE name = 'made_up_by_text') FROM sqlite_schema", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(made_up, (i64::from(schema >= 2), i64::from(schema >= 3)));
    if schema >= 2 {
        let sql = "SELECT count(*), count(*) FILTER (WHERE text LIKE '%!') FROM made_up";
        let rows: (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(rows, (60_000, if schema >= 3 { 60_000 } else { 0 }));
    }
}
