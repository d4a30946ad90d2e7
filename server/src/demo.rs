//! `barid demo`: the main job in one command, not a recording.
//!
//! A real relay in a directory of its own, four phones of two organisations on the real core, each
//! with its own database, over real sockets. They ride, lose the network, go on recording, edit one
//! event from both sides, send an SOS and come back; what the dashboard shows is what they did.

pub mod link;
mod phone;
mod route;
mod scene;
mod story;
mod terminal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::admin::enrol::enrol;
use crate::admin::init::{Init, init};
use crate::admin::organisation::{self, Names};
use crate::config::{Config, Flags};
use crate::data_dir::DataDir;
use crate::materialiser;
use crate::secret::Secret;
use crate::serve::Server;
use crate::shutdown::Shutdown;
use phone::{Phone, Shared};
use story::{ORGANISATIONS, PHONES};
use terminal::Terminal;

pub use route::{GpxError, Point, read_gpx};

/// The demo's one account; its login is the printed link.
const ACCOUNT: &str = "demo";
/// How long the phones may take at the end to send what is left.
const HOME_MAX: Duration = Duration::from_secs(20);

/// What the demo is asked to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to listen; by default where a relay listens, or any free port if that one is taken.
    pub listen: Option<SocketAddr>,
    /// Where to keep everything; by default a new directory, removed at the end.
    pub keep: Option<PathBuf>,
    /// How long to run; by default until Ctrl-C.
    pub duration: Option<Duration>,
    /// A track of one's own for the first phone to ride.
    pub gpx: Option<PathBuf>,
    /// Settings for the relay.
    pub settings: Flags,
}

/// Runs the demo until `stop` ends or its time is over.
pub async fn run(options: Options, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let route = options.gpx.as_deref().map(route::from_gpx).transpose()?;
    let folder = Folder::make(options.keep.as_deref())?;
    let relay_folder = folder.path.join("relay");
    let organisations = found(&relay_folder)?;
    let server = bind(&relay_folder, &options).await?.with_worker(materialiser::this_program()?);
    let login = server.app().accounts.make_login_token(ACCOUNT)?;
    introduce(&server, &login, &folder, options.duration);

    let (app, port) = (server.app().clone(), server.address().port());
    let stopping = Arc::new(AtomicBool::new(false));
    let relay_stop = Shutdown::default();
    let relay_stopped = relay_stop.clone();
    let relay = tokio::spawn(async move { server.run(relay_stopped.wait()).await });

    let mut codes = Vec::new();
    for plan in &PHONES {
        codes.push(enrol(&app.config, None, organisations[plan.organisation], plan.callsign)?);
    }
    let (phones_folder, stop_phones) = (folder.path.join("phones"), stopping.clone());
    let duration = options.duration;
    // The phones block, as phones do: they live on a thread of their own.
    let mut phones = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&phones_folder)?;
        live(&phones_folder, codes, port, route, duration, &stop_phones)
    });
    let lived = tokio::select! {
        lived = &mut phones => lived,
        () = stop => {
            stopping.store(true, Ordering::SeqCst);
            phones.await
        }
    };
    relay_stop.begin();
    relay.await.context("stopping the relay")??;
    say(&lived.context("the phones stopped")??);
    Ok(())
}

/// The two organisations and the account.
fn found(folder: &Path) -> anyhow::Result<Vec<barid_core::id::OrganisationId>> {
    let names = |place: usize, kind: &str| Names {
        ar: ORGANISATIONS[place].name_ar.to_owned(),
        en: ORGANISATIONS[place].name_en.to_owned(),
        kind: kind.to_owned(),
    };
    let made = init(
        folder,
        Init {
            name_ar: "مركز تجريبي".to_owned(),
            name_en: "Demonstration centre".to_owned(),
            organisation: names(0, "border_guard"),
            account: ACCOUNT.to_owned(),
            password: None,
            hosts: Vec::new(),
            settings: Flags::default(),
        },
    )?;
    let second = organisation::add(&DataDir::new(folder), names(1, "rescue"))?;
    Ok(vec![made.organisation, second])
}

async fn bind(folder: &Path, options: &Options) -> anyhow::Result<Server> {
    let mut config = Config::load(folder, None, &options.settings)?;
    if let Some(listen) = options.listen {
        config.listen = listen;
        return Ok(Server::bind(config, true).await?);
    }
    match Server::bind(config.clone(), true).await {
        Ok(server) => Ok(server),
        Err(_) => {
            // Somebody's relay runs here already, perhaps the reader's own: any free port will do.
            config.listen.set_port(0);
            Ok(Server::bind(config, true).await?)
        }
    }
}

