//! Control statements: deterministic CBOR maps, each one version of one subject.
//!
//! The first statement of a space or organisation names no id: its hash is the id. Keys that this
//! version does not know are passed over, and statements of a type that it does not know are kept
//! as they came; whether they may be passed over as well is what `critical` says.

mod decision;

use std::fmt;

pub use decision::{AdoptStatement, Cut, DiscardStatement, Discarded, EraseStatement, RevokeStatement};

use crate::id::{DeviceId, OrganisationId, SpaceId};
use crate::limits::{NAME_LEN_MAX, SPACE_ORGANISATIONS_MAX, STATEMENT_LEN_MAX};
use crate::model::value::{Fields, Value, ValueError, fields_from_cbor, fields_to_cbor};

const SPACE_CONTEXT: &str = "barid 2026 space";
const ORGANISATION_CONTEXT: &str = "barid 2026 organisation";

/// Bytes are not a statement, or a statement cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Longer than a statement may be.
    #[error("a statement of {len} bytes is too long")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// Not a map in deterministic CBOR.
    #[error("a statement is not a deterministic CBOR map")]
    Cbor(#[from] ValueError),
    /// A key is missing, of another type, or out of its bounds.
    #[error("the statement's `{0}` is missing, of a wrong type or out of bounds")]
    Key(&'static str),
}

/// What kind of space it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceKind {
    /// Several organisations share it.
    Joint,
    /// One organisation's own.
    Organisation,
}

/// An organisation as a space names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceOrganisation {
    /// Which one.
    pub id: OrganisationId,
    /// The key that admits its devices.
    pub key: DeviceId,
}

/// A space: who administers it, whose devices may write.
#[derive(Clone, PartialEq, Eq)]
pub struct SpaceStatement {
    /// The space: of the first version, the hash of its bytes.
    pub id: SpaceId,
    /// From 1.
    pub version: u64,
    /// What kind of space it is.
    pub kind: SpaceKind,
    /// Its name in Arabic.
    pub name_ar: String,
    /// Its name in English.
    pub name_en: String,
    /// The keys that may sign statements about the space.
    pub administrators: Vec<DeviceId>,
    /// The organisations whose devices belong to it.
    pub organisations: Vec<SpaceOrganisation>,
    /// Random; in the first version alone.
    pub nonce: Option<[u8; 16]>,
}

/// An organisation: its names and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct OrganisationStatement {
    /// The organisation: of the first version, the hash of its bytes.
    pub id: OrganisationId,
    /// From 1.
    pub version: u64,
    /// A word: `border_guard`, `police`, `health` and so on.
    pub kind: String,
    /// Its name in Arabic.
    pub name_ar: String,
    /// Its name in English.
    pub name_en: String,
    /// Its root key.
    pub key: DeviceId,
    /// Random; in the first version alone.
    pub nonce: Option<[u8; 16]>,
}

/// Whether a device takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// It does.
    Active,
    /// A newer version says something else; it takes no part here.
    Other(String),
}

/// A device: to whom it belongs and what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceStatement {
    /// The device.
    pub device: DeviceId,
    /// From 1.
    pub version: u64,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// What its people call it.
    pub label: String,
    /// A word: `patrol`, `desk` and so on.
    pub role: String,
    /// Whether it takes part.
    pub state: DeviceState,
}

/// One signed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// About the space.
    Space(SpaceStatement),
    /// About an organisation.
    Organisation(OrganisationStatement),
    /// About a device.
    Device(DeviceStatement),
    /// A device is revoked.
    Revoke(RevokeStatement),
    /// Late work of a revoked device is to stand.
    Adopt(AdoptStatement),
    /// Late work of a device may be deleted.
    Discard(DiscardStatement),
    /// A record is erased.
    Erase(EraseStatement),
    /// Of a type that this version does not know.
    Unknown {
        /// Its type.
        kind: String,
        /// Whether whoever does not know it must not go on as if it were not there.
        critical: bool,
        /// The statement as it came.
        bytes: Vec<u8>,
    },
}

/// Names and labels never reach a trace.
macro_rules! debug_without_names {
    ($($name:ident: $id:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?}, version {})", stringify!($name), self.$id, self.version)
            }
        }
    )*};
}

debug_without_names!(SpaceStatement: id OrganisationStatement: id DeviceStatement: device);

impl DeviceStatement {
    /// Whether it takes part.
    pub fn is_active(&self) -> bool {
        self.state == DeviceState::Active
    }
}

