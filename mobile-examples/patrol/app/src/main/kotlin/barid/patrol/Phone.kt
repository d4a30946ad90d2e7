package barid.patrol

import barid.patrol.data.AlertRepository
import barid.patrol.data.Clock
import barid.patrol.data.CodeFrames
import barid.patrol.data.Credential
import barid.patrol.data.DraftMemory
import barid.patrol.data.EnrolmentRepository
import barid.patrol.data.EventRepository
import barid.patrol.data.ExchangeRepository
import barid.patrol.data.FileRepository
import barid.patrol.data.HistoryRepository
import barid.patrol.data.LockRepository
import barid.patrol.data.PatrolRepository
import barid.patrol.data.Permits
import barid.patrol.data.PhotoRepository
import barid.patrol.data.PhotoTaker
import barid.patrol.data.Positions
import barid.patrol.data.SyncRepository
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackRepository
import barid.patrol.model.Key
import barid.patrol.ui.Destination
import barid.patrol.ui.Navigator
import barid.patrol.ui.detail.DetailHolder
import barid.patrol.ui.enrol.CodeScan
import barid.patrol.ui.enrol.EnrolHolder
import barid.patrol.ui.exchange.ExchangeHolder
import barid.patrol.ui.home.HomeHolder
import barid.patrol.ui.lock.LockHolder
import barid.patrol.ui.map.MapHolder
import barid.patrol.ui.patrol.PatrolHolder
import barid.patrol.ui.record.RecordHolder
import barid.patrol.ui.records.RecordsHolder
import barid.patrol.ui.sos.SosHolder
import kotlinx.coroutines.CoroutineScope

/** What is recorded and read. */
class Repositories(
    val enrolment: EnrolmentRepository,
    val patrols: PatrolRepository,
    val events: EventRepository,
    val alerts: AlertRepository,
    val tracks: TrackRepository,
    val photos: PhotoRepository,
    val history: HistoryRepository,
    val sync: SyncRepository,
    val exchange: ExchangeRepository,
    val files: FileRepository,
    val lock: LockRepository,
)

/** What the phone has. */
class Instruments(
    val clock: Clock,
    val positions: Positions,
    val photos: PhotoTaker,
    val frames: CodeFrames,
    val permits: Permits,
    val credential: Credential,
    val recording: TrackRecording,
    val drafts: DraftMemory,
)

/** One enrolled or fresh phone, wired by hand: repositories and instruments below, what screens hold above. */
class Phone(
    val repositories: Repositories,
    val instruments: Instruments,
    private val scope: CoroutineScope,
    /** The database was damaged, and what was intact has been brought back. */
    val broughtBack: Boolean = false,
) {
    private val scan = CodeScan(instruments.frames)

    val navigator = Navigator()
    val clock: Clock = instruments.clock

    val enrol = with(instruments) { EnrolHolder(repositories.enrolment, scan, permits, scope) }
    val home = with(repositories) { HomeHolder(patrols, events, alerts, history, sync, instruments.recording, scope) }
    val record = with(repositories) { RecordHolder(events, patrols, instruments.positions, instruments.photos, instruments.drafts, scope) }
    val records = RecordsHolder(repositories.events, repositories.alerts, scope)
    val sos = with(repositories) { SosHolder(alerts, patrols, instruments.positions, sync, scope) }
    val patrol = with(repositories) {
        PatrolHolder(patrols, tracks, instruments.recording, instruments.permits, instruments.clock, scope)
    }
    val map = with(repositories) { MapHolder(events, alerts, patrols, tracks, instruments.recording, instruments.positions, scope) }
    val exchange = ExchangeHolder(repositories.exchange, repositories.files, scan, instruments.permits, scope)
    val lock = LockHolder(repositories.lock, instruments.credential, scope)

    init {
        // The system killed the app in the middle of a form: one comes back to it.
        if (record.state.value.draft != null) {
            navigator.go(Destination.ChooseType)
            navigator.go(Destination.Record)
        }
    }

    private var opened: Pair<Key, DetailHolder>? = null

    /** The same holder while one stays at a record, also when the screen is made anew. */
    fun detail(key: Key): DetailHolder {
        opened?.let { (of, holder) -> if (of == key) return holder }
        val holder = with(repositories) { DetailHolder(key, events, history, photos, instruments.photos, scope) }
        opened = key to holder
        return holder
    }
}
