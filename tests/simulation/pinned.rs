//! Seeds that once found something, each with what it was.

/// The seed, and what was wrong.
pub(crate) const SEEDS: &[(u64, &str)] = &[];

/// Seeds whose worlds show something that is not mended yet, each with what it is. The tests pass over
/// them; `simulate` does not.
pub(crate) const OPEN: &[(u64, &str)] = &[
    (21, "a batch adopted beyond a cut of nothing stays in quarantine: those before it are not adopted"),
    (132, "a frame leaves a phone before its disk was synced, after the disk had failed"),
    (136, "an offset of the log is missing in what is read of it"),
    (255, "a phone whose work stays unsent when all else is at rest"),
];
