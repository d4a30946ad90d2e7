//! Plain values: what a field can hold, what kinds of records there are, what a track is.
//!
//! Nothing here knows Automerge, SQLite or a wire: a new kind of record is one [`Kind`] value.

pub mod alert;
pub mod event;
pub mod kind;
pub mod patrol;
pub mod track;
pub mod value;

pub use kind::{Field, FieldType, Kind, Kinds};
pub use track::{Gap, Position, TrackChunk};
pub use value::{Fields, Value};
