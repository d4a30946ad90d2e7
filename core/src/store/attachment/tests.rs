//! What is attached is durable and found again; what others attached comes by itself, as far as it should.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::super::fixture::{World, event};
use super::super::{ChangePlace, News, Store, StoreConfig, StoreError, WriteGroup};
use super::note::{NOTE_EVERY, none_up_to};
use super::{AttachError, Attachment, AttachmentState};
use crate::attachment::{
    AttachmentFetch, AttachmentKept, AttachmentOffer, AttachmentRefusal, PrepareError, prepare,
};
use crate::control::erase;
use crate::id::{AttachmentHash, RecordId, SpaceId};

/// A picture that only its bytes say to be one, so that no thumbnail can be made of it.
fn picture(number: u8, len: usize) -> Vec<u8> {
    let mut scan = vec![0; len];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut scan);
    scan.retain(|byte| *byte != 0xff);
    let segment = |marker: u8, payload: &[u8]| {
        [&[0xff, marker][..], &(payload.len() as u16 + 2).to_be_bytes(), payload].concat()
    };
    [&[0xff, 0xd8][..], &segment(0xc0, &[0; 9]), &segment(0xda, &[0; 6]), &scan, &[0xff, 0xd9]].concat()
}

/// A record of an event.
fn record(store: &Store, space: SpaceId) -> RecordId {
    store.write(|group| group.put(space, "event", None, event("وادي", 26.5, 14.25))).unwrap()
}

fn one(store: &Store, space: SpaceId, record: RecordId) -> Attachment {
    let attachments = store.attachments(space, "event", record).unwrap();
    assert_eq!(attachments.len(), 1);
    attachments[0]
}

fn offers(store: &Store) -> Vec<AttachmentOffer> {
    store.moving_attachments(100, 0, &BTreeSet::new()).unwrap().0
}

fn fetches(store: &Store) -> Vec<AttachmentFetch> {
    store.moving_attachments(0, 100, &BTreeSet::new()).unwrap().1
}

/// Brings an attachment from one store to another in parts of some length.
fn carry(from: &Store, to: &Store, space: SpaceId, hash: AttachmentHash, part_len: usize) -> AttachmentKept {
    let len = from.attachment_bytes(space, hash).unwrap().unwrap().len() as u64;
    let mut offset = 0;
    loop {
        let part = from.attachment_part(space, hash, offset, part_len).unwrap().unwrap();
        match to.keep_attachment_part(space, hash, len, offset, &part).unwrap() {
            AttachmentKept::Part { held } => offset = held,
            kept => return kept,
        }
    }
}

#[test]
fn what_is_attached_is_said_by_the_record_and_read_again_whole_and_in_parts() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let id = record(&store, space);
    let bytes = picture(1, 200_000);
    let attached = store.attach(space, "event", id, &bytes, Some(&picture(2, 3_000))).unwrap();
    assert_eq!(one(&store, space, id), attached);
    let local = AttachmentState::Local { sent_len: 0, refusal: None };
    assert_eq!(attached.state, local);
    assert!(attached.thumbnail.is_some_and(|(_, state)| state == local));
    let kept = prepare(&bytes).unwrap();
    assert_eq!((attached.hash, attached.len), (kept.hash, kept.bytes.len() as u64));
    assert_eq!(store.attachment_bytes(space, attached.hash).unwrap().unwrap(), kept.bytes);
    for (offset, len) in [(0, 1), (65_535, 2), (65_536, 70_000), (100_000, 1 << 20), (kept.bytes.len(), 5)] {
        let part = store.attachment_part(space, attached.hash, offset as u64, len).unwrap().unwrap();
        assert_eq!(part, kept.bytes[offset..(offset + len).min(kept.bytes.len())], "{offset}");
    }
    assert_eq!(store.attachment_part(space, attached.hash, attached.len + 1, 5).unwrap(), None);
    // Again, it changes nothing; in another space it is not known.
    let before = store.revision().unwrap();
    assert_eq!(store.attach(space, "event", id, &bytes, Some(&picture(2, 3_000))).unwrap(), attached);
    assert_eq!(store.revision().unwrap(), before);
    assert_eq!(store.attachment_bytes(SpaceId::from_bytes([5; 32]), attached.hash).unwrap(), None);
    let unsent = store.unsent_attachments().unwrap();
    assert_eq!(unsent.attachments, 1);
    assert_eq!(unsent.len, offers(&store).iter().map(|offer| offer.len).sum::<u64>());
}

