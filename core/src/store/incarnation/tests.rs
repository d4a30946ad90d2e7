//! Files that come back from a backup, or run twice, against one log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::batch::{BodyEntry, Entry, Lane};
use crate::id::{BatchId, RecordId};
use crate::model::Fields;
use crate::position::OwnChain;
use crate::store::fixture::{BUDGET, World, chunk, sets};
use crate::store::{Query, StoredTrack};

/// What a device's file and its token are at one moment.
#[derive(Debug, Clone)]
struct Copy {
    file: Vec<u8>,
    token: Vec<u8>,
}

/// A device that may be in several places, and the log it links to.
struct Phones {
    world: World,
    directory: TempDir,
    promised: Promised,
    opened: u8,
}

/// What was recorded and must be there in the end, each once.
#[derive(Debug, Clone, Default)]
struct Promised {
    fields: BTreeMap<RecordId, BTreeSet<String>>,
    tracks: BTreeSet<u8>,
}

const PATROL: u8 = 9;

impl Phones {
    fn new() -> Self {
        let mut world = World::new();
        let device = world.stranger(1).device().unwrap();
        world.admit(device, 0);
        let directory = tempfile::tempdir().unwrap();
        Self { world, directory, promised: Promised::default(), opened: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens the device's file of this name, as a new process does.
    fn open(&mut self, name: &str) -> Store {
        self.opened += 1;
        let fresh = self.world.config(100 + self.opened).entropy;
        let config = StoreConfig { path: Some(self.path(name)), entropy: fresh, ..self.world.config(1) };
        let store = Store::open(config).unwrap();
        store.join_space(self.world.space).unwrap();
        store
    }

    /// What lies on the disk; nothing may be in the write-ahead log.
    fn copy(&self, name: &str) -> Copy {
        let path = self.path(name);
        let connection = Connection::open(&path).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        Copy { file: fs::read(&path).unwrap(), token: fs::read(beside(&path, ".token")).unwrap() }
    }

    fn restore(&self, copy: &Copy, name: &str, with_token: bool) {
        for ending in ["-wal", "-shm", ".token"] {
            fs::remove_file(beside(&self.path(name), ending)).ok();
        }
        fs::write(self.path(name), &copy.file).unwrap();
        if with_token {
            fs::write(beside(&self.path(name), ".token"), &copy.token).unwrap();
        }
    }

    fn put(&mut self, store: &Store, kind: &str, field: &str) -> RecordId {
        let fields = Fields::from([(field.to_owned(), field.into())]);
        let id = store.write(|w| w.put(self.world.space, kind, None, fields)).unwrap();
        self.promised.fields.entry(id).or_default().insert(field.to_owned());
        id
    }

    fn patch(&mut self, store: &Store, id: RecordId, field: &str) {
        store.write(|w| w.patch(self.world.space, "event", id, sets(field, field))).unwrap();
        self.promised.fields.entry(id).or_default().insert(field.to_owned());
    }

    fn track(&mut self, store: &Store, n: u8) {
        store.write(|w| w.add_track(self.world.space, chunk(n, PATROL, i64::from(n) * 1000, 5))).unwrap();
        self.promised.tracks.insert(n);
    }

    /// The heights of the device's chains in the log.
    fn heights(&self, store: &Store) -> Vec<OwnChain> {
        let mut heights: BTreeMap<(Incarnation, Lane), OwnChain> = BTreeMap::new();
        for (_, batch) in &self.world.log {
            let header = batch.header();
            if Some(header.device) == store.device() {
                let (incarnation, lane, seq) = (header.incarnation, header.lane, header.seq);
                heights.insert((incarnation, lane), OwnChain { incarnation, lane, seq, batch: batch.id() });
            }
        }
        heights.into_values().collect()
    }

    /// Links until there is nothing more to do, as the engine does.
    fn link(&mut self, store: &Store) {
        for _ in 0..8 {
            if self.link_once(store) {
                return;
            }
        }
        panic!("it links for ever");
    }

    /// False if the link must be opened again.
    fn link_once(&mut self, store: &Store) -> bool {
        let space = self.world.space;
        let heights = self.heights(store);
        match store.relay_heights(space, &heights) {
            Ok(()) => {}
            Err(StoreError::BehindRelay) => {
                store.begin_incarnation().unwrap();
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        if store.unsettled_spaces().unwrap().contains(&space) && !store.lacks_own(space, &heights).unwrap() {
            store.settle_orphans(space).unwrap();
        }
        if !self.world.log.is_empty() {
            self.world.download(store);
        }
        if store.unsettled_spaces().unwrap().contains(&space) {
            if store.lacks_own(space, &heights).unwrap() && store.read_again(space).unwrap() {
                return false;
            }
            store.settle_orphans(space).unwrap();
        }
        loop {
            let (batches, exhausted) = store.outgoing(&[], &[], BUDGET).unwrap();
            for batch in &batches {
                if !self.takes(batch) {
                    if batch.header().incarnation == store.incarnation() {
                        store.begin_incarnation().unwrap();
                    }
                    return false;
                }
                store.acknowledge(&[batch.id()]).unwrap();
            }
            if exhausted {
                return true;
            }
        }
    }

    /// The log takes what continues a chain, and what it has; never a fork.
    fn takes(&mut self, batch: &crate::batch::SealedBatch) -> bool {
        if self.world.log.iter().any(|(_, logged)| logged.id() == batch.id()) {
            return true;
        }
        let header = batch.header();
        let is_chain = |logged: &crate::batch::SealedBatch| {
            let held = logged.header();
            held.device == header.device && held.incarnation == header.incarnation && held.lane == header.lane
        };
        let last = self.world.log.iter().rev().map(|(_, logged)| logged).find(|logged| is_chain(logged));
        let (seq, prev) =
            last.map_or((1, BatchId::from_bytes([0; 32])), |last| (last.header().seq + 1, last.id()));
        let continues = header.seq == seq && header.prev == prev;
        if continues {
            self.world.append(batch.clone());
        }
        continues
    }

    /// Everything promised is there once, in the log and on these stores, and no name has two contents.
    fn check(&self, stores: &[&Store]) {
        let mut contents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (_, batch) in &self.world.log {
            for entry in batch.open().unwrap().entries {
                if let BodyEntry::Present { entry: Entry::Change(entry), .. } = entry {
                    let change = crate::document::scan(&entry.change).unwrap();
                    let name = (entry.record, change.actor, change.seq);
                    contents.entry(name).or_default().insert(change.hash);
                }
            }
        }
        assert!(contents.values().all(|hashes| hashes.len() == 1), "one name, two contents");
        let replica = self.world.replica();
        self.world.download(&replica);
        for store in stores.iter().copied().chain([&replica]) {
            self.check_store(store);
            assert_eq!(
                store.digest(self.world.space).unwrap(),
                replica.digest(self.world.space).unwrap(),
                "they converge"
            );
        }
    }

    fn check_store(&self, store: &Store) {
        let records = store.query(&Query::default()).unwrap().records;
        let of_records: BTreeMap<_, BTreeSet<_>> =
            records.iter().map(|record| (record.id, record.fields.keys().cloned().collect())).collect();
        assert_eq!(of_records, self.promised.fields);
        assert!(records.iter().all(|record| record.conflicts == 0 && record.delivered));
        for record in &records {
            assert!(record.fields.iter().all(|(name, value)| *value == name.as_str().into()));
            // What was done to the record was done once, whoever did it.
            let history = store.history(self.world.space, &record.kind, record.id).unwrap();
            assert!(history.len() >= record.fields.len());
        }
        let tracks = store.tracks(self.world.space, RecordId::from_bytes([PATROL; 16])).unwrap();
        let ids: Vec<u8> = tracks.iter().map(|StoredTrack { chunk, .. }| chunk.id.as_bytes()[0]).collect();
        assert_eq!(ids, self.promised.tracks.iter().copied().collect::<Vec<_>>());
        let counts = store.counts().unwrap();
        assert_eq!((counts.unsent_changes, counts.orphans, counts.waiting, counts.refused), (0, 0, 0, 0));
    }

    /// How often the log says the same of a record or a track.
    fn said_twice(&self) -> usize {
        let mut said: BTreeMap<_, usize> = BTreeMap::new();
        for (_, batch) in &self.world.log {
            for entry in batch.open().unwrap().entries {
                match entry {
                    BodyEntry::Present { entry: Entry::Change(entry), .. } => {
                        let change = crate::document::scan(&entry.change).unwrap();
                        let keys: Vec<_> = change.ops.iter().map(|op| op.key.clone()).collect();
                        *said.entry((entry.record, keys)).or_default() += 1;
                    }
                    BodyEntry::Present { entry: Entry::Track(chunk), .. } => {
                        *said.entry((chunk.id, Vec::new())).or_default() += 1;
                    }
                    _ => {}
                }
            }
        }
        said.values().filter(|times| **times > 1).count()
    }
}

/// A day with a phone, step by step: recorded, sealed and lost on the way, sent, acknowledged.
fn day(phones: &mut Phones, store: &Store, mut after_each: impl FnMut(&Phones)) -> RecordId {
    let first = phones.put(store, "event", "f0");
    after_each(phones);
    phones.put(store, "alert", "f1");
    after_each(phones);
    phones.track(store, 1);
    after_each(phones);
    store.outgoing(&[], &[], 1).unwrap();
    after_each(phones);
    store.outgoing(&[], &[], usize::MAX).unwrap();
    after_each(phones);
    phones.link(store);
    after_each(phones);
    phones.patch(store, first, "f2");
    after_each(phones);
    phones.put(store, "event", "f3");
    after_each(phones);
    // Sealed, on its way, and the acknowledgement is lost.
    for batch in store.outgoing(&[], &[], usize::MAX).unwrap().0 {
        assert!(phones.takes(&batch));
    }
    after_each(phones);
    phones.patch(store, first, "f4");
    phones.track(store, 2);
    after_each(phones);
    phones.link(store);
    after_each(phones);
    first
}

/// A day, and what the file was after each of its steps.
fn copies() -> (Phones, RecordId, Vec<Copy>) {
    let mut phones = Phones::new();
    let store = phones.open("a.db");
    let mut copies = Vec::new();
    let first = day(&mut phones, &store, |phones| copies.push(phones.copy("a.db")));
    drop(store);
    (phones, first, copies)
}

#[test]
fn a_file_rolled_back_to_any_moment_loses_nothing_and_says_nothing_twice() {
    let (_, _, all) = copies();
    for (at, with_token) in (0..all.len()).map(|at| (at, at % 2 == 0)) {
        let (mut phones, first, copies) = copies();
        phones.restore(&copies[at], "a.db", with_token);
        let store = phones.open("a.db");
        phones.patch(&store, first, "after");
        phones.put(&store, "alert", "sos");
        phones.track(&store, 3);
        phones.link(&store);
        let other = phones.world.device(2, 1);
        phones.world.download(&other);
        phones.world.download(&store);
        phones.check(&[&store]);
        assert_eq!(phones.said_twice(), 0, "rolled back to {at}, its token {with_token}");
        // And it goes on like any other.
        drop(store);
        let store = phones.open("a.db");
        phones.patch(&store, first, "later");
        phones.link(&store);
        phones.check(&[&store]);
    }
}

#[test]
fn a_file_rolled_back_twice_finds_what_it_moved_the_first_time() {
    let (_, _, all) = copies();
    for (at, again) in (1..all.len()).step_by(3).flat_map(|at| [(at, at), (at, at / 2)]) {
        let (mut phones, first, copies) = copies();
        for (n, at) in [at, again].into_iter().enumerate() {
            phones.restore(&copies[at], "a.db", n == 1);
            let store = phones.open("a.db");
            phones.patch(&store, first, &format!("after{n}"));
            phones.link(&store);
        }
        let store = phones.open("a.db");
        phones.link(&store);
        phones.check(&[&store]);
        assert_eq!(phones.said_twice(), 0, "rolled back to {at}, then to {again}");
    }
}

#[test]
fn a_file_on_two_phones_becomes_two_names_and_both_converge() {
    let steps = copies().2.len();
    for (at, with_token) in (0..steps).map(|at| (at, at % 2 == 1)) {
        let mut phones = Phones::new();
        let one = phones.open("a.db");
        let mut clone = None;
        let mut seen = 0;
        let first = day(&mut phones, &one, |phones| {
            if seen == at {
                clone = Some(phones.copy("a.db"));
            }
            seen += 1;
        });
        phones.restore(&clone.unwrap(), "b.db", with_token);
        let two = phones.open("b.db");
        for n in 0..3 {
            phones.patch(&two, first, &format!("two{n}"));
            phones.put(&two, "alert", &format!("sos{n}"));
            phones.track(&two, 10 + n);
            phones.patch(&one, first, &format!("one{n}"));
            phones.track(&one, 20 + n);
            if n == 1 {
                two.outgoing(&[], &[], usize::MAX).unwrap();
            }
            for store in [&two, &one] {
                phones.link(store);
            }
        }
        for store in [&one, &two, &one] {
            phones.link(store);
        }
        phones.check(&[&one, &two]);
        assert_ne!(one.incarnation(), two.incarnation());
    }
}

#[test]
fn an_sos_does_not_wait_for_the_orphans() {
    let (mut phones, first, copies) = copies();
    phones.restore(&copies[7], "a.db", false);
    let store = phones.open("a.db");
    assert!(store.counts().unwrap().orphans > 0);
    phones.patch(&store, first, "on top");
    let sos = phones.put(&store, "alert", "sos");
    let (batches, exhausted) = store.outgoing(&[], &[], usize::MAX).unwrap();
    assert!(exhausted);
    let entries: Vec<_> = batches.iter().flat_map(|batch| batch.open().unwrap().entries).collect();
    let is_sos = |entry: &BodyEntry| matches!(entry, BodyEntry::Present { entry: Entry::Change(entry), .. } if entry.record == sos);
    assert!(entries.iter().any(is_sos));
    assert!(
        batches
            .iter()
            .all(|batch| batch.header().incarnation != store.incarnation()
                || batch.header().lane == Lane::Urgent),
        "nothing that builds on an orphan leaves"
    );
    assert!(store.get(phones.world.space, "event", first).unwrap().unwrap().fields.contains_key("on top"));
    assert!(!store.get(phones.world.space, "event", first).unwrap().unwrap().delivered);
}

#[test]
fn a_file_without_its_token_takes_another_name_and_one_with_it_keeps_its_own() {
    let mut phones = Phones::new();
    let store = phones.open("a.db");
    let incarnation = store.incarnation();
    drop(store);
    assert_eq!(phones.open("a.db").incarnation(), incarnation);
    let older = phones.copy("a.db");
    assert_eq!(phones.open("a.db").incarnation(), incarnation);
    // Renewed at that opening: the older file with the present token is found out.
    let present = phones.copy("a.db").token;
    phones.restore(&Copy { token: present, ..older }, "a.db", true);
    let renamed = phones.open("a.db").incarnation();
    assert_ne!(renamed, incarnation);
    assert_eq!(phones.open("a.db").incarnation(), renamed);
    fs::remove_file(beside(&phones.path("a.db"), ".token")).unwrap();
    assert_ne!(phones.open("a.db").incarnation(), renamed);
}

#[test]
fn a_token_that_was_not_written_to_its_end_is_no_other_file() {
    let mut phones = Phones::new();
    drop(phones.open("a.db"));
    let before = phones.copy("a.db").token;
    let store = phones.open("a.db");
    let incarnation = store.incarnation();
    drop(store);
    // The database was committed, and the process died before the file was renamed.
    fs::write(beside(&phones.path("a.db"), ".token"), before).unwrap();
    assert_eq!(phones.open("a.db").incarnation(), incarnation);
    fs::write(beside(&phones.path("a.db"), ".token"), b"torn").unwrap();
    assert_ne!(phones.open("a.db").incarnation(), incarnation);
}

#[test]
fn a_copy_that_meets_what_the_other_one_wrote_takes_another_name_without_a_relay() {
    let (mut phones, first, copies) = copies();
    let log = phones.world.log.clone();
    phones.restore(&copies[5], "b.db", true);
    let copy = phones.open("b.db");
    phones.patch(&copy, first, "after");
    let incarnation = copy.incarnation();
    let carried: Vec<_> = log.iter().map(|(_, batch)| batch.clone()).collect();
    let report = copy.ingest_carried(phones.world.space, &carried).unwrap();
    assert_ne!(copy.incarnation(), incarnation);
    use crate::store::CarriedOutcome::{Held, Taken};
    assert!(report.outcomes.iter().all(|outcome| [Held, Taken].contains(outcome)), "{report:?}");
    assert!(copy.counts().unwrap().orphans > 0);
    phones.link(&copy);
    phones.check(&[&copy]);
    assert_eq!(phones.said_twice(), 0);
}

#[test]
fn what_a_peer_brought_of_an_own_chain_stands_once_the_log_has_it() {
    let mut kept_beside = 0;
    for (turn, has_read) in (0..6).flat_map(|turn| [(turn, false), (turn, true)]) {
        let (mut phones, first, copies) = copies();
        phones.restore(&copies[0], "b.db", true);
        phones.opened += turn;
        let copy = phones.open("b.db");
        phones.patch(&copy, first, "after");
        // Sealed in the place of what the log has, and lost on its way.
        copy.outgoing(&[], &[], usize::MAX).unwrap();
        if has_read {
            // The relay sends nobody what was written under the reader's own name.
            let end = phones.world.cursor_at(phones.world.log.len() as u64);
            copy.ingest(phones.world.space, &[], Some(end)).unwrap();
        }
        let carried: Vec<_> = phones.world.log.iter().map(|(_, batch)| batch.clone()).collect();
        copy.ingest_carried(phones.world.space, &carried).unwrap();
        kept_beside += usize::from(!copy.quarantined(phones.world.space).unwrap().is_empty());
        phones.link(&copy);
        phones.check(&[&copy]);
        assert_eq!(phones.said_twice(), 0);
    }
    assert!(kept_beside > 0, "the smaller id stands until the log says otherwise");
}

/// A phone is set back to when it had not sealed what it had recorded. Another has met it since, has built on
/// that, and carries it in its own chain; the phone hears of it before it learns that it was set back.
#[test]
fn an_orphan_on_which_others_build_is_where_they_carry_it() {
    let mut phones = Phones::new();
    let space = phones.world.space;
    let store = phones.open("a.db");
    let id = phones.put(&store, "event", "first");
    drop(store);
    let copy = phones.copy("a.db");
    let store = phones.open("a.db");
    let (sealed, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    let other = phones.world.device(2, 0);
    phones.world.download(&other);
    other.ingest_carried(space, &sealed).unwrap();
    phones.patch(&other, id, "theirs");
    let (carried, _) = other.outgoing(&[], &[], BUDGET).unwrap();
    drop(store);
    phones.restore(&copy, "a.db", true);
    let store = phones.open("a.db");
    carried.into_iter().for_each(|batch| phones.world.append(batch));
    phones.world.download(&store);
    store.begin_incarnation().unwrap();
    phones.patch(&store, id, "ours");
    phones.link(&store);
    let counts = store.counts().unwrap();
    assert_eq!((counts.orphans, counts.unsent_records), (0, 0));
    phones.patch(&store, id, "later");
    phones.link(&store);
    phones.check(&[&store]);
}

/// The same, but the other had it from a log that has lost it since, and so does not carry it.
#[test]
fn an_orphan_on_which_others_build_and_that_no_batch_has_is_carried_by_its_device() {
    let mut phones = Phones::new();
    let space = phones.world.space;
    let other = phones.world.device(2, 0);
    let store = phones.open("a.db");
    phones.world.download(&store);
    let id = phones.put(&store, "event", "first");
    drop(store);
    let copy = phones.copy("a.db");
    let store = phones.open("a.db");
    let before = phones.world.log.len();
    phones.world.upload(&store);
    phones.world.download(&other);
    phones.patch(&other, id, "theirs");
    let (built, _) = other.outgoing(&[], &[], BUDGET).unwrap();
    phones.world.log.truncate(before);
    drop(store);
    phones.restore(&copy, "a.db", true);
    let store = phones.open("a.db");
    store.ingest_carried(space, &built).unwrap();
    store.begin_incarnation().unwrap();
    phones.link(&store);
    built.into_iter().for_each(|batch| phones.world.append(batch));
    phones.link(&store);
    let counts = store.counts().unwrap();
    assert_eq!((counts.orphans, counts.unsent_records), (0, 0));
    let carried = phones.world.log.iter().flat_map(|(_, batch)| batch.open().unwrap().entries);
    assert!(
        carried
            .into_iter()
            .any(|entry| matches!(entry, BodyEntry::Present { entry: Entry::Ancestor(_), .. }))
    );
    phones.check(&[&store]);
}

#[test]
fn what_an_own_batch_from_the_log_follows_is_known_to_be_there() {
    let mut phones = Phones::new();
    let space = phones.world.space;
    let seal = |store: &Store| store.outgoing(&[], &[], BUDGET).unwrap().0;
    let store = phones.open("phone");
    phones.world.download(&store);
    for field in ["one", "two"] {
        phones.put(&store, "event", field);
        seal(&store);
    }
    drop(store);
    let copy = phones.copy("phone");
    let store = phones.open("phone");
    phones.put(&store, "event", "three");
    let sealed = seal(&store);
    assert_eq!(sealed.iter().map(|batch| batch.header().seq).collect::<Vec<_>>(), [1, 2, 3]);
    drop(store);
    phones.restore(&copy, "phone", false);
    let store = phones.open("phone");
    assert_eq!(store.counts().unwrap().unsent_changes, 2);
    // The log gave the first two their offsets while this file had their name, and the cursor has passed them.
    store.ingest(space, &[(9, sealed[2].clone())], None).unwrap();
    assert_eq!(store.counts().unwrap().unsent_changes, 0);
}

#[test]
fn replicas_and_stores_in_memory_have_no_token() {
    let phones = Phones::new();
    let config =
        StoreConfig { path: Some(phones.path("replica.db")), identity: None, ..phones.world.config(1) };
    let replica = Store::open(config.clone()).unwrap();
    assert!(!beside(&phones.path("replica.db"), ".token").exists());
    let incarnation = replica.incarnation();
    replica.begin_incarnation().unwrap();
    drop(replica);
    assert_eq!(Store::open(config).unwrap().incarnation(), incarnation);
    let memory = phones.world.stranger(1);
    let incarnation = memory.incarnation();
    memory.begin_incarnation().unwrap();
    assert_ne!(memory.incarnation(), incarnation);
}

#[test]
fn a_power_cut_while_a_name_begins_or_orphans_move_leaves_the_one_or_the_other() {
    let (mut phones, first, copies) = copies();
    phones.restore(&copies[7], "a.db", true);
    let store = phones.open("a.db");
    store
        .inner
        .writer()
        .connection
        .pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
        .unwrap();
    phones.patch(&store, first, "after");
    store.begin_incarnation().unwrap();
    store.settle_orphans(phones.world.space).unwrap();
    let path = phones.path("a.db");
    let (file, log) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    let promised = phones.promised.clone();
    for len in (0..log.len()).step_by(log.len() / 12).chain([log.len()]) {
        let mut world = Phones::new();
        std::mem::swap(&mut world.world, &mut phones.world);
        let logged = world.world.log.clone();
        for ending in ["-wal", "-shm", ".token"] {
            fs::remove_file(beside(&world.path("cut.db"), ending)).ok();
        }
        fs::write(world.path("cut.db"), &file).unwrap();
        fs::write(beside(&world.path("cut.db"), "-wal"), &log[..len]).unwrap();
        world.promised = promised.clone();
        let store = world.open("cut.db");
        let shown = store.get(world.world.space, "event", first).unwrap().unwrap().fields;
        if !shown.contains_key("after") {
            world.promised.fields.get_mut(&first).unwrap().remove("after");
        }
        world.link(&store);
        world.check(&[&store]);
        world.world.log = logged;
        std::mem::swap(&mut world.world, &mut phones.world);
    }
}
