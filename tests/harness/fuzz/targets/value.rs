//! Small formats: values in CBOR, track chunks, control statements.

use barid_core::batch::{BatchKind, Entry, Lane};
use barid_core::clock::Timestamp;
use barid_core::control::{
    Membership, SpaceKind, SpaceOrganisation, Statement as Said, admit_device, found_organisation,
    found_space,
};
use barid_core::id::{BatchId, DeviceId, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::value::{fields_from_cbor, fields_to_cbor};
use barid_core::model::{Gap, Position, TrackChunk, Value as Held};

use super::super::{Target, bits, kind, signal};
use crate::forge::{Chain, raw_body};
use crate::phone::event_fields;

/// A value in its deterministic form.
pub(super) struct Value;

impl Target for Value {
    fn name(&self) -> &'static str {
        "value"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let nested = (0..8).fold(Held::Null, |inner, _| Held::List(vec![inner]));
        let deep = vec![0x81; 3000];
        vec![
            fields_to_cbor(&event_fields(1)),
            nested.to_cbor(),
            Held::Bytes(vec![1; 30]).to_cbor(),
            Held::Float(1.5).to_cbor(),
            deep,
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        // Lengths that promise much, lengths that promise no end, tags, special numbers.
        [
            &[0x9f][..],
            &[0xbf],
            &[0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5a, 0x7f, 0xff, 0xff, 0xff],
            &[0x7f],
            &[0xc0],
            &[0xf9, 0x7e, 0x00],
            &[0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0x81, 0x81, 0x81, 0x81],
            &[0xff],
        ]
        .map(<[u8]>::to_vec)
        .into()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        match Held::from_cbor(input) {
            Err(error) => signal((1, kind(&error))),
            Ok(value) => {
                assert_eq!(value.to_cbor(), input, "one form only");
                assert!(value.check().is_ok(), "what is read can be stored");
                if let Ok(fields) = fields_from_cbor(input) {
                    assert_eq!(fields_to_cbor(&fields), input);
                }
                signal((2, kind(&value), bits(input.len())))
            }
        }
    }
}

/// A track chunk, alone and as an entry.
pub(super) struct Track;

impl Target for Track {
    fn name(&self) -> &'static str {
        "track"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let position = |number: i64| Position {
            time: Timestamp::from_millis(1_790_000_000_000 + number * 5000),
            lat_e7: 235_000_000 + number as i32 * 700,
            lon_e7: -150_000_000 + number as i32 * 600,
            accuracy_m: (number % 40) as u16,
        };
        let gap = Gap { from: position(3).time, to: position(9).time, reason: "no_fix".to_owned() };
        let chunk = |count: i64, gaps: Vec<Gap>| TrackChunk {
            id: RecordId::from_bytes([1; 16]),
            patrol: RecordId::from_bytes([2; 16]),
            positions: (0..count).map(position).collect(),
            gaps,
        };
        [chunk(1, vec![]), chunk(20, vec![gap.clone(), gap.clone()]), chunk(0, vec![gap])]
            .map(|chunk| chunk.to_bytes().unwrap())
            .into()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let entry = Entry::decode(&[&[2], input].concat());
        match TrackChunk::from_bytes(input) {
            Err(error) => {
                assert!(matches!(entry, Entry::Unreadable { .. }), "an entry says the same");
                signal((1, kind(&error)))
            }
            Ok(chunk) => {
                assert_eq!(chunk.to_bytes().as_deref(), Ok(input), "one form only");
                let signal = signal((2, bits(chunk.positions.len()), bits(chunk.gaps.len())));
                assert_eq!(entry, Entry::Track(chunk));
                signal
            }
        }
    }
}

/// A control statement: read, written again, applied by an administrator, a member and a stranger.
pub(super) struct Statement {
    administrator: Identity,
    space: SpaceId,
    statements: Vec<Vec<u8>>,
}

impl Statement {
    pub(super) fn new() -> Self {
        let administrator = Identity::from_seed([1; 32]);
        let key = administrator.device();
        let (organisation, founded) = found_organisation("police", "شرطة", "Police", key, [1; 16]).unwrap();
        let organisations = [SpaceOrganisation { id: organisation, key }];
        let (space, begun) =
            found_space(SpaceKind::Joint, "مشترك", "Joint", &[key], &organisations, [2; 16]).unwrap();
        let admitted = admit_device(DeviceId::from_bytes([9; 32]), 1, organisation, "One", "patrol").unwrap();
        Self { administrator, space, statements: vec![begun, founded, admitted] }
    }
}

impl Target for Statement {
    fn name(&self) -> &'static str {
        "statement"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        self.statements.clone()
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let names =
            ["type", "id", "version", "device", "revoke", "erase", "adopt", "discard", "critical", "cut"];
        let texts = names.map(|name| [&[0x60 | name.len() as u8], name.as_bytes()].concat());
        texts
            .into_iter()
            .chain([vec![0x81], vec![0xa1], vec![0x9f], self.space.as_bytes().to_vec()])
            .collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let said = match Said::from_bytes(input) {
            Ok(said) => said,
            Err(error) => return signal((1, kind(&error))),
        };
        if let Ok(written) = said.to_bytes() {
            // A first statement's id is the hash of its bytes, and a part that this version does not
            // know is not written again: only then is it another one.
            let again = Said::from_bytes(&written);
            assert!(
                again.is_ok_and(|again| kind(&again) == kind(&said) && (written != input || again == said))
            );
        }
        let mut membership = Membership::new(self.space);
        let founder = self.administrator.device();
        let batch = |number: u8| BatchId::from_bytes([number; 32]);
        for (number, statement) in (1u8..).zip(&self.statements) {
            membership.apply(founder, batch(number), statement).unwrap();
        }
        let stranger = Identity::from_seed([8; 32]);
        let outcomes = [founder, DeviceId::from_bytes([9; 32]), stranger.device()]
            .map(|signer| membership.apply(signer, batch(77), input).is_ok());
        // And who belongs is still a question with an answer.
        let chain = Chain::new(&stranger, 1, self.space, Lane::Urgent);
        let mut header = chain.header(&raw_body(&[vec![3, 0xa0]]));
        header.kind = BatchKind::Control;
        let verdict = membership.verdict(&header, batch(78));
        signal((2, kind(&said), outcomes, kind(&verdict)))
    }
}
