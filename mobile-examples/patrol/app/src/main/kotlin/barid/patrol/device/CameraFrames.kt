package barid.patrol.device

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import barid.patrol.data.CodeFrames
import barid.patrol.data.Frame
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow

/** The camera at the back, grey. Collecting opens it, ending closes it; a camera that fails just ends. */
class CameraFrames(private val context: Context) : CodeFrames {
    override fun frames(): Flow<Frame> = callbackFlow {
        val manager = context.getSystemService(CameraManager::class.java)
        val camera = manager.cameraIdList.firstOrNull {
            manager.getCameraCharacteristics(it)[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_BACK
        }
        val allowed = context.checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED
        if (camera == null || !allowed) {
            channel.close()
            return@callbackFlow
        }
        val rotation = manager.getCameraCharacteristics(camera)[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0
        val thread = HandlerThread("codes").apply { start() }
        val handler = Handler(thread.looper)
        val reader = ImageReader.newInstance(WIDTH, HEIGHT, ImageFormat.YUV_420_888, 2)
        reader.setOnImageAvailableListener({ source ->
            source.acquireLatestImage()?.use { trySend(it.frame(rotation)) }
        }, handler)
        var device: CameraDevice? = null
        val opened = object : CameraDevice.StateCallback() {
            override fun onOpened(camera: CameraDevice) {
                device = camera
                start(camera, reader, handler) { channel.close() }
            }

            override fun onDisconnected(camera: CameraDevice) { channel.close() }
            override fun onError(camera: CameraDevice, error: Int) { channel.close() }
        }
        try {
            manager.openCamera(camera, opened, handler)
        } catch (_: CameraAccessException) {
            channel.close()
        }
        awaitClose {
            device?.close()
            reader.close()
            thread.quitSafely()
        }
    }

    private fun start(camera: CameraDevice, reader: ImageReader, handler: Handler, onFailed: () -> Unit) {
        try {
            @Suppress("DEPRECATION") // The newer form needs Android 9.
            camera.createCaptureSession(listOf(reader.surface), object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(session: CameraCaptureSession) {
                    val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                        addTarget(reader.surface)
                        set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                    }
                    session.setRepeatingRequest(request.build(), null, handler)
                }

                override fun onConfigureFailed(session: CameraCaptureSession) = onFailed()
            }, handler)
        } catch (_: CameraAccessException) {
            onFailed()
        }
    }

    private fun Image.frame(rotation: Int): Frame {
        val plane = planes[0]
        val luma = ByteArray(width * height)
        for (row in 0 until height) {
            plane.buffer.position(row * plane.rowStride)
            plane.buffer.get(luma, row * width, width)
        }
        return Frame(luma, width, height, rotation)
    }

    private companion object {
        const val WIDTH = 1280
        const val HEIGHT = 720
    }
}
