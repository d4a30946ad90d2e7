package barid.patrol

import android.app.Application
import android.graphics.Bitmap
import androidx.compose.runtime.CompositionLocalProvider
import androidx.compose.runtime.getValue
import androidx.compose.runtime.key
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.setValue
import androidx.compose.ui.graphics.asAndroidBitmap
import androidx.compose.ui.platform.LocalDensity
import androidx.compose.ui.semantics.SemanticsActions
import androidx.compose.ui.semantics.SemanticsNode
import androidx.compose.ui.semantics.SemanticsProperties
import androidx.compose.ui.semantics.getOrNull
import androidx.compose.ui.test.SemanticsMatcher
import androidx.compose.ui.test.captureToImage
import androidx.compose.ui.test.junit4.v2.createComposeRule
import androidx.compose.ui.test.onRoot
import androidx.compose.ui.text.TextLayoutResult
import androidx.compose.ui.unit.Density
import barid.patrol.data.LockState
import barid.patrol.model.AlertState
import barid.patrol.model.Delivery
import barid.patrol.model.EventType
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.model.NewPhoto
import barid.patrol.model.PatrolState
import barid.patrol.ui.Destination
import barid.patrol.ui.FilePicker
import barid.patrol.ui.KeyLostScreen
import barid.patrol.ui.NotOpened
import barid.patrol.ui.WipedScreen
import barid.patrol.ui.PatrolApp
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.rememberFormats
import barid.patrol.ui.records.Shown
import barid.patrol.ui.theme.PatrolTheme
import java.io.File
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import org.junit.Assert.assertEquals
import org.junit.Rule
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Every screen, drawn: nothing that can be touched is small, no text is cut, and pictures to look at. */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [34], application = Application::class)
class ScreensTest {
    @get:Rule val rule = createComposeRule()

    private class Scene(val name: String, val set: FakePhone.() -> Unit)

    private val scenes = listOf(
        Scene("home") {},
        Scene("home-arrived") {
            sync.state.value = sync.state.value.copy(unsentRecords = 0, unsentPhotos = 0)
            history.open.value = emptyMap()
            patrols.all.value = emptyList()
        },
        Scene("home-sos") { Sample.alert(this, Delivery.FromOthers, AlertState.Raised, mine = false) },
        Scene("enrol") {
            enrolment.member.value = null
            phone.enrol.setCode("BARID1-7KX2-M9PA")
        },
        Scene("types") { phone.navigator.go(Destination.ChooseType) },
        Scene("record") {
            phone.record.choose(EventType.PeopleInDistress)
            phone.record.setPeople { with(Group.Women, 3).with(Group.Men, 4).with(Group.Girls, 1).with(Group.Boys, 2).withTotal(11) }
            phone.record.toggle(Need.Water)
            camera.taken.tryEmit(NewPhoto(Pictures.dunes(640, 480), Pictures.dunes(320, 240)))
            phone.navigator.go(Destination.Record)
        },
        Scene("record-plain") {
            positions.last.value = null
            phone.record.choose(EventType.WaterPoint)
            phone.navigator.go(Destination.Record)
        },
        Scene("sos") { phone.navigator.go(Destination.Sos) },
        Scene("sos-saved") {
            Sample.alert(this, Delivery.OnThisPhone, AlertState.Raised)
            phone.navigator.go(Destination.Sos)
        },
        Scene("sos-responding") {
            Sample.alert(this, Delivery.Arrived, AlertState.Responding)
            phone.navigator.go(Destination.Sos)
        },
        Scene("patrol") { phone.navigator.go(Destination.Patrol) },
        Scene("patrol-paused") {
            patrols.all.value = patrols.all.value.map { it.copy(state = PatrolState.Paused) }
            phone.navigator.go(Destination.Patrol)
        },
        Scene("patrol-new") {
            patrols.all.value = emptyList()
            phone.navigator.go(Destination.Patrol)
        },
        Scene("records") { phone.navigator.switch(Destination.Records) },
        Scene("records-none") {
            phone.records.show(Shown.Mine)
            events.all.value = emptyList()
            phone.navigator.switch(Destination.Records)
        },
        Scene("detail") { phone.navigator.go(Destination.Detail(Sample.distress)) },
        Scene("review") { phone.navigator.go(Destination.Review(Sample.distress)) },
        Scene("map") { phone.navigator.switch(Destination.Map) },
        Scene("sync") { phone.navigator.switch(Destination.Sync) },
        Scene("exchange") { phone.navigator.go(Destination.Exchange) },
        Scene("exchange-code") {
            phone.navigator.go(Destination.Exchange)
            phone.exchange.show()
        },
        Scene("exchange-read") {
            phone.navigator.go(Destination.Exchange)
            phone.exchange.read()
        },
        Scene("files") {
            phone.navigator.go(Destination.Files)
            phone.exchange.exportTo("unused")
        },
        Scene("locked") { lock.state.value = LockState.LockedByHand },
        Scene("lease-over") { lock.state.value = LockState.LeaseOver },
    )

