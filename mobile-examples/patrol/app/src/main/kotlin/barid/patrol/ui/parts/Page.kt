package barid.patrol.ui.parts

import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ColumnScope
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.RowScope
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.imePadding
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.systemBarsPadding
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.HorizontalDivider
import androidx.compose.material3.Icon
import androidx.compose.material3.LocalContentColor
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionLocalProvider
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.ui.theme.LocalPalette

/**
 * Every screen: what it is on top, where the eye begins; what can be done at the bottom, where the thumb is.
 * The middle scrolls when it must. Nothing on a page ever waits.
 */
@Composable
fun Page(
    title: String?,
    onBack: (() -> Unit)?,
    actions: (@Composable RowScope.() -> Unit)? = null,
    scrolls: Boolean = true,
    content: @Composable ColumnScope.() -> Unit,
) {
    val palette = LocalPalette.current
    CompositionLocalProvider(LocalContentColor provides palette.ink) {
        Column(Modifier.fillMaxSize().background(palette.ground).systemBarsPadding().imePadding()) {
            if (title != null) {
                Text(
                    title,
                    Modifier.padding(start = 16.dp, end = 16.dp, top = 14.dp, bottom = 6.dp).semantics { heading() },
                    style = MaterialTheme.typography.headlineMedium,
                )
            }
            val middle = Modifier.weight(1f).fillMaxWidth()
            Column(
                (if (scrolls) middle.verticalScroll(rememberScrollState()) else middle).padding(horizontal = 16.dp, vertical = 8.dp),
                verticalArrangement = Arrangement.spacedBy(12.dp),
                content = content,
            )
            if (onBack != null || actions != null) {
                HorizontalDivider(color = palette.line)
                Row(
                    Modifier.fillMaxWidth().background(palette.surface).padding(12.dp),
                    horizontalArrangement = Arrangement.spacedBy(12.dp),
                    verticalAlignment = Alignment.CenterVertically,
                ) {
                    if (onBack != null) {
                        SignButton(R.drawable.ic_back, stringResource(R.string.back), onBack, size = MainTouchMin, tag = "back")
                    }
                    actions?.invoke(this)
                }
            }
        }
    }
}

/** A part of a page with a name. */
@Composable
fun Section(title: String, modifier: Modifier = Modifier, content: @Composable ColumnScope.() -> Unit) {
    Column(modifier.fillMaxWidth(), verticalArrangement = Arrangement.spacedBy(10.dp)) {
        Text(title, Modifier.semantics { heading() }, style = MaterialTheme.typography.titleMedium, color = LocalPalette.current.muted)
        content()
    }
}

/** A plate that holds things which belong together. */
@Composable
fun Plate(
    modifier: Modifier = Modifier,
    ground: Color = LocalPalette.current.raised,
    ink: Color = LocalPalette.current.ink,
    content: @Composable ColumnScope.() -> Unit,
) {
    CompositionLocalProvider(LocalContentColor provides ink) {
        Column(
            modifier.fillMaxWidth().background(ground, RoundedCornerShape(16.dp)).padding(16.dp),
            verticalArrangement = Arrangement.spacedBy(8.dp),
            content = content,
        )
    }
}

enum class Weight { Plain, Good, Warn, Sos }

/** Says one thing with a sign before it. Never only by its colour. */
@Composable
fun Notice(text: String, icon: Int, modifier: Modifier = Modifier, weight: Weight = Weight.Plain, detail: String? = null) {
    val palette = LocalPalette.current
    val (ground, ink) = when (weight) {
        Weight.Plain -> palette.raised to palette.ink
        Weight.Good -> palette.goodSoft to palette.onGoodSoft
        Weight.Warn -> palette.warnSoft to palette.onWarnSoft
        Weight.Sos -> palette.sosSoft to palette.onSosSoft
    }
    Row(
        modifier.fillMaxWidth().background(ground, RoundedCornerShape(16.dp)).padding(14.dp),
        horizontalArrangement = Arrangement.spacedBy(12.dp),
        verticalAlignment = Alignment.CenterVertically,
    ) {
        Icon(painterResource(icon), contentDescription = null, Modifier.size(30.dp), tint = ink)
        Column {
            Text(text, style = MaterialTheme.typography.titleMedium, color = ink)
            if (detail != null) Text(detail, style = MaterialTheme.typography.bodyMedium, color = ink)
        }
    }
}
