package barid.patrol.ui.map

import barid.patrol.model.Place
import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.floor
import kotlin.math.log10
import kotlin.math.pow

/** Metres in a degree of latitude. */
const val DEGREE_M = 111_320.0

/** Metres between two places; flat, which holds within a patrol's reach. */
fun metresBetween(a: Place, b: Place): Double {
    val y = (b.lat - a.lat) * DEGREE_M
    val x = (b.lon - a.lon) * DEGREE_M * cos((a.lat + b.lat) / 2 * PI / 180)
    return kotlin.math.hypot(x, y)
}

/**
 * What part of the earth a canvas shows: its middle, and how many metres a pixel is. North is up and east is
 * right in every language: a map is never mirrored.
 */
data class Projection(val lat: Double, val lon: Double, val metresPerPixel: Double) {
    private val east = DEGREE_M * cos(lat * PI / 180)

    /** Pixels from the middle of the canvas, right and down. */
    fun x(place: Place): Float = ((place.lon - lon) * east / metresPerPixel).toFloat()
    fun y(place: Place): Float = ((lat - place.lat) * DEGREE_M / metresPerPixel).toFloat()

    fun moved(right: Float, down: Float): Projection = copy(
        lat = (lat + down * metresPerPixel / DEGREE_M).coerceIn(-85.0, 85.0),
        lon = lon - right * metresPerPixel / east,
    )

    fun zoomed(factor: Float): Projection = copy(metresPerPixel = (metresPerPixel / factor).coerceIn(NEAREST, FARTHEST))

    /** A round length that is at most this many pixels long: metres, and pixels. */
    fun scale(pixelsMax: Float): Pair<Double, Float> {
        val most = pixelsMax * metresPerPixel
        val step = 10.0.pow(floor(log10(most)))
        val metres = listOf(5.0, 2.0, 1.0).map { it * step }.first { it <= most }
        return metres to (metres / metresPerPixel).toFloat()
    }

    companion object {
        private const val NEAREST = 0.05
        private const val FARTHEST = 3_000.0

        /** Everything at once, with a margin. One place alone is shown with some of its surroundings. */
        fun around(places: List<Place>, width: Float, height: Float): Projection? {
            if (places.isEmpty() || width <= 0 || height <= 0) return null
            val south = places.minOf { it.lat }
            val north = places.maxOf { it.lat }
            val west = places.minOf { it.lon }
            val east = places.maxOf { it.lon }
            val lat = (south + north) / 2
            val across = (east - west) * DEGREE_M * cos(lat * PI / 180)
            val along = (north - south) * DEGREE_M
            val metres = maxOf(across / (width * 0.72), along / (height * 0.66), 400.0 / width)
            return Projection(lat, (west + east) / 2, metres.coerceIn(NEAREST, FARTHEST))
        }
    }
}
