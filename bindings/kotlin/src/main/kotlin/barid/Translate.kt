package barid

import barid.ffi.FieldValue
import barid.ffi.Write
import kotlin.time.Instant
import barid.ffi.Enrolment as CoreEnrolment
import barid.ffi.ExchangeReport as CoreExchange
import barid.ffi.ExportReport as CoreExport
import barid.ffi.ImportReport as CoreImport
import barid.ffi.LockState as CoreLock
import barid.ffi.Unsent as CoreUnsent
import barid.ffi.KindDeclaration as CoreKind
import barid.ffi.Phase as CorePhase
import barid.ffi.Place as CorePlace
import barid.ffi.Progress as CoreProgress
import barid.ffi.Query as CoreQuery
import barid.ffi.Record as CoreRecord
import barid.ffi.RecordKey as CoreKey
import barid.ffi.StoreConfig as CoreConfig
import barid.ffi.SyncFailure
import barid.ffi.SyncStatus as CoreStatus

internal fun Long.toInstant(): Instant = Instant.fromEpochMilliseconds(this)

internal fun FieldValue.translate(): Value = when (this) {
    is FieldValue.Null -> Value.Null
    is FieldValue.Flag -> Value.Flag(value)
    is FieldValue.Int -> Value.Int(value)
    is FieldValue.Number -> Value.Number(value)
    is FieldValue.Text -> Value.Text(value)
    is FieldValue.Bytes -> Value.Bytes(value)
    is FieldValue.Items -> Value.Items(value.map { it.translate() })
    is FieldValue.Entries -> Value.Entries(value.mapValues { it.value.translate() })
}

internal fun Value.toCore(): FieldValue = when (this) {
    is Value.Null -> FieldValue.Null
    is Value.Flag -> FieldValue.Flag(value)
    is Value.Int -> FieldValue.Int(value)
    is Value.Number -> FieldValue.Number(value)
    is Value.Text -> FieldValue.Text(value)
    is Value.Bytes -> FieldValue.Bytes(value)
    is Value.Items -> FieldValue.Items(value.map { it.toCore() })
    is Value.Entries -> FieldValue.Entries(value.mapValues { it.value.toCore() })
}

internal fun RecordKey.toCore(): CoreKey = CoreKey(space, kind, id)

internal fun CoreKey.translate(): RecordKey = RecordKey(space, kind, id)

internal fun CorePlace.translate(): Place = Place(latitude, longitude)

internal fun Place.toCore(): CorePlace = CorePlace(latitude, longitude)

internal fun CoreRecord.translate(): Record = Record(
    key = key.translate(),
    fields = fields.mapValues { it.value.translate() },
    time = timeMs.toInstant(),
    place = place?.translate(),
    state = state,
    organisation = organisation,
    createdBy = createdBy,
    createdAt = createdMs.toInstant(),
    updatedAt = updatedMs.toInstant(),
    isWithdrawn = withdrawn,
    conflicts = conflicts.toInt(),
    isDelivered = delivered,
)

internal fun Query.toCore(): CoreQuery {
    if (limit !in 1..1000) throw FieldException.Invalid("the limit of a query is 1 to 1,000")
    return CoreQuery(
        space = space,
        kind = kind,
        fromMs = from?.toEpochMilliseconds(),
        toMs = to?.toEpochMilliseconds(),
        southWest = area?.southWest?.toCore(),
        northEast = area?.northEast?.toCore(),
        state = state,
        organisation = organisation,
        text = text,
        includeWithdrawn = includeWithdrawn,
        conflictsOnly = conflictsOnly,
        limit = limit.toUInt(),
        after = after,
    )
}

internal fun Fields.toCore(): Map<String, FieldValue> = values.mapValues { it.value.toCore() }

internal fun Patch.toCore(): Map<String, FieldValue?> = values.mapValues { it.value?.toCore() }

