//! Batches that a hostile member seals with its own, real key: small on the link, meant to be large
//! behind it. They are made here and not kept as files.
//!
//! Each stands in a chain of its own, so that none waits for another.

mod deflate;

use barid_core::batch::{BatchKind, BodyEncoding, Extension, Header, Lane};
use barid_core::clock::Timestamp;
use barid_core::document::{NewChange, Op, encode};
use barid_core::id::{ActorId, ChangeHash, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::{Fields, Value};

use crate::forge::change::{self, Parts, run, uleb};
use crate::forge::{Chain, RawBody, change_entry, put_sleb, put_uleb, raw_body};

/// Milliseconds of the first moment of year 1, and of the last of year 9999.
const YEAR_1: i64 = -62_135_596_800_000;
const YEAR_9999: i64 = 253_402_300_799_999;

/// What becomes of a bomb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The relay does not take the batch.
    Refused,
    /// The relay takes the batch, whose content is the readers' business; they pass over what is bad.
    Taken,
    /// It is odd and allowed: readers show it.
    Shown,
    /// It stands or goes into quarantine, as the ids decide.
    Judged,
}

/// One batch, or several that belong together.
#[derive(Debug, Clone)]
pub struct Bomb {
    /// What is tried.
    pub name: &'static str,
    /// The batches, in order.
    pub batches: Vec<Vec<u8>>,
    /// What is to become of each.
    pub fate: Fate,
}

/// Makes bombs for one member of a space.
#[derive(Debug)]
pub struct Maker<'a> {
    key: &'a Identity,
    space: SpaceId,
    incarnation: u64,
    bombs: Vec<Bomb>,
}

/// The whole corpus.
pub fn corpus(key: &Identity, space: SpaceId) -> Vec<Bomb> {
    let mut maker = Maker { key, space, incarnation: 0x0b00_0000, bombs: Vec::new() };
    maker.carriers();
    maker.changes();
    maker.histories();
    maker.oddities();
    maker.statements();
    maker.bombs
}

fn record(number: u8) -> [u8; 16] {
    [number; 16]
}

/// An honest change of one field.
fn honest(
    actor: [u8; 16],
    seq: u64,
    start_op: u64,
    deps: Vec<ChangeHash>,
    value: impl Into<Value>,
) -> Vec<u8> {
    let time = Timestamp::from_millis(1_790_000_000_000);
    let ops = vec![Op { key: "title".to_owned(), value: Some(value.into()), predecessors: Vec::new() }];
    encode(&NewChange { actor: ActorId::from_bytes(actor), seq, start_op, time, deps, ops }).unwrap()
}

