//! What is run, in which order.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::junit;
use crate::machine::{built, cargo, has, install, program, run, top};

const DASHBOARD: &str = "server/dashboard";

/// Everything is built with the same packages and features in every step: another choice would build
/// the dependencies once more.
const EVERYTHING: [&str; 3] = ["--workspace", "--features", "barid-ffi/bindgen"];

type Step = (&'static str, fn() -> Result<(), String>);

/// Every step of `cargo everything`. The dashboard comes before the programs that serve it, and the
/// quick checks before the slow ones.
const STEPS: &[Step] = &[
    ("format", || run(&mut cargo(&["fmt", "--all", "--check"]))),
    ("dashboard", dashboard_checks),
    ("clippy", || run(cargo(&["clippy"]).args(EVERYTHING).args(["--all-targets", "--", "-D", "warnings"]))),
    ("test", rust_tests),
    ("simulation", simulation),
    ("fuzz", fuzz),
    ("docs", || {
        run(cargo(&["doc"])
            .args(EVERYTHING)
            .args(["--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("openapi", openapi),
    ("pages", pages),
    ("python", python),
    ("kotlin", kotlin),
    ("swift", swift),
    ("patrol", patrol),
    ("smoke", smoke),
    ("instructions", instructions),
    // Last of what builds: its library is another one, under the same name.
    ("canary", canary),
    ("deny", || {
        optional("cargo-deny", &["deny", "check", "--config", ".deny.toml", "licenses", "bans", "sources"])
    }),
    ("typos", || optional("typos", &[])),
];

/// `cargo demo`: builds what the demo needs, then becomes it.
pub(crate) fn demo(options: &[String]) -> Result<(), String> {
    install(&[("cc", &["build-essential"])])?;
    if has("npm") {
        build_dashboard()?;
    } else {
        println!("npm is not here, so the dashboard is not built; everything else works");
    }
    run(&mut cargo(&["build", "--release", "--package", "barid-server"]))?;
    // Replacing this process leaves Ctrl-C to the demo alone.
    let error = Command::new(built("release").join("barid")).arg("demo").args(options).exec();
    Err(format!("starting the demo: {error}"))
}

/// `cargo everything`: the steps asked for, stopping at the first that fails.
pub(crate) fn everything(wanted: &[String]) -> Result<(), String> {
    if wanted.iter().any(|word| word == "--list") {
        STEPS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    install(&[("cc", &["build-essential"])])?;
    let mut passed = 0;
    for (name, step) in STEPS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.starts_with(word.as_str())) {
            continue;
        }
        println!("\n━━ {name}");
        let begun = std::time::Instant::now();
        step().map_err(|message| format!("\nstep {name} failed: {message}\n{passed} passed, 1 failed"))?;
        println!("━━ {name}: done in {:.0?}", begun.elapsed());
        passed += 1;
    }
    println!("\n{passed} passed, 0 failed");
    Ok(())
}

fn build_dashboard() -> Result<(), String> {
    // `npm ci` empties the folder it fills: only when the lock file is newer than what is there.
    let newer = |a: &str, b: &str| {
        let time =
            |path: &str| std::fs::metadata(top().join(DASHBOARD).join(path)).and_then(|m| m.modified()).ok();
        time(a) > time(b)
    };
    if newer("package-lock.json", "node_modules/.package-lock.json") {
        run(&mut program("npm", &["ci", "--no-audit", "--no-fund"], DASHBOARD))?;
    }
    run(&mut program("npm", &["run", "build"], DASHBOARD))
}

fn dashboard_checks() -> Result<(), String> {
    build_dashboard()?;
    run(&mut program("npm", &["run", "check"], DASHBOARD))?;
    run(&mut program("npm", &["run", "test"], DASHBOARD))
}

fn rust_tests() -> Result<(), String> {
    // The end-to-end tests start the built programs.
    run(cargo(&["build"]).args(EVERYTHING))?;
    // One run tells of one tree: the same cases each time. More, and others: `PROPTEST_CASES=10000`.
    run(cargo(&["test"])
        .args(EVERYTHING)
        .env("PROPTEST_RNG_SEED", "1")
        .env("BARID", built("debug").join("barid")))
}

/// What fits eight minutes on two cores; a hundred thousand worlds are a command of their own, in the
/// README of the tests.
fn simulation() -> Result<(), String> {
    run(cargo(&["build"]).args(EVERYTHING))?;
    let simulate = built("debug").join("simulate").to_string_lossy().into_owned();
    run(&mut program(&simulate, &["--seeds", "3000"], "."))
}

/// A minute for every door, side by side on two cores, so ten minutes. The long run is
/// a command of its own, in the README of the tests.
fn fuzz() -> Result<(), String> {
    run(cargo(&["build"]).args(EVERYTHING))?;
    let fuzz = built("debug").join("fuzz").to_string_lossy().into_owned();
    run(program(&fuzz, &["--seconds", "60", "--jobs", "2", "all"], ".")
        .env("BARID", built("debug").join("barid")))
}

/// Every workload of the benchmark with a few records: that it works, not how fast.
fn smoke() -> Result<(), String> {
    let benchmark = built("debug").join("benchmark").to_string_lossy().into_owned();
    run(program(&benchmark, &["smoke"], ".").env("BARID", built("debug").join("barid")))
}

/// Instructions of the hot functions, against the bounds of the build that tests use. Those of the release
/// build are a command of their own, in the README of the benchmark.
fn instructions() -> Result<(), String> {
    install(&[("valgrind", &["valgrind"])])?;
    run(cargo(&["build"]).args(EVERYTHING))?;
    let instructions = built("debug").join("instructions").to_string_lossy().into_owned();
    run(&mut program(&instructions, &[], "."))
}

fn optional(tool: &str, words: &[&str]) -> Result<(), String> {
    if !has(tool) {
        println!("SKIPPED: {tool} is not installed");
        return Ok(());
    }
    if tool.starts_with("cargo-") { run(&mut cargo(words)) } else { run(&mut program(tool, words, ".")) }
}

fn python_venv() -> Result<String, String> {
    install(&[("python3", &["python3", "python3-venv"])])?;
    let venv = built("python-venv");
    let python = venv.join("bin/python").to_string_lossy().into_owned();
    if !["openapi-spec-validator", "mypy"].iter().all(|name| venv.join("bin").join(name).exists()) {
        let folder = venv.to_string_lossy().into_owned();
        let mut make = program("python3", &["-m", "venv", &folder], ".");
        if run(&mut make).is_err() {
            // Debian's own Python comes without this part.
            install(&[("/usr/share/doc/python3-venv", &["python3-venv"])])?;
            run(&mut make)?;
        }
        let list = "tests/end_to_end/requirements.txt";
        run(&mut program(&python, &["-m", "pip", "install", "--quiet", "-r", list], "."))?;
    }
    Ok(python)
}

fn openapi() -> Result<(), String> {
    let python = python_venv()?;
    let path = built("openapi.json");
    let file = std::fs::File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let barid = built("debug").join("barid").to_string_lossy().into_owned();
    run(program(&barid, &["openapi"], ".").stdout(file))?;
    run(&mut program(&python, &["-m", "openapi_spec_validator", &path.to_string_lossy()], "."))
}

fn pages() -> Result<(), String> {
    install(&[("/usr/bin/chromium", &["chromium", "fonts-noto-core"])])?;
    run(cargo(&["test"])
        .args(EVERYTHING)
        .args(["--test", "pages", "--", "--ignored", "--nocapture"])
        .env("BARID", built("debug").join("barid")))
}

fn python() -> Result<(), String> {
    let python = python_venv()?;
    lay_out_python()?;
    run(&mut program(&python, &["-m", "mypy"], "bindings/python"))?;
    run(program(&python, &["-m", "unittest", "discover", "-v", "-s", "tests"], "bindings/python")
        .env("PYTHONPATH", top().join("bindings/python"))
        .env("BARID", built("debug").join("barid")))
}

/// Swift is generated and not compiled: there is no Swift here.
fn swift() -> Result<(), String> {
    let library = built("debug").join("libbarid_ffi.so").to_string_lossy().into_owned();
    generate("swift", "bindings/swift/generated", &library)?;
    // Swift's packages want each module in a folder of its own, and the map under its usual name.
    let folder = top().join("bindings/swift/generated");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for (from, to) in [
        ("barid.swift", "BaridCore/barid.swift"),
        ("baridFFI.h", "baridFFI/baridFFI.h"),
        ("baridFFI.modulemap", "baridFFI/module.modulemap"),
    ] {
        let to = folder.join(to);
        std::fs::create_dir_all(to.parent().unwrap_or(&folder)).map_err(failed)?;
        std::fs::rename(folder.join(from), to).map_err(failed)?;
    }
    if !has("swiftc") {
        println!("SKIPPED: Swift's sources are generated and were not compiled: swiftc is not here");
        return Ok(());
    }
    run(&mut program("swift", &["build"], "bindings/swift"))
}

/// Encryption of the device's database. Its feature puts SQLCipher in SQLite's place for all that is built
/// with it, so the one test is built apart from the rest: with the same packages, so that only SQLite and
/// what stands on it are built once more.
fn canary() -> Result<(), String> {
    let header = "/usr/include/openssl/crypto.h";
    if !std::path::Path::new(header).exists() && !has("apt-get") {
        println!(
            "SKIPPED: the canaries: OpenSSL's headers are not here ({header}), and no apt-get to install them"
        );
        return Ok(());
    }
    install(&[(header, &["libssl-dev"])])?;
    let features = ["--workspace", "--features", "barid-ffi/bindgen,barid-core/sqlcipher"];
    run(cargo(&["test"]).args(features).args(["--test", "encryption"]))
}

/// Puts the generated module and the library where a wheel has them. The wheel itself is a command of the
/// README of the bindings: it builds the library once more, with other features of what it stands on.
fn lay_out_python() -> Result<(), String> {
    let folder = top().join("bindings/python/barid/_ffi");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let library = built("debug").join("libbarid_ffi.so");
    generate("python", "bindings/python/barid/_ffi", &library.to_string_lossy())?;
    std::fs::copy(&library, folder.join("libbarid_ffi.so")).map_err(failed)?;
    std::fs::write(folder.join("__init__.py"), "from .barid import *  # noqa: F403\n").map_err(failed)
}

fn kotlin() -> Result<(), String> {
    install(&[("mvn", &["maven"]), ("javac", &["default-jdk-headless"])])?;
    let library = built("debug").join("libbarid_ffi.so").to_string_lossy().into_owned();
    generate("kotlin", "bindings/kotlin/generated", &library)?;
    // Classes and reports of what is gone would be looked at too.
    std::fs::remove_dir_all(top().join("bindings/kotlin/target")).ok();
    run(program("mvn", &["-B", "--no-transfer-progress", "test"], "bindings/kotlin")
        .env("BARID_LIBRARY_DIR", built("debug"))
        .env("BARID", built("debug").join("barid")))?;
    junit::all_ran("bindings/kotlin/src/test/kotlin", "bindings/kotlin/target/surefire-reports")
}

/// The app for phones: compiled and driven on the JVM, with the built library and the built relay.
fn patrol() -> Result<(), String> {
    if !has("java") || !has("javac") || !has("mvn") {
        println!("SKIPPED: the patrol app needs a JDK and Maven, and one of them is not installed");
        return Ok(());
    }
    install(&[("aapt2", &["aapt"]), ("unzip", &["unzip"]), ("python3", &["python3"])])?;
    let library = built("debug").join("libbarid_ffi.so").to_string_lossy().into_owned();
    generate("kotlin", "bindings/kotlin/generated", &library)?;
    run(program("./check", &[], "mobile-examples/patrol")
        .env("PATROL_WORK", built("patrol"))
        .env("BARID_LIBRARY_DIR", built("debug"))
        .env("BARID", built("debug").join("barid")))
}

/// Generates the foreign sources from the built library.
fn generate(language: &str, folder: &str, library: &str) -> Result<(), String> {
    let generator = built("debug").join("uniffi-bindgen").to_string_lossy().into_owned();
    let words =
        ["generate", "--library", library, "--language", language, "--no-format", "--out-dir", folder];
    run(&mut program(&generator, &words, "."))
}
