//! `barid quarantine`: what revoked devices wrote after trust in them had ended, and what becomes of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barid_core::batch::Lane;
use barid_core::clock::{Timestamp, system_clock};
use barid_core::control::discard as discard_statements;
use barid_core::control::{Cut, Discarded, QuarantineReason, StatementError, adopt as adopt_statements};
use barid_core::id::{BatchId, DeviceId, Incarnation, SpaceId};
use barid_core::model::value::{Fields, Value};

use super::AdminError;
use super::device::{self, Listed};
use super::signers::{Signers, find_space, operator, space_name};
use crate::data_dir::DataDir;
use crate::log::reader::LogReader;
use crate::log::trail::Decision;
use crate::log::writer::{Append, LogWriter, OwnStatements};
use crate::log::{LogError, LogState, QuarantinedBatch};

/// Statements of the greatest length that fit a batch.
const STATEMENTS_MAX: usize = 15;

/// What is in quarantine of one chain, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where.
    pub space: SpaceId,
    /// The space's name in English.
    pub space_name: String,
    /// Whose it is.
    pub device: DeviceId,
    /// What the device is called; empty if no statement names it.
    pub label: String,
    /// The database file that wrote it.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// Why it is there.
    pub reason: QuarantineReason,
    /// The first and the last place in the chain.
    pub seqs: (u64, u64),
    /// Batches.
    pub batches: usize,
    /// Changes and other entries in them.
    pub entries: u64,
    /// Their bytes.
    pub len: u64,
    /// When the first and the last of them came.
    pub received: (Timestamp, Timestamp),
}

/// Which part of what a device has in quarantine is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// In one space alone: its name or id.
    pub space: Option<String>,
    /// In one lane alone.
    pub lane: Option<Lane>,
    /// Up to this place of each chain.
    pub up_to: Option<u64>,
    /// Where there are several branches: up to this batch, with what leads to it.
    pub batch: Option<BatchId>,
}

/// What was decided, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// Batches.
    pub batches: usize,
    /// Changes and other entries in them.
    pub entries: u64,
    /// Batches of the part meant that stay as they are: of another branch, or not joined to what stands.
    pub left: usize,
}

/// One chain with what is in quarantine of it.
struct Chain {
    space: SpaceId,
    incarnation: Incarnation,
    lane: Lane,
    batches: Vec<QuarantinedBatch>,
}

/// Everything in quarantine that was not discarded.
pub fn list(data: &DataDir) -> Result<Vec<Held>, AdminError> {
    let labels: BTreeMap<_, _> =
        device::list(data)?.into_iter().map(|device| (device.id, device.label)).collect();
    let state = LogWriter::open(&data.log_db(), system_clock())?.state();
    let reader = LogReader::open(&data.log_db())?;
    let mut all = Vec::new();
    for space in state.spaces.keys() {
        let mut held: BTreeMap<_, Held> = BTreeMap::new();
        for batch in reader.quarantined(*space)? {
            let Some(sealed) = &batch.batch else { continue };
            let key = (batch.device, batch.incarnation, batch.lane, batch.reason.code());
            let held = held.entry(key).or_insert_with(|| Held {
                space: *space,
                space_name: space_name(&state, *space),
                device: batch.device,
                label: labels.get(&batch.device).cloned().unwrap_or_default(),
                incarnation: batch.incarnation,
                lane: batch.lane,
                reason: batch.reason,
                seqs: (batch.seq, batch.seq),
                batches: 0,
                entries: 0,
                len: 0,
                received: (batch.received_at, batch.received_at),
            });
            held.seqs = (held.seqs.0.min(batch.seq), held.seqs.1.max(batch.seq));
            held.received = (held.received.0.min(batch.received_at), held.received.1.max(batch.received_at));
            held.batches += 1;
            held.entries += u64::from(sealed.header().count);
            held.len += batch.len;
        }
        all.extend(held.into_values());
    }
    Ok(all)
}

