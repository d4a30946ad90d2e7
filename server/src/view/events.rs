//! Events and alerts: the feed, one record with its conflicts, and its history.

use barid_core::clock::Timestamp;
use barid_core::id::{OrganisationId, RecordId, SpaceId};
use barid_core::model::{Fields, alert, event};
use barid_core::store::{PageToken, Query, Record};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use super::attachments::{Attachment, attachments_of};
use super::shape::{OrganisationName, Place, Trace, int_of, json, json_fields, rfc3339, text_of};
use super::{View, ViewError};

/// What an alert counts as where priorities are compared: it is never less urgent than an event.
const ALERT_PRIORITY: i64 = 300;

/// Counts of people. Who they are is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Persons {
    /// All of them, as counted by the one who reported.
    #[schema(required)]
    pub total: Option<i64>,
    /// Women.
    #[schema(required)]
    pub women: Option<i64>,
    /// Men.
    #[schema(required)]
    pub men: Option<i64>,
    /// Girls.
    #[schema(required)]
    pub girls: Option<i64>,
    /// Boys.
    #[schema(required)]
    pub boys: Option<i64>,
    /// Those of whom nothing more is known.
    #[schema(required)]
    pub unknown: Option<i64>,
}

/// Counts of people who need something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Needs {
    /// Water.
    #[schema(required)]
    pub water: Option<i64>,
    /// Medical help.
    #[schema(required)]
    pub medical: Option<i64>,
    /// Transport.
    #[schema(required)]
    pub transport: Option<i64>,
}

/// An event or an alert, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// The record.
    #[schema(format = "uuid")]
    pub id: String,
    /// `event` or `alert`.
    #[schema(example = "event")]
    pub kind: String,
    /// The space.
    pub space: String,
    /// Whose device recorded it.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// When it happened, as the device claimed.
    #[schema(format = DateTime)]
    pub time: String,
    /// Where it happened.
    #[schema(required)]
    pub place: Option<Place>,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(required, example = "people_in_distress")]
    pub type_: Option<String>,
    /// Its category.
    #[schema(required)]
    pub category: Option<String>,
    /// Its layer: `border_crossing`, `cross_border_crime`, `crisis_rescue` or `other`.
    #[schema(required)]
    pub layer: Option<String>,
    /// 0, 100, 200 or 300. An alert that names none has 300.
    #[schema(required)]
    pub priority: Option<i64>,
    /// What it is called.
    #[schema(required)]
    pub title: Option<String>,
    /// What the one who recorded it wrote.
    #[schema(required)]
    pub note: Option<String>,
    /// How far it is checked.
    #[schema(required)]
    pub review_state: Option<String>,
    /// How far it is handled; of an alert, its state.
    #[schema(required)]
    pub operational_state: Option<String>,
    /// How many people, if any were counted.
    #[schema(required)]
    pub persons: Option<Persons>,
    /// What they need, if any was counted.
    #[schema(required)]
    pub needs: Option<Needs>,
    /// The patrol it belongs to.
    #[schema(required, format = "uuid")]
    pub patrol: Option<String>,
    /// The call sign of the one who reported it.
    #[schema(required)]
    pub reported_by: Option<String>,
    /// Fields with more than one value, since people edited them at the same time.
    pub conflicts: u32,
    /// Whether it was taken back.
    pub withdrawn: bool,
    /// Who recorded it.
    pub created: Trace,
    /// Who changed it last.
    pub updated: Trace,
    /// When this relay logged its last change.
    #[schema(required, format = DateTime)]
    pub received_at: Option<String>,
    /// Every field, also those that this version does not know.
    pub fields: Map<String, Json>,
}

/// One page of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventPage {
    /// The newest first.
    pub items: Vec<Event>,
    /// What to ask for next; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// One of the values that a field has at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConflictValue {
    /// The value; `null` if the field was removed.
    pub value: Json,
    /// Whose it is.
    pub device: String,
    /// What its organisation calls the device.
    pub device_label: String,
    /// Its organisation.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// When, by its clock.
    #[schema(format = DateTime)]
    pub at: String,
    /// Whether this is the one shown until somebody resolves the conflict.
    pub current: bool,
}

