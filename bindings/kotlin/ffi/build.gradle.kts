plugins {
    alias(libs.plugins.android.library)
}

// The library for each kind of processor and the Kotlin that calls it: `../build-android` makes both.
val generated = rootDir.resolve("generated")

android {
    namespace = "barid.ffi"

    defaultConfig {
        consumerProguardFiles("consumer-rules.pro")
        ndk.abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64")
    }

    sourceSets.named("main") {
        kotlin.directories += generated.path
    }
}

dependencies {
    api(libs.kotlin.stdlib)
    api(libs.coroutines.android)
    api(variantOf(libs.jna) { artifactType("aar") })
}

val checkMade = tasks.register("checkMade") {
    val libraries = listOf("arm64-v8a", "armeabi-v7a", "x86_64").map { file("src/main/jniLibs/$it/libbarid_ffi.so") }
    val missing = (libraries + generated.resolve("barid/ffi/barid.kt")).filter { !it.exists() }
    doLast {
        check(missing.isEmpty()) { "run bindings/kotlin/build-android first; missing: $missing" }
    }
}

tasks.named("preBuild") { dependsOn(checkMade) }
