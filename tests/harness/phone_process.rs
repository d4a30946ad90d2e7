//! A phone as a process of its own, so that it can be killed: it records and syncs until then.
//!
//! It prints the id of a record only once the core has said that it is durable.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the tests")]

use std::io::Write;
use std::time::Duration;

use barid_core::id::from_hex;
use harness::phone::{PhoneFiles, event_fields};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, database, seed, url] = arguments.as_slice() else { panic!("usage: phone DATABASE SEED URL") };
    let seed = from_hex::<32>(seed).unwrap();
    let device = PhoneFiles { database: database.into(), seed }.open();
    device.move_relay(url).unwrap();
    let space = device.enrolment().unwrap().unwrap().spaces[0];
    let client = device.sync().unwrap();
    let mut out = std::io::stdout();
    for number in 0.. {
        let id = device.store().write(|group| group.put(space, "event", None, event_fields(number))).unwrap();
        writeln!(out, "{id}").and_then(|()| out.flush()).unwrap();
        // A thousand lives leave some ten thousand records, and not a hundred thousand.
        std::thread::sleep(Duration::from_millis(3));
    }
    drop(client);
}
