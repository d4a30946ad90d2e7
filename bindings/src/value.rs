//! The value of a field at the boundary.

use std::collections::HashMap;

use barid_core::model::Value;

/// What one field holds.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum FieldValue {
    /// Known to be empty.
    Null,
    /// Yes or no.
    Flag { value: bool },
    /// A whole number.
    Int { value: i64 },
    /// A finite number with a fraction.
    Number { value: f64 },
    /// Text.
    Text { value: String },
    /// Bytes.
    Bytes { value: Vec<u8> },
    /// A list, merged as a whole.
    Items { value: Vec<FieldValue> },
    /// A map, merged as a whole. Not called that: Kotlin would take it for its own.
    Entries { value: HashMap<String, FieldValue> },
}

impl From<Value> for FieldValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Flag { value },
            Value::Int(value) => Self::Int { value },
            Value::Float(value) => Self::Number { value },
            Value::Text(value) => Self::Text { value },
            Value::Bytes(value) => Self::Bytes { value },
            Value::List(items) => Self::Items { value: items.into_iter().map(Self::from).collect() },
            Value::Map(fields) => Self::Entries {
                value: fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            },
        }
    }
}

impl From<FieldValue> for Value {
    fn from(value: FieldValue) -> Self {
        match value {
            FieldValue::Null => Self::Null,
            FieldValue::Flag { value } => Self::Bool(value),
            FieldValue::Int { value } => Self::Int(value),
            FieldValue::Number { value } => Self::Float(value),
            FieldValue::Text { value } => Self::Text(value),
            FieldValue::Bytes { value } => Self::Bytes(value),
            FieldValue::Items { value } => Self::List(value.into_iter().map(Self::from).collect()),
            FieldValue::Entries { value } => {
                Self::Map(value.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}
