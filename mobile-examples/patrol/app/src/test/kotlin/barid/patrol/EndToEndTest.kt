package barid.patrol

import android.Manifest
import android.app.Application
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.location.Location
import android.location.LocationManager
import androidx.compose.ui.graphics.asAndroidBitmap
import androidx.compose.ui.test.ComposeTimeoutException
import androidx.compose.ui.test.assertTextEquals
import androidx.compose.ui.test.captureToImage
import androidx.compose.ui.test.hasTestTag
import androidx.compose.ui.test.hasText
import androidx.compose.ui.test.junit4.v2.createAndroidComposeRule
import androidx.compose.ui.test.onNodeWithTag
import androidx.compose.ui.test.onRoot
import androidx.compose.ui.test.performClick
import androidx.compose.ui.test.performScrollTo
import androidx.compose.ui.test.performTextInput
import androidx.compose.ui.test.performTextReplacement
import androidx.compose.ui.test.performTouchInput
import barid.FieldStore
import barid.Kinds
import barid.Query
import barid.Record
import barid.StoreConfig
import barid.Variant
import barid.patrol.device.Asker
import barid.patrol.ui.parts.HOLD_MS
import java.io.File
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/**
 * The app's own screens over the real core, a real relay process and a colleague's phone: nothing between the
 * finger and the relay is a double but the camera, the receiver and the keystore.
 */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [34], application = TestPatrolApplication::class)
class EndToEndTest {
    @get:Rule val temporary = TemporaryFolder()
    @get:Rule val rule = createAndroidComposeRule<MainActivity>()

    private val application get() = rule.activity.application as TestPatrolApplication
    private var pictures = "e2e"

    @Test @Config(qualifiers = "ar-w360dp-h740dp-night-xhdpi")
    fun `a patrol of a night, in Arabic`() = patrol("e2e-ar-dark")

    @Test @Config(qualifiers = "en-w360dp-h740dp-xhdpi")
    fun `a patrol of a day, in English`() = patrol("e2e-en-light")

    @Test @Config(qualifiers = "ar-w360dp-h740dp-xhdpi")
    fun `a lost phone wipes itself when its centre asks, and can become a member again`() = Relay(temporary.newFolder()).use { relay ->
        enrol(relay)
        recordWaterPoint()
        await("it has arrived") { !exists("unsent") }
        relay.revokeAndAskWipe("Unit 4")
        await("it was wiped") { exists("wiped") }
        assertEquals("nothing is left", emptyList<String>(), application.noBackupFilesDir.list()!!.filter { it.startsWith("field.db") || it.startsWith("secrets") })
        tap("enrol-again")
        await("it asks for a code") { exists("code") }
    }

    @Test @Config(qualifiers = "en-w360dp-h740dp-xhdpi")
    fun `what had not arrived is sealed before a wipe, and stays until it was handed over`() = Relay(temporary.newFolder()).use { relay ->
        enrol(relay)
        relay.stop()
        recordWaterPoint()
        val store = (application.opening.value as Opening.Open).store
        assertTrue(runBlocking { application.wiper.wipe(store, 1) })
        application.goOnAfterWipe()
        await("it can be handed over") { exists("hand-over") }
        val carried = File(temporary.newFolder(), "carried.bundle")
        application.wiper.handOver(application.wiper.sealed.single(), carried.outputStream())
        application.goOnAfterWipe()
        await("nothing is left to hand over") { exists("code") }
        relay.import(carried)
        relay.start()
        colleague(relay).use { colleague -> await("it is at the colleague's") { colleague.events().size == 1 } }
    }

    private fun recordWaterPoint() {
        tap("record")
        tap("type-water_point_status")
        tap("save")
        await("one is told that it is recorded") { exists("recorded") }
    }

    private fun patrol(folder: String) {
        pictures = folder
        shadowOf(application as Application).grantPermissions(
            Manifest.permission.ACCESS_FINE_LOCATION, Manifest.permission.CAMERA, Manifest.permission.POST_NOTIFICATIONS,
        )
        Relay(temporary.newFolder()).use { relay ->
            colleague(relay).use { colleague ->
                enrol(relay)
                startPatrol()
                recordWithPhoto()
                await("the event is at the colleague's") { colleague.events().singleOrNull()?.text("event_type") == "people_in_distress" }
                assertEquals(4L, colleague.events().single().int("persons_total"))
                photo(colleague)
                offline(relay, colleague)
                conflict(colleague)
                sos(colleague)
                lock()
            }
        }
    }

