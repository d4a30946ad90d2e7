//! What is decided about a device that is no longer trusted, and about a record that must go.
//!
//! All four only add up: none of them takes back another one or an earlier one of its own type.

use std::fmt;

use super::{Map, StatementError, bytes_value, head, put};
use crate::batch::Lane;
use crate::id::{BatchId, DeviceId, Incarnation, RecordId};
use crate::limits::{KIND_LEN_MAX, REASON_LEN_MAX, STATEMENT_CHAINS_MAX};
use crate::model::value::{Fields, Value};

/// How far one chain of a device is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The database file.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The last sequence number, from 1.
    pub seq: u64,
    /// The batch there: it says which branch is meant, should there be several.
    pub batch: BatchId,
}

/// A device is no longer trusted beyond a cut.
///
/// The revokes of one device in one control batch are one, in several statements because one could
/// not name all chains.
#[derive(Clone, PartialEq, Eq)]
pub struct RevokeStatement {
    /// The device.
    pub device: DeviceId,
    /// From 1.
    pub version: u64,
    /// The chains that stand up to a point, ascending; those not named do not stand at all.
    pub cut: Vec<Cut>,
    /// Why, for people.
    pub reason: String,
    /// The device is asked to delete what it holds, when what nobody else holds is sealed to its
    /// organisation.
    pub wipe: bool,
}

/// What a device wrote beyond its cut is to stand.
#[derive(Clone, PartialEq, Eq)]
pub struct AdoptStatement {
    /// The device.
    pub device: DeviceId,
    /// From 1.
    pub version: u64,
    /// Its chains, ascending, and how far each of them stands.
    pub chains: Vec<Cut>,
}

/// One chain of a device, and up to where it may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Discarded {
    /// The database file.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The last sequence number, from 1.
    pub seq: u64,
}

/// What is in quarantine of a device may be deleted. An adopt of the same wins over it.
#[derive(Clone, PartialEq, Eq)]
pub struct DiscardStatement {
    /// The device.
    pub device: DeviceId,
    /// From 1.
    pub version: u64,
    /// Its chains, ascending.
    pub chains: Vec<Discarded>,
}

/// A record is to be gone everywhere: its content is deleted, and what comes of it later is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct EraseStatement {
    /// The record's kind; `track` means all of a patrol's track.
    pub kind: String,
    /// From 1.
    pub version: u64,
    /// The record; of a track, the patrol.
    pub record: RecordId,
}

macro_rules! debug_without_reasons {
    ($($name:ident: $id:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?}, version {})", stringify!($name), self.$id, self.version)
            }
        }
    )*};
}

debug_without_reasons!(RevokeStatement: device AdoptStatement: device DiscardStatement: device EraseStatement: record);

impl RevokeStatement {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = about_device("revoke", self.version, self.device);
        put(&mut fields, "reason", self.reason.as_str());
        put(&mut fields, "cut", cuts_value(&self.cut));
        // Whoever does not know the key passes it over.
        if self.wipe {
            put(&mut fields, "wipe", true);
        }
        fields
    }

    pub(super) fn read(fields: &Map, version: u64) -> Result<Self, StatementError> {
        Ok(Self {
            device: DeviceId::from_bytes(fields.array("device")?),
            version,
            cut: read_cuts(fields, "cut")?,
            reason: fields.text("reason", REASON_LEN_MAX)?.to_owned(),
            wipe: fields.bool_or("wipe", false)?,
        })
    }
}

impl AdoptStatement {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = about_device("adopt", self.version, self.device);
        put(&mut fields, "chains", cuts_value(&self.chains));
        fields
    }

    pub(super) fn read(fields: &Map, version: u64) -> Result<Self, StatementError> {
        let chains = read_cuts(fields, "chains")?;
        let device = DeviceId::from_bytes(fields.array("device")?);
        if chains.is_empty() {
            Err(StatementError::Key("chains"))
        } else {
            Ok(Self { device, version, chains })
        }
    }
}

