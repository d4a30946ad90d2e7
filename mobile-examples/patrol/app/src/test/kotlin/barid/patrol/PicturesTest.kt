package barid.patrol

import android.app.Application
import android.graphics.BitmapFactory
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [34], application = Application::class)
class PicturesTest {
    @Test fun `a large photo is made small, and its thumbnail smaller`() {
        val photo = barid.patrol.device.Pictures.prepare(Pictures.dunes(3000, 2250))!!
        val picture = BitmapFactory.decodeByteArray(photo.bytes, 0, photo.bytes.size)
        val small = BitmapFactory.decodeByteArray(photo.thumbnail, 0, photo.thumbnail!!.size)
        assertEquals(2048, picture.width)
        assertEquals(1536, picture.height)
        assertEquals(320, small.width)
        assertTrue(photo.thumbnail!!.size < 40_000)
    }

    @Test fun `what is no picture is not taken`() {
        assertNull(barid.patrol.device.Pictures.prepare(ByteArray(200) { it.toByte() }))
    }
}
