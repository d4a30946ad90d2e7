package barid.patrol

import android.Manifest
import android.app.Application
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.location.Location
import android.location.LocationManager
import androidx.test.core.app.ApplicationProvider
import androidx.work.Configuration
import androidx.work.ListenableWorker
import androidx.work.NetworkType
import androidx.work.WorkInfo
import androidx.work.WorkManager
import androidx.work.testing.SynchronousExecutor
import androidx.work.testing.TestListenableWorkerBuilder
import androidx.work.testing.WorkManagerTestInitHelper
import barid.patrol.device.SyncWorker
import barid.patrol.device.TrackService
import barid.patrol.model.GapReason
import barid.patrol.model.Key
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowLooper

/** The foreground service and the worker, over the real application. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestPatrolApplication::class)
class BackgroundTest {
    private val application get() = ApplicationProvider.getApplicationContext<TestPatrolApplication>()
    private val patrol = Key("space", "patrol", "p1")
    private val intent get() = Intent(application, TrackService::class.java)
        .putExtra(TrackService.SPACE, patrol.space).putExtra(TrackService.PATROL, patrol.id)

    private fun eventually(claim: String, ask: () -> Boolean) {
        val end = System.nanoTime() + 20_000_000_000
        while (!ask()) {
            check(System.nanoTime() < end) { "not within 20 s: $claim" }
            ShadowLooper.idleMainLooper()
            Thread.sleep(10)
        }
    }

    private val opened get() = application.opening.value as Opening.Open

    @Test fun `the service is in the foreground as a user of location, and the recorder takes fixes`() {
        shadowOf(application as Application).grantPermissions(Manifest.permission.ACCESS_FINE_LOCATION)
        val manager = application.getSystemService(LocationManager::class.java)
        shadowOf(manager).setProviderEnabled(LocationManager.GPS_PROVIDER, true)
        val service = Robolectric.buildService(TrackService::class.java, intent).create().startCommand(0, 1).get()
        assertNotNull(shadowOf(service).lastForegroundNotification)
        assertEquals(ServiceInfo.FOREGROUND_SERVICE_TYPE_LOCATION, service.foregroundServiceType)
        eventually("the store opens and the recorder begins") {
            (application.opening.value as? Opening.Open)?.recorder?.state?.value?.patrol == patrol
        }
        shadowOf(manager).simulateLocation(
            Location(LocationManager.GPS_PROVIDER).apply {
                latitude = 24.96; longitude = 10.18; accuracy = 7f; time = System.currentTimeMillis()
            },
        )
        eventually("a fix is taken") { opened.recorder.state.value.recordedPositions == 1 }
        assertEquals(7.0, opened.recorder.state.value.last!!.accuracyM!!, 0.0)
    }

    @Test fun `a service that the system brings back goes on with the same patrol and tells the gap`() {
        application.journal.open = barid.patrol.device.OpenTrack(patrol, System.currentTimeMillis() - 300_000, paused = false)
        Robolectric.buildService(TrackService::class.java).create().startCommand(0, 1)
        eventually("the recorder goes on") { (application.opening.value as? Opening.Open)?.recorder?.state?.value?.patrol == patrol }
        val gap = opened.recorder.heldGaps.single()
        assertEquals(GapReason.Killed, gap.reason)
        assertTrue(gap.to - gap.from >= 300_000)
    }

    @Test fun `a service that is brought back without a patrol ends`() {
        val service = Robolectric.buildService(TrackService::class.java).create().startCommand(0, 1).get()
        assertTrue(shadowOf(service).isStoppedBySelf)
    }

    @Test fun `a damaged database is kept, and the phone opens again and says so`() {
        eventually("the store opens") { application.opening.value is Opening.Open }
        opened.store.close()
        val database = java.io.File(application.noBackupFilesDir, "field.db")
        java.io.File(database.path + "-wal").delete()
        database.writeBytes(ByteArray(8192) { 0x5A })
        val reborn = object : PatrolApplication() {
            override val encrypts = false
            override fun schedule() = Unit
            override fun scheduleSoon() = Unit
            fun begin(base: Context) { attachBaseContext(base); onCreate() }
        }
        reborn.begin(application)
        eventually("it opens, or says why not") { reborn.opening.value !is Opening.NotYet }
        val now = reborn.opening.value
        assertTrue("it opened", now is Opening.Open && now.phone.broughtBack)
        assertTrue("the damaged file is kept", application.noBackupFilesDir.list()!!.any { "damaged" in it })
    }

    @Test fun `the worker waits for a network, and a phone that is no member has nothing to do`() {
        val context: Context = application
        WorkManagerTestInitHelper.initializeTestWorkManager(context, Configuration.Builder().setExecutor(SynchronousExecutor()).build())
        SyncWorker.keep(context)
        SyncWorker.keep(context)
        val planned = WorkManager.getInstance(context).getWorkInfosForUniqueWork("sync").get().single()
        assertEquals(WorkInfo.State.ENQUEUED, planned.state)
        assertEquals(NetworkType.CONNECTED, planned.constraints.requiredNetworkType)
        SyncWorker.soon(context)
        assertEquals(1, WorkManager.getInstance(context).getWorkInfosForUniqueWork("sync-soon").get().size)
        eventually("the store opens") { application.opening.value is Opening.Open }
        val result = runBlocking { TestListenableWorkerBuilder<SyncWorker>(context).build().doWork() }
        assertEquals(ListenableWorker.Result.success(), result)
    }
}
