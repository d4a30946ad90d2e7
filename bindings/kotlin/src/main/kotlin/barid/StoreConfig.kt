package barid

import java.io.File
import kotlin.time.Duration

/**
 * What a store is opened with.
 *
 * On Android, keep the database in `Context.noBackupFilesDir`, and [secret] and [databaseKey] wrapped by
 * a key of the Keystore: whoever has the secret is this device.
 */
public class StoreConfig(
    /** The database file, made if it is not there. */
    public val path: File,
    /** The device's secret: 32 bytes from [FieldStore.newSecret], the same at every opening. */
    public val secret: ByteArray,
    /** The app's own kinds of records; patrols, events and alerts are known without. */
    public val kinds: List<KindDeclaration> = emptyList(),
    /** How long a store shows what it holds without having met its relay; none means for ever. */
    public val lease: Duration? = null,
    /** The key of an encrypted database: 32 bytes. Needs a library built with encryption. */
    public val databaseKey: ByteArray? = null,
) {
    /** Only the path. */
    override fun toString(): String = "StoreConfig($path)"
}

/** An app's own kind of record. What is not declared may be recorded all the same. */
public data class KindDeclaration(
    /** Its name, as `checkpoint`. */
    val name: String,
    /** Fields captured once, when the record is made: who, when, where. */
    val captured: List<String> = emptyList(),
    /** Fields that people edit. */
    val editable: List<String> = emptyList(),
    /** The field with the time at which it happened. */
    val time: String? = null,
    /** The field with the latitude, in degrees. */
    val latitude: String? = null,
    /** The field with the longitude, in degrees. */
    val longitude: String? = null,
    /** The field with its state. */
    val state: String? = null,
    /** The fields that are searched; none given means every text. */
    val searched: List<String>? = null,
)

/** Where a device belongs. */
public data class Enrolment(
    /** The relay's address. */
    val url: String,
    /** The organisation, in hex. */
    val organisation: String,
    /** The spaces that the device reads and writes, the one that it records in first. */
    val spaces: List<String>,
)

/** What came back from a damaged database. */
public data class RecoverReport(
    /** Intact batches. */
    val batches: Long,
    /** Changes that no relay had, recorded again. */
    val changes: Long,
    /** Intact changes that the new store refuses. */
    val failed: Long,
)
