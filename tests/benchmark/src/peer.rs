//! Barid, and a floor of our own, as peers: programs that speak the peers' line protocol.

pub mod client;
pub mod floor_client;
pub mod floor_server;
pub mod server;
