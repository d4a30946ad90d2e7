package barid.patrol

import android.app.Application
import androidx.compose.ui.test.assertIsDisplayed
import androidx.compose.ui.test.assertTextEquals
import androidx.compose.ui.test.hasTestTag
import androidx.compose.ui.test.junit4.v2.createComposeRule
import androidx.compose.ui.test.onNodeWithTag
import androidx.compose.ui.test.onRoot
import androidx.compose.ui.test.performClick
import androidx.compose.ui.test.performScrollTo
import androidx.compose.ui.test.performScrollToNode
import androidx.compose.ui.test.performTextInput
import androidx.compose.ui.test.performTextReplacement
import androidx.compose.ui.test.performTouchInput
import barid.patrol.data.LockState
import barid.patrol.model.AlertState
import barid.patrol.model.EventType
import barid.patrol.model.FieldValue
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.model.NewPhoto
import barid.patrol.model.Outcome
import barid.patrol.model.PatrolState
import barid.patrol.model.Place
import barid.patrol.model.Trouble
import barid.patrol.ui.Destination
import barid.patrol.ui.FilePicker
import barid.patrol.ui.PatrolApp
import barid.patrol.ui.parts.HOLD_MS
import barid.patrol.ui.theme.PatrolTheme
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

/** What a person does, over a phone in memory. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class, qualifiers = "ar-w360dp-h740dp-xhdpi")
class FlowsTest {
    @get:Rule val rule = createComposeRule()

    private val fake = FakePhone(CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate))
    private var taps = 0

    private fun open() = rule.setContent { PatrolTheme { PatrolApp(fake.phone, FilePicker({}, {})) } }

    private fun tap(tag: String, scroll: Boolean = false) {
        val node = rule.onNodeWithTag(tag)
        if (scroll) node.performScrollTo()
        node.performClick()
        taps++
        rule.waitForIdle()
    }

    private fun hold(tag: String, ms: Long = HOLD_MS + 200L) {
        rule.mainClock.autoAdvance = false
        rule.onNodeWithTag(tag).performTouchInput { down(center) }
        rule.mainClock.advanceTimeBy(ms)
        // Where it was held there may be something else by now.
        rule.onRoot().performTouchInput { up() }
        rule.mainClock.autoAdvance = true
        rule.waitForIdle()
    }

    private fun exists(tag: String) = rule.onAllNodes(hasTestTag(tag)).fetchSemanticsNodes().isNotEmpty()

    @Test fun `an event with its place and a need is recorded in four taps`() {
        fake.positions.last.value = Place(24.9, 10.1, 6.0, fake.clock.now())
        open()
        tap("record")
        tap("type-people_in_distress")
        tap("need-water", scroll = true)
        tap("save")
        assertEquals(4, taps)
        val draft = fake.events.drafts.single()
        assertEquals(EventType.PeopleInDistress, draft.type)
        assertEquals(24.9, draft.place!!.lat, 0.0)
        assertEquals(mapOf(Need.Water to 1), draft.needs)
        assertTrue("one is told so", exists("recorded"))
        assertEquals("nobody follows the receiver any more", 0, fake.positions.followers)
    }

    @Test fun `counts, a note and a photo are optional and all arrive`() {
        fake.camera.next = NewPhoto(byteArrayOf(1), byteArrayOf(2))
        open()
        tap("record")
        tap("type-people_in_distress")
        repeat(3) { tap("count-women-more", scroll = true) }
        tap("count-total-more", scroll = true)
        tap("need-medical", scroll = true)
        rule.onNodeWithTag("note").performScrollTo().performTextInput("شرق البئر")
        tap("photo", scroll = true)
        tap("save")
        val draft = fake.events.drafts.single()
        assertEquals(4, draft.people.total)
        assertEquals(3, draft.people.of(Group.Women))
        assertEquals("asked for by all of them", mapOf(Need.Medical to 4), draft.needs)
        assertEquals("شرق البئر", draft.note)
        assertEquals(1, draft.photos.size)
    }

    @Test fun `a rarer type is further down in the same grid`() {
        open()
        tap("record")
        rule.onNodeWithTag("types").performScrollToNode(hasTestTag("type-equipment_fault"))
        tap("type-equipment_fault")
        tap("save")
        assertEquals(EventType.Equipment, fake.events.drafts.single().type)
    }

    @Test fun `a touch raises no SOS, holding raises one, and its way is told`() {
        open()
        tap("nav-sos")
        tap("sos-hold")
        assertTrue(fake.alerts.all.value.isEmpty())
        hold("sos-hold", 700)
        assertTrue("let go too early", fake.alerts.all.value.isEmpty())
        hold("sos-hold")
        assertEquals(AlertState.Raised, fake.alerts.all.value.single().state)
        assertEquals("sent at once", 1, fake.sync.requests)
        rule.onNodeWithTag("sos-state").assertTextEquals("الاستغاثة محفوظة ولم تُرسَل بعد")
        fake.alerts.all.value = fake.alerts.all.value.map { it.copy(delivery = barid.patrol.model.Delivery.Arrived) }
        rule.waitForIdle()
        rule.onNodeWithTag("sos-state").assertTextEquals("وصلت الاستغاثة")
        hold("sos-cancel")
        assertEquals(AlertState.Cancelled, fake.alerts.all.value.single().state)
    }

    @Test fun `a patrol starts, pauses, goes on and ends by holding`() {
        open()
        tap("patrol")
        rule.onNodeWithTag("patrol-name").performTextInput("آبار")
        tap("patrol-start")
        assertEquals(PatrolState.Active, fake.patrols.all.value.single().state)
        assertTrue(exists("recording"))
        tap("patrol-pause")
        assertTrue(fake.recording.state.value.paused)
        tap("patrol-resume")
        rule.onNodeWithTag("patrol-end").performScrollTo()
        tap("patrol-end")
        assertEquals("a touch does not end it", PatrolState.Active, fake.patrols.all.value.single().state)
        hold("patrol-end")
        assertEquals(PatrolState.Done, fake.patrols.all.value.single().state)
        assertEquals(null, fake.recording.state.value.patrol)
    }

    @Test fun `a patrol begins also when positions are not allowed`() {
        fake.permits.grants = false
        open()
        tap("patrol")
        tap("patrol-start")
        assertEquals(PatrolState.Active, fake.patrols.all.value.single().state)
    }

    @Test fun `a locked phone shows nothing, records, and calls for help`() {
        Sample.fill(fake, arabic = true)
        open()
        tap("lock", scroll = true)
        assertTrue(exists("locked"))
        assertTrue("no list, no map, no number", listOf("nav-records", "nav-map", "unsent", "patrol").none(::exists))
        tap("record")
        tap("type-water_point_status")
        tap("save")
        assertEquals(1, fake.events.drafts.size)
        assertTrue(exists("locked"))
        tap("nav-sos")
        hold("sos-hold")
        assertEquals(1, fake.alerts.all.value.size)
        tap("back")
        fake.confirms = false
        tap("unlock")
        assertEquals(LockState.LockedByHand, fake.lock.state.value)
        fake.confirms = true
        tap("unlock")
        assertEquals(LockState.Open, fake.lock.state.value)
        assertTrue(exists("nav-records"))
    }

    @Test fun `a phone whose lease is over cannot be unlocked by hand`() {
        fake.lock.state.value = LockState.LeaseOver
        open()
        assertTrue(exists("locked") && !exists("unlock"))
        assertTrue(exists("record") && exists("nav-sos"))
    }

    @Test fun `a conflict shows both values and the chosen one holds`() {
        Sample.fill(fake, arabic = true)
        open()
        tap("conflicts", scroll = true)
        tap("event-distress")
        tap("review")
        rule.onNodeWithTag("candidate-0").assertIsDisplayed()
        rule.onNodeWithTag("candidate-1").assertTextEquals("وصل الماء، واثنان بحاجة إلى طبيب.")
        tap("choose-1", scroll = true)
        assertEquals("note" to FieldValue.Text("وصل الماء، واثنان بحاجة إلى طبيب."), fake.history.chosen.single())
    }

    @Test fun `a phone that was killed in the middle of a form comes back to it`() {
        open()
        tap("record")
        tap("type-people_in_distress")
        tap("count-total-more")
        rule.waitUntil("the form is kept", 10_000) { fake.drafts.kept?.people?.total == 1 }
        val reborn = FakePhone(CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate), keptDrafts = fake.drafts)
        assertEquals(Destination.Record, reborn.phone.navigator.stack.value.last())
        assertEquals(1, reborn.phone.record.state.value.draft!!.people.total)
        tap("save")
        rule.waitUntil("and forgotten when it is recorded", 10_000) { fake.drafts.kept == null }
    }

    @Test fun `a changed note stays changed`() {
        Sample.fill(fake, arabic = true)
        open()
        tap("nav-records")
        tap("event-well")
        tap("edit-note")
        rule.onNodeWithTag("note").performTextReplacement("جفّت")
        tap("keep-note")
        assertTrue(exists("edit-note"))
        assertEquals("جفّت", fake.events.all.value.single { it.key.id == "well" }.note)
    }

    @Test fun `enrolling says what went wrong by what can be done, and goes on when it works`() {
        fake.enrolment.member.value = null
        fake.enrolment.answer = Outcome.Failed(Trouble.CodeRefused)
        open()
        rule.onNodeWithTag("code").performTextInput("BARID1-OLD")
        rule.onNodeWithTag("label").performTextInput("الوحدة 4")
        tap("enrol")
        assertTrue(exists("enrol-trouble"))
        fake.enrolment.answer = Outcome.Done(barid.patrol.data.Member("الوحدة 4", "a1b2c3"))
        tap("enrol")
        assertTrue(exists("record"))
        assertEquals(listOf("BARID1-OLD" to "الوحدة 4", "BARID1-OLD" to "الوحدة 4"), fake.enrolment.codes)
    }

    @Test fun `one reads the other's code as text too, and both numbers are said`() {
        open()
        tap("exchange", scroll = true)
        tap("exchange-read")
        rule.onNodeWithTag("exchange-typed").performTextInput("BARIDP1-1@10.0.0.2:4000")
        tap("exchange-join")
        assertEquals(listOf("BARIDP1-1@10.0.0.2:4000"), fake.exchange.joined)
        assertTrue(exists("exchanged"))
    }

    @Test fun `a form that is left by mistake is still filled in`() {
        open()
        tap("record")
        tap("type-people_in_distress")
        tap("count-total-more")
        tap("back")
        assertEquals(Destination.ChooseType, fake.phone.navigator.stack.value.last())
        tap("type-group_movement_observed")
        assertEquals(1, fake.phone.record.state.value.draft!!.people.total)
    }
}
