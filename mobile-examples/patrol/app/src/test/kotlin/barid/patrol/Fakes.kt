package barid.patrol

import barid.patrol.data.AlertRepository
import barid.patrol.data.Clock
import barid.patrol.data.CodeFrames
import barid.patrol.data.Credential
import barid.patrol.data.DraftMemory
import barid.patrol.data.EnrolmentRepository
import barid.patrol.data.EventRepository
import barid.patrol.data.ExchangeRepository
import barid.patrol.data.FileRepository
import barid.patrol.data.Frame
import barid.patrol.data.HistoryRepository
import barid.patrol.data.LockRepository
import barid.patrol.data.LockState
import barid.patrol.data.Member
import barid.patrol.data.Passed
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Permit
import barid.patrol.data.Permits
import barid.patrol.data.PhotoRepository
import barid.patrol.data.PhotoTaker
import barid.patrol.data.Positions
import barid.patrol.data.Recorded
import barid.patrol.data.SyncRepository
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackRepository
import barid.patrol.data.TrackState
import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Change
import barid.patrol.model.Conflict
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import barid.patrol.model.EventDraft
import barid.patrol.model.FieldValue
import barid.patrol.model.Key
import barid.patrol.model.NewPhoto
import barid.patrol.model.Outcome
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.Photo
import barid.patrol.model.Place
import barid.patrol.model.SyncState
import barid.patrol.model.Track
import barid.patrol.model.TrackGap
import barid.patrol.model.Transport
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.emptyFlow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update

/** A phone in memory: the real interfaces over plain lists, with inputs that only tests have. */
class FakePhone(scope: CoroutineScope, val clock: FakeClock = FakeClock(), keptDrafts: FakeDrafts = FakeDrafts()) {
    val enrolment = FakeEnrolment()
    val events = FakeEvents(clock)
    val alerts = FakeAlerts(clock)
    val patrols = FakePatrols(clock)
    val tracks = FakeTracks()
    val photos = FakePhotos()
    val history = FakeHistory()
    val sync = FakeSync()
    val exchange = FakeExchange()
    val files = FakeFiles()
    val lock = FakeLock()
    val positions = FakePositions()
    val camera = FakeCamera()
    val frames = FakeFrames()
    val permits = FakePermits()
    val recording = FakeRecording()
    var confirms = true
    val drafts = keptDrafts

    val phone = Phone(
        Repositories(enrolment, patrols, events, alerts, tracks, photos, history, sync, exchange, files, lock),
        Instruments(clock, positions, camera, frames, permits, object : Credential { override suspend fun confirm() = confirms }, recording, drafts),
        scope,
    )
}

class FakeClock(start: Long = 1_795_000_000_000) : Clock {
    private val times = MutableStateFlow(start)
    override fun now() = times.value
    override val ticks: Flow<Long> = times
    fun pass(ms: Long) = times.update { it + ms }
}

class FakeEnrolment : EnrolmentRepository {
    override val member = MutableStateFlow<Member?>(Member("الوحدة 4", "a1b2c3"))
    var answer: Outcome<Member> = Outcome.Done(Member("Unit 4", "a1b2c3"))
    val codes = mutableListOf<Pair<String, String>>()

    override suspend fun enrol(code: String, label: String): Outcome<Member> {
        codes += code to label
        return answer.also { if (it is Outcome.Done) member.value = it.value }
    }
}

class FakeEvents(private val clock: Clock) : EventRepository {
    override val all = MutableStateFlow<List<Event>>(emptyList())
    val drafts = mutableListOf<EventDraft>()
    val added = mutableListOf<NewPhoto>()

    override fun observe(key: Key): Flow<Event?> = all.map { events -> events.firstOrNull { it.key == key } }

    override suspend fun record(draft: EventDraft): Outcome<Recorded> {
        drafts += draft
        val key = Key("space", "event", "e${drafts.size}")
        val event = Event(
            key, draft.type, clock.now(), draft.place, draft.people, draft.needs, null, draft.note, draft.patrol, true, Delivery.OnThisPhone, false,
        )
        all.update { listOf(event) + it }
        return Outcome.Done(Recorded(key, 0))
    }

    override suspend fun setNote(key: Key, note: String): Outcome<Unit> {
        all.update { events -> events.map { if (it.key == key) it.copy(note = note) else it } }
        return Outcome.Done(Unit)
    }

    override suspend fun addPhoto(key: Key, photo: NewPhoto): Outcome<Unit> {
        added += photo
        return Outcome.Done(Unit)
    }
}

class FakeAlerts(private val clock: Clock) : AlertRepository {
    override val all = MutableStateFlow<List<Alert>>(emptyList())

    override suspend fun raise(place: Place?, patrol: String?): Outcome<Key> {
        val key = Key("space", "alert", "a${all.value.size}")
        all.update { listOf(Alert(key, clock.now(), place, AlertState.Raised, true, Delivery.OnThisPhone)) + it }
        return Outcome.Done(key)
    }

    override suspend fun set(key: Key, state: AlertState): Outcome<Unit> {
        all.update { alerts -> alerts.map { if (it.key == key) it.copy(state = state) else it } }
        return Outcome.Done(Unit)
    }
}

class FakePatrols(private val clock: Clock) : PatrolRepository {
    override val all = MutableStateFlow<List<Patrol>>(emptyList())
    override val current: Flow<Patrol?> = all.map { patrols -> patrols.firstOrNull { it.mine && it.isUnderWay } }

    override suspend fun currentId(): String? = all.value.firstOrNull { it.mine && it.isUnderWay }?.key?.id

