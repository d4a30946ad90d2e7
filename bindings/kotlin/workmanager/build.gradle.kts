plugins {
    alias(libs.plugins.android.library)
}

kotlin {
    explicitApi()
}

android {
    namespace = "barid.workmanager"
}

dependencies {
    api(project(":sdk"))
    api(libs.work.runtime)
}
