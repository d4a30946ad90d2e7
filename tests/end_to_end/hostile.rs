//! What strangers, broken phones and broken disks send: a typed error each, and nothing is disturbed.

use std::path::Path;

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, seal};
use barid_core::client::SyncError;
use barid_core::clock::{Timestamp, system_clock};
use barid_core::control::{RefuseReason, RetryReason};
use barid_core::device::{Device, DeviceConfig};
use barid_core::id::{BatchId, Incarnation, RecordId};
use barid_core::identity::Identity;
use barid_core::limits::BATCH_LEN_MAX;
use barid_core::model::Kinds;
use barid_core::protocol::{CloseCode, CloseReason};
use barid_core::store::OpenError;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::raw_link::RawLink;
use harness::relay::{Relay, barid};
use harness::wait::until;

/// The close frame of the protocol, type and code, inside a websocket frame.
fn closes_with(answer: &[u8], code: u8) -> bool {
    answer.windows(4).any(|four| four == [0x82, 0x02, 0x7f, code])
}

#[test]
fn frames_from_a_stranger_get_a_reason_and_disturb_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "good");
    phone.connect();
    phone.wait_synced();

    for (what, frame, code) in [
        ("nothing", vec![], 2),
        ("an unknown type", vec![0xee, 1, 2, 3], 2),
        ("half a hello", vec![0x01, 1, 1, 1, 2, 3], 2),
        ("a batch before the handshake", [&[0x10, 0][..], &[7; 200]].concat(), 4),
        ("a version that nobody speaks", [&[0x01, 200, 201][..], &[9; 56]].concat(), 1),
    ] {
        let mut link = RawLink::open(relay.port());
        link.send(&frame);
        let answer = link.answer();
        assert!(closes_with(&answer, code), "{what}: {answer:02x?}");
    }
    // More than any frame may have: the carrier itself hangs up.
    let mut link = RawLink::open(relay.port());
    link.send(&vec![0x10; 2 * 1024 * 1024]);
    link.answer();

    phone.put_event(event_fields(1));
    phone.wait_synced();
}

#[test]
fn a_bad_batch_gets_its_reason_and_the_link_and_everybody_else_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "phone");
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.sync_once();
    let batch_by = |seed: [u8; 32], incarnation: u8| {
        let record = RecordId::from_bytes([incarnation; 16]);
        let change = Entry::Change(ChangeEntry {
            record,
            kind: "event".to_owned(),
            continues: false,
            change: vec![7; 40],
        });
        let spec = SealSpec {
            key: &Identity::from_seed(seed),
            incarnation: Incarnation::from_bytes([incarnation; 8]),
            space: phone.space,
            lane: Lane::Normal,
            seq: 1,
            prev: BatchId::from_bytes([0; 32]),
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(1),
            seed: [5; 16],
        };
        let batch = seal(spec, &[change]).unwrap();
        (batch.id(), batch.as_bytes().to_vec())
    };
    let push = |batch: &[u8]| [&[0x10, 0][..], batch].concat();
    let answer = |batch: BatchId, kind: u8, code: u8| [&[0x12][..], batch.as_bytes(), &[kind, code]].concat();

    let mut link = RawLink::open(relay.port());
    link.handshake(&phone.device, &files);
    // The signature lies right before the body.
    let (id, mut bytes) = batch_by(files.seed, 1);
    let header_len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2 + header_len] ^= 1;
    link.send(&push(&bytes));
    assert_eq!(link.verdict(), answer(id, 2, RefuseReason::WrongSignature.code()));
    // A device that was never enrolled: its batch may come again when it is.
    let (id, bytes) = batch_by([9; 32], 2);
    link.send(&push(&bytes));
    assert_eq!(link.verdict(), answer(id, 1, RetryReason::UnknownDevice.code()));
    // The link goes on: a good batch is taken, although what it carries is no change at all. What is
    // in an entry is for those who read it.
    let (id, bytes) = batch_by(files.seed, 3);
    link.send(&push(&bytes));
    assert_eq!(link.verdict(), [&[0x11][..], id.as_bytes()].concat());
    // More than a batch may be.
    let mut oversized = bytes.clone();
    oversized.resize(BATCH_LEN_MAX + 1, 0);
    link.send(&push(&oversized));
    assert_eq!(link.verdict(), answer(id, 2, RefuseReason::TooLarge.code()));

    let mut other = Phone::enrol(&relay, folder.path(), "other");
    other.put_event(event_fields(1));
    other.sync_once();
    assert_eq!(other.events().len(), 1);
    phone.sync_once();
    assert_eq!(phone.digest(), other.digest());
}

