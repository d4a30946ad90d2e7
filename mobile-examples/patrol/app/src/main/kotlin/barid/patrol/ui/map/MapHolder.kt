package barid.patrol.ui.map

import barid.patrol.data.AlertRepository
import barid.patrol.data.EventRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Positions
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackRepository
import barid.patrol.model.Alert
import barid.patrol.model.Event
import barid.patrol.model.Place
import barid.patrol.model.Track
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.stateIn

data class MapState(
    val events: List<Event> = emptyList(),
    val alerts: List<Alert> = emptyList(),
    val tracks: List<Track> = emptyList(),
    val me: Place? = null,
)

/** Everything with a place, from this phone's own database. */
class MapHolder(
    events: EventRepository,
    alerts: AlertRepository,
    patrols: PatrolRepository,
    tracks: TrackRepository,
    recording: TrackRecording,
    private val positions: Positions,
    scope: CoroutineScope,
) {
    private val ways = combine(patrols.all, recording.state.map { it.recordedPositions }.distinctUntilChanged()) { all, _ ->
        all.take(PATROLS_SHOWN).flatMap { tracks.of(it.key) }
    }

    val state: StateFlow<MapState> = combine(events.all, alerts.all, ways, positions.last) { all, raised, tracks, me ->
        MapState(all.filter { it.place != null }, raised.filter { it.place != null && it.state.isOpen }, tracks, me)
    }.stateIn(scope, SharingStarted.WhileSubscribed(), MapState())

    fun look() = positions.follow()
    fun leave() = positions.release()

    private companion object {
        /** The newest patrols; older ways would cover the map. */
        const val PATROLS_SHOWN = 12
    }
}
