package barid.patrol.data.offline

import barid.ExchangeReport
import barid.FieldStore
import barid.PeerStream
import barid.patrol.data.ExchangeRepository
import barid.patrol.data.Passed
import barid.patrol.model.Outcome
import barid.patrol.model.Trouble
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.Socket
import java.net.SocketTimeoutException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.withContext

/** This phone's address in a network that it shares with the colleague's: one Wi-Fi, or a hotspot of one of them. */
fun interface LocalNetwork {
    fun address(): InetAddress?
}

/**
 * Exchange over a socket between two phones. What the code carries is the pairing code, then `@` and where to
 * connect; the SDK encrypts between the two who saw it, so whoever else connects learns nothing.
 */
class OfflineFirstExchangeRepository(private val store: FieldStore, private val network: LocalNetwork) : ExchangeRepository {
    override suspend fun invite(onCode: (String) -> Unit, onProgress: (Passed) -> Unit): Outcome<Passed> =
        // Without a network the screen says so until one leaves it.
        network.address()?.let { address -> serve(address, onCode, onProgress) } ?: awaitCancellation()

    private suspend fun serve(address: InetAddress, onCode: (String) -> Unit, onProgress: (Passed) -> Unit): Outcome<Passed> = attempt {
        withContext(Dispatchers.IO) {
            ServerSocket(0, 1, address).use { server ->
                server.soTimeout = LOOK_MS
                val invitation = store.peers.invite()
                onCode("${invitation.code}@${address.hostAddress}:${server.localPort}")
                val socket = accept(server)
                store.peers.exchange(invitation, PeerStream.of(socket)) { onProgress(it.passed()) }.passed()
            }
        }
    }

    override suspend fun join(code: String, onProgress: (Passed) -> Unit): Outcome<Passed> {
        val pairing = code.substringBefore('@').trim()
        val host = code.substringAfter('@', "").substringBeforeLast(':')
        val port = code.substringAfterLast(':', "").trim().toIntOrNull()
        if (host.isEmpty() || port == null || port !in 1..65_535) return Outcome.Failed(Trouble.CodeRefused)
        return attempt {
            withContext(Dispatchers.IO) {
                val socket = Socket().apply { connect(InetSocketAddress(host, port), CONNECT_MS) }
                store.peers.exchangeWith(pairing, PeerStream.of(socket)) { onProgress(it.passed()) }.passed()
            }
        }
    }

    /** Waits for the colleague, and looks up now and then whether it should. */
    private suspend fun accept(server: ServerSocket): Socket {
        while (true) {
            currentCoroutineContext().ensureActive()
            try {
                return server.accept()
            } catch (_: SocketTimeoutException) {
                continue
            }
        }
    }

    private suspend fun attempt(call: suspend () -> Passed): Outcome<Passed> = try {
        outcome(call)
    } catch (_: IOException) {
        Outcome.Failed(Trouble.PeerLost)
    }

    private fun ExchangeReport.passed() = Passed(given, taken)

    private companion object {
        const val LOOK_MS = 300
        const val CONNECT_MS = 8_000
    }
}
