package barid.patrol.device

import android.Manifest
import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Service
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.content.pm.PackageManager
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.IBinder
import android.os.PowerManager
import barid.patrol.MainActivity
import barid.patrol.PatrolApplication
import barid.patrol.R
import barid.patrol.data.TrackRecording
import barid.patrol.data.TrackState
import barid.patrol.model.Key
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.launch

/**
 * Keeps the process alive and visible while a way is recorded. It is sticky: when the system kills it, it comes
 * back, and the recorder writes the time between as a gap.
 */
class TrackService : Service() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private var recorder: TrackRecorder? = null
    private val power = object : BroadcastReceiver() {
        override fun onReceive(context: Context, intent: Intent) {
            recorder?.savingPower = getSystemService(PowerManager::class.java).isPowerSaveMode
        }
    }

    override fun onBind(intent: Intent?): IBinder? = null

    override fun onCreate() {
        super.onCreate()
        val notifications = getSystemService(NotificationManager::class.java)
        notifications.createNotificationChannel(
            NotificationChannel(CHANNEL, getString(R.string.track_channel), NotificationManager.IMPORTANCE_LOW),
        )
        registerReceiver(power, IntentFilter(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED))
    }

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        val application = application as PatrolApplication
        val patrol = intent?.patrol() ?: application.journal.open?.patrol
        if (patrol == null) {
            stopSelf()
            return START_NOT_STICKY
        }
        val allowed = checkSelfPermission(Manifest.permission.ACCESS_FINE_LOCATION) == PackageManager.PERMISSION_GRANTED
        val words = if (allowed) R.string.track_notification else R.string.track_notification_denied
        if (!foreground(words)) {
            // The system does not let it; the screen says that the way is not recorded.
            stopSelf()
            return START_NOT_STICKY
        }
        scope.launch {
            val of = application.recorder() ?: return@launch
            recorder = of
            of.savingPower = getSystemService(PowerManager::class.java).isPowerSaveMode
            of.begin(patrol)
            of.state.collect { state -> if (allowed) say(if (state.noFixSince == null) words else R.string.track_notification_no_fix) }
        }
        return START_STICKY
    }

    override fun onDestroy() {
        unregisterReceiver(power)
        scope.cancel()
        super.onDestroy()
    }

    private fun Intent.patrol(): Key? {
        val space = getStringExtra(SPACE) ?: return null
        val id = getStringExtra(PATROL) ?: return null
        return Key(space, "patrol", id)
    }

    private fun foreground(words: Int): Boolean = try {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            startForeground(ID, notification(words), ServiceInfo.FOREGROUND_SERVICE_TYPE_LOCATION)
        } else {
            startForeground(ID, notification(words))
        }
        true
    } catch (_: SecurityException) {
        false
    } catch (_: IllegalStateException) {
        // Since Android 12: not allowed from the background.
        false
    }

    private fun say(words: Int) = getSystemService(NotificationManager::class.java).notify(ID, notification(words))

    private fun notification(words: Int): Notification {
        val open = PendingIntent.getActivity(this, 0, Intent(this, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE)
        return Notification.Builder(this, CHANNEL)
            .setSmallIcon(R.drawable.ic_route)
            .setContentTitle(getString(words))
            .setContentIntent(open)
            .setOngoing(true)
            // On a lock screen it says that a way is recorded, never where.
            .setVisibility(Notification.VISIBILITY_PUBLIC)
            .build()
    }

    companion object {
        const val SPACE = "space"
        const val PATROL = "patrol"
        private const val CHANNEL = "track"
        private const val ID = 1
    }
}

/** Starts and ends the service; the recorder does the rest. */
class ServiceTrackRecording(private val context: Context, private val recorder: TrackRecorder) : TrackRecording {
    override val state: StateFlow<TrackState> = recorder.state

    override fun start(patrol: Key) {
        try {
            context.startForegroundService(Intent(context, TrackService::class.java).putExtra(TrackService.SPACE, patrol.space).putExtra(TrackService.PATROL, patrol.id))
        } catch (_: IllegalStateException) {
            // Not allowed just now: the screen says that the way is not recorded.
        }
    }

    override fun pause() = recorder.pause()

    override fun resume() {
        recorder.state.value.patrol?.let { start(it) }
        recorder.resume()
    }

    override fun stop() {
        recorder.stop()
        context.stopService(Intent(context, TrackService::class.java))
    }
}

/** Kept in the app's preferences: a patrol's id and times. */
class PreferencesTrackJournal(context: Context) : TrackJournal {
    private val kept = context.getSharedPreferences("track", Context.MODE_PRIVATE)

    override var open: OpenTrack?
        get() {
            val space = kept.getString("space", null) ?: return null
            val id = kept.getString("patrol", null) ?: return null
            return OpenTrack(Key(space, "patrol", id), kept.getLong("last", 0), kept.getBoolean("paused", false))
        }
        set(value) {
            kept.edit().apply {
                if (value == null) {
                    clear()
                } else {
                    putString("space", value.patrol.space).putString("patrol", value.patrol.id)
                        .putLong("last", value.lastMs).putBoolean("paused", value.paused)
                }
            }.apply()
        }
}
