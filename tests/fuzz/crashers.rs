//! Every input that once did harm, and every seed, within the limits: at every run of the tests.

#![allow(clippy::unwrap_used, reason = "tests")]

mod stolen_relay;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::fuzz::driver::{self, Budget};
use harness::fuzz::memory::Counting;
use harness::fuzz::targets;

#[global_allocator]
static MEMORY: Counting = Counting;

/// Memory is counted for the whole process, so the tests here take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn what_once_did_harm_does_none_and_neither_do_a_few_hundred_others() {
    let _alone = alone();
    driver::hear_panics();
    let crashers = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/crashers");
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    for (name, make) in targets::ALL {
        let mut target = make();
        for file in std::fs::read_dir(crashers.join(name)).into_iter().flatten().map(Result::unwrap) {
            if let Err(failure) = driver::check(&mut *target, &std::fs::read(file.path()).unwrap()) {
                failed.push(format!("{}: {failure:?}", file.path().display()));
            }
        }
        // One seed, so that a failure here is the same everywhere.
        let budget = Budget { runs: 300, time: Duration::from_secs(20) };
        let report = driver::fuzz(&mut *target, 7, budget, folder.path()).unwrap();
        driver::forget_last_input(name, std::process::id());
        failed.extend(report.failures.into_iter().map(|(failure, _)| format!("{name}: {failure:?}")));
    }
    // The hook keeps quiet, so the claim is made with a process's own words.
    let _ = std::panic::take_hook();
    assert!(failed.is_empty(), "{failed:#?}");
}
