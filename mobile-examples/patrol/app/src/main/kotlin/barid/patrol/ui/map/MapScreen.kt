package barid.patrol.ui.map

import androidx.compose.foundation.Canvas
import androidx.compose.foundation.background
import androidx.compose.foundation.gestures.detectTapGestures
import androidx.compose.foundation.gestures.detectTransformGestures
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.systemBarsPadding
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.DisposableEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.draw.clipToBounds
import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.graphics.painter.Painter
import androidx.compose.ui.input.pointer.pointerInput
import androidx.compose.ui.layout.onSizeChanged
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.contentDescription
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.rememberTextMeasurer
import androidx.compose.ui.unit.IntSize
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.Event
import barid.patrol.model.EventType
import barid.patrol.model.Place
import barid.patrol.ui.Destination
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.SignButton
import barid.patrol.ui.parts.sign
import barid.patrol.ui.records.EventLine
import barid.patrol.ui.theme.LocalPalette

/** Positions without a map under them: it works where no tile was ever loaded. */
@Composable
fun MapScreen(state: MapState, holder: MapHolder, onGo: (Destination) -> Unit) {
    val palette = LocalPalette.current
    DisposableEffect(holder) {
        holder.look()
        onDispose { holder.leave() }
    }
    var size by remember { mutableStateOf(IntSize.Zero) }
    var moved by remember { mutableStateOf<Projection?>(null) }
    var chosen by remember { mutableStateOf<Event?>(null) }
    val everything = remember(state) {
        state.events.mapNotNull { it.place } + state.alerts.mapNotNull { it.place } +
            state.tracks.flatMap { it.positions } + listOfNotNull(state.me)
    }
    val fitted = Projection.around(everything, size.width.toFloat(), size.height.toFloat())
    // As long as nobody moved the map, it shows all of it, also what arrives.
    val shown = moved ?: fitted
    Column(Modifier.fillMaxSize().background(palette.ground).systemBarsPadding()) {
        Text(
            stringResource(R.string.nav_map),
            Modifier.padding(start = 16.dp, end = 16.dp, top = 14.dp, bottom = 6.dp).semantics { heading() },
            style = MaterialTheme.typography.headlineMedium, color = palette.ink,
        )
        Box(Modifier.weight(1f).fillMaxWidth().background(palette.surface).onSizeChanged { size = it }.clipToBounds()) {
            if (shown == null) {
                Box(Modifier.padding(16.dp)) { Notice(stringResource(R.string.map_empty), R.drawable.ic_map) }
            } else {
                Positions(state, shown, chosen, { moved = it }) { chosen = it }
            }
        }
        Row(
            Modifier.fillMaxWidth().background(palette.surface).padding(horizontal = 12.dp, vertical = 8.dp),
            horizontalArrangement = Arrangement.spacedBy(10.dp), verticalAlignment = Alignment.CenterVertically,
        ) {
            SignButton(R.drawable.ic_minus, stringResource(R.string.map_zoom_out), { moved = shown?.zoomed(0.5f) }, tag = "zoom-out")
            SignButton(R.drawable.ic_add, stringResource(R.string.map_zoom_in), { moved = shown?.zoomed(2f) }, tag = "zoom-in")
            SignButton(R.drawable.ic_fit, stringResource(R.string.map_everything), { moved = null }, tag = "map-all")
            SignButton(
                R.drawable.ic_locate, stringResource(R.string.map_me),
                { state.me?.let { me -> shown?.let { moved = it.copy(lat = me.lat, lon = me.lon) } } }, enabled = state.me != null,
            )
        }
        chosen?.let { event ->
            Box(Modifier.padding(horizontal = 12.dp, vertical = 6.dp)) { EventLine(event) { onGo(Destination.Detail(event.key)) } }
        }
    }
}

@Composable
private fun Positions(
    state: MapState,
    projection: Projection,
    chosen: Event?,
    onMoved: (Projection) -> Unit,
    onChosen: (Event?) -> Unit,
) {
    val palette = LocalPalette.current
    val formats = LocalFormats.current
    val now = LocalNow.current
    val signs: Map<EventType, Painter> = EventType.entries.associateWith { painterResource(it.sign) }
    val sos = painterResource(R.drawable.ic_sos)
    val measurer = rememberTextMeasurer()
    val north = stringResource(R.string.map_north)
    val says = stringResource(R.string.map_says, formats.plural(R.plurals.events, state.events.size.toLong()))
    val current by androidx.compose.runtime.rememberUpdatedState(projection)
    val typography = MaterialTheme.typography
    Canvas(
        Modifier.fillMaxSize().testTag("map").semantics { contentDescription = says }
            .pointerInput(Unit) {
                detectTransformGestures { _, pan, zoom, _ -> onMoved(current.moved(pan.x, pan.y).zoomed(zoom)) }
            }
            .pointerInput(state.events) {
                detectTapGestures { at ->
                    val near = state.events.minByOrNull { (current.at(it.place!!, this.size.width, this.size.height) - at).getDistance() }
                    onChosen(near?.takeIf { (current.at(it.place!!, this.size.width, this.size.height) - at).getDistance() < 36.dp.toPx() })
                }
            },
    ) {
        val drawing = MapDrawing(this, projection, palette, measurer, typography)
        drawing.grid()
        state.tracks.forEach { drawing.track(it) }
        state.events.sortedBy { it.time }.forEach { drawing.event(it, signs.getValue(it.type), it == chosen) }
        state.alerts.forEach { drawing.alert(it.place!!, sos) }
        state.me?.let { drawing.me(it, old = now - it.time > barid.patrol.ui.parts.PLACE_OLD_MS) }
        drawing.scale(formats::distance)
        drawing.north(north)
    }
}

internal fun Projection.at(place: Place, width: Int, height: Int): Offset = Offset(width / 2f + x(place), height / 2f + y(place))
