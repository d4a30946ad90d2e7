package barid.patrol.ui

import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.height
import androidx.compose.foundation.layout.heightIn
import androidx.compose.foundation.layout.navigationBarsPadding
import androidx.compose.foundation.layout.offset
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.selection.selectable
import androidx.compose.foundation.shape.CircleShape
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionLocalProvider
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.draw.clip
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.platform.LocalDensity
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.Role
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.Density
import androidx.compose.ui.unit.dp
import androidx.compose.ui.unit.sp
import barid.patrol.R
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.theme.LocalPalette

private val PLACES = listOf(
    Triple(Destination.Home, R.drawable.ic_home, R.string.nav_home),
    Triple(Destination.Records, R.drawable.ic_records, R.string.nav_records),
    Triple(Destination.Map, R.drawable.ic_map, R.string.nav_map),
    Triple(Destination.Sync, R.drawable.ic_sync, R.string.nav_sync),
)

/** Four places, and SOS, always at the same end, under the thumb. */
@Composable
fun NavigationBar(here: Destination, unsent: Long, alertOpen: Boolean, onSwitch: (Destination) -> Unit, onGo: (Destination) -> Unit) {
    val palette = LocalPalette.current
    // Five words must fit beside each other: here, and only here, large fonts stop growing.
    val density = LocalDensity.current
    CompositionLocalProvider(LocalDensity provides Density(density.density, density.fontScale.coerceAtMost(1.15f))) {
        Row(
            Modifier.fillMaxWidth().background(palette.surface).navigationBarsPadding().padding(horizontal = 4.dp, vertical = 6.dp),
            verticalAlignment = Alignment.CenterVertically,
        ) {
            PLACES.forEach { (place, icon, label) ->
                val chosen = place == here
                Place(
                    icon, stringResource(label), chosen, if (chosen) palette.primary else palette.muted, null,
                    Modifier.weight(1f).testTag("nav-" + place.toString().lowercase()), if (place == Destination.Sync) unsent else 0,
                ) { onSwitch(place) }
            }
            Place(
                R.drawable.ic_sos, stringResource(R.string.nav_sos), alertOpen, palette.onSos, palette.sos,
                Modifier.weight(1f).testTag("nav-sos"), 0,
            ) { onGo(Destination.Sos) }
        }
    }
}

@Composable
private fun Place(
    icon: Int,
    label: String,
    chosen: Boolean,
    ink: Color,
    ground: Color?,
    modifier: Modifier,
    count: Long,
    onClick: () -> Unit,
) {
    val palette = LocalPalette.current
    Column(
        modifier.height(72.dp).clip(RoundedCornerShape(16.dp)).then(if (ground == null) Modifier else Modifier.background(ground))
            .selectable(chosen, role = Role.Tab, onClick = onClick),
        horizontalAlignment = Alignment.CenterHorizontally,
        verticalArrangement = Arrangement.Center,
    ) {
        Box {
            Icon(painterResource(icon), null, Modifier.size(30.dp), tint = ink)
            if (count > 0) {
                Text(
                    LocalFormats.current.number(count),
                    Modifier.offset(x = 20.dp, y = (-6).dp).clip(CircleShape).background(palette.warnSoft).padding(horizontal = 6.dp),
                    color = palette.onWarnSoft, style = MaterialTheme.typography.labelMedium, maxLines = 1,
                )
            }
        }
        Text(label, color = ink, style = MaterialTheme.typography.labelMedium, textAlign = TextAlign.Center, maxLines = 1)
    }
}
