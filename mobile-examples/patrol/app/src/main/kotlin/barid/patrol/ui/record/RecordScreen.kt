package barid.patrol.ui.record

import androidx.compose.foundation.Image
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ExperimentalLayoutApi
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.size
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
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
import barid.patrol.model.EventDraft
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.ui.parts.BigButton
import barid.patrol.ui.parts.Choice
import barid.patrol.ui.parts.Field
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.PlaceLine
import barid.patrol.ui.parts.Plate
import barid.patrol.ui.parts.Section
import barid.patrol.ui.parts.SignButton
import barid.patrol.ui.parts.Stepper
import barid.patrol.ui.parts.TouchMin
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.imageOf
import barid.patrol.ui.parts.sign
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

/** The third tap records it, as it stands: everything on this page but the type may be left as it is. */
@Composable
fun RecordScreen(state: RecordState, holder: RecordHolder, onBack: () -> Unit) {
    val draft = state.draft ?: return
    Page(stringResource(draft.type.words), onBack, actions = {
        BigButton(stringResource(R.string.record_now), holder::save, Modifier.weight(1f), R.drawable.ic_check, tag = "save")
    }) {
        state.trouble?.let { Notice(stringResource(it.words), R.drawable.ic_warning, weight = Weight.Sos) }
        Plate { PlaceLine(draft.place) }
        if (draft.type.isAboutPeople) {
            PeoplePlate(draft, holder)
            NeedsPlate(draft, holder)
            NoteAndPhotos(draft, holder)
        } else {
            NoteAndPhotos(draft, holder)
            PeoplePlate(draft, holder)
            NeedsPlate(draft, holder)
        }
    }
}

@Composable
private fun PeoplePlate(draft: EventDraft, holder: RecordHolder) = Section(stringResource(R.string.section_persons)) {
    Plate {
        Stepper(
            stringResource(R.string.persons_total), R.drawable.ic_people, draft.people.total,
            { holder.setPeople { withTotal(it) } }, tag = "count-total", large = true,
        )
        Group.entries.forEach { group ->
            Stepper(
                stringResource(group.words), group.sign, draft.people.of(group),
                { holder.setPeople { with(group, it) } }, tag = group.tag(),
            )
        }
    }
}

@OptIn(ExperimentalLayoutApi::class)
@Composable
private fun NeedsPlate(draft: EventDraft, holder: RecordHolder) = Section(stringResource(R.string.section_needs)) {
    FlowRow(horizontalArrangement = Arrangement.spacedBy(10.dp), verticalArrangement = Arrangement.spacedBy(10.dp)) {
        Need.entries.forEach { need ->
            Choice(
                stringResource(need.words), need in draft.needs, { holder.toggle(need) },
                icon = need.sign, tag = "need-${need.name.lowercase()}",
            )
        }
    }
    if (draft.needs.isNotEmpty()) {
        Plate {
            Text(stringResource(R.string.needs_how_many), style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted)
            draft.needs.forEach { (need, count) ->
                Stepper(
                    stringResource(need.words), need.sign, count, { holder.setNeed(need, it) },
                    tag = "need-count-${need.name.lowercase()}",
                )
            }
        }
    }
}

@OptIn(ExperimentalLayoutApi::class)
@Composable
private fun NoteAndPhotos(draft: EventDraft, holder: RecordHolder) {
    Field(
        stringResource(R.string.section_note), draft.note, holder::setNote,
        tag = "note", hint = stringResource(R.string.note_hint), lines = 2,
    )
    BigButton(
        stringResource(R.string.take_photo), holder::takePhoto, icon = R.drawable.ic_camera,
        tone = barid.patrol.ui.parts.Tone.Quiet, minHeight = TouchMin, tag = "photo",
    )
    if (draft.photos.isNotEmpty()) {
        FlowRow(horizontalArrangement = Arrangement.spacedBy(12.dp), verticalArrangement = Arrangement.spacedBy(12.dp)) {
            draft.photos.forEachIndexed { index, photo ->
                Column(horizontalAlignment = Alignment.CenterHorizontally, verticalArrangement = Arrangement.spacedBy(6.dp)) {
                    val picture = remember(photo) { imageOf(photo.thumbnail ?: photo.bytes) }
                    if (picture == null) {
                        Icon(painterResource(R.drawable.ic_camera), null, Modifier.size(96.dp))
                    } else {
                        Image(
                            picture, stringResource(R.string.photo), Modifier.size(96.dp).clip(MaterialTheme.shapes.medium).testTag("photo-$index"),
                            contentScale = ContentScale.Crop,
                        )
                    }
                    SignButton(R.drawable.ic_close, stringResource(R.string.drop_photo), { holder.dropPhoto(index) })
                }
            }
        }
    }
    Row(horizontalArrangement = Arrangement.spacedBy(10.dp), verticalAlignment = Alignment.CenterVertically) {
        Icon(painterResource(R.drawable.ic_lock), null, Modifier.size(22.dp), tint = LocalPalette.current.muted)
        Text(stringResource(R.string.counts_only), style = MaterialTheme.typography.bodyMedium, color = LocalPalette.current.muted)
    }
}