impl Statement {
    /// The deterministic form, bounded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        let bytes = match self {
            Self::Space(space) => fields_to_cbor(&space.fields()),
            Self::Organisation(organisation) => fields_to_cbor(&organisation.fields()),
            Self::Device(device) => fields_to_cbor(&device.fields()),
            Self::Revoke(revoke) => fields_to_cbor(&revoke.fields()),
            Self::Adopt(adopt) => fields_to_cbor(&adopt.fields()),
            Self::Discard(discard) => fields_to_cbor(&discard.fields()),
            Self::Erase(erase) => fields_to_cbor(&erase.fields()),
            Self::Unknown { bytes, .. } => return Ok(bytes.clone()),
        };
        // What its readers would refuse is not written. The id of a first statement is not in it.
        Self::from_bytes(&bytes)?;
        Ok(bytes)
    }

    /// Reads one statement.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > STATEMENT_LEN_MAX {
            return Err(StatementError::TooLong { len: bytes.len() });
        }
        let fields = Map(fields_from_cbor(bytes)?);
        let critical = fields.bool("critical")?;
        let version = fields.number("version")?;
        if version == 0 {
            return Err(StatementError::Key("version"));
        }
        Ok(match fields.text("type", NAME_LEN_MAX)? {
            "space" => Self::Space(SpaceStatement::read(&fields, version, bytes)?),
            "organisation" => Self::Organisation(OrganisationStatement::read(&fields, version, bytes)?),
            "device" => Self::Device(DeviceStatement::read(&fields, version)?),
            "revoke" => Self::Revoke(RevokeStatement::read(&fields, version)?),
            "adopt" => Self::Adopt(AdoptStatement::read(&fields, version)?),
            "discard" => Self::Discard(DiscardStatement::read(&fields, version)?),
            "erase" => Self::Erase(EraseStatement::read(&fields, version)?),
            kind => Self::Unknown { kind: kind.to_owned(), critical, bytes: bytes.to_vec() },
        })
    }
}

impl SpaceStatement {
    fn fields(&self) -> Fields {
        let mut fields = head("space", self.version);
        put_identity(&mut fields, self.version, self.id.as_bytes(), self.nonce);
        put(&mut fields, "kind", self.kind.word());
        put(&mut fields, "name_ar", self.name_ar.as_str());
        put(&mut fields, "name_en", self.name_en.as_str());
        let administrators = self.administrators.iter().map(|key| bytes_value(key.as_bytes())).collect();
        put(&mut fields, "administrators", Value::List(administrators));
        let organisations = self.organisations.iter().map(|organisation| {
            let mut fields = Fields::new();
            put(&mut fields, "id", bytes_value(organisation.id.as_bytes()));
            put(&mut fields, "key", bytes_value(organisation.key.as_bytes()));
            Value::Map(fields)
        });
        put(&mut fields, "organisations", Value::List(organisations.collect()));
        fields
    }

    fn read(fields: &Map, version: u64, bytes: &[u8]) -> Result<Self, StatementError> {
        let (id, nonce) = fields.identity(version, SPACE_CONTEXT, bytes)?;
        let administrators = fields.list("administrators", SPACE_ORGANISATIONS_MAX)?;
        if administrators.is_empty() {
            return Err(StatementError::Key("administrators"));
        }
        let organisations = fields.list("organisations", SPACE_ORGANISATIONS_MAX)?;
        Ok(Self {
            id: SpaceId::from_bytes(id),
            version,
            kind: SpaceKind::from_word(fields.text("kind", NAME_LEN_MAX)?)?,
            name_ar: fields.text("name_ar", NAME_LEN_MAX)?.to_owned(),
            name_en: fields.text("name_en", NAME_LEN_MAX)?.to_owned(),
            administrators: administrators
                .iter()
                .map(|key| array_of(key, "administrators").map(DeviceId::from_bytes))
                .collect::<Result<_, _>>()?,
            organisations: organisations
                .iter()
                .map(|organisation| {
                    let fields = Map::of(organisation, "organisations")?;
                    let id = OrganisationId::from_bytes(fields.array("id")?);
                    Ok(SpaceOrganisation { id, key: DeviceId::from_bytes(fields.array("key")?) })
                })
                .collect::<Result<_, StatementError>>()?,
            nonce,
        })
    }
}

impl SpaceKind {
    /// The word in the statement.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Organisation => "organisation",
        }
    }

    fn from_word(word: &str) -> Result<Self, StatementError> {
        match word {
            "joint" => Ok(Self::Joint),
            "organisation" => Ok(Self::Organisation),
            _ => Err(StatementError::Key("kind")),
        }
    }
}

impl OrganisationStatement {
    fn fields(&self) -> Fields {
        let mut fields = head("organisation", self.version);
        put_identity(&mut fields, self.version, self.id.as_bytes(), self.nonce);
        put(&mut fields, "kind", self.kind.as_str());
        put(&mut fields, "name_ar", self.name_ar.as_str());
        put(&mut fields, "name_en", self.name_en.as_str());
        put(&mut fields, "key", bytes_value(self.key.as_bytes()));
        fields
    }

