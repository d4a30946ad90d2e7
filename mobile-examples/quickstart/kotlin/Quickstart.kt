package quickstart

import barid.ffi.FieldStore
import barid.ffi.FieldValue
import barid.ffi.Query
import barid.ffi.StoreConfig
import barid.ffi.generateSeed
import java.io.File

/** Usage: `Quickstart FOLDER CODE`. The code comes from `barid enrol`. */
fun main(arguments: Array<String>) {
    val (folder, code) = arguments

    // The device's secret. On a phone it belongs into the Keystore; here it is a file.
    val key = File(folder, "device.key")
    if (!key.exists()) key.writeBytes(generateSeed())

    FieldStore.open(StoreConfig(path = "$folder/field.db", seed = key.readBytes())).use { store ->
        if (store.enrolment() == null) store.enrol(code, "Quickstart phone")

        // Recorded and durable when `put` returns, network or not.
        store.records().put(
            "event",
            mapOf(
                "time" to FieldValue.Int(System.currentTimeMillis()),
                "lat" to FieldValue.Number(24.96),
                "lon" to FieldValue.Number(10.18),
                "event_type" to FieldValue.Text("water_point_status"),
                "title" to FieldValue.Text("البئر صالحة للشرب"),
            ),
        )

        store.sync().start()
        println("synced: ${store.sync().waitUntilSynced(30_000u)}")

        for (event in store.records().query(Query(kind = "event")).records) {
            println("${(event.fields["title"] as FieldValue.Text).value}, delivered: ${event.delivered}")
        }
        store.sync().stop()
    }
}
