//! A phone as a process of its own, so that it can be killed: it takes photos and sends them until then.
//!
//! It prints the hash of a photo only once the core has said that it is durable.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the tests")]

use std::io::Write;
use std::time::Duration;

use barid_core::id::from_hex;
use barid_core::model::event;
use harness::phone::{PhoneFiles, event_fields};
use harness::photos::jpeg;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, database, seed, url, first, len] = arguments.as_slice() else {
        panic!("usage: photographer DATABASE SEED URL FIRST LEN")
    };
    let seed = from_hex::<32>(seed).unwrap();
    let device = PhoneFiles { database: database.into(), seed }.open();
    device.move_relay(url).unwrap();
    let space = device.enrolment().unwrap().unwrap().spaces[0];
    let client = device.sync().unwrap();
    let (first, len): (usize, usize) = (first.parse().unwrap(), len.parse().unwrap());
    let mut out = std::io::stdout();
    for number in first.. {
        let store = device.store();
        let record = store.write(|group| group.put(space, event::NAME, None, event_fields(number))).unwrap();
        let bytes = jpeg(number as u64 + 1, len);
        let photo = store.attach(space, event::NAME, record, &bytes, None).unwrap();
        writeln!(out, "{record} {}", photo.hash).and_then(|()| out.flush()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
}
