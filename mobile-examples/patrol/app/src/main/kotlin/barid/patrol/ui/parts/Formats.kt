package barid.patrol.ui.parts

import android.content.res.Resources
import android.icu.text.DateFormat
import android.icu.text.NumberFormat
import android.icu.util.ULocale
import androidx.annotation.PluralsRes
import androidx.compose.runtime.Composable
import androidx.compose.runtime.remember
import androidx.compose.runtime.staticCompositionLocalOf
import androidx.compose.ui.platform.LocalConfiguration
import androidx.compose.ui.platform.LocalContext
import barid.patrol.R
import barid.patrol.model.Place
import java.time.Instant
import java.time.ZoneId
import java.util.Date
import java.util.Locale

/**
 * Numbers, times and lengths as this person reads them. Every figure on a screen comes from here, so that one
 * screen never mixes two kinds of digits. Arabic without a country is Libya's, which writes 0–9.
 */
class Formats(private val resources: Resources, locale: Locale) {
    private val locale: ULocale =
        ULocale.forLocale(if (locale.language == "ar" && locale.country.isEmpty()) Locale("ar", "LY") else locale)

    fun number(count: Long): String = NumberFormat.getIntegerInstance(locale).format(count)

    fun number(count: Int): String = number(count.toLong())

    fun plural(@PluralsRes words: Int, count: Long): String =
        resources.getQuantityString(words, count.coerceAtMost(Int.MAX_VALUE.toLong()).toInt(), number(count))

    /** "12 minutes". */
    fun length(ms: Long): String {
        val seconds = (ms / 1000).coerceAtLeast(0)
        return when {
            seconds < 60 -> plural(R.plurals.length_seconds, seconds)
            seconds < 3600 -> plural(R.plurals.length_minutes, seconds / 60)
            seconds < 48 * 3600 -> plural(R.plurals.length_hours, seconds / 3600)
            else -> plural(R.plurals.length_days, seconds / 86_400)
        }
    }

    /** "12 minutes ago". A clock that went back shows as now, never as a time to come. */
    fun age(time: Long, now: Long): String {
        val seconds = ((now - time) / 1000).coerceAtLeast(0)
        return when {
            seconds < 10 -> resources.getString(R.string.age_now)
            seconds < 60 -> plural(R.plurals.age_seconds, seconds)
            seconds < 3600 -> plural(R.plurals.age_minutes, seconds / 60)
            seconds < 48 * 3600 -> plural(R.plurals.age_hours, seconds / 3600)
            else -> plural(R.plurals.age_days, seconds / 86_400)
        }
    }

    /** The time of day, with the day when it is not today. */
    fun time(time: Long, now: Long): String {
        val zone = ZoneId.systemDefault()
        fun day(ms: Long) = Instant.ofEpochMilli(ms).atZone(zone).toLocalDate()
        val skeleton = if (day(time) == day(now)) "Hm" else "dMMMHm"
        return DateFormat.getInstanceForSkeleton(skeleton, locale).format(Date(time))
    }

    /** "02:14:07": how long a patrol has been under way, at arm's length. */
    fun clock(ms: Long): String {
        val minutes = (ms / 60_000).coerceAtLeast(0)
        val two = NumberFormat.getIntegerInstance(locale).apply { minimumIntegerDigits = 2; isGroupingUsed = false }
        return isolated("${two.format(minutes / 60)}:${two.format(minutes % 60)}")
    }

    fun distance(metres: Double): String {
        val format = NumberFormat.getInstance(locale)
        return if (metres < 995) {
            format.maximumFractionDigits = 0
            resources.getString(R.string.metres, format.format(metres))
        } else {
            format.maximumFractionDigits = if (metres < 10_000) 1 else 0
            resources.getString(R.string.kilometres, format.format(metres / 1000))
        }
    }

    fun bytes(count: Long): String {
        val format = NumberFormat.getInstance(locale)
        return if (count < 1_000_000) {
            resources.getString(R.string.kilobytes, format.apply { maximumFractionDigits = 0 }.format((count + 999) / 1000))
        } else {
            resources.getString(R.string.megabytes, format.apply { maximumFractionDigits = 1 }.format(count / 1e6))
        }
    }

    /** Latitude first, then longitude, left to right in every language, as they are read out over a radio. */
    fun coordinates(place: Place): String {
        val format = NumberFormat.getInstance(locale).apply { minimumFractionDigits = 5; maximumFractionDigits = 5 }
        // A comma between two numbers would be read as one between the two.
        fun degrees(value: Double) = format.format(value).replace(',', '.')
        return isolated("${degrees(place.lat)}  ${degrees(place.lon)}")
    }

    private fun isolated(text: String) = "\u2066$text\u2069"
}

val LocalFormats = staticCompositionLocalOf<Formats> { error("no formats") }

/** What it is by the phone's clock. Screens show ages, so it moves. */
val LocalNow = staticCompositionLocalOf { 0L }

@Composable
fun rememberFormats(): Formats {
    val configuration = LocalConfiguration.current
    val resources = LocalContext.current.resources
    return remember(configuration) { Formats(resources, configuration.locales[0]) }
}
