package barid.patrol.ui.enrol

import barid.patrol.data.CodeFrames
import barid.patrol.data.EnrolmentRepository
import barid.patrol.data.Frame
import barid.patrol.data.Permit
import barid.patrol.data.Permits
import barid.patrol.model.Outcome
import barid.patrol.model.Trouble
import com.google.zxing.BinaryBitmap
import com.google.zxing.DecodeHintType
import com.google.zxing.NotFoundException
import com.google.zxing.PlanarYUVLuminanceSource
import com.google.zxing.ReaderException
import com.google.zxing.common.HybridBinarizer
import com.google.zxing.qrcode.QRCodeReader
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.firstOrNull
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.mapNotNull
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

/** Finds a QR code in the camera's pictures. */
class CodeScan(private val frames: CodeFrames) {
    private val pictures = MutableStateFlow<Frame?>(null)

    /** What the camera sees, for whoever aims it. */
    val seen: StateFlow<Frame?> = pictures.asStateFlow()

    /** The first code that is wanted, or none when the camera ends. */
    suspend fun first(wanted: (String) -> Boolean): String? = try {
        frames.frames().onEach { pictures.value = it }.conflate().mapNotNull { read(it) }
            .flowOn(Dispatchers.Default).firstOrNull(wanted)
    } finally {
        pictures.value = null
    }

    companion object {
        fun read(frame: Frame): String? {
            val source = PlanarYUVLuminanceSource(frame.luma, frame.width, frame.height, 0, 0, frame.width, frame.height, false)
            return try {
                QRCodeReader().decode(BinaryBitmap(HybridBinarizer(source)), mapOf(DecodeHintType.TRY_HARDER to true)).text
            } catch (_: NotFoundException) {
                null
            } catch (_: ReaderException) {
                null
            }
        }
    }
}

data class EnrolState(
    val code: String = "",
    val label: String = "",
    val scanning: Boolean = false,
    /** The code is being redeemed: the one moment that needs a network. */
    val underWay: Boolean = false,
    val trouble: Trouble? = null,
) {
    val canEnrol: Boolean get() = code.isNotBlank() && label.isNotBlank() && !underWay
}

/** Makes this phone a member, by a code that was scanned or typed. */
class EnrolHolder(
    private val enrolment: EnrolmentRepository,
    private val scan: CodeScan,
    private val permits: Permits,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow(EnrolState())
    val state: StateFlow<EnrolState> = states.asStateFlow()
    private var scanJob: Job? = null

    /** What the camera sees while a code is read. */
    val seen = scan.seen

    fun setCode(code: String) = states.update { it.copy(code = code, trouble = null) }

    fun setLabel(label: String) = states.update { it.copy(label = label, trouble = null) }

    fun scan() {
        if (scanJob?.isActive == true) return
        scanJob = scope.launch {
            if (!permits.ask(Permit.Camera)) return@launch
            states.update { it.copy(scanning = true) }
            try {
                scan.first { it.startsWith(CODE) }?.let(::setCode)
            } finally {
                states.update { it.copy(scanning = false) }
            }
        }
    }

    fun stopScan() { scanJob?.cancel() }

    fun enrol() {
        if (!states.value.canEnrol) return
        states.update { it.copy(underWay = true, trouble = null) }
        scope.launch {
            val filled = states.value
            val outcome = enrolment.enrol(filled.code.trim(), filled.label.trim())
            states.update { it.copy(underWay = false, trouble = (outcome as? Outcome.Failed)?.trouble) }
        }
    }

    private companion object {
        const val CODE = "BARID1-"
    }
}
