package barid.patrol.model

/** What is filled in before it is recorded. */
data class EventDraft(
    val type: EventType,
    val place: Place? = null,
    val people: People = People(),
    val needs: Map<Need, Int> = emptyMap(),
    val note: String = "",
    val photos: List<NewPhoto> = emptyList(),
    val patrol: String? = null,
)

/** A photo that was just taken: the picture and a small one, both JPEG. */
class NewPhoto(val bytes: ByteArray, val thumbnail: ByteArray?)

/** An event as it is shown. */
data class Event(
    val key: Key,
    val type: EventType,
    val time: Long,
    val place: Place?,
    val people: People,
    val needs: Map<Need, Int>,
    val title: String?,
    val note: String?,
    val patrol: String?,
    val mine: Boolean,
    val delivery: Delivery,
    val inConflict: Boolean,
)

/** An SOS and what has become of it. */
data class Alert(
    val key: Key,
    val time: Long,
    val place: Place?,
    val state: AlertState,
    val mine: Boolean,
    val delivery: Delivery,
)

enum class AlertState(val word: String) {
    Raised("raised"), Acknowledged("acknowledged"), Responding("responding"), Cleared("cleared"), Cancelled("cancelled");

    val isOpen: Boolean get() = this == Raised || this == Acknowledged || this == Responding

    companion object {
        fun of(word: String?): AlertState = entries.firstOrNull { it.word == word } ?: Raised
    }
}

/** A photo of a record, as far as it is here. */
data class Photo(
    val hash: String,
    val lengthBytes: Long,
    val state: PhotoState,
    /** How much of it has gone or come, in bytes. */
    val doneBytes: Long,
    val hasThumbnail: Boolean,
)

enum class PhotoState {
    /** Only on this phone, perhaps partly sent. */
    OnThisPhone,

    /** The relay has it, whole and checked. */
    Arrived,

    /** Known of, not here; it comes when it is asked for. */
    Elsewhere,

    /** Asked for and on its way. */
    Coming,

    /** The relay does not take it. */
    Refused,
}
