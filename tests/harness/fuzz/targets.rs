//! The doors, one each.

mod batch;
mod bundle;
mod change;
mod document;
mod ingest;
mod peer;
mod picture;
mod query;
mod recovery;
mod search;
mod session;
mod text;
mod value;

use super::Target;

/// A target's name, and how it is made: making one may start a relay.
pub type Entry = (&'static str, fn() -> Box<dyn Target>);

/// Every target.
pub const ALL: &[Entry] = &[
    ("frame", || Box::new(session::Frame)),
    ("batch", || Box::new(batch::Batch::new())),
    ("change", || Box::new(change::Change::new())),
    ("document", || Box::new(document::Document)),
    ("ingest", || Box::new(ingest::Ingest::new())),
    ("statement", || Box::new(value::Statement::new())),
    ("value", || Box::new(value::Value)),
    ("track", || Box::new(value::Track)),
    ("enrolment-code", || Box::new(text::EnrolmentCode)),
    ("page-token", || Box::new(text::PageToken)),
    ("gpx", || Box::new(text::Gpx)),
    ("device-session", || Box::new(session::Device::new())),
    ("relay-session", || Box::new(session::Relay::new())),
    ("peer-session", || Box::new(peer::Peer::new())),
    ("bundle", || Box::new(bundle::Bundle::new())),
    ("picture", || Box::new(picture::Picture)),
    ("search", || Box::new(search::Search::new())),
    ("query", || Box::new(query::Query::new())),
    ("recovery", || Box::new(recovery::Recovery::new())),
];

/// The target of this name.
pub fn named(name: &str) -> Option<Box<dyn Target>> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, make)| make())
}

/// Takes an input apart, as choices: an empty one chooses 0 for ever.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