#[test]
fn an_impostor_is_refused_and_a_relay_that_forgot_a_phone_tells_it_to_come_back_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let saved = folder.path().join("saved");
    relay.stop();
    copy_folder(relay.folder(), &saved);
    relay.start();
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.put_event(event_fields(1));

    // Another relay at the address of the enrolment cannot prove that it is the one.
    let impostor = Relay::new(&folder.path().join("impostor"));
    phone.device.move_relay(&format!("ws://127.0.0.1:{}", impostor.port())).unwrap();
    phone.connect();
    let refused = until("the impostor is refused", PATIENCE, || phone.status().error);
    assert_eq!(refused, SyncError::Closed(CloseReason::Here(CloseCode::Impersonation)));
    phone.disconnect();

    // The right relay, put back to before it met the phone.
    relay.stop();
    std::fs::remove_dir_all(relay.folder()).unwrap();
    copy_folder(&saved, relay.folder());
    relay.start();
    phone.device.move_relay(&format!("ws://127.0.0.1:{}", phone.link.port())).unwrap();
    phone.connect();
    let unknown = until("the phone is told that it is unknown", PATIENCE, || phone.status().error);
    assert_eq!(unknown, SyncError::Closed(CloseReason::There(CloseCode::UnknownDevice)));
    assert_eq!(phone.device.store().counts().unwrap().unsent_records, 1);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target);
        } else {
            std::fs::copy(source, target).unwrap();
        }
    }
}

#[test]
fn without_a_login_no_route_of_the_api_answers_and_no_stranger_syncs() {
    use harness::browser::{Browser, request};
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let document = Browser::login(&relay).get("/api/openapi.json").json();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| method.len() <= 6) {
            if path == "/api/login" || !path.starts_with("/api/") {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            let origin = format!("http://127.0.0.1:{}", relay.port());
            let answer = request(relay.port(), &method.to_uppercase(), &path, &[("origin", &origin)], "");
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            assert!(answer.head.contains("application/problem+json"), "{method} {path}: {answer:?}");
            asked += 1;
        }
    }
    assert!(asked >= 12, "only {asked} routes");
    assert_eq!(request(relay.port(), "GET", "/sync", &[], "").status / 100, 4);
}

#[test]
fn a_truncated_database_is_kept_and_recovered_and_a_newer_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "phone");
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    for number in 0..300 {
        phone.put_event(event_fields(number));
    }
    phone.sync_once();
    for number in 300..320 {
        phone.put_event(event_fields(number));
    }
    let space = phone.space;
    drop(phone);

    // A newer version of the app wrote here: refused, and not one byte is changed.
    let newer = folder.path().join("newer.db");
    std::fs::copy(&files.database, &newer).unwrap();
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let before = std::fs::read(&newer).unwrap();
    let open = |path: &Path| {
        Device::open(DeviceConfig {
            path: Some(path.to_owned()),
            seed: files.seed.into(),
            kinds: Kinds::built_in(),
            clock: system_clock(),
            key: None,
        })
    };
    assert!(matches!(open(&newer), Err(OpenError::TooNew { .. })));
    assert_eq!(std::fs::read(&newer).unwrap(), before);

    let whole = std::fs::metadata(&files.database).unwrap().len();
    let cut = std::fs::OpenOptions::new().write(true).open(&files.database).unwrap();
    cut.set_len(whole - whole / 4).unwrap();
    drop(cut);
    let Err(OpenError::Damaged { kept_as, .. }) = open(&files.database) else {
        panic!("a truncated database is damaged")
    };
    assert!(kept_as.exists() && !files.database.exists());

    let recovered = std::process::Command::new(barid())
        .arg("recover")
        .arg(&kept_as)
        .arg("--into")
        .arg(&files.database)
        .args(["--seed-file", write_seed(folder.path(), &files).to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&recovered.stdout).into_owned();
    assert!(recovered.status.success(), "{said}{}", String::from_utf8_lossy(&recovered.stderr));
    println!("{said}");
    let device = files.open();
    assert!(device.store().counts().unwrap().records > 0);
    assert!(device.store().spaces().unwrap().contains(&space));
    // Whatever did not survive the cut is at the relay, and comes back by an ordinary sync.
    drop(device);
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.connect();
    until("what was acknowledged comes back", PATIENCE, || {
        phone.wait_synced();
        (phone.events().len() >= 300).then_some(())
    });
}

fn write_seed(folder: &Path, files: &PhoneFiles) -> std::path::PathBuf {
    let path = folder.join("seed");
    std::fs::write(&path, barid_core::id::to_hex(&files.seed)).unwrap();
    path
}
