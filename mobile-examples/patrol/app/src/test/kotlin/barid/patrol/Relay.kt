package barid.patrol

import java.io.File
import java.util.concurrent.TimeUnit

/** A real relay: the built `barid` in a process of its own, which can be stopped and started again. */
class Relay(private val folder: File) : AutoCloseable {
    private val program = requireNotNull(System.getenv("BARID")) { "BARID names the built program" }
    private val data = File(folder, "relay").path
    private var listen = "127.0.0.1:0"
    private var process: Process? = null

    init {
        val password = File(folder, "password").apply { writeText("a long enough password 7600") }
        run(
            "init", "--data", data, "--organisation-en", "Border Guard", "--organisation-ar", "حرس الحدود",
            "--account", "duty", "--password-file", password.path,
        )
        start()
    }

    fun start() {
        val started = ProcessBuilder(program, "serve", "--data", data, "--listen", listen)
            .redirectError(ProcessBuilder.Redirect.INHERIT).start()
        process = started
        val lines = started.inputStream.bufferedReader()
        val ready = generateSequence { lines.readLine() }.firstOrNull { "listening on" in it }
        checkNotNull(ready) { "the relay did not start" }
        // The next start takes the same port: phones know the address from their enrolment.
        Regex("127\\.0\\.0\\.1:\\d+").find(ready)?.let { listen = it.value }
        Thread { lines.forEachLine { } }.apply { isDaemon = true }.start()
    }

    fun stop() {
        val running = process ?: return
        running.destroy()
        if (!running.waitFor(15, TimeUnit.SECONDS)) running.destroyForcibly().waitFor()
        process = null
    }

    /** A one-use enrolment code. */
    fun code(label: String): String =
        run("enrol", "--data", data, "--organisation", "Border Guard", "--label", label).split(Regex("\\s+")).first { it.startsWith("BARID1-") }

    /** Revokes a phone and asks it to wipe itself. */
    fun revokeAndAskWipe(label: String): String = run("device", "--data", data, "revoke", label, "--reason", "lost", "--wipe")

    /** Takes in a bundle; what the program says of it. */
    fun import(bundle: File): String = run("import", "--data", data, bundle.path)

    private fun run(vararg words: String): String {
        val process = ProcessBuilder(program, *words).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val printed = process.inputStream.bufferedReader().readText()
        check(process.waitFor() == 0) { "barid ${words.first()} failed:\n$printed" }
        return printed
    }

    override fun close() = stop()
}
