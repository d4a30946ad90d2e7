//! The examples of PROTOCOL.md, run: what the page says is what the code does.
//!
//! After a deliberate change of a format, `BARID_WRITE_EXAMPLES=1 cargo test -p barid-core examples`
//! writes the page's examples anew.

use std::sync::{Mutex, PoisonError};

use crate::batch::{
    AncestorEntry, BatchKind, BodyEncoding, BodyEntry, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal,
};
use crate::clock::Timestamp;
use crate::control::{
    Cut, Discarded, SpaceKind, SpaceOrganisation, admit_device, adopt, discard, erase, found_organisation,
    found_space, revoke_device,
};
use crate::enrolment::EnrolmentCode;
use crate::id::{BatchId, ChainId, DeviceId, Incarnation, RecordId, SpaceId, to_hex};
use crate::identity::Identity;
use crate::model::{Fields, Gap, Kind, Position, TrackChunk, Value};
use crate::pairing::Invitation;

const PAGE: &str = include_str!("../PROTOCOL.md");
/// One test at a time writes the page.
static WRITING: Mutex<()> = Mutex::new(());

/// The text of the fenced block with this tag (`hex NAME` or `text NAME`), as lines.
fn block<'a>(page: &'a str, tag: &str) -> &'a str {
    let fence = format!("```{tag}\n");
    let (_, after) = page.split_once(&fence).unwrap_or_else(|| panic!("PROTOCOL.md has no block {tag}"));
    after.split_once("```").expect("a block is closed").0
}

/// The bytes of a block: pairs of hexadecimal digits; `#` begins a remark.
fn bytes_of(block: &str) -> Vec<u8> {
    let without_remarks = block.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u32> = without_remarks
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("an example is hexadecimal"))
        .collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn write(tag: &str, text: &str) {
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md");
    let page = std::fs::read_to_string(path).unwrap();
    let old = format!("```{tag}\n{}```", block(&page, tag));
    std::fs::write(path, page.replace(&old, &format!("```{tag}\n{text}\n```"))).unwrap();
}

fn is_writing() -> bool {
    std::env::var_os("BARID_WRITE_EXAMPLES").is_some()
}

/// Compares bytes with the page's example, or writes it if asked to.
pub(crate) fn check_hex(name: &str, bytes: &[u8]) {
    let lines: Vec<_> = bytes.chunks(32).map(to_hex).collect();
    if is_writing() {
        return write(&format!("hex {name}"), &lines.join("\n"));
    }
    let expected = bytes_of(block(PAGE, &format!("hex {name}")));
    assert!(bytes == expected, "{name} is not as in PROTOCOL.md; the code writes\n{}", lines.join("\n"));
}

fn key() -> Identity {
    Identity::from_seed([1; 32])
}

fn spec(key: &Identity) -> SealSpec<'_> {
    SealSpec {
        key,
        incarnation: Incarnation::from_bytes([2; 8]),
        space: SpaceId::from_bytes([3; 32]),
        lane: Lane::Normal,
        seq: 1,
        prev: BatchId::from_bytes([0; 32]),
        control_head: BatchId::from_bytes([4; 32]),
        kind: BatchKind::Entries,
        claimed_time: Timestamp::from_millis(1_790_000_000_000),
        seed: [0xa5; 16],
    }
}

fn chain() -> ChainId {
    let SealSpec { incarnation, space, lane, .. } = spec(&key());
    ChainId::derive(key().device(), incarnation, space, lane)
}

fn track_chunk() -> TrackChunk {
    let time = Timestamp::from_millis(1_790_000_000_000);
    let later = time.plus_millis(5_000);
    TrackChunk {
        id: RecordId::from_bytes([8; 16]),
        patrol: RecordId::from_bytes([7; 16]),
        positions: vec![
            Position { time, lat_e7: 235_000_000, lon_e7: 150_000_000, accuracy_m: 5 },
            Position { time: later, lat_e7: 235_000_700, lon_e7: 149_999_400, accuracy_m: 4 },
        ],
        gaps: vec![Gap { from: later, to: later.plus_millis(60_000), reason: "no_fix".to_owned() }],
    }
}

fn change_entry(continues: bool) -> Entry {
    let fields = Fields::from([("title".to_owned(), Value::from("وادي"))]);
    let time = Timestamp::from_millis(1_790_000_000_000);
    let kind = Kind::undeclared("event");
    let change = crate::document::create(chain().actor(), time, &kind, &fields).unwrap();
    let record = RecordId::from_bytes([9; 16]);
    Entry::Change(ChangeEntry { record, kind: kind.name, continues, change })
}

fn raw_entries() -> [Entry; 2] {
    [Entry::Unknown { tag: 200, bytes: vec![1, 2, 3] }, Entry::Unknown { tag: 201, bytes: Vec::new() }]
}

/// The page's raw batch.
pub(crate) fn raw_batch() -> SealedBatch {
    seal(spec(&key()), &raw_entries()).unwrap()
}

#[test]
fn a_chain_is_named_as_in_the_example() {
    check_hex("chain-id", chain().as_bytes());
}

#[test]
fn a_raw_batch_is_as_in_the_example() {
    let batch = raw_batch();
    assert_eq!(batch.header().encoding, BodyEncoding::Raw);
    check_hex("batch-raw", batch.as_bytes());
    check_hex("batch-erased", batch.erase(&[0]).unwrap().as_bytes());
}

