package quickstart

import barid.*
import java.io.File
import kotlin.time.Clock
import kotlin.time.Duration.Companion.seconds

suspend fun main(arguments: Array<String>) {
    val (folder, code) = arguments // the code comes from `barid enrol`
    val secret = File(folder, "device.key").apply { if (!exists()) writeBytes(FieldStore.newSecret()) }
    FieldStore.open(StoreConfig(File(folder, "field.db"), secret.readBytes())).use { store ->
        if (store.enrolment.value == null) store.enrol(code, "Phone 1")
        store.records.put(Event(Clock.System.now(), "water_point_status", title = "البئر صالحة للشرب"))
        store.sync.start()
        println("synced: ${store.sync.awaitSynced(30.seconds)}")
        store.records.query().records.forEach { println("${it.text("title")}, delivered: ${it.isDelivered}") }
    }
}
