package barid

import barid.ffi.Write
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.drop
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.flow.runningFold
import barid.ffi.RecordKey as CoreKey
import barid.ffi.Records as CoreRecords

/**
 * Recording and reading. What is recorded is durable when the call returns, network or not, locked or
 * not; reading needs the store to be unlocked.
 */
public class Records internal constructor(
    private val core: CoreRecords,
    private val live: Live,
) {
    /** Records something new. Without a [space], in the first of the enrolment. */
    public suspend fun put(kind: String, space: String? = null, fields: Fields.() -> Unit): RecordKey {
        val values = Fields().apply(fields).toCore()
        return onIo { core.put(kind, values, space).translate() }
    }

    /** Records an event. */
    public suspend fun put(event: Event, space: String? = null): RecordKey =
        put(Kinds.EVENT, space) { event.write(this) }

    /** Records a patrol. */
    public suspend fun put(patrol: Patrol, space: String? = null): RecordKey =
        put(Kinds.PATROL, space) { patrol.write(this) }

    /** Raises an alert, which travels before everything else. A locked store does too. */
    public suspend fun sos(alert: Alert, space: String? = null): RecordKey =
        put(Kinds.ALERT, space) { alert.write(this) }

    /** Changes some fields of a record. Setting a field that has a conflict decides it. */
    public suspend fun patch(key: RecordKey, changes: Patch.() -> Unit) {
        val values = Patch().apply(changes).toCore()
        onIo { core.patch(key.toCore(), values) }
    }

    /** Withdraws a record: it is shown no more, and its history stays. */
    public suspend fun withdraw(key: RecordKey) {
        onIo { core.withdraw(key.toCore()) }
    }

    /** Does several writes as one: all are durable together, or none is, and they travel together. */
    public suspend fun write(writes: WriteGroup.() -> Unit) {
        onIo {
            val group = WriteGroup { kind, space -> core.newKey(kind, space).translate() }.apply(writes)
            if (group.writes.isNotEmpty()) core.write(group.toCore())
        }
    }

    /** A record, if it is here; a withdrawn one too. */
    public suspend fun get(key: RecordKey): Record? = onIo { core.get(key.toCore())?.translate() }

    /** Records that match, the newest first. */
    public suspend fun query(query: Query = Query()): RecordPage = onIo { read(query) }

    /** A record now, and whenever it changes; none while it is not here, or while the store is locked. */
    public fun observe(key: RecordKey): Flow<Record?> {
        val wanted = key.toCore()
        return live.flow({ it == wanted }) { shown(null) { core.get(wanted)?.translate() } }
    }

    /** Records that match now, and whenever they change; empty while the store is locked. */
    public fun observe(query: Query = Query()): Flow<List<Record>> {
        val concerns = { key: CoreKey ->
            (query.kind == null || query.kind == key.kind) && (query.space == null || query.space == key.space)
        }
        return live.flow(concerns) { shown(emptyList()) { read(query).records } }
    }

    /** The same with what is new, other and gone since the last time; the first tells of all as new. */
    public fun observeChanges(query: Query = Query()): Flow<RecordDiff> =
        observe(query)
            .runningFold<List<Record>, RecordDiff?>(null) { before, now ->
                RecordDiff.between(before?.records.orEmpty(), now)
            }
            .drop(1)
            .filterNotNull()

    private fun read(query: Query): RecordPage {
        val page = core.query(query.toCore())
        return RecordPage(page.records.map { it.translate() }, page.next)
    }
}

/** What is read, or this while the store is locked. */
internal fun <T> shown(whenLocked: T, read: () -> T): T = try {
    translated(read)
} catch (_: FieldException.Locked) {
    whenLocked
}

/** Several writes that are one; see [Records.write]. */
public class WriteGroup internal constructor(private val newKey: (String, String?) -> RecordKey) {
    internal val writes: MutableList<Write> = mutableListOf()

    /** Records something new. */
    public fun put(kind: String, space: String? = null, fields: Fields.() -> Unit): RecordKey {
        val key = newKey(kind, space)
        writes += Write.Put(key.toCore(), Fields().apply(fields).toCore())
        return key
    }

    /** Records an event. */
    public fun put(event: Event, space: String? = null): RecordKey =
        put(Kinds.EVENT, space) { event.write(this) }

    /** Records a patrol. */
    public fun put(patrol: Patrol, space: String? = null): RecordKey =
        put(Kinds.PATROL, space) { patrol.write(this) }

    /** Changes some fields of a record. */
    public fun patch(key: RecordKey, changes: Patch.() -> Unit) {
        writes += Write.Patch(key.toCore(), Patch().apply(changes).toCore())
    }

    /** Withdraws a record. */
    public fun withdraw(key: RecordKey) {
        writes += Write.Withdraw(key.toCore())
    }
}
