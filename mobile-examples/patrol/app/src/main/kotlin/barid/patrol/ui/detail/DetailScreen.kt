package barid.patrol.ui.detail

import androidx.compose.foundation.Image
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ExperimentalLayoutApi
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.layout.width
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.remember
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.draw.clip
import androidx.compose.ui.layout.ContentScale
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Change
import barid.patrol.model.Event
import barid.patrol.model.Group
import barid.patrol.model.Photo
import barid.patrol.model.PhotoState
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Field
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.PlaceLine
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Section
import barid.patrol.ui.parts.Tone
import barid.patrol.ui.parts.TouchMin
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.fieldWords
import barid.patrol.ui.parts.imageOf
import barid.patrol.ui.parts.sign
import barid.patrol.ui.parts.valueWords
import barid.patrol.ui.parts.words
import barid.patrol.ui.records.DeliveryLine
import barid.patrol.ui.theme.LocalPalette

@Composable
fun DetailScreen(state: DetailState, holder: DetailHolder, onReview: () -> Unit, onBack: () -> Unit) {
    val event = state.event
    val note = state.note
    val picture = state.picture
    when {
        picture != null -> PicturePage(picture, holder)
        event == null -> Page(stringResource(R.string.record), onBack) {
            Notice(stringResource(R.string.record_missing), R.drawable.ic_records)
        }
        note != null -> NotePage(note, holder)
        else -> Page(stringResource(event.type.words), onBack, actions = {
            BigButton(
                stringResource(R.string.change_note), { holder.editNote(event.note.orEmpty()) },
                Modifier.weight(1f), R.drawable.ic_note, Tone.Quiet, tag = "edit-note",
            )
        }) {
            state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Sos) }
            if (state.conflicts.isNotEmpty()) ConflictBand(state, onReview)
            Facts(event)
            People(event)
            if (!event.note.isNullOrBlank()) {
                Section(stringResource(R.string.section_note)) { Plate { Text(event.note) } }
            }
            Photos(state.photos, holder)
            if (state.changes.isNotEmpty()) {
                Section(stringResource(R.string.section_history)) { state.changes.forEach { ChangeLine(it) } }
            }
        }
    }
}

@Composable
private fun ConflictBand(state: DetailState, onReview: () -> Unit) {
    Notice(
        LocalFormats.current.plural(R.plurals.fields_in_conflict, state.conflicts.size.toLong()), R.drawable.ic_conflict,
        weight = Weight.Warn, detail = stringResource(R.string.conflict_both_kept),
    )
    BigButton(stringResource(R.string.review_conflict), onReview, Modifier.fillMaxWidth(), R.drawable.ic_conflict, tag = "review")
}

@Composable
private fun Facts(event: Event) = Plate {
    val formats = LocalFormats.current
    event.title?.ifBlank { null }?.let { Text(it, style = MaterialTheme.typography.headlineSmall) }
    Text(
        formats.time(event.time, LocalNow.current) + " · " + formats.age(event.time, LocalNow.current) + " · " +
            stringResource(if (event.mine) R.string.by_this_phone else R.string.by_another_phone),
        style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted,
    )
    DeliveryLine(event.delivery)
    // The age that counts is the one at which it was recorded.
    PlaceLine(event.place, against = event.time)
}

@OptIn(ExperimentalLayoutApi::class)
@Composable
private fun People(event: Event) {
    if (event.people.isEmpty && event.needs.isEmpty()) return
    val formats = LocalFormats.current
    Section(stringResource(R.string.section_persons)) {
        Plate {
            Row(horizontalArrangement = Arrangement.spacedBy(14.dp), verticalAlignment = Alignment.CenterVertically) {
                Text(formats.number(event.people.total), Modifier.testTag("total"), style = MaterialTheme.typography.displayMedium)
                Text(stringResource(R.string.persons_total), style = MaterialTheme.typography.titleMedium)
            }
            FlowRow(horizontalArrangement = Arrangement.spacedBy(18.dp), verticalArrangement = Arrangement.spacedBy(8.dp)) {
                Group.entries.filter { event.people.of(it) > 0 }.forEach { group ->
                    Counted(group.sign, stringResource(group.words), event.people.of(group))
                }
                event.needs.forEach { (need, count) -> Counted(need.sign, stringResource(need.words), count) }
            }
        }
    }
}

