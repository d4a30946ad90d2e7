package barid.patrol.ui.enrol

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
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
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Field
import barid.patrol.ui.parts.FramePicture
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

@Composable
fun EnrolScreen(state: EnrolState, holder: EnrolHolder) {
    Page(title = null, onBack = null, actions = {
        BigButton(
            stringResource(if (state.underWay) R.string.enrol_under_way else R.string.enrol), holder::enrol, Modifier.weight(1f),
            R.drawable.ic_check, enabled = state.canEnrol, tag = "enrol",
        )
    }) {
        Row(horizontalArrangement = Arrangement.spacedBy(14.dp), verticalAlignment = Alignment.CenterVertically) {
            Icon(painterResource(R.drawable.ic_mark), null, Modifier.size(52.dp), tint = LocalPalette.current.primary)
            Text(stringResource(R.string.app_name), style = MaterialTheme.typography.displayMedium)
        }
        Text(stringResource(R.string.enrol_explain), style = MaterialTheme.typography.bodyLarge)
        state.trouble?.let {
            Notice(stringResource(it.words), R.drawable.ic_warning, Modifier.testTag("enrol-trouble"), Weight.Warn)
        }
        if (state.scanning) {
            Notice(stringResource(R.string.scan_hold), R.drawable.ic_camera)
            FramePicture(holder.seen)
            BigButton(stringResource(R.string.stop), holder::stopScan, Modifier.fillMaxWidth(), R.drawable.ic_close, Tone.Quiet, tag = "scan-stop")
        } else {
            BigButton(
                stringResource(R.string.scan_code), holder::scan, Modifier.fillMaxWidth(), R.drawable.ic_camera,
                if (state.code.isBlank()) Tone.Main else Tone.Quiet, tag = "scan",
            )
        }
        Field(stringResource(R.string.enrol_code), state.code, holder::setCode, tag = "code", hint = "BARID1-…", lines = 2)
        Field(
            stringResource(R.string.enrol_label), state.label, holder::setLabel, tag = "label",
            hint = stringResource(R.string.enrol_label_hint),
        )
        Text(
            stringResource(R.string.enrol_label_detail), style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted,
        )
    }
}
