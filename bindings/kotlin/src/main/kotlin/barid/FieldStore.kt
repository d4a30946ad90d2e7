package barid

import barid.ffi.Subscription
import barid.ffi.FieldStore as CoreStore
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.FlowPreview
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch

/**
 * A device's records, on the device: what it recorded and what it knows of others, with or without a
 * network. Open one for each database file and keep it as long as the app lives.
 *
 * Every suspending call may be made from the main thread and may be cancelled. Flows never throw.
 * Calls throw a [FieldException], each of which says what the app can do.
 */
public class FieldStore private constructor(
    private val core: CoreStore,
    private val live: Live,
    private val scope: CoroutineScope,
    /** This device's public id, in hex. */
    public val deviceId: String,
    enrolled: Enrolment?,
    status: SyncStatus,
) : AutoCloseable {
    private val currentEnrolment = MutableStateFlow(enrolled)
    private val isClosed = AtomicBoolean()
    private val coreRecords = core.records()
    private val watching: Subscription

    /** Where the device belongs, once it is enrolled. */
    public val enrolment: StateFlow<Enrolment?> = currentEnrolment.asStateFlow()

    /** Recording and reading. */
    public val records: Records = Records(coreRecords, live)

    /** Pictures. */
    public val attachments: Attachments = Attachments()

    /** Tracks of patrols. */
    public val tracks: Tracks = Tracks()

    /** Syncing with the relay. */
    public val sync: Sync = Sync(core.sync(), scope, { currentEnrolment.value != null }, status)

    /** What was done to a record, and conflicts. */
    public val history: History = History(coreRecords, live, records)

    /** Exchanging with another phone. */
    public val peers: Peers = Peers()

    /** Records in a file. */
    public val bundles: Bundles = Bundles()

    /** The lock. */
    public val lock: Lock = Lock()

    init {
        watching = coreRecords.observe(live)
        scope.launch {
            live.flow({ true }) { Any() }.collect { sync.refresh() }
        }
    }

    /**
     * Enrols the device with the relay that made the [code]; needs the network, once.
     *
     * @param label what people call the device, as `Patrol 3`.
     */
    public suspend fun enrol(code: String, label: String): Enrolment {
        val enrolled = onIo { core.enrol(code, label).translate() }
        currentEnrolment.value = enrolled
        sync.refresh()
        return enrolled
    }

    /**
     * Deletes everything that this device holds: records, attachments, and the files beside them. Unless
     * told otherwise it refuses while there is work that nobody else is known to hold. Afterwards the
     * store is closed; the app deletes the secret.
     */
    public suspend fun wipe(mode: WipeMode = WipeMode.RefuseIfUnsent): WipeReport = notYet()

    /** Ends the sync and lets go of the database. What was recorded is on the disk already. */
    override fun close() {
        if (!isClosed.compareAndSet(false, true)) return
        live.close()
        scope.cancel()
        watching.close()
        sync.close()
        coreRecords.close()
        core.close()
    }

    public companion object {
        /** Opens the database, or makes it. Needs no network, now or ever. */
        public suspend fun open(config: StoreConfig): FieldStore = onIo {
            val core = CoreStore.open(config.toCore())
            val enrolled = core.enrolment()?.translate()
            val status = core.sync().use { it.status() }.translate(enrolled != null)
            val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)
            FieldStore(core, Live(), scope, core.deviceId(), enrolled, status)
        }

        /**
         * Brings everything intact of a [damaged] database file into a new store, which this makes; see
         * [FieldException.Damaged]. The damaged file stays.
         */
        public suspend fun recover(damaged: File, into: StoreConfig): RecoverReport = onIo {
            val report = barid.ffi.recover(damaged.path, into.toCore())
            RecoverReport(report.batches.toLong(), report.changes.toLong(), report.failed.toLong())
        }

        /** Makes the secret of a new device: 32 bytes. */
        public fun newSecret(): ByteArray = translated { barid.ffi.generateSeed() }
    }
}

internal fun notYet(): Nothing = throw FieldException.Internal("this is not built in yet")
