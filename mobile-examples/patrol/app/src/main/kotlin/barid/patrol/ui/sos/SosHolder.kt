package barid.patrol.ui.sos

import barid.patrol.data.AlertRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Positions
import barid.patrol.data.SyncRepository
import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Key
import barid.patrol.model.Outcome
import barid.patrol.model.Place
import barid.patrol.model.Trouble
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.launch

data class SosState(
    val mine: Alert? = null,
    val others: List<Alert> = emptyList(),
    val place: Place? = null,
    val trouble: Trouble? = null,
)

/** Raises an SOS, once, and tells what has become of it. */
class SosHolder(
    private val alerts: AlertRepository,
    private val patrols: PatrolRepository,
    private val positions: Positions,
    private val sync: SyncRepository,
    private val scope: CoroutineScope,
) {
    private val trouble = MutableStateFlow<Trouble?>(null)
    private var raising = false

    val state: StateFlow<SosState> = combine(alerts.all, positions.last, trouble) { all, place, failed ->
        val open = all.filter { it.state.isOpen }
        SosState(open.firstOrNull { it.mine }, open.filterNot { it.mine }, place, failed)
    }.stateIn(scope, SharingStarted.WhileSubscribed(), SosState())

    fun look() = positions.follow()
    fun leave() = positions.release()

    /** With the last place that is known, however old; without one it goes too. */
    fun raise() {
        if (raising) return
        raising = true
        scope.launch {
            try {
                val patrol = patrols.currentId()
                val outcome = alerts.raise(positions.last.value, patrol)
                trouble.value = (outcome as? Outcome.Failed)?.trouble
                sync.request()
            } finally {
                raising = false
            }
        }
    }

    fun cancel(key: Key) {
        scope.launch {
            trouble.value = (alerts.set(key, AlertState.Cancelled) as? Outcome.Failed)?.trouble
            sync.request()
        }
    }
}