#[test]
fn what_cannot_be_attached_leaves_nothing_behind() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let nobody = RecordId::from_bytes([7; 16]);
    let error = store.attach(space, "event", nobody, &picture(1, 50), None).unwrap_err();
    assert!(matches!(error, AttachError::Record(_)), "{error:?}");
    let id = record(&store, space);
    let error = store.attach(space, "event", id, b"%PDF-1.7", None).unwrap_err();
    assert!(matches!(error, AttachError::Picture(PrepareError::UnsupportedType)), "{error:?}");
    let error = store.attach(space, "event", id, &picture(1, 50), Some(b"GIF89a")).unwrap_err();
    assert!(matches!(error, AttachError::Thumbnail(PrepareError::UnsupportedType)), "{error:?}");
    assert!(offers(&store).is_empty() && store.attachments(space, "event", id).unwrap().is_empty());
}

#[test]
fn others_thumbnails_are_wanted_by_themselves_the_newest_first_and_originals_when_asked() {
    let mut world = World::new();
    let (mine, other, space) = (world.device(1, 0), world.device(2, 1), world.space);
    let ids = [0, 1, 2].map(|number| {
        let id = record(&mine, space);
        let small = picture(100 + number, 2_000);
        mine.attach(space, "event", id, &picture(number, 30_000), Some(&small)).unwrap();
        id
    });
    world.upload(&mine);
    let news = other.subscribe();
    world.download(&other);
    let thumbnails: Vec<_> = ids.iter().map(|id| one(&mine, space, *id).thumbnail.unwrap().0).collect();
    let wanted: Vec<_> = fetches(&other).iter().map(|fetch| fetch.hash).collect();
    assert_eq!(wanted.iter().rev().collect::<Vec<_>>(), thumbnails.iter().collect::<Vec<_>>());
    assert_eq!(one(&other, space, ids[0]).state, AttachmentState::Remote);
    while news.try_recv().is_ok() {}
    assert_eq!(carry(&mine, &other, space, thumbnails[0], 700), AttachmentKept::Whole);
    assert!(matches!(news.try_recv(), Ok(News::Changed(changed)) if changed[0].id == ids[0]));
    assert_eq!(one(&other, space, ids[0]).thumbnail, Some((thumbnails[0], AttachmentState::Delivered)));

    let version = other.attachments_version();
    let hash = one(&other, space, ids[1]).hash;
    other.fetch_attachment(space, hash).unwrap();
    assert!(other.attachments_version() > version);
    assert_eq!(one(&other, space, ids[1]).state, AttachmentState::Fetching { held_len: 0 });
    // Thumbnails still go first.
    assert_eq!(fetches(&other).last().map(|fetch| fetch.hash), Some(hash));
    assert_eq!(carry(&mine, &other, space, hash, 16_384), AttachmentKept::Whole);
    assert_eq!(other.attachment_bytes(space, hash).unwrap(), mine.attachment_bytes(space, hash).unwrap());
    assert!(offers(&other).is_empty(), "what came from the relay is not offered to it");
    assert_eq!(carry(&mine, &other, space, hash, 16_384), AttachmentKept::Unwanted);
}

#[test]
fn what_comes_harmed_or_out_of_place_is_not_shown() {
    let mut world = World::new();
    let (mine, other, space) = (world.device(1, 0), world.device(2, 1), world.space);
    let id = record(&mine, space);
    let attached = mine.attach(space, "event", id, &picture(1, 10_000), None).unwrap();
    world.upload(&mine);
    world.download(&other);
    let (hash, len) = (attached.hash, attached.len);
    let bytes = mine.attachment_bytes(space, hash).unwrap().unwrap();
    assert_eq!(other.keep_attachment_part(space, hash, len, 0, &bytes).unwrap(), AttachmentKept::Unwanted);
    other.fetch_attachment(space, hash).unwrap();
    let keep =
        |offset: u64, bytes: &[u8]| other.keep_attachment_part(space, hash, len, offset, bytes).unwrap();
    assert_eq!(keep(5, &bytes[5..10]), AttachmentKept::Part { held: 0 });
    assert_eq!(keep(0, &bytes[..5_000]), AttachmentKept::Part { held: 5_000 });
    assert_eq!(other.attachment_bytes(space, hash).unwrap(), None);
    assert_eq!(one(&other, space, id).state, AttachmentState::Fetching { held_len: 5_000 });
    let mut harmed = bytes[5_000..].to_vec();
    harmed[17] ^= 1;
    assert_eq!(keep(5_000, &harmed), AttachmentKept::Harmed);
    assert_eq!(keep(0, &bytes), AttachmentKept::Whole);
}

