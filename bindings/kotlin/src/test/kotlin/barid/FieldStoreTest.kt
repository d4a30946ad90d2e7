package barid

import barid.ffi.BaridException
import barid.ffi.FieldStore
import barid.ffi.FieldValue
import barid.ffi.InternalException
import barid.ffi.Phase
import barid.ffi.Query
import barid.ffi.RecordKey
import barid.ffi.RecordObserver
import barid.ffi.StatusObserver
import barid.ffi.StoreConfig
import barid.ffi.SyncStatus
import barid.ffi.generateSeed
import barid.ffi.panicForTest
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import java.util.concurrent.CopyOnWriteArrayList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class FieldStoreTest {
    @TempDir
    lateinit var folder: File

    private fun open(name: String): FieldStore =
        FieldStore.open(StoreConfig(path = File(folder, "$name.db").path, seed = generateSeed()))

    private fun text(value: String) = FieldValue.Text(value)

    @Test
    fun `two phones meet at a real relay and see each other's records and conflicts`() {
        Relay(folder).use { relay ->
            val first = open("first").apply { enrol(relay.code("first"), "first") }
            val second = open("second").apply { enrol(relay.code("second"), "second") }
            val key = first.records().put("event", mapOf("title" to text("شاحنة عالقة")))
            listOf(first, second).forEach { it.sync().start() }
            assertTrue(first.sync().waitUntilSynced(20_000u))
            eventually("the record arrives") { second.records().get(key) != null }
            listOf(first, second).forEach { it.sync().stop() }

            first.records().patch(key, mapOf("title" to text("one"), "note" to text("من الأول")))
            second.records().patch(key, mapOf("title" to text("two"), "priority" to FieldValue.Int(200)))
            listOf(first, second).forEach { it.sync().start() }
            for (phone in listOf(first, second)) {
                eventually("both edits are merged") {
                    val merged = phone.records().get(key)
                    merged?.fields?.containsKey("note") == true && merged.fields.containsKey("priority")
                }
                val conflict = phone.records().conflicts(key).single()
                assertEquals("title", conflict.field)
                assertEquals(setOf(text("one"), text("two")), conflict.values.map { it.value }.toSet())
            }
            assertEquals(3, first.records().history(key).size)
            first.records().patch(key, mapOf("title" to text("both")))
            eventually("the decision arrives") { second.records().conflicts(key).isEmpty() }
            listOf(first, second).forEach { it.sync().stop(); it.close() }
        }
    }

    @Test
    fun `an observer is told of a new record and of the status`() {
        open("observed").use { store ->
            val heard = CopyOnWriteArrayList<RecordKey>()
            val observer = object : RecordObserver {
                override fun changed(keys: List<RecordKey>) { heard.addAll(keys) }
            }
            assertThrows(BaridException.NotEnrolled::class.java) {
                store.records().put("event", mapOf("title" to text("no space yet")))
            }
            Relay(folder).use { relay ->
                store.enrol(relay.code("observed"), "observed")
                val subscription = store.records().observe(observer)
                val phases = CopyOnWriteArrayList<Phase>()
                val watching = store.sync().observe(object : StatusObserver {
                    override fun status(status: SyncStatus) { phases.add(status.phase) }
                })
                val key = store.records().put("event", mapOf("title" to text("seen")))
                eventually("the observer hears of it") { key in heard }
                eventually("the sync is up to date") { Phase.UP_TO_DATE in phases }
                subscription.cancel()
                watching.cancel()
                store.sync().stop()
            }
        }
    }

    @Test
    fun `a panic becomes an exception and the process lives`() {
        val thrown = assertThrows(InternalException::class.java) { panicForTest("on purpose") }
        assertTrue(thrown.message!!.contains("on purpose"))
        open("after").use { assertNotNull(it.deviceId()) }
    }

    @Test
    fun `wrong arguments are typed errors`() {
        assertThrows(BaridException.Invalid::class.java) {
            FieldStore.open(StoreConfig(path = File(folder, "x.db").path, seed = byteArrayOf(1)))
        }
        open("wrong").use { store ->
            assertThrows(BaridException.CodeRejected::class.java) { store.enrol("BARID1-NONSENSE", "x") }
            assertThrows(BaridException.Invalid::class.java) {
                store.records().get(RecordKey("not hex", "event", "not a uuid"))
            }
            assertThrows(BaridException.NotEnrolled::class.java) { store.sync().start() }
            assertThrows(BaridException.Invalid::class.java) {
                store.records().query(Query(text = "x", after = "no token"))
            }
        }
    }

    @Test
    fun `the quick start runs as printed`() {
        Relay(folder).use { relay ->
            val printed = ByteArrayOutputStream()
            val before = System.out
            System.setOut(PrintStream(printed, true, Charsets.UTF_8))
            try {
                quickstart.main(arrayOf(folder.path, relay.code("quick start")))
            } finally {
                System.setOut(before)
            }
            assertEquals("synced: true\nالبئر صالحة للشرب, delivered: true\n", printed.toString(Charsets.UTF_8))
        }
    }

    private fun eventually(claim: String, ask: () -> Boolean) {
        val end = System.nanoTime() + 20_000_000_000
        while (!ask()) {
            check(System.nanoTime() < end) { "not within 20 s: $claim" }
            Thread.sleep(10)
        }
    }
}
