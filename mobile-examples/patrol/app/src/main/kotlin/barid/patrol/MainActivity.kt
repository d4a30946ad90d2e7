package barid.patrol

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.result.contract.ActivityResultContracts
import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import androidx.core.content.FileProvider
import androidx.lifecycle.lifecycleScope
import barid.patrol.device.Asker
import barid.patrol.ui.FilePicker
import barid.patrol.ui.KeyLostScreen
import barid.patrol.ui.PatrolApp
import barid.patrol.ui.WipedScreen
import barid.patrol.ui.theme.LocalPalette
import barid.patrol.ui.theme.PatrolTheme
import java.io.File
import java.io.IOException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Draws, and asks the system for what only an activity may ask. */
class MainActivity : ComponentActivity(), Asker {
    private val patrol get() = application as PatrolApplication

    private val permissions = registerForActivityResult(ActivityResultContracts.RequestPermission()) { patrol.ports.onPermission(it) }
    private val pictures = registerForActivityResult(ActivityResultContracts.TakePicture()) { patrol.ports.onPicture(it) }
    private val credentials = registerForActivityResult(ActivityResultContracts.StartActivityForResult()) {
        patrol.ports.onCredential(it.resultCode == Activity.RESULT_OK)
    }
    private val exports = registerForActivityResult(ActivityResultContracts.CreateDocument("application/octet-stream")) { it?.let(::export) }
    private val imports = registerForActivityResult(ActivityResultContracts.OpenDocument()) { it?.let(::import) }

    private val handedOver = registerForActivityResult(ActivityResultContracts.CreateDocument("application/octet-stream")) { it?.let(::handOver) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        enableEdgeToEdge()
        patrol.ports.asker = this
        setContent {
            PatrolTheme {
                val opening by patrol.opening.collectAsState()
                when (val now = opening) {
                    // Opening takes a moment, and needs nobody: just the ground, as before the first frame.
                    Opening.NotYet -> Box(Modifier.fillMaxSize().background(LocalPalette.current.ground))
                    is Opening.Failed -> KeyLostScreen(now.why, patrol::open, patrol::beginAnew)
                    is Opening.Wiped -> WipedScreen(now.sealed.isNotEmpty(), { handedOver.launch(now.sealed.first().name) }, patrol::goOnAfterWipe)
                    is Opening.Open -> PatrolApp(now.phone, FilePicker({ exports.launch("barid-${now.phone.clock.now()}.bundle") }, { imports.launch(arrayOf("*/*")) }))
                }
            }
        }
    }

    override fun onDestroy() {
        if (patrol.ports.asker === this) patrol.ports.asker = null
        super.onDestroy()
    }

    override fun permission(name: String) = permissions.launch(name)
    override fun picture(into: File) = pictures.launch(FileProvider.getUriForFile(this, "$packageName.pictures", into))
    override fun credential(intent: Intent) = credentials.launch(intent)

    private fun export(to: Uri) {
        val phone = (patrol.opening.value as? Opening.Open)?.phone ?: return
        val file = File(cacheDir, "out-${phone.clock.now()}.bundle")
        phone.exchange.exportTo(file.path) {
            withContext(Dispatchers.IO) {
                contentResolver.openOutputStream(to)?.use { out -> file.inputStream().use { it.copyTo(out) } }
                file.delete()
            }
        }
    }

    private fun handOver(to: Uri) {
        lifecycleScope.launch {
            withContext(Dispatchers.IO) {
                try {
                    contentResolver.openOutputStream(to)?.use { out -> patrol.wiper.sealed.firstOrNull()?.let { patrol.wiper.handOver(it, out) } }
                } catch (_: IOException) {
                    // It is still here, and the screen still asks for it.
                }
            }
            patrol.goOnAfterWipe()
        }
    }

    private fun import(from: Uri) {
        val phone = (patrol.opening.value as? Opening.Open)?.phone ?: return
        val file = File(cacheDir, "in-${phone.clock.now()}.bundle")
        phone.exchange.importFrom(file.path) {
            withContext(Dispatchers.IO) {
                contentResolver.openInputStream(from)?.use { read -> file.outputStream().use { read.copyTo(it) } }
            }
        }
    }
}