/// A field that people edited at the same time, with different results.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConflictField {
    /// The field's name; `~withdrawn` if it was withdrawn while somebody edited it.
    pub field: String,
    /// All its values, the one that is shown first.
    pub values: Vec<ConflictValue>,
}

/// An event or alert with its conflicts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventDetail {
    /// The record.
    #[serde(flatten)]
    pub event: Event,
    /// Its conflicts.
    pub conflict_fields: Vec<ConflictField>,
    /// Its attachments, in the order of their hashes.
    pub attachments: Vec<Attachment>,
}

/// One field that a change set.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SetField {
    /// Its name.
    pub field: String,
    /// Its value then.
    pub value: Json,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The record's first change.
    Created,
    /// Fields were set or removed.
    Edited,
    /// The record was taken back.
    Withdrawn,
    /// A withdrawal was taken back.
    Restored,
}

/// One change of a record.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryItem {
    /// The change's hash.
    pub change: String,
    /// When, as the device's clock claimed.
    #[schema(format = DateTime)]
    pub at: String,
    /// When this relay logged it.
    #[schema(required, format = DateTime)]
    pub received_at: Option<String>,
    /// Who made it.
    pub device: String,
    /// What its organisation calls the device.
    pub device_label: String,
    /// Its organisation.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// The fields it set.
    pub sets: Vec<SetField>,
    /// The fields it removed.
    pub removes: Vec<String>,
    /// What it did.
    pub kind: ChangeKind,
}

/// Everything that was ever changed in a record.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// The oldest first.
    pub items: Vec<HistoryItem>,
}

/// Which events and alerts are asked for.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only this space.
    pub space: Option<SpaceId>,
    /// Only `event`, or only `alert`.
    pub kind: Option<&'static str>,
    /// Words to find.
    pub text: Option<String>,
    /// Only this type.
    pub type_: Option<String>,
    /// Only this operational state, or state of an alert.
    pub state: Option<String>,
    /// Only this review state.
    pub review: Option<String>,
    /// Only this organisation's.
    pub organisation: Option<OrganisationId>,
    /// Only this patrol's.
    pub patrol: Option<RecordId>,
    /// Only this priority and above.
    pub priority_min: Option<i64>,
    /// Only at or after.
    pub from: Option<Timestamp>,
    /// Only before.
    pub to: Option<Timestamp>,
    /// Only inside.
    pub bbox: Option<[f64; 4]>,
    /// Only with conflicts.
    pub conflicts_only: bool,
    /// Withdrawn ones too.
    pub include_withdrawn: bool,
}

impl EventFilter {
    /// Whether what the store cannot look up is as asked for.
    fn admits(&self, record: &Record) -> bool {
        let fields = &record.fields;
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| fields.get(name).and_then(|v| v.as_text()) == Some(wanted))
        };
        is(type_field(&record.kind), &self.type_)
            && is("review_state", &self.review)
            && self.patrol.is_none_or(|patrol| patrol_of(fields) == Some(patrol))
            && self.priority_min.is_none_or(|min| priority(record).is_some_and(|priority| priority >= min))
    }
}

fn type_field(kind: &str) -> &'static str {
    if kind == alert::NAME { "alert_type" } else { "event_type" }
}

/// The patrol that a record names.
pub(super) fn patrol_of(fields: &Fields) -> Option<RecordId> {
    fields.get("patrol")?.as_text()?.parse().ok()
}

fn priority(record: &Record) -> Option<i64> {
    let named = int_of(&record.fields, "priority");
    if record.kind == alert::NAME { named.or(Some(ALERT_PRIORITY)) } else { named }
}

