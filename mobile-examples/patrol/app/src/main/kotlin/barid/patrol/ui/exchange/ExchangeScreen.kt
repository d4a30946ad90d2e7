package barid.patrol.ui.exchange

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ColumnScope
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.data.Passed
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.CodePicture
import barid.patrol.ui.parts.Field
import barid.patrol.ui.parts.FramePicture
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.words

@Composable
fun ExchangeScreen(state: ExchangeState, holder: ExchangeHolder, onBack: () -> Unit) {
    val leave = { holder.stop(); onBack() }
    Page(stringResource(R.string.exchange), leave, actions = {
        when (state.step) {
            ExchangeStep.Choose -> {
                BigButton(stringResource(R.string.exchange_read), holder::read, Modifier.weight(1f), R.drawable.ic_camera, Tone.Quiet, tag = "exchange-read", stacked = true)
                BigButton(stringResource(R.string.exchange_show), holder::show, Modifier.weight(1f), R.drawable.ic_code, tag = "exchange-show", stacked = true)
            }
            ExchangeStep.Done ->
                BigButton(stringResource(R.string.done), leave, Modifier.weight(1f), R.drawable.ic_check, tag = "exchange-done")
            else ->
                BigButton(stringResource(R.string.stop), holder::stop, Modifier.weight(1f), R.drawable.ic_close, Tone.Quiet, tag = "exchange-stop")
        }
    }) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Warn) }
        when (state.step) {
            ExchangeStep.Choose -> ChooseWay()
            ExchangeStep.Showing -> ShowCode(state.code)
            ExchangeStep.Reading -> ReadCode(state, holder)
            ExchangeStep.UnderWay -> Progress(R.string.exchange_under_way, state.passed)
            ExchangeStep.Done -> Finished(state.passed)
        }
    }
}

@Composable
private fun ColumnScope.ChooseWay() {
    Text(stringResource(R.string.exchange_explain), style = MaterialTheme.typography.bodyLarge)
    Notice(stringResource(R.string.exchange_network), R.drawable.ic_phones, detail = stringResource(R.string.exchange_network_detail))
}

@Composable
private fun ColumnScope.ShowCode(code: String?) {
    if (code == null) {
        Notice(stringResource(R.string.exchange_no_network), R.drawable.ic_warning, weight = Weight.Warn, detail = stringResource(R.string.exchange_network_detail))
    } else {
        Text(stringResource(R.string.exchange_let_read), style = MaterialTheme.typography.titleLarge)
        CodePicture(code, stringResource(R.string.exchange_code))
        Text(code, Modifier.testTag("exchange-code"), style = MaterialTheme.typography.bodyMedium)
    }
}

@Composable
private fun ColumnScope.ReadCode(state: ExchangeState, holder: ExchangeHolder) {
    Notice(stringResource(R.string.scan_hold), R.drawable.ic_camera)
    FramePicture(holder.seen)
    Field(stringResource(R.string.exchange_or_type), state.typed, holder::type, tag = "exchange-typed", lines = 2)
    BigButton(
        stringResource(R.string.exchange_join), holder::join, Modifier.fillMaxWidth(), R.drawable.ic_phones,
        enabled = state.typed.isNotBlank(), tag = "exchange-join",
    )
}

@Composable
private fun Progress(words: Int, passed: Passed) = Plate {
    Text(stringResource(words), style = MaterialTheme.typography.titleLarge)
    Counts(passed)
}

@Composable
private fun Finished(passed: Passed) = Plate(Modifier.testTag("exchanged")) {
    Text(stringResource(R.string.exchange_finished), style = MaterialTheme.typography.titleLarge)
    Counts(passed)
}

@Composable
private fun Counts(passed: Passed) {
    Row(horizontalArrangement = Arrangement.spacedBy(28.dp), verticalAlignment = Alignment.CenterVertically) {
        Count(passed.given, R.string.passed_given)
        Count(passed.taken, R.string.passed_taken)
    }
}

@Composable
private fun Count(count: Long, words: Int) = Column {
    Text(LocalFormats.current.number(count), style = MaterialTheme.typography.displayMedium)
    Text(stringResource(words), style = MaterialTheme.typography.titleMedium)
}

/** By file: a memory stick or another app carries it. */
@Composable
fun FilesScreen(state: ExchangeState, holder: ExchangeHolder, onExport: () -> Unit, onImport: () -> Unit, onBack: () -> Unit) {
    val leave = { holder.stop(); onBack() }
    Page(stringResource(R.string.by_file), leave, actions = {
        BigButton(stringResource(R.string.file_import), onImport, Modifier.weight(1f), R.drawable.ic_from_others, Tone.Quiet, tag = "file-import", stacked = true)
        BigButton(stringResource(R.string.file_export), onExport, Modifier.weight(1f), R.drawable.ic_file, tag = "file-export", stacked = true)
    }) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Warn) }
        Text(stringResource(R.string.file_explain), style = MaterialTheme.typography.bodyLarge)
        Notice(stringResource(R.string.file_sealed), R.drawable.ic_lock, detail = stringResource(R.string.file_sealed_detail))
        when (state.step) {
            ExchangeStep.UnderWay -> Progress(R.string.file_under_way, state.passed)
            ExchangeStep.Done -> Plate(Modifier.testTag("file-done")) {
                Text(stringResource(R.string.file_finished), style = MaterialTheme.typography.titleLarge)
                // A file goes one way: given or taken, and that is said.
                if (state.passed.given > 0) Count(state.passed.given, R.string.passed_given)
                if (state.passed.taken > 0) Count(state.passed.taken, R.string.passed_taken)
                if (state.passed == Passed()) Text(stringResource(R.string.file_nothing_new), style = MaterialTheme.typography.bodyLarge)
            }
            else -> Unit
        }
    }
}
