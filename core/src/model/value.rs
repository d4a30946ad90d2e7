//! The values of fields, and their one deterministic CBOR form (RFC 8949 §4.2.1).
//!
//! Decoding is strict: bytes that this module would not have written are refused, so equal values
//! are equal bytes on every replica. There is no `NaN` and no infinity: they have no JSON form.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::limits::VALUE_DEPTH_MAX;

/// The fields of a record, by name.
pub type Fields = BTreeMap<String, Value>;

/// What one field holds.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Known to be empty.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A nested list; merged as a whole, never element by element.
    List(Vec<Value>),
    /// A nested map; merged as a whole, never key by key.
    Map(BTreeMap<String, Value>),
}

/// Shows the type and never the content: values are positions, names and notes.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(…)",
            Self::Int(_) => "Int(…)",
            Self::Float(_) => "Float(…)",
            Self::Text(_) => "Text(…)",
            Self::Bytes(_) => "Bytes(…)",
            Self::List(_) => "List(…)",
            Self::Map(_) => "Map(…)",
        })
    }
}

/// Bytes are not a value in its deterministic form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not CBOR, or cut short.
    #[error("decoding a value: the bytes are not CBOR")]
    Malformed,
    /// CBOR that this format does not use: tags, other simple values, indefinite lengths.
    #[error("decoding a value: a CBOR item of a type that values do not use")]
    Unsupported,
    /// A number, length or order of keys that is not the shortest or sorted form.
    #[error("decoding a value: not the deterministic form")]
    NotDeterministic,
    /// `NaN` or an infinity.
    #[error("a value is not a finite number")]
    NotFinite,
    /// A whole number beyond 64 bits with sign.
    #[error("decoding a value: a whole number is out of range")]
    OutOfRange,
    /// Nested deeper than [`VALUE_DEPTH_MAX`].
    #[error("a value is nested too deep")]
    TooDeep,
    /// Bytes follow the value.
    #[error("decoding a value: bytes follow it")]
    Trailing,
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// Whether the value can be stored: finite and not nested too deep.
    pub fn check(&self) -> Result<(), ValueError> {
        self.check_at(0)
    }

    fn check_at(&self, depth: usize) -> Result<(), ValueError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        match self {
            Self::Float(float) if !float.is_finite() => Err(ValueError::NotFinite),
            Self::List(items) => items.iter().try_for_each(|item| item.check_at(depth + 1)),
            Self::Map(fields) => fields.values().try_for_each(|item| item.check_at(depth + 1)),
            _ => Ok(()),
        }
    }

    /// The deterministic form.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(self, &mut Encoder::new(&mut bytes));
        bytes
    }

    /// Reads exactly one value in its deterministic form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut decoder = Decoder::new(bytes);
        let value = read(&mut decoder, 0)?;
        if decoder.position() != bytes.len() {
            return Err(ValueError::Trailing);
        }
        // Shortest lengths and sorted keys have many corners; writing again settles all of them.
        let mut written = Vec::with_capacity(bytes.len());
        write(&value, &mut Encoder::new(&mut written));
        if written != bytes {
            return Err(ValueError::NotDeterministic);
        }
        Ok(value)
    }
}

/// The deterministic form of a record's fields: a map.
pub fn fields_to_cbor(fields: &Fields) -> Vec<u8> {
    entries_to_cbor(fields.iter().map(|(name, value)| (name.as_str(), value)))
}

/// The same of fields that are lent, each name once.
pub fn entries_to_cbor<'a>(fields: impl ExactSizeIterator<Item = (&'a str, &'a Value)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + fields.len() * 32);
    write_entries(fields.collect(), &mut Encoder::new(&mut bytes));
    bytes
}

/// Reads fields written by [`fields_to_cbor`].
pub fn fields_from_cbor(bytes: &[u8]) -> Result<Fields, ValueError> {
    match Value::from_cbor(bytes)? {
        Value::Map(fields) => Ok(fields),
        _ => Err(ValueError::Unsupported),
    }
}

/// Keys sort as RFC 8949 asks: by their encoded bytes, so shorter names come first.
fn write_entries(mut entries: Vec<(&str, &Value)>, encoder: &mut Encoder<&mut Vec<u8>>) {
    entries.sort_unstable_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
    written(encoder.map(entries.len() as u64));
    for (name, value) in entries {
        written(encoder.str(name));
        write(value, encoder);
    }
}

