package barid.patrol.model

enum class SyncPhase { NotEnrolled, Paused, Offline, Connecting, Syncing, UpToDate }

/** What has arrived and what has not, as the status screen says it in words. */
data class SyncState(
    val phase: SyncPhase = SyncPhase.Offline,
    val unsentRecords: Long = 0,
    val unsentPhotos: Long = 0,
    val unsentPhotoBytes: Long = 0,
    /** Bytes that the relay has for this phone, as far as is known. */
    val toFetchBytes: Long = 0,
    val lastSuccess: Long? = null,
    val nextTry: Long? = null,
    val trouble: Trouble? = null,
    val revoked: Boolean = false,
) {
    val allArrived: Boolean get() = unsentRecords == 0L && unsentPhotos == 0L && lastSuccess != null
}

/** What went wrong, by what a person can do about it. Each has its own words in each language. */
enum class Trouble {
    /** Nothing to do: it goes on by itself. */
    NoNetwork,

    /** The relay does not answer. */
    RelayUnreachable,

    /** The code is mistyped, used or too old: ask for a new one. */
    CodeRefused,

    /** Make room on the phone. */
    DiskFull,

    /** Update the app. */
    TooOld,

    /** This phone is no longer a member. Ask the centre. */
    Revoked,

    /** The phone is locked: recording goes on, showing does not. */
    Locked,

    /** The other phone went out of reach; what came is kept. */
    PeerLost,

    /** The file is not one of ours, or is damaged. */
    FileUnreadable,

    /** The photo is not of a kind that is taken, or is too large. */
    PhotoRefused,

    /** The database is damaged; nothing of it was deleted. */
    Damaged,

    /** A mistake of ours; reported in the trace. */
    Internal,
}

/** A call's end: done, or what went wrong. */
sealed interface Outcome<out T> {
    data class Done<T>(val value: T) : Outcome<T>
    data class Failed(val trouble: Trouble) : Outcome<Nothing>
}
