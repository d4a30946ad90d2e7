//! The loop: choose an input, change it, run it, measure it, keep it if it reached something new.

use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Target, bits, memory, mutate, signal};
use crate::memory_folder::memory_folder;
use crate::world::random::Random;

/// How long one input may take.
pub const TIME_MAX: Duration = Duration::from_secs(1);
/// By how many bytes it may make memory grow.
pub const MEMORY_LEN_MAX: usize = 64 * 1024 * 1024;
/// Inputs that are kept, at most.
const KEPT_MAX: usize = 4096;
/// Different failures after which there is enough to do.
const FAILURES_MAX: usize = 10;

/// How long to go on: until either is used up.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Inputs.
    pub runs: u64,
    /// Time.
    pub time: Duration,
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It panicked, with this message.
    Panic(String),
    /// It took too long.
    Slow(Duration),
    /// It took too much memory.
    Memory(usize),
}

/// What a run of many inputs came to.
#[derive(Debug)]
pub struct Report {
    /// Inputs run.
    pub runs: u64,
    /// How long that took.
    pub time: Duration,
    /// Different things that happened.
    pub signals: usize,
    /// Inputs kept.
    pub kept: usize,
    /// The longest that one input took.
    pub slowest: Duration,
    /// The most that memory grew for one input.
    pub memory: usize,
    /// Each different failure, with the file that holds its input.
    pub failures: Vec<(Failure, PathBuf)>,
}

/// What one input came to.
#[derive(Debug)]
struct Ran {
    signal: u64,
    time: Duration,
    memory: usize,
}

/// What the panic hook heard last.
static PANICKED: Mutex<String> = Mutex::new(String::new());

/// Panics are failures that are reported once, with their place, and not a screen of text each.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        *PANICKED.lock().unwrap() = format!("{place}: {}", text_of(panic.payload()));
    }));
}