fn write(value: &Value, encoder: &mut Encoder<&mut Vec<u8>>) {
    written(match value {
        Value::Null => encoder.null(),
        Value::Bool(bool) => encoder.bool(*bool),
        Value::Int(int) => encoder.i64(*int),
        // One width for every fraction keeps the form unique without the shortest-float rules.
        Value::Float(float) => encoder.f64(*float),
        Value::Text(text) => encoder.str(text),
        Value::Bytes(bytes) => encoder.bytes(bytes),
        Value::List(items) => {
            written(encoder.array(items.len() as u64));
            for item in items {
                write(item, encoder);
            }
            return;
        }
        Value::Map(fields) => {
            let entries = fields.iter().map(|(name, value)| (name.as_str(), value));
            return write_entries(entries.collect(), encoder);
        }
    });
}

fn written<T>(result: Result<T, minicbor::encode::Error<std::convert::Infallible>>) {
    result.map(drop).expect("writing into memory cannot fail");
}

fn read(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, ValueError> {
    let malformed = |_| ValueError::Malformed;
    if depth > VALUE_DEPTH_MAX {
        return Err(ValueError::TooDeep);
    }
    Ok(match decoder.datatype().map_err(malformed)? {
        Type::Null => {
            decoder.null().map_err(malformed)?;
            Value::Null
        }
        Type::Bool => Value::Bool(decoder.bool().map_err(malformed)?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Value::Int(decoder.i64().map_err(|_| ValueError::OutOfRange)?),
        Type::F64 => {
            let float = decoder.f64().map_err(malformed)?;
            if !float.is_finite() {
                return Err(ValueError::NotFinite);
            }
            Value::Float(float)
        }
        Type::String => Value::Text(decoder.str().map_err(malformed)?.to_owned()),
        Type::Bytes => Value::Bytes(decoder.bytes().map_err(malformed)?.to_vec()),
        Type::Array => {
            let len = decoder.array().map_err(malformed)?.ok_or(ValueError::Unsupported)?;
            // No capacity from the claimed length: a short input could claim four billion items.
            let mut items = Vec::new();
            for _ in 0..len {
                items.push(read(decoder, depth + 1)?);
            }
            Value::List(items)
        }
        Type::Map => {
            let len = decoder.map().map_err(malformed)?.ok_or(ValueError::Unsupported)?;
            let mut fields = Fields::new();
            for _ in 0..len {
                let name = decoder.str().map_err(malformed)?.to_owned();
                fields.insert(name, read(decoder, depth + 1)?);
            }
            Value::Map(fields)
        }
        _ => return Err(ValueError::Unsupported),
    })
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Float(float)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            proptest::num::f64::NORMAL.prop_map(Value::Float),
            ".{0,8}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map(".{0,4}", inner, 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_reads_back_from_its_own_bytes(value in any_value()) {
            prop_assert_eq!(Value::from_cbor(&value.to_cbor()), Ok(value));
        }

        #[test]
        fn bytes_that_are_accepted_are_the_only_form_of_their_value(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = Value::from_cbor(&bytes) {
                prop_assert_eq!(value.to_cbor(), bytes);
            }
        }
    }

    #[test]
    fn what_is_not_the_deterministic_form_is_refused() {
        for (bytes, expected) in [
            (&[0x18, 0x01][..], ValueError::NotDeterministic), // 1 in two bytes
            (&[0xa2, 0x61, b'b', 0x01, 0x61, b'a', 0x01], ValueError::NotDeterministic), // b before a
            (&[0xa2, 0x61, b'a', 0x01, 0x61, b'a', 0x01], ValueError::NotDeterministic), // a twice
            (&[0xf9, 0x7e, 0x00], ValueError::Unsupported),    // a half-width NaN
            (&[0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], ValueError::NotFinite),
            (&[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], ValueError::OutOfRange),
            (&[0x9f, 0xff], ValueError::Unsupported), // indefinite length
            (&[0x9b, 0, 0, 0, 1, 0, 0, 0, 0], ValueError::Malformed), // claims four billion items
            (&[0xc0, 0x00], ValueError::Unsupported), // a tag
            (&[0x01, 0x01], ValueError::Trailing),
            (&[], ValueError::Malformed),
            (&[0x81; 64], ValueError::TooDeep),
        ] {
            assert_eq!(Value::from_cbor(bytes), Err(expected), "{bytes:02x?}");
        }
    }
}
