//! The pages in a real browser, over a running demo, in both languages.
//!
//! Slow, and needs Chromium and the built dashboard, so it is asked for by name:
//! `cargo everything pages`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::relay::barid;

#[test]
#[ignore = "needs Chromium and the built dashboard: cargo everything pages"]
fn the_pages_show_map_feed_and_detail_in_both_languages_without_an_error_or_a_foreign_request() {
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/dashboard");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    let needed = [chromium.into(), dashboard.join("dist/index.html"), dashboard.join("node_modules")];
    let missing = needed.iter().find(|path: &&std::path::PathBuf| !path.exists());
    if let Some(missing) = missing {
        println!("SKIPPED: {} is not there", missing.display());
        assert!(std::env::var_os("BARID_REQUIRE_CHROMIUM").is_none(), "here it must not be skipped");
        return;
    }
    let mut demo = Command::new(barid())
        .args(["demo", "--listen", "127.0.0.1:0", "--for", "600s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let login = lines.find(|line| line.contains("/login/once/")).expect("the demo prints a link");
    let login = login.trim().to_owned();
    let base = login.split("/login").next().unwrap().to_owned();
    // The test waits for the SOS, the conflict and its decision: they come with the demo's first minute.
    let drain = std::thread::spawn(move || lines.for_each(drop));
    let browser = Command::new("npm")
        .args(["run", "--silent", "e2e", "--", &base, &login])
        .current_dir(&dashboard)
        .status()
        .unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    drain.join().unwrap();
    assert!(browser.success());
}
