package barid.patrol.ui.map

import androidx.compose.material3.Typography
import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.geometry.Size
import androidx.compose.ui.graphics.ColorFilter
import androidx.compose.ui.graphics.Path
import androidx.compose.ui.graphics.PathEffect
import androidx.compose.ui.graphics.StrokeCap
import androidx.compose.ui.graphics.StrokeJoin
import androidx.compose.ui.graphics.drawscope.DrawScope
import androidx.compose.ui.graphics.drawscope.Stroke
import androidx.compose.ui.graphics.drawscope.translate
import androidx.compose.ui.graphics.painter.Painter
import androidx.compose.ui.text.TextMeasurer
import androidx.compose.ui.text.drawText
import androidx.compose.ui.unit.dp
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import barid.patrol.model.Place
import barid.patrol.model.Track
import barid.patrol.ui.theme.Palette

/** Draws a map's parts. Mine are round, those of others are square: shapes, not only colours. */
internal class MapDrawing(
    private val canvas: DrawScope,
    private val projection: Projection,
    private val palette: Palette,
    private val measurer: TextMeasurer,
    private val typography: Typography,
) {
    private fun at(place: Place): Offset =
        Offset(canvas.size.width / 2 + projection.x(place), canvas.size.height / 2 + projection.y(place))

    /** Lines at the scale's distance, so that a length can be seen without measuring. */
    fun grid() = with(canvas) {
        val step = projection.scale(120.dp.toPx()).second
        var x = size.width / 2 % step
        while (x < size.width) {
            drawLine(palette.line, Offset(x, 0f), Offset(x, size.height), 1.dp.toPx())
            x += step
        }
        var y = size.height / 2 % step
        while (y < size.height) {
            drawLine(palette.line, Offset(0f, y), Offset(size.width, y), 1.dp.toPx())
            y += step
        }
    }

    /** A whole line where positions were recorded; a dashed one across a gap, where the way is not known. */
    fun track(track: Track) = with(canvas) {
        track.positions.zipWithNext().forEach { (from, to) ->
            val gap = track.gaps.any { it.from < to.time && it.to > from.time }
            drawLine(
                if (gap) palette.edge else palette.primary, at(from), at(to), (if (gap) 2.5.dp else 4.dp).toPx(), StrokeCap.Round,
                pathEffect = if (gap) PathEffect.dashPathEffect(floatArrayOf(4.dp.toPx(), 8.dp.toPx())) else null,
            )
        }
    }

    fun event(event: Event, sign: Painter, chosen: Boolean) = with(canvas) {
        val middle = at(event.place ?: return@with)
        val radius = (if (chosen) 23.dp else 18.dp).toPx()
        val lives = event.type.priority >= 300
        val ground = if (lives) palette.sosSoft else palette.raised
        val edge = if (lives) palette.sos else palette.primary
        val line = Stroke((if (chosen) 4.dp else 2.5.dp).toPx())
        if (event.mine) {
            drawCircle(ground, radius, middle)
            drawCircle(edge, radius, middle, style = line)
        } else {
            val corner = middle - Offset(radius, radius)
            drawRect(ground, corner, Size(radius * 2, radius * 2))
            drawRect(edge, corner, Size(radius * 2, radius * 2), style = line)
        }
        mark(sign, middle, radius * 1.25f, if (lives) palette.onSosSoft else palette.ink)
        if (event.delivery == Delivery.OnThisPhone) {
            drawCircle(palette.warn, 5.dp.toPx(), middle + Offset(radius * 0.8f, -radius * 0.8f))
        }
    }

    fun alert(place: Place, sign: Painter) = with(canvas) {
        val middle = at(place)
        drawCircle(palette.sos, 24.dp.toPx(), middle)
        mark(sign, middle, 34.dp.toPx(), palette.onSos)
    }

    /** Where this phone is, in a circle as wide as it may be wrong. */
    fun me(place: Place, old: Boolean) = with(canvas) {
        val middle = at(place)
        val colour = if (old) palette.warn else palette.good
        place.accuracyM?.let { accuracy ->
            val radius = (accuracy / projection.metresPerPixel).toFloat()
            drawCircle(colour.copy(alpha = 0.15f), radius, middle)
        }
        drawCircle(palette.raised, 11.dp.toPx(), middle)
        drawCircle(colour, 8.dp.toPx(), middle)
    }

    fun scale(words: (Double) -> String) = with(canvas) {
        val (metres, length) = projection.scale(130.dp.toPx())
        val text = measurer.measure(words(metres), typography.titleMedium.copy(color = palette.ink))
        val base = Offset(14.dp.toPx(), size.height - 16.dp.toPx())
        val tick = Offset(0f, 8.dp.toPx())
        val width = 3.dp.toPx()
        drawRect(
            palette.surface.copy(alpha = 0.85f), Offset(6.dp.toPx(), base.y - text.size.height - 14.dp.toPx()),
            Size(maxOf(length, text.size.width.toFloat()) + 16.dp.toPx(), text.size.height + 22.dp.toPx()),
        )
        drawLine(palette.ink, base, base + Offset(length, 0f), width)
        drawLine(palette.ink, base, base - tick, width)
        drawLine(palette.ink, base + Offset(length, 0f), base + Offset(length, 0f) - tick, width)
        drawText(text, topLeft = base - Offset(0f, text.size.height + 8.dp.toPx()))
    }

    fun north(letter: String) = with(canvas) {
        val text = measurer.measure(letter, typography.titleMedium.copy(color = palette.ink))
        val top = Offset(size.width - 34.dp.toPx(), 14.dp.toPx())
        val arrow = Path().apply {
            moveTo(top.x, top.y)
            lineTo(top.x + 11.dp.toPx(), top.y + 30.dp.toPx())
            lineTo(top.x, top.y + 22.dp.toPx())
            lineTo(top.x - 11.dp.toPx(), top.y + 30.dp.toPx())
            close()
        }
        drawPath(arrow, palette.ink)
        drawPath(arrow, palette.surface, style = Stroke(1.dp.toPx(), join = StrokeJoin.Round))
        drawText(text, topLeft = Offset(top.x - text.size.width / 2f, top.y + 32.dp.toPx()))
    }

    private fun mark(sign: Painter, middle: Offset, side: Float, colour: androidx.compose.ui.graphics.Color) = with(canvas) {
        translate(middle.x - side / 2, middle.y - side / 2) {
            with(sign) { draw(Size(side, side), colorFilter = ColorFilter.tint(colour)) }
        }
    }
}
