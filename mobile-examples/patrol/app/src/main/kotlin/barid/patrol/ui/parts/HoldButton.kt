package barid.patrol.ui.parts

import androidx.compose.animation.core.Animatable
import androidx.compose.animation.core.LinearEasing
import androidx.compose.animation.core.tween
import androidx.compose.foundation.background
import androidx.compose.foundation.border
import androidx.compose.foundation.gestures.awaitEachGesture
import androidx.compose.foundation.gestures.awaitFirstDown
import androidx.compose.foundation.gestures.waitForUpOrCancellation
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.defaultMinSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.width
import androidx.compose.foundation.layout.Spacer
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.remember
import androidx.compose.runtime.rememberCoroutineScope
import androidx.compose.runtime.rememberUpdatedState
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.draw.clip
import androidx.compose.ui.draw.drawBehind
import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.geometry.Size
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.hapticfeedback.HapticFeedbackType
import androidx.compose.ui.input.pointer.pointerInput
import androidx.compose.ui.platform.LocalHapticFeedback
import androidx.compose.ui.platform.LocalLayoutDirection
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.semantics.Role
import androidx.compose.ui.semantics.onClick
import androidx.compose.ui.semantics.onLongClick
import androidx.compose.ui.semantics.role
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.Dp
import androidx.compose.ui.unit.LayoutDirection
import androidx.compose.ui.unit.dp
import barid.patrol.ui.theme.LocalPalette
import kotlinx.coroutines.launch

/** How long one holds, in milliseconds: longer than a knock in a pocket, short enough with a shaking hand. */
const val HOLD_MS = 1_500

/** Acts when it has been held: it fills while one holds, and empties when one lets go. Nothing happens by a touch. */
@Composable
fun HoldButton(
    label: String,
    icon: Int,
    ground: Color,
    ink: Color,
    onHeld: () -> Unit,
    modifier: Modifier = Modifier,
    minHeight: Dp = MainTouchMin,
    tag: String? = null,
    hint: String? = null,
    edge: Color = LocalPalette.current.edge,
) {
    val filled = remember { Animatable(0f) }
    val scope = rememberCoroutineScope()
    val haptic = LocalHapticFeedback.current
    val mirrored = LocalLayoutDirection.current == LayoutDirection.Rtl
    val held by rememberUpdatedState(onHeld)
    Box(
        modifier.fillMaxWidth().defaultMinSize(minHeight = minHeight)
            .clip(RoundedCornerShape(20.dp)).background(ground)
            .border(2.dp, edge, RoundedCornerShape(20.dp))
            .drawBehind {
                val width = size.width * filled.value
                drawRect(ink.copy(alpha = 0.35f), Offset(if (mirrored) size.width - width else 0f, 0f), Size(width, size.height))
            }
            .semantics(mergeDescendants = true) {
                role = Role.Button
                // Who cannot hold, because a screen reader is in between, confirms by its long press.
                onLongClick(label) { held(); true }
                onClick(hint ?: label) { false }
            }
            .tagged(tag)
            .pointerInput(Unit) {
                awaitEachGesture {
                    awaitFirstDown()
                    val filling = scope.launch {
                        filled.animateTo(1f, tween(((1f - filled.value) * HOLD_MS).toInt(), easing = LinearEasing))
                        haptic.performHapticFeedback(HapticFeedbackType.LongPress)
                        held()
                        filled.snapTo(0f)
                    }
                    waitForUpOrCancellation()
                    filling.cancel()
                    scope.launch { filled.animateTo(0f, tween(200)) }
                }
            },
        contentAlignment = Alignment.Center,
    ) {
        Row(
            Modifier.padding(18.dp),
            horizontalArrangement = Arrangement.Center,
            verticalAlignment = Alignment.CenterVertically,
        ) {
            Icon(painterResource(icon), null, Modifier.size(if (minHeight > 120.dp) 56.dp else 30.dp), tint = ink)
            Spacer(Modifier.width(16.dp))
            Text(
                label, color = ink, textAlign = TextAlign.Start,
                style = if (minHeight > 120.dp) MaterialTheme.typography.headlineMedium else MaterialTheme.typography.labelLarge,
            )
        }
    }
}
