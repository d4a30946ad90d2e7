package barid

import barid.ffi.Subscription
import barid.ffi.generateSeed
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import barid.ffi.FieldStore as CoreStore
import barid.ffi.WipeMode as CoreWipe
import barid.ffi.recover as recoverCore

/**
 * A device's records, on the device: what it recorded and what it knows of others, with or without a
 * network. Open one for each database file and keep it as long as the app lives.
 *
 * Every suspending call may be made from the main thread and may be cancelled. Flows never throw.
 * Calls throw a [FieldException], each of which says what the app can do.
 */
public class FieldStore private constructor(
    private val core: CoreStore,
    private val scope: CoroutineScope,
    enrolled: Enrolment?,
) : AutoCloseable {
    private val live = Live()
    private val currentEnrolment = MutableStateFlow(enrolled)
    private val isClosed = AtomicBoolean()
    private val coreRecords = core.records()
    private val watching: Subscription = coreRecords.observe(live)

    /** This device's public id, in hex. */
    public val deviceId: String = core.deviceId()

    /** Where the device belongs, once it is enrolled. */
    public val enrolment: StateFlow<Enrolment?> = currentEnrolment.asStateFlow()

    /** Recording and reading. */
    public val records: Records = Records(coreRecords, live)

    /** Pictures. */
    public val attachments: Attachments = Attachments(core.attachments(), live)

    /** Tracks of patrols. */
    public val tracks: Tracks = Tracks(core.tracks())

    /** What was done to a record, and conflicts. */
    public val history: History = History(coreRecords, records)

    /** Exchanging with another phone. */
    public val peers: Peers = Peers(core.peers())

    /** Records in a file. */
    public val bundles: Bundles = Bundles(core.bundles())

    /** The lock. */
    public val lock: Lock = Lock(core, scope, live, core.lockState().translate())

    /** Syncing with the relay. */
    public val sync: Sync = core.sync().let { coreSync ->
        Sync(
            coreSync,
            scope,
            coreSync.status().translate(enrolled != null),
            isEnrolled = { currentEnrolment.value != null },
            // A link that came to its end renews the lease.
            onStatus = { runCatching { lock.look() } },
        )
    }

    init {
        scope.launch { live.flow({ true }) { Any() }.collect { sync.recorded() } }
        lock.look()
    }

    /**
     * Enrols the device with the relay that made the [code]; needs the network, once. Cancelling does
     * not take back what the relay has said yes to.
     *
     * @param label what people call the device, as `Patrol 3`.
     */
    public suspend fun enrol(code: String, label: String): Enrolment =
        scope.async {
            val enrolled = translated { core.enrol(code, label).translate() }
            currentEnrolment.value = enrolled
            sync.enrolled()
            enrolled
        }.await()

    /** What nobody but this device is known to hold: what a [wipe] would lose. */
    public suspend fun unsent(): Unsent = onIo { core.unsent().translate() }

    /**
     * Deletes everything that this device holds: records, attachments, and the files beside them. Unless
     * told otherwise it refuses while there is work that nobody else is known to hold. Afterwards the
     * store is closed, and the app deletes the secret. Files of flash memory can be brought back by who
     * has the right tools: encrypt the database where that matters, and delete its key.
     */
    public suspend fun wipe(mode: WipeMode = WipeMode.RefuseIfUnsent): WipeReport {
        val report = longCall { cancel ->
            val coreMode = when (mode) {
                is WipeMode.RefuseIfUnsent -> CoreWipe.RefuseIfUnsent
                is WipeMode.ExportFirst -> CoreWipe.ExportFirst(mode.bundle.path)
                is WipeMode.Force -> CoreWipe.Force
            }
            core.wipe(coreMode, cancel)
        }
        withContext(NonCancellable + Dispatchers.IO) { close() }
        return WipeReport(report.unsent.translate(), report.exported?.translate())
    }

    /**
     * Ends the sync and lets go of the database; what was recorded is on the disk already. Flows end, and
     * calls throw [FieldException.Closed]. It may take a moment: not for the main thread.
     */
    override fun close() {
        if (!isClosed.compareAndSet(false, true)) return
        live.close()
        scope.cancel()
        watching.close()
        core.shutDown()
        sync.close()
        attachments.close()
        tracks.close()
        peers.close()
        bundles.close()
        coreRecords.close()
        core.close()
    }

    public companion object {
        /** Opens the database, or makes it. Needs no network, now or ever. */
        public suspend fun open(config: StoreConfig): FieldStore = onIo {
            val core = CoreStore.open(config.toCore())
            FieldStore(core, CoroutineScope(SupervisorJob() + Dispatchers.IO), core.enrolment()?.translate())
        }

        /**
         * Brings everything intact of a [damaged] database file into a new store, which this makes; see
         * [FieldException.Damaged]. The damaged file stays.
         */
        public suspend fun recover(damaged: File, into: StoreConfig): RecoverReport = onIo {
            val report = recoverCore(damaged.path, into.toCore())
            RecoverReport(report.batches.toLong(), report.changes.toLong(), report.failed.toLong())
        }

        /** Makes the secret of a new device: 32 bytes. */
        public fun newSecret(): ByteArray = translated { generateSeed() }
    }
}