@Composable
private fun Counted(icon: Int, words: String, count: Int) =
    Row(horizontalArrangement = Arrangement.spacedBy(6.dp), verticalAlignment = Alignment.CenterVertically) {
        Icon(painterResource(icon), null, Modifier.size(26.dp))
        Text(words, style = MaterialTheme.typography.bodyLarge)
        Text(LocalFormats.current.number(count), style = MaterialTheme.typography.titleLarge)
    }

@OptIn(ExperimentalLayoutApi::class)
@Composable
private fun Photos(photos: List<ShownPhoto>, holder: DetailHolder) {
    Section(stringResource(R.string.section_photos)) {
        FlowRow(horizontalArrangement = Arrangement.spacedBy(12.dp), verticalArrangement = Arrangement.spacedBy(12.dp)) {
            photos.forEach { shown ->
                Surface(
                    onClick = { holder.open(shown.photo) },
                    shape = MaterialTheme.shapes.medium,
                    color = LocalPalette.current.raised,
                    contentColor = LocalPalette.current.ink,
                    modifier = Modifier.width(148.dp).testTag("photo-${shown.photo.hash}"),
                ) {
                    Column(verticalArrangement = Arrangement.spacedBy(4.dp)) {
                        val small = remember(shown.thumbnail) { imageOf(shown.thumbnail) }
                        if (small != null) {
                            Image(
                                small, stringResource(R.string.photo),
                                Modifier.fillMaxWidth().size(148.dp).clip(MaterialTheme.shapes.medium), contentScale = ContentScale.Crop,
                            )
                        } else {
                            Icon(painterResource(R.drawable.ic_camera), stringResource(R.string.photo), Modifier.size(148.dp))
                        }
                        Text(
                            photoWords(shown.photo), style = MaterialTheme.typography.bodySmall,
                            modifier = Modifier.testTag("photo-state"),
                        )
                    }
                }
            }
        }
        BigButton(
            stringResource(R.string.take_photo), holder::takePhoto, icon = R.drawable.ic_camera, tone = Tone.Quiet,
            minHeight = TouchMin, tag = "add-photo",
        )
    }
}

@Composable
private fun photoWords(photo: Photo): String {
    val formats = LocalFormats.current
    val whole = formats.bytes(photo.lengthBytes)
    return when (photo.state) {
        PhotoState.OnThisPhone ->
            if (photo.doneBytes > 0) stringResource(R.string.photo_partly_sent, formats.bytes(photo.doneBytes), whole)
            else stringResource(R.string.photo_only_here, whole)
        PhotoState.Arrived -> stringResource(R.string.photo_arrived)
        PhotoState.Elsewhere -> stringResource(R.string.photo_elsewhere, whole)
        PhotoState.Coming -> stringResource(R.string.photo_coming, formats.bytes(photo.doneBytes), whole)
        PhotoState.Refused -> stringResource(R.string.photo_refused_by_relay)
    }
}

@Composable
private fun ChangeLine(change: Change) = Plate {
    val formats = LocalFormats.current
    Text(
        formats.time(change.time, LocalNow.current) + " · " +
            if (change.mine) stringResource(R.string.by_this_phone) else stringResource(R.string.by_phone, change.device),
        style = MaterialTheme.typography.titleMedium,
    )
    change.fields.entries.take(FIELDS_SHOWN).forEach { (field, value) ->
        Text(
            fieldWords(field) + ": " + valueWords(field, value),
            style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted,
        )
    }
}

/** The first change of a record sets everything; the page above says it already. */
private const val FIELDS_SHOWN = 6

@Composable
private fun NotePage(note: String, holder: DetailHolder) =
    Page(stringResource(R.string.change_note), holder::leaveNote, actions = {
        BigButton(stringResource(R.string.keep), holder::keepNote, Modifier.weight(1f), R.drawable.ic_check, tag = "keep-note")
    }) {
        Field(stringResource(R.string.section_note), note, holder::editNote, tag = "note", lines = 5)
        Text(stringResource(R.string.counts_only), style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted)
    }

@Composable
private fun PicturePage(bytes: ByteArray, holder: DetailHolder) = Page(null, holder::closePicture, scrolls = false) {
    val picture = remember(bytes) { imageOf(bytes) }
    if (picture != null) {
        Image(picture, stringResource(R.string.photo), Modifier.fillMaxWidth().weight(1f), contentScale = ContentScale.Fit)
    } else {
        Notice(stringResource(R.string.trouble_photo_refused), R.drawable.ic_warning)
    }
}
