package barid.patrol.data

import barid.patrol.model.EventDraft
import barid.patrol.model.Key
import barid.patrol.model.NewPhoto
import barid.patrol.model.Place
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.StateFlow

// The phone itself, as far as state holders may know it. `device/` has the real ones.

interface Clock {
    fun now(): Long

    /** The time again and again, as often as an age on a screen changes. */
    val ticks: Flow<Long>
}

/** Where this phone is. The last fix is kept with its time: an old one is shown as old, never as if it were now. */
interface Positions {
    val last: StateFlow<Place?>

    /** Listens while somebody needs it. */
    fun follow()
    fun release()
}

/** The camera, as a picture taker. The picture may come after the screen was made anew. */
interface PhotoTaker {
    val taken: Flow<NewPhoto>

    fun request()
}

/** Keeps the event that is being filled in beyond the death of the process. */
interface DraftMemory {
    fun load(): EventDraft?

    /** None forgets it. */
    fun keep(draft: EventDraft?)
}

/** A grey picture of the camera, row by row; [rotation] degrees clockwise make it upright. */
class Frame(val luma: ByteArray, val width: Int, val height: Int, val rotation: Int = 0)

/** The camera, as a reader of codes. Collecting opens it; ending closes it. */
fun interface CodeFrames {
    fun frames(): Flow<Frame>
}

/** What a person may allow or refuse. */
enum class Permit { Location, Camera, Notifications }

interface Permits {
    suspend fun ask(permit: Permit): Boolean
}

/** Whoever can unlock the phone can unlock the app. */
interface Credential {
    suspend fun confirm(): Boolean
}

/** The service that records the way, as a patrol uses it. */
interface TrackRecording {
    fun start(patrol: Key)
    fun pause()
    fun resume()
    fun stop()

    val state: StateFlow<TrackState>
}

/** [recordedPositions] of this patrol so far; [lastGap] while one is open. */
data class TrackState(
    val patrol: Key? = null,
    val paused: Boolean = false,
    val recordedPositions: Int = 0,
    val distanceM: Double = 0.0,
    val noFixSince: Long? = null,
    val last: Place? = null,
)
