//! Worlds in which one seed decides everything, some of them, and the seeds that once found
//! something.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod pinned;

use harness::world::{Double, Outcome, Plan, many, replay_command, run};

/// Worlds of one run of the tests; `simulate` runs thousands.
const WORLDS: u64 = 40;
/// Worlds within which a wrong double must be caught.
const DOUBLE_SEEDS: u64 = 400;
/// Those that are run here; the others are run by the command in the README of the tests.
const DOUBLES: [Double; 3] = [Double::AckBeforeCommit, Double::CursorOffByOne, Double::RelayForgetsSyncs];

fn assert_sound(outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        let command = replay_command(outcome.seed);
        panic!("seed {}: {}: {}\nto replay it: {command}", outcome.seed, violation.checker, violation.found);
    }
}

/// The seed that was asked for.
#[test]
fn one_seed_of_the_environment_holds() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let outcome = run(seed.parse().unwrap(), Double::Honest);
    println!("{}", outcome.coverage);
    assert_sound(&outcome);
}

#[test]
fn every_pinned_seed_holds() {
    for (seed, _found) in pinned::SEEDS {
        assert_sound(&run(*seed, Double::Honest));
    }
}

/// Another range each day would find more, and fail without a change: this one is always the same.
#[test]
fn everything_holds_in_every_world() {
    let plan = Plan { seeds: WORLDS, ..Plan::default() };
    let report = many(plan, |line| println!("{line}"));
    println!("{report}");
    report.violations.iter().for_each(assert_sound);
}

#[test]
fn one_seed_decides_everything() {
    for seed in 0..4 {
        let (first, second) = (run(seed, Double::Honest), run(seed, Double::Honest));
        assert_eq!(first.trace, second.trace, "seed {seed} ran differently");
        assert_eq!(first.coverage, second.coverage, "seed {seed} ran differently");
    }
}

#[test]
fn a_wrong_double_is_caught() {
    for double in DOUBLES {
        let plan = Plan { seeds: DOUBLE_SEEDS, double, ..Plan::default() };
        let report = many(plan, |_| {});
        let caught = report.violations.first();
        let caught = caught.unwrap_or_else(|| panic!("{double:?} is not caught in {DOUBLE_SEEDS} worlds"));
        let violation = caught.violation.as_ref().unwrap();
        println!("{double:?}: caught with seed {}: {}: {}", caught.seed, violation.checker, violation.found);
    }
}
