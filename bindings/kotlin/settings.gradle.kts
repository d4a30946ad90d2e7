pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "barid-kotlin"
include(":ffi", ":sdk", ":workmanager")
// The façade's sources lie where Maven compiles and tests them too.
project(":sdk").projectDir = file("android")
