//! The materialiser: log → views.
//!
//! It *is* a core replica: the same code that takes in batches on a phone takes them in here, from
//! the relay's own log, into `views.db`. It runs in a process of its own, with bounds on memory and
//! time, because it is the only part of a relay that decodes what strangers wrote; when it dies, the
//! relay goes on, starts it again, and sets aside what made it die twice. Its cursor is committed
//! with the rows, so it never skips and never repeats; removing the views and starting again gives
//! the same views.

pub mod aside;
pub mod report;
pub mod supervisor;
pub mod worker;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::{Config, TraceFormat};
use crate::data_dir::DataDir;
use crate::live;
use crate::log::Log as _;
use supervisor::{WorkerCommand, WorkerHealth, supervise};
use worker::{Worker, WorkerError, bound_process, read_news};

/// What the list of set-aside batches knows this program by: another version tries them again.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The worker's exit code when it ends through no batch's fault: a full disk, views in use.
pub const EXIT_TRY_LATER: i32 = 75;

/// What keeps the views up to date, while it runs.
#[derive(Debug)]
pub struct Materialising {
    supervising: JoinHandle<()>,
    watching: JoinHandle<()>,
    /// How the worker is doing.
    pub health: Arc<WorkerHealth>,
}

impl Materialising {
    /// Waits until the worker has ended, which it does when the relay stops.
    pub async fn join(self) {
        for task in [self.supervising, self.watching] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the materialiser's supervisor ended badly");
            }
        }
    }
}

/// The program that runs now, as the worker's. An update may have put another under its name.
pub fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Starts keeping the views up to date, in a process of its own, until the relay stops.
pub fn start(app: &App, program: PathBuf) -> Materialising {
    let health = Arc::new(WorkerHealth::default());
    let supervising = supervise(
        worker_command(program, &app.config, &app.data),
        app.log.state(),
        app.live.clone(),
        Arc::clone(&health),
        app.shutdown.clone(),
    );
    let watching = live::devices::watch(
        app.live.clone(),
        app.api().connected,
        app.reports.clone(),
        app.shutdown.clone(),
    );
    Materialising { supervising: tokio::spawn(supervising), watching: tokio::spawn(watching), health }
}

/// The program as the worker, with the bounds that count here, wherever they were set.
fn worker_command(program: PathBuf, config: &Config, data: &DataDir) -> WorkerCommand {
    let flag = |name: &str, value: u64| OsString::from(format!("--{name}={value}"));
    let mut arguments: Vec<OsString> = vec!["--data".into(), data.root().into(), "materialise".into()];
    arguments.push(flag("materialiser-mebibytes-max", config.materialiser_mebibytes_max));
    arguments.push(flag("materialiser-step-seconds-max", config.materialiser_step_seconds_max));
    arguments.push(format!("--trace-filter={}", config.trace_filter).into());
    let format = match config.trace_format {
        TraceFormat::Text => "text",
        TraceFormat::Json => "json",
    };
    arguments.push(format!("--trace-format={format}").into());
    WorkerCommand { program, arguments, aside: data.aside_db() }
}

/// The worker's whole life, in its own process: its input is its parent's word, its output are its
/// reports. Ends the process with [`EXIT_TRY_LATER`] when it can only hope for better times.
pub fn work(config: &Config) -> Result<(), WorkerError> {
    let bounds = worker::Bounds {
        memory_len_max: config.materialiser_mebibytes_max.saturating_mul(1024 * 1024),
        step: Duration::from_secs(config.materialiser_step_seconds_max),
    };
    let worked = bound_process(bounds)
        .map_err(|error| WorkerError::Io("bounding the worker's memory", error))
        .and_then(|()| {
            let news = read_news(io::BufReader::new(io::stdin()));
            Worker::open(&DataDir::new(&config.data), VERSION, bounds.step)?.run(&news, &mut io::stdout())
        });
    match worked {
        // Nobody reads the reports any more: the relay is gone.
        Err(WorkerError::Report(_)) | Ok(()) => Ok(()),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the worker stops, to be started again"
            );
            std::process::exit(EXIT_TRY_LATER)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
