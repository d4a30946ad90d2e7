package barid.patrol.ui.theme

import androidx.compose.foundation.isSystemInDarkTheme
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.material3.LocalTextStyle
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Shapes
import androidx.compose.material3.Typography
import androidx.compose.material3.darkColorScheme
import androidx.compose.material3.lightColorScheme
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionLocalProvider
import androidx.compose.ui.text.TextStyle
import androidx.compose.ui.text.font.FontWeight
import androidx.compose.ui.text.style.LineHeightStyle
import androidx.compose.ui.text.style.TextDirection
import androidx.compose.ui.unit.dp
import androidx.compose.ui.unit.sp

private fun style(size: Int, line: Int, weight: FontWeight) = TextStyle(
    fontSize = size.sp,
    lineHeight = line.sp,
    fontWeight = weight,
    // Figures of one width: a counting number does not dance.
    fontFeatureSettings = "tnum",
    // A note in the other language runs its own way.
    textDirection = TextDirection.Content,
    lineHeightStyle = LineHeightStyle(LineHeightStyle.Alignment.Center, LineHeightStyle.Trim.None),
)

/** Few sizes, all large: `displayLarge` is read at arm's length, nothing is below 15 sp. */
val PatrolType = Typography(
    displayLarge = style(72, 80, FontWeight.Bold),
    displayMedium = style(44, 52, FontWeight.Bold),
    headlineMedium = style(26, 34, FontWeight.Bold),
    headlineSmall = style(22, 30, FontWeight.Bold),
    titleLarge = style(20, 28, FontWeight.SemiBold),
    titleMedium = style(18, 26, FontWeight.SemiBold),
    bodyLarge = style(18, 27, FontWeight.Normal),
    bodyMedium = style(16, 24, FontWeight.Normal),
    bodySmall = style(15, 22, FontWeight.Normal),
    labelLarge = style(19, 26, FontWeight.SemiBold),
    labelMedium = style(15, 20, FontWeight.SemiBold),
)

@Composable
fun PatrolTheme(dark: Boolean = isSystemInDarkTheme(), content: @Composable () -> Unit) {
    val palette = if (dark) NightPalette else SunPalette
    val scheme = with(palette) {
        val base = if (dark) darkColorScheme() else lightColorScheme()
        base.copy(
            primary = primary, onPrimary = onPrimary, primaryContainer = primarySoft, onPrimaryContainer = onPrimarySoft,
            secondary = primary, onSecondary = onPrimary, secondaryContainer = primarySoft, onSecondaryContainer = onPrimarySoft,
            background = ground, onBackground = ink, surface = surface, onSurface = ink, onSurfaceVariant = muted,
            surfaceVariant = raised, surfaceContainer = surface, surfaceContainerHigh = raised, surfaceContainerHighest = raised,
            outline = edge, outlineVariant = line, error = sos, onError = onSos, errorContainer = sosSoft, onErrorContainer = onSosSoft,
        )
    }
    val shapes = Shapes(small = RoundedCornerShape(8.dp), medium = RoundedCornerShape(12.dp), large = RoundedCornerShape(16.dp))
    MaterialTheme(colorScheme = scheme, typography = PatrolType, shapes = shapes) {
        CompositionLocalProvider(LocalPalette provides palette, LocalTextStyle provides PatrolType.bodyLarge, content = content)
    }
}
