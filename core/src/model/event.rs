//! An event: a report of something seen. People appear in it as counts only.

use super::kind::{Field, FieldType, Kind};
use crate::batch::Lane;

/// The kind's name.
pub const NAME: &str = "event";

/// Counts of people; there is no field for who they are, and none may be added.
pub const PERSON_COUNTS: [&str; 6] =
    ["persons_total", "persons_women", "persons_men", "persons_girls", "persons_boys", "persons_unknown"];

/// The event kind's schema.
pub fn kind() -> Kind {
    use FieldType::{Choice, Integer, Number, Reference, Text, Time};
    let mut fields = vec![
        Field::captured("time", Time),
        Field::captured("lat", Number),
        Field::captured("lon", Number),
        Field::captured("accuracy_m", Number),
        Field::captured("how", Choice),
        Field::captured("reported_by", Text),
        Field::captured("patrol", Reference),
        Field::editable("event_type", Choice),
        Field::editable("category", Choice),
        Field::editable("layer", Choice),
        Field::editable("priority", Integer),
        Field::editable("title", Text),
        Field::editable("note", Text),
        Field::editable("review_state", Choice),
        Field::editable("operational_state", Choice),
        Field::editable("needs_water", Integer),
        Field::editable("needs_medical", Integer),
        Field::editable("needs_transport", Integer),
    ];
    fields.extend(PERSON_COUNTS.map(|name| Field::editable(name, Integer)));
    Kind {
        name: NAME.to_owned(),
        lane: Lane::Normal,
        fields,
        time: Some("time".to_owned()),
        place: Some(("lat".to_owned(), "lon".to_owned())),
        state: Some("operational_state".to_owned()),
        searched: Some(["title", "note", "event_type", "category"].map(str::to_owned).to_vec()),
    }
}
