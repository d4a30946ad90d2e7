//! What is worth bringing back from a damaged database, and where it lies.
//!
//! A batch proves itself, in whatever column of whatever table it lies. A pending row is known by the
//! shape of its table and by its body: a change's own checksum, a track chunk's canonical form. Only
//! where they lie is kept in memory; the bytes are read again when they are needed.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};

use super::carve::{Carved, Place, Row, carve};
use super::pages::DamagedFile;
use super::record::Column;
use crate::batch::{BatchKind, Header, Lane, SealedBatch};
use crate::document;
use crate::id::{ActorId, BatchId, ChangeHash, DeviceId, Incarnation, RecordId, SpaceId};
use crate::limits::{BATCH_LEN_MAX, CHANGE_LEN_MAX, KIND_LEN_MAX};
use crate::model::TrackChunk;
use crate::store::SETTING_PREFIX;

/// Bytes of a setting that is kept in memory, at most.
const SETTING_LEN_MAX: usize = 64 * 1024;

/// Orders batches by chain, each from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BatchKey {
    pub(super) space: SpaceId,
    pub(super) device: DeviceId,
    pub(super) incarnation: Incarnation,
    pub(super) lane: Lane,
    pub(super) seq: u64,
    pub(super) id: BatchId,
}

impl BatchKey {
    pub(super) fn chain(&self) -> (SpaceId, DeviceId, Incarnation, Lane) {
        (self.space, self.device, self.incarnation, self.lane)
    }
}

/// A batch whose signature and contents hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundBatch {
    pub(super) place: Place,
    pub(super) prev: BatchId,
    pub(super) is_control: bool,
    /// Where the relay's log has it, if the row says so.
    pub(super) log_offset: Option<u64>,
    /// Whether the relay holds it, if the row says so.
    pub(super) acknowledged: Option<bool>,
    trust: Trust,
}

/// How much an image of a page says about the database: the more, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// The last write, perhaps cut off before its commit, or never meant to stand.
    Torn,
    /// Committed once, and written over or deleted since.
    Past,
    /// What SQLite would read now.
    Current,
}

impl Trust {
    fn of(row: &Row<'_>) -> Self {
        match (row.current, row.committed) {
            (true, _) => Self::Current,
            (false, true) => Self::Past,
            (false, false) => Self::Torn,
        }
    }
}

/// Orders pending rows as they were written. SQLite never gives a row's number twice here, so two
/// rows of one number are versions of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PendingKey {
    pub(super) row: i64,
    pub(super) body: [u8; 32],
}

/// What a pending row adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Adds {
    /// A change of a record of this kind.
    Change {
        /// The record's kind.
        kind: String,
        /// The change's name.
        hash: ChangeHash,
        /// Who wrote it.
        actor: ActorId,
    },
    /// A track chunk.
    Track,
}

/// A row of the table `pending` whose body is intact.
#[derive(Debug, Clone)]
pub(super) struct FoundPending {
    pub(super) place: Place,
    pub(super) space: SpaceId,
    pub(super) write_group: i64,
    pub(super) record: RecordId,
    pub(super) adds: Adds,
    /// A row of the past had been deleted because it was sealed; its batch may be lost.
    pub(super) trust: Trust,
}

/// What a setting was saved as.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Vec<u8>,
    trust: Trust,
}

/// Everything found.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// The spaces that the database knew, as joined.
    pub(super) spaces: Vec<SpaceId>,
    pub(super) batches: BTreeMap<BatchKey, FoundBatch>,
    pub(super) pending: BTreeMap<PendingKey, FoundPending>,
    /// Pending rows that nobody can say the space of.
    pub(super) homeless: u64,
    /// What this device had saved beside its records, by name.
    pub(super) settings: BTreeMap<String, Setting>,
    /// Whose file it is, if it still says so.
    pub(super) owner: Option<DeviceId>,
    /// Who wrote the changes of an actor, as the table `chain` says.
    pub(super) devices: HashMap<ActorId, DeviceId>,
    pub(super) carved: Carved,
}

