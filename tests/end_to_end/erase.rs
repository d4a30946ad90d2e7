//! A record that must go: its content is in no file any more, and does not come back.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use barid_core::batch::SealedBatch;
use barid_core::model::event;
use barid_core::store::WriteGroup;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::relay::Relay;
use harness::wait::until;

/// Words of the record to be erased: no other has them.
const SECRET: [&str; 3] = ["Qasr-Larocu-9713", "نقطة الماء السرية ٩٧١٣", "edited Larocu-9714"];

/// Bytes of a needle that are looked for first.
const BEGIN_LEN: usize = 8;

/// What must be in no file: the words in UTF-8, and pieces of the body, perhaps compressed, of the
/// newest batch, which carries them and nothing else; but for what `common` has too.
fn needles(relay: &Relay, common: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let log = rusqlite::Connection::open_with_flags(relay.folder().join("log.db"), flags).unwrap();
    let sql = "SELECT bytes FROM batch WHERE kind = 1 ORDER BY number DESC LIMIT 1";
    let bytes: Vec<u8> = log.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(SealedBatch::parse(bytes.clone()).unwrap().header().count, 1);
    let header_len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let pieces = bytes[2 + header_len + 64..].chunks_exact(24).map(<[u8]>::to_vec);
    let is_common = |piece: &Vec<u8>| !holding(common, std::slice::from_ref(piece)).is_empty();
    let pieces: Vec<_> = pieces.filter(|piece| !is_common(piece)).collect();
    assert!(pieces.len() >= 3, "of the body there are pieces that nothing else has");
    SECRET.iter().map(|word| word.as_bytes().to_vec()).chain(pieces).collect()
}

/// Every file below a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // One that is gone by now holds nothing.
            all.push((name, std::fs::read(&path).unwrap_or_default()));
        }
    }
    all
}

/// The files that hold one of the needles.
fn holding(files: &[(String, Vec<u8>)], needles: &[Vec<u8>]) -> Vec<String> {
    let begins: HashSet<&[u8]> = needles.iter().map(|needle| &needle[..BEGIN_LEN]).collect();
    let held = |bytes: &[u8]| {
        let (at, _) = bytes.windows(BEGIN_LEN).enumerate().find(|(at, begin)| {
            begins.contains(begin) && needles.iter().any(|needle| bytes[*at..].starts_with(needle))
        })?;
        needles.iter().position(|needle| bytes[at..].starts_with(needle))
    };
    let found =
        files.iter().filter_map(|(name, bytes)| Some(format!("{name} holds the needle {}", held(bytes)?)));
    found.collect()
}

#[test]
fn the_content_of_an_erased_record_is_in_no_file_and_does_not_come_back_with_a_phone_that_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    let mut west = Phone::enrol(&relay, folder.path(), "west");
    let mut away = Phone::enrol(&relay, folder.path(), "away");
    // One in Arabic and one in English, so that what is looked for later is in neither.
    let kept = east.put_event(event_fields(2));
    east.sync_once();
    east.put_event(event_fields(3));
    east.sync_once();
    let common = files(folder.path());
    let mut fields = event_fields(5);
    fields.insert("title".to_owned(), SECRET[0].into());
    fields.insert("note".to_owned(), SECRET[1].into());
    let erased = east.put_event(fields);
    east.sync_once();
    let needles = needles(&relay, &common);
    let holding = || holding(&files(folder.path()), &needles);
    for phone in [&mut east, &mut west, &mut away] {
        phone.connect();
    }
    for phone in [&east, &west, &away] {
        until("the phone has all", PATIENCE, || (phone.events().len() == 3).then_some(()));
        phone.wait_synced();
    }
    // One goes away and edits what is erased meanwhile, and something else in the same write.
    away.disconnect();
    let title = |text: &str| [("title".to_owned(), Some(text.into()))].into();
    let edit = |group: &mut WriteGroup<'_, '_>| {
        group.patch(away.space, event::NAME, erased, title(SECRET[2]))?;
        group.patch(away.space, event::NAME, kept, title("another title"))
    };
    away.device.store().write(edit).unwrap();
    let before = holding();
    for file in ["log.db", "views.db", "east.db", "west.db", "away.db"] {
        assert!(before.iter().any(|found| found.starts_with(file)), "{file}: {before:?}");
    }

    let record = erased.to_string();
    let refused = relay.try_ask(&["erase", "event", &record, "--space", "Joint centre"]);
    assert!(!refused.0 && refused.1.contains("--yes"), "{}", refused.1);
    relay.ask(&["erase", "event", &record, "--space", "Joint centre", "--yes"]);
    for phone in [&east, &west] {
        until("the phone has erased it", PATIENCE, || phone.event(erased).is_none().then_some(()));
    }
    away.connect();
    until("the phone that was away has erased it", PATIENCE, || away.event(erased).is_none().then_some(()));
    for phone in [&east, &west, &away] {
        until("the other edit is everywhere", PATIENCE, || {
            let title = phone.event(kept)?.fields.get("title")?.as_text()?.to_owned();
            (title == "another title").then_some(())
        });
        phone.wait_synced();
        assert_eq!(phone.events().len(), 2);
        assert_eq!(phone.digest(), east.digest());
    }

    // A new phone never sees it.
    let mut new = Phone::enrol(&relay, folder.path(), "new");
    new.sync_once();
    assert_eq!((new.events().len(), new.digest()), (2, east.digest()));

    // While all of them run, and after they have ended.
    let begun = Instant::now();
    until("no file holds it while everything runs", Duration::from_secs(30), || {
        let found = holding();
        if begun.elapsed() > Duration::from_secs(28) {
            println!("{found:?}");
        }
        found.is_empty().then_some(())
    });
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
    assert!(relay.ask(&["trail"]).contains("erase"));
    drop((east, west, away, new));
    relay.stop();
    assert_eq!(holding(), Vec::<String>::new());
    relay.start();
    let again = Phone::again(&relay, &PhoneFiles::new(folder.path(), "west"));
    assert!(again.event(erased).is_none());
}
