use std::path::PathBuf;

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, seal};
use barid_core::clock::{Clock, Timestamp};
use barid_core::control::{SpaceKind, Verdict, admit_device, found_space};
use barid_core::id::{BatchId, RecordId};
use barid_core::identity::Identity;
use tempfile::TempDir;

use super::quarantine::QuarantineLimits;
use super::reader::LogReader;
use super::sqlite::{SqliteLog, SqliteLogOptions};
use super::writer::{LogWriter, OwnStatements};
use super::*;
use crate::admin::organisation::{Founded, Names};

mod damage;
mod erasure;
mod golden;
mod quarantine;

/// A log with one space of one organisation.
struct World {
    dir: TempDir,
    writer: LogWriter,
    organisation: Arc<Founded>,
    space: SpaceId,
}

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_millis(1_790_000_000_000))
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names =
            Names { ar: "حرس".to_owned(), en: "Guard".to_owned(), kind: "border_guard".to_owned() };
        let organisation = Arc::new(Founded::new(names).unwrap());
        let mut writer = LogWriter::create(&dir.path().join("log.db"), clock()).unwrap();
        let space = writer.transact(|append| organisation.found_own_space(append)).unwrap();
        Self { dir, writer, organisation, space }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log.db")
    }

    /// The same log at another place.
    fn twin(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        let writer = LogWriter::open(&path, clock()).unwrap();
        Self { dir, writer, organisation: Arc::clone(&self.organisation), space: self.space }
    }

    fn admit(&mut self, device: &Device) {
        let statement = admit_device(device.key.device(), 1, self.organisation.id, "one", "patrol").unwrap();
        let own = OwnStatements {
            space: self.space,
            signer: Arc::clone(&self.organisation.key),
            statements: vec![statement],
        };
        self.writer.transact(|append| append.statements(&own)).unwrap();
    }

    fn append(&mut self, batch: &SealedBatch) -> Outcome {
        let batch = verify(batch.clone()).unwrap();
        self.writer.transact(|append| append.batch(&batch)).unwrap()
    }

    fn open(&self) -> SqliteLog {
        let options = SqliteLogOptions {
            group_max: 16,
            queue_max: 4,
            quarantine: QuarantineLimits::default(),
            clock: clock(),
        };
        SqliteLog::open(&self.path(), options).unwrap()
    }
}

/// A device and where its one chain stands.
struct Device {
    key: Identity,
    space: SpaceId,
    incarnation: u8,
    seq: u64,
    prev: BatchId,
}

impl Device {
    fn new(seed: u8, space: SpaceId) -> Self {
        let key = Identity::from_seed([seed; 32]);
        Self { key, space, incarnation: 1, seq: 0, prev: BatchId::from_bytes([0; 32]) }
    }

    fn seal(&mut self, content: u8) -> SealedBatch {
        let entry = Entry::Change(ChangeEntry {
            record: RecordId::from_bytes([content; 16]),
            kind: "event".to_owned(),
            continues: false,
            change: vec![content; 100],
        });
        self.seal_entries(&[entry], content)
    }

    fn seal_entries(&mut self, entries: &[Entry], content: u8) -> SealedBatch {
        let spec = SealSpec {
            key: &self.key,
            incarnation: Incarnation::from_bytes([self.incarnation; 8]),
            space: self.space,
            lane: Lane::Normal,
            seq: self.seq + 1,
            prev: self.prev,
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(0),
            seed: [content; 16],
        };
        let batch = seal(spec, entries).unwrap();
        (self.seq, self.prev) = (self.seq + 1, batch.id());
        batch
    }
}

#[test]
fn a_members_batches_get_dense_offsets_and_the_same_one_twice_gets_one() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let (one, two) = (device.seal(1), device.seal(2));
    // The genesis and the admission came first.
    assert_eq!(world.append(&one), Outcome::Appended { offset: 3 });
    assert_eq!(world.append(&two), Outcome::Appended { offset: 4 });
    assert_eq!(world.append(&one), Outcome::AlreadyHeld { offset: 3 });
    assert_eq!(world.writer.state().spaces[&world.space].head, 4);
}