fn text_of(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Runs one input within the limits.
pub fn check(target: &mut dyn Target, input: &[u8]) -> Result<(), Failure> {
    run(target, input).map(|_| ())
}

fn run(target: &mut dyn Target, input: &[u8]) -> Result<Ran, Failure> {
    let ran = run_once(target, input)?;
    if ran.memory > MEMORY_LEN_MAX {
        return Err(Failure::Memory(ran.memory));
    }
    if ran.time <= TIME_MAX {
        return Ok(ran);
    }
    // The machine may have been busy with something else: the best of three counts.
    let again = [run_once(target, input)?, run_once(target, input)?];
    let time = again.iter().map(|ran| ran.time).min().unwrap_or(ran.time);
    if time > TIME_MAX { Err(Failure::Slow(time)) } else { Ok(Ran { time, ..ran }) }
}

fn run_once(target: &mut dyn Target, input: &[u8]) -> Result<Ran, Failure> {
    let held = memory::begin();
    let begun = Instant::now();
    let signal = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    let (time, memory) = (begun.elapsed(), memory::grown(held));
    match signal {
        Ok(signal) => Ok(Ran { signal, time, memory }),
        Err(payload) => {
            let heard = std::mem::take(&mut *PANICKED.lock().unwrap());
            Err(Failure::Panic(if heard.is_empty() { text_of(&*payload) } else { heard }))
        }
    }
}

/// Fuzzes a target. Failing inputs are written into a folder of its name under `crashers`.
pub fn fuzz(target: &mut dyn Target, seed: u64, budget: Budget, crashers: &Path) -> io::Result<Report> {
    let mut random = Random::new(seed);
    let words = target.words();
    let mut kept = target.seeds();
    assert!(!kept.is_empty(), "{} has seeds", target.name());
    let mut seen = HashSet::new();
    let mut failures: BTreeMap<String, (Failure, PathBuf)> = BTreeMap::new();
    let mut report = Report {
        runs: 0,
        time: Duration::ZERO,
        signals: 0,
        kept: 0,
        slowest: Duration::ZERO,
        memory: 0,
        failures: Vec::new(),
    };
    let last = Last::open(target.name())?;
    let begun = Instant::now();
    let seeds = kept.len() as u64;
    while report.runs < budget.runs && begun.elapsed() < budget.time && failures.len() < FAILURES_MAX {
        let input = if report.runs < seeds {
            kept[report.runs as usize].clone()
        } else {
            let mut input = kept[choose(kept.len(), &mut random)].clone();
            mutate::mutate(&mut input, &kept, &words, target.is_packets(), &mut random);
            input.truncate(target.len_max());
            input
        };
        last.note(&input)?;
        report.runs += 1;
        match run(target, &input) {
            Ok(ran) => {
                report.slowest = report.slowest.max(ran.time);
                report.memory = report.memory.max(ran.memory);
                // Whatever takes more memory than anything of its kind is on its way to a bomb.
                if seen.insert(signal((ran.signal, bits(ran.memory) / 2, bits(input.len())))) {
                    if kept.len() < KEPT_MAX {
                        kept.push(input);
                    } else {
                        let place = random.below(kept.len());
                        kept[place] = input;
                    }
                }
            }
            Err(failure) => {
                let key = match &failure {
                    // The place of a panic, without what its text says of this input.
                    Failure::Panic(text) => text.split(": ").next().unwrap_or_default().to_owned(),
                    Failure::Slow(_) => "slow".to_owned(),
                    Failure::Memory(_) => "memory".to_owned(),
                };
                if let Entry::Vacant(first) = failures.entry(key) {
                    let small = smaller(target, input, &failure);
                    let path = keep(crashers, target.name(), &small)?;
                    first.insert((failure, path));
                }
            }
        }
    }
    report.time = begun.elapsed();
    report.signals = seen.len();
    report.kept = kept.len();
    report.failures = failures.into_values().collect();
    Ok(report)
}

/// The newest are chosen more often: they are the furthest from what is known.
fn choose(count: usize, random: &mut Random) -> usize {
    let any = random.below(count);
    if random.one_in(2) { any } else { any.max(random.below(count)) }
}

/// The same failure with fewer bytes, if cutting some out leaves it.
fn smaller(target: &mut dyn Target, mut input: Vec<u8>, failure: &Failure) -> Vec<u8> {
    let mut step = input.len() / 2;
    let mut tries = 400;
    while step > 0 && tries > 0 {
        let mut at = 0;
        while at < input.len() && tries > 0 {
            tries -= 1;
            let mut less = input.clone();
            less.drain(at..input.len().min(at + step));
            let kind = std::mem::discriminant(failure);
            if run(target, &less).is_err_and(|other| std::mem::discriminant(&other) == kind) {
                input = less;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    input
}

fn keep(crashers: &Path, target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = crashers.join(target);
    std::fs::create_dir_all(&folder)?;
    let name = format!("{:016x}", signal(input));
    let path = folder.join(name);
    File::create(&path)?.write_all(input)?;
    Ok(path)
}

/// The input that runs now, in a file: a process that aborts, of a full stack or of no memory at all,
/// says nothing any more.
struct Last {
    file: File,
}

impl Last {
    fn open(target: &str) -> io::Result<Self> {
        Ok(Self { file: File::create(last_path(target, std::process::id()))? })
    }

    fn note(&self, input: &[u8]) -> io::Result<()> {
        self.file.write_all_at(&(input.len() as u64).to_be_bytes(), 0)?;
        self.file.write_all_at(input, 8)
    }
}

/// In memory: every input goes there before it runs.
fn last_path(target: &str, process: u32) -> PathBuf {
    memory_folder().join(format!("barid-fuzz-{target}-{process}"))
}

/// The input during which a process of this id died, if it left one.
pub fn last_input(target: &str, process: u32) -> Option<Vec<u8>> {
    let bytes = std::fs::read(last_path(target, process)).ok()?;
    let (len, input) = bytes.split_first_chunk::<8>()?;
    input.get(..usize::try_from(u64::from_be_bytes(*len)).ok()?).map(<[u8]>::to_vec)
}

/// Forgets what a process noted.
pub fn forget_last_input(target: &str, process: u32) {
    std::fs::remove_file(last_path(target, process)).ok();
}
