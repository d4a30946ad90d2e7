//! Both ends against each other, and against whatever else may come down a wire.

mod codec;
mod flow;
mod sync;
mod world;
