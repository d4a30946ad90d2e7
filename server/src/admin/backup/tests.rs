//! Backup, restore and check on a real relay's folder, in this process.

use std::fs;
use std::path::{Path, PathBuf};

use barid_core::clock::system_clock;
use barid_core::control::admit_device;
use barid_core::id::BatchId;
use barid_core::identity::Identity;
use barid_core::model::Value;
use barid_core::position::Cursor;
use rusqlite::Connection;

use super::*;
use crate::admin::check::{Checked, Finding, Views, check};
use crate::admin::manifest::ManifestError;
use crate::admin::restore::{RestoreError, restore};
use crate::fixture::{NOON, World, event};
use crate::log::audit::Fault;
use crate::log::reader::LogReader;
use crate::log::writer::{LogWriter, OwnStatements};
use crate::relay_db::RelayDb;

/// A relay with what three phones wrote, and its views.
fn busy() -> World {
    let mut world = World::new();
    let phones = [world.phone(0, "one"), world.phone(1, "two"), world.phone(0, "three")];
    for round in 0..4 {
        for phone in &phones {
            for minute in 0..5 {
                phone.put("event", event("other", "بئر", round * 5 + minute));
            }
            world.take(phone);
        }
    }
    world.materialise();
    world
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOON)
}

/// A backup of a relay, and a folder that is not there yet.
fn backed_up(world: &World) -> (PathBuf, PathBuf) {
    let folder = world.root().with_file_name("backup");
    backup(&world.data, &folder, now()).unwrap();
    (folder, world.root().with_file_name("restored"))
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files
}

fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn is_clean(checked: &Checked) {
    assert!(checked.findings.is_empty(), "{:#?}", checked.findings);
}

fn batches(data: &DataDir, world: &World) -> Vec<(u64, BatchId)> {
    let page = LogReader::open(&data.log_db()).unwrap();
    let page = page.read_after(world.joint, 0, usize::MAX, None).unwrap();
    page.batches.iter().map(|logged| (logged.offset, logged.batch.id())).collect()
}

#[test]
fn a_backup_is_private_whole_and_restores_the_same_log_under_a_new_id() {
    let world = busy();
    let (folder, root) = backed_up(&world);
    #[cfg(unix)]
    for file in all_files(&folder) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let restored = restore(&folder, &root).unwrap();
    let data = DataDir::new(&root);
    assert_eq!(restored.manifest.made_at, "2026-11-24T20:00:00Z");
    assert_eq!(to_hex(world.log.id().as_bytes()), restored.manifest.log);
    let reader = LogReader::open(&data.log_db()).unwrap();
    assert_eq!(reader.id(), restored.log);
    assert_ne!(reader.id(), world.log.id());
    assert_eq!(batches(&data, &world), batches(&world.data, &world));
    for name in ["relay.key", "barid.toml", "tls/cert.pem", "tls/key.pem", "tls/ca.pem"] {
        assert_eq!(fs::read(root.join(name)).unwrap(), fs::read(world.root().join(name)).unwrap(), "{name}");
    }
    for organisation in world.organisations {
        assert!(keys::load(&data.organisation_key(organisation)).is_ok());
    }
    assert!(!data.views_db().exists() && !root.join("unfinished").exists());
    let checked = check(&data).unwrap();
    is_clean(&checked);
    assert_eq!(checked.views, Views::NotBuilt);
    let names: Vec<_> = fs::read_dir(world.root().parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 3, "nothing unfinished is left: {names:?}");
}

#[test]
fn devices_hear_how_far_the_newest_backup_has_the_log() {
    let mut world = busy();
    let watermarks = |data: &DataDir| -> Vec<(u64, u64)> {
        let state = LogWriter::open(&data.log_db(), system_clock()).unwrap().state();
        state.spaces.values().map(|space| (space.watermark, space.head)).collect()
    };
    assert!(watermarks(&world.data).iter().all(|(watermark, _)| *watermark == 0));
    let (folder, root) = backed_up(&world);
    let covered = watermarks(&world.data);
    assert!(covered.iter().all(|(watermark, head)| watermark == head && *head > 0), "{covered:?}");
    let phone = world.phone(0, "late");
    phone.put("event", event("other", "not in the backup", 90));
    world.take(&phone);
    assert!(watermarks(&world.data).iter().zip(&covered).all(|(now, then)| now.0 == then.0));
    restore(&folder, &root).unwrap();
    assert_eq!(watermarks(&DataDir::new(&root)), covered);
}

