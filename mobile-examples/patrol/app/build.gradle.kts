plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.compose)
}

// The SDK is compiled from its sources beside this tree; `libbarid_ffi.so` for each ABI comes into src/main/jniLibs.
val sdk = rootDir.resolve("../../bindings/kotlin")

android {
    namespace = "barid.patrol"
    compileSdk = libs.versions.compileSdk.get().toInt()

    defaultConfig {
        applicationId = "barid.patrol"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
    }

    buildFeatures {
        compose = true
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }

    sourceSets.named("main") {
        kotlin.directories += listOf(sdk.resolve("src/main/kotlin").path, sdk.resolve("generated").path)
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    androidResources {
        localeFilters += listOf("en", "ar")
    }

    bundle {
        // A phone changes its language in the field, without a network.
        language.enableSplit = false
    }

    testOptions {
        unitTests.isIncludeAndroidResources = true
    }
}

dependencies {
    implementation(libs.kotlin.stdlib)
    implementation(libs.coroutines.android)
    implementation(variantOf(libs.jna) { artifactType("aar") })
    implementation(platform(libs.compose.bom))
    implementation(libs.compose.ui)
    implementation(libs.compose.foundation)
    implementation(libs.compose.material3)
    implementation(libs.activity.compose)
    implementation(libs.work.runtime)
    implementation(libs.core.ktx)
    implementation(libs.zxing)

    testImplementation(libs.jna)
    testImplementation(libs.compose.ui.test)
    testImplementation(libs.work.testing)
    testImplementation(libs.robolectric)
    testImplementation(libs.junit)
    testImplementation(libs.androidx.test.junit)
}
