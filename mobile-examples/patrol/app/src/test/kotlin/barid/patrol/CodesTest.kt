package barid.patrol

import barid.patrol.data.CodeFrames
import barid.patrol.data.Frame
import barid.patrol.ui.enrol.CodeScan
import barid.patrol.ui.enrol.EnrolHolder
import barid.patrol.ui.parts.codeMatrix
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

/** The camera is given its pictures. */
class CodesTest {
    private val code = "BARID1-7KX2M9PA0QZ8VW3T5RNB6CDEFGHJ1234"

    /** A code as a camera sees it: grey, small in a larger picture, and turned. */
    private fun frame(text: String, turned: Boolean = false): Frame {
        val matrix = codeMatrix(text)
        val side = 6
        val width = 640
        val height = 480
        val luma = ByteArray(width * height) { (170 + it % 23).toByte() }
        for (y in 0 until matrix.height * side) for (x in 0 until matrix.width * side) {
            val dark = if (turned) matrix[y / side, matrix.width - 1 - x / side] else matrix[x / side, y / side]
            luma[(y + 90) * width + x + 140] = if (dark) 40 else 215.toByte()
        }
        return Frame(luma, width, height)
    }

    @Test fun `a code is read, also when the phone is turned`() {
        assertEquals(code, CodeScan.read(frame(code)))
        assertEquals(code, CodeScan.read(frame(code, turned = true)))
    }

    @Test fun `a picture without a code has none`() {
        assertNull(CodeScan.read(Frame(ByteArray(640 * 480) { (it % 251).toByte() }, 640, 480)))
    }

    @Test fun `another's code is passed over, and the right one fills the form`() = runBlocking {
        val frames = CodeFrames { flowOf(frame("https://example.org/"), frame(code)) }
        val holder = EnrolHolder(FakeEnrolment(), CodeScan(frames), FakePermits(), CoroutineScope(SupervisorJob() + Dispatchers.Unconfined))
        holder.scan()
        withTimeout(20_000) { while (holder.state.value.code.isEmpty()) kotlinx.coroutines.delay(10) }
        assertEquals(code, holder.state.value.code)
    }

    @Test fun `a refused camera leaves the form to be typed`() {
        val permits = FakePermits().apply { grants = false }
        val holder = EnrolHolder(FakeEnrolment(), CodeScan(FakeFrames()), permits, CoroutineScope(SupervisorJob() + Dispatchers.Unconfined))
        holder.scan()
        assertEquals(false, holder.state.value.scanning)
        holder.setCode("BARID1-X")
        holder.setLabel("Unit 4")
        assertEquals(true, holder.state.value.canEnrol)
    }
}
