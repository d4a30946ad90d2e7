package barid.patrol.checks

import java.io.File
import kotlin.system.exitProcess
import org.junit.runner.Description
import org.junit.runner.JUnitCore
import org.junit.runner.Request
import org.junit.runner.manipulation.Filter
import org.junit.runner.notification.Failure
import org.junit.runner.notification.RunListener

/**
 * Runs every test class found in the sources, writes JUnit's XML, and fails when fewer tests ran than the
 * sources have: a test that is dropped silently is a failure.
 */
fun main(words: Array<String>) {
    val sources = File(System.getProperty("patrol.sources"))
    val files = sources.walk().filter { it.name.endsWith("Test.kt") }
        .filter { file -> words.isEmpty() || words.any { it.substringBefore('#') in file.name } }.sortedBy { it.path }.toList()
    val classes = files.map { Class.forName(it.relativeTo(sources).path.removeSuffix(".kt").replace('/', '.')) }
    val written = files.sumOf { file -> file.readLines().count { it.trim().startsWith("@Test") } }
    val method = words.firstNotNullOfOrNull { word -> word.substringAfter('#', "").ifEmpty { null } }

    val report = Report()
    val core = JUnitCore().apply { addListener(report) }
    var request = Request.classes(*classes.toTypedArray())
    if (method != null) {
        request = request.filterWith(object : Filter() {
            override fun shouldRun(description: Description): Boolean =
                description.methodName?.contains(method) ?: description.children.any { shouldRun(it) }
            override fun describe(): String = method
        })
    }
    val result = core.run(request)
    report.write(File(System.getProperty("patrol.reports"), "patrol.xml"))
    println("\n${result.runCount} tests ran of $written written, ${result.failureCount} failed, ${result.ignoreCount} ignored, ${result.runTime / 1000} s")
    val dropped = method == null && result.runCount + result.ignoreCount < written
    if (dropped) println("some tests were dropped silently")
    // Threads of the library and of Robolectric do not keep the check waiting.
    exitProcess(if (result.wasSuccessful() && result.runCount > 0 && !dropped) 0 else 1)
}

private class Report : RunListener() {
    private class Case(val name: Description, val begun: Long, var ended: Long = 0, var failure: Failure? = null)

    private val cases = mutableListOf<Case>()

    override fun testStarted(description: Description) { cases += Case(description, System.nanoTime()) }

    override fun testFailure(failure: Failure) {
        println("FAILED ${failure.testHeader}\n${failure.trimmedTrace.lineSequence().take(30).joinToString("\n")}")
        cases.lastOrNull { it.name == failure.description }?.failure = failure
    }

    override fun testFinished(description: Description) {
        val case = cases.last { it.name == description }
        case.ended = System.nanoTime()
        if (case.failure == null) println("ok ${description.testClass.simpleName}: ${description.methodName} (${case.ms} ms)")
    }

    private val Case.ms get() = (ended - begun) / 1_000_000

    fun write(file: File) {
        fun String.xml() = replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;")
        val rows = cases.joinToString("\n") { case ->
            val failure = case.failure?.let { "<failure message=\"${(it.message ?: "").xml()}\">${it.trimmedTrace.xml()}</failure>" }.orEmpty()
            "  <testcase classname=\"${case.name.className}\" name=\"${case.name.methodName.xml()}\" time=\"${case.ms / 1000.0}\">$failure</testcase>"
        }
        val failed = cases.count { it.failure != null }
        file.writeText("<testsuite name=\"patrol\" tests=\"${cases.size}\" failures=\"$failed\">\n$rows\n</testsuite>\n")
    }
}
