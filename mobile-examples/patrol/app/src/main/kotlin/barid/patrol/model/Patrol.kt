package barid.patrol.model

enum class PatrolState(val word: String) {
    Planned("planned"), Ready("ready"), Active("active"), Paused("paused"), Done("done"), Cancelled("cancelled");

    companion object {
        fun of(word: String?): PatrolState = entries.firstOrNull { it.word == word } ?: Planned
    }
}

enum class Transport(val word: String) {
    Vehicle("vehicle"), Foot("foot"), Camel("camel"), Boat("boat"), Air("air");

    companion object {
        fun of(word: String?): Transport? = entries.firstOrNull { it.word == word }
    }
}

data class Patrol(
    val key: Key,
    val title: String?,
    val transport: Transport?,
    val state: PatrolState,
    val startedAt: Long?,
    val endedAt: Long?,
    val mine: Boolean,
    val delivery: Delivery,
) {
    val isUnderWay: Boolean get() = state == PatrolState.Active || state == PatrolState.Paused
}

/** Why there are no positions, so that silence is never taken for standing still. */
enum class GapReason(val word: String) {
    NoFix("no_fix"), Paused("paused"), Battery("battery"), Killed("killed"), Unknown("unknown");

    companion object {
        fun of(word: String): GapReason = entries.firstOrNull { it.word == word } ?: Unknown
    }
}

data class TrackGap(val from: Long, val to: Long, val reason: GapReason)

/** What was recorded of a patrol's way. */
data class Track(val positions: List<Place>, val gaps: List<TrackGap>)
