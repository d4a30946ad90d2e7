package barid.patrol.ui.lock

import barid.patrol.data.Credential
import barid.patrol.data.LockRepository
import barid.patrol.data.LockState
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.launch

/** A locked phone records and calls for help; it only stops showing. */
class LockHolder(private val lock: LockRepository, private val credential: Credential, private val scope: CoroutineScope) {
    val state: StateFlow<LockState> = lock.state

    fun lock() {
        scope.launch { lock.lock() }
    }

    fun unlock() {
        scope.launch { if (credential.confirm()) lock.unlock() }
    }
}
