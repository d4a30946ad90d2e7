//! Every bound of the formats and of the protocol, in one place.
//!
//! The limits of the format are deterministic and part of its version: two replicas must agree on
//! what they refuse. They only ever grow. The limits of a link protect memory and may be tuned.

/// Bytes of a batch's body before compression, at most.
pub const BATCH_RAW_LEN_MAX: usize = 256 * 1024;
/// Entries of a batch, at most.
pub const BATCH_ENTRIES_MAX: usize = 512;
/// Bytes of a batch's extensions, at most.
pub const BATCH_EXTENSIONS_LEN_MAX: usize = 1024;
/// Bytes that a body may grow by, an entry, when others of it are erased: a salt or a hash.
pub const BATCH_ERASED_ENTRY_LEN: usize = 33;
/// Bytes of a sealed batch: header, signature and stored body, at most.
pub const BATCH_LEN_MAX: usize = BATCH_RAW_LEN_MAX + BATCH_ENTRIES_MAX * BATCH_ERASED_ENTRY_LEN + 4 * 1024;
/// Bytes of one change, at most.
pub const CHANGE_LEN_MAX: usize = 64 * 1024;
/// Operations of one change, at most.
pub const CHANGE_OPS_MAX: usize = 1024;
/// Changes of one record by one author, at most.
pub const AUTHOR_CHANGES_MAX: u64 = 16 * 1024;
/// Changes of one record by one author, the first ones, that may be as long as any.
pub const AUTHOR_LONG_CHANGES_MAX: u64 = 256;
/// Bytes of each change that follows those, at most.
pub const AUTHOR_LATER_CHANGE_LEN_MAX: usize = 2 * 1024;
/// Operations of each change that follows those, at most.
pub const AUTHOR_LATER_CHANGE_OPS_MAX: usize = 32;
/// Changes that one change names as its direct predecessors, at most.
pub const CHANGE_DEPS_MAX: usize = 64;
/// Actors that one change names, its own among them, at most.
pub const CHANGE_ACTORS_MAX: usize = 64;
/// Predecessors of one operation, at most.
pub const OP_PREDECESSORS_MAX: usize = 64;
/// Different values that a conflict shows, at most; of more, those that would win.
pub const CONFLICT_VALUES_MAX: usize = 64;
/// Captured fields in conflict that a record shows, at most; of more, the first by name. Without it,
/// a few thousand devices that all "create" one record could have every name of each compared with all.
pub const CAPTURE_CONFLICTS_MAX: usize = 256;
/// Bytes of a field's name, at most.
pub const KEY_LEN_MAX: usize = 128;
/// Bytes of a kind's name, at most.
pub const KIND_LEN_MAX: usize = 64;
/// Depth of nested values inside a field, at most.
pub const VALUE_DEPTH_MAX: usize = 8;
/// Highest operation counter and sequence number: Automerge stores them in 32 bits.
pub const COUNTER_MAX: u64 = u32::MAX as u64;
/// Positions of one track chunk, at most.
pub const TRACK_POSITIONS_MAX: usize = 4096;
/// Gaps of one track chunk, at most.
pub const TRACK_GAPS_MAX: usize = 256;
/// Bytes of the word that says why there is a gap, at most.
pub const GAP_REASON_LEN_MAX: usize = 64;
/// Bytes of a control statement, at most.
pub const STATEMENT_LEN_MAX: usize = 16 * 1024;
/// Chains that one revoke, adopt or discard names, at most: they fit a statement.
pub const STATEMENT_CHAINS_MAX: usize = 160;
/// Chains that a revoke names, at most, in all of its statements together: they fit one batch.
pub const REVOKE_CHAINS_MAX: usize = 15 * STATEMENT_CHAINS_MAX;
/// Control statements that wait for their signer to become known, at most.
pub const CONTROL_WAITING_MAX: usize = 1024;
/// Bytes of a name, a label or a word in a control statement, at most.
pub const NAME_LEN_MAX: usize = 256;
/// Bytes of a reason that people read, at most.
pub const REASON_LEN_MAX: usize = 1024;
/// Commits that wait for a subscriber to hear of them, at most; of more, it hears that everything may
/// have changed.
pub const OBSERVED_COMMITS_MAX: usize = 64;
/// Changed records of one commit that a subscriber hears of one by one, at most.
pub const OBSERVED_CHANGES_MAX: usize = 1024;
/// Organisations, and administrators, that a space names, at most.
pub const SPACE_ORGANISATIONS_MAX: usize = 64;

