//! UniFFI bindings of Barid's core: they translate, and decide nothing.
//!
//! The core never mentions UniFFI. These types are the boundary's own and convert with `From`; the
//! generated Kotlin, Swift and Python stay under hand-written façades. A panic inside becomes an
//! exception of the foreign language, and the process lives.

mod error;
mod observer;
mod records;
mod store;
mod sync;
mod trace;
mod value;

pub use error::BaridError;
pub use observer::{RecordObserver, StatusObserver, Subscription};
pub use records::{
    Conflict, ConflictValue, FieldSet, HistoryEntry, Place, Query, Record, RecordKey, RecordPage, Records,
    Write,
};
pub use store::{Enrolment, FieldStore, KindDeclaration, RecoverReport, StoreConfig, generate_seed, recover};
pub use sync::{Phase, Progress, Sync, SyncFailure, SyncStatus};
pub use trace::panic_for_test;
pub use value::FieldValue;

uniffi::setup_scaffolding!("barid");
