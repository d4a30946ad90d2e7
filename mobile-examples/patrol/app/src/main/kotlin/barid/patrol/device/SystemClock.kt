package barid.patrol.device

import barid.patrol.data.Clock
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/** The phone's clock. */
object SystemClock : Clock {
    private const val TICK_MS = 5_000L

    override fun now(): Long = System.currentTimeMillis()

    override val ticks: Flow<Long> = flow {
        while (true) {
            emit(now())
            delay(TICK_MS)
        }
    }
}
