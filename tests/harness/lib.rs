//! Shared pieces of the tests: a real relay process, phones on the real core, links that fail;
//! and a world of them in which one seed decides everything.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

pub mod bombs;
pub mod browser;
pub mod forge;
pub mod fuzz;
mod memory_folder;
pub mod phone;
pub mod photos;
pub mod process;
pub mod raw_link;
pub mod relay;
pub mod wait;
pub mod world;

pub use barid_server::demo::link;
