plugins {
    alias(libs.plugins.android.library)
}

kotlin {
    explicitApi()
}

android {
    namespace = "barid.sdk" // Of its resources, and it has none; a namespace needs a dot.

    sourceSets.named("main") {
        kotlin.directories += rootDir.resolve("src/main/kotlin").path
        manifest.srcFile("AndroidManifest.xml")
    }
}

dependencies {
    // Not `api`: the generated package is in no signature that an app sees.
    implementation(project(":ffi"))
    api(libs.kotlin.stdlib)
    api(libs.coroutines.android)
}
