package barid.patrol.device

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network

/** Tells when a network appears, so that nobody waits for the next try. */
object NetworkNews {
    fun listen(context: Context, onNetwork: () -> Unit) {
        context.getSystemService(ConnectivityManager::class.java).registerDefaultNetworkCallback(
            object : ConnectivityManager.NetworkCallback() {
                override fun onAvailable(network: Network) = onNetwork()
            },
        )
    }
}
