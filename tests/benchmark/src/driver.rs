//! Runs the workloads: by the peers' own `run` where that is, and by ours everywhere.

pub mod contestant;
pub mod peers;
mod proxy;
pub mod workloads;
