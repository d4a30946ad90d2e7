package barid.patrol.data

import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Change
import barid.patrol.model.Conflict
import barid.patrol.model.Event
import barid.patrol.model.EventDraft
import barid.patrol.model.FieldValue
import barid.patrol.model.Key
import barid.patrol.model.NewPhoto
import barid.patrol.model.Outcome
import barid.patrol.model.Patrol
import barid.patrol.model.Photo
import barid.patrol.model.Place
import barid.patrol.model.SyncState
import barid.patrol.model.Track
import barid.patrol.model.TrackGap
import barid.patrol.model.Transport
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.StateFlow

// What screens may ask for. Everything reads this phone's own database and nothing waits for a network; flows
// never fail. The real ones stand over the field store (`OfflineFirst…`), the tests' are plain lists.

/** Whose phone this is. */
interface EnrolmentRepository {
    /** The member that this phone is, once it is enrolled. */
    val member: StateFlow<Member?>

    /** The only call that needs the network. [label] names the phone for the centre: a unit, never a person. */
    suspend fun enrol(code: String, label: String): Outcome<Member>
}

/** What the centre calls this phone; [device] is the first letters of its id. */
data class Member(val label: String, val device: String)

interface PatrolRepository {
    /** The patrol under way on this phone. */
    val current: Flow<Patrol?>
    val all: Flow<List<Patrol>>

    suspend fun start(title: String, transport: Transport): Outcome<Key>
    suspend fun pause(key: Key): Outcome<Unit>
    suspend fun resume(key: Key): Outcome<Unit>
    suspend fun end(key: Key): Outcome<Unit>

    /** The id of the patrol under way, also while the phone is locked and shows none. */
    suspend fun currentId(): String?
}

interface EventRepository {
    /** Newest first. */
    val all: Flow<List<Event>>

    fun observe(key: Key): Flow<Event?>

    /** Durable when it returns. A photo that fails does not undo the record: [Recorded.photosLost] tells. */
    suspend fun record(draft: EventDraft): Outcome<Recorded>
    suspend fun setNote(key: Key, note: String): Outcome<Unit>
    suspend fun addPhoto(key: Key, photo: NewPhoto): Outcome<Unit>
}

data class Recorded(val key: Key, val photosLost: Int)

interface AlertRepository {
    /** Open ones first, then the newest. */
    val all: Flow<List<Alert>>

    suspend fun raise(place: Place?, patrol: String?): Outcome<Key>
    suspend fun set(key: Key, state: AlertState): Outcome<Unit>
}

interface TrackRepository {
    suspend fun add(patrol: Key, positions: List<Place>, gaps: List<TrackGap>): Outcome<Unit>
    suspend fun of(patrol: Key): List<Track>
}

interface PhotoRepository {
    fun of(key: Key): Flow<List<Photo>>

    /** The small picture, or none while it has not come. */
    suspend fun thumbnail(key: Key, photo: Photo): ByteArray?
    suspend fun picture(key: Key, photo: Photo): ByteArray?

    /** Asks for the whole picture; it comes when a link allows. */
    suspend fun fetch(key: Key, photo: Photo): Outcome<Unit>
}

interface HistoryRepository {
    suspend fun changes(key: Key): List<Change>
    suspend fun conflicts(key: Key): List<Conflict>

    /** Records in which two values stand side by side. */
    val inConflict: Flow<List<Key>>

    suspend fun choose(key: Key, field: String, value: FieldValue): Outcome<Unit>
}

interface SyncRepository {
    val state: StateFlow<SyncState>

    /** Asks for a try now. Returns at once. */
    fun request()
    fun pause()
    fun resume()

    /** For the background: whether everything is exchanged before the time is over. */
    suspend fun awaitSynced(timeoutMs: Long): Boolean
}

/** Hands records from phone to phone, without a network of anybody else. */
interface ExchangeRepository {
    /** Shows a code and waits for one colleague; ends when cancelled. [onCode] gets the code once it is reachable. */
    suspend fun invite(onCode: (String) -> Unit, onProgress: (Passed) -> Unit): Outcome<Passed>

    /** Reads a colleague's code and exchanges. */
    suspend fun join(code: String, onProgress: (Passed) -> Unit): Outcome<Passed>
}

/** Records given to and taken from a colleague or a file. */
data class Passed(val given: Long = 0, val taken: Long = 0)

interface FileRepository {
    /** Writes what the centre has not into a sealed file that only it can read. [path] is a new file's. */
    suspend fun export(path: String): Outcome<Passed>
    suspend fun import(path: String): Outcome<Passed>
}

interface LockRepository {
    val state: StateFlow<LockState>

    suspend fun lock(): Outcome<Unit>
    suspend fun unlock(): Outcome<Unit>
}

enum class LockState {
    Open,

    /** Somebody locked it; whoever can unlock the phone opens it. */
    LockedByHand,

    /** It has not met its centre for too long; the next contact opens it. */
    LeaseOver,
}
