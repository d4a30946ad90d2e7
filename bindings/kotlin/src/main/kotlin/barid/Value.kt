package barid

import kotlin.time.Instant

/**
 * What one field of a record holds.
 *
 * Values are compared by content. Read one with the accessors of [FieldMap] (`record.text("title")`),
 * write one with [Fields.set] and [Patch.set], which take Kotlin's own types.
 */
public sealed interface Value {
    /** Known to be empty. */
    public data object Null : Value

    /** Yes or no. */
    public data class Flag(val value: Boolean) : Value

    /** A whole number; a time is one, in milliseconds since the epoch. */
    public data class Int(val value: Long) : Value

    /** A finite number with a fraction. */
    public data class Number(val value: Double) : Value

    /** Text. */
    public data class Text(val value: String) : Value

    /** Bytes, which nobody else may change while this holds them. */
    public class Bytes(public val value: ByteArray) : Value {
        override fun equals(other: Any?): Boolean = other is Bytes && value.contentEquals(other.value)

        override fun hashCode(): kotlin.Int = value.contentHashCode()

        override fun toString(): String = "Bytes(${value.size})"
    }

    /** A list, merged as a whole. */
    public data class Items(val value: List<Value>) : Value

    /** A map, merged as a whole. */
    public data class Entries(val value: Map<String, Value>) : Value
}

/** The fields of a record, read by name. A field of another type than asked for reads as none. */
public interface FieldMap {
    /** Every field, those that no kind declares too. */
    public val fields: Map<String, Value>

    /** The text of a field. */
    public fun text(name: String): String? = (fields[name] as? Value.Text)?.value

    /** The whole number of a field. */
    public fun int(name: String): Long? = (fields[name] as? Value.Int)?.value

    /** The number of a field, whole or not. */
    public fun number(name: String): Double? = when (val value = fields[name]) {
        is Value.Number -> value.value
        is Value.Int -> value.value.toDouble()
        else -> null
    }

    /** The yes or no of a field. */
    public fun flag(name: String): Boolean? = (fields[name] as? Value.Flag)?.value

    /** The time of a field. */
    public fun time(name: String): Instant? = int(name)?.let(Instant::fromEpochMilliseconds)

    /** The bytes of a field. */
    public fun bytes(name: String): ByteArray? = (fields[name] as? Value.Bytes)?.value
}
