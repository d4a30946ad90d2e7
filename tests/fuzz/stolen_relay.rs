//! The bombs again, at a phone: sent by a relay that has been stolen with its key.

use std::sync::Arc;
use std::time::Instant;

use barid_core::batch::SealedBatch;
use barid_core::clock::system_clock;
use barid_core::control::Verdict;
use barid_core::engine::{Link, LinkInput};
use barid_core::id::{LogDigest, LogId, SpaceId};
use barid_core::identity::Identity;
use barid_core::position::QuarantineDigest;
use barid_core::protocol::{Logged, OpenedSpace, RelayInput, RelayOutput, RelaySession, RelaySessionConfig};
use barid_server::data_dir::DataDir;
use harness::bombs::corpus;
use harness::fuzz::{driver, memory};
use harness::phone::{Phone, PhoneFiles, event_fields};
use harness::relay::Relay;

/// A relay that knows the right key and sends what it likes: what a phone has to expect of a stolen
/// one.
struct MaliciousRelay {
    identity: Arc<Identity>,
    log: Vec<SealedBatch>,
}

impl MaliciousRelay {
    /// Serves one link of a phone, in memory, until nothing is said any more.
    fn serve(&self, phone: &Phone, seed: [u8; 32]) {
        let now = system_clock()();
        let config = RelaySessionConfig { identity: self.identity.clone(), nonce: [1; 16] };
        let mut session = RelaySession::new(config, now);
        let identity = Arc::new(Identity::from_seed(seed));
        let mut link =
            Link::begin(phone.device.store(), identity, self.identity.device(), [2; 16], now).unwrap();
        loop {
            let mut is_quiet = true;
            while let Some(frame) = link.next_frame() {
                session.handle(RelayInput::Frame(frame), now);
                is_quiet = false;
            }
            while let Some(output) = session.poll_output() {
                is_quiet = false;
                let input = match output {
                    RelayOutput::Send(frame) => {
                        link.handle(LinkInput::Frame(frame), now).unwrap();
                        continue;
                    }
                    RelayOutput::Open { spaces, .. } => RelayInput::Opened(
                        self.opened(&spaces.iter().map(|(space, _)| *space).collect::<Vec<_>>(), phone.space),
                    ),
                    RelayOutput::ReadLog { space, after, .. } => self.read(space, after),
                    RelayOutput::Append { batch, .. } => {
                        RelayInput::Appended { batch: batch.id(), outcome: Verdict::Accepted }
                    }
                    _ => continue,
                };
                session.handle(input, now);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn opened(&self, spaces: &[SpaceId], shared: SpaceId) -> Vec<OpenedSpace> {
        let len: u64 = self.log.iter().map(|batch| batch.as_bytes().len() as u64).sum();
        let member = || OpenedSpace::Member {
            log: LogId::from_bytes([9; 16]),
            head: self.log.len() as u64,
            at_cursor: None,
            len_after_cursor: len,
            len_total: len,
            watermark: 0,
            is_revoked: false,
            quarantined: QuarantineDigest::default(),
            own: Vec::new(),
        };
        spaces.iter().map(|space| if *space == shared { member() } else { OpenedSpace::NotMember }).collect()
    }

    fn read(&self, space: SpaceId, after: u64) -> RelayInput {
        let (mut digest, mut batches) = (LogDigest::EMPTY, Vec::new());
        for (offset, batch) in (1u64..).zip(&self.log) {
            digest = digest.then(batch.id());
            if offset > after && batches.len() < 16 {
                batches.push(Logged { offset, digest, batch: batch.as_bytes().into() });
            }
        }
        let reached = batches.last().map(|last| (last.offset, last.digest));
        RelayInput::Read { space, batches, reached }
    }
}

#[test]
#[allow(clippy::unwrap_used, reason = "tests")]
fn a_phone_survives_a_relay_that_sends_it_every_bomb() {
    let _alone = super::alone();
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let (rogue, victim) = (PhoneFiles::new(folder.path(), "rogue"), PhoneFiles::new(folder.path(), "victim"));
    drop(Phone::enrol(&relay, folder.path(), "rogue"));
    let mut phone = Phone::enrol(&relay, folder.path(), "victim");
    for number in 0..20 {
        phone.put_event(event_fields(number));
    }
    phone.sync_once();
    let before = phone.events().len();
    relay.stop();
    // The control records, so that the bombs' author is known.
    let log = rusqlite::Connection::open(relay.folder().join("log.db")).unwrap();
    let mut statement = log
        .prepare("SELECT b.bytes FROM batch b JOIN space s ON s.number = b.space WHERE s.id = ?1 AND b.kind = 2 ORDER BY batch_offset")
        .unwrap();
    let control: Vec<SealedBatch> = statement
        .query_map([phone.space.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|bytes| SealedBatch::parse(bytes.unwrap()).unwrap())
        .collect();
    drop(statement);
    drop(log);
    let identity = Arc::new(barid_server::keys::load(&DataDir::new(relay.folder()).relay_key()).unwrap());
    let bombs = corpus(&Identity::from_seed(rogue.seed), phone.space);
    for bomb in &bombs {
        // What is not even a batch ends the link, and what is none of this version's is kept unread.
        let batches: Vec<_> =
            bomb.batches.iter().filter_map(|bytes| SealedBatch::parse(bytes.as_slice()).ok()).collect();
        let malicious =
            MaliciousRelay { identity: identity.clone(), log: [control.as_slice(), &batches].concat() };
        let held = memory::begin();
        let begun = Instant::now();
        malicious.serve(&phone, victim.seed);
        let (time, memory) = (begun.elapsed(), memory::grown(held));
        println!("{}: {time:.1?}, {} KiB", bomb.name, memory / 1024);
        let allowed = driver::TIME_MAX * u32::try_from(bomb.batches.len()).unwrap();
        assert!(time <= allowed, "{}: {time:?}", bomb.name);
        assert!(memory <= driver::MEMORY_LEN_MAX, "{}: {memory} bytes", bomb.name);
        assert!(phone.events().len() >= before, "{}", bomb.name);
    }
    // And the right relay is still its relay.
    relay.start();
    phone.put_event(event_fields(99));
    phone.connect();
    phone.wait_synced();
    let log_changes = relay.stored_changes();
    assert_eq!(log_changes, 21, "everything that the phone recorded is there, once");
}
