use std::sync::Arc;

use super::*;
use crate::bundle::import;
use crate::clock::system_clock;
use crate::control::revoke_device_and_ask_wipe;
use crate::device::DeviceConfig;
use crate::exchange::fixture::World;
use crate::id::{RecordId, SpaceId};
use crate::model::{Fields, Kinds};
use crate::store::{Store, StoreConfig};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);

fn open(path: &Path) -> Device {
    Device::open(DeviceConfig {
        path: Some(path.to_owned()),
        seed: [1; 32].into(),
        kinds: Kinds::built_in(),
        clock: system_clock(),
        key: None,
    })
    .unwrap()
}

fn record(device: &Device) -> RecordId {
    device.store().join_space(SPACE).unwrap();
    device.store().write(|group| group.put(SPACE, "event", None, Fields::new())).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_wipe_refuses_while_there_is_unsent_work_and_the_device_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let device = open(&folder.path().join("a.db"));
    let id = record(&device);
    let failed = device.wipe(&WipeMode::RefuseIfUnsent, &Cancel::new()).unwrap_err();
    let WipeError::Unsent(unsent) = failed.error else { panic!("{}", failed.error) };
    assert_eq!((unsent.records, unsent.changes), (1, 1));
    let device = failed.device.unwrap();
    assert!(device.store().get(SPACE, "event", id).unwrap().is_some());
    let failed = device.wipe(&WipeMode::ExportFirst(folder.path().join("x")), &Cancel::new()).unwrap_err();
    assert!(matches!(failed.error, WipeError::Export(BundleExportError::NotEnrolled)));
    assert!(record(&failed.device.unwrap()) != id);
}

#[test]
fn a_wipe_leaves_nothing_of_the_store_and_everything_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let others = ["a.db.bak", "b.db", "notes-a.db-wal"];
    for other in others {
        std::fs::write(folder.path().join(other), b"x").unwrap();
    }
    for ours in ["a.db-attachments", "a.db-attachments-wal", "a.db-attachments.damaged-1"] {
        std::fs::write(folder.path().join(ours), b"x").unwrap();
    }
    let device = open(&path);
    record(&device);
    let report = device.wipe(&WipeMode::Force, &Cancel::new()).unwrap();
    assert_eq!((report.unsent.records, report.exported), (1, None));
    assert_eq!(names(folder.path()), others);
    // The place can be used again.
    let device = open(&path);
    assert!(device.unsent().unwrap().is_nothing());
    device.wipe(&WipeMode::RefuseIfUnsent, &Cancel::new()).unwrap();
    assert_eq!(names(folder.path()), others);
}

#[test]
fn a_damaged_database_that_was_not_brought_back_is_unsent_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(open(&path));
    std::fs::write(&path, b"no database any more, and long enough to be one").unwrap();
    let config = || DeviceConfig {
        path: Some(path.clone()),
        seed: [1; 32].into(),
        kinds: Kinds::built_in(),
        clock: system_clock(),
        key: None,
    };
    let crate::store::OpenError::Damaged { kept_as } = Device::open(config()).unwrap_err() else {
        panic!("it is damaged")
    };
    let device = open(&path);
    assert_eq!(device.unsent().unwrap().damaged_files, 1);
    let failed = device.wipe(&WipeMode::RefuseIfUnsent, &Cancel::new()).unwrap_err();
    assert!(matches!(failed.error, WipeError::Unsent(_)));
    drop(failed);
    let identity = Arc::new(crate::identity::Identity::from_seed([1; 32]));
    Store::recover(&kept_as, StoreConfig::device(&path, identity)).unwrap();
    let device = open(&path);
    assert_eq!(device.unsent().unwrap().damaged_files, 0);
    device.wipe(&WipeMode::RefuseIfUnsent, &Cancel::new()).unwrap();
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn what_is_unsent_is_sealed_to_the_organisation_when_a_revoke_asks_for_the_wipe() {
    let mut world = World::new();
    world.admit(1);
    let folder = tempfile::tempdir().unwrap();
    let device = open(&folder.path().join("a.db"));
    device.store().join_space(world.space).unwrap();
    device.store().ingest_carried(world.space, &world.control).unwrap();
    device.store().write(|group| group.put(world.space, "event", None, Fields::new())).unwrap();
    assert!(!device.is_wipe_asked().unwrap());
    world.say(&revoke_device_and_ask_wipe(device.id(), "lost", Vec::new()).unwrap());
    device.store().ingest_carried(world.space, &world.control).unwrap();
    assert!(device.is_wipe_asked().unwrap());

    let bundle = folder.path().join("unsent.barid");
    let organisation = crate::identity::Identity::from_seed([0xaa; 32]);
    let report = device.wipe(&WipeMode::ExportFirst(bundle.clone()), &Cancel::new()).unwrap();
    assert!(report.exported.is_some_and(|report| report.batches > 0));
    assert_eq!(names(folder.path()), ["unsent.barid"]);
    let reader = Store::open(StoreConfig::in_memory()).unwrap();
    reader.join_space(world.space).unwrap();
    let file = std::fs::File::open(&bundle).unwrap();
    let report = import(&reader, &organisation, file, &Cancel::new(), |_, _| {}).unwrap();
    assert!(report.is_whole(), "{report:?}");
    // Beyond the cut it does not stand; it is there for whoever decides on it.
    assert!(report.tally.quarantined > 0, "{:?}", report.tally);
}
