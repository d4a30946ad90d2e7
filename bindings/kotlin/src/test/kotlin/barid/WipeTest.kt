package barid

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class WipeTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a wipe refuses while anything is unsent, and leaves no file when nothing is`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val store = phone.enrolled(relay)
            store.syncAll()
            val key = store.putTitled("one").also { store.sync.pause() }
            store.sync.status.soon("paused") { it.phase == Phase.Paused }
            val other = store.putTitled("two")
            val refused = throws<FieldException.UnsentWork> { store.wipe() }
            assertTrue(refused.unsent.records >= 1)
            assertEquals("unsent_work", refused.code)
            assertEquals("two", store.records.get(other)?.text("title"), "it goes on as it was")
            store.syncAll()
            assertTrue(store.records.get(key)!!.isDelivered)
            val report = store.wipe()
            assertTrue(report.unsent.isNothing)
            assertEquals(emptyList<String>(), phone.files())
            throws<FieldException.Closed> { store.putTitled("late") }
            // The place can be used again.
            phone.open().use { assertEquals(null, it.enrolment.value) }
        }
    }

    @Test
    fun `a wipe puts what is unsent into a bundle first, and the relay takes it in`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val store = phone.enrolled(relay)
            store.syncAll()
            store.sync.pause()
            store.sync.status.soon("paused") { it.phase == Phase.Paused }
            val key = store.putTitled("carried by hand")
            val bundle = File(folder, "unsent.barid").apply { writeText("in the way") }
            throws<FieldException.FileExists> { store.wipe(WipeMode.ExportFirst(bundle)) }
            assertEquals("carried by hand", store.records.get(key)?.text("title"), "it goes on as it was")
            bundle.delete()
            val report = store.wipe(WipeMode.ExportFirst(bundle))
            assertEquals(1, report.unsent.records)
            assertEquals(emptyList<String>(), phone.files())
            relay.import(bundle)
            Phone(folder, "two").enrolled(relay).use { other ->
                other.syncAll()
                other.records.observe(key).soon("it arrived") { it?.text("title") == "carried by hand" }
            }
        }
    }

    @Test
    fun `a phone that is not enrolled is wiped by force alone if it recorded`(): Unit = story {
        val phone = Phone(folder, "one")
        val store = phone.open()
        assertTrue(store.wipe().unsent.isNothing)
        assertEquals(emptyList<String>(), phone.files())
    }

    @Test
    fun `a revoked phone is asked to wipe itself, and seals what is left to its organisation`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val store = phone.enrolled(relay)
            store.putTitled("sent")
            store.syncAll()
            relay.revokeAndAskWipe("one")
            val status = store.sync.status.soon("it is told") { it.isRevoked && it.isWipeAsked }
            assertTrue(status.isWipeAsked)
            store.sync.pause()
            store.sync.status.soon("paused") { it.phase == Phase.Paused }
            store.putTitled("not sent any more")
            val bundle = File(folder, "sealed.barid")
            val report = store.wipe(WipeMode.ExportFirst(bundle))
            assertTrue(report.exported!!.batches > 0)
            assertEquals(emptyList<String>(), phone.files())
            val said = relay.import(bundle)
            assertTrue("quarantine" in said, said)
        }
    }
}
