//! Databases that earlier programs wrote, kept as they left them: what they held must be shown for ever.
//!
//! Of each schema there is one in `core/golden`: the file, compressed, the token that lay beside it, and
//! what it shows. After a step is added to the schema,
//! `BARID_WRITE_GOLDEN=1 cargo test -p barid-core --features client golden` writes the next one; those that
//! are there are never written again.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::{World, chunk, event, sets};
use super::lock::beside;
use super::{Query, Store, StoreConfig, schema};
use crate::control::{erase, revoke_device};
use crate::id::{RecordId, SpaceId, to_hex};
use crate::model::{Fields, Value};

/// The device whose file it is.
const SEED: u8 = 1;

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden")).join(name)
}

/// Something of everything that a device's file may hold.
fn made(path: &Path) -> World {
    let mut world = World::new();
    let store = Store::open(StoreConfig { path: Some(path.to_owned()), ..world.config(SEED) }).unwrap();
    let space = world.space;
    store.join_space(space).unwrap();
    world.admit(store.device().unwrap(), 0);
    let colleague = world.device(2, 1);
    let seized = world.device(3, 1);
    let ids: Vec<RecordId> = ["مجموعة عالقة", "tracks of three vehicles", "taken back", "to be erased"]
        .iter()
        .zip(1..)
        .map(|(title, at)| {
            let fields = event(title, 24.5 + f64::from(at), 11.25);
            store.write(|group| group.put(space, "event", None, fields)).unwrap()
        })
        .collect();
    store.write(|group| group.withdraw(space, "event", ids[2])).unwrap();
    store.write(|group| group.add_track(space, chunk(1, 9, 1_790_000_000, 40))).unwrap();
    world.upload(&store);
    for device in [&colleague, &seized] {
        world.download(device);
    }
    // Two edits of one field that know nothing of each other, and one of another field.
    colleague.write(|group| group.patch(space, "event", ids[0], sets("persons_total", 9))).unwrap();
    colleague.write(|group| group.patch(space, "event", ids[1], sets("note", "نحو الجنوب"))).unwrap();
    store.write(|group| group.patch(space, "event", ids[0], sets("persons_total", 8))).unwrap();
    world.upload(&colleague);
    // A kind that nobody declared, with nested values.
    let nested = Value::Map([("dates".to_owned(), Value::List(vec![3.into(), "ripe".into()]))].into());
    let palm = Fields::from([("height_m".to_owned(), 4.5.into()), ("fruit".to_owned(), nested)]);
    colleague.write(|group| group.put(space, "palm", None, palm)).unwrap();
    colleague.write(|group| group.put(space, "alert", None, event("SOS", 25.0, 12.0))).unwrap();
    world.upload(&colleague);
    // What a seized phone writes after its cut, and a record that is gone.
    world.control(&revoke_device(seized.device().unwrap(), "seized", Vec::new()).unwrap());
    world.control(&[erase("event", ids[3]).unwrap()]);
    seized.write(|group| group.put(space, "event", None, event("late", 20.0, 20.0))).unwrap();
    let (late, _) = seized.outgoing(&[], &[], usize::MAX).unwrap();
    world.download(&store);
    store.ingest_carried(space, &late).unwrap();
    // One batch that no relay has, and one change that is in no batch.
    store.write(|group| group.put(space, "event", None, event("sealed", 23.0, 13.0))).unwrap();
    store.seal_pending(space).unwrap();
    store.write(|group| group.put(space, "event", None, event("pending", 22.0, 13.5))).unwrap();
    world
}

