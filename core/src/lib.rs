//! The core of Barid: what is compiled into every phone, and into the relay.
//!
//! ```text
//! id, clock → model → document → batch → control → {protocol, store} → engine → client → device
//!                                                                    → exchange → bundle → device
//! ```
//!
//! Protocol and store never name each other; the engine alone knows both. No module but `client`
//! (behind the feature of that name) is asynchronous, and none but the engine's user reads a clock.

pub mod attachment;
pub mod batch;
pub mod bundle;
pub mod checkpoint;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
mod codec;
pub mod control;
#[cfg(feature = "client")]
pub mod device;
pub mod document;
pub mod engine;
pub mod enrolment;
#[cfg(test)]
mod examples;
pub mod exchange;
pub mod id;
pub mod identity;
pub mod limits;
pub mod migration;
pub mod model;
mod noise;
pub mod pairing;
pub mod position;
pub mod protocol;
pub mod store;
