package barid.patrol.ui.sync

import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import barid.patrol.R
import barid.patrol.data.Member
import barid.patrol.data.SyncRepository
import barid.patrol.model.SyncPhase
import barid.patrol.model.SyncState
import barid.patrol.ui.Destination
import barid.patrol.ui.home.ArrivalPlate
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette
import androidx.compose.foundation.layout.fillMaxWidth

private val SyncPhase.words: Int
    get() = when (this) {
        SyncPhase.NotEnrolled -> R.string.phase_not_enrolled
        SyncPhase.Paused -> R.string.phase_paused
        SyncPhase.Offline -> R.string.phase_offline
        SyncPhase.Connecting -> R.string.phase_connecting
        SyncPhase.Syncing -> R.string.phase_syncing
        SyncPhase.UpToDate -> R.string.phase_up_to_date
    }

/** What has arrived and what has not, in sentences. There is no percentage: nobody can act on one. */
@Composable
fun SyncScreen(state: SyncState, member: Member?, sync: SyncRepository, onGo: (Destination) -> Unit) {
    val formats = LocalFormats.current
    val now = LocalNow.current
    Page(stringResource(R.string.nav_sync), onBack = null, actions = {
        if (state.phase == SyncPhase.Paused) {
            BigButton(stringResource(R.string.sync_resume), sync::resume, Modifier.weight(1f), R.drawable.ic_play, tag = "sync-resume")
        } else {
            BigButton(stringResource(R.string.sync_pause), sync::pause, Modifier.weight(1f), R.drawable.ic_pause, Tone.Quiet, tag = "sync-pause", stacked = true)
            BigButton(stringResource(R.string.sync_now), sync::request, Modifier.weight(1f), R.drawable.ic_sync, tag = "sync-now", stacked = true)
        }
    }) {
        if (state.revoked) {
            Notice(stringResource(R.string.trouble_revoked), R.drawable.ic_warning, weight = Weight.Sos, detail = stringResource(R.string.revoked_detail))
        }
        ArrivalPlate(state)
        Plate {
            Text(stringResource(state.phase.words), Modifier.testTag("phase"), style = MaterialTheme.typography.titleLarge)
            if (state.phase == SyncPhase.Offline) {
                val next = state.nextTry
                val when_ = if (next == null || next <= now) stringResource(R.string.next_try_soon)
                else stringResource(R.string.next_try, formats.length(next - now))
                Text(when_, style = MaterialTheme.typography.bodyLarge)
            }
            if (state.toFetchBytes > 0) Text(stringResource(R.string.still_to_come, formats.bytes(state.toFetchBytes)), style = MaterialTheme.typography.bodyLarge)
            state.trouble?.let { Text(stringResource(it.words), style = MaterialTheme.typography.bodyLarge, color = LocalPalette.current.warn) }
        }
        if (member != null) {
            Plate {
                Text(member.label, style = MaterialTheme.typography.titleMedium)
                Text(
                    stringResource(R.string.phone_id, member.device),
                    style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted,
                )
            }
        }
        BigButton(
            stringResource(R.string.exchange), { onGo(Destination.Exchange) }, Modifier.fillMaxWidth(), R.drawable.ic_phones, Tone.Quiet,
            tag = "exchange",
        )
        BigButton(
            stringResource(R.string.by_file), { onGo(Destination.Files) }, Modifier.fillMaxWidth(), R.drawable.ic_file, Tone.Quiet, tag = "files",
        )
    }
}