    private fun enrol(relay: Relay) {
        await("the form") { exists("code") }
        type("code", relay.code("Unit 4"))
        type("label", "Unit 4")
        look("1-enrol")
        tap("enrol")
        await("this phone is a member") { exists("record") }
    }

    private fun startPatrol() {
        tap("patrol")
        type("patrol-name", "Wells south of Ghat")
        tap("patrol-start")
        await("the patrol is under way") { exists("clock") }
        fix(24.9631, 10.1812)
        tap("back")
        tap("record")
        tap("back")
    }

    private fun recordWithPhoto() {
        application.ports.asker = object : Asker {
            override fun permission(name: String) = application.ports.onPermission(true)
            override fun credential(intent: Intent) = application.ports.onCredential(true)

            override fun picture(into: File) {
                into.writeBytes(Pictures.dunes(1600, 1200))
                application.ports.onPicture(true)
            }
        }
        tap("record")
        tap("type-people_in_distress")
        repeat(3) { tap("count-women-more") }
        tap("count-boys-more")
        tap("need-water")
        type("note", "شرق البئر")
        tap("photo")
        await("the photo is in the form") { exists("photo-0") }
        look("2-record")
        tap("save")
        await("one is told that it is recorded") { exists("recorded") }
        assertTrue("the photo too", said(application.getString(R.string.recorded_detail)))
    }

    /** The small one comes by itself, the whole one when it is asked for; both phones see what has become of it. */
    private fun photo(colleague: FieldStore) {
        val key = colleague.events().single().key
        val there = { runBlocking { colleague.attachments.of(key).singleOrNull() } }
        await("the colleague knows of the photo") { there() != null }
        await("its thumbnail came by itself") { runBlocking { colleague.attachments.open(there()!!.attachment, Variant.Thumbnail) } != null }
        runBlocking { colleague.attachments.fetch(there()!!.attachment) }
        await("the whole photo came") { runBlocking { colleague.attachments.open(there()!!.attachment, Variant.Original) } != null }
        val bytes = runBlocking { colleague.attachments.open(there()!!.attachment, Variant.Original)!! }
        assertEquals(1600, BitmapFactory.decodeByteArray(bytes, 0, bytes.size).width)
        tap("nav-records")
        tap("event-${key.id}")
        val arrived = application.getString(R.string.photo_arrived)
        await("the screen says that the photo has arrived") { said(arrived, "photo-state") }
        rule.onNodeWithTag("photo-state", useUnmergedTree = true).performScrollTo()
        look("2-photo")
        tap("back")
    }

    /** No relay, two phones that write the same note, and a relay again. */
    private fun offline(relay: Relay, colleague: FieldStore) {
        relay.stop()
        val key = colleague.events().single().key
        runBlocking { colleague.records.patch(key) { set("note", "Water has reached them") } }
        tap("nav-records")
        tap("event-${key.id}")
        tap("edit-note")
        await("the note can be changed") { exists("note") }
        rule.onNodeWithTag("note").performTextReplacement("اثنان بحاجة إلى طبيب")
        tap("keep-note")
        await("the note is changed here at once") { !exists("keep-note") && exists("edit-note") }
        tap("back")
        tap("nav-home")
        await("what has not arrived is a number") { exists("unsent") }
        rule.onNodeWithTag("unsent").assertTextEquals("1")
        look("3-offline")
        relay.start()
        tap("nav-sync")
        tap("sync-now")
        await("everything has arrived") { !exists("unsent") }
        look("4-arrived")
    }

    private fun conflict(colleague: FieldStore) {
        tap("nav-home")
        runBlocking { colleague.sync.request() }
        await("the conflict is told of") { exists("conflicts") }
        tap("conflicts")
        tap("event-${colleague.events().single().key.id}")
        await("both values can be seen") { exists("review") }
        look("5-detail")
        tap("review")
        await("both values are there") { exists("candidate-1") }
        look("6-conflict")
        val mine = if (said("Water has reached them", "candidate-0")) 1 else 0
        tap("choose-$mine")
        await("it is settled") { exists("settled") }
        await("the decision arrives at the colleague's") {
            colleague.events().single().let { it.conflicts == 0 && it.text("note") == "اثنان بحاجة إلى طبيب" }
        }
        tap("back")
        tap("back")
    }

