package barid

import kotlin.time.Instant
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow

/** Whether a store shows what it holds. */
public sealed interface LockState {
    /** It does. [leaseEnds] is when that ends unless the relay is met before; none without a lease. */
    public data class Unlocked(val leaseEnds: Instant?) : LockState

    /** The app locked it; [Lock.unlock] unlocks it. */
    public data object LockedByApp : LockState

    /** It has not met its relay for longer than its lease. The next sync unlocks it. */
    public data object LeaseEnded : LockState
}

/**
 * The lock. A locked store records, raises alerts, and syncs as any other; it only shows nothing: what
 * reads throws [FieldException.Locked], and flows are empty. It stays locked when the app ends. The lock
 * keeps no key: who holds the files and the secret needs no app to read them.
 */
public class Lock internal constructor() {
    private val current = MutableStateFlow<LockState>(LockState.Unlocked(null))

    /** Whether the store is locked. */
    public val state: StateFlow<LockState> = current.asStateFlow()

    /** Locks it. */
    public suspend fun lock(): Unit = notYet()

    /** Unlocks what [lock] locked. What the lease locked only a sync unlocks. */
    public suspend fun unlock(): LockState = notYet()
}
