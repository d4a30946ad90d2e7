package barid.patrol.ui

import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import barid.patrol.R
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Weight

/** The centre asked for it. While something sealed is here it can be handed over, and nothing begins anew. */
@Composable
fun WipedScreen(hasSealed: Boolean, onHandOver: () -> Unit, onBeginAnew: () -> Unit) {
    Page(stringResource(R.string.wiped), onBack = null, actions = {
        if (hasSealed) {
            BigButton(stringResource(R.string.file_export), onHandOver, Modifier.weight(1f), R.drawable.ic_file, tag = "hand-over")
        } else {
            BigButton(stringResource(R.string.enrol), onBeginAnew, Modifier.weight(1f), R.drawable.ic_add, tag = "enrol-again")
        }
    }) {
        Notice(stringResource(R.string.wiped_by_centre), R.drawable.ic_check, Modifier.testTag("wiped").fillMaxWidth())
        if (hasSealed) {
            Plate {
                Text(stringResource(R.string.wiped_sealed), style = MaterialTheme.typography.titleMedium)
                Text(stringResource(R.string.wiped_sealed_detail), style = MaterialTheme.typography.bodyLarge)
            }
        }
    }
}
