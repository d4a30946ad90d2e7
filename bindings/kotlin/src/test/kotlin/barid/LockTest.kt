package barid

import java.io.File
import kotlin.time.Clock
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class LockTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a locked phone records, raises alerts and syncs, and shows nothing`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            val (key, alert) = phone.enrolled(relay).use { store ->
                val key = store.putTitled("before")
                store.records.observe().soon("shown") { it.size == 1 }
                store.lock.lock()
                assertEquals(LockState.LockedByApp, store.lock.state.value)
                store.records.observe().soon("nothing is shown") { it.isEmpty() }
                store.records.observe(key).soon("nor is this") { it == null }
                throws<FieldException.Locked> { store.records.query() }
                throws<FieldException.Locked> { store.records.get(key) }
                throws<FieldException.Locked> { store.history.of(key) }
                throws<FieldException.Locked> { store.tracks.of(key) }
                val alert = store.records.sos(Alert(Clock.System.now(), Fix(Place(24.0, 10.0))))
                store.records.patch(key) { set("note", "written blind") }
                store.syncAll()
                assertTrue(store.sync.status.soon("it says so") { it.isLocked }.isLocked)
                key to alert
            }
            phone.open().use { store ->
                assertEquals(LockState.LockedByApp, store.lock.state.value, "over a restart")
                val shown = store.records.observe(key)
                assertEquals(LockState.Unlocked(null), store.lock.unlock())
                assertEquals("written blind", shown.soon("shown again") { it != null }?.text("note"))
                assertEquals("raised", store.records.get(alert)?.asAlert()?.state)
                assertTrue(store.records.get(alert)!!.isDelivered)
            }
        }
    }

    @Test
    fun `a lease that ends locks, and only the relay unlocks`(): Unit = story {
        Relay(folder).use { relay ->
            val phone = Phone(folder, "one")
            phone.open(lease = 4.hours).use { store ->
                assertTrue((store.lock.state.value as LockState.Unlocked).leaseEnds!! > Clock.System.now() + 3.hours)
                store.enrol(relay.code("one"), "one")
                store.putTitled("one")
            }
            phone.open(lease = 1.seconds).use { store ->
                store.lock.state.soon("the lease ends") { it == LockState.LeaseEnded }
                throws<FieldException.Locked> { store.records.query() }
                assertEquals(LockState.LeaseEnded, store.lock.unlock())
                store.putTitled("two")
            }
            phone.open(lease = 4.hours).use { store ->
                store.syncAll()
                store.lock.state.soon("renewed") { it is LockState.Unlocked }
                assertEquals(2, store.records.query().records.size)
            }
            phone.open(lease = 20.seconds).use { store ->
                val before = (store.lock.state.value as LockState.Unlocked).leaseEnds!!
                kotlinx.coroutines.delay(1.seconds)
                store.syncAll()
                val after = store.lock.state.soon("later") { it is LockState.Unlocked && it.leaseEnds!! > before }
                assertTrue(after is LockState.Unlocked)
            }
        }
    }
}
