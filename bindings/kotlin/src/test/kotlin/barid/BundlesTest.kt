package barid

import java.io.File
import java.util.concurrent.CopyOnWriteArrayList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class BundlesTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `records travel in a file to another phone and to the relay`(): Unit = story {
        Relay(folder).use { relay ->
            val first = Phone(folder, "first").enrolled(relay)
            val second = Phone(folder, "second").enrolled(relay)
            listOf(first, second).forEach { it.syncAll(); it.sync.pause() }
            listOf(first, second).forEach { phone -> phone.sync.status.soon("paused") { it.phase == Phase.Paused } }
            val key = first.putTitled("by stick")

            val file = File(folder, "to-second.barid")
            val heard = CopyOnWriteArrayList<Pair<Long, Long>>()
            val report = first.bundles.export(file, Recipient.Device(second.deviceId)) { done, total -> heard += done to total }
            assertTrue(report.batches > 0 && !report.isPartial)
            assertEquals(report.bytes to report.bytes, heard.last())
            throws<FieldException.FileExists> { first.bundles.export(file) }
            throws<FieldException.BundleRejected> { first.bundles.import(file) }
            val taken = second.bundles.import(file)
            assertEquals(listOf(report.batches, 0L, null), listOf(taken.total, taken.missing, taken.damage))
            assertEquals("by stick", second.records.get(key)?.text("title"))
            assertEquals(0, second.bundles.import(file).taken, "twice does no harm")

            val torn = File(folder, "torn.barid").apply { writeBytes(file.readBytes().dropLast(20).toByteArray()) }
            assertNotNull(second.bundles.import(torn).damage)
            throws<FieldException.BundleRejected> { second.bundles.import(File(folder, "password")) }
            throws<FieldException.FileFailed> { second.bundles.import(File(folder, "nothing")) }

            val toRelay = File(folder, "to-relay.barid")
            second.bundles.export(toRelay)
            relay.import(toRelay)
            first.syncAll()
            assertTrue(first.records.get(key)!!.isDelivered)
            listOf(first, second).forEach { it.close() }
        }
    }
}
