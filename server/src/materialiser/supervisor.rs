//! Keeps one worker process running, and passes on what it reports.
//!
//! The worker decodes what strangers wrote, so it may die; the relay may not. A death that this
//! process saw is counted against the batches that the worker was taking in. The worker ends with
//! its standard input, so none outlives the relay, however the relay ends.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::aside::Aside;
use super::report::Report;
use super::{EXIT_TRY_LATER, VERSION};
use crate::live::{Live, LiveItem};
use crate::shutdown::Shutdown;

/// Bytes of one report, at most: a step is bounded, and so is its report.
const REPORT_LEN_MAX: u64 = 16 * 1024 * 1024;
/// Before the first new start after a death.
const RESTART_DELAY_MIN: Duration = Duration::from_millis(100);
/// Between two starts, at most.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// What the worker gets to finish its step when the relay stops. Its transaction is whole or nothing, so
/// to be killed costs it the step and no more.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How the worker is started.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The list of what was set aside.
    pub aside: PathBuf,
}

/// How the worker is doing, for whoever asks.
#[derive(Debug, Default)]
pub struct WorkerHealth {
    /// 0 while none runs.
    process: AtomicU32,
    deaths: AtomicU64,
    steps: AtomicU64,
}

impl WorkerHealth {
    /// Its process, while it runs.
    pub fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|process| *process != 0)
    }

    /// How often it died since the relay started.
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// How many steps it has committed since the relay started.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// How one worker's life ended.
enum End {
    /// The relay stops.
    Stopped,
    /// It exited by itself, or could not be started.
    Exited(std::io::Result<ExitStatus>),
}

/// Runs workers, one after the other, until the relay stops. `news` changes after every append to
/// the log; a change that is missed costs the worker's polling interval and nothing else.
pub async fn supervise<T>(
    command: WorkerCommand,
    mut news: watch::Receiver<T>,
    live: Live,
    health: Arc<WorkerHealth>,
    shutdown: Shutdown,
) {
    let mut delay = RESTART_DELAY_MIN;
    while !shutdown.is_begun() {
        let steps_before = health.steps();
        let end = live_once(&command, &mut news, &live, &health, &shutdown).await;
        health.process.store(0, Ordering::Relaxed);
        let End::Exited(status) = end else { return };
        if health.steps() > steps_before {
            delay = RESTART_DELAY_MIN;
        }
        note_death(&command, &health, status).await;
        // What it committed last may never have been reported.
        live.publish_reset();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.wait() => return,
        }
        delay = (delay * 2).min(RESTART_DELAY_MAX);
    }
}

async fn live_once<T>(
    command: &WorkerCommand,
    news: &mut watch::Receiver<T>,
    live: &Live,
    health: &WorkerHealth,
    shutdown: &Shutdown,
) -> End {
    let mut child = match spawn(command) {
        Ok(child) => child,
        Err(error) => return End::Exited(Err(error)),
    };
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return End::Exited(Err(std::io::Error::other("the worker has no pipes")));
    };
    health.process.store(child.id().unwrap_or(0), Ordering::Relaxed);
    // A task of its own: a read that is dropped half way would lose a part of a report.
    let (reports, mut reported) = tokio::sync::mpsc::channel(16);
    let reading = tokio::spawn(async move {
        let mut output = BufReader::new(output);
        while let Some(report) = read_report(&mut output).await {
            if reports.send(report).await.is_err() {
                break;
            }
        }
    });
    let end = loop {
        tokio::select! {
            report = reported.recv() => match report {
                Some(report) => {
                    health.steps.fetch_add(1, Ordering::Relaxed);
                    publish(live, report);
                }
                None => break End::Exited(reap(&mut child).await),
            },
            changed = news.changed() => {
                if changed.is_err() {
                    // The log was closed: nothing comes any more, and the word to stop follows.
                    shutdown.wait().await;
                    continue;
                }
                // A worker that is gone is noticed by its output.
                let _ = input.write_all(b"\n").await;
            }
            () = shutdown.wait() => {
                drop(input);
                let _ = reap(&mut child).await;
                break End::Stopped;
            }
        }
    };
    reading.abort();
    end
}

fn spawn(command: &WorkerCommand) -> std::io::Result<Child> {
    let mut worker = Command::new(&command.program);
    worker.args(&command.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C in a terminal is for the relay; the worker ends with its input, after its step.
    #[cfg(unix)]
    worker.process_group(0).arg0("barid");
    worker.spawn()
}

/// Waits for a worker that is about to end, but not for ever.
async fn reap(child: &mut Child) -> std::io::Result<ExitStatus> {
    if let Ok(status) = tokio::time::timeout(STOP_PATIENCE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

/// The next report; `None` at the end of the output, or of its sense.
async fn read_report(output: &mut (impl AsyncBufRead + Unpin)) -> Option<Report> {
    let mut line = Vec::new();
    output.take(REPORT_LEN_MAX).read_until(b'\n', &mut line).await.ok()?;
    if !line.ends_with(b"\n") {
        return None;
    }
    serde_json::from_slice(&line)
        .inspect_err(|_| tracing::error!("the worker wrote something else than a report"))
        .ok()
}

fn publish(live: &Live, report: Report) {
    let space = report.space;
    let items = report
        .changed
        .into_iter()
        .map(|item| LiveItem { kind: item.kind, space: space.clone(), id: item.id })
        .collect();
    live.publish(items);
}

/// Whether somebody ended the worker by hand: no batch's fault.
fn was_asked_to_end(status: ExitStatus) -> bool {
    const HANGUP_INTERRUPT_TERMINATE: [i32; 3] = [1, 2, 15];
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    signal.is_some_and(|signal| HANGUP_INTERRUPT_TERMINATE.contains(&signal))
}

/// Traces how a worker ended, and counts it against a batch if the worker itself could not help it.
async fn note_death(command: &WorkerCommand, health: &WorkerHealth, status: std::io::Result<ExitStatus>) {
    let status = match status {
        Ok(status) => status,
        Err(error) => return tracing::error!(%error, "the materialiser's worker could not be run"),
    };
    health.deaths.fetch_add(1, Ordering::Relaxed);
    if status.success() || status.code() == Some(EXIT_TRY_LATER) || was_asked_to_end(status) {
        return tracing::warn!(%status, "the materialiser's worker ended and is started again");
    }
    let path = command.aside.clone();
    let counted = tokio::task::spawn_blocking(move || Aside::open(&path, VERSION)?.count_death()).await;
    match counted {
        Ok(Ok(Some(at))) => tracing::error!(
            %status, space = %at.space, first = at.first, last = at.last,
            "the materialiser's worker died while it took in batches"
        ),
        Ok(Ok(None)) => tracing::error!(%status, "the materialiser's worker died"),
        Ok(Err(error)) => tracing::error!(%status, %error, "the materialiser's worker died, uncounted"),
        Err(error) => tracing::error!(%status, %error, "the materialiser's worker died, uncounted"),
    }
}
