package barid.patrol.ui.home

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
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
import barid.patrol.data.TrackState
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.SyncState
import barid.patrol.ui.Destination
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Line
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

@Composable
fun HomeScreen(state: HomeState, broughtBack: Boolean, onGo: (Destination) -> Unit, onConflicts: () -> Unit, onLock: () -> Unit) {
    Page(
        title = null,
        onBack = null,
        actions = {
            BigButton(
                stringResource(R.string.record_event), { onGo(Destination.ChooseType) },
                Modifier.weight(1f), R.drawable.ic_add, minHeight = 88.dp, tag = "record",
            )
        },
    ) {
        state.alert?.let { alert -> OpenAlert(alert, onGo) }
        ArrivalPlate(state.sync)
        if (broughtBack) Notice(stringResource(R.string.brought_back), R.drawable.ic_warning, weight = Weight.Warn)
        PatrolPlate(state.patrol, state.track, state.patrolEvents, onGo)
        if (state.conflicts > 0) {
            Line(onConflicts, tag = "conflicts") {
                Icon(painterResource(R.drawable.ic_conflict), null, Modifier.size(30.dp), tint = LocalPalette.current.warn)
                Text(
                    LocalFormats.current.plural(R.plurals.conflicts, state.conflicts.toLong()),
                    Modifier.weight(1f), style = MaterialTheme.typography.titleMedium,
                )
                Icon(painterResource(R.drawable.ic_forward), null, Modifier.size(24.dp))
            }
        }
        Row(horizontalArrangement = Arrangement.spacedBy(12.dp)) {
            BigButton(
                stringResource(R.string.exchange_short), { onGo(Destination.Exchange) }, Modifier.weight(1f),
                R.drawable.ic_phones, Tone.Quiet, tag = "exchange", stacked = true,
            )
            BigButton(stringResource(R.string.lock), onLock, Modifier.weight(1f), R.drawable.ic_lock, Tone.Quiet, tag = "lock", stacked = true)
        }
    }
}

@Composable
private fun OpenAlert(alert: barid.patrol.model.Alert, onGo: (Destination) -> Unit) {
    val palette = LocalPalette.current
    androidx.compose.material3.Surface(
        onClick = { onGo(Destination.Sos) },
        modifier = Modifier.fillMaxWidth().testTag("open-alert"),
        shape = MaterialTheme.shapes.large,
        color = palette.sos,
        contentColor = palette.onSos,
    ) {
        Row(
            Modifier.fillMaxWidth().padding(16.dp),
            horizontalArrangement = Arrangement.spacedBy(14.dp),
            verticalAlignment = Alignment.CenterVertically,
        ) {
            Icon(painterResource(R.drawable.ic_sos), null, Modifier.size(40.dp))
            Column(Modifier.weight(1f)) {
                Text(
                    stringResource(if (alert.mine) R.string.sos_mine_open else R.string.sos_other_open),
                    style = MaterialTheme.typography.titleLarge,
                )
                Text(
                    stringResource(alert.state.words) + " · " + LocalFormats.current.age(alert.time, LocalNow.current),
                    style = MaterialTheme.typography.bodyLarge,
                )
            }
            Icon(painterResource(R.drawable.ic_forward), null, Modifier.size(26.dp))
        }
    }
}

/** The first thing to be read: what has not arrived, as a number; or that all has. */
@Composable
internal fun ArrivalPlate(sync: SyncState) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    val all = sync.allArrived
    Plate(ground = if (all) palette.goodSoft else palette.warnSoft, ink = if (all) palette.onGoodSoft else palette.onWarnSoft) {
        Row(horizontalArrangement = Arrangement.spacedBy(16.dp), verticalAlignment = Alignment.CenterVertically) {
            if (sync.unsentRecords > 0) {
                Text(formats.number(sync.unsentRecords), Modifier.testTag("unsent"), style = MaterialTheme.typography.displayLarge)
                Text(formats.plural(R.plurals.records_only_here, sync.unsentRecords), style = MaterialTheme.typography.titleLarge)
            } else {
                Icon(
                    painterResource(if (all) R.drawable.ic_arrived else R.drawable.ic_waiting), null, Modifier.size(52.dp),
                )
                Text(
                    stringResource(
                        when {
                            all -> R.string.all_arrived
                            sync.lastSuccess == null -> R.string.nothing_met_yet
                            else -> R.string.records_arrived_photos_not
                        },
                    ),
                    Modifier.testTag("arrival"),
                    style = MaterialTheme.typography.headlineSmall,
                )
            }
        }
        if (sync.unsentPhotos > 0) {
            Text(
                formats.plural(R.plurals.photos_only_here, sync.unsentPhotos) + " · " + formats.bytes(sync.unsentPhotoBytes),
                style = MaterialTheme.typography.titleMedium,
            )
        }
        Text(contactWords(sync), Modifier.testTag("contact"), style = MaterialTheme.typography.bodyLarge)
    }
}

/** When the centre was last met, and what happens next, in a sentence. */
@Composable
internal fun contactWords(sync: SyncState): String {
    val last = sync.lastSuccess
    val met = if (last == null) {
        stringResource(R.string.never_met)
    } else {
        stringResource(R.string.last_met, LocalFormats.current.age(last, LocalNow.current))
    }
    return if (sync.unsentRecords > 0) met + " " + stringResource(R.string.goes_by_itself) else met
}

@Composable
private fun PatrolPlate(patrol: Patrol?, track: TrackState, events: Int, onGo: (Destination) -> Unit) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    Line({ onGo(Destination.Patrol) }, tag = "patrol") {
        val paused = patrol?.state == PatrolState.Paused
        Icon(
            painterResource(if (paused) R.drawable.ic_pause else R.drawable.ic_route), null, Modifier.size(34.dp),
            tint = if (patrol == null) palette.muted else if (paused) palette.warn else palette.primary,
        )
        Column(Modifier.weight(1f)) {
            if (patrol == null) {
                Text(stringResource(R.string.patrol_none), style = MaterialTheme.typography.titleLarge)
                Text(stringResource(R.string.patrol_start_here), style = MaterialTheme.typography.bodyMedium, color = palette.muted)
            } else {
                Text(
                    patrol.title?.ifBlank { null } ?: stringResource(R.string.patrol_untitled),
                    style = MaterialTheme.typography.titleMedium,
                )
                Text(
                    stringResource(if (paused) R.string.patrol_paused_words else R.string.patrol_recording) +
                        " · " + formats.distance(track.distanceM) + " · " + formats.plural(R.plurals.events, events.toLong()),
                    style = MaterialTheme.typography.bodyMedium, color = if (paused) palette.warn else palette.muted,
                )
            }
        }
        if (patrol?.startedAt != null) {
            Text(formats.clock(LocalNow.current - patrol.startedAt), style = MaterialTheme.typography.headlineMedium)
        } else {
            Icon(painterResource(R.drawable.ic_forward), null, Modifier.size(26.dp))
        }
    }
}
