//! Two devices that meet: each end takes what another may say, one that has not the code, and one that
//! has it and keeps to no rule.

use std::sync::Arc;

use barid_core::batch::{BatchKind, Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::pairing::Invitation;
use barid_core::position::Height;
use barid_core::protocol::{
    PeerInput, PeerOutput, PeerRole, PeerSession, PeerSessionConfig, PeerVoice, Tally, rewrite_peer,
};

use super::super::{Target, kind, packets, signal};
use crate::forge::{self, Chain, raw_body};

/// Outputs that one input may cause, at most: more would be a loop.
const OUTPUTS_MAX: usize = 10_000;
const BATCH: u8 = 0x10;

const fn space(number: u8) -> SpaceId {
    SpaceId::from_bytes([number; 32])
}

/// Of the first space the other device is a member, as far as this end knows, of the second it is not.
const SPACES: [SpaceId; 2] = [space(1), space(2)];

/// The first packet says which end it is and whether the handshake is over; each of the others is
/// something said behind the encryption, a frame as it lies on the wire, time, or an end.
pub(super) struct Peer {
    inviting: Arc<Identity>,
    joining: Arc<Identity>,
    held: [Vec<SealedBatch>; 2],
    /// Both halves of one handshake, which every input uses again: in between, each has heard all that
    /// the other said.
    voices: Option<(PeerVoice, PeerVoice)>,
}

const IS_JOINING: u8 = 1;
const IS_BEFORE: u8 = 2;

const SAY: u8 = 0;
const FRAME: u8 = 1;
const LATER: u8 = 2;

/// What one end holds: a chain of entries in each space, and a control batch.
fn held(key: &Identity, incarnation: u64, count: usize) -> Vec<SealedBatch> {
    let mut all = Vec::new();
    for space in SPACES {
        let mut chain = Chain::new(key, incarnation, space, Lane::Normal);
        let entry = |number: usize| vec![200u8, number as u8, 1, 2, 3];
        all.extend((0..count).map(|number| SealedBatch::parse(chain.next(&[entry(number)])).unwrap()));
        let mut control = Chain::new(key, incarnation + 1, space, Lane::Urgent);
        let body = raw_body(&[vec![3, 0xa0]]);
        let mut header = control.header(&body);
        header.kind = BatchKind::Control;
        all.push(SealedBatch::parse(control.push(&header, &body.bytes)).unwrap());
    }
    all
}

fn height(batch: &SealedBatch) -> Height {
    let header = batch.header();
    let (device, incarnation, lane) = (header.device, header.incarnation, header.lane);
    Height { device, incarnation, lane, seq: header.seq, batch: batch.id() }
}

/// The end under test, with its store's answers.
struct End<'a> {
    session: PeerSession,
    held: &'a [SealedBatch],
    happened: u64,
    is_over: bool,
}

impl End<'_> {
    fn handle(&mut self, input: PeerInput, now: Timestamp) -> Vec<Vec<u8>> {
        self.session.handle(input, now);
        self.perform(now)
    }

    /// Performs outputs until none is left; what is to be sent is handed out.
    fn perform(&mut self, now: Timestamp) -> Vec<Vec<u8>> {
        let (mut frames, mut count) = (Vec::new(), 0);
        while let Some(output) = self.session.poll_output() {
            count += 1;
            assert!(count < OUTPUTS_MAX, "an input causes a bounded number of outputs");
            self.happened |= 1 << (kind(&output) % 60);
            let input = match output {
                PeerOutput::Send(frame) => {
                    assert!(!self.is_over, "nothing is said after the end");
                    frames.push(frame);
                    continue;
                }
                PeerOutput::WantStanding { space, control_only, .. } => {
                    let mut heights: Vec<Height> = self.of(space, control_only).map(height).collect();
                    heights.reverse();
                    heights.sort_by_key(|height| (height.device, height.incarnation, height.lane));
                    heights.dedup_by_key(|height| (height.device, height.incarnation, height.lane));
                    PeerInput::Standing { space, is_member: space == SPACES[0], heights }
                }
                PeerOutput::Wanted { space, heights, control_only, .. } => {
                    let lacks = |batch: &&SealedBatch| {
                        let known = height(batch);
                        let chain = |height: &Height| (height.device, height.incarnation, height.lane);
                        let theirs = heights.iter().find(|height| chain(height) == chain(&known));
                        theirs.is_none_or(|theirs| theirs.seq < known.seq)
                    };
                    let lacking: Vec<_> = self.of(space, control_only).filter(lacks).cloned().collect();
                    let batches: Vec<_> = lacking.iter().take(2).cloned().collect();
                    PeerInput::Batches { space, exhausted: batches.len() == lacking.len(), batches }
                }
                PeerOutput::Ingest { space, batches } => {
                    assert!(batches.iter().all(|batch| batch.header().space == space));
                    PeerInput::TakenIn { tally: Tally { taken: batches.len() as u64, ..Tally::default() } }
                }
                PeerOutput::Closed(reason) => {
                    self.is_over = true;
                    self.happened ^= signal(reason.code().map(|code| kind(&code)));
                    continue;
                }
                PeerOutput::Progress(_) | PeerOutput::WakeAt(_) => continue,
            };
            self.session.handle(input, now);
        }
        frames
    }

    fn of(&self, space: SpaceId, control_only: bool) -> impl Iterator<Item = &SealedBatch> {
        let fits = move |batch: &&SealedBatch| {
            let header = batch.header();
            header.space == space && (!control_only || header.kind == BatchKind::Control)
        };
        self.held.iter().filter(fits)
    }
}