/// Lets stand what a revoked device wrote beyond its cut: all of it, or a part.
pub fn adopt(data: &DataDir, device: &Listed, part: &Part) -> Result<Decided, AdminError> {
    let decide = |append: &mut Append<'_>, chains: Vec<Chain>| {
        let mut decided = Decided::default();
        let mut adopted: BTreeMap<SpaceId, Vec<Cut>> = BTreeMap::new();
        for chain in chains {
            let heights = append.heights(chain.space, device.id)?;
            let stands = heights
                .iter()
                .find(|height| (height.incarnation, height.lane) == (chain.incarnation, chain.lane))
                .map_or((0, BatchId::from_bytes([0; 32])), |height| (height.seq, height.batch));
            let branch = branch_to_adopt(&chain.batches, stands, part);
            decided.left += chain.batches.len() - branch.len();
            if let Some(last) = branch.last() {
                let cut =
                    Cut { incarnation: chain.incarnation, lane: chain.lane, seq: last.seq, batch: last.id };
                adopted.entry(chain.space).or_default().push(cut);
            }
            decided.count(&branch);
        }
        let statements = |cuts| adopt_statements(device.id, cuts);
        Ok((decided, each(adopted, statements)?))
    };
    decide_on(data, device, part, "adopt", "adopted", decide)
}

/// Lets be deleted for good what a revoked device wrote beyond its cut: all of it, or a part.
pub fn discard(data: &DataDir, device: &Listed, part: &Part) -> Result<Decided, AdminError> {
    let decide = |_: &mut Append<'_>, chains: Vec<Chain>| {
        let (decided, discarded) = to_discard(&chains);
        let statements = |chains| discard_statements(device.id, chains);
        Ok((decided, each(discarded, statements)?))
    };
    decide_on(data, device, part, "discard", "discarded", decide)
}

/// What [`discard`] would do.
pub fn would_discard(data: &DataDir, device: &Listed, part: &Part) -> Result<Decided, AdminError> {
    let state = LogWriter::open(&data.log_db(), system_clock())?.state();
    Ok(to_discard(&meant(data, &state, device, part)?).0)
}

fn to_discard(chains: &[Chain]) -> (Decided, BTreeMap<SpaceId, Vec<Discarded>>) {
    let mut decided = Decided::default();
    let mut discarded: BTreeMap<SpaceId, Vec<Discarded>> = BTreeMap::new();
    for Chain { space, incarnation, lane, batches } in chains {
        let late: Vec<_> = batches.iter().filter(|batch| batch.reason == QuarantineReason::Revoked).collect();
        decided.left += batches.len() - late.len();
        decided.count(&late);
        if let Some(seq) = late.iter().map(|batch| batch.seq).max() {
            let (incarnation, lane) = (*incarnation, *lane);
            discarded.entry(*space).or_default().push(Discarded { incarnation, lane, seq });
        }
    }
    (decided, discarded)
}

impl Decided {
    fn count(&mut self, batches: &[&QuarantinedBatch]) {
        self.batches += batches.len();
        let count =
            |batch: &&QuarantinedBatch| batch.batch.as_ref().map_or(0, |sealed| sealed.header().count);
        self.entries += batches.iter().map(|batch| u64::from(count(batch))).sum::<u64>();
    }
}

type Statements = Vec<(SpaceId, Vec<Vec<u8>>)>;

fn each<T>(
    by_space: BTreeMap<SpaceId, Vec<T>>,
    statements: impl Fn(Vec<T>) -> Result<Vec<Vec<u8>>, StatementError>,
) -> Result<Statements, LogError> {
    let all = by_space
        .into_iter()
        .map(|(space, chains)| Ok((space, statements(chains).map_err(LogError::OwnStatement)?)));
    all.collect()
}

