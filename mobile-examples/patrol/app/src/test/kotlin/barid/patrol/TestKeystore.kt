package barid.patrol

import android.security.keystore.KeyGenParameterSpec
import java.io.InputStream
import java.io.OutputStream
import java.security.Key
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.SecureRandom
import java.security.Security
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec

/**
 * Stands in for Android's keystore, which does not exist here: keys in memory. It proves the calls and their
 * order, and nothing about hardware.
 */
object TestKeystore : Provider("AndroidKeyStore", "1", "keys in memory, for tests") {
    val held = HashMap<String, Key>()
    val specs = mutableListOf<KeyGenParameterSpec>()

    init {
        put("KeyStore.AndroidKeyStore", Store::class.java.name)
        put("KeyGenerator.AES", Generator::class.java.name)
    }

    private fun readResolve(): Any = TestKeystore

    fun install() {
        Security.removeProvider(name)
        Security.addProvider(this)
    }

    class Generator : KeyGeneratorSpi() {
        private lateinit var spec: KeyGenParameterSpec

        override fun engineInit(random: SecureRandom?) = Unit
        override fun engineInit(size: Int, random: SecureRandom?) = Unit
        override fun engineInit(parameters: AlgorithmParameterSpec, random: SecureRandom?) { spec = parameters as KeyGenParameterSpec }

        override fun engineGenerateKey(): SecretKey {
            specs += spec
            if (spec.isStrongBoxBacked) throw android.security.keystore.StrongBoxUnavailableException()
            return SecretKeySpec(ByteArray(32).also { SecureRandom().nextBytes(it) }, "AES").also { held[spec.keystoreAlias] = it }
        }
    }

    class Store : KeyStoreSpi() {
        override fun engineGetKey(alias: String, password: CharArray?): Key? = held[alias]
        override fun engineGetCertificateChain(alias: String): Array<Certificate>? = null
        override fun engineGetCertificate(alias: String): Certificate? = null
        override fun engineGetCreationDate(alias: String): Date? = null
        override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) { held[alias] = key }
        override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) = Unit
        override fun engineSetCertificateEntry(alias: String, certificate: Certificate) = Unit
        override fun engineDeleteEntry(alias: String) { held.remove(alias) }
        override fun engineAliases(): Enumeration<String> = Collections.enumeration(held.keys)
        override fun engineContainsAlias(alias: String) = alias in held
        override fun engineSize() = held.size
        override fun engineIsKeyEntry(alias: String) = alias in held
        override fun engineIsCertificateEntry(alias: String) = false
        override fun engineGetCertificateAlias(certificate: Certificate): String? = null
        override fun engineStore(stream: OutputStream?, password: CharArray?) = Unit
        override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit
    }
}

/** The real application over the real core, with keys in memory and without encryption at rest, which this library is built without. */
class TestPatrolApplication : PatrolApplication() {
    val testFrames = FakeFrames()
    override val encrypts get() = false
    override fun frames() = testFrames
    override fun schedule() = Unit
    override fun scheduleSoon() = Unit

    override fun attachBaseContext(base: android.content.Context) {
        super.attachBaseContext(base)
        TestKeystore.held.clear()
        TestKeystore.install()
    }
}
