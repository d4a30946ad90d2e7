package barid

import barid.ffi.BundleObserver
import java.io.File
import barid.ffi.Bundles as CoreBundles
import barid.ffi.Recipient as CoreRecipient

/** Whom a bundle is for. Nobody else can read it. */
public sealed interface Recipient {
    /** The relay of this device's enrolment. */
    public data object Relay : Recipient

    /** Another device, by its [FieldStore.deviceId]. */
    public data class Device(val id: String) : Recipient
}

/** What went into a bundle. */
public data class ExportReport(
    /** Batches. */
    val batches: Long,
    /** Their bytes. */
    val bytes: Long,
    /** Whether there is more than one bundle holds: make another from what is left after it arrived. */
    val isPartial: Boolean,
)

/** What came out of a bundle. */
public data class ImportReport(
    /** Batches that were not here. */
    val taken: Long,
    /** Batches that were. */
    val held: Long,
    /** Batches that are kept, and do not stand or not yet: who wrote them is not known here, or was revoked. */
    val waiting: Long,
    /** Batches that this device does not take: of other spaces, or malformed. */
    val refused: Long,
    /** Batches that it should hold. */
    val total: Long,
    /** Of them, those that are not in the file: it was not copied whole, or is damaged. */
    val missing: Long,
    /** What is wrong with the file, in English, if its end was not reached. */
    val damage: String?,
)

/**
 * Bundles: records in a file, encrypted to one recipient, carried by hand where there is no network.
 * Attachments do not travel this way yet.
 */
public class Bundles internal constructor(private val core: CoreBundles) {
    /**
     * Writes what the relay is not known to hold into a new file; for a device, everything that is here.
     * The file is there when it is whole. Recording goes on meanwhile.
     *
     * @param onProgress gets the bytes written, and how many there are.
     */
    public suspend fun export(
        path: File,
        recipient: Recipient = Recipient.Relay,
        onProgress: (done: Long, total: Long) -> Unit = { _, _ -> },
    ): ExportReport = longCall { cancel ->
        val coreRecipient = when (recipient) {
            is Recipient.Relay -> CoreRecipient.Relay
            is Recipient.Device -> CoreRecipient.Device(recipient.id)
        }
        core.exportTo(path.path, coreRecipient, Counting(onProgress), cancel).translate()
    }

    /**
     * Takes in everything of a bundle for this device that is whole. Doing it twice does no harm.
     *
     * @param onProgress gets the batches read, and how many there are.
     */
    public suspend fun import(
        path: File,
        onProgress: (done: Long, total: Long) -> Unit = { _, _ -> },
    ): ImportReport = longCall { cancel ->
        core.importFrom(path.path, Counting(onProgress), cancel).translate()
    }

    internal fun close() {
        core.close()
    }
}

private class Counting(private val tell: (Long, Long) -> Unit) : BundleObserver {
    override fun progress(done: ULong, total: ULong) {
        // An exception of the app's must not go through the core.
        runCatching { tell(done.toLong(), total.toLong()) }
    }
}
