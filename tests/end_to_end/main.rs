//! Real processes, real sockets: what the system promises, asked of the whole of it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod api;
mod attachments;
mod bombs;
mod carry;
mod erase;
mod full_disk;
mod hostile;
mod kills;
mod limits;
mod merge;
mod migrations;
mod phone_back;
mod photos;
mod restore;
mod revoke;
mod tls;
mod urgent;
