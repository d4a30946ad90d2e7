//! UniFFI bindings of Barid's core: they translate, and decide nothing.
//!
//! The core never mentions UniFFI. These types are the boundary's own and convert with `From`; the
//! generated Kotlin, Swift and Python stay under hand-written façades. A panic inside becomes an
//! exception of the foreign language, and the process lives.

mod attachments;
mod bundle;
mod error;
mod exchange;
mod history;
mod lock;
mod observer;
mod opened;
mod records;
mod store;
mod sync;
mod trace;
mod tracks;
mod value;
mod wipe;

pub use attachments::{Attachment, Attachments, Whereabouts};
pub use bundle::{BundleObserver, Bundles, ExportReport, ImportReport, Recipient};
pub use error::BaridError;
pub use exchange::{ByteStream, Cancel, ExchangeObserver, ExchangeReport, Invitation, Peers, StreamError};
pub use history::{Conflict, ConflictValue, FieldSet, HistoryEntry};
pub use lock::LockState;
pub use observer::{RecordObserver, StatusObserver, Subscription};
pub use records::{Place, Query, Record, RecordKey, RecordPage, Records, Write};
pub use store::{Enrolment, FieldStore, KindDeclaration, RecoverReport, StoreConfig, generate_seed, recover};
pub use sync::{Phase, Progress, Sync, SyncFailure, SyncStatus};
pub use trace::panic_for_test;
pub use tracks::{Gap, Position, Track, Tracks};
pub use value::FieldValue;
pub use wipe::{Unsent, WipeMode, WipeReport};

uniffi::setup_scaffolding!("barid");
