//! The relay as a peer's server: the process that a driver started *becomes* the real `barid serve`,
//! so that the processor time and the memory which the driver reads are the relay's own.
//!
//! A second process, the voice, keeps the line protocol and answers `stored` from the views, which
//! hold only what the log holds durably.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command as Process;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::line::{self, Answer, Command};
use crate::observation;
use crate::process::{Usage, children};
use crate::relay::{RelayFolder, Views, terminate, wait_listening};

/// How long a relay may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `init`, leaves a voice behind and becomes the relay.
pub fn serve() -> Result<(), String> {
    line::say_ready();
    let text = read_line()?;
    let command = Command::parse(&text)?;
    let relay = RelayFolder::within(Path::new(command.text("dir")?));
    relay.init()?;
    let port = u16::try_from(command.number("port")?).map_err(|_| "init: no port has this number")?;
    let mut serve = relay.serve(port, &[])?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut voice = Process::new(program);
    voice.arg("voice").arg(std::process::id().to_string()).arg(&text);
    voice.spawn().map_err(|error| format!("starting the voice: {error}"))?;
    Err(format!("becoming the relay: {}", serve.exec()))
}

/// One line, and not a byte more: the rest is the voice's.
fn read_line() -> Result<String, String> {
    let mut line = Vec::new();
    for byte in std::io::stdin().lock().bytes() {
        match byte {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) => return Err(error.to_string()),
        }
    }
    String::from_utf8(line).map_err(|error| error.to_string())
}

/// Speaks for the relay of this process id, which was told `init`.
pub fn speak(process: u32, init: &str) -> Result<(), String> {
    let init = Command::parse(init)?;
    let relay = RelayFolder::within(Path::new(init.text("dir")?));
    let port = init.number("port")?;
    init.answer(wait_listening(port as u16, PATIENCE).map(|()| json!({})));
    let mut views = None;
    line::serve(|command| {
        Some(match command.name.as_str() {
            "stored" => stored(&relay, &mut views),
            "close" => Ok(close(process)),
            _ => Ok(json!({})),
        })
    });
    // A driver that is gone leaves no relay behind.
    terminate(process);
    Ok(())
}

fn stored(relay: &RelayFolder, views: &mut Option<Views>) -> Answer {
    if views.is_none() {
        *views = relay.views();
    }
    let count = views.as_mut().map_or(Ok(0), |views| views.count(observation::NAME))?;
    Ok(json!({ "n": count }))
}

/// Stops the relay; its worker's share of the cost is in no figure of the relay's own process.
fn close(process: u32) -> serde_json::Value {
    let worker: Vec<Usage> = children(process).into_iter().filter_map(Usage::of).collect();
    terminate(process);
    let begun = Instant::now();
    while Usage::of(process).is_some() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    json!({
        "worker_cpu_s": worker.iter().map(|usage| usage.cpu_s).sum::<f64>(),
        "worker_rss_MB": worker.iter().map(|usage| usage.peak_mb).max(),
    })
}
