package barid

import kotlinx.coroutines.flow.Flow
import barid.ffi.Attachment as CoreAttachment
import barid.ffi.Attachments as CoreAttachments
import barid.ffi.Whereabouts as CoreWhereabouts

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
    /**
     * Here, and not whole with the relay.
     *
     * @property sentBytes bytes that the relay has.
     * @property refusal why the relay does not take it, while that is so, as a stable word: `too_large`,
     * `not_permitted`, `full`, `harmed` or `not_now`. This device keeps it.
     */
    public data class Local(val sentBytes: Long, val refusal: String? = null) : Whereabouts

    /** Here, and with the relay. */
    public data object Delivered : Whereabouts

    /** Not here; [Attachments.fetch] gets it. */
    public data object Remote : Whereabouts

    /** On its way here. */
    public data class Fetching(val heldBytes: Long) : Whereabouts
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
public class Attachments internal constructor(private val core: CoreAttachments, private val live: Live) {
    /**
     * Attaches a picture to a record: JPEG, PNG or WebP, up to 25 MiB. It is durable when this returns.
     * Attaching the same bytes again changes nothing.
     *
     * @param thumbnail the app's own; without one it is made here.
     */
    public suspend fun attach(key: RecordKey, bytes: ByteArray, thumbnail: ByteArray? = null): Attachment =
        onIo { core.attach(key.toCore(), bytes, thumbnail).translate().attachment }

    /** Takes an attachment off its record. */
    public suspend fun detach(key: RecordKey, attachment: Attachment) {
        onIo { core.detach(key.toCore(), attachment.hash) }
    }

    /** The attachments of a record. */
    public suspend fun of(key: RecordKey): List<AttachmentState> = onIo { read(key) }

    /**
     * The attachments of a record now, and whenever they or their whereabouts change; empty while the
     * store is locked.
     */
    public fun observe(key: RecordKey): Flow<List<AttachmentState>> {
        val wanted = key.toCore()
        return live.flow({ it == wanted }) { shown(emptyList()) { read(key) } }
    }

    /** The bytes of an attachment; none if they are not here. Nothing of half a picture is ever given. */
    public suspend fun open(attachment: Attachment, variant: Variant = Variant.Thumbnail): ByteArray? = onIo {
        when (variant) {
            Variant.Original -> core.bytes(attachment.space, attachment.hash)
            Variant.Thumbnail -> attachment.thumbnail?.let { core.bytes(attachment.space, it) }
        }
    }

    /** Gets the original as soon as there is a link; that survives the app's end. */
    public suspend fun fetch(attachment: Attachment) {
        onIo { core.fetch(attachment.space, attachment.hash) }
    }

    /**
     * Frees disk space: drops originals of which the relay has a backup, and which [fetch] gets again.
     * Never others.
     *
     * @return the bytes freed.
     */
    public suspend fun free(): Long = onIo { core.free().toLong() }

    private fun read(key: RecordKey): List<AttachmentState> = core.of(key.toCore()).map { it.translate() }

    internal fun close() {
        core.close()
    }
}

private fun CoreAttachment.translate(): AttachmentState = AttachmentState(
    attachment = Attachment(space, hash, media, len.toLong(), thumbnail),
    whereabouts = when (val at = whereabouts) {
        is CoreWhereabouts.Local -> Whereabouts.Local(at.sentLen.toLong(), at.refusal)
        is CoreWhereabouts.Delivered -> Whereabouts.Delivered
        is CoreWhereabouts.Remote -> Whereabouts.Remote
        is CoreWhereabouts.Fetching -> Whereabouts.Fetching(at.heldLen.toLong())
    },
    hasThumbnail = hasThumbnail,
)
