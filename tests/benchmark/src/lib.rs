//! What Barid costs, measured beside the floor (copying rows) and the peers (other sync systems).
//!
//! ```text
//! record → observation (the kind) → peer (line protocol: Barid, the floor) → driver → table, plot
//! ```
//!
//! Everything measured is real: the relay is `barid serve` in a process of its own, with signatures,
//! durable acknowledgements and views; the device is the real core with its search and map indexes.

pub mod driver;
mod floor;
pub mod hot;
mod http;
pub mod line;
pub mod load;
pub mod local;
pub mod observation;
pub mod peer;
pub mod plot;
pub mod process;
pub mod record;
pub mod relay;
pub mod table;