impl Catalogue {
    /// Looks through every page.
    pub(super) fn read(file: &DamagedFile) -> Self {
        let mut catalogue = Self::default();
        let mut joined = BTreeSet::new();
        let mut seen = HashMap::<SpaceId, u32>::new();
        let mut judged = Judged::default();
        catalogue.carved = carve(file, |row| {
            if let Some(space) = named_space(row) {
                *seen.entry(space).or_default() += 1;
            }
            let Some(rowid) = row.rowid else { return catalogue.take_setting(row) };
            if let Some(space) = joined_space(row) {
                joined.insert((!row.current, rowid, space));
                return true;
            }
            if let Some((actor, device)) = chain_row(row) {
                catalogue.devices.insert(actor, device);
                return true;
            }
            catalogue.take_pending(row, rowid) || catalogue.take_batch(row, &mut judged)
        });
        catalogue.drop_what_failed();
        catalogue.settle_spaces(joined.into_iter().map(|(_, _, space)| space), &seen);
        catalogue
    }

    /// Lists the spaces: those that a batch proves or that are named twice. What a space is called is
    /// covered by no hash in a pending row, and a name that damage made up stands alone.
    fn settle_spaces(&mut self, joined: impl Iterator<Item = SpaceId>, seen: &HashMap<SpaceId, u32>) {
        let of_batches: BTreeSet<SpaceId> = self.batches.keys().map(|key| key.space).collect();
        let of_pending: BTreeSet<SpaceId> = self.pending.values().map(|found| found.space).collect();
        let named: Vec<_> = joined.chain(of_batches.iter().copied()).chain(of_pending).collect();
        let is_sure = |space: &SpaceId| of_batches.contains(space) || seen.get(space) > Some(&1);
        let has_sure = named.iter().any(is_sure);
        for space in named.into_iter().filter(|space| !has_sure || is_sure(space)) {
            if !self.spaces.contains(&space) {
                self.spaces.push(space);
            }
        }
        let (spaces, homeless) = (&self.spaces, &mut self.homeless);
        self.pending.retain(|_, found| {
            if let ([only], false) = (spaces.as_slice(), spaces.contains(&found.space)) {
                found.space = *only;
            }
            let is_known = spaces.contains(&found.space);
            *homeless += u64::from(!is_known);
            is_known
        });
    }

    fn take_batch(&mut self, row: &Row<'_>, judged: &mut Judged) -> bool {
        let mut found_one = false;
        for column in &row.columns {
            let Column::Blob(bytes) = column else { continue };
            let Some((key, header)) = judged.batch(bytes) else { continue };
            found_one = true;
            let (log_offset, acknowledged) = batch_columns(&row.columns);
            let trust = Trust::of(row);
            let found = FoundBatch {
                place: row.place,
                prev: header.prev,
                is_control: header.kind == BatchKind::Control,
                log_offset,
                acknowledged,
                trust,
            };
            insert_better(&mut self.batches, key, found, |found| found.trust);
        }
        found_one
    }

    fn take_pending(&mut self, row: &Row<'_>, rowid: i64) -> bool {
        let Some((found, body)) = pending_row(row) else { return false };
        let key = PendingKey { row: rowid, body: *blake3::hash(body).as_bytes() };
        insert_better(&mut self.pending, key, found, |found| found.trust);
        true
    }

    /// A row of the table `meta`, which is an index: it has no number.
    fn take_setting(&mut self, row: &Row<'_>) -> bool {
        let [Column::Text(key), Column::Blob(value)] = row.columns.as_slice() else { return false };
        if *key == b"device" && Trust::of(row) == Trust::Current {
            self.owner = self.owner.or(DeviceId::from_slice(value));
        }
        let name = str::from_utf8(key).ok().and_then(|key| key.strip_prefix(SETTING_PREFIX));
        if let Some(name) = name.filter(|_| value.len() <= SETTING_LEN_MAX) {
            let setting = Setting { value: value.to_vec(), trust: Trust::of(row) };
            insert_better(&mut self.settings, name.to_owned(), setting, |setting| setting.trust);
        }
        name.is_some()
    }

    /// Drops what was torn where the writer has gone on from before it: those writes failed, and
    /// whoever made them knows.
    fn drop_what_failed(&mut self) {
        let slot = |key: &BatchKey| (key.chain(), key.seq);
        let taken: HashSet<_> =
            self.batches.iter().filter(|(_, b)| b.trust > Trust::Torn).map(|(key, _)| slot(key)).collect();
        self.batches.retain(|key, found| found.trust > Trust::Torn || !taken.contains(&slot(key)));
        let taken: HashSet<_> =
            self.pending.iter().filter(|(_, p)| p.trust > Trust::Torn).map(|(key, _)| key.row).collect();
        self.pending.retain(|key, found| found.trust > Trust::Torn || !taken.contains(&key.row));
    }
}