#[test]
fn a_backup_is_never_written_over_anything_and_leaves_nothing_when_it_fails() {
    let world = busy();
    let (folder, _) = backed_up(&world);
    let before = fs::read(folder.join("manifest.json")).unwrap();
    assert!(matches!(backup(&world.data, &folder, now()), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(folder.join("manifest.json")).unwrap(), before);

    fs::rename(world.data.relay_db(), world.root().join("elsewhere")).unwrap();
    let second = world.root().with_file_name("second");
    assert!(matches!(backup(&world.data, &second, now()), Err(BackupError::Database { .. })));
    assert_eq!(fs::read_dir(world.root().parent().unwrap()).unwrap().count(), 2);
    let nowhere = DataDir::new(world.root().join("none"));
    assert!(matches!(backup(&nowhere, &second, now()), Err(BackupError::NotInitialised(_))));
}

#[test]
fn a_backup_with_one_wrong_byte_anywhere_is_not_restored() {
    let world = busy();
    let (folder, root) = backed_up(&world);
    let files = all_files(&folder);
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let len = fs::metadata(&file).unwrap().len() as usize;
        let places = if file.ends_with("manifest.blake3") { vec![0] } else { vec![0, len / 2, len - 1] };
        for place in places {
            flip(&file, place);
            assert!(matches!(restore(&folder, &root), Err(RestoreError::Manifest(_))), "{}", file.display());
            assert!(!root.exists());
            flip(&file, place);
        }
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(restore(&folder, &root).is_err(), "without {}", file.display());
        fs::write(&file, kept).unwrap();
    }
    restore(&folder, &root).unwrap();
}

#[test]
fn a_manifest_leads_to_no_file_outside_the_backup() {
    let world = busy();
    let (folder, root) = backed_up(&world);
    let whole = Manifest::read(&folder).unwrap();
    for path in ["../outside", "/etc/hostname", "tls/../../outside", ""] {
        let mut manifest = whole.clone();
        manifest.files.push(ListedFile { path: path.to_owned(), ..manifest.files[0].clone() });
        manifest.write(&folder).unwrap();
        let refused = restore(&folder, &root).unwrap_err();
        assert!(matches!(refused, RestoreError::Manifest(ManifestError::Outside)), "{path}");
    }
    let newer = Manifest { format: 2, ..whole.clone() };
    newer.write(&folder).unwrap();
    let refused = restore(&folder, &root).unwrap_err();
    assert!(matches!(refused, RestoreError::Manifest(ManifestError::UnknownFormat(2))));
    let mut without = whole;
    without.files.retain(|file| file.path != "relay.key");
    without.write(&folder).unwrap();
    let refused = restore(&folder, &root).unwrap_err();
    assert!(matches!(refused, RestoreError::Manifest(ManifestError::Incomplete("relay.key"))));
    assert!(!root.exists());
}

#[test]
fn a_folder_with_anything_in_it_is_not_restored_into() {
    let world = busy();
    let (folder, root) = backed_up(&world);
    assert!(matches!(restore(&folder, world.root()), Err(RestoreError::NotEmpty(_))));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("notes.txt"), "mine").unwrap();
    assert!(matches!(restore(&folder, &root), Err(RestoreError::NotEmpty(_))));
    assert_eq!(fs::read(root.join("notes.txt")).unwrap(), b"mine");
    fs::remove_file(root.join("notes.txt")).unwrap();
    // What an interrupted restoring left served nobody.
    fs::create_dir(root.join("unfinished")).unwrap();
    fs::write(root.join("unfinished/log.db"), "half").unwrap();
    restore(&folder, &root).unwrap();
    assert!(matches!(restore(&folder, &root), Err(RestoreError::NotEmpty(_))));
}

