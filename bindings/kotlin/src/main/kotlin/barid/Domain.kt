package barid

import kotlin.time.Instant

/** The names of the kinds that every Barid store knows. */
public object Kinds {
    /** A patrol: a unit under way with an objective. */
    public const val PATROL: String = "patrol"

    /** An event: a report of something seen. */
    public const val EVENT: String = "event"

    /** An alert: an SOS and its like. It travels before everything else. */
    public const val ALERT: String = "alert"
}

/** A fix: a place, and how well it is known. */
public data class Fix(
    /** The place. */
    val place: Place,
    /** Radius of 68 % confidence in metres; none if the receiver did not say. */
    val accuracyMetres: Double? = null,
)

/** How many people, where they were counted. There is nothing here to say who they are. */
public data class PersonCounts(
    /** All of them. */
    val total: Long? = null,
    /** Women. */
    val women: Long? = null,
    /** Men. */
    val men: Long? = null,
    /** Girls. */
    val girls: Long? = null,
    /** Boys. */
    val boys: Long? = null,
    /** Those of whom it was not seen. */
    val unknown: Long? = null,
)

/** A report of something seen. What is null is not recorded. */
public data class Event(
    /** When it happened. */
    val time: Instant,
    /** What was seen, a word, as `water_point_status`. */
    val type: String,
    /** Where. */
    val fix: Fix? = null,
    /** How it came to be known, a word, as `seen`. */
    val how: String? = null,
    /** The callsign of who reports. */
    val reportedBy: String? = null,
    /** The id of the patrol during which it was recorded. */
    val patrol: String? = null,
    /** Its category, a word. */
    val category: String? = null,
    /** The layer of the map that it belongs on, a word. */
    val layer: String? = null,
    /** 0 to 300, higher is more urgent. */
    val priority: Long? = null,
    /** A few words. */
    val title: String? = null,
    /** More words. */
    val note: String? = null,
    /** How far whoever reviews it has come, a word. */
    val reviewState: String? = null,
    /** What is being done about it, a word. */
    val operationalState: String? = null,
    /** How many people are concerned. */
    val people: PersonCounts = PersonCounts(),
    /** How many need water. */
    val needWater: Long? = null,
    /** How many need a doctor. */
    val needMedical: Long? = null,
    /** How many need transport. */
    val needTransport: Long? = null,
) {
    /** Redacted: the type alone. */
    override fun toString(): String = "Event($type)"

    internal fun write(fields: Fields) {
        fields.set("time", time)
        fields.set("event_type", type)
        fields.put(fix)
        fields.put("how", how)
        fields.put("reported_by", reportedBy)
        fields.put("patrol", patrol)
        fields.put("category", category)
        fields.put("layer", layer)
        fields.put("priority", priority)
        fields.put("title", title)
        fields.put("note", note)
        fields.put("review_state", reviewState)
        fields.put("operational_state", operationalState)
        fields.put("persons_total", people.total)
        fields.put("persons_women", people.women)
        fields.put("persons_men", people.men)
        fields.put("persons_girls", people.girls)
        fields.put("persons_boys", people.boys)
        fields.put("persons_unknown", people.unknown)
        fields.put("needs_water", needWater)
        fields.put("needs_medical", needMedical)
        fields.put("needs_transport", needTransport)
    }
}

/** A unit under way with an objective. What is null is not recorded. */
public data class Patrol(
    /** `planned`, `ready`, `active`, `done` or `cancelled`. */
    val state: String,
    /** A few words. */
    val title: String? = null,
    /** Its number in the books. */
    val serial: String? = null,
    /** A word, as `vehicle`. */
    val type: String? = null,
    /** Which unit. */
    val unit: String? = null,
    /** What it is for. */
    val objective: String? = null,
    /** The callsign of who leads. */
    val leader: String? = null,
    /** How it moves, a word. */
    val transport: String? = null,
    /** Higher is more urgent. */
    val priority: Long? = null,
    /** When it should start. */
    val scheduledStart: Instant? = null,
    /** When it should end. */
    val scheduledEnd: Instant? = null,
    /** When it did start. */
    val startedAt: Instant? = null,
    /** When it did end. */
    val endedAt: Instant? = null,
) {
    /** Redacted: the state alone. */
    override fun toString(): String = "Patrol($state)"

    internal fun write(fields: Fields) {
        fields.set("state", state)
        fields.put("title", title)
        fields.put("serial", serial)
        fields.put("patrol_type", type)
        fields.put("unit", unit)
        fields.put("objective", objective)
        fields.put("leader", leader)
        fields.put("transport", transport)
        fields.put("priority", priority)
        fields.put("scheduled_start", scheduledStart)
        fields.put("scheduled_end", scheduledEnd)
        fields.put("started_at", startedAt)
        fields.put("ended_at", endedAt)
    }
}

