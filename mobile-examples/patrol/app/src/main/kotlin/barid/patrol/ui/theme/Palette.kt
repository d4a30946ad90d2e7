package barid.patrol.ui.theme

import androidx.compose.runtime.staticCompositionLocalOf
import androidx.compose.ui.graphics.Color

/**
 * Every colour of the app, in pairs of a ground and the ink on it. Light is for the sun: near black on near
 * white. Dark is for the night: warm and dim, so that eyes stay used to the dark, and no large bright area.
 */
class Palette(
    val isDark: Boolean,
    val ground: Color,
    val surface: Color,
    val raised: Color,
    val ink: Color,
    val muted: Color,
    val line: Color,
    /** The edge of what can be touched; three to one against every ground. */
    val edge: Color,
    val primary: Color,
    val onPrimary: Color,
    val primarySoft: Color,
    val onPrimarySoft: Color,
    val sos: Color,
    val onSos: Color,
    val sosSoft: Color,
    val onSosSoft: Color,
    val warn: Color,
    val warnSoft: Color,
    val onWarnSoft: Color,
    val good: Color,
    val goodSoft: Color,
    val onGoodSoft: Color,
) {
    /** Every text on every ground that it stands on somewhere, by name: a test holds each to its contrast. */
    val textPairs: List<Triple<String, Color, Color>>
        get() = listOf(
            Triple("ink on ground", ink, ground),
            Triple("ink on surface", ink, surface),
            Triple("ink on raised", ink, raised),
            Triple("muted on ground", muted, ground),
            Triple("muted on surface", muted, surface),
            Triple("muted on raised", muted, raised),
            Triple("primary on ground", primary, ground),
            Triple("primary on surface", primary, surface),
            Triple("primary on raised", primary, raised),
            Triple("onPrimary on primary", onPrimary, primary),
            Triple("onPrimarySoft on primarySoft", onPrimarySoft, primarySoft),
            Triple("onSos on sos", onSos, sos),
            Triple("onSosSoft on sosSoft", onSosSoft, sosSoft),
            Triple("warn on ground", warn, ground),
            Triple("warn on surface", warn, surface),
            Triple("warn on raised", warn, raised),
            Triple("onWarnSoft on warnSoft", onWarnSoft, warnSoft),
            Triple("good on ground", good, ground),
            Triple("good on surface", good, surface),
            Triple("good on raised", good, raised),
            Triple("onGoodSoft on goodSoft", onGoodSoft, goodSoft),
        )

    /** Edges and signs that carry meaning, and the grounds under them. */
    val signPairs: List<Triple<String, Color, Color>>
        get() = listOf(
            Triple("edge on ground", edge, ground),
            Triple("edge on surface", edge, surface),
            Triple("edge on raised", edge, raised),
            Triple("sos on ground", sos, ground),
            Triple("sos on surface", sos, surface),
        )
}

val SunPalette = Palette(
    isDark = false,
    ground = Color(0xFFF3EEE2),
    surface = Color(0xFFFBF9F4),
    raised = Color(0xFFFFFFFF),
    ink = Color(0xFF10191B),
    muted = Color(0xFF41494A),
    line = Color(0xFFD3CAB6),
    edge = Color(0xFF6E6754),
    primary = Color(0xFF084B5C),
    onPrimary = Color(0xFFFFFFFF),
    primarySoft = Color(0xFFD3E6E9),
    onPrimarySoft = Color(0xFF062F3A),
    sos = Color(0xFFB01E0F),
    onSos = Color(0xFFFFFFFF),
    sosSoft = Color(0xFFFADDD6),
    onSosSoft = Color(0xFF6E1108),
    warn = Color(0xFF6B4700),
    warnSoft = Color(0xFFFBEBBF),
    onWarnSoft = Color(0xFF4A3100),
    good = Color(0xFF00573F),
    goodSoft = Color(0xFFD5ECE1),
    onGoodSoft = Color(0xFF003D2C),
)

val NightPalette = Palette(
    isDark = true,
    ground = Color(0xFF0C0E0E),
    surface = Color(0xFF141716),
    raised = Color(0xFF1D2120),
    ink = Color(0xFFDDD3C0),
    muted = Color(0xFFA79E8E),
    line = Color(0xFF2E322F),
    edge = Color(0xFF79705F),
    primary = Color(0xFFD9A860),
    onPrimary = Color(0xFF211503),
    primarySoft = Color(0xFF37290F),
    onPrimarySoft = Color(0xFFEBCB98),
    sos = Color(0xFFC23A22),
    onSos = Color(0xFFFFFFFF),
    sosSoft = Color(0xFF3E1610),
    onSosSoft = Color(0xFFF3B3A4),
    warn = Color(0xFFE0B44C),
    warnSoft = Color(0xFF332811),
    onWarnSoft = Color(0xFFEBCB7E),
    good = Color(0xFF7DBB94),
    goodSoft = Color(0xFF14291E),
    onGoodSoft = Color(0xFFA5D3B6),
)

val LocalPalette = staticCompositionLocalOf { SunPalette }
