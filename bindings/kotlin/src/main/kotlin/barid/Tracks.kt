package barid

import kotlin.time.Instant
import barid.ffi.Gap as CoreGap
import barid.ffi.Position as CorePosition
import barid.ffi.Tracks as CoreTracks

/** One position of a track. */
public data class Position(
    /** When it was taken. */
    val time: Instant,
    /** Where. */
    val place: Place,
    /** Radius of 68 % confidence in metres; 0 if the receiver did not say. */
    val accuracyMetres: Int = 0,
) {
    /** Redacted, so that no position reaches a log. */
    override fun toString(): String = "Position(…)"
}

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
public class Tracks internal constructor(private val core: CoreTracks) {
    /**
     * Records a piece of the track of a patrol: up to 1,000 positions, the earliest first. A few minutes
     * at a time are a good measure.
     */
    public suspend fun add(
        patrol: RecordKey,
        positions: List<Position>,
        gaps: List<Gap> = emptyList(),
    ) {
        val corePositions = positions.map {
            CorePosition(
                it.time.toEpochMilliseconds(),
                it.place.latitude,
                it.place.longitude,
                it.accuracyMetres.coerceIn(0, 65535).toUShort(),
            )
        }
        val coreGaps = gaps.map {
            CoreGap(it.from.toEpochMilliseconds(), it.to.toEpochMilliseconds(), it.reason)
        }
        onIo { core.add(patrol.toCore(), corePositions, coreGaps) }
    }

    /** The pieces of the track of a patrol that are here, the earliest first. */
    public suspend fun of(patrol: RecordKey): List<Track> = onIo {
        core.of(patrol.toCore()).map { track ->
            Track(
                device = track.device,
                organisation = track.organisation,
                positions = track.positions.map {
                    Position(it.timeMs.toInstant(), Place(it.latitude, it.longitude), it.accuracyM.toInt())
                },
                gaps = track.gaps.map { Gap(it.fromMs.toInstant(), it.toMs.toInstant(), it.reason) },
            )
        }
    }

    internal fun close() {
        core.close()
    }
}
