package barid

import java.io.File
import kotlin.time.Duration.Companion.milliseconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class SyncTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `two phones that were offline merge, and a conflict is shown and decided`(): Unit = story {
        Relay(folder).use { relay ->
            val first = Phone(folder, "first").enrolled(relay)
            val second = Phone(folder, "second").enrolled(relay)
            val key = first.putTitled("شاحنة عالقة")
            first.syncAll()
            second.syncAll()
            assertEquals("شاحنة عالقة", second.records.observe(key).soon("it arrives") { it != null }?.text("title"))
            val phones = listOf(first, second)
            phones.forEach { it.sync.pause() }
            phones.forEach { phone -> phone.sync.status.soon("paused") { it.phase == Phase.Paused } }
            first.records.patch(key) { set("title", "one"); set("note", "من الأول") }
            second.records.patch(key) { set("title", "two"); set("priority", 200) }
            assertFalse(first.sync.awaitSynced(100.milliseconds))
            phones.forEach { it.sync.start() }
            for (phone in phones) {
                val merged = phone.records.observe(key).soon("merged") { it?.text("note") != null && it.int("priority") != null }
                assertEquals(1, merged!!.conflicts)
                assertEquals(listOf(key), phone.history.observeConflicts().soon("shown") { it.isNotEmpty() }.map { it.key })
                val conflict = phone.history.conflicts(key).single()
                assertEquals("title", conflict.field)
                assertEquals(setOf<Value?>(Value.Text("one"), Value.Text("two")), conflict.sides.map { it.value }.toSet())
            }
            val mine = first.history.conflicts(key).single().sides.single { it.device == first.deviceId }
            first.history.resolve(key, "title", mine.value)
            second.history.observeConflicts().soon("decided") { it.isEmpty() }
            assertEquals("one", second.records.get(key)?.text("title"))
            first.syncAll()
            assertTrue(first.records.observe(key).soon("delivered") { it!!.isDelivered }!!.isDelivered)
            phones.forEach { it.close() }
        }
    }

    @Test
    fun `the status says what has arrived and what has not, over restarts of phone and relay`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            phone.open().use { store ->
                assertEquals(Phase.NotEnrolled, store.sync.status.value.phase)
                // It is remembered, and begins with the enrolment.
                store.sync.start()
                throws<FieldException.NotEnrolled> { store.putTitled("no space yet") }
                val enrolled = store.enrol(relay.code("one"), "one")
                assertEquals(enrolled, store.enrolment.value)
                val status = store.sync.status.soon("up to date") { it.phase == Phase.UpToDate }
                assertEquals("ws://127.0.0.1:${relay.port}", status.via)
                assertNotNull(status.lastSuccess)
                assertTrue(status.hasSyncedOnce)
                relay.kill()
                store.putTitled("one")
                with(store.sync.status.soon("no link") { it.error != null && it.unsentRecords == 1L }) {
                    assertNull(via)
                    assertTrue(phase == Phase.Waiting || phase == Phase.Connecting)
                }
            }
            phone.open().use { store ->
                with(store.sync.status.value) {
                    assertEquals(listOf(Phase.Paused, 1L, true), listOf(phase, unsentRecords, hasSyncedOnce))
                    assertNotNull(lastSuccess)
                }
                store.sync.start()
                relay.start()
                store.sync.request()
                assertTrue(store.sync.awaitSynced(PATIENCE))
                assertEquals(0, store.sync.status.soon("sent") { it.unsentRecords == 0L }.unsentRecords)
            }
        }
    }
}
