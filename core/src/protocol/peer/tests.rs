//! Two sessions, each over what one device holds, and a carrier between them that can be cut.

mod claims;
mod golden;
mod hostile;

use std::collections::BTreeMap;

use super::*;
use crate::batch::{BatchKind, Entry, Lane, SealSpec, seal};
use crate::id::{BatchId, Incarnation};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + ms)
}

fn space(n: u8) -> SpaceId {
    SpaceId::from_bytes([n; 32])
}

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([n; 32]))
}

/// A batch that one key sealed, in a chain of its own.
fn sealed(author: u8, space: SpaceId, lane: Lane, kind: BatchKind, seq: u64, len: usize) -> SealedBatch {
    let key = Identity::from_seed([author; 32]);
    let prev = match seq {
        1 => BatchId::from_bytes([0; 32]),
        _ => sealed(author, space, lane, kind, seq - 1, len).id(),
    };
    let spec = SealSpec {
        key: &key,
        incarnation: Incarnation::from_bytes([author; 8]),
        space,
        lane,
        seq,
        prev,
        control_head: BatchId::from_bytes([0; 32]),
        kind,
        claimed_time: at(0),
        seed: [author; 16],
    };
    // What does not compress, so that a batch is as long as it should be.
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[author, seq as u8]).finalize_xof().fill(&mut bytes);
    let entry = match kind {
        BatchKind::Control => Entry::Control(bytes),
        BatchKind::Entries => Entry::Unknown { tag: 200, bytes },
    };
    seal(spec, &[entry]).unwrap()
}

/// What one device holds: batches by chain, and who it believes to be a member. It takes what
/// continues a chain.
#[derive(Debug, Default, Clone)]
struct Holding {
    batches: BTreeMap<(SpaceId, DeviceId, Lane), Vec<SealedBatch>>,
    members: Vec<DeviceId>,
    controllers: Vec<DeviceId>,
    /// Becomes a member for whoever takes a control batch in.
    admits: Option<DeviceId>,
}

impl Holding {
    fn put(&mut self, batch: SealedBatch) -> bool {
        let header = batch.header();
        let chain = self.batches.entry((header.space, header.device, header.lane)).or_default();
        let continues = header.seq == chain.len() as u64 + 1;
        if header.kind == BatchKind::Control && continues {
            self.members.extend(self.admits);
        }
        if continues {
            chain.push(batch);
        }
        continues
    }

    fn chain(&mut self, author: u8, space: SpaceId, lane: Lane, seqs: u64, len: usize) {
        let kind = if author >= 100 { BatchKind::Control } else { BatchKind::Entries };
        for seq in 1..=seqs {
            self.put(sealed(author, space, lane, kind, seq, len));
        }
    }

    fn heights(&self, space: SpaceId, control_only: bool) -> Vec<Height> {
        let chains = self.batches.iter().filter(|((of, device, _), chain)| {
            *of == space && !chain.is_empty() && (!control_only || self.controllers.contains(device))
        });
        let height = |((_, device, lane), chain): (&(SpaceId, DeviceId, Lane), &Vec<SealedBatch>)| {
            let last = chain.last().unwrap();
            let incarnation = last.header().incarnation;
            Height { device: *device, incarnation, lane: *lane, seq: chain.len() as u64, batch: last.id() }
        };
        chains.map(height).collect()
    }

    fn above(
        &self,
        space: SpaceId,
        heights: &[Height],
        control_only: bool,
        budget: usize,
    ) -> (Vec<SealedBatch>, bool) {
        let mut lacking: Vec<_> = self
            .batches
            .iter()
            .filter(|((of, _, _), _)| *of == space)
            .flat_map(|((_, device, lane), chain)| {
                let height = heights.iter().find(|h| h.device == *device && h.lane == *lane);
                chain.iter().skip(height.map_or(0, |height| height.seq as usize)).cloned()
            })
            .filter(|batch| !control_only || batch.header().kind == BatchKind::Control)
            .collect();
        lacking.sort_by_key(|batch| (batch.header().kind != BatchKind::Control, batch.header().lane as u8));
        let mut len = 0;
        let fits = lacking.iter().take_while(|batch| {
            len += batch.as_bytes().len();
            len <= budget || len == batch.as_bytes().len()
        });
        let fits = fits.count();
        let exhausted = fits == lacking.len();
        lacking.truncate(fits);
        (lacking, exhausted)
    }

    fn ids(&self) -> Vec<BatchId> {
        let mut ids: Vec<_> = self.batches.values().flatten().map(SealedBatch::id).collect();
        ids.sort_unstable();
        ids
    }
}

/// One end, with what it holds.
struct End {
    session: PeerSession,
    holding: Holding,
    sent: VecDeque<Vec<u8>>,
    ingested: Vec<BatchId>,
    closed: Option<CloseReason>,
    spaces: Vec<SpaceId>,
}