internal fun StoreConfig.toCore(): CoreConfig =
    CoreConfig(
        path = path.path,
        seed = secret,
        kinds = kinds.map { it.toCore() },
        leaseMs = lease?.inWholeMilliseconds?.coerceAtLeast(0)?.toULong(),
        databaseKey = databaseKey,
    )

private fun KindDeclaration.toCore(): CoreKind =
    CoreKind(name, captured, editable, time, latitude, longitude, state, searched)

internal fun CoreEnrolment.translate(): Enrolment = Enrolment(url, organisation, spaces)

internal fun CoreProgress.translate(): Progress =
    Progress(done.toLong(), total?.toLong(), doneLen.toLong(), totalLen?.toLong())

internal fun CoreStatus.translate(isEnrolled: Boolean): SyncStatus = SyncStatus(
    phase = when (phase) {
        CorePhase.PAUSED -> if (isEnrolled) Phase.Paused else Phase.NotEnrolled
        CorePhase.WAITING -> Phase.Waiting
        CorePhase.CONNECTING -> Phase.Connecting
        CorePhase.SYNCING -> Phase.Syncing
        CorePhase.UP_TO_DATE -> Phase.UpToDate
    },
    up = up.translate(),
    down = down.translate(),
    unsentRecords = unsentRecords.toLong(),
    turnedDown = turnedDown,
    lastSuccess = lastSuccessMs?.toInstant(),
    hasSyncedOnce = lastSuccessMs != null,
    nextTry = nextTryMs?.toInstant(),
    error = error?.translate(),
    errorText = (error as? SyncFailure.Closed)?.why,
    unsentAttachments = unsentAttachments.toLong(),
    unsentAttachmentBytes = unsentAttachmentLen.toLong(),
    attachmentBytesUp = attachmentsUpLen.toLong(),
    attachmentBytesDown = attachmentsDownLen.toLong(),
    via = via,
    isRevoked = isRevoked,
    isWipeAsked = isWipeAsked,
    isLocked = isLocked,
)

private fun SyncFailure.translate(): SyncError = when (this) {
    is SyncFailure.Unreachable -> SyncError.Unreachable
    is SyncFailure.Certificate -> SyncError.NotOurRelay
    is SyncFailure.NotARelay -> SyncError.NotARelay
    is SyncFailure.Cut -> SyncError.Cut
    is SyncFailure.Closed -> SyncError.Closed
    is SyncFailure.Storage -> SyncError.Storage
}

internal fun WriteGroup.toCore(): List<Write> = writes

internal fun CoreUnsent.translate(): Unsent = Unsent(
    records = records.toLong(),
    changes = changes.toLong(),
    bytes = bytes.toLong(),
    attachments = attachments.toLong(),
    attachmentBytes = attachmentBytes.toLong(),
    carried = carried.toLong(),
    damagedFiles = damagedFiles.toLong(),
)

internal fun CoreExchange.translate(): ExchangeReport = ExchangeReport(
    peer = peer,
    given = given.toLong(),
    givenTotal = toGive.toLong(),
    givenBytes = givenLen.toLong(),
    taken = taken.toLong(),
    takenTotal = toTake.toLong(),
    takenBytes = takenLen.toLong(),
    isComplete = isComplete,
)

internal fun CoreExport.translate(): ExportReport = ExportReport(batches.toLong(), len.toLong(), isPartial)

internal fun CoreImport.translate(): ImportReport = ImportReport(
    taken = taken.toLong(),
    held = held.toLong(),
    waiting = waiting.toLong(),
    refused = refused.toLong(),
    total = total.toLong(),
    missing = missing.toLong(),
    damage = damage,
)

internal fun CoreLock.translate(): LockState = when (this) {
    is CoreLock.Unlocked -> LockState.Unlocked(leaseEndsMs?.toInstant())
    is CoreLock.LockedByApp -> LockState.LockedByApp
    is CoreLock.LeaseEnded -> LockState.LeaseEnded
}
