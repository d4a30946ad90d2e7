//! Both ends against each other, and against whatever else may come down a wire.

mod album;
mod attachment;
mod codec;
mod flow;
mod golden;
mod handshake;
mod hostile;
mod sync;
mod world;
