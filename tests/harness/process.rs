//! What a process takes: memory and time, as Linux counts them.

use std::time::Duration;

/// The children of a process.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let listed = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    listed
        .flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

/// A line of the process's status, in bytes; 0 if the process is gone.
fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Bytes of address space that the process has had at once, at most.
pub fn address_space_peak(process: u32) -> u64 {
    status(process, "VmPeak")
}

/// Measures what a process takes between two moments.
#[derive(Debug)]
pub struct Meter {
    process: u32,
    memory: u64,
    time: Duration,
}

impl Meter {
    /// Begins to measure.
    pub fn begin(process: u32) -> Self {
        // The peak is counted from here, where the kernel can do that; otherwise from the start, which
        // only makes it larger.
        std::fs::write(format!("/proc/{process}/clear_refs"), "5").ok();
        Self { process, memory: status(process, "VmRSS"), time: cpu_time(process) }
    }

    /// Bytes that were resident at once, at most, beyond those at the beginning.
    pub fn memory_grown(&self) -> u64 {
        status(self.process, "VmHWM").saturating_sub(self.memory)
    }

    /// How long the processor worked for it.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.process).saturating_sub(self.time)
    }
}

fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // A hundred a second on every Linux that we know.
    Duration::from_millis(ticks * 10)
}
