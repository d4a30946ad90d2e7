package barid.patrol.ui.lock

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.width
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.data.LockState
import barid.patrol.ui.Destination
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.MainTouchMin
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.theme.LocalPalette

/** Nothing of what was recorded is shown here, and everything can still be recorded from here. */
@Composable
fun LockScreen(state: LockState, onUnlock: () -> Unit, onGo: (Destination) -> Unit, recorded: Boolean) {
    Page(title = null, onBack = null, actions = {
        BigButton(
            stringResource(R.string.nav_sos), { onGo(Destination.Sos) }, Modifier.width(104.dp), R.drawable.ic_sos, Tone.Sos,
            minHeight = 88.dp, tag = "nav-sos", stacked = true,
        )
        BigButton(
            stringResource(R.string.record_event), { onGo(Destination.ChooseType) }, Modifier.weight(1f), R.drawable.ic_add,
            minHeight = 88.dp, tag = "record",
        )
    }) {
        Column(Modifier.fillMaxWidth().testTag("locked"), verticalArrangement = Arrangement.spacedBy(14.dp)) {
            Icon(painterResource(R.drawable.ic_lock), null, Modifier.size(72.dp), tint = LocalPalette.current.primary)
            Text(stringResource(R.string.locked_title), style = MaterialTheme.typography.displayMedium)
            Text(stringResource(R.string.locked_explain), style = MaterialTheme.typography.bodyLarge)
            if (recorded) Notice(stringResource(R.string.recorded), R.drawable.ic_check, weight = Weight.Good)
            if (state == LockState.LeaseOver) {
                Notice(stringResource(R.string.lease_over), R.drawable.ic_waiting, weight = Weight.Warn, detail = stringResource(R.string.lease_over_detail))
            } else {
                BigButton(
                    stringResource(R.string.unlock), onUnlock, Modifier.fillMaxWidth(), R.drawable.ic_unlock, Tone.Quiet,
                    minHeight = MainTouchMin, tag = "unlock",
                )
            }
        }
    }
}
