package barid.patrol.device

import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.security.keystore.StrongBoxUnavailableException
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.SecureRandom
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/** The device's Ed25519 seed and the key of its database, 32 bytes each. */
class Secrets(val seed: ByteArray, val databaseKey: ByteArray)

sealed interface VaultState {
    class Open(val secrets: Secrets) : VaultState

    /** There is something that only a lost key opens. Nothing was deleted, and nothing is made anew. */
    data object KeyLost : VaultState
}

/**
 * Keeps the secrets in a file that only this phone's keystore opens. The key does not ask who is there: a
 * locked phone records and calls for help.
 */
class Vault(private val folder: File, private val database: File, private val newSeed: () -> ByteArray) {
    private val file = File(folder, "secrets.sealed")

    fun open(): VaultState = when {
        file.exists() -> unseal()
        // A database without its secrets: to make new ones would hide what is in it for good.
        database.exists() -> VaultState.KeyLost
        else -> create()
    }

    /** Puts everything that the lost key closes aside, under names with this number; deletes nothing. */
    fun setAside(number: Long) {
        val own = listOf(file) + listOfNotNull(database.parentFile?.listFiles()).flatMap { it.toList() }
            .filter { it.name.startsWith(database.name) && ".lost-" !in it.name }
        own.filter { it.exists() }.forEach { it.renameTo(File(it.path + ".lost-$number")) }
    }

    /** The key first: without it the sealed file says nothing, whatever a flash memory keeps of it. */
    fun destroy() {
        KeyStore.getInstance(STORE).apply { load(null) }.deleteEntry(ALIAS)
        file.delete()
    }

    private fun create(): VaultState {
        val secrets = Secrets(newSeed(), ByteArray(KEY_LEN).also { SecureRandom().nextBytes(it) })
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.ENCRYPT_MODE, key() ?: generate())
        cipher.updateAAD(CONTEXT)
        val sealed = cipher.iv + cipher.doFinal(secrets.seed + secrets.databaseKey)
        folder.mkdirs()
        val beside = File(folder, file.name + ".new")
        FileOutputStream(beside).use {
            it.write(sealed)
            it.fd.sync()
        }
        if (!beside.renameTo(file)) throw IOException("the sealed secrets could not be put in place")
        return VaultState.Open(secrets)
    }

    private fun unseal(): VaultState = try {
        val sealed = file.readBytes()
        val key = key()
        if (key == null || sealed.size != IV_LEN + 2 * KEY_LEN + TAG_LEN) {
            VaultState.KeyLost
        } else {
            val cipher = Cipher.getInstance(CIPHER)
            cipher.init(Cipher.DECRYPT_MODE, key, GCMParameterSpec(TAG_LEN * 8, sealed, 0, IV_LEN))
            cipher.updateAAD(CONTEXT)
            val plain = cipher.doFinal(sealed, IV_LEN, sealed.size - IV_LEN)
            VaultState.Open(Secrets(plain.copyOfRange(0, KEY_LEN), plain.copyOfRange(KEY_LEN, 2 * KEY_LEN)))
        }
    } catch (_: GeneralSecurityException) {
        // Invalidated, replaced, or the file is another's.
        VaultState.KeyLost
    }

    private fun key(): SecretKey? = KeyStore.getInstance(STORE).apply { load(null) }.getKey(ALIAS, null) as? SecretKey

    private fun generate(): SecretKey {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
            try {
                return generate(strongBox = true)
            } catch (_: StrongBoxUnavailableException) {
                // Most phones have no such chip; the ordinary one then.
            }
        }
        return generate(strongBox = false)
    }

    private fun generate(strongBox: Boolean): SecretKey = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, STORE).run {
        val spec = KeyGenParameterSpec.Builder(ALIAS, KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(256)
        if (strongBox && Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) spec.setIsStrongBoxBacked(true)
        init(spec.build())
        generateKey()
    }

    private companion object {
        const val STORE = "AndroidKeyStore"
        const val ALIAS = "barid-secrets"
        const val CIPHER = "AES/GCM/NoPadding"
        const val KEY_LEN = 32
        const val IV_LEN = 12
        const val TAG_LEN = 16
        val CONTEXT = "barid patrol secrets 1".toByteArray()
    }
}
