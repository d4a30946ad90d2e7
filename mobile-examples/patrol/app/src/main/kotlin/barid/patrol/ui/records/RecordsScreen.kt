package barid.patrol.ui.records

import androidx.compose.foundation.horizontalScroll
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.foundation.rememberScrollState
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.text.style.TextOverflow
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import barid.patrol.ui.Destination
import barid.patrol.ui.parts.Choice
import barid.patrol.ui.parts.Line
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.sign
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

private val Shown.words: Int
    get() = when (this) {
        Shown.All -> R.string.shown_all
        Shown.NotArrived -> R.string.shown_not_arrived
        Shown.Mine -> R.string.shown_mine
        Shown.InConflict -> R.string.shown_in_conflict
    }

@Composable
fun RecordsScreen(state: RecordsState, onShow: (Shown) -> Unit, onGo: (Destination) -> Unit) {
    Page(stringResource(R.string.nav_records), onBack = null, scrolls = false, actions = {
        Row(Modifier.weight(1f).horizontalScroll(rememberScrollState()), horizontalArrangement = Arrangement.spacedBy(10.dp)) {
            Shown.entries.forEach { way ->
                val count = LocalFormats.current.number(state.counts[way] ?: 0)
                Choice("${stringResource(way.words)} $count", way == state.shown, { onShow(way) }, tag = "shown-${way.name}")
            }
        }
    }) {
        LazyColumn(
            Modifier.fillMaxSize().testTag("events"),
            verticalArrangement = Arrangement.spacedBy(10.dp),
            contentPadding = PaddingValues(bottom = 8.dp),
        ) {
            items(state.alerts, key = { it.key.id }) { alert ->
                Notice(
                    stringResource(R.string.type_sos) + " · " + stringResource(alert.state.words), R.drawable.ic_sos, weight = Weight.Sos,
                    detail = LocalFormats.current.age(alert.time, LocalNow.current),
                )
            }
            items(state.events, key = { it.key.id }) { event -> EventLine(event) { onGo(Destination.Detail(event.key)) } }
            if (state.events.isEmpty() && state.alerts.isEmpty()) {
                item {
                    Notice(
                        stringResource(if (state.shown == Shown.All) R.string.records_none else R.string.records_none_such),
                        R.drawable.ic_records,
                    )
                }
            }
        }
    }
}

@Composable
internal fun EventLine(event: Event, onOpen: () -> Unit) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    Line(onOpen, tag = "event-${event.key.id}") {
        Icon(
            painterResource(event.type.sign), null, Modifier.size(38.dp),
            tint = if (event.type.priority >= 300) palette.sos else palette.primary,
        )
        Column(Modifier.weight(1f), verticalArrangement = Arrangement.spacedBy(2.dp)) {
            Text(
                event.title?.ifBlank { null } ?: stringResource(event.type.words),
                style = MaterialTheme.typography.titleMedium, maxLines = 2, overflow = TextOverflow.Ellipsis,
            )
            val people = if (event.people.isEmpty) "" else " · " + formats.plural(R.plurals.people, event.people.total.toLong())
            Text(
                formats.time(event.time, LocalNow.current) + people,
                style = MaterialTheme.typography.bodyMedium, color = palette.muted,
            )
            DeliveryLine(event.delivery)
            if (event.inConflict) SmallLine(R.drawable.ic_conflict, stringResource(R.string.in_conflict), palette.warn)
        }
        Icon(painterResource(R.drawable.ic_forward), null, Modifier.size(22.dp), tint = palette.muted)
    }
}

@Composable
internal fun DeliveryLine(delivery: Delivery) {
    val palette = LocalPalette.current
    val ink = when (delivery) {
        Delivery.OnThisPhone -> palette.warn
        Delivery.Arrived -> palette.good
        Delivery.FromOthers -> palette.muted
    }
    SmallLine(delivery.sign, stringResource(delivery.words), ink)
}

@Composable
internal fun SmallLine(icon: Int, text: String, ink: androidx.compose.ui.graphics.Color) {
    Row(horizontalArrangement = Arrangement.spacedBy(6.dp), verticalAlignment = Alignment.CenterVertically) {
        Icon(painterResource(icon), null, Modifier.size(20.dp), tint = ink)
        Text(text, style = MaterialTheme.typography.bodySmall, color = ink)
    }
}
