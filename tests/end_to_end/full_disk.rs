//! A disk with no room, at every step: a typed error, nothing lost, and all goes on when there is room.
//!
//! The disk is a small file system in memory, which only root may mount: elsewhere these tests say
//! that they were skipped.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use barid_core::device::Device;
use barid_core::id::RecordId;
use barid_core::store::WriteError;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::relay::Relay;
use harness::wait::until;

/// A small disk. Dropping it unmounts it.
struct Disk {
    at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("disk");
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(&at);
        let mounted = mount.output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: a small disk cannot be mounted here");
            return None;
        }
        Some(Self { at, _folder: folder })
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// Fills the disk but for so many bytes, rounded up to pages.
    fn leave(&self, bytes: u64) {
        self.make_room();
        let mut filler = fs::File::create(self.filler()).unwrap();
        let page = [0; 4096];
        while filler.write_all(&page).is_ok() {}
        let len = filler.metadata().unwrap().len();
        filler.set_len(len.saturating_sub(bytes.next_multiple_of(4096))).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.at).status().ok();
    }
}

/// Room that is left, in KiB: enough for nothing, for a part, for all of it.
fn rooms() -> impl Iterator<Item = u64> {
    (0..64).step_by(4).chain((64..512).step_by(32))
}

#[test]
fn a_phone_whose_disk_is_full_says_so_and_loses_nothing() {
    let Some(disk) = Disk::mount(8) else { return };
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let files = PhoneFiles::new(&disk.at, "phone");
    drop(Phone::enrol(&relay, &disk.at, "phone"));
    let (mut recorded, mut refused) = (BTreeSet::<RecordId>::new(), 0);
    for kibibytes in rooms() {
        let device = files.open();
        let space = device.enrolment().unwrap().unwrap().spaces[0];
        disk.leave(kibibytes * 1024);
        let write = |group: &mut barid_core::store::WriteGroup<'_, '_>| {
            (0..20)
                .map(|number| group.put(space, "event", None, event_fields(number)))
                .collect::<Result<Vec<_>, _>>()
        };
        for _ in 0..4 {
            match device.store().write(write) {
                Ok(ids) => recorded.extend(ids),
                Err(WriteError::Store(error)) if error.is_full() => refused += 1,
                Err(error) => panic!("{kibibytes} KiB left: {error:?}"),
            }
        }
        // What was recorded is there, now and after the app was killed; what was refused is not.
        assert_all(&device, &recorded, kibibytes);
        let opened_full = files_opened_as(&files, device);
        disk.make_room();
        assert_all(&opened_full.unwrap_or_else(|| files.open()), &recorded, kibibytes);
    }
    println!("{refused} writes refused for want of room, {} records recorded, 0 lost", recorded.len());
    assert!(refused > 10 && recorded.len() > 100);
    let device = files.open();
    device
        .store()
        .write(|group| {
            group.put(device.enrolment().unwrap().unwrap().spaces[0], "event", None, event_fields(1))
        })
        .unwrap();
    assert_eq!(device.store().counts().unwrap().records, recorded.len() as u64 + 1);
    drop(device);
    let mut phone = Phone::again(&relay, &files);
    phone.sync_once();
    assert_eq!(relay.stored_changes(), recorded.len() as u64 + 1);
}

/// Opens the database again while the disk is full: it opens, or says why not, and harms nothing.
fn files_opened_as(files: &PhoneFiles, device: Device) -> Option<Device> {
    drop(device);
    let opened = files.try_open();
    if let Err(error) = &opened {
        assert!(
            !matches!(error, barid_core::store::OpenError::Damaged { .. }),
            "a full disk is no damage: {error:?}"
        );
    }
    opened.ok()
}

fn assert_all(device: &Device, recorded: &BTreeSet<RecordId>, kibibytes: u64) {
    let space = device.enrolment().unwrap().unwrap().spaces[0];
    for id in recorded {
        let held = device.store().get(space, "event", *id).unwrap();
        assert!(held.is_some(), "{kibibytes} KiB left: {id} is lost");
    }
    assert_eq!(device.store().counts().unwrap().records, recorded.len() as u64, "{kibibytes} KiB left");
}

#[test]
fn a_phone_that_has_no_room_for_what_the_relay_sends_takes_it_when_there_is_room() {
    let Some(disk) = Disk::mount(8) else { return };
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut writer = Phone::enrol(&relay, folder.path(), "writer");
    let mut reader = Phone::enrol(&relay, &disk.at, "reader");
    reader.sync_once();
    writer.connect();
    let mut count = 0;
    for kibibytes in [0, 8, 32, 64, 128, 256] {
        disk.leave(kibibytes * 1024);
        for number in 0..60 {
            writer.put_event(event_fields(number));
        }
        count += 60;
        writer.wait_synced();
        reader.connect();
        until("the reader has met the full disk, or had room", Duration::from_secs(20), || {
            let status = reader.status();
            (status.error.is_some() || reader.events().len() == count).then_some(())
        });
        disk.make_room();
        reader.disconnect();
        reader.connect();
        until("everything is here once there is room", PATIENCE, || {
            (reader.events().len() == count).then_some(())
        });
        reader.disconnect();
    }
    assert_eq!(reader.digest(), writer.digest());
}

#[test]
fn a_relay_whose_disk_is_full_acknowledges_nothing_that_it_did_not_store_and_goes_on_by_itself() {
    let Some(disk) = Disk::mount(24) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(&disk.at);
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    let mut recorded = 0;
    let mut met = 0;
    for kibibytes in [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384] {
        disk.leave(kibibytes * 1024);
        for number in 0..200 {
            phone.put_event(event_fields(number));
        }
        recorded += 200;
        phone.connect();
        // Either it fits, or the link says that it does not.
        until("the relay has met its full disk, or had room", Duration::from_secs(30), || {
            let status = phone.status();
            (status.error.is_some() || status.unsent_records == 0).then_some(())
        });
        phone.disconnect();
        let unsent = phone.device.store().counts().unwrap().unsent_records;
        met += u64::from(unsent > 0);
        let acknowledged = recorded - unsent;
        assert!(relay.stored_changes() >= acknowledged, "{kibibytes} KiB left: acknowledged and not stored");
        if kibibytes % 16 == 0 {
            // Killed with its disk full, too.
            relay.kill();
            disk.make_room();
            relay.start();
        } else {
            disk.make_room();
        }
        phone.connect();
        phone.wait_synced();
        phone.disconnect();
        assert_eq!(relay.stored_changes(), recorded, "{kibibytes} KiB left");
    }
    println!("the relay's disk was full {met} times; {recorded} records, 0 lost");
    assert!(met >= 4);
    relay.stop();
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}
