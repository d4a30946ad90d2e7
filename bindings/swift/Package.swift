// swift-tools-version: 6.0
// Not compiled where this was written: there is no Swift there. `cargo everything swift` makes `generated`.

import PackageDescription

let package = Package(
    name: "Barid",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "Barid", targets: ["Barid"])],
    targets: [
        // The C interface of the library. For iOS, a binary target with an XCFramework takes its place.
        .systemLibrary(name: "baridFFI", path: "generated/baridFFI"),
        // What the generator wrote over it.
        .target(
            name: "BaridCore",
            dependencies: ["baridFFI"],
            path: "generated/BaridCore",
            linkerSettings: [.linkedLibrary("barid_ffi")]
        ),
        // What an app uses.
        .target(name: "Barid", dependencies: ["BaridCore"]),
    ]
)
