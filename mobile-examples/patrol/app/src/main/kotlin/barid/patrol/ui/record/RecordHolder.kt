package barid.patrol.ui.record

import barid.patrol.data.DraftMemory
import barid.patrol.data.EventRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.PhotoTaker
import barid.patrol.data.Positions
import barid.patrol.data.Recorded
import barid.patrol.model.EventDraft
import barid.patrol.model.EventType
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.model.Outcome
import barid.patrol.model.People
import barid.patrol.model.Trouble
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.drop
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

data class RecordState(
    val draft: EventDraft? = null,
    /** The event that was recorded last; the screen says so and goes home. */
    val recorded: Recorded? = null,
    val trouble: Trouble? = null,
)

/**
 * The event that is being filled in. It outlives the screen: turning the phone, a call or the camera loses
 * nothing. The place is the freshest fix until it is recorded.
 */
class RecordHolder(
    private val events: EventRepository,
    private val patrols: PatrolRepository,
    private val positions: Positions,
    private val photos: PhotoTaker,
    private val memory: DraftMemory,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow(RecordState(memory.load()))
    val state: StateFlow<RecordState> = states.asStateFlow()
    private var saving = false

    init {
        if (states.value.draft != null) positions.follow()
        // Written off the main thread, and only the newest: one types faster than a disk writes.
        scope.launch {
            states.map { it.draft?.copy(place = null, photos = emptyList()) }.distinctUntilChanged().drop(1).conflate()
                .collect { draft -> withContext(Dispatchers.IO) { memory.keep(draft) } }
        }
        scope.launch { positions.last.collect { place -> edit { copy(place = place) } } }
        scope.launch { photos.taken.collect { photo -> edit { copy(photos = this.photos + photo) } } }
    }

    fun choose(type: EventType) {
        if (states.value.draft == null) positions.follow()
        states.update { before ->
            val draft = before.draft?.copy(type = type) ?: EventDraft(type, positions.last.value)
            RecordState(draft)
        }
    }

    fun setPeople(change: People.() -> People) = edit { copy(people = people.change()) }

    /** Asked for by those who are there: the first tap means all of them, or one where nobody was counted. */
    fun toggle(need: Need) = edit {
        copy(needs = if (need in needs) needs - need else needs + (need to people.total.coerceAtLeast(1)))
    }

    fun setNeed(need: Need, count: Int) = edit {
        copy(needs = if (count < 1) needs - need else needs + (need to count.coerceAtMost(People.MAX)))
    }

    fun setNote(note: String) = edit { copy(note = note) }

    fun takePhoto() = photos.request()

    fun dropPhoto(index: Int) = edit { copy(photos = photos.filterIndexed { at, _ -> at != index }) }

    /** Durable when the screen says so. A second tap meanwhile does nothing: there is one event. */
    fun save() {
        val draft = states.value.draft ?: return
        if (saving) return
        saving = true
        scope.launch {
            try {
                val patrol = patrols.currentId()
                when (val outcome = events.record(draft.copy(patrol = patrol))) {
                    is Outcome.Done -> {
                        positions.release()
                        states.value = RecordState(recorded = outcome.value)
                    }
                    is Outcome.Failed -> states.update { it.copy(trouble = outcome.trouble) }
                }
            } finally {
                saving = false
            }
        }
    }

    fun discard() {
        positions.release()
        states.value = RecordState()
    }

    fun seen() = states.update { it.copy(recorded = null, trouble = null) }

    private fun edit(change: EventDraft.() -> EventDraft) =
        states.update { it.copy(draft = it.draft?.change(), trouble = null) }
}

internal fun Group.tag(): String = "count-${name.lowercase()}"
