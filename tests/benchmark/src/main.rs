//! The benchmark: `cargo run --release --package barid-benchmark`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

fn main() {}
