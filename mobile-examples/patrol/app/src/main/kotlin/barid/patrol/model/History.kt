package barid.patrol.model

/** One change in a record's history. */
data class Change(
    val id: String,
    val time: Long,
    /** Whether this phone wrote it. */
    val mine: Boolean,
    /** A few letters of the device that wrote it. Never a person. */
    val device: String,
    /** The fields that it set, and to what. */
    val fields: Map<String, FieldValue>,
)

/** A field that two devices set apart; both values are kept until somebody decides. */
data class Conflict(val field: String, val candidates: List<Candidate>)

data class Candidate(val value: FieldValue, val device: String, val mine: Boolean, val time: Long, val shown: Boolean)

/** A field's value, as far as screens can show it. */
sealed interface FieldValue {
    data class Text(val text: String) : FieldValue
    data class Count(val count: Long) : FieldValue
    data class Number(val number: Double) : FieldValue
    data class Flag(val yes: Boolean) : FieldValue
    data object Nothing : FieldValue

    /** Bytes, a list or a map: passed on as it came. */
    class Opaque(val content: Any) : FieldValue
}