/// What an end says keeps to the form, and gives no data to who is no member.
fn assert_said(said: &[u8]) {
    assert_eq!(rewrite_peer(said).as_deref(), Ok(said), "what is said has one form only");
    if let [BATCH, _, batch @ ..] = said {
        let batch = SealedBatch::parse(batch).unwrap();
        let header = batch.header();
        assert!(header.space == SPACES[0] || header.kind == BatchKind::Control, "a stranger gets no data");
    }
}

fn time() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

impl Peer {
    pub(super) fn new() -> Self {
        let identity = |number: u8| Arc::new(Identity::from_seed([number; 32]));
        let (inviting, joining) = (identity(5), identity(6));
        let held = [held(&inviting, 20, 2), held(&forge::rogue(), 30, 3)];
        Self { inviting, joining, held, voices: None }
    }

    fn config(&self, is_joining: bool) -> PeerSessionConfig {
        let invitation = Invitation::new(self.inviting.device(), [0xab; 16], time());
        let (identity, role) = if is_joining {
            (&self.joining, PeerRole::Joining(invitation.code().clone()))
        } else {
            (&self.inviting, PeerRole::Inviting(Arc::new(invitation)))
        };
        PeerSessionConfig { identity: identity.clone(), role, ephemeral: [0x5a; 32], spaces: SPACES.into() }
    }

