package barid.patrol.ui.patrol

import barid.patrol.data.Clock
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Permit
import barid.patrol.data.Permits
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackRepository
import barid.patrol.data.TrackState
import barid.patrol.model.Outcome
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.TrackGap
import barid.patrol.model.Transport
import barid.patrol.model.Trouble
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.launch

data class PatrolScreenState(
    val patrol: Patrol? = null,
    val track: TrackState = TrackState(),
    val gaps: List<TrackGap> = emptyList(),
    val title: String = "",
    val transport: Transport = Transport.Vehicle,
    val trouble: Trouble? = null,
)

/** Starts, pauses and ends a patrol, and the recording of its way with it. */
class PatrolHolder(
    private val patrols: PatrolRepository,
    private val tracks: TrackRepository,
    private val recording: TrackRecording,
    private val permits: Permits,
    clock: Clock,
    private val scope: CoroutineScope,
) {
    private data class Form(val title: String = "", val transport: Transport = Transport.Vehicle, val trouble: Trouble? = null)

    private val form = MutableStateFlow(Form())
    private var busy = false

    // Gaps are read again when the recorder has written: its count has moved.
    val state: StateFlow<PatrolScreenState> =
        combine(patrols.current, recording.state, form, clock.ticks) { patrol, track, filled, _ ->
            val gaps = patrol?.let { tracks.of(it.key) }.orEmpty().flatMap { it.gaps }.sortedByDescending { it.from }
            PatrolScreenState(patrol, track, gaps, filled.title, filled.transport, filled.trouble)
        }.conflate().stateIn(scope, SharingStarted.WhileSubscribed(), PatrolScreenState())

    fun setTitle(title: String) { form.value = form.value.copy(title = title) }
    fun setTransport(transport: Transport) { form.value = form.value.copy(transport = transport) }

    fun start() = once {
        // The patrol begins whatever is allowed: without positions its way shows a gap with its reason.
        permits.ask(Permit.Location)
        permits.ask(Permit.Notifications)
        val filled = form.value
        val outcome = patrols.start(filled.title.trim(), filled.transport)
        if (outcome is Outcome.Done) {
            recording.start(outcome.value)
            form.value = Form()
        }
        outcome
    }

    fun pause() = once { underWay { patrols.pause(it.key).also { recording.pause() } } }

    fun resume() = once { underWay { patrols.resume(it.key).also { recording.resume() } } }

    fun end() = once { underWay { patrols.end(it.key).also { recording.stop() } } }

    /** After the phone was started anew in the middle of a patrol. */
    fun goOn() {
        scope.launch {
            val patrol = patrols.current.first() ?: return@launch
            if (patrol.state == PatrolState.Active && recording.state.value.patrol == null) recording.start(patrol.key)
        }
    }

    private suspend fun underWay(act: suspend (Patrol) -> Outcome<*>): Outcome<*> =
        patrols.current.first()?.let { act(it) } ?: Outcome.Done(Unit)

    private fun once(act: suspend () -> Outcome<*>) {
        if (busy) return
        busy = true
        scope.launch {
            try {
                val outcome = act()
                form.value = form.value.copy(trouble = (outcome as? Outcome.Failed)?.trouble)
            } finally {
                busy = false
            }
        }
    }
}
