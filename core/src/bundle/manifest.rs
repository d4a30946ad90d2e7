//! The manifest: what a bundle holds, said before it.

use crate::batch::{Lane, SealedBatch};
use crate::clock::Timestamp;
use crate::codec::{ReadError, Reader, put_varint};
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};
use crate::limits::{BUNDLE_BATCHES_MAX, LINK_SPACES_MAX};

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// When it was made, by the clock of who made it.
    pub created: Timestamp,
    /// Bytes of all batches.
    pub batches_len: u64,
    /// The spaces, each once.
    pub spaces: Vec<ManifestSpace>,
}

/// What it holds of one space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSpace {
    /// The space.
    pub space: SpaceId,
    /// Runs of batches, in the order of their first ones in the file.
    pub runs: Vec<ManifestRun>,
}

/// Some batches of one chain that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRun {
    /// Whose chain it is.
    pub device: DeviceId,
    /// The database file that wrote it.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The first one's place in the chain.
    pub from: u64,
    /// The batches from there on.
    pub batches: Vec<BatchId>,
}

impl Manifest {
    /// Names nothing yet.
    pub fn new(created: Timestamp) -> Self {
        Self { created, batches_len: 0, spaces: Vec::new() }
    }

    /// Names one more batch.
    pub fn add(&mut self, batch: &SealedBatch) {
        let header = batch.header();
        self.batches_len += batch.as_bytes().len() as u64;
        let at = self.spaces.iter().position(|space| space.space == header.space).unwrap_or_else(|| {
            self.spaces.push(ManifestSpace { space: header.space, runs: Vec::new() });
            self.spaces.len() - 1
        });
        let runs = &mut self.spaces[at].runs;
        let continues = |run: &&mut ManifestRun| {
            (run.device, run.incarnation, run.lane) == (header.device, header.incarnation, header.lane)
                && run.from + run.batches.len() as u64 == header.seq
        };
        match runs.iter_mut().rev().find(continues) {
            Some(run) => run.batches.push(batch.id()),
            None => runs.push(ManifestRun {
                device: header.device,
                incarnation: header.incarnation,
                lane: header.lane,
                from: header.seq,
                batches: vec![batch.id()],
            }),
        }
    }

    /// How many batches it names.
    pub fn count(&self) -> usize {
        self.spaces.iter().flat_map(|space| &space.runs).map(|run| run.batches.len()).sum()
    }

    /// Its bytes: what is read is written as the same ones.
    #[doc(hidden)]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.created.as_millis().to_be_bytes());
        put_varint(&mut out, self.batches_len);
        put_varint(&mut out, self.spaces.len() as u64);
        for space in &self.spaces {
            out.extend(space.space.as_bytes());
            put_varint(&mut out, space.runs.len() as u64);
            for run in &space.runs {
                out.extend(run.device.as_bytes());
                out.extend(run.incarnation.as_bytes());
                out.push(run.lane as u8);
                put_varint(&mut out, run.from);
                put_varint(&mut out, run.batches.len() as u64);
                run.batches.iter().for_each(|batch| out.extend(batch.as_bytes()));
            }
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let created = Timestamp::from_millis(reader.i64()?);
        let batches_len = reader.varint()?;
        let count = count(&mut reader, LINK_SPACES_MAX)?;
        let mut left = BUNDLE_BATCHES_MAX;
        let mut spaces = Vec::with_capacity(count);
        for _ in 0..count {
            spaces.push(ManifestSpace::decode(&mut reader, &mut left)?);
        }
        if reader.is_empty() { Ok(Self { created, batches_len, spaces }) } else { Err(ReadError) }
    }
}

impl ManifestSpace {
    fn decode(reader: &mut Reader<'_>, left: &mut usize) -> Result<Self, ReadError> {
        let space = SpaceId::from_bytes(reader.array()?);
        let runs = count(reader, *left)?;
        let runs = (0..runs).map(|_| ManifestRun::decode(reader, left)).collect::<Result<_, _>>()?;
        Ok(Self { space, runs })
    }
}

impl ManifestRun {
    fn decode(reader: &mut Reader<'_>, left: &mut usize) -> Result<Self, ReadError> {
        let device = DeviceId::from_bytes(reader.array()?);
        let incarnation = Incarnation::from_bytes(reader.array()?);
        let lane = Lane::from_u8(reader.u8()?).ok_or(ReadError)?;
        let from = reader.varint()?;
        let count = count(reader, *left)?;
        let last = from.checked_add(count as u64).ok_or(ReadError)?;
        if from == 0 || count == 0 || i64::try_from(last).is_err() {
            return Err(ReadError);
        }
        *left -= count;
        let batch = |reader: &mut Reader<'_>| Ok(BatchId::from_bytes(reader.array()?));
        let batches = (0..count).map(|_| batch(reader)).collect::<Result<_, ReadError>>()?;
        Ok(Self { device, incarnation, lane, from, batches })
    }
}

fn count(reader: &mut Reader<'_>, max: usize) -> Result<usize, ReadError> {
    let count = reader.varint()?;
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(ReadError)
}
