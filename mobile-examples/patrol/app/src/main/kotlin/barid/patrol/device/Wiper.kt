package barid.patrol.device

import barid.FieldException
import barid.FieldStore
import barid.WipeMode
import java.io.File
import java.io.IOException
import java.io.OutputStream
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Deletes what this phone holds when whoever revoked it asks for that. What had not arrived is sealed to the
 * organisation before, in a file that stays until it was handed over.
 */
class Wiper(private val folder: File, private val database: File, private val vault: Vault, private val forget: () -> Unit) {
    /** What was sealed and not handed over. Two, where a wipe was cut off and began again. */
    val sealed: List<File>
        get() = folder.listFiles { file -> file.name.startsWith(PREFIX) }.orEmpty().sortedBy { it.name }

    /** Whether this phone was wiped and has something left to hand over. What was cut off is finished. */
    fun isWiped(): Boolean {
        if (database.exists() || sealed.isEmpty()) return false
        finish()
        return true
    }

    /**
     * False if it cannot be without a loss, as long as photos are on this phone alone: no file carries them yet.
     * Then the phone is locked, and nothing was deleted.
     */
    suspend fun wipe(store: FieldStore, now: Long): Boolean {
        val bundle = File(folder, "$PREFIX$now.bundle")
        try {
            val report = store.wipe(WipeMode.ExportFirst(bundle))
            withContext(Dispatchers.IO) {
                if (report.exported?.batches == 0L) bundle.delete()
                finish()
            }
            return true
        } catch (_: FieldException) {
            try {
                store.lock.lock()
            } catch (_: FieldException) {
                // Deleting had begun and did not end: the next start goes on with it.
            }
            return false
        }
    }

    /** Writes one sealed file to where somebody chose, and then deletes it here. */
    @Throws(IOException::class)
    fun handOver(file: File, to: OutputStream) {
        file.inputStream().use { it.copyTo(to) }
        to.flush()
        file.delete()
    }

    private fun finish() {
        vault.destroy()
        forget()
    }

    private companion object {
        const val PREFIX = "for-the-organisation-"
    }
}
