package barid

import barid.ffi.Records as CoreRecords
import kotlin.time.Instant
import kotlinx.coroutines.flow.Flow

/** One change of a record. */
public data class Change internal constructor(
    /** Its hash, in hex. */
    val id: String,
    /** The device that made it. */
    val device: String,
    /** When, by that device's clock. */
    val time: Instant,
    /** The fields it set; none as the value where it removed one. */
    val sets: Map<String, Value?>,
)

/** A field with values that were written without knowing of one another. All are kept until somebody decides. */
public data class Conflict internal constructor(
    /** The field. */
    val field: String,
    /** The values, the one that is shown first. */
    val sides: List<ConflictSide>,
)

/** One of the values of a conflict. */
public data class ConflictSide internal constructor(
    /** The value; none if this side removed the field. */
    val value: Value?,
    /** The device that wrote it. */
    val device: String,
    /** When, by that device's clock. */
    val time: Instant,
)

/** What was done to a record, and what nobody has decided between. */
public class History internal constructor(
    private val core: CoreRecords,
    private val records: Records,
) {
    /** Every change of a record, the oldest first. */
    public suspend fun of(key: RecordKey): List<Change> = onIo {
        core.history(key.toCore()).map { entry ->
            Change(
                id = entry.change,
                device = entry.device,
                time = entry.timeMs.toInstant(),
                sets = entry.sets.associate { it.field to it.value?.translate() },
            )
        }
    }

    /** The fields of a record that have conflicts. */
    public suspend fun conflicts(key: RecordKey): List<Conflict> = onIo {
        core.conflicts(key.toCore()).map { conflict ->
            Conflict(
                conflict.field,
                conflict.values.map { ConflictSide(it.value?.translate(), it.device, it.timeMs.toInstant()) },
            )
        }
    }

    /** Every record with a conflict, now and whenever that changes; the newest thousand. */
    public fun observeConflicts(): Flow<List<Record>> =
        records.observe(Query(conflictsOnly = true, limit = 1000))

    /** Decides a conflict: with one of its values, or another; none removes the field. */
    public suspend fun resolve(key: RecordKey, field: String, value: Value?) {
        records.patch(key) { if (value == null) remove(field) else set(field, value) }
    }

    /** Sets every field back to what it was after a change; what came later stays in the history. */
    public suspend fun restore(key: RecordKey, change: Change) {
        onIo { core.restoreTo(key.toCore(), change.id) }
    }
}
