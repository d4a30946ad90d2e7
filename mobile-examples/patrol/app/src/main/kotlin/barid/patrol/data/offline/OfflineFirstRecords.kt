package barid.patrol.data.offline

import barid.FieldException
import barid.FieldStore
import barid.Kinds
import barid.Query
import barid.patrol.data.AlertRepository
import barid.patrol.data.Clock
import barid.patrol.data.EventRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Recorded
import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Event
import barid.patrol.model.EventDraft
import barid.patrol.model.Group
import barid.patrol.model.Key
import barid.patrol.model.Need
import barid.patrol.model.NewPhoto
import barid.patrol.model.Outcome
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.Place
import barid.patrol.model.Transport
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.map

/** So many are listed; a week of a busy unit. */
private const val LISTED = 1000

class OfflineFirstEventRepository(private val store: FieldStore, private val clock: Clock) : EventRepository {
    override val all: Flow<List<Event>> = store.records.observe(Query(kind = Kinds.EVENT, limit = LISTED))
        .map { records -> records.mapNotNull { it.event(store.deviceId) } }

    override fun observe(key: Key): Flow<Event?> =
        store.records.observe(key.translate()).map { it?.event(store.deviceId) }

    override suspend fun record(draft: EventDraft): Outcome<Recorded> = outcome {
        val key = store.records.put(Kinds.EVENT) {
            set("time", clock.now())
            set("event_type", draft.type.word)
            set("category", draft.type.category)
            set("layer", draft.type.layer)
            set("priority", draft.type.priority)
            set("operational_state", "new")
            set("review_state", "submitted")
            place(draft.place)
            draft.patrol?.let { set("patrol", it) }
            draft.note.trim().ifEmpty { null }?.let { set("note", it) }
            if (!draft.people.isEmpty) set("persons_total", draft.people.total)
            draft.people.groups.forEach { (group, count) -> set(group.field, count) }
            draft.needs.forEach { (need, count) -> set(need.field, count) }
        }
        // The record stands whatever becomes of its pictures.
        val lost = draft.photos.count { photo -> outcome { store.attachments.attach(key, photo.bytes, photo.thumbnail) } is Outcome.Failed }
        Recorded(key.translate(), lost)
    }

    override suspend fun setNote(key: Key, note: String): Outcome<Unit> = outcome {
        store.records.patch(key.translate()) { if (note.isEmpty()) remove("note") else set("note", note) }
    }

    override suspend fun addPhoto(key: Key, photo: NewPhoto): Outcome<Unit> = outcome {
        store.attachments.attach(key.translate(), photo.bytes, photo.thumbnail)
        Unit
    }
}

class OfflineFirstAlertRepository(private val store: FieldStore, private val clock: Clock) : AlertRepository {
    override val all: Flow<List<Alert>> = store.records.observe(Query(kind = Kinds.ALERT, limit = LISTED))
        .map { records -> records.mapNotNull { it.sos(store.deviceId) }.sortedByDescending { it.state.isOpen } }

    override suspend fun raise(place: Place?, patrol: String?): Outcome<Key> = outcome {
        store.records.put(Kinds.ALERT) {
            set("time", clock.now())
            set("alert_type", "sos")
            set("state", AlertState.Raised.word)
            place(place)
            patrol?.let { set("patrol", it) }
        }.translate()
    }

    override suspend fun set(key: Key, state: AlertState): Outcome<Unit> = outcome {
        store.records.patch(key.translate()) { set("state", state.word) }
    }
}

class OfflineFirstPatrolRepository(private val store: FieldStore, private val clock: Clock) : PatrolRepository {
    /** The last that was seen under way: a locked store tells nothing, and events still belong to it. */
    @Volatile
    private var lastId: String? = null

    override val all: Flow<List<Patrol>> = store.records.observe(Query(kind = Kinds.PATROL, limit = 200))
        .map { records -> records.mapNotNull { it.patrol(store.deviceId) } }

    override val current: Flow<Patrol?> = all.map { patrols -> patrols.firstOrNull { it.mine && it.isUnderWay } }

    override suspend fun start(title: String, transport: Transport): Outcome<Key> = outcome {
        val now = clock.now()
        store.records.put(Kinds.PATROL) {
            if (title.isNotEmpty()) set("title", title)
            set("transport", transport.word)
            set("patrol_type", "routine")
            set("scheduled_start", now)
            set("started_at", now)
            set("state", PatrolState.Active.word)
        }.translate().also { lastId = it.id }
    }

    override suspend fun pause(key: Key) = set(key, PatrolState.Paused)

    override suspend fun resume(key: Key) = set(key, PatrolState.Active)

    override suspend fun end(key: Key): Outcome<Unit> = outcome {
        store.records.patch(key.translate()) {
            set("state", PatrolState.Done.word)
            set("ended_at", clock.now())
        }
        lastId = null
    }

    override suspend fun currentId(): String? = try {
        val patrols = store.records.query(Query(kind = Kinds.PATROL, limit = 200)).records
        patrols.firstNotNullOfOrNull { record -> record.patrol(store.deviceId)?.takeIf { it.mine && it.isUnderWay } }?.key?.id
            .also { lastId = it }
    } catch (_: FieldException) {
        lastId
    }

    private suspend fun set(key: Key, state: PatrolState): Outcome<Unit> = outcome {
        store.records.patch(key.translate()) { set("state", state.word) }
    }
}

private fun barid.Fields.place(place: Place?) {
    if (place == null) return
    set("lat", place.lat)
    set("lon", place.lon)
    place.accuracyM?.let { set("accuracy_m", it) }
    // When the fix was taken: the age of a position is part of it.
    set("place_time", place.time)
    set("how", "gps")
}

private val Group.field: String
    get() = when (this) {
        Group.Women -> "persons_women"
        Group.Men -> "persons_men"
        Group.Girls -> "persons_girls"
        Group.Boys -> "persons_boys"
        Group.Unknown -> "persons_unknown"
    }

private val Need.field: String
    get() = when (this) {
        Need.Water -> "needs_water"
        Need.Medical -> "needs_medical"
        Need.Transport -> "needs_transport"
    }
