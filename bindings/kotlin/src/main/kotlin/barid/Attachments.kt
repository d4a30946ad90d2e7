package barid

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/** A picture that belongs to a record. It is named by its content. */
public data class Attachment internal constructor(
    /** The space of its record. */
    val space: String,
    /** The hash of its bytes (BLAKE3), in hex. */
    val hash: String,
    /** Its type: `image/jpeg`, `image/png` or `image/webp`. */
    val type: String,
    /** Its bytes. */
    val bytes: Long,
    /** The hash of its thumbnail, if it has one. */
    val thumbnail: String?,
)

/** Where an attachment is. */
public sealed interface Whereabouts {
    /** Here, and the relay has so many bytes of it. */
    public data class Local(val sentBytes: Long) : Whereabouts

    /** Here, and with the relay. */
    public data object Delivered : Whereabouts

    /** Not here; [Attachments.fetch] gets it. */
    public data object Remote : Whereabouts

    /** On its way here. */
    public data class Fetching(val heldBytes: Long) : Whereabouts

    /** The relay does not take it, and this device keeps it. */
    public data class Refused(val code: String) : Whereabouts
}

/** An attachment of a record, and where it is. */
public data class AttachmentState internal constructor(
    /** Which. */
    val attachment: Attachment,
    /** Where it is. */
    val whereabouts: Whereabouts,
    /** Whether its thumbnail is here. */
    val hasThumbnail: Boolean,
)

/** Which of the pictures. */
public enum class Variant {
    /** A small one, some kilobytes, with a longest side of 320 pixels. */
    Thumbnail,

    /** The picture as it was attached, without what it said of who took it and where. */
    Original,
}

/**
 * Pictures of records. What a camera writes beside the picture (place, time, device) is taken off before
 * it is stored. Thumbnails travel first, originals when there is nothing else to send; both go on
 * where a link ended.
 */
public class Attachments internal constructor() {
    /**
     * Attaches a picture to a record. It is durable when this returns. Attaching the same bytes again
     * changes nothing.
     *
     * @param thumbnail the app's own; without one it is made here.
     */
    public suspend fun attach(key: RecordKey, bytes: ByteArray, thumbnail: ByteArray? = null): Attachment =
        notYet()

    /** Takes an attachment off its record. */
    public suspend fun detach(key: RecordKey, attachment: Attachment): Unit = notYet()

    /** The attachments of a record now, and whenever they or their whereabouts change. */
    public fun observe(key: RecordKey): Flow<List<AttachmentState>> = flow { emit(emptyList()) }

    /** The bytes of an attachment; none if they are not here. */
    public suspend fun open(attachment: Attachment, variant: Variant = Variant.Thumbnail): ByteArray? =
        notYet()

    /** Gets the original as soon as there is a link; that survives the app's end. */
    public suspend fun fetch(attachment: Attachment): Unit = notYet()

    /**
     * Frees disk space: drops originals of which the relay has a backup, and which [fetch] gets again.
     * Never others.
     *
     * @return the bytes freed.
     */
    public suspend fun free(): Long = notYet()
}