fn insert_better<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, new: V, trust: impl Fn(&V) -> Trust) {
    match map.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(new);
        }
        Entry::Occupied(mut occupied) if trust(&new) > trust(occupied.get()) => {
            occupied.insert(new);
        }
        Entry::Occupied(_) => {}
    }
}

/// Batches already verified, so that older versions of a page cost no signature.
#[derive(Default)]
struct Judged {
    sound: HashSet<[u8; 32]>,
}

impl Judged {
    fn batch(&mut self, bytes: &[u8]) -> Option<(BatchKey, Header)> {
        if bytes.len() > BATCH_LEN_MAX {
            return None;
        }
        let batch = SealedBatch::parse(bytes).ok()?;
        let exact = *blake3::hash(bytes).as_bytes();
        if !self.sound.contains(&exact) {
            batch.verify_signature().ok()?;
            batch.open().ok()?;
            self.sound.insert(exact);
        }
        let header = batch.header();
        let key = BatchKey {
            space: header.space,
            device: header.device,
            incarnation: header.incarnation,
            lane: header.lane,
            seq: header.seq,
            id: batch.id(),
        };
        Some((key, header.clone()))
    }
}

/// The space that a row or an index entry begins with, if it looks like one that does.
fn named_space(row: &Row<'_>) -> Option<SpaceId> {
    match row.columns.as_slice() {
        [Column::Null, Column::Blob(space), ..] if row.rowid.is_some() => SpaceId::from_slice(space),
        [Column::Blob(space), ..] if row.rowid.is_none() => SpaceId::from_slice(space),
        _ => None,
    }
}

/// A row of the table `space`.
fn joined_space(row: &Row<'_>) -> Option<SpaceId> {
    match row.columns.as_slice() {
        [Column::Null, Column::Blob(space), log, offset, batch, _]
            if row.committed
                && matches!(log, Column::Null | Column::Blob(_))
                && matches!(offset, Column::Null | Column::Integer(_))
                && matches!(batch, Column::Null | Column::Blob(_)) =>
        {
            SpaceId::from_slice(space)
        }
        _ => None,
    }
}

/// A row of the table `chain`: whose device an actor is.
fn chain_row(row: &Row<'_>) -> Option<(ActorId, DeviceId)> {
    let [
        Column::Null,
        Column::Integer(_),
        Column::Blob(device),
        Column::Blob(incarnation),
        Column::Integer(_),
        Column::Blob(actor),
        Column::Integer(_),
        Column::Blob(_),
        _,
        _,
    ] = row.columns.as_slice()
    else {
        return None;
    };
    Incarnation::from_slice(incarnation)?;
    Some((ActorId::from_slice(actor)?, DeviceId::from_slice(device)?))
}

/// What the table `batch` says of a batch beside its bytes: its offset, and whether the relay has it.
fn batch_columns(columns: &[Column<'_>]) -> (Option<u64>, Option<bool>) {
    match columns {
        [Column::Null, Column::Blob(_), _, _, offset, _, acknowledged, _, _, _, Column::Blob(_), _] => {
            let offset = match offset {
                Column::Integer(offset) => u64::try_from(*offset).ok(),
                _ => None,
            };
            (offset, Some(*acknowledged == Column::Integer(1)))
        }
        _ => (None, None),
    }
}

/// A row of the table `pending`, and its body.
fn pending_row<'a>(row: &Row<'a>) -> Option<(FoundPending, &'a [u8])> {
    let [
        Column::Null,
        Column::Blob(space),
        Column::Integer(lane),
        Column::Integer(write_group),
        kind,
        Column::Blob(record),
        Column::Blob(body),
    ] = row.columns.as_slice()
    else {
        return None;
    };
    let adds = match kind {
        Column::Text(kind) if kind.len() <= KIND_LEN_MAX && body.len() <= CHANGE_LEN_MAX => {
            let kind = str::from_utf8(kind).ok().filter(|kind| !kind.is_empty())?.to_owned();
            let change = document::scan(body).ok()?;
            Adds::Change { kind, hash: change.hash, actor: change.actor }
        }
        Column::Null => TrackChunk::from_bytes(body)
            .ok()
            .filter(|chunk| chunk.id.as_bytes() == record)
            .map(|_| Adds::Track)?,
        _ => return None,
    };
    Lane::from_u8(u8::try_from(*lane).ok()?)?;
    let found = FoundPending {
        place: row.place,
        space: SpaceId::from_slice(space)?,
        write_group: *write_group,
        record: RecordId::from_slice(record)?,
        adds,
        trust: Trust::of(row),
    };
    Some((found, body))
}
