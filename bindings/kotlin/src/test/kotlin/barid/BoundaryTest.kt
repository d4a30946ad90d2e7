package barid

import barid.ffi.Cancel
import barid.ffi.InternalException
import barid.ffi.panicForTest
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import java.lang.reflect.Member
import kotlinx.coroutines.flow.first
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class BoundaryTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a panic becomes an exception and the process lives`(): Unit = story {
        val thrown = assertThrows(InternalException::class.java) { panicForTest("on purpose") }
        assertTrue(thrown.message!!.contains("on purpose"))
        val told = throws<FieldException.Internal> { translated { panicForTest("on purpose") } }
        assertEquals("internal", told.code)
        Phone(folder, "after").open().use { assertEquals(64, it.deviceId.length) }
    }

    @Test
    fun `mistakes are typed errors with stable codes`(): Unit = story {
        throws<FieldException.Invalid> { FieldStore.open(StoreConfig(File(folder, "x.db"), byteArrayOf(1))) }
        val phone = Phone(folder, "one")
        phone.open().use { store ->
            assertEquals("in_use", throws<FieldException.InUse> { phone.open() }.code)
            assertEquals("code_rejected", throws<FieldException.CodeRejected> { store.enrol("BARID1-NONSENSE", "x") }.code)
            assertEquals("not_enrolled", throws<FieldException.NotEnrolled> { store.putTitled("no space") }.code)
            throws<FieldException.Invalid> { store.records.get(RecordKey("not hex", "event", "not a uuid")) }
            throws<FieldException.Invalid> { store.records.query(Query(after = "no token")) }
            throws<FieldException.Invalid> { store.records.query(Query(limit = 0)) }
        }
        val other = FieldStore.newSecret()
        throws<FieldException.Invalid> { FieldStore.open(StoreConfig(phone.database, other)) }
        // This library has no encryption: a key is refused and not ignored.
        val keyed = StoreConfig(phone.database, other, databaseKey = ByteArray(32))
        assertEquals("key_refused", throws<FieldException.KeyRefused> { FieldStore.open(keyed) }.code)
    }

    @Test
    fun `a damaged database is kept, and brought back`(): Unit = story {
        Relay(folder).use { relay ->
            val secret = FieldStore.newSecret()
            val config = StoreConfig(File(folder, "one.db"), secret)
            val key = FieldStore.open(config).use { store ->
                store.enrol(relay.code("one"), "one")
                store.putTitled("kept")
            }
            val bytes = config.path.readBytes().also { it.fill(0, 0, 100) }
            config.path.writeBytes(bytes)
            val damaged = throws<FieldException.Damaged> { FieldStore.open(config).close() }
            val report = FieldStore.recover(File(damaged.keptAs), config)
            assertEquals(1, report.changes)
            FieldStore.open(config).use { assertEquals("kept", it.records.get(key)?.text("title")) }
        }
    }

    @Test
    fun `ten thousand objects that are made and dropped leak nothing`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                val key = store.putTitled("one")
                suspend fun round(count: Int) = repeat(count) {
                    store.records.observe(key).first()
                    store.peers.invite().core.close()
                    Cancel().close()
                }
                round(3_000)
                val before = used()
                round(10_000)
                val after = used()
                // A thread, file or watcher that stayed for each would be ten thousand.
                assertTrue(after.threads <= before.threads + 20, "$before, $after")
                assertTrue(after.files <= before.files + 20, "$before, $after")
                assertTrue(after.residentKiB <= before.residentKiB + 60_000, "$before, $after")
            }
            val before = used()
            repeat(30) { Phone(folder, "many$it").open().close() }
            assertTrue(used().files <= before.files + 5, "$before, ${used()}")
        }
    }

    private data class Used(val threads: Int, val files: Int, val residentKiB: Long)

    private fun used(): Used {
        System.gc()
        val status = File("/proc/self/status").readLines()
        fun number(name: String) = status.first { it.startsWith(name) }.filter { it.isDigit() }.toLong()
        return Used(number("Threads:").toInt(), File("/proc/self/fd").list().orEmpty().size, number("VmRSS:"))
    }

    @Test
    fun `no generated type is in a public signature`() {
        val classes = File("target/classes/barid").listFiles().orEmpty()
            .filter { it.extension == "class" && !Regex("\\$\\d").containsMatchIn(it.name) }
            .map { Class.forName("barid.${it.nameWithoutExtension}") }
            .filter { isPublic(it.modifiers) && it.simpleName !in notShown }
        assertTrue(classes.size > 40)
        // What is internal has a mangled name; a constructor has none.
        val shown = classes.flatMap { type ->
            val constructors = type.declaredConstructors.takeIf { type.simpleName !in madeHere }.orEmpty()
            (type.declaredMethods.filter { '\$' !in it.name } + constructors + type.declaredFields)
                .filter { it is Member && isPublic(it.modifiers) && !it.isSynthetic }
                .map { "$it" }
        }
        assertTrue(shown.size > 400)
        assertEquals(emptyList<String>(), shown.filter { "barid.ffi" in it })
    }

    private fun isPublic(modifiers: Int): Boolean = java.lang.reflect.Modifier.isPublic(modifiers)

    /** Internal classes, and files of internal functions: the JVM knows no such thing. */
    private val notShown = setOf("CallsKt", "TranslateKt", "RecordsKt", "Live", "Commit", "FieldStoreKt")

    /** Classes whose constructors are internal. */
    private val madeHere = setOf(
        "Records", "History", "Sync", "Tracks", "Peers", "Bundles", "Lock", "Invitation", "Attachments", "WriteGroup",
    )

    @Test
    fun `the quick start runs as printed`(): Unit = story {
        val source = File("../../mobile-examples/quickstart/kotlin/Quickstart.kt").readLines()
        assertTrue(source.count { it.isNotBlank() } <= 15 + 1, "fifteen lines and the package")
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
}
