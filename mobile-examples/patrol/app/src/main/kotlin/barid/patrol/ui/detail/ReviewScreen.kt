package barid.patrol.ui.detail

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Candidate
import barid.patrol.model.Conflict
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Section
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.fieldWords
import barid.patrol.ui.parts.valueWords
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

/** Both values, who wrote each and when. One is chosen; the other stays in the history. */
@Composable
fun ReviewScreen(state: DetailState, holder: DetailHolder, onBack: () -> Unit) {
    Page(stringResource(R.string.review_conflict), onBack) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Sos) }
        if (state.conflicts.isEmpty()) {
            Notice(stringResource(R.string.conflict_settled), R.drawable.ic_check, Modifier.testTag("settled"), Weight.Good, stringResource(R.string.conflict_settled_detail))
        } else {
            Text(stringResource(R.string.conflict_explain), style = MaterialTheme.typography.bodyLarge)
            state.conflicts.forEach { FieldInConflict(it, holder) }
        }
    }
}

@Composable
private fun FieldInConflict(conflict: Conflict, holder: DetailHolder) = Section(fieldWords(conflict.field)) {
    conflict.candidates.forEachIndexed { index, candidate -> CandidatePlate(conflict.field, index, candidate, holder) }
}

@Composable
private fun CandidatePlate(field: String, index: Int, candidate: Candidate, holder: DetailHolder) = Plate {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    Column(verticalArrangement = Arrangement.spacedBy(4.dp)) {
        Text(valueWords(field, candidate.value), Modifier.testTag("candidate-$index"), style = MaterialTheme.typography.headlineSmall)
        Text(
            (if (candidate.mine) stringResource(R.string.by_this_phone) else stringResource(R.string.by_phone, candidate.device)) +
                " · " + formats.time(candidate.time, LocalNow.current) + " · " + formats.age(candidate.time, LocalNow.current),
            style = MaterialTheme.typography.bodyMedium, color = palette.muted,
        )
        if (candidate.shown) {
            Text(stringResource(R.string.conflict_shown), style = MaterialTheme.typography.bodySmall, color = palette.warn)
        }
    }
    BigButton(
        stringResource(R.string.choose_this), { holder.choose(field, candidate.value) }, Modifier.fillMaxWidth(),
        R.drawable.ic_check, Tone.Quiet, tag = "choose-$index",
    )
}
