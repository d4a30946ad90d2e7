//! The generator's record as a kind of an app: declared, put and read through the public API alone.

use barid_core::batch::Lane;
use barid_core::id::RecordId;
use barid_core::model::{Field, FieldType, Fields, Kind, Kinds, Value};

use crate::record::{ReferenceRecord, degrees, millionths};

/// The kind's name.
pub const NAME: &str = "observation";

/// The kind's schema: who, when and where are captured once, the rest is edited; searched and on the
/// map like the built-in kinds.
pub fn kind() -> Kind {
    use FieldType::{Choice, Integer, Number, Reference, Text, Time};
    Kind {
        name: NAME.to_owned(),
        lane: Lane::Normal,
        fields: vec![
            Field::captured("patrol_id", Reference),
            Field::captured("agency", Choice),
            Field::captured("reporter", Text),
            Field::captured("observed_at", Time),
            Field::captured("lat", Number),
            Field::captured("lon", Number),
            Field::captured("accuracy_m", Integer),
            Field::captured("attachments", Text),
            Field::editable("category", Choice),
            Field::editable("severity", Choice),
            Field::editable("status", Choice),
            Field::editable("title", Text),
            Field::editable("note", Text),
            Field::editable("tags", Choice),
        ],
        time: Some("observed_at".to_owned()),
        place: Some(("lat".to_owned(), "lon".to_owned())),
        state: Some("status".to_owned()),
        searched: Some(["title", "note", "category"].map(str::to_owned).to_vec()),
    }
}

/// The built-in kinds and this one.
pub fn kinds() -> Kinds {
    let mut kinds = Kinds::built_in();
    kinds.declare(kind());
    kinds
}

/// What an app records.
pub fn to_fields(record: &ReferenceRecord) -> Fields {
    let texts = |list: &[String]| Value::List(list.iter().map(|text| text.as_str().into()).collect());
    let fields: [(&str, Value); 14] = [
        ("patrol_id", record.patrol_id.as_str().into()),
        ("agency", record.agency.as_str().into()),
        ("reporter", record.reporter.as_str().into()),
        ("observed_at", Value::Int(record.observed_at * 1_000)),
        ("lat", Value::Float(degrees(record.lat_millionths))),
        ("lon", Value::Float(degrees(record.lon_millionths))),
        ("accuracy_m", Value::Int(record.accuracy_m)),
        ("attachments", texts(&record.attachments)),
        ("category", record.category.as_str().into()),
        ("severity", record.severity.as_str().into()),
        ("status", record.status.as_str().into()),
        ("title", record.title.as_str().into()),
        ("note", record.note.as_str().into()),
        ("tags", texts(&record.tags)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What an app reads back; nothing if a field is missing or holds something else.
pub fn from_fields(id: RecordId, fields: &Fields) -> Option<ReferenceRecord> {
    let text = |name: &str| fields.get(name)?.as_text().map(str::to_owned);
    let int = |name: &str| fields.get(name)?.as_int();
    let place = |name: &str| fields.get(name)?.as_number().map(millionths);
    let texts = |name: &str| -> Option<Vec<String>> {
        let Value::List(items) = fields.get(name)? else { return None };
        items.iter().map(|item| item.as_text().map(str::to_owned)).collect()
    };
    Some(ReferenceRecord {
        id,
        patrol_id: text("patrol_id")?,
        agency: text("agency")?,
        category: text("category")?,
        severity: text("severity")?,
        status: text("status")?,
        title: text("title")?,
        note: text("note")?,
        lat_millionths: place("lat")?,
        lon_millionths: place("lon")?,
        accuracy_m: int("accuracy_m")?,
        observed_at: int("observed_at")? / 1_000,
        tags: texts("tags")?,
        attachments: texts("attachments")?,
        reporter: text("reporter")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::record;

    #[test]
    fn a_record_reads_back_as_it_was_put() {
        for number in 0..200 {
            let record = record(number);
            let fields = to_fields(&record);
            assert!(fields.keys().all(|name| kind().fields.iter().any(|field| field.name == *name)));
            assert_eq!(from_fields(record.id, &fields), Some(record));
        }
    }
}