#[test]
fn what_cannot_be_judged_yet_is_to_be_tried_again() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    let (one, two) = (device.seal(1), device.seal(2));
    assert_eq!(world.append(&one), Outcome::RetryLater(RetryReason::UnknownDevice));
    world.admit(&device);
    assert_eq!(world.append(&two), Outcome::RetryLater(RetryReason::MissingPredecessor));
    let elsewhere = Device::new(1, SpaceId::from_bytes([9; 32])).seal(1);
    assert_eq!(world.append(&elsewhere), Outcome::RetryLater(RetryReason::UnknownSpace));
    assert_eq!(world.append(&one), Outcome::Appended { offset: 3 });
    assert_eq!(world.append(&two), Outcome::Appended { offset: 4 });
}

#[test]
fn control_statements_of_strangers_are_not_taken() {
    let mut world = World::new();
    let stranger = Arc::new(Identity::from_seed([9; 32]));
    let statement = admit_device(stranger.device(), 1, world.organisation.id, "x", "patrol").unwrap();
    let own = OwnStatements { space: world.space, signer: stranger, statements: vec![statement] };
    let error = world.writer.transact(|append| append.statements(&own)).unwrap_err();
    assert!(matches!(error, LogError::Statement(Outcome::RetryLater(RetryReason::UnknownDevice))));
    assert_eq!(world.writer.state().spaces[&world.space].head, 1, "the state is complete after a failure");
}

#[test]
fn a_founding_statement_of_a_space_cannot_be_smuggled_into_another() {
    let mut world = World::new();
    let relay = Arc::new(Identity::from_seed([8; 32]));
    let (_, genesis) =
        found_space(SpaceKind::Joint, "أ", "a", &[relay.device()], &[world.organisation.in_space()], [0; 16])
            .unwrap();
    let space = SpaceId::from_bytes([7; 32]);
    let own = OwnStatements { space, signer: relay, statements: vec![genesis] };
    let result = world.writer.transact(|append| {
        append.found(space)?;
        append.statements(&own)
    });
    assert!(matches!(result, Err(LogError::Statement(_))));
    assert!(!world.writer.state().spaces.contains_key(&space), "nothing of the transaction stays");
}

#[test]
fn no_flipped_bit_changes_what_a_batch_says() {
    let batch = Device::new(1, SpaceId::from_bytes([1; 32])).seal(1);
    let bytes = batch.as_bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        // A compressed body has bits that decompress to the same entries; no other gets through.
        if let Ok(verified) = SealedBatch::parse(wrong).and_then(verify) {
            assert_eq!(verified.sealed().open(), batch.open(), "bit {bit}");
            assert_eq!(verified.sealed().id(), batch.id());
        }
    }
    let mut wrong = bytes;
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let error = SealedBatch::parse(wrong).and_then(verify).unwrap_err();
    assert!(matches!(Verdict::from(error), Verdict::Refused(RefuseReason::Malformed)));
}

#[test]
fn reading_leaves_out_ones_own_and_reaches_beyond_them() {
    let mut world = World::new();
    let (mut one, mut two) = (Device::new(1, world.space), Device::new(2, world.space));
    world.admit(&one);
    world.admit(&two);
    for content in 0..4 {
        world.append(&one.seal(content));
        world.append(&two.seal(content));
    }
    let reader = LogReader::open(&world.path()).unwrap();
    let space = world.space;
    let of = |offset: u64| {
        let log = reader.read_after(space, 0, usize::MAX, None).unwrap().batches;
        let digest =
            log[..offset as usize].iter().fold(LogDigest::EMPTY, |log, batch| log.then(batch.batch.id()));
        assert_eq!(reader.digest_at(space, offset).unwrap(), Some(digest));
        digest
    };
    let offsets = |page: &Page| page.batches.iter().map(|logged| logged.offset).collect::<Vec<_>>();
    let own = Some((one.key.device(), Incarnation::from_bytes([1; 8])));

    let all = reader.read_after(world.space, 3, usize::MAX, None).unwrap();
    assert_eq!(offsets(&all), [4, 5, 6, 7, 8, 9, 10, 11]);
    let page = reader.read_after(world.space, 3, usize::MAX, own).unwrap();
    assert_eq!(offsets(&page), [5, 7, 9, 11]);
    assert_eq!(page.reached, Some((11, of(11))));

    // A bound of one byte still gives one batch, and reaches up to the next that is not one's own.
    let page = reader.read_after(world.space, 3, 1, own).unwrap();
    assert_eq!((offsets(&page), page.reached.map(|(offset, _)| offset)), (vec![5], Some(6)));
    let page = reader.read_after(world.space, 6, 1, own).unwrap();
    assert_eq!((offsets(&page), page.reached.map(|(offset, _)| offset)), (vec![7], Some(8)));

    world.append(&one.seal(9));
    let page = reader.read_after(world.space, 11, usize::MAX, own).unwrap();
    assert_eq!((offsets(&page), page.reached), (vec![], Some((12, of(12)))));
    let page = reader.read_after(world.space, 12, usize::MAX, own).unwrap();
    assert_eq!(page.reached, None);
    assert_eq!(reader.digest_at(world.space, u64::MAX).unwrap(), None);
}

