//! What can go wrong with the database itself.

use super::open::is_damage;

/// A store's database could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no: the disk is full, or the file is damaged.
    #[error("the store's database failed")]
    Database(#[from] rusqlite::Error),
    /// Something stored does not read back as what it was stored as.
    #[error("the store holds {0} that does not read back")]
    Unreadable(&'static str),
    /// The relay holds what was written with this very file, and the file does not: it was rolled
    /// back, or it is a copy. What it holds must be brought into a new store.
    #[error("the relay holds more of this store's own batches than the store itself")]
    BehindRelay,
    /// The store was opened to read only.
    #[error("the store was opened to read only")]
    ReadOnly,
}

impl StoreError {
    /// Whether the file itself is damaged: closing and opening the store again will set it aside.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => is_damage(error),
            _ => false,
        }
    }

    /// Whether there is no more room on the disk; nothing that was promised is lost.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }
}
