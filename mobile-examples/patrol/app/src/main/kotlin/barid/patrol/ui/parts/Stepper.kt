package barid.patrol.ui.parts

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.widthIn
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalDensity
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.semantics.stateDescription
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.dp
import barid.patrol.R

/** A count, set by two buttons: no keyboard comes up and covers half of the screen. */
@Composable
fun Stepper(
    label: String,
    icon: Int,
    count: Int,
    onCount: (Int) -> Unit,
    modifier: Modifier = Modifier,
    tag: String,
    large: Boolean = false,
) {
    val shown = LocalFormats.current.number(count)
    // A label beside three things has no room for large letters: it stands above them then.
    val stacked = large || LocalDensity.current.fontScale > 1.2f
    if (stacked) {
        Column(modifier.fillMaxWidth().semantics { stateDescription = shown }, verticalArrangement = Arrangement.spacedBy(6.dp)) {
            Row(horizontalArrangement = Arrangement.spacedBy(10.dp), verticalAlignment = Alignment.CenterVertically) {
                Icon(painterResource(icon), contentDescription = null, Modifier.size(30.dp))
                Text(label, style = if (large) MaterialTheme.typography.titleLarge else MaterialTheme.typography.titleMedium)
            }
            Row(verticalAlignment = Alignment.CenterVertically) { Buttons(label, shown, count, onCount, tag, large, Modifier.weight(1f)) }
        }
    } else {
        Row(
            modifier.fillMaxWidth().semantics { stateDescription = shown },
            horizontalArrangement = Arrangement.spacedBy(8.dp),
            verticalAlignment = Alignment.CenterVertically,
        ) {
            Icon(painterResource(icon), contentDescription = null, Modifier.size(28.dp))
            Text(label, Modifier.weight(1f), style = MaterialTheme.typography.titleMedium)
            Buttons(label, shown, count, onCount, tag, large, Modifier.widthIn(min = 44.dp))
        }
    }
}

@Composable
private fun Buttons(label: String, shown: String, count: Int, onCount: (Int) -> Unit, tag: String, large: Boolean, middle: Modifier) {
    val size = if (large) MainTouchMin else TouchMin
    SignButton(
        R.drawable.ic_minus, stringResource(R.string.one_less, label), { onCount(count - 1) },
        size = size, enabled = count > 0, tag = "$tag-less",
    )
    Text(
        shown,
        middle.testTag(tag),
        style = if (large) MaterialTheme.typography.displayMedium else MaterialTheme.typography.headlineMedium,
        textAlign = TextAlign.Center,
        maxLines = 1,
    )
    SignButton(
        R.drawable.ic_add, stringResource(R.string.one_more, label), { onCount(count + 1) },
        size = size, tone = if (large) Tone.Main else Tone.Quiet, tag = "$tag-more",
    )
}
