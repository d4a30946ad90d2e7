package barid

import barid.ffi.RecordObserver
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.onSubscription
import kotlinx.coroutines.launch
import barid.ffi.RecordKey as CoreKey

/** What one commit changed; nothing named means that everything may have. */
internal class Commit(val keys: List<CoreKey>)

/**
 * Turns the core's callbacks into flows that read again. A flow reads off the main thread, is conflated
 * and distinct, never throws, and ends when the store is closed.
 */
internal class Live : RecordObserver {
    // One that reads slowly misses what changed, and so must read again: it is told of everything.
    private val changes = MutableSharedFlow<Commit>(
        extraBufferCapacity = 64,
        onBufferOverflow = BufferOverflow.DROP_OLDEST,
    )
    private val closed = MutableSharedFlow<Unit>(replay = 1)

    /** Called on the thread that committed, which must not wait. */
    override fun changed(keys: List<CoreKey>) {
        changes.tryEmit(Commit(keys))
    }

    /** Everything is to be read again. */
    fun everything() {
        changes.tryEmit(Commit(emptyList()))
    }

    fun close() {
        closed.tryEmit(Unit)
    }

    /** Reads now and after each change that concerns it. While [read] fails, what was told last stays. */
    fun <T> flow(concerns: (CoreKey) -> Boolean, read: () -> T): Flow<T> = channelFlow {
        val wake = Channel<Unit>(Channel.CONFLATED)
        val listening = launch {
            changes.onSubscription { wake.trySend(Unit) }.collect { change ->
                if (change.keys.isEmpty() || change.keys.any(concerns)) wake.trySend(Unit)
            }
        }
        val ending = launch { closed.collect { wake.close() } }
        for (news in wake) {
            try {
                send(translated(read))
            } catch (error: CancellationException) {
                throw error
            } catch (_: FieldException.Closed) {
                break
            } catch (_: FieldException) {
                // It is read again with the next change.
            }
        }
        listening.cancel()
        ending.cancel()
    }.conflate().distinctUntilChanged().flowOn(Dispatchers.IO)
}
