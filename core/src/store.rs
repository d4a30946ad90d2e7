//! The store: everything a device holds, in one SQLite database.
