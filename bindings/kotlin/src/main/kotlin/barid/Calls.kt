package barid

import barid.ffi.BaridException
import barid.ffi.Cancel
import barid.ffi.InternalException
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.runInterruptible
import kotlinx.coroutines.withContext

/** Runs a short call of the core off the main thread. */
internal suspend fun <T> onIo(call: () -> T): T = runInterruptible(Dispatchers.IO) { translated(call) }

/** Turns what the core throws into what this library says that it throws. */
internal fun <T> translated(call: () -> T): T = try {
    call()
} catch (error: BaridException) {
    throw error.translate()
} catch (error: InternalException) {
    throw FieldException.Internal(error.message.orEmpty(), error)
} catch (error: IllegalStateException) {
    // The generated code says so of an object that was closed.
    throw FieldException.Closed(error)
}

internal fun BaridException.translate(): FieldException = when (this) {
    is BaridException.InUse -> FieldException.InUse(this)
    is BaridException.UpdateNeeded -> FieldException.UpdateNeeded(this)
    is BaridException.Damaged -> FieldException.Damaged(keptAs, this)
    is BaridException.KeyRefused -> FieldException.KeyRefused(why, this)
    is BaridException.NoSpace -> FieldException.NoSpace(this)
    is BaridException.Invalid -> FieldException.Invalid(what, this)
    is BaridException.NotFound -> FieldException.NotFound(this)
    is BaridException.NotEnrolled -> FieldException.NotEnrolled(this)
    is BaridException.CodeRejected -> FieldException.CodeRejected(why, this)
    is BaridException.Unreachable -> FieldException.Unreachable(why, this)
    is BaridException.Storage -> FieldException.Storage(why, this)
    is BaridException.Locked -> FieldException.Locked(this)
    is BaridException.UnsentWork -> FieldException.UnsentWork(unsent.translate(), this)
    is BaridException.PairingRejected -> FieldException.PairingRejected(why, this)
    is BaridException.ConnectionLost -> FieldException.ConnectionLost(report.translate(), why, this)
    is BaridException.BundleRejected -> FieldException.BundleRejected(why, this)
    is BaridException.FileExists -> FieldException.FileExists(this)
    is BaridException.FileFailed -> FieldException.FileFailed(why, this)
    is BaridException.UnsupportedPicture -> FieldException.UnsupportedPicture(why, this)
    is BaridException.TooLarge -> FieldException.TooLarge(why, this)
    // Nobody but the store itself, when it is closed, ends a call whose caller was not cancelled.
    is BaridException.Cancelled -> FieldException.Closed(this)
    is BaridException.Closed -> FieldException.Closed(this)
}

/**
 * Runs a long call of the core off the main thread. When the caller is cancelled the core is asked to
 * end it, and this returns when it has.
 */
internal suspend fun <T> longCall(call: (Cancel) -> T): T = Cancel().use { cancel ->
    coroutineScope {
        val work = async(Dispatchers.IO + NonCancellable) { runCatching { translated { call(cancel) } } }
        try {
            work.await().getOrThrow()
        } catch (cancelled: CancellationException) {
            cancel.cancel()
            withContext(NonCancellable) { work.join() }
            throw cancelled
        }
    }
}