#[test]
fn an_original_is_freed_once_a_backup_has_it_and_can_be_fetched_again() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let id = record(&store, space);
    let bytes = picture(1, 300_000);
    let attached = store.attach(space, "event", id, &bytes, Some(&picture(2, 900))).unwrap();
    let (hash, thumbnail) = (attached.hash, attached.thumbnail.unwrap().0);
    assert_eq!(store.free_attachments(space).unwrap(), 0, "it is nowhere else");
    store.acknowledge_attachment(space, hash, 7).unwrap();
    store.acknowledge_attachment(space, thumbnail, 7).unwrap();
    assert_eq!(one(&store, space, id).state, AttachmentState::Delivered);
    assert!(offers(&store).is_empty());
    for watermark in [0, 6, 7] {
        store.set_watermark(space, watermark).unwrap();
        assert_eq!(store.free_attachments(space).unwrap(), 0, "{watermark}");
    }
    store.set_watermark(space, 8).unwrap();
    assert_eq!(store.free_attachments(space).unwrap(), attached.len);
    assert_eq!(one(&store, space, id).state, AttachmentState::Remote);
    assert!(store.attachment_bytes(space, thumbnail).unwrap().is_some(), "the list still shows it");
    store.fetch_attachment(space, hash).unwrap();
    assert_eq!(fetches(&store).len(), 1);
    // Attached again it is here again.
    store.attach(space, "event", id, &bytes, Some(&picture(2, 900))).unwrap();
    assert_eq!(offers(&store).len(), 1);
}

#[test]
fn a_relay_with_another_log_is_offered_everything_again() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let id = record(&store, space);
    let attached = store.attach(space, "event", id, &picture(1, 3_000), None).unwrap();
    store.attachment_not_taken(space, attached.hash, AttachmentRefusal::Full).unwrap();
    let refused = AttachmentState::Local { sent_len: 0, refusal: Some(AttachmentRefusal::Full) };
    assert_eq!(one(&store, space, id).state, refused);
    store.attachment_held_there(space, attached.hash, 1_000).unwrap();
    assert_eq!(store.unsent_attachments().unwrap().len, attached.len - 1_000);
    store.acknowledge_attachment(space, attached.hash, 7).unwrap();
    assert_eq!(store.unsent_attachments().unwrap().len, 0);
    store.reset_cursor(space).unwrap();
    assert_eq!(offers(&store).len(), 1);
    store.acknowledge_attachment(space, attached.hash, 1).unwrap();
    store.seek_attachments(space, &[AttachmentHash::from_bytes([1; 32]), attached.hash]).unwrap();
    assert_eq!(offers(&store).len(), 1);
}

#[test]
fn erasing_a_record_drops_what_only_it_mentions_on_every_device() {
    let mut world = World::new();
    let (mine, other, space) = (world.device(1, 0), world.device(2, 1), world.space);
    let ids = [record(&mine, space), record(&mine, space)];
    let (shared, only) = (picture(1, 5_000), picture(2, 5_000));
    let shared = ids.map(|id| mine.attach(space, "event", id, &shared, None).unwrap())[0].hash;
    let only = mine.attach(space, "event", ids[0], &only, None).unwrap().hash;
    world.upload(&mine);
    world.download(&other);
    for hash in [shared, only] {
        other.fetch_attachment(space, hash).unwrap();
        carry(&mine, &other, space, hash, 16_384);
    }
    world.control(&[erase("event", ids[0]).unwrap()]);
    for store in [&mine, &other] {
        world.download(store);
        assert!(store.attachment_bytes(space, shared).unwrap().is_some());
        assert_eq!(store.attachment_bytes(space, only).unwrap(), None);
        assert!(store.attachments(space, "event", ids[0]).unwrap().is_empty());
    }
    assert_eq!(offers(&mine).len(), 1);
}

#[test]
fn what_is_taken_off_a_record_stays_where_others_may_have_it() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let id = record(&store, space);
    let hash = store.attach(space, "event", id, &picture(1, 5_000), None).unwrap().hash;
    store.detach(space, "event", id, hash).unwrap();
    assert!(store.attachments(space, "event", id).unwrap().is_empty());
    assert!(store.attachment_bytes(space, hash).unwrap().is_some());
}

#[test]
fn two_phones_that_attach_to_one_record_offline_both_do() {
    let mut world = World::new();
    let (mine, other, space) = (world.device(1, 0), world.device(2, 1), world.space);
    let id = record(&mine, space);
    world.upload(&mine);
    world.download(&other);
    mine.attach(space, "event", id, &picture(1, 500), None).unwrap();
    other.attach(space, "event", id, &picture(2, 500), None).unwrap();
    world.upload(&mine);
    world.upload(&other);
    for store in [&mine, &other] {
        world.download(store);
        assert_eq!(store.attachments(space, "event", id).unwrap().len(), 2);
        assert_eq!(store.get(space, "event", id).unwrap().unwrap().conflicts, 0);
    }
}

