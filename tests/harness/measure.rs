//! What a record costs to create, to upload and to download. Run it with
//! `cargo run --release --package barid-tests --bin measure`.
//!
//! The relay is the real one in a process of its own, with signatures, durable acknowledgements and
//! views on; the phones are the real core with its search and map indexes. Times are wall times on
//! this machine, bytes are what the link carried, with everything that carries the frames.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the tests")]

use std::time::{Duration, Instant};

use harness::browser::Browser;
use harness::phone::{PATIENCE, Phone, event_fields};
use harness::relay::Relay;
use harness::wait::until;

/// Records that one write makes when it makes many.
const GROUP: usize = 100;

fn main() {
    println!(
        "| records | create, one by one | create, {GROUP} a write | upload | bytes up | download | bytes down | on the page |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for count in [2_000, 20_000] {
        measure(count);
    }
}

fn measure(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut writer = Phone::enrol(&relay, folder.path(), "writer");
    let single = count / 10;
    let one_by_one = timed(|| {
        (0..single).for_each(|number| {
            writer.put_event(event_fields(number));
        })
    });
    let grouped = timed(|| {
        let numbers: Vec<usize> = (single..count).collect();
        for group in numbers.chunks(GROUP) {
            let space = writer.space;
            let put_all = |write: &mut barid_core::store::WriteGroup<'_, '_>| {
                for number in group {
                    write.put(space, "event", None, event_fields(*number))?;
                }
                Ok(())
            };
            writer.device.store().write(put_all).unwrap();
        }
    });
    let upload = timed(|| {
        writer.connect();
        writer.wait_synced();
    });
    let bytes_up = writer.link.bytes().0;
    let mut reader = Phone::enrol(&relay, folder.path(), "reader");
    let before = reader.link.bytes().1;
    let download = timed(|| {
        reader.connect();
        until("everything is here", PATIENCE, || {
            (reader.device.store().counts().unwrap().records == count as u64).then_some(())
        });
    });
    reader.wait_synced();
    let bytes_down = reader.link.bytes().1 - before;
    assert_eq!(reader.digest(), writer.digest());
    let browser = Browser::login(&relay);
    let viewed = timed(|| {
        until("everything is on the page", PATIENCE, || {
            (browser.get("/api/stats").json()["events"] == count).then_some(())
        });
    });
    println!(
        "| {count} | {} | {} | {} | {} | {} | {} | {:.2} s later |",
        each(one_by_one, single),
        each(grouped, count - single),
        each(upload, count),
        bytes_up / count as u64,
        each(download, count),
        bytes_down / count as u64,
        viewed.as_secs_f64(),
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn each(whole: Duration, count: usize) -> String {
    format!("{:.0} µs", whole.as_secs_f64() * 1e6 / count as f64)
}
