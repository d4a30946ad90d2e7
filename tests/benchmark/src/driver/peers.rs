//! The peers' own `run`: it drives Barid's programs as it drives any peer's, through its own proxy.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::workloads::Plan;

/// The peers measured besides Barid and the floor; `loro` and `samod` fail at these sizes, as their
/// README says.
pub const PEERS: [&str; 6] =
    ["loro-raw", "pouchdb", "hocuspocus", "tinybase", "automerge-repo-onedoc", "automerge-repo"];

/// The folder with the peers' `run`, if it is there: `BARID_PEERS`, or `shared/peers` beside the
/// repository.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("BARID_PEERS").map(PathBuf::from);
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?.join("shared/peers"));
    named.or_else(beside).filter(|folder| folder.join("run").is_file())
}

/// Where the peers' outputs are.
fn build() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/peers-build");
    std::env::var_os("PEERS_BUILD").map_or_else(home, PathBuf::from)
}

/// Builds the peers, once: the proxy, the Rust ones, the packages of the others.
pub fn make(folder: &Path) -> Result<(), String> {
    if build().join("bin/proxy").is_file() {
        return Ok(());
    }
    let status = Command::new(folder.join("build")).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("building the peers: {status}")) }
}

/// Runs one peer's workloads, each row to `sink` as it comes.
pub fn run(folder: &Path, peer: &str, plan: &Plan, sink: &mut dyn FnMut(Json)) -> Result<(), String> {
    let workloads: Vec<String> = plan.workloads.iter().map(|workload| format!("W{workload}")).collect();
    let mut command = Command::new(folder.join("run"));
    command.args([peer, &workloads.join(","), &plan.count.to_string()]);
    command.env("LIMIT_S", plan.limit.as_secs().to_string()).env("CLIENTS", plan.clients.to_string());
    command.env("W5_WAIT", plan.merge_limit.as_secs().to_string());
    if peer == "barid" {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        for (name, role) in [("PEER_CLIENT", "client"), ("PEER_SERVER", "server")] {
            command.env(name, format!("{} {role}", program.display()));
        }
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
    for line in lines.into_iter().flatten().map_while(Result::ok) {
        if let Ok(row) = serde_json::from_str(&line) {
            sink(row);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{peer}: {status}")) }
}
