//! A real relay: the built `barid` in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use barid_core::batch::{BatchKind, SealedBatch};
use barid_core::enrolment::EnrolmentCode;

use crate::wait::until;

/// The built `barid`: the one that `BARID` names, or else our own, built first if nobody did.
pub fn barid() -> PathBuf {
    static BUILT: Once = Once::new();
    if let Some(program) = std::env::var_os("BARID") {
        return program.into();
    }
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    let profile = profile.expect("tests run from cargo's target folder");
    let program = profile.join("barid");
    BUILT.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        // With the packages and features of `cargo everything`: others would build dependencies anew.
        build.args(["build", "--quiet", "--workspace", "--features", "barid-ffi/bindgen", "--bin", "barid"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "building barid");
    });
    program
}

/// A running relay and its folder. Dropping it ends the process.
#[derive(Debug)]
pub struct Relay {
    folder: PathBuf,
    port: u16,
    /// More flags for `serve`.
    flags: Vec<String>,
    child: Option<Child>,
}

/// The organisation that `init` makes here.
pub const ORGANISATION: &str = "Border Guard";
/// The account that `init` makes here, and its password.
pub const ACCOUNT: (&str, &str) = ("duty", "a long enough password 7600");

impl Relay {
    /// Makes a relay's folder and starts it.
    pub fn new(folder: &Path) -> Self {
        let mut relay = Self::made(folder);
        relay.start();
        relay
    }

    /// Makes a relay's folder and starts it with the certificate that `init` made, on loopback.
    pub fn with_tls(folder: &Path) -> Self {
        let mut relay = Self::made(folder);
        let tls = relay.folder.join("tls");
        for (flag, file) in [("--tls-cert", "cert.pem"), ("--tls-key", "key.pem")] {
            relay.flags.extend([flag.to_owned(), tls.join(file).to_string_lossy().into_owned()]);
        }
        relay.start();
        relay
    }

    /// Makes a relay's folder and does not start it.
    pub fn made(folder: &Path) -> Self {
        let password = folder.join("password");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&password, ACCOUNT.1).unwrap();
        let folder = folder.join("relay");
        run(Command::new(barid()).arg("init").arg("--data").arg(&folder).args([
            "--organisation-en",
            ORGANISATION,
            "--organisation-ar",
            "حرس الحدود",
            "--account",
            ACCOUNT.0,
            "--password-file",
            password.to_str().unwrap(),
        ]));
        Self { folder, port: 0, flags: Vec::new(), child: None }
    }

    /// What the process is started with from now on, besides its folder and its address.
    pub fn set_flags(&mut self, flags: &[String]) {
        self.flags = flags.to_vec();
    }

    /// Starts the process again, on the port it had.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the relay is running");
        let mut child = Command::new(barid())
            .arg("serve")
            .arg("--data")
            .arg(&self.folder)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(&self.flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("://127.0.0.1:").nth(1).map(str::to_owned))
            .expect("the relay says where it listens");
        // Its further output is read and dropped, so that a full pipe never stops it.
        std::thread::spawn(move || lines.for_each(drop));
        self.port = ready.trim_end_matches('/').trim().parse().unwrap();
        self.child = Some(child);
    }

    /// Ends the process at once, as a power cut would end it.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the relay is running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the process to stop and waits until it has.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("the relay is running");
        run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
        until("the relay stops when asked", Duration::from_secs(15), || child.try_wait().unwrap())
    }

    /// Makes a backup, running or not.
    pub fn back_up(&self, to: &Path) {
        run(self.command("backup").arg("--data").arg(&self.folder).arg("--to").arg(to));
    }

    /// Restores a backup into a new folder, which becomes the relay's; it must not be running.
    pub fn restore(&mut self, backup: &Path, folder: &Path) {
        assert!(self.child.is_none(), "the relay is running");
        run(self.command("restore").arg(backup).arg("--data").arg(folder));
        self.folder = folder.to_owned();
    }

    /// Writes a bundle for a device, by its label, running or not.
    pub fn export_bundle(&self, to: &str, file: &Path) -> String {
        run(self.command("export").arg("--data").arg(&self.folder).args(["--to", to]).arg(file))
    }

    /// Takes a bundle in, running or not: whether all of it could be, and what it prints.
    pub fn import_bundle(&self, file: &Path) -> (bool, String) {
        let output = self.command("import").arg("--data").arg(&self.folder).arg(file).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether `barid check` finds nothing in a folder, and what it prints.
    pub fn check(folder: &Path) -> (bool, String) {
        let output = Command::new(barid()).arg("check").arg("--data").arg(folder).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The process id.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("the relay is running").id()
    }

    /// The process id of the worker that takes the log into the views, once there is one.
    pub fn worker(&self) -> u32 {
        until("there is a worker", Duration::from_secs(20), || {
            crate::process::children(self.process()).first().copied()
        })
    }

    /// The port it listens on, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes that are durable in its log, read from the file while it is at rest or running.
    pub fn stored_changes(&self) -> u64 {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let log = rusqlite::Connection::open_with_flags(self.folder.join("log.db"), flags).unwrap();
        let mut batches = log.prepare("SELECT bytes FROM batch WHERE bytes IS NOT NULL").unwrap();
        let counts = batches.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().map(|bytes| {
            let batch = SealedBatch::parse(bytes.unwrap()).unwrap();
            let header = batch.header();
            if header.kind == BatchKind::Entries { u64::from(header.count) } else { 0 }
        });
        counts.sum()
    }

    /// Runs one of the administrator's commands beside the relay; what it prints.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let (is_done, printed) = self.try_ask(arguments);
        assert!(is_done, "{arguments:?}: {printed}");
        printed
    }

    /// The same for one that may fail: whether it did not, and what it prints, errors too.
    pub fn try_ask(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(barid()).args(arguments).arg("--data").arg(&self.folder).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Adds an organisation.
    pub fn add_organisation(&self, name_en: &str, name_ar: &str) {
        let mut add = self.command("organisation");
        run(add.arg("add").arg("--data").arg(&self.folder).args([
            "--name-en",
            name_en,
            "--name-ar",
            name_ar,
        ]));
    }

    /// A one-use code for a phone that reaches the relay through `port`.
    pub fn code(&self, organisation: &str, label: &str, port: u16) -> EnrolmentCode {
        let mut enrol = self.command("enrol");
        enrol.arg("--data").arg(&self.folder).args(["--organisation", organisation, "--label", label]);
        let printed = run(&mut enrol);
        let code = printed.split_whitespace().find(|word| word.starts_with("BARID1-"));
        let mut code: EnrolmentCode = code.expect("enrol prints a code").parse().unwrap();
        code.url = code.url.replace(&format!(":{}", self.port), &format!(":{port}"));
        code
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(barid());
        command.arg(name);
        command
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
