package barid.patrol.device

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import barid.patrol.model.NewPhoto
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.IOException

/**
 * Makes a photo small enough for a desert's links: at most [SIDE_MAX] pixels long, upright, JPEG. Drawn anew,
 * it holds nothing but the picture; the core strips whatever comes all the same.
 */
object Pictures {
    const val SIDE_MAX = 2048
    const val THUMBNAIL_SIDE = 320

    /** Nothing if these bytes are not a picture. */
    fun prepare(bytes: ByteArray): NewPhoto? {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(bytes, 0, bytes.size, bounds)
        val side = maxOf(bounds.outWidth, bounds.outHeight)
        if (side <= 0) return null
        val options = BitmapFactory.Options().apply { inSampleSize = (side / SIDE_MAX).coerceAtLeast(1).takeHighestOneBit() }
        val decoded = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options) ?: return null
        val picture = upright(decoded, bytes)
        return NewPhoto(jpeg(scaled(picture, SIDE_MAX), 85), jpeg(scaled(picture, THUMBNAIL_SIDE), 70))
    }

    private fun upright(bitmap: Bitmap, bytes: ByteArray): Bitmap {
        val orientation = try {
            ExifInterface(ByteArrayInputStream(bytes)).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        } catch (_: IOException) {
            ExifInterface.ORIENTATION_NORMAL
        }
        val matrix = Matrix()
        when (orientation) {
            ExifInterface.ORIENTATION_ROTATE_90 -> matrix.postRotate(90f)
            ExifInterface.ORIENTATION_ROTATE_180 -> matrix.postRotate(180f)
            ExifInterface.ORIENTATION_ROTATE_270 -> matrix.postRotate(270f)
            else -> return bitmap
        }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, true)
    }

    private fun scaled(bitmap: Bitmap, most: Int): Bitmap {
        val side = maxOf(bitmap.width, bitmap.height)
        if (side <= most) return bitmap
        val factor = most.toFloat() / side
        return Bitmap.createScaledBitmap(
            bitmap, (bitmap.width * factor).toInt().coerceAtLeast(1), (bitmap.height * factor).toInt().coerceAtLeast(1), true,
        )
    }

    private fun jpeg(bitmap: Bitmap, quality: Int): ByteArray =
        ByteArrayOutputStream().also { bitmap.compress(Bitmap.CompressFormat.JPEG, quality, it) }.toByteArray()
}
