//! The two ends of a link: each takes a sequence of frames from an end that may send anything.

use std::sync::{Arc, LazyLock};

use barid_core::batch::{Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::{RefuseReason, RetryReason, Verdict};
use barid_core::id::{AttachmentHash, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use barid_core::identity::Identity;
use barid_core::limits::FRAME_LEN_MAX;
use barid_core::position::{QuarantineDigest, SpacePosition};
use barid_core::protocol::{
    self, AttachmentFetch, AttachmentKept, AttachmentOffer, AttachmentRefusal, DeviceInput, DeviceOutput,
    DeviceSession, DeviceSessionConfig, EnrolInput, EnrolOutput, EnrolSession, EnrolSessionConfig, Enrolment,
    Logged, OpenedSpace, RelayInput, RelayOutput, RelaySession, RelaySessionConfig,
};

use super::super::{Target, bits, kind, packets, signal};
use crate::forge::{self, Chain};

/// Outputs that one input may cause, at most: more would be a loop.
const OUTPUTS_MAX: usize = 10_000;

fn space(number: u8) -> SpaceId {
    SpaceId::from_bytes([number; 32])
}

// Made once: to make one costs more than most inputs.
static PHONE: LazyLock<Arc<Identity>> = LazyLock::new(|| Arc::new(Identity::from_seed([5; 32])));
static RELAY: LazyLock<Arc<Identity>> = LazyLock::new(|| Arc::new(Identity::from_seed([6; 32])));

/// What the relay has and the device wants; without its first byte, the other way round.
static PICTURE: [u8; 3_000] = {
    let mut bytes = [0; 3_000];
    let mut place = 0;
    while place < bytes.len() {
        bytes[place] = (place % 251) as u8 | 2;
        place += 1;
    }
    bytes
};

fn phone() -> Arc<Identity> {
    Arc::clone(&PHONE)
}

fn relay() -> Arc<Identity> {
    Arc::clone(&RELAY)
}

/// Batches of one chain.
fn batches(key: &Identity, incarnation: u64, lane: Lane, count: usize) -> Vec<SealedBatch> {
    let mut chain = Chain::new(key, incarnation, space(1), lane);
    let entry = |number: usize| vec![200u8, number as u8, 1, 2, 3];
    (0..count).map(|number| SealedBatch::parse(chain.next(&[entry(number)])).unwrap()).collect()
}

fn device_session() -> DeviceSession {
    let config = DeviceSessionConfig {
        identity: phone(),
        relay: relay().device(),
        nonce: [1; 16],
        incarnation: Incarnation::from_bytes([0, 0, 0, 0, 0, 0, 0, 9]),
        spaces: [space(1), space(2)]
            .map(|space| SpacePosition {
                space,
                cursor: None,
                own: Vec::new(),
                quarantined: QuarantineDigest::default(),
            })
            .into(),
        unsent: 3,
    };
    DeviceSession::new(config, Timestamp::from_millis(0))
}

fn relay_session() -> RelaySession {
    RelaySession::new(RelaySessionConfig { identity: relay(), nonce: [2; 16] }, Timestamp::from_millis(0))
}

fn enrol_session() -> EnrolSession {
    let config = EnrolSessionConfig {
        identity: phone(),
        relay: relay().device(),
        token: [4; 16],
        label: "كفرة".to_owned(),
        nonce: [3; 16],
    };
    EnrolSession::new(config, Timestamp::from_millis(0))
}

/// Performs a relay's outputs on a small log; what is to be sent is handed out.
fn perform_relay(session: &mut RelaySession, now: Timestamp, log: &[SealedBatch]) -> (Vec<Vec<u8>>, u64) {
    let (mut frames, mut happened, mut count) = (Vec::new(), 0, 0);
    while let Some(output) = session.poll_output() {
        count += 1;
        assert!(count < OUTPUTS_MAX, "an input causes a bounded number of outputs");
        happened |= 1 << (kind(&output) % 60);
        let input = match output {
            RelayOutput::Send(frame) => {
                assert!(frame.len() <= FRAME_LEN_MAX);
                frames.push(frame);
                continue;
            }
            RelayOutput::Open { spaces, .. } => {
                let opened = |(space_id, _): &(SpaceId, _)| {
                    if *space_id != space(1) {
                        return OpenedSpace::NotMember;
                    }
                    let len = log.iter().map(|batch| batch.as_bytes().len() as u64).sum();
                    OpenedSpace::Member {
                        log: LogId::from_bytes([7; 16]),
                        head: log.len() as u64,
                        at_cursor: None,
                        len_after_cursor: len,
                        len_total: len,
                        watermark: 0,
                        is_revoked: false,
                        quarantined: QuarantineDigest::default(),
                        own: Vec::new(),
                    }
                };
                RelayInput::Opened(spaces.iter().map(opened).collect())
            }
            RelayOutput::Enrol { .. } => RelayInput::Enrolled(Enrolment {
                organisation: OrganisationId::from_bytes([8; 32]),
                name_ar: "حرس".to_owned(),
                name_en: "Guard".to_owned(),
                spaces: vec![space(1)],
            }),
            RelayOutput::Append { batch, .. } => {
                let outcome = match batch.id().as_bytes()[0] % 4 {
                    0 => Verdict::RetryLater(RetryReason::UnknownDevice),
                    1 => Verdict::Refused(RefuseReason::Fork),
                    _ => Verdict::Accepted,
                };
                RelayInput::Appended { batch: batch.id(), outcome }
            }
            RelayOutput::ReadLog { space, after, .. } => {
                let (mut digest, mut batches) = (LogDigest::EMPTY, Vec::new());
                for (offset, batch) in (1u64..).zip(log) {
                    digest = digest.then(batch.id());
                    if offset > after && batches.len() < 2 {
                        batches.push(Logged { offset, digest, batch: Arc::from(batch.as_bytes()) });
                    }
                }
                let reached = batches.last().map(|last| (last.offset, last.digest));
                RelayInput::Read { space, batches, reached }
            }
            RelayOutput::ReadControl { space, .. } => {
                RelayInput::ControlRead { space, batches: Vec::new(), reached: log.len() as u64 }
            }
            RelayOutput::AttachmentOffered { space, hash, len } => match hash.as_bytes()[0] % 4 {
                0 => RelayInput::AttachmentHeld { space, hash, held: len, len, head: 3 },
                1 => RelayInput::AttachmentRefused { space, hash, refusal: AttachmentRefusal::Full },
                _ => RelayInput::AttachmentHeld { space, hash, held: 0, len, head: 3 },
            },
            RelayOutput::AttachmentPiece { space, hash, offset, bytes } => match bytes[0] % 4 {
                0 => RelayInput::AttachmentRefused { space, hash, refusal: AttachmentRefusal::Harmed },
                _ => {
                    let held = offset.saturating_add(bytes.len() as u64);
                    RelayInput::AttachmentHeld { space, hash, held, len: held.max(3_000), head: 3 }
                }
            },
            RelayOutput::AttachmentWanted { space, hash, offset, len_max } => {
                let part = PICTURE.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                let bytes = part[..part.len().min(len_max)].to_vec();
                match bytes.is_empty() || hash != AttachmentHash::of(&PICTURE) {
                    true => RelayInput::AttachmentLacking { space, hash },
                    false => {
                        let len = PICTURE.len() as u64;
                        RelayInput::AttachmentBytes { space, hash, len, offset, bytes }
                    }
                }
            }
            RelayOutput::Confirmed { .. } | RelayOutput::Seen { .. } | RelayOutput::WakeAt(_) => continue,
            RelayOutput::Closed(reason) => {
                happened ^= signal(reason.code().map(|code| kind(&code)));
                continue;
            }
        };
        session.handle(input, now);
    }
    (frames, happened)
}

/// Performs a device's outputs: it has a few batches to give, and takes whatever comes.
fn perform_device(
    session: &mut DeviceSession,
    now: Timestamp,
    own: &mut Vec<SealedBatch>,
) -> (Vec<Vec<u8>>, u64) {
    let (mut frames, mut happened, mut count) = (Vec::new(), 0, 0);
    while let Some(output) = session.poll_output() {
        count += 1;
        assert!(count < OUTPUTS_MAX, "an input causes a bounded number of outputs");
        happened |= 1 << (kind(&output) % 60);
        let input = match output {
            DeviceOutput::Send(frame) => {
                assert!(frame.len() <= FRAME_LEN_MAX);
                frames.push(frame);
                continue;
            }
            DeviceOutput::Wanted { .. } => {
                DeviceInput::Outgoing { batches: std::mem::take(own), exhausted: true }
            }
            DeviceOutput::Ingest { space, .. } => DeviceInput::Ingested { space },
            DeviceOutput::AttachmentsWanted { known, .. } => {
                let (space, hash) = (space(1), AttachmentHash::of(&PICTURE));
                let mine = (space, AttachmentHash::of(&PICTURE[1..]));
                let offer = AttachmentOffer {
                    space,
                    hash: mine.1,
                    len: PICTURE.len() as u64 - 1,
                    is_thumbnail: false,
                };
                let fetch = AttachmentFetch { space, hash, held: 0 };
                DeviceInput::Attachments {
                    offers: if known.contains(&mine) { Vec::new() } else { vec![offer] },
                    fetches: if known.contains(&(space, hash)) { Vec::new() } else { vec![fetch] },
                }
            }
            DeviceOutput::AttachmentPieceWanted { offset, len, .. } => {
                let part = PICTURE[1..].get(usize::try_from(offset).unwrap_or(usize::MAX)..);
                let bytes =
                    part.filter(|part| !part.is_empty()).map(|part| part[..part.len().min(len)].to_vec());
                DeviceInput::AttachmentPiece { bytes }
            }
            DeviceOutput::AttachmentCame { space, hash, len, offset, bytes } => {
                let held = offset + bytes.len() as u64;
                let kept = match bytes[0] % 5 {
                    0 => AttachmentKept::Harmed,
                    1 => AttachmentKept::Unwanted,
                    _ if held >= len => AttachmentKept::Whole,
                    _ => AttachmentKept::Part { held },
                };
                DeviceInput::AttachmentKept { space, hash, kept, len: bytes.len() as u64 }
            }
            DeviceOutput::Closed(reason) => {
                happened ^= signal(reason.code().map(|code| kind(&code)));
                continue;
            }
            _ => continue,
        };
        session.handle(input, now);
    }
    (frames, happened)
}

/// What both ends of a link and of an enrolment really say: frames up, frames down.
fn conversation() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let now = Timestamp::from_millis(0);
    let (mut device, mut relay) = (device_session(), relay_session());
    let log = batches(&forge::rogue(), 1, Lane::Normal, 5);
    let mut own = batches(&phone(), 9, Lane::Urgent, 3);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let (frames, _) = perform_device(&mut device, now, &mut own);
        frames.iter().for_each(|frame| relay.handle(RelayInput::Frame(frame.clone()), now));
        up.extend(frames);
        let (frames, _) = perform_relay(&mut relay, now, &log);
        frames.iter().for_each(|frame| device.handle(DeviceInput::Frame(frame.clone()), now));
        down.extend(frames);
    }
    assert!(up.len() >= 4 && down.len() >= 4, "the two ends got on with each other");
    (up, down)
}