    override suspend fun start(title: String, transport: Transport): Outcome<Key> {
        val key = Key("space", "patrol", "p${all.value.size}")
        all.update { listOf(Patrol(key, title, transport, PatrolState.Active, clock.now(), null, true, Delivery.OnThisPhone)) + it }
        return Outcome.Done(key)
    }

    override suspend fun pause(key: Key) = set(key, PatrolState.Paused)
    override suspend fun resume(key: Key) = set(key, PatrolState.Active)
    override suspend fun end(key: Key) = set(key, PatrolState.Done)

    private fun set(key: Key, state: PatrolState): Outcome<Unit> {
        all.update { patrols -> patrols.map { if (it.key == key) it.copy(state = state) else it } }
        return Outcome.Done(Unit)
    }
}

class FakeTracks : TrackRepository {
    val added = mutableListOf<Triple<Key, List<Place>, List<TrackGap>>>()
    var full = false

    override suspend fun add(patrol: Key, positions: List<Place>, gaps: List<TrackGap>): Outcome<Unit> {
        if (full) return Outcome.Failed(barid.patrol.model.Trouble.DiskFull)
        added += Triple(patrol, positions, gaps)
        return Outcome.Done(Unit)
    }

    override suspend fun of(patrol: Key): List<Track> {
        val own = added.filter { it.first == patrol }
        return if (own.isEmpty()) emptyList() else listOf(Track(own.flatMap { it.second }, own.flatMap { it.third }))
    }
}

class FakePhotos : PhotoRepository {
    val all = MutableStateFlow<Map<Key, List<Photo>>>(emptyMap())
    val bytes = mutableMapOf<String, ByteArray>()
    val fetched = mutableListOf<String>()

    override fun of(key: Key): Flow<List<Photo>> = all.map { it[key].orEmpty() }
    override suspend fun thumbnail(key: Key, photo: Photo) = bytes[photo.hash]
    override suspend fun picture(key: Key, photo: Photo): ByteArray? = null
    override suspend fun fetch(key: Key, photo: Photo): Outcome<Unit> {
        fetched += photo.hash
        return Outcome.Done(Unit)
    }
}

class FakeHistory : HistoryRepository {
    val changes = mutableMapOf<Key, List<Change>>()
    val open = MutableStateFlow<Map<Key, List<Conflict>>>(emptyMap())
    val chosen = mutableListOf<Pair<String, FieldValue>>()
    override val inConflict: Flow<List<Key>> = open.map { it.keys.toList() }

    override suspend fun changes(key: Key) = changes[key].orEmpty()
    override suspend fun conflicts(key: Key) = open.value[key].orEmpty()
    override suspend fun choose(key: Key, field: String, value: FieldValue): Outcome<Unit> {
        chosen += field to value
        open.update { it - key }
        return Outcome.Done(Unit)
    }
}

class FakeSync : SyncRepository {
    override val state = MutableStateFlow(SyncState())
    var requests = 0
    var waits = 0

    override fun request() { requests++ }
    override fun pause() = Unit
    override fun resume() = Unit
    override suspend fun awaitSynced(timeoutMs: Long): Boolean = true.also { waits++ }
}

class FakeExchange : ExchangeRepository {
    var code = "BARIDP1-0000-1111@192.168.43.1:40123"
    val joined = mutableListOf<String>()

    override suspend fun invite(onCode: (String) -> Unit, onProgress: (Passed) -> Unit): Outcome<Passed> {
        onCode(code)
        awaitCancellation()
    }

    override suspend fun join(code: String, onProgress: (Passed) -> Unit): Outcome<Passed> {
        joined += code
        return Outcome.Done(Passed(3, 12))
    }
}

class FakeFiles : FileRepository {
    override suspend fun export(path: String) = Outcome.Done(Passed(given = 7))
    override suspend fun import(path: String) = Outcome.Done(Passed(taken = 4))
}

class FakeLock : LockRepository {
    override val state = MutableStateFlow(LockState.Open)
    override suspend fun lock(): Outcome<Unit> = Outcome.Done(Unit).also { state.value = LockState.LockedByHand }
    override suspend fun unlock(): Outcome<Unit> = Outcome.Done(Unit).also { state.value = LockState.Open }
}

class FakePositions : Positions {
    override val last = MutableStateFlow<Place?>(null)
    var followers = 0
    override fun follow() { followers++ }
    override fun release() { followers-- }
}

class FakeDrafts(@Volatile var kept: EventDraft? = null) : DraftMemory {
    override fun load() = kept
    override fun keep(draft: EventDraft?) { kept = draft }
}

class FakeCamera : PhotoTaker {
    override val taken = MutableSharedFlow<NewPhoto>(extraBufferCapacity = 4)
    var next: NewPhoto? = null
    override fun request() { next?.let { taken.tryEmit(it) } }
}

class FakeFrames(var flow: Flow<Frame> = emptyFlow()) : CodeFrames {
    override fun frames(): Flow<Frame> = flow
}

class FakePermits : Permits {
    val asked = mutableListOf<Permit>()
    var grants = true
    override suspend fun ask(permit: Permit): Boolean = grants.also { asked += permit }
}

class FakeRecording : TrackRecording {
    override val state = MutableStateFlow(TrackState())
    override fun start(patrol: Key) { state.value = TrackState(patrol) }
    override fun pause() = state.update { it.copy(paused = true) }
    override fun resume() = state.update { it.copy(paused = false) }
    override fun stop() { state.value = TrackState() }
}
