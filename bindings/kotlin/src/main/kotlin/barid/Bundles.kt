package barid

import java.io.File

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
public class Bundles internal constructor() {
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
    ): ExportReport = notYet()

    /**
     * Takes in everything of a bundle for this device that is whole. Doing it twice does no harm.
     *
     * @param onProgress gets the batches read, and how many there are.
     */
    public suspend fun import(
        path: File,
        onProgress: (done: Long, total: Long) -> Unit = { _, _ -> },
    ): ImportReport = notYet()
}
