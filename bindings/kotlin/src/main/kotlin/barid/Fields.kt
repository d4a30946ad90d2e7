package barid

import kotlin.time.Instant

/** Says which fields a record has, or gets: `set("title", "…")`. */
public abstract class FieldSetter internal constructor() {
    /** Sets a field to any value. */
    public abstract fun set(name: String, value: Value)

    /** Sets a field to a text. */
    public fun set(name: String, value: String): Unit = set(name, Value.Text(value))

    /** Sets a field to a whole number. */
    public fun set(name: String, value: Long): Unit = set(name, Value.Int(value))

    /** Sets a field to a whole number. */
    public fun set(name: String, value: Int): Unit = set(name, Value.Int(value.toLong()))

    /** Sets a field to a number, which must be finite. */
    public fun set(name: String, value: Double): Unit = set(name, Value.Number(value))

    /** Sets a field to yes or no. */
    public fun set(name: String, value: Boolean): Unit = set(name, Value.Flag(value))

    /** Sets a field to a time, to the millisecond. */
    public fun set(name: String, value: Instant): Unit = set(name, Value.Int(value.toEpochMilliseconds()))

    /** Sets a field to bytes. */
    public fun set(name: String, value: ByteArray): Unit = set(name, Value.Bytes(value))
}

/** The fields of a new record. */
public class Fields internal constructor() : FieldSetter() {
    internal val values: MutableMap<String, Value> = mutableMapOf()

    override fun set(name: String, value: Value) {
        values[name] = value
    }
}

/** What changes of a record; fields that are not named stay as they are. */
public class Patch internal constructor() : FieldSetter() {
    internal val values: MutableMap<String, Value?> = mutableMapOf()

    override fun set(name: String, value: Value) {
        values[name] = value
    }

    /** Removes a field. */
    public fun remove(name: String) {
        values[name] = null
    }
}
