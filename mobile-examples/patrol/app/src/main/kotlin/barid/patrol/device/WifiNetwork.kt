package barid.patrol.device

import barid.patrol.data.offline.LocalNetwork
import java.net.Inet4Address
import java.net.InetAddress
import java.net.NetworkInterface
import java.net.SocketException

/** The first private address of an interface that is up: of a Wi-Fi that was joined, or of this phone's own hotspot. */
object WifiNetwork : LocalNetwork {
    override fun address(): InetAddress? = try {
        NetworkInterface.getNetworkInterfaces().asSequence()
            .filter { it.isUp && !it.isLoopback && !it.isPointToPoint }
            .sortedByDescending { it.name.startsWith("wlan") || it.name.startsWith("ap") || it.name.startsWith("swlan") }
            .flatMap { it.inetAddresses.asSequence() }
            .firstOrNull { it is Inet4Address && it.isSiteLocalAddress }
    } catch (_: SocketException) {
        null
    }
}
