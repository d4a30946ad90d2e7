package barid

import java.awt.image.BufferedImage
import java.io.ByteArrayOutputStream
import java.io.File
import java.util.Random
import javax.imageio.ImageIO
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** What a camera makes: noise, which cannot be made smaller, and a note of where it was taken. */
fun photo(seed: Long, side: Int = 480): ByteArray {
    val random = Random(seed)
    val image = BufferedImage(side, side, BufferedImage.TYPE_INT_RGB)
    for (x in 0 until side) for (y in 0 until side) image.setRGB(x, y, random.nextInt(0x1000000))
    val bytes = ByteArrayOutputStream().also { ImageIO.write(image, "jpeg", it) }.toByteArray()
    val note = "Exif\u0000\u0000 GPS 24.96 N, 10.18 E".toByteArray(Charsets.ISO_8859_1)
    val length = note.size + 2
    val segment = byteArrayOf(0xff.toByte(), 0xe1.toByte(), (length shr 8).toByte(), length.toByte()) + note
    return bytes.copyOfRange(0, 2) + segment + bytes.copyOfRange(2, bytes.size)
}

class AttachmentsTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a picture is kept stripped, with a thumbnail, and offline it waits`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val bytes = photo(1)
            val (key, attachment) = phone.enrolled(relay).use { store ->
                relay.kill()
                val key = store.putTitled("with a picture")
                val attachment = store.attachments.attach(key, bytes)
                assertEquals(attachment, store.attachments.attach(key, bytes), "again changes nothing")
                assertEquals("image/jpeg", attachment.type)
                throws<FieldException.UnsupportedPicture> { store.attachments.attach(key, "no picture".toByteArray()) }
                throws<FieldException.NotFound> { store.attachments.attach(key.copy(id = "00000000-0000-7000-8000-000000000000"), bytes) }
                key to attachment
            }
            phone.open().use { store ->
                val state = store.attachments.observe(key).soon("it is there") { it.isNotEmpty() }.single()
                assertEquals(AttachmentState(attachment, Whereabouts.Local(0), true), state)
                val kept = assertNotNull(store.attachments.open(attachment, Variant.Original)).let { store.attachments.open(attachment, Variant.Original)!! }
                assertEquals(attachment.bytes, kept.size.toLong())
                assertFalse("GPS" in String(kept, Charsets.ISO_8859_1), "where it was taken is not in it")
                assertTrue(store.attachments.open(attachment)!!.size in 500..65_536)
                assertEquals(480, ImageIO.read(kept.inputStream()).width)
                assertEquals(1, store.sync.status.soon("counted") { it.unsentAttachments > 0 }.unsentAttachments)
                val refused = throws<FieldException.UnsentWork> { store.wipe() }
                assertEquals(1, refused.unsent.attachments)
                throws<FieldException.UnsentWork> { store.wipe(WipeMode.ExportFirst(File(folder, "no.barid"))) }
                store.lock.lock()
                throws<FieldException.Locked> { store.attachments.open(attachment) }
                store.attachments.attach(key, photo(2, side = 64))
                store.lock.unlock()
                store.attachments.detach(key, attachment)
                assertEquals(1, store.attachments.of(key).size)
            }
        }
    }

    @Test
    fun `a picture goes on where each cut left it, to the relay and to another phone`(): Unit = story {
        val proxied = Relay(folder)
        val first = Phone(folder, "first").enrolled(proxied)
        val second = Phone(folder, "second").enrolled(proxied)
        // From now on the phones reach the relay through something that cuts.
        proxied.kill()
        proxied.start(listen = Relay.freePort())
        CuttingProxy(proxied.port, proxied.listens, bytesMax = 60_000).use { proxy ->
            val key = first.putTitled("with a picture")
            val attachment = first.attachments.attach(key, photo(3))
            val hurry = CoroutineScope(Dispatchers.Default)
            for (phone in listOf(first, second)) {
                phone.sync.start()
                // Nobody waits for the next try here.
                hurry.launch { phone.sync.status.collect { if (it.phase == Phase.Waiting) phone.sync.request() } }
            }
            first.attachments.observe(key).soon("delivered") { states -> states.all { it.whereabouts == Whereabouts.Delivered } }
            val cuts = proxy.cuts.get()
            assertTrue(cuts >= 2, "$cuts cuts for ${attachment.bytes} bytes")
            assertEquals(0, first.sync.status.soon("nothing is left") { it.unsentAttachments == 0L }.unsentAttachments)

            // The thumbnail comes by itself, the original when it is asked for.
            val seen = second.attachments.observe(key).soon("its thumbnail") { it.singleOrNull()?.hasThumbnail == true }.single()
            assertEquals(attachment, seen.attachment)
            assertArrayEquals(first.attachments.open(attachment), second.attachments.open(attachment))
            assertNull(second.attachments.open(attachment, Variant.Original))
            second.attachments.fetch(attachment)
            second.attachments.observe(key).soon("the original") { states -> states.all { it.whereabouts == Whereabouts.Delivered } }
            val original = first.attachments.open(attachment, Variant.Original)
            assertArrayEquals(original, second.attachments.open(attachment, Variant.Original))
            assertTrue(proxy.cuts.get() > cuts)
            // What was lost in a cut is what lay in a window, not what had arrived.
            val up = proxy.bytesUp.get()
            assertTrue(up < attachment.bytes * 2, "$up bytes went up for ${attachment.bytes}")
            hurry.cancel()
            listOf(first, second).forEach { it.close() }
        }
        proxied.close()
    }
}
