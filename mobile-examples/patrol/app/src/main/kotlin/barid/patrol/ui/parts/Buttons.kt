package barid.patrol.ui.parts

import androidx.annotation.DrawableRes
import androidx.compose.foundation.BorderStroke
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.RowScope
import androidx.compose.foundation.layout.Spacer
import androidx.compose.foundation.layout.defaultMinSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.height
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.width
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.semantics.Role
import androidx.compose.ui.semantics.role
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.Dp
import androidx.compose.ui.unit.dp
import barid.patrol.ui.theme.LocalPalette

/** The least that a gloved thumb hits. */
val TouchMin = 56.dp

/** The least of what a screen is for. */
val MainTouchMin = 72.dp

enum class Tone { Main, Quiet, Good, Sos }

private data class Paint(val ground: Color, val ink: Color, val edge: Color?)

@Composable
private fun Tone.paint(): Paint {
    val palette = LocalPalette.current
    return when (this) {
        Tone.Main -> Paint(palette.primary, palette.onPrimary, null)
        Tone.Quiet -> Paint(palette.raised, palette.ink, palette.edge)
        Tone.Good -> Paint(palette.goodSoft, palette.onGoodSoft, palette.good)
        Tone.Sos -> Paint(palette.sos, palette.onSos, null)
    }
}

/** The one thing that a screen is for, or one of few; [stacked] where two share a line. The label wraps rather than being cut. */
@Composable
fun BigButton(
    label: String,
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    @DrawableRes icon: Int? = null,
    tone: Tone = Tone.Main,
    enabled: Boolean = true,
    tag: String? = null,
    minHeight: Dp = MainTouchMin,
    stacked: Boolean = false,
) {
    val palette = LocalPalette.current
    val paint = if (enabled) tone.paint() else Paint(palette.surface, palette.muted, palette.line)
    Surface(
        onClick = onClick,
        enabled = enabled,
        modifier = modifier.defaultMinSize(minWidth = MainTouchMin, minHeight = minHeight).semantics { role = Role.Button }.tagged(tag),
        shape = RoundedCornerShape(14.dp),
        color = paint.ground,
        contentColor = paint.ink,
        border = paint.edge?.let { BorderStroke(2.dp, it) },
    ) {
        if (stacked) {
            Column(
                Modifier.padding(horizontal = 8.dp, vertical = 10.dp),
                horizontalAlignment = Alignment.CenterHorizontally,
                verticalArrangement = Arrangement.Center,
            ) {
                if (icon != null) Icon(painterResource(icon), contentDescription = null, Modifier.size(28.dp))
                Text(label, style = MaterialTheme.typography.titleMedium, textAlign = TextAlign.Center)
            }
        } else {
            Row(
                Modifier.padding(horizontal = 16.dp, vertical = 10.dp),
                horizontalArrangement = Arrangement.Center,
                verticalAlignment = Alignment.CenterVertically,
            ) {
                if (icon != null) {
                    Icon(painterResource(icon), contentDescription = null, Modifier.size(30.dp))
                    Spacer(Modifier.width(12.dp))
                }
                Text(label, style = MaterialTheme.typography.labelLarge)
            }
        }
    }
}

/** A square with a sign; what it does is said to screen readers. */
@Composable
fun SignButton(
    @DrawableRes icon: Int,
    says: String,
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    size: Dp = TouchMin,
    tone: Tone = Tone.Quiet,
    enabled: Boolean = true,
    tag: String? = null,
) {
    val palette = LocalPalette.current
    val paint = if (enabled) tone.paint() else Paint(palette.surface, palette.edge, palette.line)
    Surface(
        onClick = onClick,
        enabled = enabled,
        modifier = modifier.size(size).semantics { role = Role.Button }.tagged(tag),
        shape = RoundedCornerShape(14.dp),
        color = paint.ground,
        contentColor = paint.ink,
        border = paint.edge?.let { BorderStroke(2.dp, it) },
    ) {
        Row(horizontalArrangement = Arrangement.Center, verticalAlignment = Alignment.CenterVertically) {
            Icon(painterResource(icon), contentDescription = says, Modifier.size(28.dp))
        }
    }
}

/** A line that opens something. */
@Composable
fun Line(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    tag: String? = null,
    content: @Composable RowScope.() -> Unit,
) {
    val palette = LocalPalette.current
    Surface(
        onClick = onClick,
        modifier = modifier.fillMaxWidth().defaultMinSize(minHeight = MainTouchMin).tagged(tag),
        shape = RoundedCornerShape(14.dp),
        color = palette.raised,
        contentColor = palette.ink,
        border = BorderStroke(1.dp, palette.line),
    ) {
        Row(
            Modifier.padding(horizontal = 14.dp, vertical = 12.dp),
            horizontalArrangement = Arrangement.spacedBy(14.dp),
            verticalAlignment = Alignment.CenterVertically,
            content = content,
        )
    }
}

/** One of several that exclude each other, or a switch of its own. */
@Composable
fun Choice(
    label: String,
    chosen: Boolean,
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    @DrawableRes icon: Int? = null,
    tag: String? = null,
) {
    val palette = LocalPalette.current
    Surface(
        selected = chosen,
        onClick = onClick,
        modifier = modifier.defaultMinSize(minHeight = TouchMin).tagged(tag),
        shape = RoundedCornerShape(14.dp),
        color = if (chosen) palette.primary else palette.raised,
        contentColor = if (chosen) palette.onPrimary else palette.ink,
        border = BorderStroke(2.dp, if (chosen) palette.primary else palette.edge),
    ) {
        Row(
            Modifier.padding(horizontal = 14.dp, vertical = 8.dp),
            horizontalArrangement = Arrangement.Center,
            verticalAlignment = Alignment.CenterVertically,
        ) {
            if (icon != null) {
                Icon(painterResource(icon), contentDescription = null, Modifier.size(26.dp))
                Spacer(Modifier.width(10.dp))
            }
            Text(label, style = MaterialTheme.typography.titleMedium)
        }
    }
}

@Composable
fun Gap(height: Dp = 12.dp) = Spacer(Modifier.height(height))

fun Modifier.tagged(tag: String?): Modifier = if (tag == null) this else testTag(tag)