impl View {
    /// One page of the feed.
    pub fn events(
        &self,
        filter: &EventFilter,
        limit: usize,
        after: Option<PageToken>,
    ) -> Result<EventPage, ViewError> {
        let kinds: &[&str] = match filter.kind {
            Some(alert::NAME) => &[alert::NAME],
            Some(_) => &[event::NAME],
            None => &[event::NAME, alert::NAME],
        };
        let query = Query {
            space: filter.space,
            from: filter.from,
            to: filter.to,
            bbox: filter.bbox,
            state: filter.state.clone(),
            organisation: filter.organisation,
            text: filter.text.clone(),
            include_withdrawn: filter.include_withdrawn,
            conflicts_only: filter.conflicts_only,
            ..Query::default()
        };
        let page = self.page(query, kinds, limit, after, |record| filter.admits(record))?;
        let items = page.records.iter().map(|record| self.event_of(record)).collect::<Result<_, _>>()?;
        Ok(EventPage { items, next: page.next })
    }

    /// One event or alert with its conflicts.
    pub fn event(&self, space: SpaceId, kind: &str, id: RecordId) -> Result<Option<EventDetail>, ViewError> {
        let Some(record) = self.store.get(space, kind, id)? else { return Ok(None) };
        let conflict_fields = self.conflicts_of(&record)?;
        let attachments = attachments_of(&record.fields);
        Ok(Some(EventDetail { event: self.event_of(&record)?, conflict_fields, attachments }))
    }

    fn conflicts_of(&self, record: &Record) -> Result<Vec<ConflictField>, ViewError> {
        if record.conflicts == 0 {
            return Ok(Vec::new());
        }
        let conflicts = self.store.conflicts(record.space, &record.kind, record.id)?;
        Ok(conflicts
            .into_iter()
            .map(|conflict| ConflictField {
                field: conflict.field,
                values: conflict
                    .values
                    .into_iter()
                    .enumerate()
                    .map(|(place, value)| ConflictValue {
                        value: value.value.as_ref().map_or(Json::Null, json),
                        device: value.device.to_string(),
                        device_label: self.names.label(value.device),
                        organisation: self.names.organisation_of(value.device),
                        at: rfc3339(value.time),
                        current: place == 0,
                    })
                    .collect(),
            })
            .collect())
    }

    fn event_of(&self, record: &Record) -> Result<Event, ViewError> {
        let fields = &record.fields;
        Ok(Event {
            id: record.id.to_string(),
            kind: record.kind.clone(),
            space: record.space.to_string(),
            organisation: record.organisation.and_then(|id| self.names.organisation(id)),
            time: rfc3339(record.time),
            place: place_of(record),
            type_: text_of(fields, type_field(&record.kind)),
            category: text_of(fields, "category"),
            layer: text_of(fields, "layer"),
            priority: priority(record),
            title: text_of(fields, "title"),
            note: text_of(fields, "note"),
            review_state: text_of(fields, "review_state"),
            operational_state: record.state.clone(),
            persons: persons_of(fields),
            needs: needs_of(fields),
            patrol: patrol_of(fields).map(|id| id.to_string()),
            reported_by: text_of(fields, "reported_by").or_else(|| text_of(fields, "raised_by")),
            conflicts: record.conflicts,
            withdrawn: record.withdrawn,
            created: self.names.trace(record.created_by, record.created_at),
            updated: self.names.trace(record.updated_by, record.updated_at),
            received_at: self.received_at(record)?.map(rfc3339),
            fields: json_fields(fields),
        })
    }
}

fn place_of(record: &Record) -> Option<Place> {
    let (lat, lon) = record.place?;
    Some(Place {
        lat,
        lon,
        accuracy_m: record.fields.get("accuracy_m").and_then(|value| value.as_number()),
        how: text_of(&record.fields, "how"),
    })
}

fn persons_of(fields: &Fields) -> Option<Persons> {
    let count = |name| int_of(fields, name);
    event::PERSON_COUNTS.iter().any(|name| count(name).is_some()).then(|| Persons {
        total: count("persons_total"),
        women: count("persons_women"),
        men: count("persons_men"),
        girls: count("persons_girls"),
        boys: count("persons_boys"),
        unknown: count("persons_unknown"),
    })
}

fn needs_of(fields: &Fields) -> Option<Needs> {
    let needs = Needs {
        water: int_of(fields, "needs_water"),
        medical: int_of(fields, "needs_medical"),
        transport: int_of(fields, "needs_transport"),
    };
    (needs.water.is_some() || needs.medical.is_some() || needs.transport.is_some()).then_some(needs)
}
