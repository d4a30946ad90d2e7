//! A backlog of photos over a slow link that keeps breaking. Run it with
//! `cargo run --release --package barid-tests --bin photos -- --photos 100 --len 300000`: that takes more
//! than an hour, since it is an hour's bytes at 64 kbit/s.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the tests")]

use std::time::Duration;

use harness::phone::Phone;
use harness::photos::{Backlog, send_backlog, take_photos};
use harness::relay::Relay;

fn main() {
    let mut backlog = Backlog {
        photos: 100,
        photo_len: 300_000,
        bits_per_second: 64_000,
        holds: Duration::from_secs(5),
        gone: Duration::from_secs(1),
        patience: Duration::from_secs(4 * 60 * 60),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value: u64 = arguments.next().expect("a number").parse().expect("a number");
        match name.as_str() {
            "--photos" => backlog.photos = value as usize,
            "--len" => backlog.photo_len = value as usize,
            "--kbit" => backlog.bits_per_second = value * 1000,
            "--holds-s" => backlog.holds = Duration::from_secs(value),
            other => panic!("{other} is none of --photos, --len, --kbit, --holds-s"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.sync_once();
    take_photos(&phone, 0..backlog.photos, backlog.photo_len);
    println!("{backlog:?}");
    let outcome = send_backlog(&mut phone, backlog);
    println!("{outcome:#?}");
    println!(
        "{:.2} % of the photos' bytes were sent twice; the slowest record arrived {:.1?} after its link began",
        100.0 * outcome.again(),
        outcome.slowest()
    );
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
    print!("{printed}");
}
