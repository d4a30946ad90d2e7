package barid.patrol

import android.app.Application
import barid.patrol.device.Vault
import barid.patrol.device.VaultState
import java.io.File
import javax.crypto.spec.SecretKeySpec
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

/** The keystore is a stand-in (see TestKeystore): the calls are proved, hardware is not. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class VaultTest {
    @get:Rule val temporary = TemporaryFolder()

    private val database get() = File(temporary.root, "field.db")
    private val sealed get() = File(temporary.root, "secrets.sealed")
    private fun vault() = Vault(temporary.root, database) { ByteArray(32) { 7 } }
    private fun open() = (vault().open() as VaultState.Open).secrets

    @Before fun install() {
        TestKeystore.held.clear()
        TestKeystore.specs.clear()
        TestKeystore.install()
    }

    @Test fun `the same secrets come back, and the file does not hold them`() {
        val first = open()
        val second = open()
        assertArrayEquals(first.seed, second.seed)
        assertArrayEquals(first.databaseKey, second.databaseKey)
        val bytes = sealed.readBytes().toList()
        assertFalse(bytes.windowed(32).any { it == first.seed.toList() || it == first.databaseKey.toList() })
    }

    @Test fun `the key is the hardware's if it can be, AES-GCM of 256 bits, and asks nobody`() {
        open()
        assertEquals(listOf(true, false), TestKeystore.specs.map { it.isStrongBoxBacked })
        val spec = TestKeystore.specs.last()
        assertEquals(256, spec.keySize)
        assertEquals(listOf("GCM"), spec.blockModes.toList())
        assertFalse("a locked phone records", spec.isUserAuthenticationRequired)
    }

    @Test fun `an invalidated key is said, and nothing is deleted or made anew`() {
        open()
        database.writeText("records")
        val before = sealed.readBytes()
        TestKeystore.held.clear()
        assertEquals(VaultState.KeyLost, vault().open())
        TestKeystore.held["barid-secrets"] = SecretKeySpec(ByteArray(32), "AES")
        assertEquals("another key of the same name", VaultState.KeyLost, vault().open())
        assertArrayEquals(before, sealed.readBytes())
        assertEquals("records", database.readText())
    }

    @Test fun `a database without its secrets is never covered by new ones`() {
        database.writeText("records")
        assertEquals(VaultState.KeyLost, vault().open())
        assertFalse(sealed.exists())
    }

    @Test fun `what was destroyed is gone, and other secrets are made`() {
        val before = open()
        vault().destroy()
        assertTrue(TestKeystore.held.isEmpty() && !sealed.exists())
        assertFalse(before.databaseKey.contentEquals(open().databaseKey))
    }

    @Test fun `to begin anew sets everything aside under another name`() {
        open()
        database.writeText("records")
        File(database.path + "-wal").writeText("more")
        TestKeystore.held.clear()
        vault().setAside(41)
        assertEquals("records", File(database.path + ".lost-41").readText())
        assertEquals("more", File(database.path + "-wal.lost-41").readText())
        assertTrue(File(sealed.path + ".lost-41").exists())
        assertTrue(vault().open() is VaultState.Open)
        TestKeystore.held.clear()
        vault().setAside(42)
        assertEquals("what was set aside stays as it is", "records", File(database.path + ".lost-41").readText())
    }
}
