package barid

import kotlin.time.Clock
import kotlin.time.Duration.Companion.seconds
import kotlin.time.Instant
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import barid.ffi.FieldStore as CoreStore

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
public class Lock internal constructor(
    private val core: CoreStore,
    private val scope: CoroutineScope,
    private val live: Live,
    now: LockState,
) {
    private val current = MutableStateFlow(now)
    private var waiting: Job? = null

    /** Whether the store is locked. */
    public val state: StateFlow<LockState> = current.asStateFlow()

    /** Locks it. */
    public suspend fun lock() {
        onIo { core.lock() }
        onIo { look() }
    }

    /** Unlocks what [lock] locked, and says whether that was all. What the lease locked only a sync unlocks. */
    public suspend fun unlock(): LockState {
        onIo { core.unlock() }
        return onIo { look() }
    }

    /** Reads the state again; when it is another, everything that is shown is read again too. */
    @Synchronized
    internal fun look(): LockState {
        val now = core.lockState().translate()
        val before = current.value
        current.value = now
        if ((now is LockState.Unlocked) != (before is LockState.Unlocked)) live.everything()
        val ends = (now as? LockState.Unlocked)?.leaseEnds
        if (ends != null && (waiting == null || ends != (before as? LockState.Unlocked)?.leaseEnds)) {
            waiting?.cancel()
            // A clock that is set back makes it later; the core says when it is so.
            waiting = scope.launch {
                while (isActive) {
                    delay((ends - Clock.System.now()).coerceIn(1.seconds, 60.seconds))
                    if (runCatching { translated { look() } }.getOrNull() !is LockState.Unlocked) break
                }
            }
        }
        return now
    }
}
