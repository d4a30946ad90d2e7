package barid.patrol

import androidx.compose.ui.graphics.Color
import barid.patrol.ui.theme.NightPalette
import barid.patrol.ui.theme.Palette
import barid.patrol.ui.theme.SunPalette
import kotlin.math.pow
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** WCAG's contrast of every pair of both schemes. */
class ContrastTest {
    private fun channel(value: Float): Double =
        if (value <= 0.03928f) value / 12.92 else ((value + 0.055) / 1.055).pow(2.4)

    private fun luminance(colour: Color) = 0.2126 * channel(colour.red) + 0.7152 * channel(colour.green) + 0.0722 * channel(colour.blue)

    private fun contrast(a: Color, b: Color): Double {
        val (dark, light) = listOf(luminance(a), luminance(b)).sorted()
        return (light + 0.05) / (dark + 0.05)
    }

    private fun below(pairs: List<Triple<String, Color, Color>>, least: Double): String = pairs
        .map { (name, ink, ground) -> name to contrast(ink, ground) }.filter { it.second < least }
        .joinToString { (name, ratio) -> "$name %.2f".format(ratio) }

    @Test fun `every text of both schemes has the contrast of WCAG AA`() {
        for (palette in listOf(SunPalette, NightPalette)) assertEquals("", below(palette.textPairs, 4.5))
    }

    @Test fun `in the sun everything but warnings has the contrast of WCAG AAA`() {
        assertEquals("", below(SunPalette.textPairs.filterNot { "primarySoft" in it.first || "sos" in it.first }, 7.0))
    }

    @Test fun `edges of what can be touched stand out`() {
        for (palette in listOf(SunPalette, NightPalette)) assertEquals("", below(palette.signPairs, 3.0))
    }

    @Test fun `the night has no bright ground but the one of an SOS`() {
        val grounds = with(NightPalette) { listOf(ground, surface, raised, primarySoft, sosSoft, warnSoft, goodSoft) }
        assertTrue(grounds.all { luminance(it) < 0.03 })
    }

    @Test fun `every colour of a palette is in one of its pairs`() {
        val paired = SunPalette.run { textPairs + signPairs }.flatMap { listOf(it.second, it.third) }.toSet()
        val all = Palette::class.java.declaredFields.filter { it.type == Long::class.javaPrimitiveType }.map { field ->
            field.isAccessible = true
            field.name to Color((field.getLong(SunPalette)).toULong())
        }
        assertTrue("colours were found", all.size > 15)
        // A line between two plates carries no meaning.
        assertEquals(emptyList<String>(), all.filter { it.second !in paired && it.first != "line" }.map { it.first })
    }
}
