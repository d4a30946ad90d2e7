package barid

import java.io.File
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.ArrayBlockingQueue
import java.util.concurrent.BlockingQueue
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class PeersTest {
    @TempDir
    lateinit var folder: File

    /** One end of two pipes. */
    private class Pipe(private val from: BlockingQueue<Byte>, private val to: BlockingQueue<Byte>) : PeerStream {
        @Volatile
        private var isClosed = false

        override fun read(bytesMax: Int): ByteArray {
            while (!isClosed) {
                val first = from.poll(10, TimeUnit.MILLISECONDS) ?: continue
                val rest = mutableListOf<Byte>().also { from.drainTo(it, bytesMax - 1) }
                return byteArrayOf(first) + rest
            }
            return ByteArray(0)
        }

        override fun write(bytes: ByteArray) {
            for (byte in bytes) {
                while (!to.offer(byte, 10, TimeUnit.MILLISECONDS)) {
                    if (isClosed) throw java.io.IOException("closed")
                }
            }
        }

        override fun close() {
            isClosed = true
        }
    }

    private fun sockets(): Pair<Socket, Socket> = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use {
        val one = Socket(it.inetAddress, it.localPort)
        one to it.accept()
    }

    /** Two phones that have met the relay once, so that each knows the other. */
    private suspend fun pair(relay: Relay): Pair<FieldStore, FieldStore> {
        val first = Phone(folder, "first").enrolled(relay)
        val second = Phone(folder, "second").enrolled(relay)
        listOf(first, second).forEach { it.syncAll() }
        listOf(first, second).forEach { it.sync.pause() }
        listOf(first, second).forEach { phone -> phone.sync.status.soon("paused") { it.phase == Phase.Paused } }
        return first to second
    }

    @Test
    fun `two phones exchange over a socket with no relay`(): Unit = story {
        val (first, second) = Relay(folder).use { pair(it) }
        val given = first.putTitled("from the first")
        val back = second.putTitled("from the second")
        val (one, other) = sockets()
        val heard = CopyOnWriteArrayList<ExchangeReport>()
        coroutineScope {
            val invitation = first.peers.invite()
            val inviting = async { first.peers.exchange(invitation, PeerStream.of(one)) { heard += it } }
            val report = second.peers.exchangeWith(invitation.code, PeerStream.of(other))
            assertTrue(report.isComplete)
            assertEquals(first.deviceId, report.peer)
            assertEquals(second.deviceId, inviting.await().peer)
        }
        assertTrue(heard.last().isComplete)
        assertEquals("from the first", second.records.get(given)?.text("title"))
        assertEquals("from the second", first.records.get(back)?.text("title"))
        assertTrue(one.isClosed && other.isClosed)
        listOf(first, second).forEach { it.close() }
    }

    @Test
    fun `a wrong code, a broken stream and a cancel are told apart, and the phones go on`(): Unit = story {
        val (first, second) = Relay(folder).use { pair(it) }
        val key = first.putTitled("one")
        supervisorScope {
            throws<FieldException.PairingRejected> { second.peers.exchangeWith("BARIDP1-NONSENSE", PeerStream.of(sockets().first)) }
            // Another phone's code.
            val (one, other) = sockets()
            val inviting = async { runCatching { first.peers.exchange(first.peers.invite(), PeerStream.of(one)) } }
            val wrong = runCatching { second.peers.exchangeWith(second.peers.invite().code, PeerStream.of(other)) }
            assertTrue(wrong.exceptionOrNull() is FieldException, "$wrong")
            assertTrue(inviting.await().exceptionOrNull() is FieldException)
            // A stream that breaks.
            val broken = object : PeerStream {
                override fun read(bytesMax: Int): ByteArray = throw java.io.IOException("out of range")
                override fun write(bytes: ByteArray) = Unit
                override fun close() = Unit
            }
            throws<FieldException.ConnectionLost> { first.peers.exchange(first.peers.invite(), broken) }
            // Nobody at the other end.
            val (silent, _) = sockets()
            val waiting = async(Dispatchers.Default) { first.peers.exchange(first.peers.invite(), PeerStream.of(silent)) }
            delay(200.milliseconds)
            withTimeout(PATIENCE) { waiting.cancelAndJoin() }
            assertTrue(silent.isClosed)
        }
        assertEquals("one", first.records.get(key)?.text("title"))
        listOf(first, second).forEach { it.close() }
    }

    @Test
    fun `two phones exchange over a pair of pipes that hold little`(): Unit = story {
        val (first, second) = Relay(folder).use { pair(it) }
        repeat(50) { first.putTitled("record $it ".repeat(50)) }
        val (there, back) = ArrayBlockingQueue<Byte>(512) to ArrayBlockingQueue<Byte>(512)
        val ends = Pipe(back, there) to Pipe(there, back)
        coroutineScope {
            val invitation = first.peers.invite()
            val inviting = async { first.peers.exchange(invitation, ends.first) }
            assertTrue(second.peers.exchangeWith(invitation.code, ends.second).isComplete)
            assertTrue(inviting.await().isComplete)
        }
        assertEquals(50, second.records.query().records.size)
        listOf(first, second).forEach { it.close() }
    }
}
