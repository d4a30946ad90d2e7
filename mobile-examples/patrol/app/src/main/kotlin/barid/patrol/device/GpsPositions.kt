package barid.patrol.device

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.location.Location
import android.location.LocationListener
import android.location.LocationManager
import android.os.Bundle
import android.os.Looper
import barid.patrol.data.Positions
import barid.patrol.model.Place
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow

/** The satellite receiver. It needs no network and no service of anybody's. */
class GpsPositions(private val context: Context) : Positions {
    private val manager = context.getSystemService(LocationManager::class.java)
    private val places = MutableStateFlow<Place?>(null)
    override val last: StateFlow<Place?> = places.asStateFlow()
    private var followers = 0
    private var listening = false

    private val listener = object : LocationListener {
        override fun onLocationChanged(location: Location) { places.value = location.place() }
        override fun onProviderEnabled(provider: String) = Unit
        override fun onProviderDisabled(provider: String) = Unit

        @Deprecated("Called by Android 9 and older, where its absence is an error.")
        override fun onStatusChanged(provider: String?, status: Int, extras: Bundle?) = Unit
    }

    override fun follow() {
        followers++
        if (!listening) listen()
    }

    override fun release() {
        followers = (followers - 1).coerceAtLeast(0)
        if (followers == 0 && listening) {
            manager.removeUpdates(listener)
            listening = false
        }
    }

    private fun listen() {
        if (context.checkSelfPermission(Manifest.permission.ACCESS_FINE_LOCATION) != PackageManager.PERMISSION_GRANTED) return
        if (LocationManager.GPS_PROVIDER !in manager.allProviders) return
        manager.getLastKnownLocation(LocationManager.GPS_PROVIDER)?.place()?.let { known ->
            if (known.time > (places.value?.time ?: Long.MIN_VALUE)) places.value = known
        }
        manager.requestLocationUpdates(LocationManager.GPS_PROVIDER, EVERY_MS, 0f, listener, Looper.getMainLooper())
        listening = true
    }

    private fun Location.place() = Place(latitude, longitude, if (hasAccuracy()) accuracy.toDouble() else null, time)

    private companion object {
        const val EVERY_MS = 5_000L
    }
}
