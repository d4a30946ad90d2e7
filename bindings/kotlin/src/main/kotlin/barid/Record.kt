package barid

import kotlin.time.Instant

/** Which record: its space, its kind and its id. */
public data class RecordKey(
    /** The space, in hex. */
    val space: String,
    /** The kind, as `event`. */
    val kind: String,
    /** The id, a UUID. */
    val id: String,
)

/** A place, in degrees (WGS 84). */
public data class Place(
    /** Latitude, −90 to 90. */
    val latitude: Double,
    /** Longitude, −180 to 180. */
    val longitude: Double,
) {
    /** Redacted, so that no position reaches a log. */
    override fun toString(): String = "Place(…)"
}

/** A record as it stands on this device. */
public data class Record(
    /** Which record. */
    val key: RecordKey,
    override val fields: Map<String, Value>,
    /** When it happened; when it was made, if its kind has no time. */
    val time: Instant,
    /** Where it happened, if that is known. */
    val place: Place?,
    /** Its state, if its kind has one. */
    val state: String?,
    /** The organisation whose device made it, in hex, if that is known here. */
    val organisation: String?,
    /** The device that made it. */
    val createdBy: String,
    /** When it was made, by that device's clock. */
    val createdAt: Instant,
    /** When it was last changed, by the clock of whoever did. */
    val updatedAt: Instant,
    /** Whether it was withdrawn. */
    val isWithdrawn: Boolean,
    /** Fields that hold several values which nobody has decided between; see [History.conflicts]. */
    val conflicts: Int,
    /** Whether the relay has acknowledged everything that this device changed in it. */
    val isDelivered: Boolean,
) : FieldMap {
    /** Redacted: only the key and the state of delivery, never what the record says. */
    override fun toString(): String = "Record(key=$key, conflicts=$conflicts, isDelivered=$isDelivered)"
}

/** A page of records, the newest first. */
public data class RecordPage(
    /** The records. */
    val records: List<Record>,
    /** Give it as [Query.after] for the next page; none when this is the last. */
    val next: String?,
)

/** How a list of records differs from what was told before. */
public data class RecordDiff(
    /** The whole list now. */
    val records: List<Record>,
    /** Those that were not in it before. */
    val inserted: List<Record>,
    /** Those that were, and are not what they were. */
    val updated: List<Record>,
    /** Those that are in it no more. */
    val removed: List<RecordKey>,
) {
    /** Redacted: how many of each. */
    override fun toString(): String =
        "RecordDiff(${records.size}, +${inserted.size}, ~${updated.size}, -${removed.size})"

    internal companion object {
        fun between(before: List<Record>, now: List<Record>): RecordDiff {
            val held = before.associateBy { it.key }
            val keys = now.mapTo(HashSet()) { it.key }
            return RecordDiff(
                records = now,
                inserted = now.filter { it.key !in held },
                updated = now.filter { it.key in held && held[it.key] != it },
                removed = before.map { it.key }.filter { it !in keys },
            )
        }
    }
}

/** What to look for; what is not given is not asked. */
public data class Query(
    /** Records of this space. */
    val space: String? = null,
    /** Records of this kind. */
    val kind: String? = null,
    /** From this time on. */
    val from: Instant? = null,
    /** Before this time. */
    val to: Instant? = null,
    /** Within this box; one over the date line has its western longitude above its eastern. */
    val area: Area? = null,
    /** In this state. */
    val state: String? = null,
    /** Made by a device of this organisation. */
    val organisation: String? = null,
    /** With these words, with or without article, however the hamza was typed. */
    val text: String? = null,
    /** Withdrawn ones too. */
    val includeWithdrawn: Boolean = false,
    /** Only those with conflicts. */
    val conflictsOnly: Boolean = false,
    /** So many at most, 1 to 1,000. */
    val limit: Int = 100,
    /** The page after this one: [RecordPage.next] of the page before. */
    val after: String? = null,
) {
    /** Redacted: nothing of the words and the place. */
    override fun toString(): String = "Query(kind=$kind, limit=$limit)"
}

/** A box on the map. */
public data class Area(
    /** Its south-western corner. */
    val southWest: Place,
    /** Its north-eastern corner. */
    val northEast: Place,
)
