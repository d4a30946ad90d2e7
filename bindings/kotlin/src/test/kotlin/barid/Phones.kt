package barid

import java.io.File
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.fail

/** How long anything may take on a machine that has much else to do. */
val PATIENCE: Duration = 60.seconds

/** A test that suspends. It gives nothing back: JUnit passes over a test that does. */
fun story(tell: suspend () -> Unit): Unit = runBlocking { tell() }

/** A phone's files. */
class Phone(private val folder: File, private val name: String) {
    private val secret = FieldStore.newSecret()
    val database = File(folder, "$name.db")

    suspend fun open(lease: Duration? = null): FieldStore = FieldStore.open(StoreConfig(database, secret, lease = lease))

    suspend fun enrolled(relay: Relay): FieldStore = open().also { it.enrol(relay.code(name), name) }

    /** The names of the files that are there. */
    fun files(): List<String> =
        folder.list().orEmpty().filter { it.startsWith("$name.db") }.sorted()
}

suspend fun FieldStore.putTitled(title: String): RecordKey = records.put(Kinds.EVENT) { set("title", title) }

suspend fun FieldStore.syncAll() {
    sync.start()
    assertTrue(sync.awaitSynced(PATIENCE), "synced in time; ${sync.status.value}")
}

/** The first value of a flow that is as it should be. */
suspend fun <T> Flow<T>.soon(claim: String, isIt: (T) -> Boolean): T {
    var last: T? = null
    val found = withTimeoutOrNull(PATIENCE) { Result.success(first { last = it; isIt(it) }) }
    return (found ?: fail("not in time: $claim; last $last")).getOrThrow()
}

suspend fun eventually(claim: String, ask: suspend () -> Boolean) {
    withTimeoutOrNull(PATIENCE) { while (!ask()) delay(10.milliseconds) } ?: fail("not in time: $claim")
}

/** The exception of this type that the call throws. */
suspend inline fun <reified E : FieldException> throws(crossinline call: suspend () -> Unit): E {
    try {
        call()
    } catch (error: FieldException) {
        if (error is E) return error
        throw error
    }
    fail("it threw nothing, where ${E::class.simpleName} was due")
}
