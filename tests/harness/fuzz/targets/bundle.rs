//! A bundle: a file that was found on a stick, altered there, or made by somebody who knows whom it
//! is for.

use std::collections::HashSet;

use barid_core::batch::{Lane, SealedBatch};
use barid_core::bundle::{BundleError, BundleItem, BundleReader, BundleWriter, Manifest, missing};
use barid_core::clock::Timestamp;
use barid_core::id::{BatchId, DeviceId, SpaceId};
use barid_core::identity::Identity;

use super::super::{Target, bits, kind, packets, signal};
use crate::forge::{self, Chain};

/// The first byte says whether the rest is a file as it lies there, or the manifest and the items of
/// one that is encrypted to the reader after the mutation.
pub(super) struct Bundle {
    reader: Identity,
    batches: Vec<SealedBatch>,
}

const ENCRYPTED: u8 = 1;
/// What precedes a batch, and what ends a file.
const ITEM_BATCH: u8 = 1;
const ITEM_END: u8 = 2;

impl Bundle {
    pub(super) fn new() -> Self {
        let key = forge::rogue();
        let chain = |space: u8, lane, count: usize| {
            let mut chain = Chain::new(&key, 1, SpaceId::from_bytes([space; 32]), lane);
            let batch = |number: usize| SealedBatch::parse(chain.next(&[vec![200, number as u8]])).unwrap();
            (0..count).map(batch).collect::<Vec<_>>()
        };
        let batches = [chain(3, Lane::Urgent, 1), chain(3, Lane::Normal, 3), chain(4, Lane::Normal, 2)];
        Self { reader: Identity::from_seed([5; 32]), batches: batches.concat() }
    }

    /// A file that names these batches and holds them.
    fn file(&self, batches: &[SealedBatch]) -> Vec<u8> {
        let mut manifest = Manifest::new(Timestamp::from_millis(1_790_000_000_000));
        batches.iter().for_each(|batch| manifest.add(batch));
        let begun = BundleWriter::begin(Vec::new(), self.reader.device(), &manifest, RANDOM);
        let mut writer = begun.unwrap();
        batches.iter().for_each(|batch| writer.batch(batch).unwrap());
        writer.finish().unwrap()
    }

    /// The manifest's own bytes.
    fn manifest(&self, batches: &[SealedBatch]) -> Vec<u8> {
        let mut bytes = 1_790_000_000_000i64.to_be_bytes().to_vec();
        forge::put_uleb(&mut bytes, batches.iter().map(|batch| batch.as_bytes().len() as u64).sum());
        let chains: Vec<&[SealedBatch]> =
            batches.chunk_by(|one, next| one.header().space == next.header().space).collect();
        forge::put_uleb(&mut bytes, chains.len() as u64);
        for chain in chains {
            bytes.extend(chain[0].header().space.as_bytes());
            let runs: Vec<_> = chain.chunk_by(|one, next| one.header().lane == next.header().lane).collect();
            forge::put_uleb(&mut bytes, runs.len() as u64);
            for run in runs {
                let header = run[0].header();
                bytes.extend(header.device.as_bytes());
                bytes.extend(header.incarnation.as_bytes());
                bytes.push(header.lane as u8);
                forge::put_uleb(&mut bytes, header.seq);
                forge::put_uleb(&mut bytes, run.len() as u64);
                run.iter().for_each(|batch| bytes.extend(batch.id().as_bytes()));
            }
        }
        bytes
    }

    /// The file that an input stands for.
    fn build(&self, input: &[u8]) -> Vec<u8> {
        let (mode, rest) = input.split_first().unwrap_or((&0, &[]));
        if mode % 2 != ENCRYPTED {
            return rest.to_vec();
        }
        let parts = packets::split(rest);
        // Nothing is encrypted of nothing.
        let manifest = parts.first().copied().filter(|manifest| !manifest.is_empty()).unwrap_or(&[0]);
        let recipient: DeviceId = self.reader.device();
        let mut writer = BundleWriter::begin_with(Vec::new(), recipient, manifest, RANDOM).unwrap();
        for item in parts.iter().skip(1).filter(|item| !item.is_empty()) {
            writer.say(item).unwrap();
        }
        if mode % 4 == ENCRYPTED { writer.finish().unwrap() } else { writer.into_inner() }
    }
}

/// The same for every file, so that one that is written again is the same bytes.
const RANDOM: [u8; 40] = [0x5a; 40];

impl Target for Bundle {
    fn name(&self) -> &'static str {
        "bundle"
    }

    fn len_max(&self) -> usize {
        8192
    }

    fn is_packets(&self) -> bool {
        true
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let items = self.batches.iter().map(|batch| [&[ITEM_BATCH], batch.as_bytes()].concat());
        let parts = || std::iter::once(self.manifest(&self.batches)).chain(items.clone());
        let encrypted = |mode: u8, parts: Vec<Vec<u8>>| [vec![mode], packets::join(parts)].concat();
        let ended = parts().chain([vec![ITEM_END]]).collect();
        let one = &self.batches[..1];
        vec![
            [vec![0], self.file(&self.batches)].concat(),
            [vec![0], self.file(one)].concat(),
            encrypted(1, parts().collect()),
            encrypted(1, ended),
            encrypted(3, parts().take(3).collect()),
            encrypted(1, vec![self.manifest(one)]),
            encrypted(1, vec![self.manifest(&[])]),
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let ids = self.batches.iter().map(|batch| batch.id().as_bytes().to_vec());
        let numbers =
            [&[0xff, 0xff, 0x7f][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[2]];
        ids.chain(numbers.map(<[u8]>::to_vec)).chain([b"\x89BARIDB\n\0".to_vec()]).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let file = self.build(input);
        let mut reader = match BundleReader::open(&file[..], &self.reader) {
            Ok(reader) => reader,
            Err(error) => return signal((1, kind(&error))),
        };
        if input[0] % 2 == ENCRYPTED {
            let said = packets::split(&input[1..]).first().copied().unwrap_or_default();
            assert_eq!(reader.manifest().to_bytes(), said, "what a manifest says has one form only");
        }
        let named = reader.manifest().count();
        let (mut seen, mut batches, mut last) = (HashSet::<BatchId>::new(), Vec::new(), None);
        loop {
            match reader.next_item() {
                Ok(Some(BundleItem::Batch(batch))) => {
                    seen.insert(batch.id());
                    batches.push(batch);
                }
                Ok(Some(BundleItem::Unread(id))) => drop(seen.insert(id)),
                Ok(None) => break,
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        if let Some(BundleError::Torn { offset } | BundleError::Damaged { offset }) = &last {
            assert!(*offset <= file.len() as u64, "a place in the file");
        }
        assert!(matches!(reader.next_item(), Ok(None)), "after the end there is nothing");
        let is_altered = input[0] % 2 != ENCRYPTED;
        assert!(!is_altered || self.batches.starts_with(&batches), "an altered file gives nothing new");
        let lacking: usize = missing(reader.manifest(), &seen).iter().map(|run| run.batches.len()).sum();
        let ids = reader.manifest().spaces.iter().flat_map(|space| &space.runs).flat_map(|run| &run.batches);
        assert_eq!(lacking, ids.filter(|id| !seen.contains(*id)).count(), "what is not there is missing");
        signal((2, last.map(|error| kind(&error)), bits(named), bits(batches.len()), bits(lacking)))
    }
}
