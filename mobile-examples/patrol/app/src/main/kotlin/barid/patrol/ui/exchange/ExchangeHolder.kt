package barid.patrol.ui.exchange

import barid.patrol.data.ExchangeRepository
import barid.patrol.data.FileRepository
import barid.patrol.data.Passed
import barid.patrol.data.Permit
import barid.patrol.data.Permits
import barid.patrol.model.Outcome
import barid.patrol.model.Trouble
import barid.patrol.ui.enrol.CodeScan
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

enum class ExchangeStep { Choose, Showing, Reading, UnderWay, Done }

data class ExchangeState(
    val step: ExchangeStep = ExchangeStep.Choose,
    /** What the other phone reads. */
    val code: String? = null,
    val typed: String = "",
    val passed: Passed = Passed(),
    val trouble: Trouble? = null,
)

/** One phone shows a code, the other reads it; then both have what either had. */
class ExchangeHolder(
    private val exchange: ExchangeRepository,
    private val files: FileRepository,
    private val scan: CodeScan,
    private val permits: Permits,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow(ExchangeState())
    val state: StateFlow<ExchangeState> = states.asStateFlow()
    private var work: Job? = null

    /** What the camera sees while a code is read. */
    val seen = scan.seen

    fun show() = begin(ExchangeStep.Showing) {
        exchange.invite(
            onCode = { code -> states.update { it.copy(code = code) } },
            onProgress = ::progress,
        )
    }

    fun read() = begin(ExchangeStep.Reading) {
        // Without the camera the code is typed: that waits below.
        if (!permits.ask(Permit.Camera)) return@begin null
        val code = scan.first { it.startsWith(CODE) } ?: return@begin null
        exchange.join(code, ::progress)
    }

    fun type(code: String) = states.update { it.copy(typed = code) }

    fun join() = begin(ExchangeStep.UnderWay) { exchange.join(states.value.typed.trim(), ::progress) }

    /** Writes a new file at the path; [then] carries it to where it was wanted, before it is called done. */
    fun exportTo(path: String, then: suspend () -> Unit = {}) = begin(ExchangeStep.UnderWay) {
        files.export(path).also { if (it is Outcome.Done) then() }
    }

    /** Reads what [first] brings to the path. */
    fun importFrom(path: String, first: suspend () -> Unit = {}) = begin(ExchangeStep.UnderWay) {
        first()
        files.import(path)
    }

    /** What has passed stays passed. */
    fun stop() {
        work?.cancel()
        states.value = ExchangeState()
    }

    private fun progress(passed: Passed) = states.update { it.copy(step = ExchangeStep.UnderWay, passed = passed) }

    private fun begin(step: ExchangeStep, call: suspend () -> Outcome<Passed>?) {
        work?.cancel()
        states.update { ExchangeState(step, typed = it.typed) }
        work = scope.launch {
            when (val outcome = call()) {
                null -> Unit
                is Outcome.Done -> states.update { ExchangeState(ExchangeStep.Done, passed = outcome.value) }
                is Outcome.Failed -> states.update { it.copy(step = ExchangeStep.Choose, trouble = outcome.trouble) }
            }
        }
    }

    companion object {
        /** How a pairing code begins. */
        const val CODE = "BARIDP1-"
    }
}
