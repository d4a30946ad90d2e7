//! An alert: an SOS and its like. It travels in the urgent lane, before everything else.

use super::kind::{Field, FieldType, Kind};
use crate::batch::Lane;

/// The kind's name.
pub const NAME: &str = "alert";

/// The alert kind's schema. `state`: raised → acknowledged → responding → cleared | cancelled.
pub fn kind() -> Kind {
    use FieldType::{Choice, Number, Reference, Text, Time};
    Kind {
        name: NAME.to_owned(),
        lane: Lane::Urgent,
        fields: vec![
            Field::captured("time", Time),
            Field::captured("lat", Number),
            Field::captured("lon", Number),
            Field::captured("accuracy_m", Number),
            Field::captured("alert_type", Choice),
            Field::captured("raised_by", Text),
            Field::captured("patrol", Reference),
            Field::editable("state", Choice),
            Field::editable("note", Text),
        ],
        time: Some("time".to_owned()),
        place: Some(("lat".to_owned(), "lon".to_owned())),
        state: Some("state".to_owned()),
        searched: Some(["note", "alert_type", "raised_by"].map(str::to_owned).to_vec()),
    }
}
