//! Wrong doubles at the relay's seams: what the checkers must catch, or they check nothing.

/// What is wrong with the relay's performing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Double {
    /// Nothing.
    #[default]
    Honest,
    /// A batch is acknowledged when it is queued, and not when it is committed.
    AckBeforeCommit,
    /// A batch is acknowledged and forgotten.
    NeverAppended,
    /// A page says that it reaches one batch further than it does.
    CursorOffByOne,
    /// Devices are not told what is held, and what they send again is appended once more.
    DedupeOff,
    /// Links are not told that the log has grown.
    NewsLost,
}

impl Double {
    /// Every wrong one.
    pub const WRONG: [Self; 5] =
        [Self::AckBeforeCommit, Self::NeverAppended, Self::CursorOffByOne, Self::DedupeOff, Self::NewsLost];
}
