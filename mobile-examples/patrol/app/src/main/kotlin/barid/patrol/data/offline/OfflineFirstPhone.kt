package barid.patrol.data.offline

import barid.FieldStore
import barid.patrol.data.EnrolmentRepository
import barid.patrol.data.FileRepository
import barid.patrol.data.LockRepository
import barid.patrol.data.LockState
import barid.patrol.data.Member
import barid.patrol.data.Passed
import barid.patrol.data.SyncRepository
import barid.patrol.model.Outcome
import barid.patrol.model.SyncState
import java.io.File
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.stateIn

/** Remembers what the centre calls this phone; the relay has it, and a screen asks no relay. */
interface LabelMemory {
    var label: String
}

class OfflineFirstEnrolmentRepository(private val store: FieldStore, private val memory: LabelMemory) : EnrolmentRepository {
    private val members = MutableStateFlow(store.enrolment.value?.let { member() })
    override val member: StateFlow<Member?> = members.asStateFlow()

    override suspend fun enrol(code: String, label: String): Outcome<Member> = outcome {
        store.enrol(code, label)
        memory.label = label
        store.sync.start()
        member().also { members.value = it }
    }

    private fun member() = Member(memory.label, short(store.deviceId))
}

class OfflineFirstSyncRepository(private val store: FieldStore, scope: CoroutineScope) : SyncRepository {
    override val state: StateFlow<SyncState> =
        store.sync.status.map { it.translate() }.stateIn(scope, SharingStarted.Eagerly, store.sync.status.value.translate())

    override fun request() = store.sync.request()

    override fun pause() = store.sync.pause()

    override fun resume() = store.sync.start()

    override suspend fun awaitSynced(timeoutMs: Long): Boolean {
        store.sync.start()
        return store.sync.awaitSynced(timeoutMs.milliseconds)
    }
}

class OfflineFirstLockRepository(private val store: FieldStore, scope: CoroutineScope) : LockRepository {
    override val state: StateFlow<LockState> =
        store.lock.state.map { it.translate() }.stateIn(scope, SharingStarted.Eagerly, store.lock.state.value.translate())

    override suspend fun lock(): Outcome<Unit> = outcome { store.lock.lock() }

    override suspend fun unlock(): Outcome<Unit> = outcome {
        store.lock.unlock()
        Unit
    }
}

private fun barid.LockState.translate(): LockState = when (this) {
    is barid.LockState.Unlocked -> LockState.Open
    barid.LockState.LockedByApp -> LockState.LockedByHand
    barid.LockState.LeaseEnded -> LockState.LeaseOver
}

class OfflineFirstFileRepository(private val store: FieldStore) : FileRepository {
    override suspend fun export(path: String): Outcome<Passed> = outcome {
        Passed(given = store.bundles.export(File(path)).batches)
    }

    override suspend fun import(path: String): Outcome<Passed> = outcome {
        Passed(taken = store.bundles.import(File(path)).taken)
    }
}
