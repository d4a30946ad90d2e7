package barid.patrol.ui

import androidx.activity.compose.BackHandler
import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionLocalProvider
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.runtime.remember
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import barid.patrol.Phone
import barid.patrol.R
import barid.patrol.data.LockState
import barid.patrol.model.EventType
import barid.patrol.ui.detail.DetailScreen
import barid.patrol.ui.detail.ReviewScreen
import barid.patrol.ui.enrol.EnrolScreen
import barid.patrol.ui.exchange.ExchangeScreen
import barid.patrol.ui.exchange.FilesScreen
import barid.patrol.ui.home.HomeScreen
import barid.patrol.ui.lock.LockScreen
import barid.patrol.ui.map.MapScreen
import barid.patrol.ui.parts.LocalFormats
import barid.patrol.ui.parts.LocalNow
import barid.patrol.ui.parts.Notice
import barid.patrol.ui.parts.Weight
import barid.patrol.ui.parts.rememberFormats
import barid.patrol.ui.patrol.PatrolScreen
import barid.patrol.ui.record.RecordScreen
import barid.patrol.ui.record.TypeScreen
import barid.patrol.ui.records.RecordsScreen
import barid.patrol.ui.records.Shown
import barid.patrol.ui.sos.SosScreen
import barid.patrol.ui.sync.SyncScreen
import barid.patrol.ui.theme.LocalPalette
import kotlinx.coroutines.delay

/** Where a file is written to or read from is the system's screen, not ours. */
class FilePicker(val export: () -> Unit, val import: () -> Unit)

/** The whole app over one phone. */
@Composable
fun PatrolApp(phone: Phone, files: FilePicker) {
    val member by phone.repositories.enrolment.member.collectAsState()
    val lock by phone.lock.state.collectAsState()
    val stack by phone.navigator.stack.collectAsState()
    val now by remember(phone) { phone.clock.ticks }.collectAsState(phone.clock.now())
    CompositionLocalProvider(LocalFormats provides rememberFormats(), LocalNow provides now) {
        val here = stack.last()
        BackHandler(enabled = stack.size > 1) { leave(phone, here) }
        when {
            member == null -> {
                val state by phone.enrol.state.collectAsState()
                EnrolScreen(state, phone.enrol)
            }
            lock != LockState.Open -> Locked(phone, here, lock)
            else -> Unlocked(phone, here, files)
        }
    }
}

/** Only what records and calls for help is reachable. */
@Composable
private fun Locked(phone: Phone, here: Destination, lock: LockState) {
    val recorded by phone.record.state.collectAsState()
    when (here) {
        Destination.Sos, Destination.ChooseType, Destination.Record -> Screen(phone, here, FilePicker({}, {}))
        else -> LockScreen(lock, phone.lock::unlock, phone.navigator::go, recorded.recorded != null)
    }
    AfterRecording(phone)
}

@Composable
private fun Unlocked(phone: Phone, here: Destination, files: FilePicker) {
    val palette = LocalPalette.current
    val recorded by phone.record.state.collectAsState()
    val home by phone.home.state.collectAsState()
    Column(Modifier.fillMaxSize().background(palette.ground)) {
        Box(Modifier.weight(1f).fillMaxWidth()) { Screen(phone, here, files) }
        // Where the thumb just was, and over nothing.
        recorded.recorded?.let {
            Box(Modifier.background(palette.surface).padding(horizontal = 12.dp, vertical = 6.dp).testTag("recorded")) {
                Notice(
                    stringResource(R.string.recorded), R.drawable.ic_check, weight = Weight.Good,
                    detail = stringResource(if (it.photosLost > 0) R.string.recorded_photo_lost else R.string.recorded_detail),
                )
            }
        }
        if (here.isTop) {
            NavigationBar(here, home.sync.unsentRecords, home.alert != null, { place ->
                // From here one sees all of them, whatever was looked for last.
                if (place == Destination.Records) phone.records.show(Shown.All)
                phone.navigator.switch(place)
            }, phone.navigator::go)
        }
    }
    AfterRecording(phone)
}

/** Says that it is recorded, goes home, and stops saying so. */
@Composable
private fun AfterRecording(phone: Phone) {
    val recorded by phone.record.state.collectAsState()
    val done = recorded.recorded
    LaunchedEffect(done) {
        if (done != null) {
            phone.navigator.home()
            delay(SAID_MS)
            phone.record.seen()
        }
    }
}

private const val SAID_MS = 4_000L

private fun leave(phone: Phone, here: Destination) {
    if (here == Destination.ChooseType || here == Destination.Record) {
        // From the form one goes back to the types and keeps what is filled in; from the types it is given up.
        if (here == Destination.ChooseType) phone.record.discard()
    }
    phone.navigator.back()
}

@Composable
private fun Screen(phone: Phone, here: Destination, files: FilePicker) {
    val navigator = phone.navigator
    val onBack: () -> Unit = { leave(phone, here) }
    when (here) {
        Destination.Home -> {
            val state by phone.home.state.collectAsState()
            HomeScreen(state, phone.broughtBack, navigator::go, {
                phone.records.show(Shown.InConflict)
                navigator.switch(Destination.Records)
            }, phone.lock::lock)
        }
        Destination.Records -> {
            val state by phone.records.state.collectAsState()
            RecordsScreen(state, phone.records::show, navigator::go)
        }
        Destination.Map -> {
            val state by phone.map.state.collectAsState()
            MapScreen(state, phone.map, navigator::go)
        }
        Destination.Sync -> {
            val state by phone.repositories.sync.state.collectAsState()
            val member by phone.repositories.enrolment.member.collectAsState()
            SyncScreen(state, member, phone.repositories.sync, navigator::go)
        }
        Destination.Sos -> {
            val state by phone.sos.state.collectAsState()
            SosScreen(state, phone.sos, onBack)
        }
        Destination.ChooseType -> TypeScreen({ type: EventType ->
            phone.record.choose(type)
            navigator.go(Destination.Record)
        }, onBack)
        Destination.Record -> {
            val state by phone.record.state.collectAsState()
            RecordScreen(state, phone.record, onBack)
        }
        Destination.Patrol -> {
            val state by phone.patrol.state.collectAsState()
            PatrolScreen(state, phone.patrol, onBack)
        }
        is Destination.Detail -> {
            val holder = phone.detail(here.key)
            val state by holder.state.collectAsState()
            DetailScreen(state, holder, { navigator.go(Destination.Review(here.key)) }, onBack)
        }
        is Destination.Review -> {
            val holder = phone.detail(here.key)
            val state by holder.state.collectAsState()
            ReviewScreen(state, holder, onBack)
        }
        Destination.Exchange -> {
            val state by phone.exchange.state.collectAsState()
            ExchangeScreen(state, phone.exchange, onBack)
        }
        Destination.Files -> {
            val state by phone.exchange.state.collectAsState()
            FilesScreen(state, phone.exchange, files.export, files.import, onBack)
        }
    }
}
