package barid

import java.io.File
import java.net.ServerSocket
import java.util.concurrent.TimeUnit

/** A real relay: the built `barid` in a process of its own, on a port that stays the same. */
class Relay(folder: File) : AutoCloseable {
    private val program = requireNotNull(System.getenv("BARID")) { "BARID names the built program" }
    private val data = File(folder, "relay").path
    private var process: Process? = null

    /** Where phones that enrol look for it, on the loopback. */
    val port: Int = freePort()

    /** Where it listens now. */
    var listens: Int = port
        private set

    init {
        val password = File(folder, "password").apply { writeText("a long enough password 7600") }
        run(
            "init", "--data", data, "--organisation-en", "Border Guard", "--organisation-ar", "حرس الحدود",
            "--account", "duty", "--password-file", password.path,
        )
        start()
    }

    /** Starts it, at first or again, perhaps elsewhere. */
    fun start(listen: Int = port) {
        listens = listen
        val started = ProcessBuilder(program, "serve", "--data", data, "--listen", "127.0.0.1:$listen")
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start()
        val said = started.inputStream.bufferedReader()
        check(generateSequence { said.readLine() }.any { "listening on" in it }) { "the relay did not start" }
        // What it says later is read and dropped, so that a full pipe never stops it.
        Thread { runCatching { said.forEachLine { } } }.apply { isDaemon = true }.start()
        process = started
    }

    /** Ends it at once, as a power cut does. */
    fun kill() {
        process?.destroyForcibly()?.waitFor(15, TimeUnit.SECONDS)
    }

    /** A one-use enrolment code. */
    fun code(label: String): String {
        val printed = run("enrol", "--data", data, "--organisation", "Border Guard", "--label", label)
        return printed.split(Regex("\\s+")).first { it.startsWith("BARID1-") }
    }

    /** Revokes a device, and asks it to wipe itself. */
    fun revokeAndAskWipe(label: String): String =
        run("device", "--data", data, "revoke", label, "--reason", "lost", "--wipe")

    /** Takes in a bundle. */
    fun import(bundle: File): String = run("import", "--data", data, bundle.path)

    private fun run(vararg words: String): String {
        val process = ProcessBuilder(program, *words).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val printed = process.inputStream.bufferedReader().readText()
        check(process.waitFor() == 0) { "barid ${words.first()} failed:\n$printed" }
        return printed
    }

    override fun close() {
        process?.destroy()
        if (process?.waitFor(15, TimeUnit.SECONDS) == false) process?.destroyForcibly()
    }

    companion object {
        /** A port that nobody listens on. */
        fun freePort(): Int = ServerSocket(0).use { it.localPort }
    }
}
