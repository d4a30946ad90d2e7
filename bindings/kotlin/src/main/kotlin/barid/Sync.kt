package barid

import barid.ffi.StatusObserver
import barid.ffi.Subscription
import barid.ffi.Sync as CoreSync
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.FlowPreview
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.coroutines.delay

/**
 * Syncing with the relay, in the background. Nothing waits for it: what is shown is what is here, and
 * [status] says what has arrived and what has not.
 */
public class Sync internal constructor(
    private val core: CoreSync,
    private val scope: CoroutineScope,
    private val isEnrolled: () -> Boolean,
    now: SyncStatus,
) {
    private val current = MutableStateFlow(now)

    // What an app asks for is done in its order, and off its thread.
    private val inOrder = Dispatchers.IO.limitedParallelism(1)
    private var isWanted = false
    private var watching: Subscription? = null

    /** What the sync is doing. It never fails; errors are in it. */
    public val status: StateFlow<SyncStatus> = current.asStateFlow()

    /** Syncs from now on, whenever there is a network. Before the enrolment it waits for that. */
    public fun start(): Unit = enqueue {
        isWanted = true
        if (isEnrolled()) begin()
    }

    /** Tries now instead of waiting for the next try: the user wants it, or there is a network again. */
    public fun request(): Unit = enqueue { core.request() }

    /** Makes no link until the next [start]; recording goes on. */
    public fun pause(): Unit = enqueue {
        isWanted = false
        core.pause()
    }

    /**
     * Waits until every record that is here now is acknowledged by the relay; false if that took longer
     * than the limit. It does not start the sync.
     */
    public suspend fun awaitSynced(timeout: Duration = Duration.INFINITE): Boolean =
        withTimeoutOrNull(timeout) {
            while (!onIo { core.waitUntilSynced(0u) }) {
                val before = current.value
                withTimeoutOrNull(100.milliseconds) { current.first { it != before } }
            }
            true
        } ?: false

    /** Reads the status again: something was recorded while no sync runs, or the device was enrolled. */
    internal fun refresh(): Unit = enqueue {
        if (isWanted && watching == null && isEnrolled()) begin()
        if (watching == null) current.value = translated { core.status() }.translate(isEnrolled())
    }

    private fun begin() {
        translated { core.start() }
        if (watching == null) {
            watching = translated {
                core.observe(object : StatusObserver {
                    override fun status(status: barid.ffi.SyncStatus) {
                        current.value = status.translate(isEnrolled = true)
                    }
                })
            }
        }
    }

    private fun enqueue(work: () -> Unit) {
        scope.launch(inOrder) {
            try {
                work()
            } catch (error: FieldException) {
                current.update { it.copy(error = SyncError.Storage, errorText = error.message) }
            } catch (_: IllegalStateException) {
                // The store was closed meanwhile.
            }
        }
    }

    internal fun close() {
        watching?.close()
        core.stop()
        core.close()
    }
}
