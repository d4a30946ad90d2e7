package barid

import kotlin.time.Instant

/** What the sync is doing. */
public enum class Phase {
    /** The device is not enrolled: it records, and has no relay to send to. */
    NotEnrolled,

    /** Not started, or paused by the app. */
    Paused,

    /** No link; the next try is at [SyncStatus.nextTry]. */
    Waiting,

    /** A link is being made. */
    Connecting,

    /** Something is on its way. */
    Syncing,

    /** All records known here and there are exchanged and acknowledged. */
    UpToDate,
}

/** How far one direction has come on this link. */
public data class Progress(
    /** Batches done. */
    val done: Long,
    /** Batches there are, where that is known. */
    val total: Long?,
    /** Bytes done. */
    val doneBytes: Long,
    /** Bytes there are, where that is known. */
    val totalBytes: Long?,
)

/** Why there is no link, as something to tell people. */
public enum class SyncError(
    /** Stable, for a translated message. */
    public val code: String,
) {
    /** No network, or nothing listens at the relay's address. It is tried again. */
    Unreachable("unreachable"),

    /** Whoever answers is not the relay of the enrolment. Nothing was sent. */
    NotOurRelay("not_our_relay"),

    /** Something that is not a relay answers, as the sign-in page of a hotel's network does. */
    NotARelay("not_a_relay"),

    /** The link was cut. It is tried again. */
    Cut("cut"),

    /** The relay, or the device, closed the link; [SyncStatus.errorText] says why. */
    Closed("closed"),

    /** The device's database failed. */
    Storage("storage"),
}

/** What nobody but this device is known to hold. */
public data class Unsent(
    /** Records with changes. */
    val records: Long = 0,
    /** Changes of records, and pieces of tracks. */
    val changes: Long = 0,
    /** Bytes of both. */
    val bytes: Long = 0,
    /** Attachments. */
    val attachments: Long = 0,
    /** Bytes of attachments. */
    val attachmentBytes: Long = 0,
    /** Batches of others that this device carries to a relay. */
    val carried: Long = 0,
    /** Damaged databases that lie beside this one and were not brought back. */
    val damagedFiles: Long = 0,
) {
    /** Whether there is nothing. */
    val isNothing: Boolean
        get() = records == 0L && changes == 0L && attachments == 0L && carried == 0L && damagedFiles == 0L
}

/** Everything that a screen may want to say about the sync. */
public data class SyncStatus(
    /** What it is doing. */
    val phase: Phase,
    /** Towards the relay; done means acknowledged. */
    val up: Progress = Progress(0, null, 0, null),
    /** From the relay; done means stored. */
    val down: Progress = Progress(0, null, 0, null),
    /** Records with changes that no relay has acknowledged. */
    val unsentRecords: Long = 0,
    /** Attachments that no relay has acknowledged. */
    val unsentAttachments: Long = 0,
    /** Bytes of those attachments. */
    val unsentAttachmentBytes: Long = 0,
    /** Bytes of attachments that this link, or else the last one, has carried to the relay. */
    val attachmentBytesUp: Long = 0,
    /** Bytes of attachments that it has brought from there. */
    val attachmentBytesDown: Long = 0,
    /** Why the relay does not take something of this device's, while that is so. The device keeps it. */
    val turnedDown: String? = null,
    /** When everything was last exchanged. */
    val lastSuccess: Instant? = null,
    /** Whether that ever was so. */
    val hasSyncedOnce: Boolean = false,
    /** When the next link is tried, while waiting. */
    val nextTry: Instant? = null,
    /** Why there is no link. */
    val error: SyncError? = null,
    /** The error in English, for developers. */
    val errorText: String? = null,
    /** The relay's address, while there is a link. */
    val via: String? = null,
    /** Whether the relay says that this device was revoked. */
    val isRevoked: Boolean = false,
    /** Whether whoever revoked this device asks for it to be wiped; see [FieldStore.wipe]. */
    val isWipeAsked: Boolean = false,
    /** Whether the store is locked. */
    val isLocked: Boolean = false,
)