impl End {
    fn new(n: u8, role: PeerRole, holding: Holding, spaces: Vec<SpaceId>) -> Self {
        let config = PeerSessionConfig {
            identity: identity(n),
            role,
            ephemeral: [n | 0x40; 32],
            spaces: spaces.clone(),
        };
        let session = PeerSession::new(config, at(0));
        let mut end =
            Self { session, holding, sent: VecDeque::new(), ingested: Vec::new(), closed: None, spaces };
        end.perform();
        end
    }

    fn handle(&mut self, input: PeerInput) {
        self.session.handle(input, at(1));
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.session.poll_output() {
            let answer = match output {
                PeerOutput::Send(frame) => {
                    assert!(self.closed.is_none(), "nothing is sent after the end");
                    self.sent.push_back(frame);
                    continue;
                }
                PeerOutput::WantStanding { space, peer, control_only } => PeerInput::Standing {
                    space,
                    is_member: self.holding.members.contains(&peer),
                    heights: self.holding.heights(space, control_only),
                },
                PeerOutput::Wanted { space, heights, control_only, budget_len } => {
                    let (batches, exhausted) = self.holding.above(space, &heights, control_only, budget_len);
                    PeerInput::Batches { space, batches, exhausted }
                }
                PeerOutput::Ingest { space: _, batches } => {
                    let mut tally = Tally::default();
                    for batch in batches {
                        self.ingested.push(batch.id());
                        if self.holding.put(batch) { tally.taken += 1 } else { tally.held += 1 }
                    }
                    PeerInput::TakenIn { tally }
                }
                PeerOutput::Closed(reason) => {
                    self.closed = Some(reason);
                    continue;
                }
                PeerOutput::Progress(_) | PeerOutput::WakeAt(_) => continue,
            };
            self.session.handle(answer, at(1));
        }
    }
}

/// Two devices that trust one another, of numbers 1 (joining) and 2 (inviting).
struct Pair {
    joining: End,
    inviting: End,
    /// Frames carried so far, in both directions together.
    carried: usize,
    carried_len: usize,
}

fn invitation() -> Arc<Invitation> {
    Arc::new(Invitation::new(identity(2).device(), [0xab; 16], at(0)))
}

impl Pair {
    fn new(joining: Holding, inviting: Holding) -> Self {
        let spaces = vec![space(1), space(2)];
        Self::with(joining, spaces.clone(), inviting, spaces)
    }

    fn with(joining: Holding, spaces: Vec<SpaceId>, inviting: Holding, others: Vec<SpaceId>) -> Self {
        let invitation = invitation();
        let code = invitation.code().clone();
        Self {
            joining: End::new(1, PeerRole::Joining(code), joining, spaces),
            inviting: End::new(2, PeerRole::Inviting(invitation), inviting, others),
            carried: 0,
            carried_len: 0,
        }
    }

    /// Carries one frame, from either end that has one. False if neither has.
    fn step(&mut self) -> bool {
        let (from, to) = match (self.joining.sent.front(), self.carried % 2) {
            (Some(_), 0) => (&mut self.joining, &mut self.inviting),
            (Some(_), _) if self.inviting.sent.is_empty() => (&mut self.joining, &mut self.inviting),
            _ => (&mut self.inviting, &mut self.joining),
        };
        self.carried += 1;
        let Some(frame) = from.sent.pop_front() else { return self.joining.sent.front().is_some() };
        self.carried_len += frame.len();
        to.handle(PeerInput::Frame(frame));
        true
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    fn run(&mut self) {
        while self.step() {}
    }

    fn cut(mut self) -> (Holding, Holding) {
        self.joining.handle(PeerInput::Cut);
        self.inviting.handle(PeerInput::Cut);
        (self.joining.holding, self.inviting.holding)
    }
}

/// What the two hold in most tests: each what the other lacks, in several lanes and both spaces.
fn holdings() -> (Holding, Holding) {
    let members = vec![identity(1).device(), identity(2).device()];
    let controllers = vec![identity(100).device()];
    let mut one =
        Holding { members: members.clone(), controllers: controllers.clone(), ..Holding::default() };
    let mut two = Holding { members, controllers, ..Holding::default() };
    one.chain(100, space(1), Lane::Urgent, 1, 40);
    two.chain(100, space(1), Lane::Urgent, 3, 40);
    one.chain(1, space(1), Lane::Normal, 5, 90);
    one.chain(1, space(1), Lane::Urgent, 1, 30);
    one.chain(3, space(2), Lane::Bulk, 2, 200);
    two.chain(2, space(1), Lane::Normal, 2, 100);
    two.chain(2, space(2), Lane::Normal, 3, 100);
    two.chain(3, space(2), Lane::Bulk, 1, 200);
    (one, two)
}
