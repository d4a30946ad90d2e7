package barid.workmanager

import android.content.Context
import androidx.work.BackoffPolicy
import androidx.work.Constraints
import androidx.work.CoroutineWorker
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.ExistingWorkPolicy
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.PeriodicWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.WorkerParameters
import barid.FieldException
import barid.FieldStore
import java.util.concurrent.TimeUnit
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.toJavaDuration

/**
 * Implemented by the app's `Application`: it holds the one store of the process, and the worker borrows it.
 */
public interface FieldStoreOwner {
    /** The store, opened if it is not open yet; none if there is none to sync, as before the first start. */
    public suspend fun fieldStore(): FieldStore?
}

/**
 * Syncs while no screen is open. Nothing depends on it but how soon something arrives: what is recorded is
 * on the disk already, and a run that the system ends goes on where it was with the next one.
 *
 * Call [keep] once when the app starts, and [request] when something was recorded. The worker never
 * closes the store, and leaves the sync running: who opened the store decides about both.
 */
public class FieldSyncWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {
    override suspend fun doWork(): Result {
        val owner = applicationContext as? FieldStoreOwner
            ?: error("the Application must be a barid.workmanager.FieldStoreOwner")
        return try {
            val store = owner.fieldStore()
            if (store == null || store.enrolment.value == null) {
                Result.success()
            } else {
                store.sync.start()
                store.sync.request()
                if (store.sync.awaitSynced(RUN_TIME)) Result.success() else Result.retry()
            }
        } catch (_: FieldException) {
            // A store that cannot be opened now is for a screen to tell of. It is tried again, later each time.
            Result.retry()
        }
    }

    public companion object {
        /** Under this name the work of [keep] is known to WorkManager. */
        public const val PERIODIC_WORK: String = "barid-sync"

        /** Under this name the work of [request] is known to WorkManager. */
        public const val ONE_TIME_WORK: String = "barid-sync-now"

        /** Android ends a run after ten minutes. */
        private val RUN_TIME = 9.minutes

        /** The first wait after a run that did not get through; each one after is twice as long, up to five hours. */
        private const val BACKOFF_SECONDS = 30L

        private val network = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()

        /**
         * Syncs from time to time whenever there is a network, as long as the app is installed, also after
         * the phone was switched off and on.
         *
         * @param interval how often; Android does it no more often than every quarter of an hour.
         */
        public fun keep(context: Context, interval: Duration = 15.minutes) {
            val request = PeriodicWorkRequestBuilder<FieldSyncWorker>(interval.toJavaDuration())
                .setConstraints(network)
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, BACKOFF_SECONDS, TimeUnit.SECONDS)
                .build()
            WorkManager.getInstance(context)
                .enqueueUniquePeriodicWork(PERIODIC_WORK, ExistingPeriodicWorkPolicy.UPDATE, request)
        }

        /** Syncs as soon as there is a network. One that waits already is enough. */
        public fun request(context: Context) {
            val request = OneTimeWorkRequestBuilder<FieldSyncWorker>()
                .setConstraints(network)
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, BACKOFF_SECONDS, TimeUnit.SECONDS)
                .build()
            WorkManager.getInstance(context)
                .enqueueUniqueWork(ONE_TIME_WORK, ExistingWorkPolicy.KEEP, request)
        }

        /** Ends what [keep] and [request] asked for, as before a wipe. */
        public fun cancel(context: Context) {
            WorkManager.getInstance(context).cancelUniqueWork(PERIODIC_WORK)
            WorkManager.getInstance(context).cancelUniqueWork(ONE_TIME_WORK)
        }
    }
}
