//! A patrol: a unit under way with an objective.

use super::kind::{Field, FieldType, Kind};
use crate::batch::Lane;

/// The kind's name.
pub const NAME: &str = "patrol";

/// The patrol kind's schema. `state`: planned → ready → active → done | cancelled.
pub fn kind() -> Kind {
    use FieldType::{Choice, Integer, Text, Time};
    Kind {
        name: NAME.to_owned(),
        lane: Lane::Normal,
        fields: vec![
            Field::captured("serial", Text),
            Field::captured("patrol_type", Choice),
            Field::captured("unit", Text),
            Field::captured("scheduled_start", Time),
            Field::captured("scheduled_end", Time),
            Field::editable("title", Text),
            Field::editable("objective", Text),
            Field::editable("priority", Integer),
            Field::editable("leader", Text),
            Field::editable("transport", Choice),
            Field::editable("state", Choice),
            Field::editable("started_at", Time),
            Field::editable("ended_at", Time),
        ],
        time: Some("scheduled_start".to_owned()),
        place: None,
        state: Some("state".to_owned()),
        searched: Some(["serial", "title", "objective", "unit", "leader"].map(str::to_owned).to_vec()),
    }
}
