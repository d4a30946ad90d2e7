package barid

import java.io.File
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.time.Clock
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The guide, README.md: each of its snippets is a piece of this file, and all of them run here. */
class GuideTest {
    @TempDir
    lateinit var folder: File

    private val shown = CopyOnWriteArrayList<String>()

    private fun show(what: Any?) {
        shown += "$what"
    }

    @Test
    fun `every snippet of the guide is a piece of this file, in the same order`() {
        val pieces = mutableListOf<String>()
        var piece: MutableList<String>? = null
        for (line in File("src/test/kotlin/barid/GuideTest.kt").readLines()) {
            when (line.trim()) {
                "// guide" -> piece = mutableListOf()
                "// end" -> {
                    pieces += piece!!.joinToString("\n").trimIndent()
                    piece = null
                }
                else -> piece?.add(line)
            }
        }
        val snippets = Regex("```kotlin\n(.*?)\n```", RegexOption.DOT_MATCHES_ALL)
            .findAll(File("README.md").readText()).map { it.groupValues[1] }.toList()
        assertEquals(pieces.joinToString("\n\n"), snippets.joinToString("\n\n"))
        assertTrue(pieces.size >= 14)
    }

    @Test
    fun `every step of the guide works as it is written`(): Unit = story {
        Relay(folder).use { relay ->
            val store = open(folder)
            val other = Phone(folder, "other").enrolled(relay)
            enrol(store, relay.code("Patrol 3"))
            val key = record(store)
            observe(store)
            sync(store)
            other.syncAll()
            pictures(store, key, photo(7, side = 64))
            conflicts(store, other, key)
            exchange(store, other)
            bundles(store)
            lock(store)
            errors(store)
            wipe(store)
            other.close()
            assertTrue(shown.containsAll(listOf("true", "البئر صالحة للشرب")), "$shown")
        }
    }

    private suspend fun open(folder: File): FieldStore {
        // guide
        val secretFile = File(folder, "device.secret")
        if (!secretFile.exists()) secretFile.writeBytes(FieldStore.newSecret())

        val store = FieldStore.open(
            StoreConfig(
                path = File(folder, "field.db"),
                secret = secretFile.readBytes(),
                kinds = listOf(KindDeclaration("checkpoint", captured = listOf("plate"), editable = listOf("state"), state = "state")),
                lease = 30.days,
            ),
        )
        // end
        return store
    }

    private suspend fun enrol(store: FieldStore, code: String) {
        // guide
        if (store.enrolment.value == null) store.enrol(code, label = "Patrol 3")
        // end
    }

    private suspend fun record(store: FieldStore): RecordKey {
        // guide
        val key = store.records.put(
            Event(
                time = Clock.System.now(),
                type = "water_point_status",
                fix = Fix(Place(24.96, 10.18), accuracyMetres = 8.0),
                title = "البئر صالحة للشرب",
                people = PersonCounts(total = 12),
            ),
        )
        store.records.put("checkpoint") { set("plate", "5-12345"); set("state", "open") }
        store.records.patch(key) { set("note", "المضخة تعمل") }
        // end
        // guide
        store.records.write {
            val patrol = put(Patrol(state = "active", title = "الحدود الشرقية"))
            patch(key) { set("patrol", patrol.id) }
        }
        // end
        // guide
        store.records.sos(Alert(Clock.System.now(), Fix(Place(24.96, 10.18))))
        // end
        return key
    }

    private suspend fun observe(store: FieldStore): Unit = coroutineScope {
        // guide
        val events = store.records.observe(Query(kind = Kinds.EVENT))
        val watching = launch {
            events.collect { list -> list.forEach { show(it.text("title")) } }
        }
        // end
        events.first()
        eventually("it is shown") { "البئر صالحة للشرب" in shown }
        // guide
        val page = store.records.query(Query(text = "بئر", limit = 20))
        val next = page.next?.let { store.records.query(Query(text = "بئر", limit = 20, after = it)) }
        // end
        assertEquals(1 to null, page.records.size to next)
        watching.cancel()
    }

    private suspend fun sync(store: FieldStore): Unit = coroutineScope {
        // guide
        store.sync.start()
        val showing = launch {
            store.sync.status.collect { status ->
                show("${status.phase}: ${status.unsentRecords} records and ${status.unsentAttachments} pictures to send")
            }
        }
        val isSynced = store.sync.awaitSynced(30.seconds)
        // end
        show(isSynced)
        showing.cancel()
    }

