//! What a record says of its attachments.

use barid_core::id::AttachmentHash;
use barid_core::model::{Fields, Value};
use serde::Serialize;
use utoipa::ToSchema;

/// The beginning of the names of fields that name an attachment; its hash follows.
const FIELD: &str = "attachment/";

/// An attachment's smaller picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Thumbnail {
    /// The BLAKE3 hash of its bytes: 64 hexadecimal digits.
    pub hash: String,
    /// Its bytes, as the record says.
    #[schema(required)]
    pub len: Option<u64>,
    /// Whether this relay has it.
    pub held: bool,
}

/// An attachment of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attachment {
    /// The BLAKE3 hash of its bytes: 64 hexadecimal digits.
    pub hash: String,
    /// Its type, as the record says.
    #[serde(rename = "type")]
    #[schema(required, example = "image/jpeg")]
    pub type_: Option<String>,
    /// Its bytes, as the record says.
    #[schema(required)]
    pub len: Option<u64>,
    /// Its smaller picture, if it has one.
    #[schema(required)]
    pub thumbnail: Option<Thumbnail>,
    /// Whether this relay has it. If not, it is still on a phone.
    pub held: bool,
}

/// The attachments that fields name, and each one's thumbnail. What is no name of one is passed over.
pub(crate) fn named(
    fields: &Fields,
) -> impl Iterator<Item = (AttachmentHash, &Value, Option<AttachmentHash>)> {
    fields.range(FIELD.to_owned()..).map_while(|(name, value)| Some((name.strip_prefix(FIELD)?, value))).filter_map(
        |(name, value)| {
            let hash: AttachmentHash = name.parse().ok()?;
            // A hash has one spelling.
            (hash.to_string() == name).then(|| (hash, value, thumbnail(value)))
        },
    )
}

fn thumbnail(value: &Value) -> Option<AttachmentHash> {
    match value {
        Value::Map(fields) => match fields.get("thumbnail")? {
            Value::Bytes(bytes) => AttachmentHash::from_slice(bytes),
            _ => None,
        },
        _ => None,
    }
}

/// The attachments that fields name, as they are shown. Whether they are held is not known here.
pub(super) fn attachments_of(fields: &Fields) -> Vec<Attachment> {
    let shown = named(fields).map(|(hash, value, thumbnail)| {
        let empty = Fields::new();
        let about = if let Value::Map(about) = value { about } else { &empty };
        let len = |name: &str| about.get(name)?.as_int()?.try_into().ok();
        Attachment {
            hash: hash.to_string(),
            type_: about.get("type").and_then(Value::as_text).map(str::to_owned),
            len: len("len"),
            thumbnail: thumbnail.map(|hash| Thumbnail {
                hash: hash.to_string(),
                len: len("thumbnail_len"),
                held: false,
            }),
            held: false,
        }
    });
    shown.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_attachments_and_nonsense_names_none() {
        let hex = "ab".repeat(32);
        let about = Value::Map(Fields::from([
            ("type".to_owned(), "image/png".into()),
            ("len".to_owned(), Value::Int(70_000)),
            ("thumbnail".to_owned(), Value::Bytes(vec![3; 32])),
            ("thumbnail_len".to_owned(), Value::Int(-1)),
        ]));
        let fields = Fields::from([
            ("attachment".to_owned(), Value::Null),
            ("attachment/".to_owned(), Value::Null),
            (format!("attachment/{hex}"), about),
            (format!("attachment/{}", hex.to_uppercase()), Value::Null),
            (format!("attachment/{}", "cd".repeat(32)), "no map".into()),
            (format!("attachment/{hex}00"), Value::Null),
            ("attachment/../../relay.key".to_owned(), Value::Null),
            ("attachments".to_owned(), Value::Null),
        ]);
        let shown = attachments_of(&fields);
        assert_eq!(shown.len(), 2);
        assert_eq!((&shown[0].hash, shown[0].len), (&hex, Some(70_000)));
        let thumbnail = shown[0].thumbnail.as_ref().unwrap();
        assert_eq!((thumbnail.hash.as_str(), thumbnail.len), ("03".repeat(32).as_str(), None));
        assert_eq!((&shown[1].type_, shown[1].len, &shown[1].thumbnail), (&None, None, &None));
    }
}