fn enrolment() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let now = Timestamp::from_millis(0);
    let (mut device, mut relay) = (enrol_session(), relay_session());
    let up: Vec<_> = std::iter::from_fn(|| device.poll_output())
        .filter_map(|output| if let EnrolOutput::Send(frame) = output { Some(frame) } else { None })
        .collect();
    up.iter().for_each(|frame| relay.handle(RelayInput::Frame(frame.clone()), now));
    (up, perform_relay(&mut relay, now, &[]).0)
}

/// What a packet of an input means.
const FRAME: u8 = 0;
const LATER: u8 = 1;
const OTHER: u8 = 2;

/// The frames as packets that hand them in, one by one.
fn as_input(frames: &[Vec<u8>]) -> Vec<u8> {
    packets::join(frames.iter().map(|frame| [&[FRAME], frame.as_slice()].concat()))
}

pub(super) fn time_after(now: Timestamp, rest: &[u8]) -> Timestamp {
    let two = [rest.first().copied().unwrap_or(0), rest.get(1).copied().unwrap_or(0)];
    now.plus_millis(i64::from(u16::from_be_bytes(two)) * 4)
}

/// One frame alone: what is read is written as the same bytes.
pub(super) struct Frame;

impl Target for Frame {
    fn name(&self) -> &'static str {
        "frame"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let (link, enrolment) = (conversation(), enrolment());
        let mut frames = [link.0, link.1, enrolment.0, enrolment.1].concat();
        frames.sort();
        frames.dedup();
        frames
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let kinds = [
            1u8, 2, 3, 4, 0x10, 0x11, 0x12, 0x18, 0x19, 0x20, 0x21, 0x22, 0x30, 0x31, 0x40, 0x41, 0x42, 0x43,
            0x44, 0x45, 0x46, 0x47, 0x48, 0x7f,
        ];
        kinds.map(|kind| vec![kind]).into()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        match protocol::rewrite(input) {
            Ok(written) => {
                assert_eq!(written, input, "a message has one form only");
                signal((1, input[0], bits(input.len())))
            }
            Err(code) => signal((2, kind(&code), input.first())),
        }
    }
}

