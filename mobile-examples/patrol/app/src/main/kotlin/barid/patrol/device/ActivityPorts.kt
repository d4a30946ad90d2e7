package barid.patrol.device

import android.Manifest
import android.app.KeyguardManager
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.os.Build
import barid.patrol.data.Credential
import barid.patrol.data.Permit
import barid.patrol.data.Permits
import barid.patrol.data.PhotoTaker
import barid.patrol.model.NewPhoto
import java.io.File
import java.io.IOException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch

/** What only a visible activity can ask the system for. */
interface Asker {
    fun permission(name: String)
    fun picture(into: File)
    fun credential(intent: Intent)
}

/** The activity's answers, for whoever asked; they outlive the activity, which the system may make anew meanwhile. */
class ActivityPorts(private val context: Context) : Permits, PhotoTaker, Credential {
    var asker: Asker? = null

    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val pictures = MutableSharedFlow<NewPhoto>(extraBufferCapacity = 4)
    private var permission: CompletableDeferred<Boolean>? = null
    private var credential: CompletableDeferred<Boolean>? = null
    private val file: File get() = File(File(context.cacheDir, "pictures").apply { mkdirs() }, "new.jpg")

    override val taken: Flow<NewPhoto> = pictures

    override suspend fun ask(permit: Permit): Boolean {
        val name = permit.permission ?: return true
        if (context.checkSelfPermission(name) == PackageManager.PERMISSION_GRANTED) return true
        val present = asker ?: return false
        val answer = CompletableDeferred<Boolean>().also { permission = it }
        present.permission(name)
        return answer.await()
    }

    fun onPermission(granted: Boolean) {
        permission?.complete(granted)
    }

    /** The system's camera writes into one file of ours. */
    override fun request() {
        asker?.picture(file)
    }

    fun onPicture(written: Boolean) {
        if (!written) return
        scope.launch {
            try {
                val photo = Pictures.prepare(file.readBytes()) ?: return@launch
                // The process may have died behind the camera: whoever asked is made anew first.
                pictures.subscriptionCount.first { it > 0 }
                pictures.emit(photo)
            } catch (_: IOException) {
                // The camera wrote nothing after all.
            } finally {
                file.delete()
            }
        }
    }

    override suspend fun confirm(): Boolean {
        val keyguard = context.getSystemService(KeyguardManager::class.java)
        @Suppress("DEPRECATION") // The newer form needs a library of its own; this one asks the same question.
        val intent = keyguard.createConfirmDeviceCredentialIntent(context.getString(barid.patrol.R.string.confirm_unlock), null)
            // A phone without a screen lock has nothing to ask for.
            ?: return true
        val present = asker ?: return false
        val answer = CompletableDeferred<Boolean>().also { credential = it }
        present.credential(intent)
        return answer.await()
    }

    fun onCredential(confirmed: Boolean) {
        credential?.complete(confirmed)
    }

    private val Permit.permission: String?
        get() = when (this) {
            Permit.Location -> Manifest.permission.ACCESS_FINE_LOCATION
            Permit.Camera -> Manifest.permission.CAMERA
            Permit.Notifications ->
                if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) Manifest.permission.POST_NOTIFICATIONS else null
        }
}
