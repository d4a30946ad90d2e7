package barid.patrol

import android.app.Application
import android.content.Context
import android.content.res.Configuration
import androidx.test.core.app.ApplicationProvider
import barid.patrol.model.Place
import barid.patrol.ui.parts.Formats
import java.util.Locale
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class FormatsTest {
    private fun formats(tag: String): Formats {
        val context = ApplicationProvider.getApplicationContext<Context>()
        val locale = Locale.forLanguageTag(tag)
        val resources = context.createConfigurationContext(Configuration(context.resources.configuration).apply { setLocale(locale) }).resources
        return Formats(resources, locale)
    }

    @Test fun `Arabic has six forms of a count`() {
        val arabic = formats("ar-LY")
        val said = listOf(0L, 1, 2, 3, 11, 100).map { arabic.plural(R.plurals.events, it) }
        assertEquals(listOf("لا أحداث", "حدث واحد", "حدثان", "3 أحداث", "11 حدثًا", "100 حدث"), said)
    }

    @Test fun `Libya's Arabic has the digits of its phones, and another country's has its own`() {
        assertEquals("412", formats("ar").number(412))
        assertEquals("412", formats("ar-LY").number(412))
        assertEquals("٤١٢", formats("ar-EG").number(412))
        assertEquals("٣ أحداث", formats("ar-EG").plural(R.plurals.events, 3))
    }

    @Test fun `lengths and ages are whole words`() {
        val english = formats("en")
        assertEquals("1 minute", english.length(60_000))
        assertEquals("3 hours", english.length(3 * 3_600_000 + 5))
        assertEquals("now", english.age(1_000, 5_000))
        assertEquals("a clock that went back", "now", english.age(9_000_000, 5_000))
        assertEquals("قبل يومين", formats("ar").age(0, 2 * 86_400_000L))
    }

    @Test fun `coordinates are read from left to right and have no comma between them`() {
        for (tag in listOf("en", "ar", "ar-LY")) {
            val said = formats(tag).coordinates(Place(24.9, 10.18, null, 0))
            assertEquals("\u206624.90000  10.18000\u2069", said)
            assertFalse(',' in said)
        }
    }

    @Test fun `distances and bytes grow their unit`() {
        val english = formats("en")
        assertEquals("8 m", english.distance(8.2))
        assertEquals("1.2 km", english.distance(1_234.0))
        assertEquals("23 km", english.distance(23_400.0))
        assertEquals("640 kB", english.bytes(640_000))
        assertEquals("1.5 MB", english.bytes(1_500_000))
    }
}
