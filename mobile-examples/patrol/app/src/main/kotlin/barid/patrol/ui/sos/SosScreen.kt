package barid.patrol.ui.sos

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.size
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.DisposableEffect
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Delivery
import barid.patrol.ui.parts.HoldButton
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.PlaceLine
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Section
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

@Composable
fun SosScreen(state: SosState, holder: SosHolder, onBack: () -> Unit) {
    val palette = LocalPalette.current
    DisposableEffect(holder) {
        holder.look()
        onDispose { holder.leave() }
    }
    val mine = state.mine
    Page(stringResource(R.string.sos_title), onBack, actions = {
        if (mine == null) {
            HoldButton(
                stringResource(R.string.sos_hold), R.drawable.ic_sos, palette.sos, palette.onSos, holder::raise,
                Modifier.weight(1f), minHeight = 168.dp, tag = "sos-hold", hint = stringResource(R.string.sos_hold_hint), edge = palette.sos,
            )
        } else {
            HoldButton(
                stringResource(R.string.sos_cancel_hold), R.drawable.ic_close, palette.raised, palette.ink,
                { holder.cancel(mine.key) }, Modifier.weight(1f), tag = "sos-cancel",
            )
        }
    }) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Sos) }
        if (mine == null) {
            Notice(stringResource(R.string.sos_explain), R.drawable.ic_sos, weight = Weight.Sos, detail = stringResource(R.string.sos_explain_detail))
            Plate { PlaceLine(state.place) }
        } else {
            MyAlert(mine)
            Plate { PlaceLine(mine.place) }
        }
        if (state.others.isNotEmpty()) {
            Section(stringResource(R.string.sos_others)) {
                state.others.forEach { alert ->
                    Notice(
                        stringResource(alert.state.words) + " · " + LocalFormats.current.age(alert.time, LocalNow.current),
                        R.drawable.ic_sos, weight = Weight.Sos,
                        detail = alert.place?.let { LocalFormats.current.coordinates(it) } ?: stringResource(R.string.place_none),
                    )
                }
            }
        }
    }
}

/** Its way, step by step: which have been taken, and which not. */
@Composable
private fun MyAlert(alert: Alert) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    val arrived = alert.delivery != Delivery.OnThisPhone
    val seen = alert.state == AlertState.Acknowledged || alert.state == AlertState.Responding
    Plate(ground = palette.sosSoft, ink = palette.onSosSoft, modifier = Modifier.testTag("sos-open")) {
        Text(
            stringResource(
                when {
                    alert.state == AlertState.Responding -> R.string.sos_responding
                    seen -> R.string.sos_acknowledged
                    arrived -> R.string.sos_arrived
                    else -> R.string.sos_saved
                },
            ),
            Modifier.testTag("sos-state"),
            style = MaterialTheme.typography.headlineMedium,
        )
        Text(stringResource(if (arrived) R.string.sos_stay else R.string.sos_not_sent_yet), style = MaterialTheme.typography.bodyLarge)
    }
    Plate {
        Step(stringResource(R.string.sos_step_saved) + " · " + formats.time(alert.time, LocalNow.current), done = true)
        Step(stringResource(R.string.sos_step_arrived), arrived)
        Step(stringResource(R.string.sos_step_acknowledged), seen)
        Step(stringResource(R.string.sos_step_responding), alert.state == AlertState.Responding)
    }
}

@Composable
private fun Step(text: String, done: Boolean) {
    val palette = LocalPalette.current
    Row(horizontalArrangement = Arrangement.spacedBy(12.dp), verticalAlignment = Alignment.CenterVertically) {
        Icon(
            painterResource(if (done) R.drawable.ic_check else R.drawable.ic_waiting),
            stringResource(if (done) R.string.step_done else R.string.step_not_yet),
            Modifier.size(28.dp), tint = if (done) palette.good else palette.muted,
        )
        Column { Text(text, style = MaterialTheme.typography.titleMedium, color = if (done) palette.ink else palette.muted) }
    }
}
