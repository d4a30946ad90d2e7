package barid.patrol.device

import android.content.Context
import androidx.work.Constraints
import androidx.work.CoroutineWorker
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.ExistingWorkPolicy
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.PeriodicWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.WorkerParameters
import barid.patrol.PatrolApplication
import java.util.concurrent.TimeUnit

/** Syncs while no screen is open. When the time is over, the next one goes on where this one was. */
class SyncWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {
    override suspend fun doWork(): Result {
        val phone = (applicationContext as PatrolApplication).phone() ?: return Result.failure()
        if (phone.repositories.enrolment.member.value == null) return Result.success()
        return if (phone.repositories.sync.awaitSynced(TIMEOUT_MS)) Result.success() else Result.retry()
    }

    companion object {
        private const val TIMEOUT_MS = 9 * 60_000L
        private val network = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()

        /** Every quarter of an hour with a network, for as long as the app is installed. */
        fun keep(context: Context) {
            val request = PeriodicWorkRequestBuilder<SyncWorker>(15, TimeUnit.MINUTES).setConstraints(network).build()
            WorkManager.getInstance(context).enqueueUniquePeriodicWork("sync", ExistingPeriodicWorkPolicy.KEEP, request)
        }

        /** As soon as there is a network: something was recorded. */
        fun soon(context: Context) {
            val request = OneTimeWorkRequestBuilder<SyncWorker>().setConstraints(network).build()
            WorkManager.getInstance(context).enqueueUniqueWork("sync-soon", ExistingWorkPolicy.KEEP, request)
        }
    }
}