#[test]
fn lengths_and_heights_are_those_of_what_is_held() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let one = device.seal(1);
    world.append(&one);
    let mut restored = Device::new(1, world.space);
    restored.incarnation = 2;
    let two = restored.seal(2);
    world.append(&two);
    let reader = LogReader::open(&world.path()).unwrap();
    let len = |batch: &SealedBatch| batch.as_bytes().len() as u64;
    assert_eq!(reader.bytes_after(world.space, 4).unwrap(), 0);
    assert_eq!(reader.bytes_after(world.space, 3).unwrap(), len(&two));
    assert_eq!(reader.bytes_after(world.space, 2).unwrap(), len(&one) + len(&two));
    assert_eq!(reader.bytes_after(world.space, 0).unwrap(), world.writer.state().spaces[&world.space].len);
    let own = |incarnation: u8, batch: &SealedBatch| OwnChain {
        incarnation: Incarnation::from_bytes([incarnation; 8]),
        lane: Lane::Normal,
        seq: 1,
        batch: batch.id(),
    };
    let chains = reader.own_chains(world.space, device.key.device()).unwrap();
    assert_eq!(chains, [own(1, &one), own(2, &two)]);
    assert_eq!(reader.own_chains(world.space, DeviceId::from_bytes([3; 32])).unwrap(), []);
}

#[tokio::test]
async fn batches_queued_together_are_answered_in_order_and_last() {
    let mut world = World::new();
    let mut device = Device::new(1, world.space);
    world.admit(&device);
    let log = world.open();
    let mut tickets = Vec::new();
    for content in 0..40 {
        tickets.push(log.append(verify(device.seal(content)).unwrap()).await.unwrap());
    }
    for (ticket, offset) in tickets.into_iter().zip(3..) {
        assert_eq!(ticket.outcome().await.unwrap(), Outcome::Appended { offset });
    }
    assert_eq!(log.state().borrow().spaces[&world.space].head, 42);
    let unanswered = log.append(verify(device.seal(99)).unwrap()).await.unwrap();
    log.close().await;
    assert_eq!(unanswered.outcome().await.unwrap(), Outcome::Appended { offset: 43 });
    assert!(matches!(log.append(verify(device.seal(100)).unwrap()).await, Err(AppendError::Closed)));

    let reopened = LogReader::open(&world.path()).unwrap();
    assert_eq!(reopened.head(world.space).unwrap(), 43);
    assert_eq!(reopened.id(), log.id());
}

#[tokio::test]
async fn what_another_process_appends_counts_at_once_and_is_news() {
    let mut world = World::new();
    let log = world.open();
    let mut news = log.state();
    let mut device = Device::new(1, world.space);
    let batch = verify(device.seal(1)).unwrap();
    let ticket = log.append(batch.clone()).await.unwrap();
    assert_eq!(ticket.outcome().await.unwrap(), Outcome::RetryLater(RetryReason::UnknownDevice));
    // Through another connection, as `barid enrol` does.
    world.admit(&device);
    let ticket = log.append(batch).await.unwrap();
    assert_eq!(ticket.outcome().await.unwrap(), Outcome::Appended { offset: 3 });

    world.admit(&Device::new(2, world.space));
    let space = world.space;
    news.wait_for(|state| state.spaces[&space].head == 4).await.unwrap();
    let other = Identity::from_seed([2; 32]).device();
    assert!(news.borrow().spaces[&space].membership.device(other).is_some());
}

#[test]
fn a_log_that_was_not_created_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    assert!(matches!(LogWriter::open(&path, clock()), Err(LogError::NotCreated)));
    assert!(!path.exists());
}