/// The relay's end.
pub(super) struct Relay {
    log: Vec<SealedBatch>,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self { log: batches(&forge::rogue(), 1, Lane::Normal, 5) }
    }
}

impl Target for Relay {
    fn name(&self) -> &'static str {
        "relay-session"
    }

    fn is_packets(&self) -> bool {
        true
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let (up, down) = conversation();
        let other =
            [as_input(&up), packets::join([&[OTHER, 5][..], &[LATER, 0xff, 0xff], &[LATER, 9, 9]])].concat();
        vec![as_input(&up), as_input(&enrolment().0), as_input(&down), other]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut session = relay_session();
        let mut now = Timestamp::from_millis(0);
        let mut happened = perform_relay(&mut session, now, &self.log).1;
        for packet in packets::split(input).into_iter().take(64) {
            let Some((what, rest)) = packet.split_first() else { continue };
            let input = match what % 3 {
                FRAME => RelayInput::Frame(rest.to_vec()),
                LATER => {
                    now = time_after(now, rest);
                    RelayInput::Tick
                }
                _ => {
                    RelayInput::News { space: space(1), head: u64::from(rest.first().copied().unwrap_or(0)) }
                }
            };
            session.handle(input, now);
            happened |= perform_relay(&mut session, now, &self.log).1;
        }
        happened
    }
}

