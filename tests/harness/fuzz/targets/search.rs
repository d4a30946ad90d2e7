//! What an app asks its store: every filter, words in any script, pages; answers that agree with each
//! other.

use std::sync::Arc;

use barid_core::clock::Timestamp;
use barid_core::id::{OrganisationId, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::event;
use barid_core::store::{PageToken, Query, Record, Store, StoreConfig};

use super::super::{Target, bits, signal};
use super::Choices;
use crate::phone::event_fields;

/// Records in the store.
const RECORDS: usize = 40;

/// The first byte says which filters there are; each takes what it needs of the rest, and the words are
/// what is left.
pub(super) struct Search {
    store: Store,
    spaces: [SpaceId; 2],
    /// Two of the records, to go on after.
    tokens: Vec<PageToken>,
}

impl Search {
    pub(super) fn new() -> Self {
        let identity = Some(Arc::new(Identity::from_seed([5; 32])));
        let store = Store::open(StoreConfig { identity, ..StoreConfig::in_memory() }).unwrap();
        let spaces = [3, 4].map(|space| SpaceId::from_bytes([space; 32]));
        spaces.iter().for_each(|space| store.join_space(*space).unwrap());
        let mut ids: Vec<(SpaceId, &str, RecordId)> = Vec::new();
        for number in 0..RECORDS {
            let space = spaces[number % 2];
            let kind = if number % 5 == 0 { "own.kind" } else { event::NAME };
            // Some of one time, so that ids decide.
            let fields = event_fields(number - number % 3);
            ids.push((space, kind, store.write(|group| group.put(space, kind, None, fields)).unwrap()));
        }
        for (space, kind, id) in ids.into_iter().step_by(7) {
            store.write(|group| group.withdraw(space, kind, id)).unwrap();
        }
        let page = store.query(&Query { limit: 5, ..Query::default() }).unwrap();
        let token = |record: &Record| PageToken {
            time: record.time,
            id: record.id,
            space: record.space,
            kind: record.kind.clone(),
        };
        let tokens = page.records.iter().map(token).collect();
        Self { store, spaces, tokens }
    }

    fn query(&self, input: &[u8]) -> Query {
        let mut choices = Choices(input);
        let (has, more) = (choices.byte(), choices.byte());
        let number = |choices: &mut Choices<'_>| {
            let mut bytes = [0; 8];
            let taken = choices.take(8);
            bytes[..taken.len()].copy_from_slice(taken);
            u64::from_be_bytes(bytes)
        };
        let mut query = Query { limit: usize::from(4 + (more >> 3)), ..Query::default() };
        query.include_withdrawn = more & 1 != 0;
        query.conflicts_only = more & 6 == 6;
        if has & 1 != 0 {
            query.space = Some(self.spaces[choices.below(2)]);
        }
        if has & 2 != 0 {
            query.kind = Some([event::NAME, "own.kind", "", "a\0b"][choices.below(4)].to_owned());
        }
        if has & 4 != 0 {
            query.from = Some(Timestamp::from_millis(number(&mut choices) as i64));
        }
        if has & 8 != 0 {
            query.to = Some(Timestamp::from_millis(number(&mut choices) as i64));
        }
        if has & 16 != 0 {
            query.bbox = Some([0; 4].map(|_| f64::from_bits(number(&mut choices))));
        }
        if has & 32 != 0 {
            match choices.below(3) {
                0 => query.state = Some("new".to_owned()),
                1 => query.changed_since = Some(number(&mut choices)),
                _ => query.organisation = Some(OrganisationId::from_bytes([7; 32])),
            }
        }
        if has & 64 != 0 {
            let mut token = self.tokens[choices.below(self.tokens.len())].clone();
            match choices.below(3) {
                0 => token.time = Timestamp::from_millis(number(&mut choices) as i64),
                1 => token.space = SpaceId::from_bytes([choices.byte(); 32]),
                _ => {}
            }
            query.after = Some(token);
        }
        if has & 128 != 0 {
            query.text = Some(String::from_utf8_lossy(choices.0).into_owned());
        }
        query
    }
}

impl Target for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn len_max(&self) -> usize {
        1024
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let of = |head: [u8; 2], parts: &[&[u8]]| [&head[..], &parts.concat()].concat();
        let time = |second: i64| (1_790_000_000_000 + second * 1000).to_be_bytes();
        let degrees = [20.0f64, 9.0, 33.0, 25.0].map(|degree| degree.to_bits().to_be_bytes()).concat();
        let over_the_line = [-90.0f64, 170.0, 90.0, 10.01].map(|degree| degree.to_bits().to_be_bytes());
        vec![
            of([0, 0xff], &[]),
            of([3, 0x39], &[&[1, 0]]),
            of([12, 0x18], &[&time(3), &time(20)]),
            of([16, 0x20], &[&degrees]),
            of([16, 0x21], &[&over_the_line.concat()]),
            of([32, 8], &[&[1, 0, 0, 0, 0, 0, 0, 0, 9]]),
            of([64, 0x11], &[&[2, 2]]),
            of([128, 0xf9], &["البئر".as_bytes()]),
            of([128, 0x19], &["Vehicle والركاب بخ".as_bytes()]),
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        [
            "ال", "و", "ات", "\u{640}", "\u{202e}", "\u{301}", "٠١", "\"", "*", " NEAR(", " OR ", "-", "^",
            "\0", "ﷺ",
        ]
        .map(|word| word.as_bytes().to_vec())
        .into_iter()
        .chain([f64::NAN, f64::INFINITY, -0.0, 180.0, -90.0].map(|degree| degree.to_be_bytes().to_vec()))
        .collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut query = self.query(input);
        let has_after = query.after.is_some();
        let mut found: Vec<Record> = Vec::new();
        let mut pages = 0;
        loop {
            pages += 1;
            let page = self.store.query(&query).unwrap();
            assert!(page.records.len() <= query.limit.max(1), "a page holds no more than was asked for");
            found.extend(page.records);
            match page.next {
                Some(next) => {
                    assert_eq!(next.to_string().parse(), Ok(next.clone()), "a token reads back as it was");
                    query.after = Some(next);
                }
                None => break,
            }
            assert!(pages <= RECORDS, "pages come to an end");
        }
        let in_order = |pair: &[Record]| {
            let key = |r: &Record| (std::cmp::Reverse(r.time), r.id, r.space, r.kind.clone());
            key(&pair[0]) < key(&pair[1])
        };
        assert!(found.windows(2).all(in_order), "the newest first, and each once");
        if !has_after {
            let count = self.store.count(&Query { after: None, ..query.clone() }).unwrap();
            assert_eq!(count, found.len() as u64, "what is counted is what the pages hold");
        }
        let withdrawn = found.iter().filter(|record| record.withdrawn).count();
        assert!(withdrawn == 0 || query.include_withdrawn);
        signal((input.first(), bits(found.len()), bits(pages), withdrawn > 0))
    }
}
