package barid

import java.io.InputStream
import java.io.OutputStream
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicLong
import kotlin.concurrent.thread

/** Passes connections on to a relay, and cuts each after so many bytes in either direction. */
class CuttingProxy(port: Int, private val relayPort: Int, private val bytesMax: Int) : AutoCloseable {
    private val server = ServerSocket(port, 50, InetAddress.getLoopbackAddress())

    /** Connections that were cut. */
    val cuts = AtomicInteger()

    /** Bytes that came from phones. */
    val bytesUp = AtomicLong()

    /** Bytes that went to phones. */
    val bytesDown = AtomicLong()

    init {
        thread(isDaemon = true) {
            while (!server.isClosed) {
                val phone = runCatching { server.accept() }.getOrNull() ?: break
                val relay = runCatching { Socket(InetAddress.getLoopbackAddress(), relayPort) }.getOrNull()
                if (relay == null) phone.close() else pass(phone, relay)
            }
        }
    }

    private fun pass(phone: Socket, relay: Socket) {
        val left = AtomicInteger(bytesMax)
        val both = listOf(phone, relay)
        thread(isDaemon = true) { copy(phone.inputStream, relay.outputStream, both, left, bytesUp) }
        thread(isDaemon = true) { copy(relay.inputStream, phone.outputStream, both, left, bytesDown) }
    }

    private fun copy(from: InputStream, to: OutputStream, both: List<Socket>, left: AtomicInteger, count: AtomicLong) {
        val buffer = ByteArray(4096)
        runCatching {
            while (true) {
                val length = from.read(buffer)
                if (length < 0) break
                count.addAndGet(length.toLong())
                to.write(buffer, 0, length)
                to.flush()
                if (left.addAndGet(-length) <= 0) {
                    cuts.incrementAndGet()
                    break
                }
            }
        }
        both.forEach { runCatching { it.close() } }
    }

    override fun close() {
        server.close()
    }
}
