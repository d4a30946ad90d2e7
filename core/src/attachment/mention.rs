//! How a record says that an attachment belongs to it: one field each, so that two phones that attach
//! something to one record offline both do.

use std::collections::BTreeMap;

use super::MediaType;
use crate::id::AttachmentHash;
use crate::limits::{ATTACHMENT_LEN_MAX, THUMBNAIL_LEN_MAX};
use crate::model::{Fields, Value};

/// What the field of an attachment is called, before its hash.
pub(crate) const MENTION_PREFIX: &str = "attachment/";

/// What a record says of one of its attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    /// Which one.
    pub hash: AttachmentHash,
    /// What it is.
    pub media: MediaType,
    /// Its bytes.
    pub len: u64,
    /// Its thumbnail, an attachment too, and that one's bytes.
    pub thumbnail: Option<(AttachmentHash, u64)>,
}

/// The field that mentions an attachment.
pub fn mention_key(hash: AttachmentHash) -> String {
    format!("{MENTION_PREFIX}{hash}")
}

/// The attachments that fields mention, by their hashes. What is malformed mentions nothing.
pub fn mentions(fields: &Fields) -> impl Iterator<Item = Mention> + '_ {
    fields
        .range(MENTION_PREFIX.to_owned()..)
        .map_while(|(key, value)| Some((key.strip_prefix(MENTION_PREFIX)?, value)))
        .filter_map(|(hash, value)| Mention::read(hash, value))
}

impl Mention {
    /// The value of the field.
    pub fn to_value(&self) -> Value {
        let mut map = BTreeMap::from([
            ("type".to_owned(), Value::Text(self.media.as_str().to_owned())),
            ("len".to_owned(), Value::Int(self.len as i64)),
        ]);
        if let Some((hash, len)) = self.thumbnail {
            map.insert("thumbnail".to_owned(), Value::Bytes(hash.as_bytes().to_vec()));
            map.insert("thumbnail_len".to_owned(), Value::Int(len as i64));
        }
        Value::Map(map)
    }

    fn read(hash: &str, value: &Value) -> Option<Self> {
        let Value::Map(map) = value else { return None };
        let len = |name: &str, len_max: u64| {
            let len = u64::try_from(map.get(name)?.as_int()?).ok()?;
            (1..=len_max).contains(&len).then_some(len)
        };
        let thumbnail = match map.get("thumbnail") {
            Some(Value::Bytes(bytes)) => {
                AttachmentHash::from_slice(bytes).zip(len("thumbnail_len", THUMBNAIL_LEN_MAX))
            }
            _ => None,
        };
        let hash = hash.parse::<AttachmentHash>().ok().filter(|read| read.to_string() == hash)?;
        let media = MediaType::from_name(map.get("type")?.as_text()?)?;
        Some(Self { hash, media, len: len("len", ATTACHMENT_LEN_MAX)?, thumbnail })
    }
}
