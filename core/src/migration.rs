//! Brings a database to this program's schema, one numbered step after the other.
//!
//! Each step is one transaction, and the number that says it was taken is written in it: a process
//! that dies in the middle leaves the schema of the last whole step, from which the next start goes on.
//! The number is read inside the transaction too, so two processes that open one file together take
//! each step once. (`rusqlite_migration` reads it before, and takes all steps in one transaction, which
//! a large database on a phone would have to fit twice.) Steps only go forward, and a file of a newer
//! program is refused untouched.

use rusqlite::{Connection, TransactionBehavior};

/// A database cannot be brought to this program's schema. It has the schema of its last whole step.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program wrote it.
    #[error("its schema is {found}, and this program knows up to {supported}")]
    TooNew {
        /// The file's schema.
        found: i32,
        /// The newest that this program knows.
        supported: i32,
    },
    /// SQLite failed, in this step or before any.
    #[error("taking the step to schema {step}")]
    Database {
        /// The schema that the step leads to.
        step: i32,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// Takes every step that the database has not taken yet. The first makes the tables of an empty file.
pub fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), MigrationError> {
    let supported = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let at = |step| move |source| MigrationError::Database { step, source };
    loop {
        // Nearly always there is nothing to do, and then nothing is locked.
        let found = schema_of(connection).map_err(at(0))?;
        if found > supported {
            return Err(MigrationError::TooNew { found, supported });
        }
        if found == supported {
            return Ok(());
        }
        take_next(connection, steps).map_err(at(found + 1))?;
    }
}

/// The number of the last step that was taken.
pub fn schema_of(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn take_next(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have taken it while this one waited for the lock.
    let found = schema_of(&transaction)?;
    let Some(step) = usize::try_from(found).ok().and_then(|next| steps.get(next)) else { return Ok(()) };
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", found + 1)?;
    transaction.commit()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const STEPS: [&str; 3] =
        ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO b VALUES (1)", "UPDATE b SET x = x + 1"];

    fn b(connection: &Connection) -> i64 {
        connection.query_row("SELECT sum(x) FROM b", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_step_is_taken_once_from_wherever_the_file_stands() {
        for stands in 0..=3 {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &STEPS[..stands]).unwrap();
            assert_eq!(schema_of(&connection).unwrap(), stands as i32);
            migrate(&mut connection, &STEPS).unwrap();
            migrate(&mut connection, &STEPS).unwrap();
            assert_eq!((schema_of(&connection).unwrap(), b(&connection)), (3, 2));
        }
    }

    #[test]
    fn a_step_that_fails_leaves_what_the_one_before_it_made_and_is_taken_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = [STEPS[0], STEPS[1], "UPDATE b SET x = 9; UPDATE nothing SET x = 1"];
        let error = migrate(&mut connection, &broken).unwrap_err();
        assert!(matches!(error, MigrationError::Database { step: 3, .. }), "{error:?}");
        assert_eq!((schema_of(&connection).unwrap(), b(&connection)), (2, 1));
        migrate(&mut connection, &STEPS).unwrap();
        assert_eq!(b(&connection), 2);
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_and_not_touched() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &STEPS).unwrap();
        let error = migrate(&mut connection, &STEPS[..2]).unwrap_err();
        assert!(matches!(error, MigrationError::TooNew { found: 3, supported: 2 }), "{error:?}");
        assert_eq!((schema_of(&connection).unwrap(), b(&connection)), (3, 2));
    }

    #[test]
    fn processes_that_open_a_file_together_take_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut connection = Connection::open(&path).unwrap();
                    connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
                    migrate(&mut connection, &STEPS).unwrap();
                });
            }
        });
        assert_eq!(b(&Connection::open(&path).unwrap()), 2);
    }
}