impl<'a> Maker<'a> {
    fn chain(&mut self) -> Chain<'a> {
        self.incarnation += 1;
        Chain::new(self.key, self.incarnation, self.space, Lane::Normal)
    }

    fn add(&mut self, name: &'static str, fate: Fate, batches: Vec<Vec<u8>>) {
        self.bombs.push(Bomb { name, batches, fate });
    }

    /// A batch with this header, changed, and this stored body.
    fn batch(&mut self, body: &RawBody, change: impl FnOnce(&mut Header), stored: &[u8]) -> Vec<u8> {
        let mut chain = self.chain();
        let mut header = chain.header(body);
        change(&mut header);
        chain.push(&header, stored)
    }

    /// One change, alone in a batch, by the actor that the chain asks for.
    fn change(&mut self, name: &'static str, fate: Fate, make: impl FnOnce([u8; 16]) -> Vec<u8>) {
        let mut chain = self.chain();
        let change = make(chain.actor());
        let batch = chain.next(&[change_entry(record(1), b"event", 0, &change)]);
        self.add(name, fate, vec![batch]);
    }

    /// Batches whose envelope lies.
    fn carriers(&mut self) {
        let zeros = RawBody { bytes: vec![0; 200 * 1024], hash: [1; 32], count: 1 };
        let packed = zstd::bulk::compress(&zeros.bytes, 19).unwrap();
        let is_zstd = |header: &mut Header| header.encoding = BodyEncoding::Zstd;
        let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
        let frame = self.batch(&zeros, is_zstd, &bomb);
        self.add("zstd of 64 MiB that says so", Fate::Refused, vec![frame]);

        // The content size stands behind the descriptor: four bytes in a frame of this size.
        let mut lying = packed.clone();
        let size_at = lying.windows(4).position(|four| four == (200u32 * 1024).to_le_bytes()).unwrap();
        for (name, size) in [("zstd that says less than it holds", 17u32), ("zstd that says 4 GiB", u32::MAX)]
        {
            lying[size_at..size_at + 4].copy_from_slice(&size.to_le_bytes());
            let frame = self.batch(&zeros, is_zstd, &lying);
            self.add(name, Fate::Refused, vec![frame]);
        }
        // Descriptor 0: no content size, a window byte follows; 0xff is the largest window there is.
        let windowed = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff][..], &[0x01, 0, 0]].concat();
        let frame = self.batch(&zeros, is_zstd, &windowed);
        self.add("zstd with a window of terabytes", Fate::Refused, vec![frame]);
        // The same with a content size of eight bytes that fits the header's claim.
        let mut sized = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0xff];
        sized.extend((200u64 * 1024).to_le_bytes());
        sized.extend([0x01, 0, 0]);
        let frame = self.batch(&zeros, is_zstd, &sized);
        self.add("zstd with a window of terabytes and a modest size", Fate::Refused, vec![frame]);
        let empty = zstd::bulk::compress(&[], 1).unwrap();
        let frames = empty.repeat(240 * 1024 / empty.len());
        let frame = self.batch(&zeros, is_zstd, &frames);
        self.add("zstd of many thousand frames", Fate::Refused, vec![frame]);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff][..], &packed].concat();
        let frame = self.batch(&zeros, is_zstd, &skippable);
        self.add("zstd behind a frame to be skipped of 4 GiB", Fate::Refused, vec![frame]);
        let frame = self.batch(&zeros, is_zstd, &packed);
        self.add("zstd of zeros that are no body", Fate::Refused, vec![frame]);
        let frame = self.batch(&zeros, |header| header.raw_len = u32::MAX, &[0; 40]);
        self.add("a body of 4 GiB by its header", Fate::Refused, vec![frame]);
        let frame = self.batch(&zeros, |header| header.count = u16::MAX, &[0; 40]);
        self.add("65,535 entries by its header", Fate::Refused, vec![frame]);
        let extension = Extension { tag: 1, critical: false, bytes: vec![0; 60_000] };
        let frame = self.batch(&zeros, |header| header.extensions = vec![extension], &[0; 40]);
        self.add("extensions of 60 kB", Fate::Refused, vec![frame]);
        let entry =
            change_entry(record(1), b"event", 0, &change::chunk(2, &deflate::zeros(512 * 1024 * 1024)));
        let body = raw_body(&[entry]);
        let frame = self.batch(&body, |_| (), &body.bytes.clone());
        self.add("a DEFLATE change of 512 MiB", Fate::Refused, vec![frame]);
        let many: Vec<Vec<u8>> = vec![vec![200]; 512];
        let batch = self.chain().next(&many);
        self.add("512 entries that nobody knows", Fate::Taken, vec![batch]);
    }

    /// Changes that are small and say much.
    fn changes(&mut self) {
        let rows = 10_000_000;
        self.change("a change of ten million operations", Fate::Taken, |actor| {
            let mut parts = Parts::first(actor, 1);
            let mut keys = Vec::new();
            put_sleb(&mut keys, rows as i64);
            put_uleb(&mut keys, 1);
            keys.push(b'k');
            parts.columns = vec![
                (21, keys),
                (52, uleb(rows)),
                (66, run(rows, 1)),
                (86, run(rows, 0)),
                (112, run(rows, 0)),
            ];
            parts.to_bytes()
        });
        // The same with every key a byte of its own, as long as a change may be.
        self.change("a change of 60,000 short keys", Fate::Taken, |actor| {
            let mut parts = Parts::first(actor, 1);
            let mut keys = Vec::new();
            put_sleb(&mut keys, -30_000);
            (0..30_000).for_each(|_| keys.extend([1, b'k']));
            parts.columns[0].1 = keys;
            parts.columns[1].1 = uleb(30_000);
            parts.to_bytes()
        });
        self.change("ten million predecessors", Fate::Taken, |actor| {
            let mut parts = Parts::first(actor, 1);
            (parts.seq, parts.start_op) = (2, 100);
            parts.deps = vec![[7; 32]];
            *parts.column(112) = run(1, rows);
            parts.columns.extend([(113, run(rows, 0)), (115, run(rows, 1))]);
            parts.to_bytes()
        });
        self.change("a compressed change of 60 MiB in an entry", Fate::Taken, |_| {
            let packed = deflate::zeros(60 * 1024 * 1024);
            assert!(packed.len() < 63_000);
            change::chunk(2, &packed)
        });
        self.change("a compressed column", Fate::Taken, |actor| {
            let mut parts = Parts::first(actor, 1);
            parts.columns[0] = (21 | 8, deflate::zeros(60 * 1024 * 1024));
            parts.to_bytes()
        });
        self.change("a whole document", Fate::Taken, |_| change::chunk(0, &[0; 60_000]));
        self.change("values nested 60,000 deep", Fate::Taken, |actor| with_value(actor, &[0x81; 60_000]));
        self.change("a list of 2^60 values", Fate::Taken, |actor| {
            with_value(actor, &[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0, 0xf6])
        });
        self.change("bytes of 2 GiB", Fate::Taken, |actor| {
            with_value(actor, &[0x5a, 0x7f, 0xff, 0xff, 0xff])
        });
        self.change("a table of 3,000 actors", Fate::Taken, |actor| {
            let others = (0..3000u32).map(|number| [number.to_be_bytes(); 4].concat()).collect();
            Parts { others, ..Parts::first(actor, 1) }.to_bytes()
        });
        self.change("a table of 2^63 actors", Fate::Taken, |actor| {
            let mut body = Parts::first(actor, 1).body();
            let at =
                body.len() - Parts::first(actor, 1).columns.iter().map(|(_, c)| c.len()).sum::<usize>() - 12;
            body.splice(at..at + 1, uleb(1 << 63));
            change::chunk(1, &body)
        });
        self.change("1,900 ancestors that nobody has", Fate::Taken, |actor| {
            let deps =
                (0..1900u32).map(|number| [number.to_be_bytes(); 8].concat().try_into().unwrap()).collect();
            Parts { deps, seq: 2, start_op: 9, ..Parts::first(actor, 1) }.to_bytes()
        });
        self.change("an actor of 60,000 bytes", Fate::Taken, |_| {
            Parts { actor: vec![1; 60_000], ..Parts::first([1; 16], 1) }.to_bytes()
        });
        self.change("a counter at its end", Fate::Taken, |actor| {
            Parts { seq: u64::MAX, start_op: u64::MAX, ..Parts::first(actor, 1) }.to_bytes()
        });
        self.change("a chunk that says it is 2^60 long", Fate::Taken, |_| {
            [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1][..], &uleb(1 << 60)].concat()
        });
        self.change("a change by somebody else", Fate::Taken, |_| {
            honest([0x42; 16], 1, 1, Vec::new(), "forged")
        });
    }

    /// Changes that are sound one by one.
    fn histories(&mut self) {
        let mut chain = self.chain();
        let actor = chain.actor();
        let two = ["one", "other"].map(|value| honest(actor, 1, 1, Vec::new(), value));
        let entries = two.map(|change| change_entry(record(2), b"event", 0, &change));
        let batch = chain.next(&entries);
        self.add("one number for two contents, in one batch", Fate::Shown, vec![batch]);

        let mut chain = self.chain();
        let one =
            chain.next(&[change_entry(record(3), b"event", 0, &honest(chain.actor(), 1, 1, vec![], "a"))]);
        let mut again = Chain { seq: 0, prev: barid_core::id::BatchId::from_bytes([0; 32]), ..chain };
        let other =
            again.next(&[change_entry(record(3), b"event", 0, &honest(again.actor(), 1, 1, vec![], "b"))]);
        self.add("the chain's first batch", Fate::Shown, vec![one]);
        self.add("another first batch of the same chain", Fate::Judged, vec![other]);

        // A hash cannot be among its own ancestors; two that name what the other claims to be can.
        let mut chain = self.chain();
        let claimed = [[0xaa; 32], [0xbb; 32]].map(ChangeHash::from_bytes);
        let cycle: Vec<Vec<u8>> = [(0, claimed[1]), (1, claimed[0])]
            .map(|(number, dep)| honest(chain.actor(), 2 + number, 10, vec![dep], "cycle"))
            .iter()
            .map(|change| change_entry(record(4), b"event", 0, change))
            .collect();
        let batch = chain.next(&cycle);
        self.add("changes that wait for each other", Fate::Taken, vec![batch]);

        let mut chain = self.chain();
        let missing: Vec<Vec<u8>> = (0..512u32)
            .map(|number| {
                let deps = (0..64u32).map(|dep| {
                    ChangeHash::from_bytes(
                        [number.to_be_bytes(), dep.to_be_bytes()].concat().repeat(4).try_into().unwrap(),
                    )
                });
                let mut deps: Vec<_> = deps.collect();
                deps.sort_unstable();
                let mut record = record(5);
                record[..4].copy_from_slice(&number.to_be_bytes());
                change_entry(record, b"event", 0, &honest(chain.actor(), 2, 10, deps, "waits"))
            })
            .take(110)
            .collect();
        let batch = chain.next(&missing);
        self.add("7,000 ancestors that nobody has", Fate::Taken, vec![batch]);

        // Many who all create the same record, each with names of its own: every name is compared
        // with everybody's.
        let captures: Vec<Vec<u8>> = (0..12u32)
            .map(|number| {
                let mut chain = self.chain();
                let names = (0..4000u32).map(|name| (format!("{number:02x}{name:03x}"), Value::Null));
                let value = Value::Map(Fields::from_iter(names));
                let op = Op { key: "@".to_owned(), value: Some(value), predecessors: Vec::new() };
                let time = Timestamp::from_millis(1);
                let actor = ActorId::from_bytes(chain.actor());
                let new = NewChange { actor, seq: 1, start_op: 1, time, deps: Vec::new(), ops: vec![op] };
                chain.next(&[change_entry(record(6), b"event", 0, &encode(&new).unwrap())])
            })
            .collect();
        self.add("48,000 captured names in conflict", Fate::Shown, captures);
    }

    /// What is strange and allowed.
    fn oddities(&mut self) {
        for (name, time, id) in [
            ("year 1", YEAR_1, record(10)),
            ("year 9999", YEAR_9999, record(11)),
            ("the end of time", i64::MAX, record(12)),
            ("the beginning of time", i64::MIN, record(13)),
        ] {
            let mut chain = self.chain();
            let ops = vec![
                Op { key: "time".to_owned(), value: Some(Value::Int(time)), predecessors: Vec::new() },
                Op { key: "title".to_owned(), value: Some(name.into()), predecessors: Vec::new() },
            ];
            let actor = ActorId::from_bytes(chain.actor());
            let at = Timestamp::from_millis(time);
            let new = NewChange { actor, seq: 1, start_op: 1, time: at, deps: Vec::new(), ops };
            let body = raw_body(&[change_entry(id, b"event", 0, &encode(&new).unwrap())]);
            let header = Header { claimed_time: at, ..chain.header(&body) };
            let batch = chain.push(&header, &body.bytes);
            self.add(name, Fate::Shown, vec![batch]);
        }
        let mut chain = self.chain();
        let change = honest(chain.actor(), 1, 1, Vec::new(), "zero");
        let batch = chain.next(&[change_entry([0; 16], b"event", 0, &change)]);
        self.add("a record whose id is all zeros", Fate::Shown, vec![batch]);
        let kinds: [&[u8]; 6] = [
            b"ev\0ent",
            b"\x1b[2J\x07\r\n",
            "\u{202e}tneve\u{2066}".as_bytes(),
            "event\u{200b}".as_bytes(),
            b"' OR 1=1 --",
            b"../../relay",
        ];
        let mut chain = self.chain();
        let change = honest(chain.actor(), 1, 1, Vec::new(), "\u{202e}\0<script>alert(1)</script>\u{1b}[2J");
        let entries: Vec<Vec<u8>> =
            (20..).zip(kinds).map(|(number, kind)| change_entry(record(number), kind, 0, &change)).collect();
        let batch = chain.next(&[entries, vec![change_entry(record(30), b"\xff\xfe", 0, &change)]].concat());
        self.add("kinds with control characters, bidi and NUL", Fate::Taken, vec![batch]);
    }

    /// Control statements by a member who may make none: until it may, the relay does not take them.
    fn statements(&mut self) {
        let nested = [&[0xa1, 0x61, b'x'][..], &[0x81; 16_000]].concat();
        let critical = [&[0xa2, 0x64][..], b"type", &[0x63], b"zzz", &[0x68], b"critical", &[0xf5]].concat();
        let unknown = [&[0xa1, 0x64][..], b"type", &[0x63], b"abc"].concat();
        for (name, statement, count) in [
            ("a statement nested 16,000 deep", nested, 1),
            ("a critical statement that nobody knows", critical, 1),
            ("512 statements of a kind that nobody knows", unknown, 512),
            ("a statement that is no map", vec![0xff; 16_000], 1),
        ] {
            let body = raw_body(&vec![[&[3][..], &statement].concat(); count]);
            let control = |header: &mut Header| {
                (header.kind, header.lane) = (BatchKind::Control, Lane::Urgent);
            };
            let batch = self.batch(&body, control, &body.bytes.clone());
            self.add(name, Fate::Refused, vec![batch]);
        }
    }
}

/// A first change with one value of Automerge's type for bytes, as it is.
fn with_value(actor: [u8; 16], value: &[u8]) -> Vec<u8> {
    let mut parts = Parts::first(actor, 1);
    *parts.column(86) = run(1, (value.len() as u64) << 4 | 7);
    parts.columns.insert(4, (87, value.to_vec()));
    parts.to_bytes()
}
