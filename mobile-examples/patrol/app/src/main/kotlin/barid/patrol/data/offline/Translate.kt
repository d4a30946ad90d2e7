package barid.patrol.data.offline

import barid.FieldException
import barid.Phase
import barid.Record
import barid.RecordKey
import barid.SyncError
import barid.SyncStatus
import barid.Value
import barid.Whereabouts
import barid.asAlert
import barid.asEvent
import barid.asPatrol
import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import barid.patrol.model.EventType
import barid.patrol.model.FieldValue
import barid.patrol.model.Group
import barid.patrol.model.Key
import barid.patrol.model.Need
import barid.patrol.model.Outcome
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.People
import barid.patrol.model.PhotoState
import barid.patrol.model.Place
import barid.patrol.model.SyncPhase
import barid.patrol.model.SyncState
import barid.patrol.model.Transport
import barid.patrol.model.Trouble

// Between the SDK's words and this app's. Nothing is decided here.

internal fun RecordKey.translate() = Key(space, kind, id)

internal fun Key.translate() = RecordKey(space, kind, id)

/** The letters by which people tell devices apart. */
internal fun short(device: String): String = device.take(6)

private fun Record.delivery(device: String): Delivery = when {
    !isDelivered -> Delivery.OnThisPhone
    createdBy == device -> Delivery.Arrived
    else -> Delivery.FromOthers
}

private fun Record.translatedPlace(): Place? =
    place?.let { Place(it.latitude, it.longitude, number("accuracy_m"), time("place_time")?.toEpochMilliseconds() ?: time.toEpochMilliseconds()) }

internal fun Record.event(device: String): Event? {
    val read = asEvent() ?: return null
    fun count(value: Long?) = (value ?: 0).coerceIn(0, People.MAX.toLong()).toInt()
    val groups = mapOf(
        Group.Women to count(read.people.women), Group.Men to count(read.people.men), Group.Girls to count(read.people.girls),
        Group.Boys to count(read.people.boys), Group.Unknown to count(read.people.unknown),
    ).filterValues { it > 0 }
    val needs = mapOf(
        Need.Water to count(read.needWater), Need.Medical to count(read.needMedical), Need.Transport to count(read.needTransport),
    ).filterValues { it > 0 }
    return Event(
        key = key.translate(),
        type = EventType.of(read.type),
        time = read.time.toEpochMilliseconds(),
        place = translatedPlace(),
        people = People(count(read.people.total), groups),
        needs = needs,
        title = read.title,
        note = read.note,
        patrol = read.patrol,
        mine = createdBy == device,
        delivery = delivery(device),
        inConflict = conflicts > 0,
    )
}

internal fun Record.patrol(device: String): Patrol? {
    val read = asPatrol() ?: return null
    return Patrol(
        key.translate(), read.title, Transport.of(read.transport), PatrolState.of(read.state),
        read.startedAt?.toEpochMilliseconds(), read.endedAt?.toEpochMilliseconds(), createdBy == device, delivery(device),
    )
}

/** An SOS; other alerts are the dashboard's. */
internal fun Record.sos(device: String): Alert? {
    val read = asAlert()?.takeIf { it.type == "sos" } ?: return null
    return Alert(
        key.translate(), read.time.toEpochMilliseconds(), translatedPlace(), AlertState.of(read.state), createdBy == device, delivery(device),
    )
}

internal fun Value?.translate(): FieldValue = when (this) {
    null, Value.Null -> FieldValue.Nothing
    is Value.Text -> FieldValue.Text(value)
    is Value.Int -> FieldValue.Count(value)
    is Value.Number -> FieldValue.Number(value)
    is Value.Flag -> FieldValue.Flag(value)
    is Value.Bytes, is Value.Items, is Value.Entries -> FieldValue.Opaque(this)
}

internal fun FieldValue.translate(): Value? = when (this) {
    is FieldValue.Text -> Value.Text(text)
    is FieldValue.Count -> Value.Int(count)
    is FieldValue.Number -> Value.Number(number)
    is FieldValue.Flag -> Value.Flag(yes)
    FieldValue.Nothing -> null
    is FieldValue.Opaque -> content as Value
}

internal fun SyncStatus.translate(): SyncState = SyncState(
    phase = when (phase) {
        Phase.NotEnrolled -> SyncPhase.NotEnrolled
        Phase.Paused -> SyncPhase.Paused
        Phase.Waiting -> SyncPhase.Offline
        Phase.Connecting -> SyncPhase.Connecting
        Phase.Syncing -> SyncPhase.Syncing
        Phase.UpToDate -> SyncPhase.UpToDate
    },
    unsentRecords = unsentRecords,
    unsentPhotos = unsentAttachments,
    unsentPhotoBytes = unsentAttachmentBytes,
    toFetchBytes = down.totalBytes?.let { (it - down.doneBytes).coerceAtLeast(0) } ?: 0,
    lastSuccess = lastSuccess?.toEpochMilliseconds(),
    nextTry = nextTry?.toEpochMilliseconds(),
    trouble = when (error) {
        null, SyncError.Cut -> null
        SyncError.Unreachable, SyncError.NotOurRelay, SyncError.NotARelay -> Trouble.RelayUnreachable
        SyncError.Closed -> if (isRevoked) Trouble.Revoked else Trouble.RelayUnreachable
        SyncError.Storage -> Trouble.DiskFull
    },
    revoked = isRevoked,
)

internal fun Whereabouts.translate(): Pair<PhotoState, Long> = when (this) {
    // A relay that is full or busy is asked again; the others are final until somebody changes its settings.
    is Whereabouts.Local ->
        (if (refusal in setOf("too_large", "not_permitted", "harmed")) PhotoState.Refused else PhotoState.OnThisPhone) to sentBytes
    Whereabouts.Delivered -> PhotoState.Arrived to 0L
    Whereabouts.Remote -> PhotoState.Elsewhere to 0L
    is Whereabouts.Fetching -> PhotoState.Coming to heldBytes
}

/** What a person can do about it. */
internal fun FieldException.trouble(): Trouble = when (this) {
    is FieldException.Unreachable -> Trouble.RelayUnreachable
    is FieldException.CodeRejected, is FieldException.PairingRejected -> Trouble.CodeRefused
    is FieldException.NoSpace -> Trouble.DiskFull
    is FieldException.UpdateNeeded -> Trouble.TooOld
    is FieldException.Locked -> Trouble.Locked
    is FieldException.ConnectionLost -> Trouble.PeerLost
    is FieldException.BundleRejected, is FieldException.FileFailed, is FieldException.FileExists -> Trouble.FileUnreadable
    is FieldException.UnsupportedPicture, is FieldException.TooLarge -> Trouble.PhotoRefused
    is FieldException.Damaged -> Trouble.Damaged
    else -> Trouble.Internal
}

internal suspend fun <T> outcome(call: suspend () -> T): Outcome<T> = try {
    Outcome.Done(call())
} catch (error: FieldException) {
    Outcome.Failed(error.trouble())
}
