package barid.patrol

import android.app.Application
import android.content.Context
import androidx.work.Configuration
import barid.FieldException
import barid.FieldStore
import barid.StoreConfig
import barid.patrol.data.offline.LabelMemory
import barid.patrol.data.offline.OfflineFirstAlertRepository
import barid.patrol.data.offline.OfflineFirstEnrolmentRepository
import barid.patrol.data.offline.OfflineFirstEventRepository
import barid.patrol.data.offline.OfflineFirstExchangeRepository
import barid.patrol.data.offline.OfflineFirstFileRepository
import barid.patrol.data.offline.OfflineFirstHistoryRepository
import barid.patrol.data.offline.OfflineFirstLockRepository
import barid.patrol.data.offline.OfflineFirstPatrolRepository
import barid.patrol.data.offline.OfflineFirstPhotoRepository
import barid.patrol.data.offline.OfflineFirstSyncRepository
import barid.patrol.data.offline.OfflineFirstTrackRepository
import barid.patrol.data.CodeFrames
import barid.patrol.device.ActivityPorts
import barid.patrol.device.CameraFrames
import barid.patrol.device.GpsPositions
import barid.patrol.device.NetworkNews
import barid.patrol.device.PreferencesTrackJournal
import barid.patrol.device.SealedDraft
import barid.patrol.device.SystemClock
import barid.patrol.device.SyncWorker
import barid.patrol.device.ServiceTrackRecording
import barid.patrol.device.TrackRecorder
import barid.patrol.device.Vault
import barid.patrol.device.VaultState
import barid.patrol.device.WifiNetwork
import barid.patrol.device.Wiper
import barid.patrol.ui.NotOpened
import java.io.File
import java.io.IOException
import java.security.GeneralSecurityException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Whether the phone's records are open. */
sealed interface Opening {
    data object NotYet : Opening
    class Open(val phone: Phone, val recorder: TrackRecorder, val store: FieldStore) : Opening
    class Failed(val why: NotOpened) : Opening

    /** The centre asked for it; [sealed] is what had not arrived and was not handed over yet. */
    class Wiped(val sealed: List<File>) : Opening
}

/** Opens the store once and keeps it as long as the process lives; services and workers find it here. */
open class PatrolApplication : Application(), Configuration.Provider {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private val openings = MutableStateFlow<Opening>(Opening.NotYet)
    val opening: StateFlow<Opening> = openings.asStateFlow()

    val journal by lazy { PreferencesTrackJournal(this) }
    val ports by lazy { ActivityPorts(this) }
    private val database by lazy { File(noBackupFilesDir, "field.db") }
    private val vault by lazy { Vault(noBackupFilesDir, database, FieldStore::newSecret) }

    private val draft by lazy { File(noBackupFilesDir, "draft.sealed") }
    val wiper by lazy {
        Wiper(noBackupFilesDir, database, vault) {
            draft.delete()
            cacheDir.listFiles().orEmpty().forEach { it.deleteRecursively() }
            journal.open = null
            PreferencesLabel(this).label = ""
        }
    }

    /** Whether the library was built with encryption at rest. */
    protected open val encrypts: Boolean get() = resources.getBoolean(R.bool.encrypt_at_rest)

    /** How long this phone shows its records without having met its centre. */
    protected open val lease: Duration get() = resources.getInteger(R.integer.lease_days).days

    protected open fun frames(): CodeFrames = CameraFrames(this)

    override fun onCreate() {
        super.onCreate()
        open()
        schedule()
    }

    /** WorkManager is made when it is first asked for, not at every start of the process. */
    override val workManagerConfiguration: Configuration = Configuration.Builder().build()

    protected open fun schedule() = SyncWorker.keep(this)

    /** What was recorded goes out also when the app is closed meanwhile. */
    protected open fun scheduleSoon() = SyncWorker.soon(this)

    /** Also the second try, after what was said on the screen. */
    fun open() {
        if (openings.value is Opening.Open) return
        scope.launch { openings.value = opened() }
    }

    /** Somebody held the button: what cannot be read is set aside, and the phone begins anew. */
    fun beginAnew() {
        scope.launch {
            withContext(Dispatchers.IO) { vault.setAside(SystemClock.now()) }
            openings.value = opened()
        }
    }