/// Bytes of one frame on a link, at most: one sealed batch and its envelope.
pub const FRAME_LEN_MAX: usize = BATCH_LEN_MAX + 1024;
/// Spaces that one link carries, at most.
pub const LINK_SPACES_MAX: usize = 64;
/// Chains whose heights one state names, all spaces together, at most: they fit one frame.
pub const LINK_CHAINS_MAX: usize = 4096;
/// Bytes of what people call a device, at most.
pub const LABEL_LEN_MAX: usize = 128;
/// Bytes that either end keeps on its way, sent and not yet answered for, when a link begins: two
/// seconds of a slow link.
pub const WINDOW_LEN_INITIAL: usize = 16 * 1024;
/// Bytes on their way below which no slow answer brings a window: a small batch.
pub const WINDOW_LEN_MIN: usize = 4 * 1024;
/// Bytes that either end keeps on its way at most, when answers come back fast.
pub const WINDOW_LEN_MAX: usize = 4 * 1024 * 1024;
/// Milliseconds within which an answer is fast.
pub const WINDOW_ANSWER_MS: i64 = 1_000;
/// Bytes received that wait to be taken in, at most: the other end sends more only out of turn.
pub const UNTAKEN_LEN_MAX: usize = WINDOW_LEN_MAX + RELAY_READ_LEN_MAX + FRAME_LEN_MAX;
/// Milliseconds before a device offers again what the relay asked it to keep, at first.
pub const OFFER_AGAIN_MS_MIN: i64 = 5_000;
/// Milliseconds before a device offers again what the relay refused more than once on a link.
pub const OFFER_REFUSED_MS: i64 = 60 * 60_000;
/// Milliseconds without a batch after which the relay tells a device that its cursor moves on over
/// what it wrote itself.
pub const REACHED_MS: i64 = 1_000;
/// Milliseconds between two reports of how much is unsent, at least, while something is.
pub const REPORT_MS_MIN: i64 = 10_000;
/// Bytes that the relay reads from its log for one link at a time.
pub const RELAY_READ_LEN_MAX: usize = 1024 * 1024;
/// Milliseconds without any frame after which a link is given up.
pub const LINK_IDLE_MS_MAX: i64 = 60_000;
/// Milliseconds of silence after which a device sends a ping.
pub const LINK_PING_MS: i64 = 20_000;
/// Milliseconds within which the handshake must be over.
pub const HANDSHAKE_MS_MAX: i64 = 15_000;
/// Milliseconds before the first try after a failure.
pub const RETRY_DELAY_MS_MIN: i64 = 500;
/// Milliseconds between two tries, at most.
pub const RETRY_DELAY_MS_MAX: i64 = 5 * 60_000;
/// Milliseconds that an enrolment code is valid.
pub const ENROLMENT_MS_MAX: i64 = 10 * 60_000;
/// Milliseconds that a pairing code is valid, by the clock of the device that shows it.
pub const PAIRING_MS_MAX: i64 = 10 * 60_000;
/// Bytes of batches that either of two devices keeps on their way to the other, sent and not yet
/// taken in; the last one may overrun it.
pub const PEER_WINDOW_LEN: usize = 1024 * 1024;
/// Bytes of batches after which a device tells another to take in what came.
pub const PEER_GROUP_LEN: usize = 256 * 1024;
/// Bytes that are read from the store for another device at a time, all spaces together; but one batch
/// of each space at least.
pub const PEER_READ_LEN_MAX: usize = 256 * 1024;
/// Heights in one message between two devices, at most.
pub const PEER_HEIGHTS_MAX: usize = 1024;
/// Chains of which one device tells another its heights, all spaces together, at most: once of those
/// of control, and once of all. Of others it says nothing, and is given what it may hold.
pub const PEER_CHAINS_MAX: usize = 16 * 1024;
/// Batches of one bundle, at most: its manifest names them all, and is kept in memory.
pub const BUNDLE_BATCHES_MAX: usize = 64 * 1024;
/// Bytes of a bundle's manifest, at most: each batch in a run of its own.
pub const BUNDLE_MANIFEST_LEN_MAX: usize = BUNDLE_BATCHES_MAX * 96 + LINK_SPACES_MAX * 64 + 64;
/// Bytes of one attachment, at most.
pub const ATTACHMENT_LEN_MAX: u64 = 25 * 1024 * 1024;
/// Bytes of an attachment's thumbnail, at most.
pub const THUMBNAIL_LEN_MAX: u64 = 64 * 1024;
/// Milliseconds without an answer after which a device takes one about an attachment for lost: records may
/// go before it for as long as that.
pub const ATTACHMENT_ANSWER_MS_MAX: i64 = 5 * 60_000;
/// Pixels of the longest side of a thumbnail that is made here.
pub const THUMBNAIL_SIDE_MAX: u32 = 320;
/// Bytes of memory for the pixels of a picture of which a thumbnail is made, at most: 22 million of them.
pub const THUMBNAIL_WORK_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of an attachment in one frame, at least; but for its last ones.
pub const ATTACHMENT_PIECE_LEN_MIN: usize = 1024;
/// Bytes of an attachment in one frame, at most.
pub const ATTACHMENT_PIECE_LEN_MAX: usize = 16 * 1024;
/// Bytes of attachments that either end keeps on their way when a link begins: half a second of a slow
/// link.
pub const ATTACHMENT_WINDOW_LEN_INITIAL: usize = 4 * 1024;
/// Bytes of attachments on their way below which no slow answer brings a window.
pub const ATTACHMENT_WINDOW_LEN_MIN: usize = 2 * 1024;
/// Bytes of attachments that either end keeps on their way at most, when answers come back fast.
pub const ATTACHMENT_WINDOW_LEN_MAX: usize = 192 * 1024;
/// Bytes of attachments received that wait to be stored, at most.
pub const ATTACHMENT_UNTAKEN_LEN_MAX: usize = ATTACHMENT_WINDOW_LEN_MAX + 4 * ATTACHMENT_PIECE_LEN_MAX;
/// Attachments that a device offers at a time, those that it is sending among them, at most.
pub const ATTACHMENT_OFFERS_MAX: usize = 16;
/// Attachments that a device fetches at a time, at most.
pub const ATTACHMENT_FETCHES_MAX: usize = 8;
/// Attachments of either direction that a relay keeps in mind for one link, at most.
pub const ATTACHMENT_LINK_MAX: usize = 256;
/// Attachments that one frame names as sought, at most.
pub const ATTACHMENT_SOUGHT_MAX: usize = 64;
/// How often the bytes of one attachment may turn out harmed on one link before it is left alone.
pub const ATTACHMENT_HARMED_MAX: u32 = 3;