/** An SOS and its like. What is null is not recorded. */
public data class Alert(
    /** When it was raised. */
    val time: Instant,
    /** Where. */
    val fix: Fix? = null,
    /** A word, as `sos`. */
    val type: String = "sos",
    /** `raised`, `acknowledged`, `responding`, `cleared` or `cancelled`. */
    val state: String = "raised",
    /** The callsign of who raised it. */
    val raisedBy: String? = null,
    /** The id of the patrol during which it was raised. */
    val patrol: String? = null,
    /** A few words. */
    val note: String? = null,
) {
    /** Redacted: type and state alone. */
    override fun toString(): String = "Alert($type, $state)"

    internal fun write(fields: Fields) {
        fields.set("time", time)
        fields.set("alert_type", type)
        fields.set("state", state)
        fields.put(fix)
        fields.put("raised_by", raisedBy)
        fields.put("patrol", patrol)
        fields.put("note", note)
    }
}

/** The record as an event; none if it is of another kind. */
public fun Record.asEvent(): Event? = if (key.kind != Kinds.EVENT) null else Event(
    time = time,
    type = text("event_type").orEmpty(),
    fix = place?.let { Fix(it, number("accuracy_m")) },
    how = text("how"),
    reportedBy = text("reported_by"),
    patrol = text("patrol"),
    category = text("category"),
    layer = text("layer"),
    priority = int("priority"),
    title = text("title"),
    note = text("note"),
    reviewState = text("review_state"),
    operationalState = text("operational_state"),
    people = PersonCounts(
        int("persons_total"), int("persons_women"), int("persons_men"),
        int("persons_girls"), int("persons_boys"), int("persons_unknown"),
    ),
    needWater = int("needs_water"),
    needMedical = int("needs_medical"),
    needTransport = int("needs_transport"),
)

/** The record as a patrol; none if it is of another kind. */
public fun Record.asPatrol(): Patrol? = if (key.kind != Kinds.PATROL) null else Patrol(
    state = state.orEmpty(),
    title = text("title"),
    serial = text("serial"),
    type = text("patrol_type"),
    unit = text("unit"),
    objective = text("objective"),
    leader = text("leader"),
    transport = text("transport"),
    priority = int("priority"),
    scheduledStart = time("scheduled_start"),
    scheduledEnd = time("scheduled_end"),
    startedAt = time("started_at"),
    endedAt = time("ended_at"),
)

/** The record as an alert; none if it is of another kind. */
public fun Record.asAlert(): Alert? = if (key.kind != Kinds.ALERT) null else Alert(
    time = time,
    fix = place?.let { Fix(it, number("accuracy_m")) },
    type = text("alert_type").orEmpty(),
    state = state.orEmpty(),
    raisedBy = text("raised_by"),
    patrol = text("patrol"),
    note = text("note"),
)

private fun Fields.put(fix: Fix?) {
    if (fix == null) return
    set("lat", fix.place.latitude)
    set("lon", fix.place.longitude)
    fix.accuracyMetres?.let { set("accuracy_m", it) }
}

private fun Fields.put(name: String, value: String?) {
    value?.let { set(name, it) }
}

private fun Fields.put(name: String, value: Long?) {
    value?.let { set(name, it) }
}

private fun Fields.put(name: String, value: Instant?) {
    value?.let { set(name, it) }
}