#[test]
fn a_restored_relay_forgets_who_was_signed_in() {
    let world = busy();
    let relay_db = RelayDb::open(&world.data.relay_db()).unwrap();
    relay_db
        .lock()
        .execute_batch(
            "INSERT INTO session VALUES (x'01', 1, 0, 0);
             INSERT INTO login_token VALUES (x'02', 1, 0);
             INSERT INTO enrolment VALUES (x'03', x'04', '', 0, NULL);",
        )
        .unwrap();
    let (folder, root) = backed_up(&world);
    restore(&folder, &root).unwrap();
    let restored = Connection::open(root.join("relay.db")).unwrap();
    let count = |table: &str| -> i64 {
        restored.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("session"), count("login_token"), count("enrolment")), (0, 0, 0));
    assert_eq!(count("account"), 1);
}

#[test]
fn a_restored_relay_never_uses_a_number_of_its_chains_for_two_control_batches() {
    let mut world = busy();
    let reader = world.phone(0, "reader");
    let (folder, root) = backed_up(&world);
    // The phone holds a control batch that the backup does not.
    world.phone(0, "after the backup");
    world.give(&reader);
    let log = restore(&folder, &root).unwrap().log;
    let data = DataDir::new(&root);
    let device = Identity::generate().device();
    let signer = std::sync::Arc::new(keys::load(&data.organisation_key(world.organisations[0])).unwrap());
    let statement = admit_device(device, 1, world.organisations[0], "new", "patrol").unwrap();
    let own = OwnStatements { space: world.joint, signer, statements: vec![statement] };
    let mut writer = LogWriter::open(&data.log_db(), system_clock()).unwrap();
    writer.transact(|append| append.statements(&own)).unwrap();

    reader.store.reset_cursor(world.joint).unwrap();
    let page = LogReader::open(&data.log_db()).unwrap().read_after(world.joint, 0, usize::MAX, None).unwrap();
    let (offset, digest) = page.reached.unwrap();
    let news: Vec<_> = page.batches.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
    reader.store.ingest(world.joint, &news, Some(Cursor { log, offset, digest })).unwrap();
    assert!(reader.store.membership(world.joint).unwrap().device(device).is_some());
    is_clean(&check(&data).unwrap());
}

#[test]
fn a_sound_relay_checks_clean_while_it_is_used_and_nothing_is_left_behind() {
    let mut world = busy();
    let phone = world.phone(0, "late");
    let id = phone.put("event", event("other", "edited", 89));
    phone.patch("event", id, "note", Value::Text("since then".to_owned()));
    world.take(&phone);
    world.materialise();
    phone.put("event", event("other", "not in the views yet", 90));
    world.take(&phone);
    let checked = check(&world.data).unwrap();
    is_clean(&checked);
    assert_eq!(
        checked.views,
        Views::Compared { merged: 1 },
        "Automerge was asked of the record that was edited"
    );
    let held: u64 = world.log.state().spaces.values().map(|space| space.head).sum();
    assert_eq!((checked.log.batches, checked.log.spaces), (held, 3));
    let left = fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with("check-")));
    assert!(check(&DataDir::new(world.root().join("none"))).is_err());
}

/// What `check` finds after something was done to the log of a busy relay.
fn after(harm: impl FnOnce(&Connection)) -> Vec<Finding> {
    let world = busy();
    harm(&Connection::open(world.data.log_db()).unwrap());
    check(&world.data).unwrap().findings
}

fn after_sql(sql: &str) -> Vec<Finding> {
    after(|log| assert!(log.execute(sql, []).unwrap() > 0, "{sql}"))
}

/// Of the joint space, which is the first.
const JOINT: &str = "space = (SELECT min(number) FROM space)";

fn faults(findings: &[Finding]) -> Vec<&Fault> {
    let mut faults = Vec::new();
    for finding in findings {
        if let Finding::Log(fault) = finding {
            faults.push(fault);
        }
    }
    faults
}

#[test]
fn a_flipped_byte_in_a_batch_is_found_where_it_is() {
    let place = format!("{JOINT} AND batch_offset = 9");
    for part in [0.0, 0.1, 0.5, 0.99] {
        let findings = after(|log| {
            let select = format!("SELECT bytes FROM batch WHERE {place}");
            let mut bytes: Vec<u8> = log.query_row(&select, [], |row| row.get(0)).unwrap();
            let byte = (bytes.len() as f64 * part) as usize;
            bytes[byte] ^= 0x55;
            log.execute(&format!("UPDATE batch SET bytes = ?1 WHERE {place}"), [bytes]).unwrap();
        });
        assert!(matches!(faults(&findings)[..], [Fault::Batch { offset: 9, .. }]), "{part}: {findings:#?}");
    }
}

