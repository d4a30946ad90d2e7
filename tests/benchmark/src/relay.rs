//! The relay as its operators run it: the built `barid`, its commands and its folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use barid_core::enrolment::EnrolmentCode;
use barid_core::store::{Query, Store, StoreConfig};

/// A relay's folder, whether or not it is served now.
#[derive(Debug, Clone)]
pub struct RelayFolder {
    data: PathBuf,
}

/// The built `barid`: the one that `BARID` names, or the one beside this program.
pub fn barid() -> Result<PathBuf, String> {
    if let Some(program) = std::env::var_os("BARID") {
        return Ok(program.into());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    // Test programs and benches lie one folder deeper.
    let beside = here.ancestors().skip(1).take(2).map(|folder| folder.join("barid"));
    let found = beside.into_iter().find(|program| program.is_file());
    found.ok_or_else(|| "there is no barid beside this program: build it, or name it with BARID".to_owned())
}

impl RelayFolder {
    /// The relay's folder within the folder of a driver's server.
    pub fn within(folder: &Path) -> Self {
        Self { data: folder.join("data") }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Makes the relay, unless it is there.
    pub fn init(&self) -> Result<(), String> {
        if self.data.join("relay.key").exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.data).map_err(|error| error.to_string())?;
        run(Command::new(barid()?).arg("init").arg("--data").arg(&self.data)).map(drop)
    }

    /// What serves it on this port of loopback, with every default; its traces go into a file.
    pub fn serve(&self, port: u16, flags: &[&str]) -> Result<Command, String> {
        let traces =
            std::fs::File::create(self.data.join("traces.log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(barid()?);
        command.arg("serve").arg("--data").arg(&self.data);
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(traces);
        Ok(command)
    }

    /// A one-use code for a device.
    pub fn code(&self, label: &str) -> Result<EnrolmentCode, String> {
        let mut command = Command::new(barid()?);
        command.arg("enrol").arg("--data").arg(&self.data).args(["--text", "--label", label]);
        run(&mut command)?.trim().parse().map_err(|error| format!("an enrolment code: {error}"))
    }

    /// Opens the views as the API does. None until the relay has made them.
    pub fn views(&self) -> Option<Views> {
        let path = self.data.join("views.db");
        let store = Store::open_read_only(StoreConfig::replica(path)).ok()?;
        Some(Views { store, counted: None })
    }
}

/// What readers of the relay's API see.
#[derive(Debug)]
pub struct Views {
    store: Store,
    counted: Option<Counted>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    count: u64,
    at: Instant,
    took: Duration,
}

impl Views {
    /// Records of a kind. Counting reads all of them, so that it is done in a quarter of the time at
    /// most: the answer may be a little old.
    pub fn count(&mut self, kind: &str) -> Result<u64, String> {
        if let Some(counted) = self.counted.filter(|counted| counted.at.elapsed() < 3 * counted.took) {
            return Ok(counted.count);
        }
        let asked = Instant::now();
        let query = Query { kind: Some(kind.to_owned()), ..Query::default() };
        let count = self.store.count(&query).map_err(|error| error.to_string())?;
        self.counted = Some(Counted { count, at: Instant::now(), took: asked.elapsed() });
        Ok(count)
    }
}

/// Waits until something listens on this port of loopback.
pub fn wait_listening(port: u16, limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > limit {
            return Err(format!("nothing listens on port {port} after {limit:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Asks a process to stop, as an operator does.
pub fn terminate(process: u32) {
    Command::new("kill").args(["-TERM", &process.to_string()]).stderr(Stdio::null()).status().ok();
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}
