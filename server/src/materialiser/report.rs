//! What the worker tells its supervisor: one line of JSON for each step that it committed.

use serde::{Deserialize, Serialize};

/// One committed step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The space, as 64 hexadecimal digits.
    pub space: String,
    /// The offset up to which the log is in the views.
    pub offset: u64,
    /// What changed in the views.
    pub changed: Vec<ChangedItem>,
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChangedItem {
    /// A record's kind, or `track` (`id` is its patrol's), `device`, `organisation`.
    pub kind: String,
    /// The id within the kind.
    pub id: String,
}