    private fun draw(folder: String, arabic: Boolean, fontScale: Float = 1f) {
        val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
        var shown by mutableStateOf<Pair<String, FakePhone?>?>(null)
        rule.setContent {
            val density = LocalDensity.current
            CompositionLocalProvider(LocalDensity provides Density(density.density, fontScale)) {
                PatrolTheme {
                    key(shown?.first) {
                        val fake = shown?.second
                        CompositionLocalProvider(LocalFormats provides rememberFormats()) {
                            when {
                                fake != null -> PatrolApp(fake.phone, FilePicker({}, {}))
                                shown?.first == "wiped" -> WipedScreen(hasSealed = true, {}, {})
                                else -> KeyLostScreen(NotOpened.KeyLost, {}, {})
                            }
                        }
                    }
                }
            }
        }
        val wrong = mutableListOf<String>()
        for (scene in scenes) {
            val fake = FakePhone(scope)
            rule.runOnUiThread {
                Sample.fill(fake, arabic)
                scene.set(fake)
                shown = scene.name to fake
            }
            look(folder, scene.name, wrong)
        }
        for (name in listOf("key-lost", "wiped")) {
            rule.runOnUiThread { shown = name to null }
            look(folder, name, wrong)
        }
        assertEquals("", wrong.joinToString("\n"))
    }

    private fun look(folder: String, name: String, wrong: MutableList<String>) {
        rule.waitForIdle()
        val file = File(System.getProperty("patrol.pictures"), "$folder/$name.png")
        file.parentFile!!.mkdirs()
        val bitmap = rule.onRoot().captureToImage().asAndroidBitmap()
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        val clickable = SemanticsMatcher("can be touched") { SemanticsActions.OnClick in it.config }
        val density = rule.density.density
        rule.onAllNodes(clickable).fetchSemanticsNodes().forEach { node ->
            val width = node.size.width / density
            val height = node.size.height / density
            val tag = node.config.getOrNull(SemanticsProperties.TestTag)
            val least = if (tag in MAIN) 72f else 56f
            if (width < least - 0.5f || height < least - 0.5f) wrong += "$folder/$name: ${node.said()} is $width × $height dp"
        }
        val text = SemanticsMatcher("is text") { SemanticsActions.GetTextLayoutResult in it.config && SemanticsActions.SetText !in it.config }
        rule.onAllNodes(text, useUnmergedTree = true).fetchSemanticsNodes().forEach { node ->
            val layouts = mutableListOf<TextLayoutResult>()
            node.config[SemanticsActions.GetTextLayoutResult].action?.invoke(layouts)
            layouts.filter { it.isCut() }.forEach {
                wrong += "$folder/$name: “${node.said()}” is cut: ${it.lineCount} lines, ${it.multiParagraph.width} × ${it.multiParagraph.height} in ${it.size}"
            }
        }
    }

    /** Too many lines, too low a box, or a word that one letter a line does not fit beside others. */
    private fun TextLayoutResult.isCut(): Boolean {
        // In a line that scrolls there is no width to exceed.
        val bounded = multiParagraph.width < 1e6
        val widest = (0 until lineCount).maxOfOrNull { getLineRight(it) - getLineLeft(it) } ?: 0f
        val broken = (0 until lineCount - 1).any { line ->
            val end = getLineEnd(line)
            val text = layoutInput.text.text
            end in 1 until text.length && text[end - 1].isLetter() && text[end].isLetter() && text.none { it == '@' }
        }
        return multiParagraph.didExceedMaxLines || bounded && widest > size.width + 2 || multiParagraph.height > size.height + 2 || broken
    }

    private fun SemanticsNode.said(): String =
        (config.getOrNull(SemanticsProperties.Text)?.joinToString(" ")
            ?: config.getOrNull(SemanticsProperties.ContentDescription)?.joinToString(" ")).orEmpty() + " " +
            config.getOrNull(SemanticsProperties.TestTag).orEmpty()

    @Test @Config(qualifiers = "ar-w360dp-h740dp-xhdpi")
    fun `Arabic in the sun`() = draw("ar-light", arabic = true)

    @Test @Config(qualifiers = "ar-w360dp-h740dp-night-xhdpi")
    fun `Arabic in the night`() = draw("ar-dark", arabic = true)

    @Test @Config(qualifiers = "en-w360dp-h740dp-xhdpi")
    fun `English in the sun`() = draw("en-light", arabic = false)

    @Test @Config(qualifiers = "en-w360dp-h740dp-night-xhdpi")
    fun `English in the night`() = draw("en-dark", arabic = false)

    @Test @Config(qualifiers = "ar-w320dp-h533dp-xhdpi")
    fun `Arabic on a small phone with large letters`() = draw("ar-small-large", arabic = true, fontScale = 1.5f)

    @Test @Config(qualifiers = "en-w320dp-h533dp-night-xhdpi")
    fun `English on a small phone with large letters in the night`() = draw("en-small-large", arabic = false, fontScale = 1.5f)

    private companion object {
        /** What screens are for. */
        val MAIN = setOf(
            "record", "save", "sos-hold", "patrol-start", "patrol-pause", "patrol-resume", "patrol-end", "enrol", "back",
            "review", "choose-0", "choose-1", "unlock", "sync-now", "exchange-show", "file-export", "hand-over",
        )
    }
}