/// Finds what is meant, asks what is to be stated about it, and states it, in one transaction.
fn decide_on(
    data: &DataDir,
    device: &Listed,
    part: &Part,
    action: &'static str,
    done: &'static str,
    decide: impl FnOnce(&mut Append<'_>, Vec<Chain>) -> Result<(Decided, Statements), LogError>,
) -> Result<Decided, AdminError> {
    let signers = Signers::load(data)?;
    let mut log = LogWriter::open(&data.log_db(), system_clock())?;
    let state = log.state();
    let chains = meant(data, &state, device, part)?;
    // Found out before anything is written: whether the keys are here.
    for space in chains.iter().map(|chain| chain.space).collect::<BTreeSet<_>>() {
        let known = state.spaces.get(&space);
        if known.is_none_or(|known| signers.on_device(&known.membership, device.id).is_none()) {
            return Err(AdminError::NoSigner(space));
        }
    }
    let decided = log.transact(|append| {
        let (decided, statements) = decide(append, chains)?;
        for (space, statements) in statements {
            let membership = append.membership(space)?;
            let signer = membership.and_then(|membership| signers.on_device(&membership, device.id));
            let Some(signer) = signer else { return Err(LogError::Contradiction { offset: 0 }) };
            for statements in statements.chunks(STATEMENTS_MAX) {
                let (signer, statements) = (Arc::clone(&signer), statements.to_vec());
                let batch = append.statements(&OwnStatements { space, signer, statements })?;
                append.note(&Decision {
                    action,
                    by: operator(),
                    details: Fields::from([
                        ("device".to_owned(), Value::Bytes(device.id.as_bytes().to_vec())),
                        ("space".to_owned(), Value::Bytes(space.as_bytes().to_vec())),
                        ("statement".to_owned(), Value::Bytes(batch.as_bytes().to_vec())),
                    ]),
                })?;
            }
        }
        Ok(decided)
    })?;
    if decided.batches == 0 {
        return Err(AdminError::NothingQuarantined(device.label.clone(), done));
    }
    Ok(decided)
}

/// The chains of a device that have something of the part meant.
fn meant(data: &DataDir, state: &LogState, device: &Listed, part: &Part) -> Result<Vec<Chain>, AdminError> {
    let space = part.space.as_deref().map(|text| find_space(state, text)).transpose()?;
    let reader = LogReader::open(&data.log_db())?;
    let mut chains = Vec::new();
    for id in state.spaces.keys().filter(|id| space.is_none_or(|wanted| wanted == **id)) {
        chains.extend(chains_of(*id, device.id, reader.quarantined(*id)?, part));
    }
    Ok(chains)
}

fn chains_of(space: SpaceId, device: DeviceId, batches: Vec<QuarantinedBatch>, part: &Part) -> Vec<Chain> {
    let mut chains: BTreeMap<(Incarnation, Lane), Vec<QuarantinedBatch>> = BTreeMap::new();
    let is_meant = |batch: &QuarantinedBatch| {
        batch.device == device
            && batch.batch.is_some()
            && part.lane.is_none_or(|lane| lane == batch.lane)
            && part.up_to.is_none_or(|seq| batch.seq <= seq)
    };
    for batch in batches.into_iter().filter(is_meant) {
        chains.entry((batch.incarnation, batch.lane)).or_default().push(batch);
    }
    let chain = |((incarnation, lane), batches)| Chain { space, incarnation, lane, batches };
    chains.into_iter().map(chain).collect()
}

/// The batches that follow what stands, up to the batch asked for or else along the longest branch; of
/// several equally long ones, the one that ends with the smallest id.
fn branch_to_adopt<'a>(
    batches: &'a [QuarantinedBatch],
    stands: (u64, BatchId),
    part: &Part,
) -> Vec<&'a QuarantinedBatch> {
    let mut joined: BTreeMap<(u64, BatchId), Vec<&QuarantinedBatch>> = BTreeMap::from([(stands, Vec::new())]);
    let mut by_place: Vec<&QuarantinedBatch> = batches.iter().collect();
    by_place.sort_by_key(|batch| (batch.seq, batch.id));
    for batch in by_place {
        let Some(prev) = batch.batch.as_ref().map(|sealed| sealed.header().prev) else { continue };
        if let Some(before) = joined.get(&(batch.seq.saturating_sub(1), prev)) {
            let branch = [before.as_slice(), &[batch]].concat();
            joined.insert((batch.seq, batch.id), branch);
        }
    }
    let ends = joined.into_iter().filter(|((_, id), _)| part.batch.is_none_or(|wanted| wanted == *id));
    ends.max_by_key(|(end, _)| (end.0, Reverse(end.1))).map(|(_, branch)| branch).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
