package barid.patrol.ui.detail

import barid.patrol.data.EventRepository
import barid.patrol.data.HistoryRepository
import barid.patrol.data.PhotoRepository
import barid.patrol.data.PhotoTaker
import barid.patrol.model.Change
import barid.patrol.model.Conflict
import barid.patrol.model.Event
import barid.patrol.model.FieldValue
import barid.patrol.model.Key
import barid.patrol.model.Outcome
import barid.patrol.model.Photo
import barid.patrol.model.Trouble
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.mapLatest
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

/** A photo and its small picture, as far as it is here. */
data class ShownPhoto(val photo: Photo, val thumbnail: ByteArray?)

data class DetailState(
    val event: Event? = null,
    val photos: List<ShownPhoto> = emptyList(),
    val changes: List<Change> = emptyList(),
    val conflicts: List<Conflict> = emptyList(),
    /** The note while it is being changed. */
    val note: String? = null,
    val picture: ByteArray? = null,
    val trouble: Trouble? = null,
)

/** One event: what it says, how it came to say it, and where two phones disagree. */
@OptIn(ExperimentalCoroutinesApi::class)
class DetailHolder(
    private val key: Key,
    private val events: EventRepository,
    private val history: HistoryRepository,
    private val photos: PhotoRepository,
    private val camera: PhotoTaker,
    private val scope: CoroutineScope,
) {
    private data class Mine(val note: String? = null, val picture: ByteArray? = null, val trouble: Trouble? = null)

    private val mine = MutableStateFlow(Mine())
    private var waiting: Job? = null

    private val shownPhotos = photos.of(key).mapLatest { all ->
        all.map { ShownPhoto(it, photos.thumbnail(key, it)) }
    }

    private val record = events.observe(key).mapLatest { event ->
        Triple(event, history.changes(key), history.conflicts(key))
    }

    val state: StateFlow<DetailState> = combine(record, shownPhotos, mine) { (event, changes, conflicts), pictures, own ->
        DetailState(event, pictures, changes, conflicts, own.note, own.picture, own.trouble)
    }.stateIn(scope, SharingStarted.WhileSubscribed(), DetailState())

    fun editNote(note: String) = mine.update { it.copy(note = note) }

    fun keepNote() = act {
        val note = mine.value.note ?: return@act Outcome.Done(Unit)
        events.setNote(key, note.trim()).also { if (it is Outcome.Done) leaveNote() }
    }

    fun leaveNote() = mine.update { it.copy(note = null) }

    fun choose(field: String, value: FieldValue) = act { history.choose(key, field, value) }

    fun takePhoto() {
        // Whoever comes back without a picture and asks again waits once.
        waiting?.cancel()
        waiting = scope.launch {
            val photo = camera.taken.first()
            tell(events.addPhoto(key, photo))
        }
        camera.request()
    }

    /** The whole picture if it is here; else it is asked for, and the small one stays. */
    fun open(photo: Photo) = act {
        val bytes = photos.picture(key, photo)
        mine.update { it.copy(picture = bytes) }
        if (bytes == null) photos.fetch(key, photo) else Outcome.Done(Unit)
    }

    fun closePicture() = mine.update { it.copy(picture = null) }

    private fun act(call: suspend () -> Outcome<*>) {
        scope.launch { tell(call()) }
    }

    private fun tell(outcome: Outcome<*>) = mine.update { it.copy(trouble = (outcome as? Outcome.Failed)?.trouble) }
}
