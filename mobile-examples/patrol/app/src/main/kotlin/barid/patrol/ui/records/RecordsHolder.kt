package barid.patrol.ui.records

import barid.patrol.data.AlertRepository
import barid.patrol.data.EventRepository
import barid.patrol.model.Alert
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.stateIn

enum class Shown { All, NotArrived, Mine, InConflict }

data class RecordsState(
    val shown: Shown = Shown.All,
    val events: List<Event> = emptyList(),
    val alerts: List<Alert> = emptyList(),
    /** How many each choice would show. */
    val counts: Map<Shown, Int> = emptyMap(),
)

/** What I and the others recorded, newest first. */
class RecordsHolder(events: EventRepository, alerts: AlertRepository, scope: CoroutineScope) {
    private val chosen = MutableStateFlow(Shown.All)

    val state: StateFlow<RecordsState> = combine(events.all, alerts.all, chosen) { all, raised, shown ->
        val counts = Shown.entries.associateWith { way -> all.count { way.has(it) } }
        RecordsState(shown, all.filter { shown.has(it) }, if (shown == Shown.All) raised.filter { it.state.isOpen } else emptyList(), counts)
    }.stateIn(scope, SharingStarted.WhileSubscribed(), RecordsState())

    fun show(way: Shown) { chosen.value = way }
}

private fun Shown.has(event: Event): Boolean = when (this) {
    Shown.All -> true
    Shown.NotArrived -> event.delivery == Delivery.OnThisPhone
    Shown.Mine -> event.mine
    Shown.InConflict -> event.inConflict
}