    fn end(&self, session: PeerSession, is_joining: bool) -> End<'_> {
        End { session, held: &self.held[usize::from(is_joining)], happened: 0, is_over: false }
    }

    fn pair(&self) -> (PeerVoice, PeerVoice) {
        PeerVoice::pair(&self.inviting, &self.joining, time()).unwrap()
    }

    /// What two honest ends say behind the encryption: the inviting one, the joining one.
    fn conversation(&self) -> [Vec<Vec<u8>>; 2] {
        // Somebody between them who holds the other half of each one's handshake.
        let (inviting, with_inviting) = self.pair();
        let (with_joining, joining) = self.pair();
        let inviting = inviting.session(self.config(false), time());
        let joining = joining.session(self.config(true), time());
        let (mut voices, mut said) = ([with_inviting, with_joining], [Vec::new(), Vec::new()]);
        let mut ends = [self.end(inviting, false), self.end(joining, true)];
        let mut waiting = ends.each_mut().map(|end| end.perform(time()));
        for _ in 0..20 {
            for from in [1, 0] {
                for frame in std::mem::take(&mut waiting[from]) {
                    let Some(words) = voices[from].hear(&frame).unwrap() else { continue };
                    assert_said(&words);
                    let to = 1 - from;
                    for frame in voices[to].say(&words) {
                        let answers = ends[to].handle(PeerInput::Frame(frame), time());
                        waiting[to].extend(answers);
                    }
                    said[from].push(words);
                }
            }
        }
        assert!(ends.iter().all(|end| end.session.report().is_complete), "the two ends got on");
        said
    }

    /// What two honest ends send while their handshake lasts, and after it: the same.
    fn frames(&self) -> [Vec<Vec<u8>>; 2] {
        let mut ends = [false, true]
            .map(|is_joining| self.end(PeerSession::new(self.config(is_joining), time()), is_joining));
        let mut sent = ends.each_mut().map(|end| end.perform(time()));
        let mut handed = [0, 0];
        for _ in 0..20 {
            for from in [1, 0] {
                while let Some(frame) = sent[from].get(handed[from]).cloned() {
                    handed[from] += 1;
                    let answers = ends[1 - from].handle(PeerInput::Frame(frame), time());
                    sent[1 - from].extend(answers);
                }
            }
        }
        assert!(ends.iter().all(|end| end.session.report().is_complete), "the two ends got on");
        sent
    }

    /// The inputs that a packet stands for. Before the handshake nothing can be said behind it.
    fn inputs(packet: &[u8], voice: Option<&mut PeerVoice>, now: &mut Timestamp) -> Vec<PeerInput> {
        let Some((what, rest)) = packet.split_first() else { return Vec::new() };
        match (what % 4, voice) {
            (SAY, Some(voice)) => voice.say(rest).into_iter().map(PeerInput::Frame).collect(),
            (SAY | FRAME, _) => vec![PeerInput::Frame(rest.to_vec())],
            (LATER, _) => {
                *now = super::session::time_after(*now, rest);
                vec![PeerInput::Tick]
            }
            _ => match rest.first() {
                Some(1) => vec![PeerInput::Cancel],
                Some(2) => vec![PeerInput::Fail],
                Some(3) => vec![PeerInput::Cut],
                _ => Vec::new(),
            },
        }
    }

    fn run_before(&self, is_joining: bool, packets: &[&[u8]]) -> u64 {
        let mut now = time();
        let mut end = self.end(PeerSession::new(self.config(is_joining), now), is_joining);
        end.perform(now);
        for packet in packets {
            for input in Self::inputs(packet, None, &mut now) {
                end.handle(input, now);
            }
        }
        end.happened
    }

    fn run_after(&mut self, is_joining: bool, packets: &[&[u8]]) -> u64 {
        let (inviting, joining) = self.voices.take().unwrap_or_else(|| self.pair());
        let (mine, mut other) = if is_joining { (joining, inviting) } else { (inviting, joining) };
        let mut now = time();
        let mut end = self.end(mine.session(self.config(is_joining), now), is_joining);
        let hear = |other: &mut PeerVoice, frames: Vec<Vec<u8>>| {
            for frame in frames {
                if let Some(said) = other.hear(&frame).unwrap() {
                    assert_said(&said);
                }
            }
        };
        let begun = end.perform(now);
        hear(&mut other, begun);
        for packet in packets {
            // Whatever came after the end would be heard by nobody.
            if end.is_over {
                break;
            }
            if let [SAY, said @ ..] = packet
                && let Ok(written) = rewrite_peer(said)
            {
                assert_eq!(written, said, "a message has one form only");
            }
            for input in Self::inputs(packet, Some(&mut other), &mut now) {
                let answers = end.handle(input, now);
                hear(&mut other, answers);
            }
        }
        let happened = end.happened;
        let mine = PeerVoice::of(end.session).unwrap();
        self.voices = Some(if is_joining { (other, mine) } else { (mine, other) });
        happened
    }
}

fn as_input(head: u8, what: u8, packets: &[Vec<u8>]) -> Vec<u8> {
    let packets = packets.iter().map(|packet| [&[what], packet.as_slice()].concat());
    packets::join(std::iter::once(vec![head]).chain(packets))
}

impl Target for Peer {
    fn name(&self) -> &'static str {
        "peer-session"
    }

    fn is_packets(&self) -> bool {
        true
    }

    fn len_max(&self) -> usize {
        8192
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let [by_inviting, by_joining] = self.conversation();
        let [from_inviting, from_joining] = self.frames();
        let later = packets::join([&[LATER, 0xff, 0xff][..], &[3, 1]]);
        let one = |said: &Vec<u8>| packets::join([&[0][..], &[&[SAY], said.as_slice()].concat()]);
        let each = by_inviting.iter().chain(&by_joining).map(one);
        vec![
            as_input(0, SAY, &by_joining),
            as_input(IS_JOINING, SAY, &by_inviting),
            as_input(IS_BEFORE, FRAME, &from_joining),
            as_input(IS_BEFORE | IS_JOINING, FRAME, &from_inviting),
            [as_input(0, SAY, &by_joining[..3]), later].concat(),
        ]
        .into_iter()
        .chain(each)
        .collect()
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let kinds = [1u8, 2, 3, 4, 5, BATCH, 0x11, 0x12, 0x7f].map(|kind| vec![kind]);
        let spaces = self.pair().1.spaces(&SPACES);
        let batches = self.held.iter().flatten().map(|batch| batch.as_bytes().to_vec());
        kinds.into_iter().chain([spaces]).chain(batches).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let packets = packets::split(input);
        let Some((first, rest)) = packets.split_first() else { return 0 };
        let head = first.first().copied().unwrap_or(0);
        let is_joining = head & IS_JOINING != 0;
        let rest = &rest[..rest.len().min(64)];
        let happened = if head & IS_BEFORE != 0 {
            self.run_before(is_joining, rest)
        } else {
            self.run_after(is_joining, rest)
        };
        signal((head & 3, happened))
    }
}
