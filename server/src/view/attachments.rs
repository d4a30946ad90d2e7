//! What a record says of its attachments.

use barid_core::attachment::mentions;
use barid_core::model::Fields;
use serde::Serialize;
use utoipa::ToSchema;

/// An attachment's smaller picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Thumbnail {
    /// The BLAKE3 hash of its bytes: 64 hexadecimal digits.
    pub hash: String,
    /// Its bytes, as the record says.
    pub len: u64,
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
    #[schema(example = "image/jpeg")]
    pub type_: String,
    /// Its bytes, as the record says.
    pub len: u64,
    /// Its smaller picture, if it has one.
    #[schema(required)]
    pub thumbnail: Option<Thumbnail>,
    /// Whether this relay has it. If not, it is still on a phone.
    pub held: bool,
}

/// The attachments that fields name, as they are shown. Whether they are held is not known here.
pub(super) fn attachments_of(fields: &Fields) -> Vec<Attachment> {
    let shown = mentions(fields).map(|mention| Attachment {
        hash: mention.hash.to_string(),
        type_: mention.media.as_str().to_owned(),
        len: mention.len,
        thumbnail: mention.thumbnail.map(|(hash, len)| Thumbnail {
            hash: hash.to_string(),
            len,
            held: false,
        }),
        held: false,
    });
    shown.collect()
}
