//! What is erased is gone from the file, and never comes back.

use barid_core::control::erase;

use super::*;

/// Something that no encoding makes shorter, so that it can be looked for.
fn noise(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

fn word() -> Vec<u8> {
    noise(200)
}

impl Device {
    /// A batch with two records, of which one holds the word.
    fn tell(&mut self, record: u8) -> SealedBatch {
        let entry = |record, change: Vec<u8>| {
            let kind = "event".to_owned();
            Entry::Change(ChangeEntry {
                record: RecordId::from_bytes([record; 16]),
                kind,
                continues: false,
                change,
            })
        };
        self.seal_entries(&[entry(record, word()), entry(99, noise(record))], record)
    }
}

fn erase_all(world: &mut World, records: &[u8]) {
    let statements =
        records.iter().map(|record| erase("event", RecordId::from_bytes([*record; 16])).unwrap()).collect();
    let own = OwnStatements { space: world.space, signer: Arc::clone(&world.organisation.key), statements };
    world.writer.transact(|append| append.statements(&own)).unwrap();
}

fn files_hold_the_word(world: &World) -> bool {
    std::fs::read_dir(world.dir.path())
        .unwrap()
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(64).any(|window| window == word()))
}

fn read(world: &World) -> Vec<SealedBatch> {
    let reader = LogReader::open(&world.path()).unwrap();
    let page = reader.read_after(world.space, 0, usize::MAX, None).unwrap();
    assert_eq!(page.damaged, Vec::<u64>::new());
    page.batches
        .into_iter()
        .map(|logged| logged.batch)
        .filter(|batch| batch.header().kind == BatchKind::Entries)
        .collect()
}

fn erased_places(batch: &SealedBatch) -> Vec<bool> {
    batch.verify_signature().unwrap();
    let body = batch.open().unwrap();
    body.entries.iter().map(|entry| matches!(entry, BodyEntry::Erased { .. })).collect()
}

#[test]
fn an_erased_record_leaves_the_file_and_its_batch_still_verifies() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let (one, two) = (device.tell(1), device.tell(2));
    world.append(&one);
    world.append(&two);
    assert!(files_hold_the_word(&world));
    erase_all(&mut world, &[1]);
    let after = read(&world);
    assert_eq!(after.iter().map(SealedBatch::id).collect::<Vec<_>>(), [one.id(), two.id()]);
    assert_eq!((erased_places(&after[0]), erased_places(&after[1])), (vec![true, false], vec![false, false]));
    erase_all(&mut world, &[2]);
    assert!(!files_hold_the_word(&world), "the write-ahead log too");
    // The original, once more and from another database file.
    assert!(matches!(world.append(&one), Outcome::AlreadyHeld { .. }));
    let mut again = Device::new(1, world.space);
    again.incarnation = 2;
    assert!(matches!(world.append(&again.tell(1)), Outcome::Appended { .. }));
    assert_eq!(erased_places(&read(&world)[2]), [true, false]);
    assert!(matches!(world.append(&device.tell(3)), Outcome::Appended { .. }), "the chain goes on");
    erase_all(&mut world, &[3]);
    drop(world.writer.refresh());
    assert!(!files_hold_the_word(&world));
}

#[test]
fn what_is_in_quarantine_is_erased_too_and_stays_so_when_it_is_adopted() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let cut = barid_core::control::Cut {
        incarnation: Incarnation::from_bytes([1; 8]),
        lane: Lane::Normal,
        seq: 2,
        batch: BatchId::from_bytes([0; 32]),
    };
    let state = |world: &mut World, statements| {
        let own =
            OwnStatements { space: world.space, signer: Arc::clone(&world.organisation.key), statements };
        world.writer.transact(|append| append.statements(&own)).unwrap();
    };
    let key = device.key.device();
    state(&mut world, barid_core::control::revoke_device(key, "seized", Vec::new()).unwrap());
    let (one, two) = (device.tell(1), device.tell(2));
    world.append(&one);
    erase_all(&mut world, &[1, 2]);
    world.append(&two);
    assert!(!files_hold_the_word(&world));
    let cut = barid_core::control::Cut { batch: two.id(), ..cut };
    state(&mut world, barid_core::control::adopt(key, vec![cut]).unwrap());
    let after = read(&world);
    assert_eq!(after.iter().map(SealedBatch::id).collect::<Vec<_>>(), [one.id(), two.id()]);
    assert!(after.iter().all(|batch| erased_places(batch) == [true, false]));
}

#[test]
fn a_batch_with_something_missing_waits_for_the_decision_that_says_so() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let stripped = device.tell(1).erase(&[0]).unwrap();
    assert_eq!(world.append(&stripped), Outcome::RetryLater(RetryReason::UnknownErasure));
    erase_all(&mut world, &[1]);
    assert!(matches!(world.append(&stripped), Outcome::Appended { .. }));
}

#[tokio::test]
async fn a_reader_of_an_older_state_delays_the_end_of_what_was_erased_and_does_not_prevent_it() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    world.append(&device.tell(1));
    let log = world.open();
    let reading = rusqlite::Connection::open(world.path()).unwrap();
    let older = reading.unchecked_transaction().unwrap();
    let _: i64 = older.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).unwrap();
    let statements = vec![erase("event", RecordId::from_bytes([1; 16])).unwrap()];
    let own = OwnStatements { space: world.space, signer: Arc::clone(&world.organisation.key), statements };
    log.transact(move |append| append.statements(&own).map(drop)).await.unwrap();
    assert!(files_hold_the_word(&world), "somebody still reads it");
    older.commit().unwrap();
    let begin = std::time::Instant::now();
    while files_hold_the_word(&world) {
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "it never goes");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(erased_places(&read(&world)[0]), [true, false]);
}
