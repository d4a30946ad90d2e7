package barid.patrol.ui.patrol

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ExperimentalLayoutApi
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.RowScope
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
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.Transport
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Choice
import barid.patrol.ui.parts.Field
import barid.patrol.ui.parts.HoldButton
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.PlaceLine
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Section
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.sign
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

@Composable
fun PatrolScreen(state: PatrolScreenState, holder: PatrolHolder, onBack: () -> Unit) {
    val patrol = state.patrol
    Page(
        stringResource(if (patrol == null) R.string.patrol_new else R.string.patrol_title),
        onBack,
        actions = { if (patrol == null) StartAction(holder) else UnderWayActions(patrol, holder) },
    ) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Sos) }
        if (patrol == null) NewPatrol(state, holder) else UnderWay(patrol, state, holder)
    }
}

@Composable
private fun RowScope.StartAction(holder: PatrolHolder) =
    BigButton(stringResource(R.string.patrol_start), holder::start, Modifier.weight(1f), R.drawable.ic_play, tag = "patrol-start")

@Composable
private fun RowScope.UnderWayActions(patrol: Patrol, holder: PatrolHolder) {
    if (patrol.state == PatrolState.Paused) {
        BigButton(stringResource(R.string.patrol_resume), holder::resume, Modifier.weight(1f), R.drawable.ic_play, tag = "patrol-resume")
    } else {
        BigButton(
            stringResource(R.string.patrol_pause), holder::pause, Modifier.weight(1f), R.drawable.ic_pause, Tone.Quiet, tag = "patrol-pause",
        )
    }
}

@OptIn(ExperimentalLayoutApi::class)
@Composable
private fun NewPatrol(state: PatrolScreenState, holder: PatrolHolder) {
    Section(stringResource(R.string.patrol_transport)) {
        FlowRow(horizontalArrangement = Arrangement.spacedBy(10.dp), verticalArrangement = Arrangement.spacedBy(10.dp)) {
            Transport.entries.forEach { way ->
                Choice(
                    stringResource(way.words), way == state.transport, { holder.setTransport(way) },
                    icon = way.sign, tag = "transport-${way.word}",
                )
            }
        }
    }
    Field(
        stringResource(R.string.patrol_name), state.title, holder::setTitle,
        tag = "patrol-name", hint = stringResource(R.string.patrol_name_hint),
    )
    Notice(stringResource(R.string.patrol_records_way), R.drawable.ic_route, detail = stringResource(R.string.patrol_records_way_detail))
}

@Composable
private fun UnderWay(patrol: Patrol, state: PatrolScreenState, holder: PatrolHolder) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    val now = LocalNow.current
    val track = state.track
    Plate {
        Text(patrol.title?.ifBlank { null } ?: stringResource(R.string.patrol_untitled), style = MaterialTheme.typography.titleLarge)
        Text(formats.clock(now - (patrol.startedAt ?: now)), Modifier.testTag("clock"), style = MaterialTheme.typography.displayLarge)
        Text(stringResource(R.string.hours_minutes), style = MaterialTheme.typography.bodyMedium, color = palette.muted)
        Text(
            stringResource(R.string.track_recorded, formats.distance(track.distanceM)) + " · " +
                formats.plural(R.plurals.positions, track.recordedPositions.toLong()),
            style = MaterialTheme.typography.titleMedium,
        )
    }
    val noFix = track.noFixSince
    when {
        patrol.state == PatrolState.Paused ->
            Notice(stringResource(R.string.patrol_paused_words), R.drawable.ic_pause, Modifier.testTag("paused"), Weight.Warn, stringResource(R.string.patrol_paused_detail))
        track.patrol == null ->
            Notice(stringResource(R.string.track_not_running), R.drawable.ic_warning, weight = Weight.Warn, detail = stringResource(R.string.track_not_running_detail))
        noFix != null ->
            Notice(stringResource(R.string.track_no_fix), R.drawable.ic_warning, weight = Weight.Warn, detail = formats.length(now - noFix))
        else -> Notice(stringResource(R.string.patrol_recording), R.drawable.ic_route, Modifier.testTag("recording"), Weight.Good)
    }
    Plate { PlaceLine(track.last) }
    if (state.gaps.isNotEmpty()) {
        Section(formats.plural(R.plurals.gaps, state.gaps.size.toLong())) {
            state.gaps.take(20).forEach { gap ->
                Row(horizontalArrangement = Arrangement.spacedBy(12.dp), verticalAlignment = Alignment.CenterVertically) {
                    Icon(painterResource(R.drawable.ic_history), null, Modifier.size(26.dp), tint = palette.muted)
                    Column {
                        Text(stringResource(gap.reason.words), style = MaterialTheme.typography.titleMedium)
                        Text(
                            stringResource(R.string.gap_from_length, formats.time(gap.from, now), formats.length(gap.to - gap.from)),
                            style = MaterialTheme.typography.bodyMedium, color = palette.muted,
                        )
                    }
                }
            }
        }
    }
    HoldButton(
        stringResource(R.string.patrol_end_hold), R.drawable.ic_stop, palette.primarySoft, palette.onPrimarySoft,
        holder::end, tag = "patrol-end",
    )
}
