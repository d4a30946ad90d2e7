//! Whoever founds spaces and admits devices, and a member that sends nonsense.

use std::collections::BTreeMap;
use std::sync::Arc;

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal};
use barid_core::clock::Timestamp;
use barid_core::control::{
    SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space, seal_control,
};
use barid_core::id::{BatchId, DeviceId, Incarnation, OrganisationId, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::{Position, TrackChunk};

use super::random::Random;

const NOTHING: BatchId = BatchId::from_bytes([0; 32]);

/// Signs control records. What it signed once it sends again, should the relay have lost it.
#[derive(Debug)]
pub(crate) struct Authority {
    identity: Arc<Identity>,
    incarnation: Incarnation,
    organisations: [OrganisationId; 2],
    /// The joint space, and the first organisation's own.
    pub(crate) spaces: [SpaceId; 2],
    ends: BTreeMap<SpaceId, (u64, BatchId)>,
    /// Everything that was signed, in order.
    pub(crate) batches: Vec<SealedBatch>,
}

impl Authority {
    /// Founds two organisations and two spaces.
    pub(crate) fn new(random: &mut Random) -> Self {
        let identity = Arc::new(Identity::from_seed(random.bytes()));
        let key = identity.device();
        let founded = [0, 1].map(|_| {
            found_organisation("agency", "جهة", "Agency", key, random.bytes()).expect("a sound statement")
        });
        let named = founded.each_ref().map(|(id, _)| SpaceOrganisation { id: *id, key });
        let spaces = [(SpaceKind::Joint, &named[..]), (SpaceKind::Organisation, &named[..1])].map(
            |(kind, organisations)| {
                found_space(kind, "فضاء", "Space", &[key], organisations, random.bytes())
                    .expect("a sound statement")
            },
        );
        let mut authority = Self {
            identity,
            incarnation: Incarnation::from_bytes(random.bytes()),
            organisations: founded.each_ref().map(|(id, _)| *id),
            spaces: spaces.each_ref().map(|(id, _)| *id),
            ends: BTreeMap::new(),
            batches: Vec::new(),
        };
        for (space, genesis) in spaces {
            let introduced = founded.iter().map(|(_, statement)| statement.clone());
            let introduced = introduced.take(if space == authority.spaces[0] { 2 } else { 1 });
            let statements: Vec<_> = [genesis].into_iter().chain(introduced).collect();
            authority.sign(random, space, &statements);
        }
        authority
    }

    /// Admits a device to spaces.
    pub(crate) fn admit(
        &mut self,
        random: &mut Random,
        device: DeviceId,
        organisation: usize,
        spaces: &[SpaceId],
    ) {
        let statement = admit_device(device, 1, self.organisations[organisation], "phone", "patrol")
            .expect("a sound statement");
        for space in spaces {
            self.sign(random, *space, std::slice::from_ref(&statement));
        }
    }

    /// Signs statements as the next batch of its chain.
    pub(crate) fn sign(&mut self, random: &mut Random, space: SpaceId, statements: &[Vec<u8>]) {
        let (seq, prev) = self.ends.get(&space).copied().unwrap_or((0, NOTHING));
        let now = Timestamp::from_millis(1_790_000_000_000);
        let (key, incarnation) = (&*self.identity, self.incarnation);
        let seed = random.bytes();
        let batch = seal_control(key, incarnation, space, seq + 1, prev, prev, statements, now, seed)
            .expect("sound statements");
        self.ends.insert(space, (seq + 1, batch.id()));
        self.batches.push(batch);
    }
}

/// A member whose batches are sound outside and hold nonsense, between things that are sound.
#[derive(Debug)]
pub(crate) struct Rogue {
    /// Its key.
    pub(crate) identity: Arc<Identity>,
    incarnation: Incarnation,
    space: SpaceId,
    ends: BTreeMap<Lane, (u64, BatchId)>,
    /// Everything that it sent, in order.
    pub(crate) batches: Vec<SealedBatch>,
    /// Chunks that stand right behind the nonsense: they must come everywhere.
    pub(crate) chunks: Vec<(RecordId, RecordId)>,
}

impl Rogue {
    /// One that sends into this space.
    pub(crate) fn new(random: &mut Random, space: SpaceId) -> Self {
        Self {
            identity: Arc::new(Identity::from_seed(random.bytes())),
            incarnation: Incarnation::from_bytes(random.bytes()),
            space,
            ends: BTreeMap::new(),
            batches: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Seals one batch of nonsense with a sound chunk at its end.
    pub(crate) fn send(&mut self, random: &mut Random) {
        let mut change = vec![0; random.between(1, 200) as usize];
        random.fill(&mut change);
        let nonsense = Entry::Change(ChangeEntry {
            record: RecordId::from_bytes(random.bytes()),
            kind: random.pick(&["event", "alert", "nonsense"]).to_owned(),
            continues: random.one_in(2),
            change,
        });
        let patrol = RecordId::from_bytes(random.bytes());
        let chunk = chunk(random, patrol, Timestamp::from_millis(1_790_000_000_000));
        self.chunks.push((chunk.patrol, chunk.id));
        let lane = random.pick(&Lane::ALL);
        let (seq, prev) = self.ends.get(&lane).copied().unwrap_or((0, NOTHING));
        let spec = SealSpec {
            key: &self.identity,
            incarnation: self.incarnation,
            space: self.space,
            lane,
            seq: seq + 1,
            prev,
            control_head: NOTHING,
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(random.between(-1 << 40, 1 << 42)),
            seed: random.bytes(),
        };
        let batch = seal(spec, &[nonsense, Entry::Track(chunk)]).expect("it is sound outside");
        self.ends.insert(lane, (seq + 1, batch.id()));
        self.batches.push(batch);
    }
}

/// A short ride.
pub(crate) fn chunk(random: &mut Random, patrol: RecordId, from: Timestamp) -> TrackChunk {
    let start = random.between(200_000_000, 300_000_000) as i32;
    let position = |n: i32| Position {
        time: from.plus_millis(i64::from(n) * 1_000),
        lat_e7: start + n * 37,
        lon_e7: 140_000_000 - n * 11,
        accuracy_m: 5,
    };
    let count = random.between(1, 40) as i32;
    TrackChunk {
        id: RecordId::from_bytes(random.bytes()),
        patrol,
        positions: (0..count).map(position).collect(),
        gaps: Vec::new(),
    }
}
