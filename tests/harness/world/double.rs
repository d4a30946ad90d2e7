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
    /// A relay believes every cursor that it is told.
    BelievesEveryCursor,
    /// A page leaves urgent batches out, and says that it reaches past them.
    UrgentLeftOut,
    /// A relay says that it holds one batch more of a device's chain than it does.
    HeightsInflated,
    /// The rows beside the log are brought up to date without the last batch of a page.
    ViewsLag,
    /// What a write put into the database is taken out again before it is sealed.
    PendingDropped,
    /// A batch in quarantine is served to members.
    QuarantineFannedOut,
    /// What was erased is served as it came.
    ErasedServedAgain,
    /// A revoke leaves the links that it concerns as they are.
    RevokeCutsNoLink,
    /// A database that is rolled back takes its token along, so that it uses its numbers again.
    TokenRolledBack,
    /// The relay's disk forgets what it is told to make sure of, as `synchronous=OFF` would.
    RelayForgetsSyncs,
    /// So do the phones' disks.
    PhonesForgetSyncs,
    /// An attachment is acknowledged when a part of it is there.
    PhotoAckedEarly,
    /// What a relay writes into bundles is the control batches alone.
    BundlesWithoutEntries,
}

impl Double {
    /// Every wrong one.
    pub const WRONG: [Self; 18] = [
        Self::AckBeforeCommit,
        Self::NeverAppended,
        Self::CursorOffByOne,
        Self::DedupeOff,
        Self::NewsLost,
        Self::BelievesEveryCursor,
        Self::UrgentLeftOut,
        Self::HeightsInflated,
        Self::ViewsLag,
        Self::PendingDropped,
        Self::QuarantineFannedOut,
        Self::ErasedServedAgain,
        Self::RevokeCutsNoLink,
        Self::TokenRolledBack,
        Self::RelayForgetsSyncs,
        Self::PhonesForgetSyncs,
        Self::PhotoAckedEarly,
        Self::BundlesWithoutEntries,
    ];
}
