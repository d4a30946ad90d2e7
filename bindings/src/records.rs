//! Recording and reading.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use barid_core::clock::Timestamp;
use barid_core::id::{OrganisationId, RecordId, SpaceId};
use barid_core::model::{Fields, Value};
use barid_core::store::{self, PageToken, WriteError, WriteGroup};

use crate::error::{BaridError, why};
use crate::observer::{RecordObserver, Subscription};
use crate::opened::Opened;
use crate::value::FieldValue;

/// Which record.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RecordKey {
    /// Its space.
    pub space: String,
    /// Its kind.
    pub kind: String,
    /// Its id, a UUID.
    pub id: String,
}

/// A place, in degrees.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Place {
    /// Latitude.
    pub latitude: f64,
    /// Longitude.
    pub longitude: f64,
}

/// A record as it stands on this device.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Record {
    /// Which record.
    pub key: RecordKey,
    /// Every field, undeclared ones too.
    pub fields: HashMap<String, FieldValue>,
    /// When it happened, in milliseconds since the epoch; when it was made, if its kind has no time.
    pub time_ms: i64,
    /// Where it happened, if its kind has a place.
    pub place: Option<Place>,
    /// Its state, if its kind has one.
    pub state: Option<String>,
    /// The organisation whose device made it, if it is known here.
    pub organisation: Option<String>,
    /// The device that made it.
    pub created_by: String,
    /// When it was made, by that device's clock.
    pub created_ms: i64,
    /// When it was last changed, by the clock of whoever did.
    pub updated_ms: i64,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// Fields that hold two values which nobody has decided between.
    pub conflicts: u32,
    /// Whether the relay has acknowledged everything in it.
    pub delivered: bool,
}

/// What to look for; what is not given is not asked.
#[derive(Debug, Clone, Default, uniffi::Record)]
pub struct Query {
    /// Records of this space.
    #[uniffi(default = None)]
    pub space: Option<String>,
    /// Records of this kind.
    #[uniffi(default = None)]
    pub kind: Option<String>,
    /// From this time on, in milliseconds since the epoch.
    #[uniffi(default = None)]
    pub from_ms: Option<i64>,
    /// Before this time, in milliseconds since the epoch.
    #[uniffi(default = None)]
    pub to_ms: Option<i64>,
    /// The south-western corner of a box.
    #[uniffi(default = None)]
    pub south_west: Option<Place>,
    /// The north-eastern corner of the box.
    #[uniffi(default = None)]
    pub north_east: Option<Place>,
    /// In this state.
    #[uniffi(default = None)]
    pub state: Option<String>,
    /// Of this organisation.
    #[uniffi(default = None)]
    pub organisation: Option<String>,
    /// With these words, with or without article, however the hamza was typed.
    #[uniffi(default = None)]
    pub text: Option<String>,
    /// Withdrawn ones too.
    #[uniffi(default = false)]
    pub include_withdrawn: bool,
    /// Only those with conflicts.
    #[uniffi(default = false)]
    pub conflicts_only: bool,
    /// So many at most, up to 1,000.
    #[uniffi(default = 100)]
    pub limit: u32,
    /// The page after this one: `next` of the page before.
    #[uniffi(default = None)]
    pub after: Option<String>,
}

/// A page of records, the newest first.
#[derive(Debug, Clone, uniffi::Record)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<Record>,
    /// Give it as `after` for the next page; nothing when this is the last.
    pub next: Option<String>,
}

/// One write of a group.
#[derive(Debug, Clone, uniffi::Enum)]
pub enum Write {
    /// A new record.
    Put {
        /// Which; a new one comes from [`Records::new_key`].
        key: RecordKey,
        /// Its fields.
        fields: HashMap<String, FieldValue>,
    },
    /// New values of some fields.
    Patch {
        /// Which.
        key: RecordKey,
        /// The values; nothing removes the field.
        fields: HashMap<String, Option<FieldValue>>,
    },
    /// Withdrawal.
    Withdraw {
        /// Which.
        key: RecordKey,
    },
}

/// The records of one store.
#[derive(Debug, uniffi::Object)]
pub struct Records {
    opened: Arc<Opened>,
}

impl Records {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened }
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    fn write_one<T>(
        &self,
        write: impl FnOnce(&mut WriteGroup<'_, '_>) -> Result<T, WriteError>,
    ) -> Result<T, BaridError> {
        Ok(self.opened.device()?.store().write(write)?)
    }

    /// The space given, or else the first of the enrolment.
    fn space(&self, given: Option<String>) -> Result<SpaceId, BaridError> {
        match given {
            Some(text) => parse(&text),
            None => self.opened.device()?.store().default_space()?.ok_or(BaridError::NotEnrolled),
        }
    }
}

#[uniffi::export]
impl Records {
    /// Records something new and returns its key. It is durable when this returns.
    #[uniffi::method(default(space = None))]
    pub fn put(
        &self,
        kind: String,
        fields: HashMap<String, FieldValue>,
        space: Option<String>,
    ) -> Result<RecordKey, BaridError> {
        let space = self.space(space)?;
        let id = self.write_one(|group| group.put(space, &kind, None, to_fields(fields)))?;
        Ok(RecordKey { space: space.to_string(), kind, id: id.to_string() })
    }

