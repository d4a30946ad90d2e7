package barid.patrol.model

/** Which record: its space, its kind (`event`, `patrol`, `alert`) and its id. */
data class Key(val space: String, val kind: String, val id: String)

/** Where a record is. Words are made of this, never a percentage. */
enum class Delivery {
    /** Only on this phone. */
    OnThisPhone,

    /** The relay has acknowledged it by its hash, after writing it to its disk. */
    Arrived,

    /** Another device wrote it and it has come here. */
    FromOthers,
}

/** A fix, or a place set by hand. Degrees; the accuracy in metres; the time in milliseconds since the epoch. */
data class Place(val lat: Double, val lon: Double, val accuracyM: Double?, val time: Long) {
    /** A place never reaches a trace. */
    override fun toString(): String = "Place(…)"
}
