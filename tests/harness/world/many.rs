//! Many worlds on every core, and what is said of them at the end.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Coverage, Double, Group, INVARIANTS, Outcome, run_of};

/// Which worlds are run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Worlds at once.
    pub cores: usize,
    /// What is wrong on purpose; then the first world that finds it is the last.
    pub double: Double,
    /// How many phones each has, if the seed is not to say.
    pub devices: Option<u8>,
}

impl Default for Plan {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { from: 0, seeds: 0, cores, double: Double::Honest, devices: None }
    }
}

/// What became of them.
#[derive(Debug, Clone)]
pub struct Report {
    /// Worlds that were run.
    pub worlds: u64,
    /// What they were put through together.
    pub coverage: Coverage,
    /// Those in which something does not hold, by seed.
    pub violations: Vec<Outcome>,
    elapsed: Duration,
}

/// How a world is run again.
pub fn replay_command(seed: u64) -> String {
    format!("SEED={seed} cargo test -p barid-tests --test simulation one_seed_of -- --nocapture")
}

/// Runs them, and tells of each violation as it is found.
pub fn many(plan: Plan, tell: impl Fn(String) + Sync) -> Report {
    let begin = Instant::now();
    let (next, is_over) = (AtomicU64::new(plan.from), AtomicBool::new(false));
    let gathered = Mutex::new((0_u64, Coverage::default(), Vec::<Outcome>::new()));
    let work = || {
        let mut coverage = Coverage::default();
        let mut worlds = 0;
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= plan.from + plan.seeds {
                break;
            }
            let outcome = run_of(seed, plan.double, plan.devices);
            coverage.merge(&outcome.coverage);
            worlds += 1;
            if let Some(violation) = &outcome.violation {
                tell(format!("seed {seed}: {}: {}", violation.checker, violation.found));
                if plan.double == Double::Honest {
                    tell(format!("    {}", replay_command(seed)));
                } else {
                    is_over.store(true, Ordering::Relaxed);
                }
                gathered.lock().expect("nobody panicked").2.push(outcome);
            }
        }
        let mut gathered = gathered.lock().expect("nobody panicked");
        gathered.0 += worlds;
        gathered.1.merge(&coverage);
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.cores.max(1) {
            scope.spawn(work);
        }
    });
    let (worlds, coverage, mut violations) = gathered.into_inner().expect("nobody panicked");
    violations.sort_by_key(|outcome| outcome.seed);
    Report { worlds, coverage, violations, elapsed: begin.elapsed() }
}

/// Runs every wrong double until a world catches it, and tells with which seed; how many none caught.
pub fn doubles(plan: Plan, tell: impl Fn(String) + Sync) -> usize {
    let mut uncaught = 0;
    for double in Double::WRONG {
        let report = many(Plan { double, ..plan }, |_| {});
        let caught = report.violations.first();
        match caught.and_then(|outcome| Some((outcome.seed, outcome.violation.as_ref()?))) {
            Some((seed, violation)) => tell(format!("{double:?}: seed {seed}: {}", violation.checker)),
            None => {
                tell(format!("{double:?}: not caught in {} worlds", report.worlds));
                uncaught += 1;
            }
        }
    }
    uncaught
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.coverage)?;
        let seconds = self.elapsed.as_secs_f64();
        write!(
            f,
            "{} worlds in {seconds:.0} s ({:.0} a minute), {} faults injected, {} invariants checked {} times, {} violations",
            self.worlds,
            self.worlds as f64 * 60.0 / seconds,
            self.coverage.total(Group::Fault),
            INVARIANTS.len(),
            self.coverage.total(Group::Check),
            self.violations.len()
        )
    }
}