    /// Sets some fields; nothing as a value removes the field. Setting a field that has a conflict
    /// decides it.
    pub fn patch(
        &self,
        key: RecordKey,
        fields: HashMap<String, Option<FieldValue>>,
    ) -> Result<(), BaridError> {
        let (space, id) = parts(&key)?;
        self.write_one(|group| group.patch(space, &key.kind, id, to_patch(fields)))
    }

    /// Withdraws a record: it is shown no more, and its history stays.
    pub fn withdraw(&self, key: RecordKey) -> Result<(), BaridError> {
        let (space, id) = parts(&key)?;
        self.write_one(|group| group.withdraw(space, &key.kind, id))
    }

    /// Does several writes as one: all are durable together, and travel together.
    pub fn write(&self, writes: Vec<Write>) -> Result<(), BaridError> {
        let mut parsed = Vec::with_capacity(writes.len());
        for write in writes {
            let key = match &write {
                Write::Put { key, .. } | Write::Patch { key, .. } | Write::Withdraw { key } => key.clone(),
            };
            let (space, id) = parts(&key)?;
            parsed.push((space, key.kind, id, write));
        }
        self.write_one(|group| {
            for (space, kind, id, write) in parsed {
                match write {
                    Write::Put { fields, .. } => {
                        group.put(space, &kind, Some(id), to_fields(fields))?;
                    }
                    Write::Patch { fields, .. } => group.patch(space, &kind, id, to_patch(fields))?,
                    Write::Withdraw { .. } => group.withdraw(space, &kind, id)?,
                }
            }
            Ok(())
        })
    }

    /// A fresh key, for a record that a group of writes makes.
    #[uniffi::method(default(space = None))]
    pub fn new_key(&self, kind: String, space: Option<String>) -> Result<RecordKey, BaridError> {
        let space = self.space(space)?;
        let id = self.opened.device()?.store().new_record_id();
        Ok(RecordKey { space: space.to_string(), kind, id: id.to_string() })
    }

    /// A record, if it is here.
    pub fn get(&self, key: RecordKey) -> Result<Option<Record>, BaridError> {
        let (space, id) = parts(&key)?;
        Ok(self.opened.device()?.shown()?.get(space, &key.kind, id)?.map(Record::from))
    }

    /// Records that match, the newest first.
    pub fn query(&self, query: Query) -> Result<RecordPage, BaridError> {
        let page = self.opened.device()?.shown()?.query(&query.try_into()?)?;
        Ok(RecordPage {
            records: page.records.into_iter().map(Record::from).collect(),
            next: page.next.map(|token| token.to_string()),
        })
    }

    /// Tells the observer of every change after it is committed, until the subscription ends.
    pub fn observe(&self, observer: Arc<dyn RecordObserver>) -> Result<Arc<Subscription>, BaridError> {
        let watch = self.opened.device()?.store().subscribe_with(move |changed| {
            let keys = changed
                .iter()
                .map(|changed| RecordKey {
                    space: changed.space.to_string(),
                    kind: changed.kind.clone(),
                    id: changed.id.to_string(),
                })
                .collect();
            observer.changed(keys);
        });
        Ok(Arc::new(Subscription::new(move || drop(watch))))
    }
}

pub(crate) fn parse<T: FromStr>(text: &str) -> Result<T, BaridError>
where
    T::Err: std::error::Error,
{
    text.parse().map_err(|error: T::Err| BaridError::invalid(why(&error)))
}

pub(crate) fn parts(key: &RecordKey) -> Result<(SpaceId, RecordId), BaridError> {
    Ok((parse(&key.space)?, parse(&key.id)?))
}

fn to_fields(fields: HashMap<String, FieldValue>) -> Fields {
    fields.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn to_patch(fields: HashMap<String, Option<FieldValue>>) -> BTreeMap<String, Option<Value>> {
    fields.into_iter().map(|(name, value)| (name, value.map(Value::from))).collect()
}

impl TryFrom<Query> for store::Query {
    type Error = BaridError;

    fn try_from(query: Query) -> Result<Self, BaridError> {
        let bbox = query.south_west.zip(query.north_east).map(|(south_west, north_east)| {
            [south_west.latitude, south_west.longitude, north_east.latitude, north_east.longitude]
        });
        Ok(Self {
            space: query.space.as_deref().map(parse).transpose()?,
            kind: query.kind,
            from: query.from_ms.map(Timestamp::from_millis),
            to: query.to_ms.map(Timestamp::from_millis),
            bbox,
            state: query.state,
            organisation: query.organisation.as_deref().map(parse::<OrganisationId>).transpose()?,
            text: query.text,
            include_withdrawn: query.include_withdrawn,
            conflicts_only: query.conflicts_only,
            limit: query.limit as usize,
            after: query.after.as_deref().map(parse::<PageToken>).transpose()?,
            ..Self::default()
        })
    }
}

impl From<store::Record> for Record {
    fn from(record: store::Record) -> Self {
        Self {
            key: RecordKey { space: record.space.to_string(), kind: record.kind, id: record.id.to_string() },
            fields: record.fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            time_ms: record.time.as_millis(),
            place: record.place.map(|(latitude, longitude)| Place { latitude, longitude }),
            state: record.state,
            organisation: record.organisation.map(|id| id.to_string()),
            created_by: record.created_by.to_string(),
            created_ms: record.created_at.as_millis(),
            updated_ms: record.updated_at.as_millis(),
            withdrawn: record.withdrawn,
            conflicts: record.conflicts,
            delivered: record.delivered,
        }
    }
}
