package barid.patrol

import barid.FieldStore
import barid.Kinds
import barid.Query
import barid.StoreConfig
import barid.patrol.data.Passed
import barid.patrol.data.offline.LocalNetwork
import barid.patrol.data.offline.OfflineFirstEventRepository
import barid.patrol.data.offline.OfflineFirstExchangeRepository
import barid.patrol.data.offline.OfflineFirstFileRepository
import barid.patrol.data.offline.OfflineFirstTrackRepository
import barid.patrol.model.EventDraft
import barid.patrol.model.EventType
import barid.patrol.model.GapReason
import barid.patrol.model.Key
import barid.patrol.model.Outcome
import barid.patrol.model.Place
import barid.patrol.model.TrackGap
import barid.patrol.model.Trouble
import java.io.File
import java.net.InetAddress
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** From phone to phone and into a file, over the real core, with a relay that is away. */
class HandedOverTest {
    @get:Rule val temporary = TemporaryFolder()

    private val loopback = LocalNetwork { InetAddress.getLoopbackAddress() }

    private fun member(relay: Relay, label: String): FieldStore = runBlocking {
        FieldStore.open(StoreConfig(File(temporary.newFolder(), "field.db"), FieldStore.newSecret())).apply { enrol(relay.code(label), label) }
    }

    private fun synced(store: FieldStore): Unit = runBlocking {
        store.sync.start()
        withTimeout(30_000) { while (!store.sync.status.value.hasSyncedOnce) kotlinx.coroutines.delay(20) }
        store.sync.pause()
    }

    private fun FieldStore.events() = runBlocking { records.query(Query(kind = Kinds.EVENT)).records }

    @Test fun `two phones exchange by a code, with no relay`(): Unit = runBlocking {
        Relay(temporary.newFolder()).use { relay ->
            member(relay, "Unit 4").use { mine ->
                member(relay, "Unit 7").use { other ->
                    listOf(mine, other).forEach(::synced)
                    relay.stop()
                    OfflineFirstEventRepository(mine, FakeClock()).record(EventDraft(EventType.WaterPoint, note = "صالحة للشرب"))
                    val code = CompletableDeferred<String>()
                    withTimeout(60_000) {
                        val shown = async(Dispatchers.IO) { OfflineFirstExchangeRepository(mine, loopback).invite({ code.complete(it) }, {}) }
                        val read = OfflineFirstExchangeRepository(other, loopback).join(code.await()) {}
                        assertTrue("$read", read is Outcome.Done && (read.value as Passed).taken > 0)
                        assertTrue(shown.await() is Outcome.Done)
                    }
                    assertEquals("صالحة للشرب", other.events().single().text("note"))
                    val wrong = OfflineFirstExchangeRepository(other, loopback).join("BARIDP1-NONSENSE@127.0.0.1:1") {}
                    assertTrue(wrong is Outcome.Failed)
                    assertEquals(Outcome.Failed(Trouble.CodeRefused), OfflineFirstExchangeRepository(other, loopback).join("BARIDP1-X") {})
                }
            }
        }
    }

    @Test fun `whoever waits for a colleague can stop waiting`(): Unit = runBlocking {
        Relay(temporary.newFolder()).use { relay ->
            member(relay, "Unit 4").use { mine ->
                val code = CompletableDeferred<String>()
                val waiting = launch(Dispatchers.IO) { OfflineFirstExchangeRepository(mine, loopback).invite({ code.complete(it) }, {}) }
                withTimeout(20_000) {
                    code.await()
                    waiting.cancelAndJoin()
                }
            }
        }
    }

    @Test fun `a file takes what the relay has not`(): Unit = runBlocking {
        Relay(temporary.newFolder()).use { relay ->
            member(relay, "Unit 4").use { mine ->
                synced(mine)
                OfflineFirstEventRepository(mine, FakeClock()).record(EventDraft(EventType.WaterPoint))
                val file = File(temporary.newFolder(), "out.bundle")
                val outcome = OfflineFirstFileRepository(mine).export(file.path)
                assertTrue("$outcome", outcome is Outcome.Done && outcome.value.given > 0)
                assertTrue(file.length() > 0)
                assertEquals(Outcome.Failed(Trouble.FileUnreadable), OfflineFirstFileRepository(mine).import(temporary.newFile().path))
            }
        }
    }

    @Test fun `a way and its gaps come back as they were recorded`(): Unit = runBlocking {
        Relay(temporary.newFolder()).use { relay ->
            member(relay, "Unit 4").use { mine ->
                val key = mine.records.put(Kinds.PATROL) { set("state", "active") }.let { Key(it.space, it.kind, it.id) }
                val tracks = OfflineFirstTrackRepository(mine)
                val places = (0..3).map { Place(24.9 + it * 0.001, 10.1, 6.0, 1_000_000L + it * 10_000) }
                assertEquals(Outcome.Done(Unit), tracks.add(key, places, listOf(TrackGap(1_010_000, 1_020_000, GapReason.NoFix))))
                val track = tracks.of(key).single()
                assertEquals(places.map { it.time }, track.positions.map { it.time })
                assertEquals(24.903, track.positions.last().lat, 1e-6)
                assertEquals(listOf(TrackGap(1_010_000, 1_020_000, GapReason.NoFix)), track.gaps)
            }
        }
    }
}
