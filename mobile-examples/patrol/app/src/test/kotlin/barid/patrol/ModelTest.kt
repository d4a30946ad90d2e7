package barid.patrol

import barid.patrol.device.SealedDraft
import barid.patrol.model.EventDraft
import barid.patrol.model.EventType
import barid.patrol.model.Group
import barid.patrol.model.Key
import barid.patrol.model.Need
import barid.patrol.model.People
import barid.patrol.model.Place
import barid.patrol.ui.Destination
import barid.patrol.ui.Navigator
import barid.patrol.ui.map.Projection
import barid.patrol.ui.map.metresBetween
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ModelTest {
    @Test fun `the total is never less than the sum of its groups`() {
        val people = People().with(Group.Women, 3).with(Group.Boys, 2)
        assertEquals(5, people.total)
        assertEquals(5, people.withTotal(1).total)
        assertEquals(8, people.withTotal(8).total)
        assertEquals("who is counted and not sorted is sorted first", 8, people.withTotal(8).with(Group.Men, 3).total)
        assertEquals(9, people.withTotal(8).with(Group.Men, 4).total)
    }

    @Test fun `counts stay within what a person can have counted`() {
        assertEquals(0, People().with(Group.Men, -1).total)
        assertEquals(People.MAX, People().withTotal(1_000_000).total)
        val full = People().with(Group.Women, People.MAX)
        assertEquals(People.MAX, full.with(Group.Men, 5).total)
        assertTrue(People().with(Group.Girls, 2).with(Group.Girls, 0).groups.isEmpty())
    }

    @Test fun `a form outlives the process, sealed, and its place is taken anew`() {
        val file = java.io.File.createTempFile("draft", null)
        val draft = EventDraft(
            EventType.PeopleInDistress, Place(24.9, 10.1, 5.0, 1), People().with(Group.Women, 2), mapOf(Need.Water to 2), "شرق البئر east of the well",
        )
        val key = ByteArray(32) { it.toByte() }
        SealedDraft(file, key).keep(draft)
        assertEquals(draft.copy(place = null), SealedDraft(file, key).load())
        assertFalse("east of the well" in file.readText(Charsets.ISO_8859_1))
        assertNull("another key", SealedDraft(file, ByteArray(32)).load())
        SealedDraft(file, key).keep(null)
        assertFalse(file.exists())
    }

    @Test fun `a map shows everything, north up and east right`() {
        val west = Place(24.9, 10.1, null, 0)
        val east = Place(25.0, 10.3, null, 0)
        val shown = Projection.around(listOf(west, east), 700f, 1000f)!!
        assertTrue(shown.x(west) < 0 && shown.x(east) > 0)
        assertTrue(shown.y(west) > 0 && shown.y(east) < 0)
        assertTrue(listOf(west, east).all { kotlin.math.abs(shown.x(it)) < 350 && kotlin.math.abs(shown.y(it)) < 500 })
        assertNull(Projection.around(emptyList(), 700f, 1000f))
    }

    @Test fun `a scale is a round length that fits`() {
        val (metres, pixels) = Projection(25.0, 10.0, 7.3).scale(260f)
        assertEquals(1000.0, metres, 0.0)
        assertTrue(pixels <= 260f)
        assertEquals(11_132.0, metresBetween(Place(25.0, 10.0, null, 0), Place(25.1, 10.0, null, 0)), 1.0)
    }

    @Test fun `back leads out of everything and at last home`() {
        val navigator = Navigator()
        navigator.switch(Destination.Records)
        navigator.go(Destination.Detail(Key("s", "event", "1")))
        assertTrue(navigator.back())
        assertEquals(Destination.Records, navigator.stack.value.last())
        assertTrue(navigator.back())
        assertEquals(Destination.Home, navigator.stack.value.last())
        assertFalse(navigator.back())
    }

    @Test fun `a place says nothing of itself in a trace`() {
        assertFalse("24" in Place(24.9, 10.1, 3.0, 0).toString())
    }
}
