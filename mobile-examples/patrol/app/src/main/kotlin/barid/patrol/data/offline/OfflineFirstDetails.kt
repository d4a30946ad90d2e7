package barid.patrol.data.offline

import barid.Attachment
import barid.FieldException
import barid.FieldStore
import barid.Gap
import barid.Position
import barid.Variant
import barid.patrol.data.HistoryRepository
import barid.patrol.data.PhotoRepository
import barid.patrol.data.TrackRepository
import barid.patrol.model.Candidate
import barid.patrol.model.Change
import barid.patrol.model.Conflict
import barid.patrol.model.FieldValue
import barid.patrol.model.GapReason
import barid.patrol.model.Key
import barid.patrol.model.Outcome
import barid.patrol.model.Photo
import barid.patrol.model.Place
import barid.patrol.model.Track
import barid.patrol.model.TrackGap
import java.util.concurrent.ConcurrentHashMap
import kotlin.math.roundToInt
import kotlin.time.Instant
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.map

class OfflineFirstHistoryRepository(private val store: FieldStore) : HistoryRepository {
    override suspend fun changes(key: Key): List<Change> = shown(emptyList()) {
        store.history.of(key.translate()).asReversed().map { change ->
            Change(
                change.id, change.time.toEpochMilliseconds(), change.device == store.deviceId, short(change.device),
                change.sets.filterKeys { it !in HIDDEN }.mapValues { it.value.translate() },
            )
        }
    }

    override suspend fun conflicts(key: Key): List<Conflict> = shown(emptyList()) {
        store.history.conflicts(key.translate()).map { conflict ->
            Conflict(conflict.field, conflict.sides.mapIndexed { index, side ->
                Candidate(
                    side.value.translate(), short(side.device), side.device == store.deviceId, side.time.toEpochMilliseconds(), index == 0,
                )
            })
        }
    }

    override val inConflict: Flow<List<Key>> = store.history.observeConflicts().map { records -> records.map { it.key.translate() } }

    override suspend fun choose(key: Key, field: String, value: FieldValue): Outcome<Unit> = outcome {
        store.history.resolve(key.translate(), field, value.translate())
    }

    private companion object {
        /** Shown as the place, or said by the type. */
        val HIDDEN = setOf("lat", "lon", "accuracy_m", "how", "place_time", "category", "layer", "review_state", "patrol", "time")
    }
}

class OfflineFirstTrackRepository(private val store: FieldStore) : TrackRepository {
    override suspend fun add(patrol: Key, positions: List<Place>, gaps: List<TrackGap>): Outcome<Unit> = outcome {
        store.tracks.add(
            patrol.translate(),
            positions.map { place ->
                Position(
                    Instant.fromEpochMilliseconds(place.time), barid.Place(place.lat, place.lon),
                    (place.accuracyM ?: 0.0).roundToInt().coerceIn(0, 65_535),
                )
            },
            gaps.map { Gap(Instant.fromEpochMilliseconds(it.from), Instant.fromEpochMilliseconds(it.to), it.reason.word) },
        )
    }

    /** One way for each device that took it. */
    override suspend fun of(patrol: Key): List<Track> = shown(emptyList()) {
        store.tracks.of(patrol.translate()).groupBy { it.device }.values.map { pieces ->
            Track(
                pieces.flatMap { it.positions }.map { position ->
                    Place(
                        position.place.latitude, position.place.longitude,
                        position.accuracyMetres.takeIf { it > 0 }?.toDouble(), position.time.toEpochMilliseconds(),
                    )
                }.sortedBy { it.time },
                pieces.flatMap { it.gaps }.map { gap ->
                    TrackGap(gap.from.toEpochMilliseconds(), gap.to.toEpochMilliseconds(), GapReason.of(gap.reason))
                }.sortedBy { it.from },
            )
        }
    }
}

class OfflineFirstPhotoRepository(private val store: FieldStore) : PhotoRepository {
    // The SDK names a picture by more than its hash; what was told last is kept.
    private val known = ConcurrentHashMap<String, Attachment>()

    override fun of(key: Key): Flow<List<Photo>> = store.attachments.observe(key.translate()).map { states ->
        states.map { state ->
            known[state.attachment.hash] = state.attachment
            val (where, done) = state.whereabouts.translate()
            Photo(state.attachment.hash, state.attachment.bytes, where, done, state.hasThumbnail)
        }
    }

    override suspend fun thumbnail(key: Key, photo: Photo): ByteArray? = open(photo, Variant.Thumbnail)

    override suspend fun picture(key: Key, photo: Photo): ByteArray? = open(photo, Variant.Original)

    override suspend fun fetch(key: Key, photo: Photo): Outcome<Unit> = outcome {
        known[photo.hash]?.let { store.attachments.fetch(it) }
        Unit
    }

    private suspend fun open(photo: Photo, variant: Variant): ByteArray? =
        known[photo.hash]?.let { attachment -> shown(null) { store.attachments.open(attachment, variant) } }
}

/** A locked phone shows nothing, and that is not an error. */
private suspend fun <T> shown(otherwise: T, read: suspend () -> T): T = try {
    read()
} catch (_: FieldException) {
    otherwise
}
