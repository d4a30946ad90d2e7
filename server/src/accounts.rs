//! Local accounts: who may look at this relay's dashboard, and what proves it.
//!
//! Passwords are Argon2id. A login is a random token in a cookie; only its hash is stored, and it
//! ends after a time without requests. Sessions live on the server, so that logging out, changing a
//! password or restarting from another copy really ends them.

pub mod attempts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use barid_core::clock::{Clock, Timestamp};
use rusqlite::{OptionalExtension as _, params};
use tokio::sync::Semaphore;

use crate::accounts::attempts::Attempts;
use crate::relay_db::RelayDb;
use crate::secret::{Secret, normalise_recovery_key};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, membership and accounts included.
    Administrator,
    /// Looks, and works as a coordinator does.
    Coordinator,
}

impl Role {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Coordinator => "coordinator",
        }
    }

    /// Reads that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Administrator, Self::Coordinator].into_iter().find(|role| role.as_str() == word)
    }
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name as its owner writes it.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// An account cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A name of 1 to 64 characters is needed, without control characters.
    #[error("an account's name has 1 to 64 characters")]
    Name,
    /// Shorter than [`PASSWORD_CHARS_MIN`] characters, or longer than anybody types.
    #[error("a password has 12 to 256 characters")]
    Password,
    /// There is one of this name.
    #[error("there is an account of this name already")]
    Exists,
    /// There is none of this name.
    #[error("there is no account of this name")]
    Unknown,
    /// Not the key that `barid init` printed.
    #[error("this is not the recovery key")]
    RecoveryKey,
    /// Argon2 failed.
    #[error("hashing a password")]
    Hash(#[source] argon2::password_hash::Error),
    /// The database failed.
    #[error("writing an account")]
    Database(#[from] rusqlite::Error),
}

/// A login was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The name or the password is wrong; which of them is not told.
    #[error("the name or the password is wrong")]
    WrongCredentials,
    /// Too many failed attempts for this name or from this address.
    #[error("too many attempts")]
    TooManyAttempts {
        /// Seconds until the next may be made.
        retry_after_seconds: u64,
    },
    /// The database failed.
    #[error("checking a login")]
    Database(#[from] rusqlite::Error),
}

/// Characters of a password, at least.
pub const PASSWORD_CHARS_MIN: usize = 12;
const PASSWORD_CHARS_MAX: usize = 256;
const NAME_CHARS_MAX: usize = 64;
/// A link that logs in once is good for so long: a demo is opened right away.
const LOGIN_TOKEN_MS_MAX: i64 = 60 * 60_000;
/// Checking one password takes 19 MiB and tens of milliseconds; more at once would let anybody
/// take the machine.
const HASHES_AT_ONCE_MAX: usize = 2;
/// A session's last use is written at most this often.
const SEEN_MS: i64 = 60_000;

/// The accounts of one relay; clones share everything.
#[derive(Clone)]
pub struct Accounts {
    db: RelayDb,
    clock: Clock,
    idle: Duration,
    attempts: Arc<Attempts>,
    hashing: Arc<Semaphore>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Works on this database, with these bounds.
    pub fn new(db: RelayDb, clock: Clock, idle: Duration, attempts_max: u32) -> Self {
        Self {
            db,
            clock,
            idle,
            attempts: Arc::new(Attempts::new(attempts_max)),
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)),
        }
    }

    /// Makes an account. Blocks for the hashing.
    pub fn create(&self, name: &str, role: Role, password: &Secret) -> Result<(), AccountError> {
        let name = checked_name(name)?;
        let hash = hash(checked_password(password)?)?;
        let written = self.db.lock().execute(
            "INSERT INTO account (name, name_folded, role, password_hash, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![name, folded(name), role.as_str(), hash, (self.clock)().as_millis()],
        )?;
        if written == 0 { Err(AccountError::Exists) } else { Ok(()) }
    }

    /// Sets a password anew and ends the account's sessions. Blocks for the hashing.
    pub fn reset(&self, name: &str, recovery_key: &str, password: &Secret) -> Result<(), AccountError> {
        let stored: Option<String> =
            self.db.lock().query_row("SELECT key_hash FROM recovery", [], |row| row.get(0)).optional()?;
        let key = normalise_recovery_key(recovery_key);
        if !stored.is_some_and(|stored| matches(&key, &stored)) {
            return Err(AccountError::RecoveryKey);
        }
        let hash = hash(checked_password(password)?)?;
        let mut connection = self.db.lock();
        let transaction = connection.transaction()?;
        let account: i64 = transaction
            .query_row(
                "UPDATE account SET password_hash = ?2 WHERE name_folded = ?1 RETURNING id",
                params![folded(name), hash],
                |row| row.get(0),
            )
            .optional()?
            .ok_or(AccountError::Unknown)?;
        transaction.execute("DELETE FROM session WHERE account = ?1", [account])?;
        transaction.execute("DELETE FROM login_token WHERE account = ?1", [account])?;
        Ok(transaction.commit()?)
    }

    /// Keeps the hash of the recovery key, in place of any before it.
    pub fn set_recovery_key(&self, key: &Secret) -> Result<(), AccountError> {
        let hash = hash(key)?;
        self.db.lock().execute(
            "INSERT INTO recovery (one, key_hash) VALUES (1, ?1)
             ON CONFLICT DO UPDATE SET key_hash = excluded.key_hash",
            [hash],
        )?;
        Ok(())
    }

    /// Checks a password and begins a session.
    pub async fn login(&self, name: &str, password: Secret, from: IpAddr) -> Result<Secret, LoginError> {
        let name = folded(name);
        // Counted before the check, so that parallel guesses cannot all slip under the bound.
        self.attempts
            .begin(&name, from, (self.clock)())
            .map_err(|retry_after_seconds| LoginError::TooManyAttempts { retry_after_seconds })?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let this = self.clone();
        let checked = tokio::task::spawn_blocking(move || {
            // Held by the work and not by whoever waits for it: a browser that hangs up does not end it.
            let _turn = turn;
            this.check(&name, &password).map(|id| (id, name))
        });
        let (account, name) = match checked.await {
            Ok(result) => result?,
            Err(_) => return Err(LoginError::WrongCredentials),
        };
        let account = account.ok_or(LoginError::WrongCredentials)?;
        self.attempts.forget(&name, from);
        Ok(self.begin_session(account)?)
    }

    fn check(&self, name: &str, password: &Secret) -> Result<Option<i64>, rusqlite::Error> {
        let found: Option<(i64, String)> = self
            .db
            .lock()
            .query_row("SELECT id, password_hash FROM account WHERE name_folded = ?1", [name], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        if password.reveal().chars().count() > PASSWORD_CHARS_MAX {
            return Ok(None);
        }
        Ok(match found {
            Some((account, stored)) => matches(password, &stored).then_some(account),
            None => {
                // As long as for an account that exists: its absence must not show in the time.
                let _ = hash(password);
                None
            }
        })
    }

    fn begin_session(&self, account: i64) -> Result<Secret, rusqlite::Error> {
        let token = Secret::random_token();
        let now = (self.clock)();
        let connection = self.db.lock();
        connection.execute("DELETE FROM session WHERE seen_at < ?1", [self.oldest(now)])?;
        connection.execute(
            "INSERT INTO session (token_hash, account, created_at, seen_at) VALUES (?1, ?2, ?3, ?3)",
            params![token.token_hash(), account, now.as_millis()],
        )?;
        Ok(token)
    }

    /// Whose session this token is, if it still runs. Counts as a use of it.
    pub fn principal(&self, token: &Secret) -> Result<Option<Principal>, rusqlite::Error> {
        let now = (self.clock)();
        let connection = self.db.lock();
        let found: Option<(String, String, i64)> = connection
            .prepare_cached(
                "SELECT name, role, seen_at FROM session JOIN account ON account.id = account
                 WHERE token_hash = ?1 AND seen_at >= ?2",
            )?
            .query_row(params![token.token_hash(), self.oldest(now)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((name, role, seen_at)) = found else { return Ok(None) };
        if now.millis_since(Timestamp::from_millis(seen_at)) >= SEEN_MS {
            connection.execute(
                "UPDATE session SET seen_at = ?2 WHERE token_hash = ?1",
                params![token.token_hash(), now.as_millis()],
            )?;
        }
        // A role that only a newer version knows opens nothing here.
        Ok(Role::from_word(&role).map(|role| Principal { name, role }))
    }

    /// Whether the session of this token still runs. Counts as no use of it: a page that is merely
    /// open does not keep its session alive.
    pub fn is_running(&self, token: &Secret) -> Result<bool, rusqlite::Error> {
        self.db
            .lock()
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM session WHERE token_hash = ?1 AND seen_at >= ?2)")?
            .query_row(params![token.token_hash(), self.oldest((self.clock)())], |row| row.get(0))
    }

    /// Ends a session.
    pub fn logout(&self, token: &Secret) -> Result<(), rusqlite::Error> {
        self.db.lock().execute("DELETE FROM session WHERE token_hash = ?1", [token.token_hash()]).map(drop)
    }

    /// Makes a token that logs the account in once, within the hour.
    pub fn make_login_token(&self, name: &str) -> Result<Secret, AccountError> {
        let token = Secret::random_token();
        let expires = (self.clock)().plus_millis(LOGIN_TOKEN_MS_MAX);
        let written = self.db.lock().execute(
            "INSERT INTO login_token (token_hash, account, expires_at)
             SELECT ?1, id, ?3 FROM account WHERE name_folded = ?2",
            params![token.token_hash(), folded(name), expires.as_millis()],
        )?;
        if written == 0 { Err(AccountError::Unknown) } else { Ok(token) }
    }

    /// Uses such a token up and begins a session, if the token is good.
    pub fn login_once(&self, token: &Secret) -> Result<Option<Secret>, rusqlite::Error> {
        let now = (self.clock)();
        let used: Option<(i64, i64)> = self
            .db
            .lock()
            .query_row(
                "DELETE FROM login_token WHERE token_hash = ?1 RETURNING account, expires_at",
                [token.token_hash()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match used {
            Some((account, expires)) if now.as_millis() < expires => self.begin_session(account).map(Some),
            _ => Ok(None),
        }
    }

    fn oldest(&self, now: Timestamp) -> i64 {
        now.plus_millis(-i64::try_from(self.idle.as_millis()).unwrap_or(i64::MAX)).as_millis()
    }
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

fn checked_name(name: &str) -> Result<&str, AccountError> {
    let name = name.trim();
    let good = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if good { Ok(name) } else { Err(AccountError::Name) }
}

fn checked_password(password: &Secret) -> Result<&Secret, AccountError> {
    let len = password.reveal().chars().count();
    if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&len) {
        Ok(password)
    } else {
        Err(AccountError::Password)
    }
}

fn hash(secret: &Secret) -> Result<String, AccountError> {
    let hash: PasswordHash =
        Argon2::default().hash_password(secret.reveal().as_bytes()).map_err(AccountError::Hash)?;
    Ok(hash.to_string())
}

fn matches(secret: &Secret, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.reveal().as_bytes(), &hash).is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
