package barid.patrol.ui.parts

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.size
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Place
import barid.patrol.ui.theme.LocalPalette

/** A fix older than this is not where one is now. */
const val PLACE_OLD_MS = 120_000L

/** Where, how exactly, and how old that is. An old place is never shown as if it were now. */
@Composable
fun PlaceLine(place: Place?, modifier: Modifier = Modifier, against: Long = LocalNow.current) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    val old = place != null && against - place.time > PLACE_OLD_MS
    Row(
        modifier.testTag("place"),
        horizontalArrangement = Arrangement.spacedBy(12.dp),
        verticalAlignment = Alignment.CenterVertically,
    ) {
        val tint = if (place == null || old) palette.warn else palette.good
        Icon(painterResource(R.drawable.ic_place), contentDescription = null, Modifier.size(30.dp), tint = tint)
        Column {
            if (place == null) {
                Text(stringResource(R.string.place_none), style = MaterialTheme.typography.titleMedium, color = palette.warn)
                Text(stringResource(R.string.place_none_detail), style = MaterialTheme.typography.bodyMedium, color = palette.muted)
            } else {
                Text(formats.coordinates(place), style = MaterialTheme.typography.titleMedium)
                val accuracy = place.accuracyM?.let { stringResource(R.string.place_accuracy, formats.distance(it)) }
                    ?: stringResource(R.string.place_accuracy_unknown)
                val age = formats.age(place.time, against)
                Text(
                    "$accuracy · $age",
                    style = MaterialTheme.typography.bodyMedium,
                    color = if (old) palette.warn else palette.muted,
                )
            }
        }
    }
}