/// Everything that a file shows, in words.
fn shown(store: &Store, space: SpaceId) -> String {
    let mut text = String::new();
    let all = Query { include_withdrawn: true, limit: 1000, ..Query::default() };
    let mut records = store.query(&all).unwrap().records;
    records.sort_unstable_by(|one, other| (&one.kind, one.id).cmp(&(&other.kind, other.id)));
    for record in records {
        writeln!(text, "{} {} of {}", record.kind, record.id, to_hex(record.created_by.as_bytes())).unwrap();
        let (withdrawn, delivered) = (record.withdrawn, record.delivered);
        writeln!(text, "  at {} withdrawn {withdrawn} delivered {delivered}", record.time.as_millis())
            .unwrap();
        for (name, value) in &record.fields {
            writeln!(text, "  {name}: {}", in_words(value)).unwrap();
        }
        for conflict in store.conflicts(space, &record.kind, record.id).unwrap() {
            let sides: Vec<String> = conflict
                .values
                .iter()
                .map(|side| side.value.as_ref().map_or_else(|| "nothing".to_owned(), in_words))
                .collect();
            writeln!(text, "  in conflict, {}: {}", conflict.field, sides.join(" or ")).unwrap();
        }
        let steps = store.history(space, &record.kind, record.id).unwrap().len();
        writeln!(text, "  changes: {steps}").unwrap();
    }
    for track in store.tracks(space, RecordId::from_bytes([9; 16])).unwrap() {
        writeln!(text, "track: {} positions, {} gaps", track.chunk.positions.len(), track.chunk.gaps.len())
            .unwrap();
    }
    for held in store.quarantined(space).unwrap() {
        writeln!(text, "in quarantine: seq {} of {}, {}", held.seq, held.device, held.reason).unwrap();
    }
    let found = Query { text: Some("عالقة".to_owned()), ..Query::default() };
    writeln!(text, "found by a word: {}", store.count(&found).unwrap()).unwrap();
    let near = Query { bbox: Some([25.0, 11.0, 26.0, 12.0]), ..Query::default() };
    writeln!(text, "found by a place: {}", store.count(&near).unwrap()).unwrap();
    writeln!(text, "cursor: {}", store.cursor(space).unwrap().unwrap().offset).unwrap();
    writeln!(text, "incarnation: {}", to_hex(store.incarnation().as_bytes())).unwrap();
    writeln!(text, "rows: {}", to_hex(&store.digest(space).unwrap())).unwrap();
    let counts = store.counts().unwrap();
    writeln!(text, "unsent: {} records, {} changes", counts.unsent_records, counts.unsent_changes).unwrap();
    text
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(value) => format!("{value:?}"),
        nested => to_hex(&nested.to_cbor()),
    }
}

/// Writes the database of the newest schema, unless there is one.
fn write(version: i32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("barid.db");
    let world = made(&path);
    let config = StoreConfig { path: Some(path.clone()), ..world.config(SEED) };
    // The last opening renews the token, and its end moves everything into the one file.
    drop(Store::open(config).unwrap());
    let db = zstd::encode_all(fs::File::open(&path).unwrap(), 19).unwrap();
    let token = fs::read(beside(&path, ".token")).unwrap();
    let store = Store::open(StoreConfig { path: Some(path), ..world.config(SEED) }).unwrap();
    fs::write(golden(&format!("device-{version}.txt")), shown(&store, world.space)).unwrap();
    fs::write(golden(&format!("device-{version}.db.zst")), db).unwrap();
    fs::write(golden(&format!("device-{version}.token")), token).unwrap();
}

#[test]
fn what_a_device_of_any_version_held_is_shown_written_on_and_sent() {
    let is_there = |version: i32| golden(&format!("device-{version}.db.zst")).exists();
    if std::env::var_os("BARID_WRITE_GOLDEN").is_some() && !is_there(schema::VERSION) {
        write(schema::VERSION);
    }
    for version in 1..=schema::VERSION {
        assert!(is_there(version), "the schema has no golden database yet: write one");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("barid.db");
        let db = fs::File::open(golden(&format!("device-{version}.db.zst"))).unwrap();
        fs::write(&path, zstd::decode_all(db).unwrap()).unwrap();
        fs::copy(golden(&format!("device-{version}.token")), beside(&path, ".token")).unwrap();
        let mut world = World::new();
        let config = StoreConfig { path: Some(path), ..world.config(SEED) };
        let store = Store::open(config).unwrap();
        let expected = fs::read_to_string(golden(&format!("device-{version}.txt"))).unwrap();
        assert_eq!(shown(&store, world.space), expected, "version {version}");
        assert_eq!(store.ask_automerge(world.space).unwrap().differing, []);
        // It goes on: what is edited leaves behind what was there, and another device takes it all in.
        let pending = Query { text: Some("pending".to_owned()), ..Query::default() };
        let id = store.query(&pending).unwrap().records[0].id;
        store.write(|group| group.patch(world.space, "event", id, sets("note", "later"))).unwrap();
        let other = world.replica();
        let (all, _) = {
            store.seal_pending(world.space).unwrap();
            store.batches_above(world.space, &[], false, usize::MAX).unwrap()
        };
        other.ingest_carried(world.space, &all).unwrap();
        assert_eq!(other.digest(world.space).unwrap(), store.digest(world.space).unwrap());
        world.upload(&store);
        assert_eq!(store.counts().unwrap().unsent_changes, 0);
    }
}