#[test]
fn a_missing_offset_is_found_with_the_chain_that_it_broke() {
    let findings = after_sql(&format!("DELETE FROM batch WHERE {JOINT} AND batch_offset = 9"));
    let faults = faults(&findings);
    assert!(matches!(faults[0], Fault::MissingOffsets { first: 9, last: 9, .. }), "{findings:#?}");
    assert!(faults[1..].iter().all(|fault| matches!(fault, Fault::Gap { .. })), "{findings:#?}");
    let findings = after_sql(&format!(
        "DELETE FROM batch WHERE {JOINT} AND batch_offset = (SELECT head FROM space ORDER BY number)"
    ));
    assert!(
        findings.iter().any(|finding| matches!(finding, Finding::Log(Fault::Total { what: "head", .. }))),
        "{findings:#?}"
    );
}

#[test]
fn numbers_that_are_not_those_of_the_batches_are_found() {
    type IsIt = fn(&Fault) -> bool;
    let cases: [(String, IsIt); 7] = [
        (format!("UPDATE batch SET received_at = 1, kind = 2 WHERE {JOINT} AND batch_offset = 9"), |fault| {
            matches!(fault, Fault::Column { offset: 9, column: "kind", .. })
        }),
        (format!("UPDATE batch SET cumulative_len = 1 + cumulative_len WHERE {JOINT}"), |fault| {
            matches!(fault, Fault::Column { column: "cumulative_len", .. })
        }),
        (format!("UPDATE batch SET id = zeroblob(32) WHERE {JOINT} AND batch_offset = 9"), |fault| {
            matches!(fault, Fault::Column { offset: 9, column: "id", .. })
        }),
        ("UPDATE chain SET seq = seq + 1 WHERE number = 5".to_owned(), |fault| {
            matches!(fault, Fault::Height { .. })
        }),
        ("UPDATE chain SET head = zeroblob(32) WHERE number = 5".to_owned(), |fault| {
            matches!(fault, Fault::Height { .. })
        }),
        ("UPDATE space SET len = len + 1".to_owned(), |fault| {
            matches!(fault, Fault::Total { what: "length", .. })
        }),
        ("DELETE FROM meta WHERE key = 'incarnation'".to_owned(), |fault| {
            matches!(fault, Fault::Meta("incarnation"))
        }),
    ];
    for (sql, is_it) in cases {
        let findings = after_sql(&sql);
        assert!(faults(&findings).into_iter().any(is_it), "{sql}: {findings:#?}");
    }
}

#[test]
fn batches_that_come_before_their_author_was_admitted_are_found() {
    // The admission of the third phone, and its last batch, in each other's place.
    let findings = after(|log| {
        let swap = [
            format!(
                "UPDATE batch SET batch_offset = -batch_offset WHERE {JOINT} AND batch_offset IN (7, 19)"
            ),
            "UPDATE batch SET batch_offset = 26 + batch_offset WHERE batch_offset < 0".to_owned(),
        ];
        for sql in swap {
            assert_eq!(log.execute(&sql, []).unwrap(), 2, "{sql}");
        }
    });
    let at = |sought: u64| {
        faults(&findings)
            .iter()
            .any(|fault| matches!(fault, Fault::NotPermitted { offset, .. } if *offset == sought))
    };
    assert!(at(7) && at(10) && !at(8) && !at(11), "{findings:#?}");
}