impl DiscardStatement {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = about_device("discard", self.version, self.device);
        let chains = self
            .chains
            .iter()
            .map(|chain| Value::Map(chain_fields(chain.incarnation, chain.lane, chain.seq)));
        put(&mut fields, "chains", Value::List(chains.collect()));
        fields
    }

    pub(super) fn read(fields: &Map, version: u64) -> Result<Self, StatementError> {
        let chains: Vec<_> = fields
            .list("chains", STATEMENT_CHAINS_MAX)?
            .iter()
            .map(|chain| {
                let (incarnation, lane, seq) = read_chain(&Map::of(chain, "chains")?)?;
                Ok(Discarded { incarnation, lane, seq })
            })
            .collect::<Result<_, StatementError>>()?;
        let is_ascending = chains.is_sorted_by(|a, b| (a.incarnation, a.lane) < (b.incarnation, b.lane));
        if chains.is_empty() || !is_ascending {
            return Err(StatementError::Key("chains"));
        }
        Ok(Self { device: DeviceId::from_bytes(fields.array("device")?), version, chains })
    }
}

impl EraseStatement {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = head("erase", self.version);
        put(&mut fields, "kind", self.kind.as_str());
        put(&mut fields, "record", bytes_value(self.record.as_bytes()));
        fields
    }

    pub(super) fn read(fields: &Map, version: u64) -> Result<Self, StatementError> {
        let kind = fields.text("kind", KIND_LEN_MAX)?.to_owned();
        if kind.is_empty() {
            return Err(StatementError::Key("kind"));
        }
        Ok(Self { kind, version, record: RecordId::from_bytes(fields.array("record")?) })
    }
}

fn about_device(kind: &str, version: u64, device: DeviceId) -> Fields {
    let mut fields = head(kind, version);
    put(&mut fields, "device", bytes_value(device.as_bytes()));
    fields
}

fn chain_fields(incarnation: Incarnation, lane: Lane, seq: u64) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, "incarnation", bytes_value(incarnation.as_bytes()));
    put(&mut fields, "lane", lane as i64);
    put(&mut fields, "seq", seq as i64);
    fields
}

fn read_chain(fields: &Map) -> Result<(Incarnation, Lane, u64), StatementError> {
    let lane = u8::try_from(fields.number("lane")?).ok().and_then(Lane::from_u8);
    let seq = fields.number("seq")?;
    if seq == 0 {
        return Err(StatementError::Key("seq"));
    }
    let incarnation = Incarnation::from_bytes(fields.array("incarnation")?);
    Ok((incarnation, lane.ok_or(StatementError::Key("lane"))?, seq))
}

fn cuts_value(cuts: &[Cut]) -> Value {
    let cuts = cuts.iter().map(|cut| {
        let mut fields = chain_fields(cut.incarnation, cut.lane, cut.seq);
        put(&mut fields, "batch", bytes_value(cut.batch.as_bytes()));
        Value::Map(fields)
    });
    Value::List(cuts.collect())
}

/// Chains ascend, each once, so that each list has one form.
fn read_cuts(fields: &Map, name: &'static str) -> Result<Vec<Cut>, StatementError> {
    let cuts: Vec<_> = fields
        .list(name, STATEMENT_CHAINS_MAX)?
        .iter()
        .map(|cut| {
            let fields = Map::of(cut, name)?;
            let (incarnation, lane, seq) = read_chain(&fields)?;
            Ok(Cut { incarnation, lane, seq, batch: BatchId::from_bytes(fields.array("batch")?) })
        })
        .collect::<Result<_, StatementError>>()?;
    if cuts.is_sorted_by(|a, b| (a.incarnation, a.lane) < (b.incarnation, b.lane)) {
        Ok(cuts)
    } else {
        Err(StatementError::Key(name))
    }
}
