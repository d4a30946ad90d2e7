package barid

import barid.ffi.StatusObserver
import barid.ffi.Subscription
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull
import barid.ffi.Sync as CoreSync
import barid.ffi.SyncStatus as CoreStatus

/**
 * Syncing with the relay, in the background. Nothing waits for it: what is shown is what is here, and
 * [status] says what has arrived and what has not.
 */
public class Sync internal constructor(
    private val core: CoreSync,
    private val scope: CoroutineScope,
    now: SyncStatus,
    private val isEnrolled: () -> Boolean,
    private val onStatus: () -> Unit,
) {
    private val current = MutableStateFlow(now)

    // What an app asks for is done in its order, and off its thread.
    private val inOrder = Dispatchers.IO.limitedParallelism(1)
    private var isWanted = false
    private val watching: Subscription = core.observe(object : StatusObserver {
        override fun status(status: CoreStatus) {
            current.value = status.translate(isEnrolled())
            onStatus()
        }
    })

    /** What the sync is doing. It never fails; errors are in it. */
    public val status: StateFlow<SyncStatus> = current.asStateFlow()

    /** Syncs from now on, whenever there is a network. Before the enrolment it waits for that. */
    public fun start(): Unit = enqueue {
        isWanted = true
        if (isEnrolled()) core.start()
    }

    /** Tries now instead of waiting for the next try: the user wants it, or there is a network again. */
    public fun request(): Unit = enqueue { core.request() }

    /** Makes no link until the next [start]; recording goes on. */
    public fun pause(): Unit = enqueue {
        isWanted = false
        core.pause()
    }

    /**
     * Waits until every record that is here is acknowledged by the relay, and everything it has is here;
     * false if that took longer than the limit. It does not start the sync.
     */
    public suspend fun awaitSynced(timeout: Duration = Duration.INFINITE): Boolean =
        withTimeoutOrNull(timeout) {
            while (!onIo { core.isSynced() }) {
                val before = current.value
                withTimeoutOrNull(100.milliseconds) { current.first { it != before } }
            }
            true
        } ?: false

    /** The device was enrolled: begins if the app has asked for it before. */
    internal fun enrolled(): Unit = enqueue {
        if (isWanted) core.start() else current.value = core.status().translate(isEnrolled())
    }

    /** Something was recorded; a sync that runs counts by itself. */
    internal fun recorded(): Unit = enqueue {
        if (current.value.phase in listOf(Phase.NotEnrolled, Phase.Paused)) {
            current.value = core.status().translate(isEnrolled())
        }
    }

    private fun enqueue(work: () -> Unit) {
        scope.launch(inOrder) {
            try {
                translated(work)
            } catch (_: FieldException.Closed) {
                // Meanwhile.
            } catch (error: FieldException) {
                current.update { it.copy(error = SyncError.Storage, errorText = error.message) }
            }
        }
    }

    internal fun close() {
        watching.close()
        core.close()
    }
}