fn in_file(world: &World, path: &Path) -> Store {
    let store = Store::open(StoreConfig { path: Some(path.to_owned()), ..world.config(1) }).unwrap();
    store.join_space(world.space).unwrap();
    store
}

fn album(path: &Path) -> PathBuf {
    super::super::lock::beside(path, "-attachments")
}

#[test]
fn a_store_that_attaches_nothing_has_no_second_file_and_one_that_does_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (world, path) = (World::new(), folder.path().join("a.db"));
    let space = world.space;
    let store = in_file(&world, &path);
    let id = record(&store, space);
    assert!(!album(&path).exists() && store.attachments(space, "event", id).unwrap().is_empty());
    assert_eq!(store.unsent_attachments().unwrap(), Default::default());
    let attached = store.attach(space, "event", id, &picture(1, 100_000), None).unwrap();
    let bytes = store.attachment_bytes(space, attached.hash).unwrap();
    store.fetch_attachment(space, AttachmentHash::from_bytes([4; 32])).unwrap();
    drop(store);
    let store = in_file(&world, &path);
    assert_eq!(one(&store, space, id), attached);
    assert_eq!(store.attachment_bytes(space, attached.hash).unwrap(), bytes);
    assert_eq!((offers(&store).len(), fetches(&store).len()), (1, 1));
}

#[test]
fn a_damaged_file_is_set_aside_and_no_record_is_harmed() {
    let folder = tempfile::tempdir().unwrap();
    let (world, path) = (World::new(), folder.path().join("a.db"));
    let space = world.space;
    let store = in_file(&world, &path);
    let id = record(&store, space);
    let small = picture(2, 900);
    let attached = store.attach(space, "event", id, &picture(1, 100_000), Some(&small)).unwrap();
    drop(store);
    std::fs::write(album(&path), vec![7; 20_000]).unwrap();
    let store = in_file(&world, &path);
    assert_eq!(store.attachments_set_aside().len(), 1);
    assert!(store.attachments_set_aside()[0].exists());
    assert!(store.get(space, "event", id).unwrap().is_some());
    let now = one(&store, space, id);
    assert_eq!((now.hash, now.state), (attached.hash, AttachmentState::Remote));
    // What the record mentions was noted anew, so the thumbnail comes by itself.
    assert_eq!(fetches(&store).len(), 1);
    store.attach(space, "event", id, &picture(1, 100_000), Some(&small)).unwrap();
    assert_eq!((offers(&store).len(), fetches(&store).len()), (2, 0));
}

#[test]
fn what_was_cut_off_between_the_two_files_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let (world, path) = (World::new(), folder.path().join("a.db"));
    let space = world.space;
    let store = in_file(&world, &path);
    let id = record(&store, space);
    let first = store.attach(space, "event", id, &picture(1, 5_000), None).unwrap();
    drop(store);
    let before = std::fs::read(album(&path)).unwrap();
    // The record says so, and the attachments' file has lost that it does.
    let store = in_file(&world, &path);
    store.attach(space, "event", id, &picture(2, 5_000), Some(&picture(3, 900))).unwrap();
    drop(store);
    std::fs::write(album(&path), before).unwrap();
    let store = in_file(&world, &path);
    let attachments = store.attachments(space, "event", id).unwrap();
    assert_eq!(attachments.len(), 2);
    assert!(attachments.iter().any(|attachment| attachment.hash == first.hash));
    assert_eq!(fetches(&store).len(), 1, "its thumbnail is wanted from whoever has it");
    drop(store);
    // The other way round: what the record never said is dropped.
    let store = in_file(&world, &path);
    let orphan = prepare(&picture(9, 700)).unwrap();
    store.keep_attached(space, &orphan, false).unwrap();
    assert!(store.attachment_bytes(space, orphan.hash).unwrap().is_some());
    drop(store);
    let store = in_file(&world, &path);
    assert_eq!(store.attachment_bytes(space, orphan.hash).unwrap(), None);
    assert_eq!(offers(&store).len(), 1);
}

/// Records that an opening has to look at for what they mention.
fn to_look_at(store: &Store) -> i64 {
    let sql = "SELECT count(*) FROM record WHERE revision > ?1";
    let noted = match store.inner.attachments.lock().as_ref() {
        Some(album) => album.noted().unwrap(),
        None => store.inner.read(none_up_to).unwrap(),
    };
    store
        .inner
        .read(|connection| Ok::<_, StoreError>(connection.query_row(sql, [noted], |row| row.get(0))?))
        .unwrap()
}

