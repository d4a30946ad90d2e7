package barid.patrol

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.Path
import java.io.ByteArrayOutputStream

/** A drawn photo: nobody's, and the same everywhere. */
object Pictures {
    fun dunes(width: Int, height: Int): ByteArray {
        val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        canvas.drawColor(Color.rgb(244, 214, 160))
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        paint.color = Color.rgb(255, 246, 214)
        canvas.drawCircle(width * 0.7f, height * 0.25f, height * 0.1f, paint)
        listOf(0.45f to Color.rgb(216, 165, 96), 0.6f to Color.rgb(190, 133, 66), 0.78f to Color.rgb(150, 98, 45)).forEach { (top, colour) ->
            paint.color = colour
            val path = Path().apply {
                moveTo(0f, height * top)
                cubicTo(width * 0.3f, height * (top - 0.12f), width * 0.6f, height * (top + 0.14f), width.toFloat(), height * (top - 0.03f))
                lineTo(width.toFloat(), height.toFloat())
                lineTo(0f, height.toFloat())
                close()
            }
            canvas.drawPath(path, paint)
        }
        return ByteArrayOutputStream().also { bitmap.compress(Bitmap.CompressFormat.JPEG, 80, it) }.toByteArray()
    }
}
