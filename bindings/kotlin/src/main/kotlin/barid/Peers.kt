package barid

import barid.ffi.ByteStream
import barid.ffi.ExchangeObserver
import barid.ffi.StreamException
import java.io.InputStream
import java.io.OutputStream
import java.net.Socket
import barid.ffi.Invitation as CoreInvitation
import barid.ffi.Peers as CorePeers

/** A connection to another device, however it came about: a socket, Bluetooth, a pair of pipes. */
public interface PeerStream : AutoCloseable {
    /** Waits for bytes, up to so many; empty at the end. Throws [java.io.IOException] when it breaks. */
    public fun read(bytesMax: Int): ByteArray

    /** Writes bytes, whole. Throws [java.io.IOException] when it breaks. */
    public fun write(bytes: ByteArray)

    /** Ends the connection, and every [read] and [write] that waits. */
    override fun close()

    public companion object {
        /** The connection that has these two streams. */
        public fun of(input: InputStream, output: OutputStream, close: () -> Unit = {}): PeerStream =
            object : PeerStream {
                override fun read(bytesMax: Int): ByteArray {
                    val bytes = ByteArray(bytesMax)
                    val length = input.read(bytes)
                    return if (length <= 0) ByteArray(0) else bytes.copyOf(length)
                }

                override fun write(bytes: ByteArray) {
                    output.write(bytes)
                    output.flush()
                }

                override fun close() {
                    close()
                    input.close()
                    output.close()
                }
            }

        /** A socket. */
        public fun of(socket: Socket): PeerStream = of(socket.inputStream, socket.outputStream, socket::close)
    }
}

/** What lets one other device exchange with this one, once, within ten minutes. */
public class Invitation internal constructor(internal val core: CoreInvitation) {
    /** What to show, as a QR code or as text. It is a secret between the two devices. */
    public val code: String = core.code()
}

/** How far an exchange has come, or what came of it. */
public data class ExchangeReport(
    /** The other device, once it is known. */
    val peer: String? = null,
    /** Batches given that the other did not have. */
    val given: Long = 0,
    /** Batches to give, as far as is known. */
    val givenTotal: Long = 0,
    /** Bytes given. */
    val givenBytes: Long = 0,
    /** Batches taken that were not here. */
    val taken: Long = 0,
    /** Batches to take, as far as is known. */
    val takenTotal: Long = 0,
    /** Bytes taken. */
    val takenBytes: Long = 0,
    /** Whether both have what the other had. */
    val isComplete: Boolean = false,
)

/**
 * Exchanging with another phone, with no network and no relay. How the two connect is the app's choice;
 * what goes over the connection is encrypted, and only between the two who saw each other's code.
 * Attachments do not travel this way yet.
 */
public class Peers internal constructor(private val core: CorePeers) {
    /** Makes a code to show the other device. */
    public fun invite(): Invitation = translated { Invitation(core.invite()) }

    /**
     * Exchanges with the device that has read the code of this [invitation]; returns when both have what
     * the other had. The stream is closed at the end, however that comes.
     */
    public suspend fun exchange(
        invitation: Invitation,
        stream: PeerStream,
        onProgress: (ExchangeReport) -> Unit = {},
    ): ExchangeReport = closing(stream) {
        longCall { cancel ->
            core.exchange(invitation.core, Carrier(stream), Telling(onProgress), cancel).translate()
        }
    }

    /** The same for the device that has read the other's [code]. */
    public suspend fun exchangeWith(
        code: String,
        stream: PeerStream,
        onProgress: (ExchangeReport) -> Unit = {},
    ): ExchangeReport = closing(stream) {
        longCall { cancel ->
            core.exchangeWith(code, Carrier(stream), Telling(onProgress), cancel).translate()
        }
    }

    internal fun close() {
        core.close()
    }
}

/** The core closes the stream too, but not where it was never called. */
private inline fun <T> closing(stream: PeerStream, work: () -> T): T = try {
    work()
} finally {
    runCatching { stream.close() }
}

private class Carrier(private val stream: PeerStream) : ByteStream {
    override fun read(lenMax: UInt): ByteArray =
        broken { stream.read(lenMax.coerceAtMost(65536u).toInt()) }

    override fun write(bytes: ByteArray): Unit = broken { stream.write(bytes) }

    override fun shut() {
        runCatching { stream.close() }
    }

    private inline fun <T> broken(work: () -> T): T = try {
        work()
    } catch (error: Exception) {
        throw StreamException.Broken(error.toString())
    }
}

private class Telling(private val tell: (ExchangeReport) -> Unit) : ExchangeObserver {
    override fun progress(report: barid.ffi.ExchangeReport) {
        // An exception of the app's must not go through the core.
        runCatching { tell(report.translate()) }
    }
}
