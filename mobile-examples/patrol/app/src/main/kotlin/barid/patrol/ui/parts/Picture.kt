package barid.patrol.ui.parts

import android.graphics.BitmapFactory
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.graphics.asImageBitmap

/** The picture in these bytes, or none: a damaged photo never takes a screen with it. */
fun imageOf(bytes: ByteArray?): ImageBitmap? =
    bytes?.let { BitmapFactory.decodeByteArray(it, 0, it.size) }?.asImageBitmap()