fn introduce(server: &Server, login: &Secret, folder: &Folder, duration: Option<Duration>) {
    let until = duration.map_or("until Ctrl-C".to_owned(), |time| format!("for {} seconds", time.as_secs()));
    say(&format!(
        "\nBarid · البريد: two organisations, four phones, one relay; {until}.\n\n\
         Open the dashboard (this link signs in once):\n\n    {}/login/once/{}\n\n\
         Watch the phones leave the network at second 9 to 24, go on recording, and come back from\n\
         second 28 on. BG-1 and DR-1 edit one event while apart: both edits stay, and its title shows\n\
         as a conflict until DR-1 decides at second 58. DR-2 sends an SOS at second 21, out of range.\n\
         Places are real; what is reported is made up; rides are shown far faster than anybody rides.\n\n\
         Everything is in {}{}\n",
        server.url(),
        login.reveal(),
        folder.path.display(),
        if folder.remove { ", which is removed at the end." } else { "." },
    ));
}

/// Enrols the phones and lets them live second by second; returns a summary.
fn live(
    folder: &Path,
    codes: Vec<barid_core::enrolment::EnrolmentCode>,
    port: u16,
    mut route: Option<Vec<Point>>,
    duration: Option<Duration>,
    stopping: &AtomicBool,
) -> anyhow::Result<String> {
    let shared: Shared = Arc::new(Mutex::new(None));
    let mut phones = Vec::new();
    for (plan, code) in PHONES.iter().zip(codes) {
        let phone = Phone::start(folder, plan, route.take(), code, port, shared.clone());
        phones.push(phone.with_context(|| format!("starting the phone {}", plan.callsign))?);
    }
    let mut terminal = Terminal::new();
    let begun = Instant::now();
    let mut second = 0;
    let is_over = |second: u64| {
        stopping.load(Ordering::SeqCst) || duration.is_some_and(|duration| second >= duration.as_secs())
    };
    while !is_over(second) {
        for phone in &mut phones {
            phone.tick(second)?;
        }
        terminal.show(second, &snapshots(&phones, second)?);
        second += 1;
        while begun.elapsed() < Duration::from_secs(second) && !stopping.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    come_home(&mut phones)
}

fn snapshots(phones: &[Phone], second: u64) -> anyhow::Result<Vec<phone::Snapshot>> {
    phones.iter().map(|phone| phone.snapshot(second)).collect()
}

/// Lets every phone send what is left, and says whether all of them hold the same.
fn come_home(phones: &mut [Phone]) -> anyhow::Result<String> {
    phones.iter_mut().for_each(Phone::come_home);
    let begun = Instant::now();
    let mut equal = false;
    while begun.elapsed() < HOME_MAX && !equal {
        std::thread::sleep(Duration::from_millis(100));
        if phones.iter().all(Phone::is_done) {
            let digests = phones.iter().map(Phone::digest).collect::<anyhow::Result<Vec<_>>>()?;
            equal = digests.windows(2).all(|pair| pair[0] == pair[1]);
        }
    }
    let mut summary = String::from("\nEverybody is back in range.\n");
    for phone in snapshots(phones, 0)? {
        summary.push_str(&format!(
            "  {:<5} recorded {:>3}, received {:>3}, not acknowledged {:>3}, conflicts {:>2}\n",
            phone.callsign, phone.recorded, phone.received, phone.unsent, phone.conflicts
        ));
    }
    summary.push_str(if equal {
        "All four phones hold the same records, and the relay has acknowledged every one.\n"
    } else {
        "The phones do not hold the same yet: they were stopped before everything was exchanged.\n"
    });
    Ok(summary)
}

/// The demo's directory, removed with it unless it was asked for by name.
struct Folder {
    path: PathBuf,
    remove: bool,
}

impl Folder {
    fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_owned(), remove: false });
        }
        let name = format!("barid-demo-{}", barid_core::id::to_hex(&crate::secret::random::<6>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path, remove: true })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.remove {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

#[allow(clippy::print_stdout, reason = "a demo that is watched in a terminal")]
fn say(text: &str) {
    println!("{text}");
}