    private suspend fun pictures(store: FieldStore, key: RecordKey, jpeg: ByteArray): Unit = coroutineScope {
        // guide
        val attachment = store.attachments.attach(key, jpeg)
        val watching = launch {
            store.attachments.observe(key).collect { list ->
                for ((picture, whereabouts) in list) show("${picture.type}: $whereabouts")
            }
        }
        val thumbnail = store.attachments.open(attachment)
        val original = store.attachments.open(attachment, Variant.Original)
        if (original == null) store.attachments.fetch(attachment)
        // end
        assertTrue(thumbnail!!.isNotEmpty() && original!!.isNotEmpty())
        eventually("it is shown") { shown.any { it.startsWith("image/jpeg") } }
        watching.cancel()
    }

    private suspend fun conflicts(store: FieldStore, other: FieldStore, key: RecordKey) {
        listOf(store, other).forEach { it.sync.pause() }
        listOf(store, other).forEach { phone -> phone.sync.status.soon("paused") { it.phase == Phase.Paused } }
        other.records.observe(key).soon("it is there") { it != null }
        store.records.patch(key) { set("title", "one") }
        other.records.patch(key) { set("title", "two") }
        listOf(store, other).forEach { it.sync.start() }
        // guide
        val record = store.history.observeConflicts().first { it.isNotEmpty() }.first()
        for (conflict in store.history.conflicts(record.key)) {
            conflict.sides.forEach { show("${conflict.field}: ${it.value} by ${it.device} at ${it.time}") }
            store.history.resolve(record.key, conflict.field, conflict.sides.first().value)
        }
        // end
        assertEquals(emptyList<Conflict>(), store.history.conflicts(key))
        // guide
        val changes = store.history.of(key)
        store.history.restore(key, changes.first())
        // end
        assertEquals("البئر صالحة للشرب", store.records.get(key)?.text("title"))
    }

    private suspend fun exchange(store: FieldStore, other: FieldStore): Unit = coroutineScope {
        store.syncAll()
        other.syncAll()
        val server = ServerSocket(0, 1, InetAddress.getLoopbackAddress())
        val invited = async(Dispatchers.IO) {
            // guide
            val invitation = store.peers.invite()
            show(invitation.code)
            val report = store.peers.exchange(invitation, PeerStream.of(server.accept())) { progress ->
                show("${progress.taken} of ${progress.takenTotal}")
            }
            // end
            report
        }
        eventually("the code is shown") { shown.any { it.startsWith("BARIDP1-") } }
        val code = shown.first { it.startsWith("BARIDP1-") }
        val socket = Socket(server.inetAddress, server.localPort)
        val theirs = other
        // guide
        val report = theirs.peers.exchangeWith(code, PeerStream.of(socket))
        // end
        assertTrue(report.isComplete && invited.await().isComplete)
        server.close()
    }

    private suspend fun bundles(store: FieldStore) {
        val usb = File(folder, "usb").apply { mkdirs() }
        // guide
        val report = store.bundles.export(File(usb, "patrol-3.barid")) { done, total -> show("$done of $total bytes") }
        show("${report.batches} batches")
        // end
        assertTrue(File(usb, "patrol-3.barid").exists())
    }

    private suspend fun lock(store: FieldStore) {
        // guide
        store.lock.lock()
        store.records.put("checkpoint") { set("plate", "5-12345") }
        when (store.lock.unlock()) {
            is LockState.Unlocked -> show("unlocked")
            LockState.LeaseEnded -> show("locked until it has met its relay")
            LockState.LockedByApp -> error("it was just unlocked")
        }
        // end
        assertTrue("unlocked" in shown)
    }

    private suspend fun errors(store: FieldStore) {
        // guide
        try {
            store.enrol("BARID1-NOT-A-CODE", label = "Patrol 3")
        } catch (error: FieldException) {
            when (error) {
                is FieldException.CodeRejected -> show("Ask for another code")
                is FieldException.Unreachable -> show("Try again with a network")
                is FieldException.NoSpace -> show("Free some space")
                else -> show("Report this: ${error.code}")
            }
        }
        // end
        assertEquals("Ask for another code", shown.last())
    }

    private suspend fun wipe(store: FieldStore) {
        store.sync.pause()
        store.sync.status.soon("paused") { it.phase == Phase.Paused }
        store.putTitled("left")
        // guide
        try {
            store.wipe()
        } catch (refused: FieldException.UnsentWork) {
            show("${refused.unsent.records} records would be lost")
            store.wipe(WipeMode.Force) // the user has seen how many, and said yes
        }
        // end
        assertTrue(shown.last().endsWith("records would be lost"))
    }
}
