package barid.patrol.device

import barid.patrol.data.DraftMemory
import barid.patrol.model.EventDraft
import barid.patrol.model.EventType
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.model.People
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.MessageDigest
import javax.crypto.Cipher
import javax.crypto.spec.GCMParameterSpec
import javax.crypto.spec.SecretKeySpec

/**
 * The event that is being filled in, in a sealed file: when the system kills the app behind the camera, what was
 * counted is still there. The place is not kept: it is taken anew. Photos are not either.
 */
class SealedDraft(private val file: File, databaseKey: ByteArray) : DraftMemory {
    private val key = SecretKeySpec(MessageDigest.getInstance("SHA-256").digest(CONTEXT + databaseKey), "AES")

    override fun load(): EventDraft? = try {
        val sealed = file.readBytes()
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, key, GCMParameterSpec(128, sealed, 0, IV_LEN))
        read(cipher.doFinal(sealed, IV_LEN, sealed.size - IV_LEN))
    } catch (_: IOException) {
        null
    } catch (_: GeneralSecurityException) {
        null
    } catch (_: IllegalArgumentException) {
        null
    }

    override fun keep(draft: EventDraft?) {
        try {
            if (draft == null) {
                file.delete()
                return
            }
            val cipher = Cipher.getInstance(CIPHER).apply { init(Cipher.ENCRYPT_MODE, key) }
            val beside = File(file.path + ".new")
            beside.writeBytes(cipher.iv + cipher.doFinal(write(draft)))
            beside.renameTo(file)
        } catch (_: IOException) {
            // A full disk: the form itself still holds it.
        }
    }

    private fun write(draft: EventDraft): ByteArray = ByteArrayOutputStream().also { bytes ->
        DataOutputStream(bytes).use { out ->
            out.writeUTF(draft.type.word)
            out.writeInt(draft.people.total)
            Group.entries.forEach { out.writeInt(draft.people.of(it)) }
            Need.entries.forEach { out.writeInt(draft.needs[it] ?: 0) }
            val note = draft.note.toByteArray()
            out.writeInt(note.size)
            out.write(note)
        }
    }.toByteArray()

    private fun read(bytes: ByteArray): EventDraft = DataInputStream(ByteArrayInputStream(bytes)).use { input ->
        val type = EventType.of(input.readUTF())
        val total = input.readInt()
        val groups = Group.entries.associateWith { input.readInt() }.filterValues { it > 0 }
        val needs = Need.entries.associateWith { input.readInt() }.filterValues { it > 0 }
        val note = ByteArray(input.readInt().coerceIn(0, bytes.size)).also(input::readFully)
        EventDraft(type, people = People(total, groups), needs = needs, note = String(note))
    }

    private companion object {
        const val CIPHER = "AES/GCM/NoPadding"
        const val IV_LEN = 12
        val CONTEXT = "barid patrol draft 1".toByteArray()
    }
}