#[test]
fn an_erased_batch_is_read_as_in_the_example() {
    if is_writing() {
        return;
    }
    let batch = SealedBatch::parse(bytes_of(block(PAGE, "hex batch-erased"))).unwrap();
    batch.verify_signature().unwrap();
    let [BodyEntry::Erased { .. }, BodyEntry::Present { entry, .. }] = &batch.open().unwrap().entries[..]
    else {
        panic!("the first entry is erased and the second is not");
    };
    assert_eq!(entry, &raw_entries()[1]);
}

/// The example is read and never compared with what is written: another version of zstd may
/// compress the same content to other bytes.
#[test]
fn a_compressed_batch_is_read_as_in_the_example() {
    let entries = [change_entry(true), change_entry(true), change_entry(false)];
    let sealed = seal(spec(&key()), &entries).unwrap();
    assert_eq!(sealed.header().encoding, BodyEncoding::Zstd);
    if is_writing() {
        return check_hex("batch-zstd", sealed.as_bytes());
    }
    let batch = SealedBatch::parse(bytes_of(block(PAGE, "hex batch-zstd"))).unwrap();
    batch.verify_signature().unwrap();
    assert_eq!(batch.header(), sealed.header());
    assert_eq!(batch.open().unwrap(), sealed.open().unwrap());
}

#[test]
fn entries_and_chunks_are_as_in_the_examples() {
    let entry = change_entry(false).encode().unwrap();
    check_hex("entry-change", &entry);
    assert_eq!(Entry::decode(&entry), change_entry(false));
    let Entry::Change(ChangeEntry { record, kind, change, .. }) = change_entry(false) else {
        panic!("it is a change");
    };
    let SealSpec { incarnation, lane, .. } = spec(&key());
    let ancestor =
        Entry::Ancestor(AncestorEntry { device: key().device(), incarnation, lane, record, kind, change });
    check_hex("entry-ancestor", &ancestor.encode().unwrap());
    assert_eq!(Entry::decode(&ancestor.encode().unwrap()), ancestor);
    let chunk = track_chunk().to_bytes().unwrap();
    check_hex("track-chunk", &chunk);
    assert_eq!(TrackChunk::from_bytes(&chunk), Ok(track_chunk()));
}

#[test]
fn values_are_as_in_the_example() {
    let value = Value::Map(Fields::from(
        [
            ("a", Value::Null),
            ("b", Value::Bool(true)),
            ("c", Value::Int(-500)),
            ("d", Value::Float(1.5)),
            ("e", Value::from("وادي")),
            ("f", Value::Bytes(vec![1, 2])),
            ("g", Value::List(vec![Value::Int(1), Value::Map(Fields::new())])),
            ("aa", Value::Int(0)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    ));
    check_hex("value", &value.to_cbor());
}

#[test]
fn statements_are_as_in_the_examples() {
    let root = key().device();
    let (arabic, english) = ("حرس الحدود", "Border guard");
    let (organisation, statement) =
        found_organisation("border_guard", arabic, english, root, [0x11; 16]).unwrap();
    check_hex("statement-organisation", &statement);
    let named = [SpaceOrganisation { id: organisation, key: root }];
    let (_, statement) =
        found_space(SpaceKind::Organisation, arabic, english, &[root], &named, [0x12; 16]).unwrap();
    check_hex("statement-space", &statement);
    let device = Identity::from_seed([0x21; 32]).device();
    check_hex("statement-device", &admit_device(device, 1, organisation, "Phone 3", "patrol").unwrap());
    let (incarnation, lane) = (Incarnation::from_bytes([2; 8]), Lane::Normal);
    let cut = |seq, batch| vec![Cut { incarnation, lane, seq, batch: BatchId::from_bytes([batch; 32]) }];
    let discarded = vec![Discarded { incarnation, lane, seq: 9 }];
    check_hex("statement-revoke", &revoke_device(device, "lost", cut(2, 4)).unwrap()[0]);
    check_hex("statement-adopt", &adopt(device, cut(7, 5)).unwrap()[0]);
    check_hex("statement-discard", &discard(device, discarded).unwrap()[0]);
    check_hex("statement-erase", &erase("event", RecordId::from_bytes([9; 16])).unwrap());
}

#[test]
fn an_enrolment_code_is_as_in_the_example() {
    let code = EnrolmentCode {
        url: "ws://127.0.0.1:7600".to_owned(),
        relay_key: DeviceId::from_bytes([7; 32]),
        certificate_pin: None,
        token: [0xab; 16],
        expires: Timestamp::from_millis(1_790_000_600_000),
    };
    if is_writing() {
        return write("text enrolment-code", &code.to_string());
    }
    assert_eq!(block(PAGE, "text enrolment-code").trim(), code.to_string());
    assert_eq!(block(PAGE, "text enrolment-code").parse(), Ok(code));
}

#[test]
fn a_pairing_code_is_as_in_the_example() {
    let begun = Timestamp::from_millis(1_790_000_000_000);
    let invitation = Invitation::new(DeviceId::from_bytes([7; 32]), [0xab; 16], begun);
    let code = invitation.code();
    if is_writing() {
        return write("text pairing-code", &code.to_string());
    }
    assert_eq!(block(PAGE, "text pairing-code").trim(), code.to_string());
    assert_eq!(block(PAGE, "text pairing-code").parse().as_ref(), Ok(code));
}