#[test]
fn a_cut_file_and_a_missing_one_are_found_and_the_rest_is_looked_at() {
    for (name, keep) in [("log.db", 0.5), ("log.db", 0.9), ("relay.db", 0.5), ("relay.key", 0.5)] {
        let world = busy();
        let (folder, root) = backed_up(&world);
        restore(&folder, &root).unwrap();
        let path = root.join(name);
        let len = fs::metadata(&path).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len((len as f64 * keep) as u64).unwrap();
        let findings = check(&DataDir::new(&root)).unwrap().findings;
        assert!(!findings.is_empty(), "{name} cut to {keep}");
        assert!(findings.iter().all(|finding| finding.to_string().contains(name)), "{findings:#?}");
        if name != "relay.key" {
            fs::remove_file(&path).unwrap();
            let findings = check(&DataDir::new(&root)).unwrap().findings;
            assert!(matches!(findings[..], [Finding::Missing(_)]), "{findings:#?}");
        }
    }
}

#[test]
fn views_that_do_not_show_the_log_are_found() {
    let world = busy();
    let views = Connection::open(world.data.views_db()).unwrap();
    let changed = "UPDATE record SET created_at = created_at + 1 WHERE id = (SELECT min(id) FROM record)";
    views.execute(changed, []).unwrap();
    drop(views);
    let findings = check(&world.data).unwrap().findings;
    assert!(findings.iter().any(|finding| matches!(finding, Finding::ViewsDiffer(_))), "{findings:#?}");
}

mod attachments {
    use std::time::Duration;

    use barid_core::id::{AttachmentHash, DeviceId};

    use super::*;
    use crate::blob::{BlobId, PartId, Put};

    fn photo(world: &World, seed: u8) -> (PartId, Vec<u8>) {
        let bytes: Vec<u8> = (0..5000).map(|place| (place as u8).wrapping_mul(seed)).collect();
        let hash = AttachmentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
        let blob = BlobId { space: world.joint, hash };
        (PartId { blob, device: DeviceId::from_bytes([seed; 32]) }, bytes)
    }

    fn with_photos(world: &World) -> (FileBlobs, Vec<BlobId>) {
        let blobs = FileBlobs::new(world.data.attachments());
        let mut held = Vec::new();
        for seed in 1..=5 {
            let (part, bytes) = photo(world, seed);
            assert_eq!(blobs.put(part, 5000, 0, &bytes).unwrap(), Put::Whole);
            held.push(part.blob);
        }
        let (part, bytes) = photo(world, 6);
        blobs.put(part, 5000, 0, &bytes[..1000]).unwrap();
        held.sort();
        (blobs, held)
    }

    #[test]
    fn photos_that_are_whole_come_back_and_what_was_arriving_comes_again() {
        let world = busy();
        let (_, held) = with_photos(&world);
        let (folder, root) = backed_up(&world);
        restore(&folder, &root).unwrap();
        let restored = DataDir::new(&root);
        let blobs = FileBlobs::new(restored.attachments());
        let mut listed: Vec<_> = blobs.list().unwrap().into_iter().map(|(blob, _)| blob).collect();
        listed.sort();
        assert_eq!(listed, held);
        assert_eq!(blobs.sweep(Duration::from_secs(60)).unwrap(), []);
        let checked = check(&restored).unwrap();
        is_clean(&checked);
        assert_eq!(checked.attachments, 5);
    }

    #[test]
    fn a_spoiled_photo_is_found_and_left_out_of_backups_and_the_others_are_not() {
        let world = busy();
        let (blobs, held) = with_photos(&world);
        flip(&blobs.path(held[2]), 700);
        let checked = check(&world.data).unwrap();
        assert!(
            matches!(&checked.findings[..], [Finding::Attachment(space, hash)] if *space == world.joint && *hash == held[2].hash),
            "{:?}",
            checked.findings
        );
        let (folder, root) = backed_up(&world);
        restore(&folder, &root).unwrap();
        let restored = DataDir::new(&root);
        assert_eq!(FileBlobs::new(restored.attachments()).list().unwrap().len(), 4);
        is_clean(&check(&restored).unwrap());
    }

    #[test]
    fn a_photo_spoiled_in_the_backup_is_found_before_anything_is_restored() {
        let world = busy();
        let (_, held) = with_photos(&world);
        let (folder, root) = backed_up(&world);
        flip(&FileBlobs::new(folder.join("attachments")).path(held[0]), 1);
        assert!(matches!(
            restore(&folder, &root),
            Err(RestoreError::Manifest(ManifestError::Differs(path))) if path.starts_with("attachments/")
        ));
        assert!(!root.exists());
    }
}