fn many_records(store: &Store, space: SpaceId, count: usize) {
    for _ in 0..count / 500 {
        let put = |group: &mut WriteGroup<'_, '_>| {
            (0..500).try_for_each(|_| group.put(space, "event", None, event("وادي", 26.5, 14.25)).map(drop))
        };
        store.write(put).unwrap();
    }
}

#[test]
fn an_opening_looks_at_few_records_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (world, path) = (World::new(), folder.path().join("a.db"));
    let space = world.space;
    let store = in_file(&world, &path);
    many_records(&store, space, 5_000);
    assert!(to_look_at(&store) <= NOTE_EVERY as i64 && !album(&path).exists());
    let id = record(&store, space);
    store.attach(space, "event", id, &picture(1, 5_000), None).unwrap();
    assert!(to_look_at(&store) <= NOTE_EVERY as i64 && album(&path).exists());
    many_records(&store, space, 5_000);
    assert!(to_look_at(&store) <= NOTE_EVERY as i64);
    drop(store);
    // Its file is gone, as after a kill before it was written: the record that mentions it is found.
    std::fs::remove_file(album(&path)).unwrap();
    let store = in_file(&world, &path);
    assert!(album(&path).exists());
    assert_eq!(one(&store, space, id).state, AttachmentState::Remote);
}

#[test]
fn a_database_that_is_brought_back_elsewhere_takes_its_pictures_along() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    let (space, id, kept) = {
        let store = in_file(&world, &old);
        let space = world.space;
        let id = record(&store, space);
        let small = prepare(&picture(2, 2_000)).unwrap().bytes;
        (space, id, store.attach(space, "event", id, &picture(1, 200_000), Some(&small)).unwrap())
    };
    let before = std::fs::read(&old).unwrap();
    let config = StoreConfig { path: Some(new.clone()), ..world.config(1) };
    assert_eq!(Store::recover(&old, config).unwrap().attachments, 2);
    assert_eq!(std::fs::read(&old).unwrap(), before);
    let store = in_file(&world, &new);
    let back = one(&store, space, id);
    assert_eq!(back.state, AttachmentState::Local { sent_len: 0, refusal: None });
    assert_eq!(
        (back.hash, back.thumbnail.map(|(hash, _)| hash)),
        (kept.hash, kept.thumbnail.map(|(hash, _)| hash))
    );
    assert_eq!(
        store.attachment_bytes(space, back.hash).unwrap(),
        Some(prepare(&picture(1, 200_000)).unwrap().bytes)
    );
    assert_eq!(offers(&store).len(), 2);
}

#[test]
fn a_replica_keeps_no_attachments() {
    let mut world = World::new();
    let (mine, replica, space) = (world.device(1, 0), world.replica(), world.space);
    let id = record(&mine, space);
    mine.attach(space, "event", id, &picture(1, 500), Some(&picture(2, 300))).unwrap();
    world.upload(&mine);
    world.download(&replica);
    assert_eq!(one(&replica, space, id).state, AttachmentState::Remote);
    assert!(fetches(&replica).is_empty());
}

#[test]
fn of_what_changed_only_what_mentions_or_did_is_given_and_each_once() {
    let mut world = World::new();
    let (store, space) = (world.device(1, 0), world.space);
    let photo = picture(1, 500);
    let named: Vec<RecordId> = (0..7)
        .map(|number| {
            let id = record(&store, space);
            if number % 3 == 0 {
                store.attach(space, "event", id, &photo, None).unwrap();
            }
            id
        })
        .collect();
    let all = |revision: u64, before: &HashSet<RecordId>| {
        let (mut found, mut after) = (Vec::new(), Some(ChangePlace::after(revision)));
        while let Some(place) = after {
            let (page, next) = store.mentions_since(place, before, 2).unwrap();
            found.extend(page.into_iter().map(|one| (one.record.id, one.mentions.len())));
            after = next;
        }
        found
    };
    assert_eq!(all(0, &HashSet::new()), [(named[0], 1), (named[3], 1), (named[6], 1)]);
    let revision = store.revision().unwrap();
    assert_eq!(all(revision, &HashSet::from([named[0]])), []);
    store.detach(space, "event", named[0], prepare(&photo).unwrap().hash).unwrap();
    store.write(|group| group.withdraw(space, "event", named[3])).unwrap();
    assert_eq!(all(revision, &HashSet::new()), [(named[3], 1)]);
    assert_eq!(all(revision, &HashSet::from([named[0]])), [(named[0], 0), (named[3], 1)]);
}
