//! The relay: takes batches from devices, keeps them in a log, and shows what they amount to.
//!
//! ```text
//! device → protocol → transport → relay → log → materialiser → API → dashboard
//! ```
//!
//! Facts move rightwards only. The log is ground state; everything to its right is derived, and can
//! be deleted and rebuilt. What only this relay knows (accounts, tokens) lies in `relay.db` and is
//! never replicated.
//!
//! [`serve`] listens and puts an [`app::App`] together; [`admin`] is what the other commands do.

pub mod accounts;
pub mod admin;
pub mod api;
pub mod app;
pub mod attachments;
pub mod auth;
pub mod blob;
pub mod config;
pub mod dashboard;
pub mod data_dir;
pub mod demo;
pub mod enrolment;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod fixture;
pub mod keys;
pub mod live;
pub mod log;
pub mod materialiser;
mod problem;
pub mod relay;
pub mod relay_db;
pub mod reports;
pub mod secret;
pub mod serve;
pub mod shutdown;
pub mod tls;
pub mod trace;
pub mod view;