/// The device's end, enrolled or enrolling.
pub(super) struct Device {
    own: Vec<SealedBatch>,
}

impl Device {
    pub(super) fn new() -> Self {
        Self { own: batches(&phone(), 9, Lane::Urgent, 3) }
    }
}

impl Target for Device {
    fn name(&self) -> &'static str {
        "device-session"
    }

    fn is_packets(&self) -> bool {
        true
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let (up, down) = conversation();
        let enrols = packets::join([[&[OTHER], enrolment().1[0].as_slice()].concat()]);
        let later = [as_input(&down), packets::join([&[LATER, 0xff, 0xff][..], &[LATER, 9, 9]])].concat();
        vec![as_input(&down), as_input(&up), enrols, later]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut session = device_session();
        let mut own = self.own.clone();
        let mut now = Timestamp::from_millis(0);
        let mut happened = perform_device(&mut session, now, &mut own).1;
        for packet in packets::split(input).into_iter().take(64) {
            let Some((what, rest)) = packet.split_first() else { continue };
            match what % 3 {
                FRAME => session.handle(DeviceInput::Frame(rest.to_vec()), now),
                LATER => {
                    now = time_after(now, rest);
                    session.handle(DeviceInput::Tick, now);
                }
                _ => {
                    let mut enrolling = enrol_session();
                    enrolling.handle(EnrolInput::Frame(rest.to_vec()), now);
                    let outputs = std::iter::from_fn(|| enrolling.poll_output());
                    happened |= outputs.fold(0, |all, output| all | 1 << (kind(&output) % 60));
                }
            }
            happened |= perform_device(&mut session, now, &mut own).1;
        }
        happened
    }
}
