package barid.patrol.ui.parts

import android.graphics.Bitmap
import androidx.compose.foundation.Image
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.heightIn
import androidx.compose.material3.MaterialTheme
import androidx.compose.runtime.Composable
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.runtime.remember
import androidx.compose.ui.Modifier
import androidx.compose.ui.draw.clip
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.graphics.asImageBitmap
import androidx.compose.ui.layout.ContentScale
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.unit.dp
import barid.patrol.data.Frame
import kotlinx.coroutines.flow.StateFlow

/** The very picture in which the code is looked for, so that one sees what the phone sees. */
@Composable
fun FramePicture(frames: StateFlow<Frame?>) {
    val frame by frames.collectAsState()
    val picture = remember(frame) { frame?.let(::pictureOf) } ?: return
    Image(
        picture, contentDescription = null, Modifier.fillMaxWidth().heightIn(max = 300.dp).clip(MaterialTheme.shapes.large).testTag("frame"),
        contentScale = ContentScale.Crop,
    )
}

/** Every fourth pixel, upright: enough to aim by. */
internal fun pictureOf(frame: Frame): ImageBitmap {
    val width = frame.width / STEP
    val height = frame.height / STEP
    val turned = frame.rotation % 180 != 0
    val across = if (turned) height else width
    val down = if (turned) width else height
    val pixels = IntArray(across * down)
    for (y in 0 until height) for (x in 0 until width) {
        val grey = frame.luma[y * STEP * frame.width + x * STEP].toInt() and 0xFF
        val (px, py) = when (frame.rotation) {
            90 -> height - 1 - y to x
            180 -> width - 1 - x to height - 1 - y
            270 -> y to width - 1 - x
            else -> x to y
        }
        pixels[py * across + px] = (0xFF shl 24) or (grey * 0x010101)
    }
    return Bitmap.createBitmap(pixels, across, down, Bitmap.Config.ARGB_8888).asImageBitmap()
}

private const val STEP = 4