    private fun sos(colleague: FieldStore) {
        tap("nav-home")
        tap("nav-sos")
        await("there is the button") { exists("sos-hold") }
        rule.mainClock.autoAdvance = false
        rule.onNodeWithTag("sos-hold").performTouchInput { down(center) }
        rule.mainClock.advanceTimeBy(HOLD_MS + 200L)
        rule.onRoot().performTouchInput { up() }
        rule.mainClock.autoAdvance = true
        await("the SOS is raised") { exists("sos-open") }
        await("it is at the colleague's") { colleague.all(Kinds.ALERT).any { it.state == "raised" } }
        val alert = colleague.all(Kinds.ALERT).single()
        runBlocking { colleague.records.patch(alert.key) { set("state", "acknowledged") } }
        val acknowledged = application.getString(R.string.sos_acknowledged)
        await("that it was seen comes back") { said(acknowledged, "sos-state") }
        look("7-sos")
        tap("back")
    }

    private fun lock() {
        tap("lock")
        await("it is locked") { exists("locked") }
        look("8-locked")
        tap("record")
        tap("type-water_point_status")
        tap("save")
        await("the locked phone recorded") { exists("locked") }
        tap("unlock")
        await("it is open again") { exists("nav-records") }
        tap("nav-records")
        await("what was recorded meanwhile is there") {
            runBlocking { (application.opening.value as Opening.Open).store.records.query(Query(kind = Kinds.EVENT)).records.size } == 2
        }
        look("9-records")
    }

    private fun colleague(relay: Relay): FieldStore = runBlocking {
        FieldStore.open(StoreConfig(File(temporary.newFolder(), "colleague.db"), FieldStore.newSecret())).apply {
            enrol(relay.code("Unit 7"), "Unit 7")
            sync.start()
        }
    }

    private fun FieldStore.all(kind: String): List<Record> = runBlocking { records.query(Query(kind = kind)).records }
    private fun FieldStore.events() = all(Kinds.EVENT)

    private fun fix(lat: Double, lon: Double) {
        val manager = application.getSystemService(LocationManager::class.java)
        shadowOf(manager).setProviderEnabled(LocationManager.GPS_PROVIDER, true)
        shadowOf(manager).simulateLocation(Location(LocationManager.GPS_PROVIDER).apply {
            latitude = lat; longitude = lon; accuracy = 7f; time = System.currentTimeMillis()
        })
    }

    private fun exists(tag: String) = rule.onAllNodes(hasTestTag(tag)).fetchSemanticsNodes().isNotEmpty()

    private fun said(text: String, tag: String? = null): Boolean {
        val matcher = if (tag == null) hasText(text, substring = true) else hasTestTag(tag).and(hasText(text, substring = true))
        // What stands in something that can be touched is one with it otherwise.
        return rule.onAllNodes(matcher, useUnmergedTree = tag != null).fetchSemanticsNodes().isNotEmpty()
    }

    private fun await(claim: String, ask: () -> Boolean) {
        try {
            rule.waitUntil(claim, 30_000, ask)
        } catch (timeout: ComposeTimeoutException) {
            look("failed")
            throw AssertionError("not within 30 s: $claim", timeout)
        }
    }

    private fun tap(tag: String) {
        await("there is $tag") { exists(tag) }
        val node = rule.onNodeWithTag(tag)
        try {
            node.performScrollTo()
        } catch (_: AssertionError) {
            // It does not scroll: it is where the thumb is.
        }
        node.performClick()
        rule.waitForIdle()
    }

    private fun type(tag: String, text: String) {
        await("there is $tag") { exists(tag) }
        rule.onNodeWithTag(tag).performScrollTo().performTextInput(text)
    }

    private fun look(name: String) {
        // What is said for a moment has been said.
        rule.mainClock.advanceTimeBy(5_000)
        rule.waitForIdle()
        val file = File(System.getProperty("patrol.pictures"), "$pictures/$name.png")
        file.parentFile!!.mkdirs()
        val bitmap = rule.onRoot().captureToImage().asAndroidBitmap()
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        assertTrue(file.length() > 0)
    }
}
