//! Seeds that once found something, each with what it was.

/// The seed, and what was wrong.
pub(crate) const SEEDS: &[(u64, &str)] = &[];
