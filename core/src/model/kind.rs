//! A kind of record, declared by one schema value.
//!
//! The schema decides only how a record is *stored and found*: which fields are captured once,
//! where its time and place are, what is searched. It never rejects a field it does not know: a
//! newer phone talks to an older relay, and what the older side does not know survives.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::batch::Lane;

/// What a field holds, for those who draw forms and tables. Storage does not enforce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Free text, searched if the kind says so.
    Text,
    /// One word of a known list.
    Choice,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// Yes or no.
    Flag,
    /// Milliseconds since the epoch, as an integer.
    Time,
    /// The id of another record.
    Reference,
}

/// One declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name: the root key in the document.
    pub name: String,
    /// What it holds.
    pub holds: FieldType,
    /// Captured once and never edited in the ordinary course: kept in the record's one capture
    /// value. An edit of it is a root key of the same name, which overrides it.
    pub capture: bool,
}

impl Field {
    /// A field captured once: who, when, where.
    pub fn captured(name: &str, holds: FieldType) -> Self {
        Self { name: name.to_owned(), holds, capture: true }
    }

    /// A field that people edit.
    pub fn editable(name: &str, holds: FieldType) -> Self {
        Self { name: name.to_owned(), holds, capture: false }
    }
}

/// A kind of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its name, as written in every entry.
    pub name: String,
    /// The lane in which its changes travel.
    pub lane: Lane,
    /// The declared fields; others are allowed.
    pub fields: Vec<Field>,
    /// The field with the time at which it happened.
    pub time: Option<String>,
    /// The fields with latitude and longitude, in degrees.
    pub place: Option<(String, String)>,
    /// The field with its state.
    pub state: Option<String>,
    /// Fields whose text is searched. `None`: every text value is.
    pub searched: Option<Vec<String>>,
}

impl Kind {
    /// A kind of which nothing is known but its name.
    pub fn undeclared(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lane: Lane::Normal,
            fields: Vec::new(),
            time: None,
            place: None,
            state: None,
            searched: None,
        }
    }

    /// Whether the field belongs into the record's capture value when the record is created.
    pub fn captures(&self, field: &str) -> bool {
        self.fields.iter().any(|f| f.capture && f.name == field)
    }
}

/// The kinds that a store knows: the built-in ones and an app's own.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    by_name: BTreeMap<String, Kind>,
}

impl Kinds {
    /// The kinds of the domain: patrol, event, alert.
    pub fn built_in() -> Self {
        let mut kinds = Self::default();
        for kind in [super::patrol::kind(), super::event::kind(), super::alert::kind()] {
            kinds.declare(kind);
        }
        kinds
    }

    /// Adds a kind, or replaces the one of the same name.
    pub fn declare(&mut self, kind: Kind) {
        self.by_name.insert(kind.name.clone(), kind);
    }

    /// The kind of this name, if it is declared.
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.by_name.get(name)
    }

    /// The kind of this name, or one that knows nothing but the name.
    pub fn find_or_undeclared(&self, name: &str) -> Cow<'_, Kind> {
        match self.find(name) {
            Some(kind) => Cow::Borrowed(kind),
            None => Cow::Owned(Kind::undeclared(name)),
        }
    }
}
