package barid.patrol

import barid.patrol.device.OpenTrack
import barid.patrol.device.TrackJournal
import barid.patrol.device.TrackRecorder
import barid.patrol.model.GapReason
import barid.patrol.model.Key
import barid.patrol.model.Place
import barid.patrol.model.TrackGap
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class TrackRecorderTest {
    private val job = Job()
    private val scope = CoroutineScope(job + Dispatchers.Unconfined)
    private val clock = FakeClock(1_000_000)
    private val tracks = FakeTracks()
    private val positions = FakePositions()
    private val journal = object : TrackJournal { override var open: OpenTrack? = null }
    private val patrol = Key("space", "patrol", "p")
    private var recorder = TrackRecorder(tracks, positions, journal, clock, scope)

    @After fun end() = job.cancel()

    private fun fix(metresNorth: Double, afterMs: Long = 10_000) {
        clock.pass(afterMs)
        positions.last.value = Place(25.0 + metresNorth / 111_320.0, 10.0, 5.0, clock.now())
    }

    private val gaps: List<TrackGap> get() = tracks.added.flatMap { it.third }
    private val written: List<Place> get() = tracks.added.flatMap { it.second }

    @Test fun `what was taken is written when the patrol ends, and the receiver is let go`() {
        recorder.begin(patrol)
        repeat(5) { fix(it * 20.0) }
        recorder.stop()
        assertEquals(5, written.size)
        assertEquals(0, positions.followers)
        assertNull(journal.open)
        assertEquals(emptyList<TrackGap>(), gaps)
    }

    @Test fun `standing still is told once a minute and adds no way`() {
        recorder.begin(patrol)
        fix(0.0)
        repeat(12) { fix(if (it % 2 == 0) 2.0 else 0.0) }
        assertEquals(3, recorder.state.value.recordedPositions)
        assertEquals(0.0, recorder.state.value.distanceM, 0.0)
    }

    @Test fun `a silence is a gap without a fix, and shows while it lasts`() {
        recorder.begin(patrol)
        fix(0.0)
        val from = clock.now()
        clock.pass(TrackRecorder.NO_FIX_MS + 1)
        assertEquals(from, recorder.state.value.noFixSince)
        fix(500.0)
        assertNull(recorder.state.value.noFixSince)
        recorder.stop()
        assertEquals(listOf(TrackGap(from, from + TrackRecorder.NO_FIX_MS + 10_001, GapReason.NoFix)), gaps)
    }

    @Test fun `a silence while power is saved is the battery's`() {
        recorder.begin(patrol)
        fix(0.0)
        recorder.savingPower = true
        clock.pass(600_000)
        recorder.savingPower = false
        fix(900.0)
        recorder.stop()
        assertEquals(listOf(GapReason.Battery), gaps.map { it.reason })
    }

    @Test fun `a pause is a gap of its own, and nothing is taken meanwhile`() {
        recorder.begin(patrol)
        fix(0.0)
        recorder.pause()
        val from = clock.now()
        fix(100.0, 300_000)
        recorder.resume()
        fix(200.0)
        recorder.stop()
        assertEquals(listOf(TrackGap(from, from + 300_000, GapReason.Paused)), gaps)
        assertEquals(2, written.size)
    }

    @Test fun `a process that was killed goes on with a gap that says so`() {
        recorder.begin(patrol)
        fix(0.0)
        val from = clock.now()
        // The process is gone; what it had not written is lost with it, the journal is not.
        clock.pass(240_000)
        recorder = TrackRecorder(tracks, FakePositions(), journal, clock, scope)
        recorder.begin(patrol)
        recorder.stop()
        assertEquals(TrackGap(from, from + 240_000, GapReason.Killed), gaps.first())
    }

    @Test fun `what a full disk refuses is kept and written later`() {
        recorder.begin(patrol)
        tracks.full = true
        fix(0.0)
        fix(50.0, 70_000)
        tracks.full = false
        fix(100.0, 70_000)
        recorder.stop()
        assertEquals(3, written.size)
        assertTrue(written.zipWithNext().all { (a, b) -> a.time < b.time })
    }
}
