//! What a process costs, read from `/proc`.

use std::fs;

/// Ticks of a second of processor time, as Linux counts them for user space.
const TICKS: f64 = 100.0;

/// Processor time and memory of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds of processor time, in user space and in the kernel.
    pub cpu_s: f64,
    /// Megabytes resident at most since the process began, or since [`clear_peak`].
    pub peak_mb: u64,
    /// Megabytes resident now.
    pub now_mb: u64,
}

impl Usage {
    /// Of a process that runs; nothing if it has ended.
    pub fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        if fields.next()? == "Z" {
            return None;
        }
        let ticks = |field: Option<&str>| field.and_then(|ticks| ticks.parse::<f64>().ok());
        let cpu_s = (ticks(fields.nth(10))? + ticks(fields.next())?) / TICKS;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().split(' ').next()?.parse::<u64>().ok()?.div_ceil(1_024))
        };
        Some(Self { cpu_s, peak_mb: megabytes("VmHWM:")?, now_mb: megabytes("VmRSS:")? })
    }
}

/// The processes that a process has started and that still run.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let text: Vec<String> = tasks.map(read).collect();
    text.iter().flat_map(|text| text.split_whitespace()).filter_map(|id| id.parse().ok()).collect()
}

/// Begins the peak of the resident memory anew. Not permitted everywhere; then the peak is older.
pub fn clear_peak(process: u32) {
    fs::write(format!("/proc/{process}/clear_refs"), "5").ok();
}

/// The machine's load over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_while_it_runs() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_mb >= usage.now_mb && usage.now_mb > 0);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        while Usage::of(child.id()).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
