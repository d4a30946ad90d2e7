//! Hostile input by the million, on the stable toolchain.
//!
//! A [`Target`] is a door at which bytes from strangers come in, with claims about what happens
//! behind it. The [`driver`] begins with seeds of real traffic, changes them, keeps what reached
//! something new and measures each input: a panic, a second, or 64 MiB more memory is a failure, is
//! written to a file and becomes a fixture. There is no instrumentation: what is *new* is told by a
//! cheap signal that the target gives, such as the kind of its error and the size of its result.

pub mod driver;
pub mod memory;
mod mutate;
mod packets;
pub mod targets;

use std::hash::{DefaultHasher, Hash, Hasher};

/// A door at which bytes come in.
pub trait Target {
    /// What to call it.
    fn name(&self) -> &'static str;

    /// Inputs to begin with: real ones.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Pieces that chance would not find.
    fn words(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Bytes of an input, at most.
    fn len_max(&self) -> usize {
        4096
    }

    /// Whether inputs are lists of packets, which are also moved about whole.
    fn is_packets(&self) -> bool {
        false
    }

    /// Takes one input and says what it came to: a number that is another one when something else
    /// happened. Panics when a claim does not hold.
    fn run(&mut self, input: &[u8]) -> u64;
}

/// One number for what happened.
pub(crate) fn signal(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// One number for which variant an error or a value is.
pub(crate) fn kind<T>(value: &T) -> u64 {
    signal(std::mem::discriminant(value))
}

/// The size of a number, roughly: its bits.
pub(crate) fn bits(value: usize) -> u32 {
    usize::BITS - value.leading_zeros()
}