    fn read(fields: &Map, version: u64, bytes: &[u8]) -> Result<Self, StatementError> {
        let (id, nonce) = fields.identity(version, ORGANISATION_CONTEXT, bytes)?;
        Ok(Self {
            id: OrganisationId::from_bytes(id),
            version,
            kind: fields.text("kind", NAME_LEN_MAX)?.to_owned(),
            name_ar: fields.text("name_ar", NAME_LEN_MAX)?.to_owned(),
            name_en: fields.text("name_en", NAME_LEN_MAX)?.to_owned(),
            key: DeviceId::from_bytes(fields.array("key")?),
            nonce,
        })
    }
}

impl DeviceStatement {
    fn fields(&self) -> Fields {
        let mut fields = head("device", self.version);
        put(&mut fields, "device", bytes_value(self.device.as_bytes()));
        put(&mut fields, "organisation", bytes_value(self.organisation.as_bytes()));
        put(&mut fields, "label", self.label.as_str());
        put(&mut fields, "role", self.role.as_str());
        let state = match &self.state {
            DeviceState::Active => "active",
            DeviceState::Other(word) => word,
        };
        put(&mut fields, "state", state);
        fields
    }

    fn read(fields: &Map, version: u64) -> Result<Self, StatementError> {
        Ok(Self {
            device: DeviceId::from_bytes(fields.array("device")?),
            version,
            organisation: OrganisationId::from_bytes(fields.array("organisation")?),
            label: fields.text("label", NAME_LEN_MAX)?.to_owned(),
            role: fields.text("role", NAME_LEN_MAX)?.to_owned(),
            state: match fields.text("state", NAME_LEN_MAX)? {
                "active" => DeviceState::Active,
                other => DeviceState::Other(other.to_owned()),
            },
        })
    }
}

fn put(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    fields.insert(name.to_owned(), value.into());
}

fn bytes_value(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn head(kind: &str, version: u64) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, "type", kind);
    put(&mut fields, "version", version as i64);
    put(&mut fields, "critical", true);
    fields
}

/// The first version has a nonce in place of the id, which is the hash of the whole.
fn put_identity(fields: &mut Fields, version: u64, id: &[u8; 32], nonce: Option<[u8; 16]>) {
    match nonce {
        Some(nonce) if version == 1 => put(fields, "nonce", bytes_value(&nonce)),
        _ => put(fields, "id", bytes_value(id)),
    }
}

fn array_of<const N: usize>(value: &Value, name: &'static str) -> Result<[u8; N], StatementError> {
    match value {
        Value::Bytes(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
    .ok_or(StatementError::Key(name))
}

/// A statement's map, read key by key.
struct Map(Fields);

impl Map {
    fn of(value: &Value, name: &'static str) -> Result<Self, StatementError> {
        match value {
            Value::Map(fields) => Ok(Self(fields.clone())),
            _ => Err(StatementError::Key(name)),
        }
    }

    fn find(&self, name: &'static str) -> Result<&Value, StatementError> {
        self.0.get(name).ok_or(StatementError::Key(name))
    }

    fn bool(&self, name: &'static str) -> Result<bool, StatementError> {
        match self.find(name)? {
            Value::Bool(bool) => Ok(*bool),
            _ => Err(StatementError::Key(name)),
        }
    }

    fn bool_or(&self, name: &'static str, absent: bool) -> Result<bool, StatementError> {
        if self.0.contains_key(name) { self.bool(name) } else { Ok(absent) }
    }

    fn number(&self, name: &'static str) -> Result<u64, StatementError> {
        let number = self.find(name)?.as_int().and_then(|int| u64::try_from(int).ok());
        number.ok_or(StatementError::Key(name))
    }

    fn text(&self, name: &'static str, len_max: usize) -> Result<&str, StatementError> {
        let text = self.find(name)?.as_text().filter(|text| text.len() <= len_max);
        text.ok_or(StatementError::Key(name))
    }

    fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StatementError> {
        array_of(self.find(name)?, name)
    }

    fn list(&self, name: &'static str, len_max: usize) -> Result<&[Value], StatementError> {
        match self.find(name)? {
            Value::List(items) if items.len() <= len_max => Ok(items),
            _ => Err(StatementError::Key(name)),
        }
    }

    /// The subject's id, and the nonce if this is the first statement about it.
    fn identity(
        &self,
        version: u64,
        context: &'static str,
        bytes: &[u8],
    ) -> Result<([u8; 32], Option<[u8; 16]>), StatementError> {
        match (version, self.0.contains_key("id"), self.0.contains_key("nonce")) {
            (1, false, true) => Ok((blake3::derive_key(context, bytes), Some(self.array("nonce")?))),
            (2.., true, false) => Ok((self.array("id")?, None)),
            _ => Err(StatementError::Key("id")),
        }
    }
}

#[cfg(test)]
mod tests;
