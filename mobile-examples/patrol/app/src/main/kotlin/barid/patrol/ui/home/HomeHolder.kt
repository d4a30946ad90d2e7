package barid.patrol.ui.home

import barid.patrol.data.AlertRepository
import barid.patrol.data.EventRepository
import barid.patrol.data.HistoryRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.SyncRepository
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackState
import barid.patrol.model.Alert
import barid.patrol.model.Patrol
import barid.patrol.model.SyncState
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.stateIn

data class HomeState(
    val sync: SyncState = SyncState(),
    val patrol: Patrol? = null,
    val track: TrackState = TrackState(),
    val patrolEvents: Int = 0,
    /** The newest open SOS, mine or another's. */
    val alert: Alert? = null,
    val conflicts: Int = 0,
)

/** What a tired person needs to know first: what has not arrived, whether the patrol is recorded, who calls for help. */
class HomeHolder(
    patrols: PatrolRepository,
    events: EventRepository,
    alerts: AlertRepository,
    history: HistoryRepository,
    sync: SyncRepository,
    recording: TrackRecording,
    scope: CoroutineScope,
) {
    private val underWay = combine(patrols.current, recording.state, events.all) { patrol, track, all ->
        Triple(patrol, track, all.count { patrol != null && it.patrol == patrol.key.id })
    }

    val state: StateFlow<HomeState> =
        combine(sync.state, underWay, alerts.all, history.inConflict) { synced, (patrol, track, count), open, conflicts ->
            HomeState(synced, patrol, track, count, open.firstOrNull { it.state.isOpen }, conflicts.size)
        }.stateIn(scope, SharingStarted.WhileSubscribed(), HomeState(sync.state.value))
}
