package barid.patrol.device

import barid.patrol.data.Clock
import barid.patrol.data.Positions
import barid.patrol.data.TrackRepository
import barid.patrol.data.TrackState
import barid.patrol.model.GapReason
import barid.patrol.model.Key
import barid.patrol.model.Outcome
import barid.patrol.model.Place
import barid.patrol.model.TrackGap
import barid.patrol.ui.map.metresBetween
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock

/** What must be remembered beyond the death of the process: that a way was being recorded, and until when. */
interface TrackJournal {
    /** Written often; holds no position. */
    var open: OpenTrack?
}

data class OpenTrack(val patrol: Key, val lastMs: Long, val paused: Boolean)

/**
 * Makes a way out of fixes, and gaps out of their absence, each with its reason. It knows nothing of Android:
 * the service keeps it alive, and only one thread calls it.
 */
class TrackRecorder(
    private val tracks: TrackRepository,
    private val positions: Positions,
    private val journal: TrackJournal,
    private val clock: Clock,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow(TrackState())
    val state: StateFlow<TrackState> = states.asStateFlow()

    /** Set by the system's power saver: a silence meanwhile is the battery's. */
    var savingPower: Boolean = false
        set(value) {
            if (value) savedMeanwhile = true
            field = value
        }

    private val writing = Mutex()
    private val fixes = mutableListOf<Place>()
    private val gaps = mutableListOf<TrackGap>()

    internal val heldGaps: List<TrackGap> get() = gaps
    private var savedMeanwhile = false
    private var lastFixMs = 0L
    private var bufferedSince = 0L
    private var work: Job? = null

    /** Begins, or goes on after the process had died: the time between is a gap. */
    fun begin(patrol: Key) {
        if (states.value.patrol == patrol) return
        val now = clock.now()
        val before = journal.open
        states.value = TrackState(patrol = patrol, paused = before?.patrol == patrol && before.paused)
        lastFixMs = now
        if (before != null && before.patrol == patrol && now > before.lastMs) {
            gaps += TrackGap(before.lastMs, now, if (before.paused) GapReason.Paused else GapReason.Killed)
        }
        remember()
        positions.follow()
        work = scope.launch {
            launch { count(patrol) }
            launch { positions.last.filterNotNull().collect(::take) }
            launch { clock.ticks.collect { tick() } }
        }
    }

    fun pause() {
        val state = states.value
        if (state.patrol == null || state.paused) return
        silence(clock.now())
        states.update { it.copy(paused = true, noFixSince = null) }
        remember()
        flush()
    }

    fun resume() {
        val state = states.value
        if (state.patrol == null || !state.paused) return
        val now = clock.now()
        journal.open?.let { if (now > it.lastMs) gaps += TrackGap(it.lastMs, now, GapReason.Paused) }
        lastFixMs = now
        states.update { it.copy(paused = false) }
        remember()
    }

    fun stop() {
        val patrol = states.value.patrol ?: return
        if (!states.value.paused) silence(clock.now())
        work?.cancel()
        positions.release()
        flush(patrol)
        journal.open = null
        states.value = TrackState()
    }

    /** A fix. Those that tell nothing new are dropped; standing still is still told every minute. */
    private fun take(place: Place) {
        val state = states.value
        if (state.patrol == null || state.paused || place.time < lastFixMs - STALE_MS) return
        silence(place.time)
        lastFixMs = maxOf(lastFixMs, place.time)
        val last = state.last
        val moved = last?.let { metresBetween(it, place) } ?: Double.MAX_VALUE
        val accurate = maxOf(MOVED_M, (place.accuracyM ?: 0.0) / 2)
        if (last != null && (place.time <= last.time || moved < accurate && place.time - last.time < STILL_MS)) return
        if (fixes.isEmpty()) bufferedSince = clock.now()
        fixes += place
        states.update {
            it.copy(
                recordedPositions = it.recordedPositions + 1,
                distanceM = it.distanceM + if (last == null || moved < accurate) 0.0 else moved,
                last = place, noFixSince = null,
            )
        }
        remember()
        if (fixes.size >= CHUNK || clock.now() - bufferedSince > FLUSH_MS) flush()
    }

    private fun tick() {
        val state = states.value
        if (state.patrol == null || state.paused) return
        val now = clock.now()
        if (now - lastFixMs > NO_FIX_MS && state.noFixSince == null) states.update { it.copy(noFixSince = lastFixMs) }
        if (fixes.isNotEmpty() && now - bufferedSince > FLUSH_MS) flush()
    }

    /** Closes a silence that was long enough to be a gap. */
    private fun silence(until: Long) {
        if (until - lastFixMs > NO_FIX_MS) {
            gaps += TrackGap(lastFixMs, until, if (savedMeanwhile) GapReason.Battery else GapReason.NoFix)
        }
        savedMeanwhile = savingPower
    }

    private fun remember() {
        val state = states.value
        journal.open = state.patrol?.let { OpenTrack(it, clock.now(), state.paused) }
    }

    /** Writes what is held. What could not be written stays held and goes with the next. */
    private fun flush(patrol: Key? = states.value.patrol) {
        patrol ?: return
        scope.launch {
            writing.withLock {
                val some = fixes.take(CHUNK_MAX)
                val holes = gaps.toList()
                if (some.isEmpty() && holes.isEmpty()) return@withLock
                if (tracks.add(patrol, some, holes) is Outcome.Done) {
                    fixes.subList(0, some.size).clear()
                    gaps.subList(0, holes.size).clear()
                    bufferedSince = clock.now()
                }
            }
        }
    }

    /** After a restart the screen goes on counting where it was. */
    private suspend fun count(patrol: Key) {
        val before = tracks.of(patrol)
        if (before.isEmpty()) return
        val metres = before.sumOf { track -> track.positions.zipWithNext().sumOf { (a, b) -> metresBetween(a, b) } }
        states.update {
            it.copy(recordedPositions = it.recordedPositions + before.sumOf { track -> track.positions.size }, distanceM = it.distanceM + metres)
        }
    }

    companion object {
        /** This long without a fix is a gap. */
        const val NO_FIX_MS = 120_000L

        /** Nearer than this is the same place. */
        const val MOVED_M = 8.0
        const val STILL_MS = 60_000L
        const val FLUSH_MS = 60_000L
        private const val STALE_MS = 5_000L
        private const val CHUNK = 30
        private const val CHUNK_MAX = 500
    }
}