    /** After a wipe: what is left to hand over, or a phone that is no member yet. */
    fun goOnAfterWipe() {
        scope.launch { openings.value = opened() }
    }

    suspend fun phone(): Phone? = settled()?.phone

    suspend fun recorder(): TrackRecorder? = settled()?.recorder

    private suspend fun settled(): Opening.Open? = openings.first { it !is Opening.NotYet } as? Opening.Open

    private suspend fun wiped(): Opening? =
        withContext(Dispatchers.IO) { if (wiper.isWiped()) Opening.Wiped(wiper.sealed) else null }

    private suspend fun opened(): Opening = try {
        wiped() ?: when (val state = withContext(Dispatchers.IO) { vault.open() }) {
            VaultState.KeyLost -> Opening.Failed(NotOpened.KeyLost)
            is VaultState.Open -> {
                val config = StoreConfig(
                    path = database,
                    secret = state.secrets.seed,
                    lease = lease,
                    databaseKey = state.secrets.databaseKey.takeIf { encrypts },
                )
                val drafts = SealedDraft(draft, state.secrets.databaseKey)
                try {
                    wire(FieldStore.open(config), drafts, broughtBack = false)
                } catch (damaged: FieldException.Damaged) {
                    // The damaged file stays where it was put; what is intact in it comes back, and that is said.
                    FieldStore.recover(File(damaged.keptAs), config)
                    wire(FieldStore.open(config), drafts, broughtBack = true)
                }
            }
        }
    } catch (_: FieldException.Damaged) {
        Opening.Failed(NotOpened.Damaged)
    } catch (_: FieldException.KeyRefused) {
        Opening.Failed(NotOpened.KeyLost)
    } catch (_: FieldException) {
        Opening.Failed(NotOpened.Failed)
    } catch (_: GeneralSecurityException) {
        Opening.Failed(NotOpened.Failed)
    } catch (_: IOException) {
        Opening.Failed(NotOpened.Failed)
    }

    private fun wire(store: FieldStore, drafts: SealedDraft, broughtBack: Boolean): Opening {
        val clock = SystemClock
        val positions = GpsPositions(this)
        val tracks = OfflineFirstTrackRepository(store)
        val recorder = TrackRecorder(tracks, positions, journal, clock, scope)
        val recording = ServiceTrackRecording(this, recorder)
        val repositories = Repositories(
            enrolment = OfflineFirstEnrolmentRepository(store, PreferencesLabel(this)),
            patrols = OfflineFirstPatrolRepository(store, clock),
            events = OfflineFirstEventRepository(store, clock),
            alerts = OfflineFirstAlertRepository(store, clock),
            tracks = tracks,
            photos = OfflineFirstPhotoRepository(store),
            history = OfflineFirstHistoryRepository(store),
            sync = OfflineFirstSyncRepository(store, scope),
            exchange = OfflineFirstExchangeRepository(store, WifiNetwork),
            files = OfflineFirstFileRepository(store),
            lock = OfflineFirstLockRepository(store, scope),
        )
        val instruments = Instruments(clock, positions, ports, frames(), ports, ports, recording, drafts)
        val phone = Phone(repositories, instruments, scope, broughtBack)
        store.sync.start()
        NetworkNews.listen(this, store.sync::request)
        scope.launch {
            repositories.sync.state.map { it.unsentRecords > 0 }.distinctUntilChanged().collect { waiting -> if (waiting) scheduleSoon() }
        }
        scope.launch {
            store.sync.status.first { it.isWipeAsked }
            recording.stop()
            if (wiper.wipe(store, clock.now())) openings.value = Opening.Wiped(wiper.sealed)
        }
        phone.patrol.goOn()
        return Opening.Open(phone, recorder, store)
    }
}

private class PreferencesLabel(context: Context) : LabelMemory {
    private val kept = context.getSharedPreferences("member", Context.MODE_PRIVATE)

    override var label: String
        get() = kept.getString("label", null).orEmpty()
        set(value) = kept.edit().putString("label", value).apply()
}
