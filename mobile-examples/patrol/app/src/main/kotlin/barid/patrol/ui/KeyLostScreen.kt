package barid.patrol.ui

import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import barid.patrol.R
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.HoldButton
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.theme.LocalPalette
import androidx.compose.foundation.layout.fillMaxWidth

/** Why the app did not open. */
enum class NotOpened {
    /** The phone's keystore no longer gives the key out. */
    KeyLost,

    /** The database is damaged. */
    Damaged,

    /** Something else; the next try may do. */
    Failed,
}

/** Nothing is deleted and nothing begins anew unless somebody says so. */
@Composable
fun KeyLostScreen(why: NotOpened, onRetry: () -> Unit, onBeginAnew: () -> Unit) {
    val palette = LocalPalette.current
    Page(stringResource(R.string.not_opened), onBack = null, actions = {
        BigButton(stringResource(R.string.try_again), onRetry, Modifier.weight(1f), R.drawable.ic_sync, tag = "try-again")
    }) {
        val words = when (why) {
            NotOpened.KeyLost -> R.string.key_lost
            NotOpened.Damaged -> R.string.trouble_damaged
            NotOpened.Failed -> R.string.open_failed
        }
        Notice(stringResource(words), R.drawable.ic_lock, Modifier.testTag("not-opened"), Weight.Warn)
        Plate {
            Text(stringResource(R.string.what_is_safe), style = MaterialTheme.typography.titleMedium)
            Text(stringResource(R.string.what_is_safe_detail), style = MaterialTheme.typography.bodyLarge)
            Text(stringResource(R.string.what_can_be_done), style = MaterialTheme.typography.titleMedium)
            Text(stringResource(R.string.what_can_be_done_detail), style = MaterialTheme.typography.bodyLarge)
        }
        if (why != NotOpened.Failed) {
            HoldButton(
                stringResource(R.string.begin_anew_hold), R.drawable.ic_add, palette.raised, palette.ink, onBeginAnew,
                Modifier.fillMaxWidth(), tag = "begin-anew",
            )
        }
    }
}
