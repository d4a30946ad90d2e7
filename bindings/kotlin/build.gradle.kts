plugins {
    alias(libs.plugins.android.library) apply false
}

// What the three artifacts have in common: where they are published, and with what.
subprojects {
    group = "barid"
    version = "0.1.0"
    apply(plugin = "maven-publish")

    pluginManager.withPlugin("com.android.library") {
        extensions.configure<com.android.build.api.dsl.LibraryExtension> {
            compileSdk = rootProject.libs.versions.compileSdk.get().toInt()
            defaultConfig.minSdk = rootProject.libs.versions.minSdk.get().toInt()
            compileOptions {
                sourceCompatibility = JavaVersion.VERSION_17
                targetCompatibility = JavaVersion.VERSION_17
            }
            publishing.singleVariant("release") {
                withSourcesJar()
                withJavadocJar()
            }
        }
        extensions.configure<PublishingExtension> {
            publications.register<MavenPublication>("release") {
                artifactId = if (project.name == "sdk") "barid" else "barid-${project.name}"
                afterEvaluate { from(components["release"]) }
                pom {
                    name = artifactId
                    description = "Records that people make where there is no network, and that find their way all the same."
                    licenses {
                        license { name = "Apache-2.0" }
                        license { name = "MIT" }
                    }
                }
            }
            // `publish` writes a repository that can be looked at, or uploaded.
            repositories.maven(rootProject.layout.buildDirectory.dir("repository"))
        }
    }
}
