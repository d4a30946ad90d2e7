package barid

import java.io.File
import java.util.concurrent.TimeUnit

/** A real relay: the built `barid` in a process of its own. */
class Relay(private val folder: File) : AutoCloseable {
    private val program = requireNotNull(System.getenv("BARID")) { "BARID names the built program" }
    private val data = File(folder, "relay").path
    private val process: Process

    init {
        val password = File(folder, "password").apply { writeText("a long enough password 7600") }
        run(
            "init", "--data", data, "--organisation-en", "Border Guard", "--organisation-ar", "حرس الحدود",
            "--account", "duty", "--password-file", password.path,
        )
        process = ProcessBuilder(program, "serve", "--data", data, "--listen", "127.0.0.1:0")
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start()
        val ready = process.inputStream.bufferedReader()
        check(generateSequence { ready.readLine() }.any { "listening on" in it }) { "the relay did not start" }
        // What it says later is read and dropped, so that a full pipe never stops it.
        Thread { ready.forEachLine { } }.apply { isDaemon = true }.start()
    }

    /** A one-use enrolment code. */
    fun code(label: String): String {
        val printed = run("enrol", "--data", data, "--organisation", "Border Guard", "--label", label)
        return printed.split(Regex("\\s+")).first { it.startsWith("BARID1-") }
    }

    private fun run(vararg words: String): String {
        val process = ProcessBuilder(program, *words).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val printed = process.inputStream.bufferedReader().readText()
        check(process.waitFor() == 0) { "barid ${words.first()} failed:\n$printed" }
        return printed
    }

    override fun close() {
        process.destroy()
        if (!process.waitFor(15, TimeUnit.SECONDS)) process.destroyForcibly()
    }
}
