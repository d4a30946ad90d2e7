package barid

import java.io.File
import kotlin.time.Clock
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Instant
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class RecordsTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `what was recorded offline is read back after a restart, typed and as an open map`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val time = Instant.fromEpochMilliseconds(1_790_000_000_000)
            val event = Event(
                time, "water_point_status", Fix(Place(24.96, 10.18), 8.0), title = "البئر صالحة للشرب",
                people = PersonCounts(total = 12, women = 5), needWater = 12,
            )
            val (key, own) = phone.enrolled(relay).use { store ->
                relay.kill()
                val key = store.records.put(event)
                val own = store.records.put("checkpoint") {
                    set("plate", "د ب 123")
                    set("axles", 3)
                    set("sealed", true)
                    set("weight_t", 12.5)
                    set("seen", time)
                    set("mark", byteArrayOf(1, 2))
                    set("list", Value.Items(listOf(Value.Int(1), Value.Null)))
                }
                key to own
            }
            phone.open().use { store ->
                val record = assertNotNull(store.records.get(key)).let { store.records.get(key)!! }
                assertEquals(event, record.asEvent())
                assertEquals(Place(24.96, 10.18), record.place)
                assertFalse(record.isDelivered)
                assertEquals(store.deviceId, record.createdBy)
                assertNull(record.asPatrol())
                val read = store.records.get(own)!!
                assertEquals("د ب 123", read.text("plate"))
                assertEquals(listOf(3L, 12.5, true, time), listOf(read.int("axles"), read.number("weight_t"), read.flag("sealed"), read.time("seen")))
                assertEquals(Value.Bytes(byteArrayOf(1, 2)), read.fields["mark"])
                assertEquals(Value.Items(listOf(Value.Int(1), Value.Null)), read.fields["list"])
                assertNull(read.int("plate"), "of another type")
                assertEquals(2, store.sync.status.soon("counted") { it.unsentRecords == 2L }.unsentRecords)
                assertEquals(listOf(key), store.records.query(Query(text = "بئر")).records.map { it.key })
            }
        }
    }

    @Test
    fun `a group of writes is there whole or not at all`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                val first = store.putTitled("first")
                lateinit var second: RecordKey
                store.records.write {
                    second = put(Patrol("active", title = "شرق"))
                    patch(first) { set("title", "changed"); remove("note") }
                }
                assertEquals("changed", store.records.get(first)?.text("title"))
                assertEquals("شرق", store.records.get(second)?.asPatrol()?.title)
                throws<FieldException.NotFound> {
                    store.records.write {
                        patch(first) { set("title", "never") }
                        patch(first.copy(id = second.id)) { set("title", "nobody") }
                    }
                }
                assertEquals("changed", store.records.get(first)?.text("title"))
                store.records.withdraw(first)
                assertEquals(listOf(second), store.records.query().records.map { it.key })
                assertEquals(2, store.records.query(Query(includeWithdrawn = true)).records.size)
            }
        }
    }

    @Test
    fun `observers see every change that concerns them, and differences`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                val first = store.putTitled("first")
                coroutineScope {
                    val diffs = Channel<RecordDiff>(Channel.UNLIMITED)
                    val titles = Channel<String?>(Channel.UNLIMITED)
                    val watching = listOf(
                        launch { store.records.observeChanges(Query(kind = Kinds.EVENT)).collect { diffs.send(it) } },
                        launch { store.records.observe(first).collect { titles.send(it?.text("title")) } },
                    )
                    suspend fun <T> Channel<T>.next() = withTimeout(PATIENCE) { receive() }
                    assertEquals(listOf(first), diffs.next().inserted.map { it.key })
                    assertEquals("first", titles.next())
                    val second = store.putTitled("second")
                    with(diffs.next()) { assertEquals(listOf(second) to 2, inserted.map { it.key } to records.size) }
                    store.records.put(Patrol("planned"))
                    store.records.patch(first) { set("title", "other") }
                    with(diffs.next()) { assertEquals(listOf(first), updated.map { it.key }); assertTrue(inserted.isEmpty()) }
                    assertEquals("other", titles.next())
                    store.records.withdraw(second)
                    assertEquals(listOf(second), diffs.next().removed)
                    assertTrue(titles.tryReceive().isFailure, "nothing that does not concern it")
                    watching.forEach { it.cancelAndJoin() }
                }
            }
        }
    }

    @Test
    fun `flows end when the store is closed, and calls say that it is`(): Unit = story {
        Relay(folder).use { relay ->
            val store = Phone(folder, "one").enrolled(relay)
            store.putTitled("one")
            coroutineScope {
                val all = async(Dispatchers.Default) { store.records.observe().toList() }
                store.records.observe().first()
                kotlinx.coroutines.delay(200.milliseconds)
                store.close()
                store.close()
                assertEquals(1, withTimeout(PATIENCE) { all.await() }.last().size)
            }
            throws<FieldException.Closed> { store.records.query() }
            throws<FieldException.Closed> { store.putTitled("late") }
            throws<FieldException.Closed> { store.peers.invite() }
            assertEquals(emptyList<List<Record>>(), store.records.observe().toList())
        }
    }

    @Test
    fun `a record is set back to what its history shows`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                val key = store.putTitled("first")
                store.records.patch(key) { set("title", "second"); set("note", "x") }
                val changes = store.history.of(key)
                assertEquals(listOf<Value?>(Value.Text("first"), Value.Text("second")), changes.map { it.sets["title"] })
                store.history.restore(key, changes.first())
                assertEquals(mapOf<String, Value>("title" to Value.Text("first")), store.records.get(key)?.fields)
                assertEquals(3, store.history.of(key).size)
            }
        }
    }

    @Test
    fun `tracks keep positions and gaps`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                val patrol = store.records.put(Patrol("active"))
                val now = Instant.fromEpochMilliseconds(Clock.System.now().toEpochMilliseconds())
                val positions = listOf(Position(now, Place(24.5, 10.25), 5), Position(now + 5000.milliseconds, Place(24.5001, 10.25)))
                val gap = Gap(now + 5000.milliseconds, now + 9000.milliseconds, "no_fix")
                store.tracks.add(patrol, positions, listOf(gap))
                val track = store.tracks.of(patrol).single()
                assertEquals(positions to listOf(gap), track.positions to track.gaps)
                assertEquals(store.deviceId, track.device)
                throws<FieldException.Invalid> { store.tracks.add(patrol, listOf(Position(now, Place(91.0, 0.0)))) }
                assertEquals(2, store.unsent().changes)
            }
        }
    }

    @Test
    fun `a call whose caller is cancelled says so and nothing is broken`(): Unit = story {
        Relay(folder).use { relay ->
            Phone(folder, "one").enrolled(relay).use { store ->
                coroutineScope {
                    repeat(20) {
                        val job = launch(Dispatchers.Default) {
                            try {
                                store.putTitled("maybe")
                            } catch (cancelled: CancellationException) {
                                throw cancelled
                            }
                        }
                        job.cancelAndJoin()
                    }
                }
                store.putTitled("surely")
                assertEquals(1, store.records.query(Query(text = "surely")).records.size)
            }
        }
    }
}
