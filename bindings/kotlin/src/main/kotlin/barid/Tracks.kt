package barid

import kotlin.time.Instant

/** One position of a track. */
public data class Position(
    /** When it was taken. */
    val time: Instant,
    /** Where. */
    val place: Place,
    /** Radius of 68 % confidence in metres; 0 if the receiver did not say. */
    val accuracyMetres: Int = 0,
)

/** A time without positions, so that silence is never taken for standing still. */
public data class Gap(
    /** The last moment before it. */
    val from: Instant,
    /** The first moment after it. */
    val to: Instant,
    /** Why, a word: `no_fix`, `paused`, `battery`, `killed`, `unknown`. */
    val reason: String,
)

/** A piece of a patrol's track, taken by one device. */
public data class Track internal constructor(
    /** The device that took it. */
    val device: String,
    /** The organisation whose device that is, if that is known here. */
    val organisation: String?,
    /** Positions, the earliest first. */
    val positions: List<Position>,
    /** Gaps, the earliest first. */
    val gaps: List<Gap>,
) {
    /** Redacted: how much, never where. */
    override fun toString(): String = "Track(${positions.size} positions, ${gaps.size} gaps)"
}

/** The tracks of patrols. They cost some five bytes a position, and travel after everything else. */
public class Tracks internal constructor() {
    /**
     * Records a piece of the track of a patrol: up to 1,000 positions, the earliest first. A few minutes
     * at a time are a good measure.
     */
    public suspend fun add(
        patrol: RecordKey,
        positions: List<Position>,
        gaps: List<Gap> = emptyList(),
    ): Unit = notYet()

    /** The pieces of the track of a patrol that are here, the earliest first. */
    public suspend fun of(patrol: RecordKey): List<Track> = notYet()
}
