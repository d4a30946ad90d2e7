//! A process that speaks the line protocol, driven from here.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// Who is measured: a name, and the commands of its client and its server.
#[derive(Debug, Clone)]
pub struct Contestant {
    pub name: &'static str,
    pub client: &'static str,
    pub server: &'static str,
}

/// Barid, and the floor of our own.
pub const OWN: [Contestant; 2] = [
    Contestant { name: "barid", client: "client", server: "server" },
    Contestant { name: "floor", client: "floor-client", server: "floor-server" },
];

/// Whom an answer is for.
type Waiting = Arc<Mutex<HashMap<u64, Sender<Json>>>>;

/// A running process of a contestant. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    label: String,
    child: Child,
    stdin: Option<ChildStdin>,
    waiting: Waiting,
    seq: u64,
    limit: Duration,
}

/// An answer that is still to come.
#[derive(Debug)]
pub(super) struct Pending {
    command: String,
    answer: Receiver<Json>,
    limit: Duration,
}

impl Process {
    /// Starts one and waits until it is ready.
    pub(super) fn start(label: &str, role: &str, folder: &Path, limit: Duration) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("starting {label}: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let traces = File::options()
            .create(true)
            .append(true)
            .open(folder.join(format!("{label}.log")))
            .map_err(failed)?;
        let mut command = Command::new(&program);
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(traces);
        let mut child =
            command.spawn().map_err(|error| format!("starting {}: {error}", program.display()))?;
        let stdin = child.stdin.take();
        let waiting = Waiting::default();
        let (ready, is_ready) = channel();
        if let Some(stdout) = child.stdout.take() {
            let waiting = waiting.clone();
            std::thread::spawn(move || dispatch(BufReader::new(stdout), &ready, &waiting));
        }
        let process = Self { label: label.to_owned(), child, stdin, waiting, seq: 0, limit };
        is_ready.recv_timeout(limit).map_err(|_| format!("{label} does not become ready"))?;
        Ok(process)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command; the answer may be waited for later.
    pub(super) fn begin(&mut self, name: &str, mut arguments: Json) -> Result<Pending, String> {
        self.seq += 1;
        arguments["seq"] = self.seq.into();
        arguments["cmd"] = name.into();
        let (sender, answer) = channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(self.seq, sender);
        let command = format!("{} {name}", self.label);
        let stdin = self.stdin.as_mut().ok_or_else(|| format!("{command}: it was told to end"))?;
        writeln!(stdin, "{arguments}").map_err(|error| format!("{command}: {error}"))?;
        Ok(Pending { command, answer, limit: self.limit })
    }

    /// Gives a command and waits for its answer.
    pub(super) fn call(&mut self, name: &str, arguments: Json) -> Result<Json, String> {
        self.begin(name, arguments)?.wait()
    }

    /// Asks it to end, and sees that it does.
    pub(super) fn stop(mut self) -> Json {
        let last = self.call("close", json!({})).unwrap_or_default();
        drop(self.stdin.take());
        for _ in 0..300 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Pending {
    /// The answer.
    pub(super) fn wait(self) -> Result<Json, String> {
        let limit = self.limit;
        self.within(limit)?.ok_or_else(|| format!("no answer within {limit:?}"))
    }

    /// The answer, if it comes in time.
    pub(super) fn within(&self, limit: Duration) -> Result<Option<Json>, String> {
        let Ok(answer) = self.answer.recv_timeout(limit) else { return Ok(None) };
        match answer["ok"].as_bool() {
            Some(true) => Ok(Some(answer)),
            _ => Err(format!("{}: {}", self.command, answer["error"].as_str().unwrap_or("it ended"))),
        }
    }
}

fn dispatch(lines: impl BufRead, ready: &Sender<()>, waiting: &Waiting) {
    for line in lines.lines().map_while(Result::ok) {
        let Ok(answer) = serde_json::from_str::<Json>(&line) else { continue };
        if answer["ready"] == true {
            ready.send(()).ok();
            continue;
        }
        let asked = answer["seq"].as_u64();
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = asked.and_then(|seq| waiting.remove(&seq)) {
            sender.send(answer).ok();
        }
    }
    for (_, sender) in waiting.lock().unwrap_or_else(PoisonError::into_inner).drain() {
        sender.send(json!({ "ok": false, "error": "it ended" })).ok();
    }
}
