//! Logs that earlier relays wrote, kept as they left them: what they acknowledged must be served for ever.
//!
//! Of each schema there is one in `server/golden`: the file, compressed, and what it holds. After a step is
//! added to the schema, `BARID_WRITE_GOLDEN=1 cargo test -p barid-server golden` writes the next one;
//! those that are there are never written again.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use barid_core::control::erase;

use super::*;
use crate::log::writer::SCHEMA_STEPS;

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden")).join(name)
}

/// Something of everything that a log may hold: batches of two devices, a revoke with what came after its
/// cut, some of that adopted and some discarded, and an erased record.
fn made() -> World {
    let mut world = World::new();
    let (mut one, mut two) = (Device::new(1, world.space), Device::new(2, world.space));
    world.admit(&one);
    world.admit(&two);
    for content in 1..=3 {
        world.append(&one.seal(content));
    }
    let of_two: Vec<SealedBatch> = (11..=15).map(|content| two.seal(content)).collect();
    world.append(&of_two[0]);
    world.revoke(&two, Some(&of_two[0]));
    for batch in &of_two[1..] {
        world.append(batch);
    }
    world.adopt(&two, &of_two[1]);
    world.discard(&two, &of_two[2]);
    world.state(vec![erase("event", RecordId::from_bytes([2; 16])).unwrap()]);
    world
}

/// Everything that a log holds, in words.
fn shown(path: &Path) -> String {
    let (reader, writer) = (LogReader::open(path).unwrap(), LogWriter::open(path, clock()).unwrap());
    let mut text = format!("log {}\n", reader.id());
    for (space, known) in &writer.state().spaces {
        writeln!(text, "space {space}, {} bytes up to {}", known.len, known.head).unwrap();
        for logged in reader.read_after(*space, 0, usize::MAX, None).unwrap().batches {
            let header = logged.batch.header();
            let kind = if header.kind == BatchKind::Control { "control" } else { "entries" };
            writeln!(text, "  {} {} seq {} {kind}", logged.offset, logged.batch.id(), header.seq).unwrap();
        }
        for held in reader.quarantined(*space).unwrap() {
            let kept = if held.batch.is_some() { "kept" } else { "discarded" };
            writeln!(text, "  in quarantine: {} seq {}, {kept}: {}", held.id, held.seq, held.reason).unwrap();
        }
        for device in known.membership.devices() {
            let (key, is_revoked) = (device.device, known.membership.is_revoked(device.device));
            writeln!(text, "  device {key} revoked {is_revoked}").unwrap();
            for chain in reader.own_chains(*space, key).unwrap() {
                writeln!(text, "    {:?} up to seq {}, {}", chain.lane, chain.seq, chain.batch).unwrap();
            }
        }
    }
    text
}

fn write(version: usize) {
    let world = made();
    let path = world.path();
    let World { dir, writer, .. } = world;
    // Its end moves everything into the one file.
    drop(writer);
    fs::write(golden(&format!("log-{version}.txt")), shown(&path)).unwrap();
    let db = zstd::encode_all(fs::File::open(&path).unwrap(), 19).unwrap();
    fs::write(golden(&format!("log-{version}.db.zst")), db).unwrap();
    drop(dir);
}

#[test]
fn what_a_relay_of_any_version_acknowledged_is_served_and_its_log_goes_on() {
    let is_there = |version: usize| golden(&format!("log-{version}.db.zst")).exists();
    if std::env::var_os("BARID_WRITE_GOLDEN").is_some() && !is_there(SCHEMA_STEPS.len()) {
        write(SCHEMA_STEPS.len());
    }
    for version in 1..=SCHEMA_STEPS.len() {
        assert!(is_there(version), "the schema has no golden log yet: write one");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let db = fs::File::open(golden(&format!("log-{version}.db.zst"))).unwrap();
        fs::write(&path, zstd::decode_all(db).unwrap()).unwrap();
        let expected = fs::read_to_string(golden(&format!("log-{version}.txt"))).unwrap();
        assert_eq!(shown(&path), expected, "version {version}");
        let mut writer = LogWriter::open(&path, clock()).unwrap();
        let (space, head) = writer.state().spaces.iter().map(|(id, known)| (*id, known.head)).next().unwrap();
        let reader = LogReader::open(&path).unwrap();
        let mut one = Device::new(1, space);
        let chain = reader.own_chains(space, one.key.device()).unwrap()[0];
        (one.seq, one.prev) = (chain.seq, chain.batch);
        let next = verify(one.seal(4)).unwrap();
        let outcome = writer.transact(|append| append.batch(&next)).unwrap();
        assert_eq!(outcome, Outcome::Appended { offset: head + 1 });
        let mut faults = Vec::new();
        crate::log::audit::audit(&rusqlite::Connection::open(&path).unwrap(), &mut faults).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    }
}
