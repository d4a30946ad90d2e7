//! The materialiser's worker as a process of its own, under its supervisor.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use barid_core::clock::{Timestamp, system_clock};
use barid_server::admin::init::{Init, init};
use barid_server::admin::organisation::{self, Names};
use barid_server::config::Flags;
use barid_server::data_dir::DataDir;
use barid_server::live::{Live, Notice};
use barid_server::log::Log as _;
use barid_server::log::quarantine::QuarantineLimits;
use barid_server::log::sqlite::{SqliteLog, SqliteLogOptions};
use barid_server::materialiser::aside::Aside;
use barid_server::materialiser::supervisor::{WorkerCommand, WorkerHealth, supervise};
use barid_server::shutdown::Shutdown;
use tokio::sync::broadcast::Receiver;

/// Far longer than anything here takes: a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(60);

fn names(en: &str) -> Names {
    Names { ar: "جهة".to_owned(), en: en.to_owned(), kind: "police".to_owned() }
}

/// The next notice that is as wanted; those before it are passed over.
async fn notice(notices: &mut Receiver<Arc<Notice>>, wanted: impl Fn(&Notice) -> bool) {
    let found = async {
        loop {
            if wanted(&notices.recv().await.unwrap()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}

fn names_organisation(notice: &Notice, id: &str) -> bool {
    notice.items.iter().flatten().any(|item| item.kind == "organisation" && item.id == id)
}

/// A data directory, its log, and what supervises a worker on it.
struct Relay {
    dir: tempfile::TempDir,
    data: DataDir,
    organisation: String,
    log: SqliteLog,
    live: Live,
    health: Arc<WorkerHealth>,
    shutdown: Shutdown,
}

fn relay() -> Relay {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let made = init(
        &root,
        Init {
            name_ar: "مركز".to_owned(),
            name_en: "Centre".to_owned(),
            organisation: names("First"),
            account: "amal".to_owned(),
            password: None,
            hosts: Vec::new(),
            settings: Flags::default(),
        },
    )
    .unwrap();
    let data = DataDir::new(&root);
    let log = SqliteLog::open(
        &data.log_db(),
        SqliteLogOptions {
            group_max: 16,
            queue_max: 16,
            quarantine: QuarantineLimits::default(),
            clock: system_clock(),
        },
    )
    .unwrap();
    Relay {
        dir,
        data,
        organisation: made.organisation.to_string(),
        log,
        live: Live::new(Timestamp::from_millis(1)),
        health: Arc::default(),
        shutdown: Shutdown::default(),
    }
}

impl Relay {
    fn supervise(&self, bounds: &[&str]) -> tokio::task::JoinHandle<()> {
        let mut arguments =
            vec!["materialise".into(), "--data".into(), self.data.root().as_os_str().to_owned()];
        arguments.extend(bounds.iter().map(Into::into));
        let command = WorkerCommand {
            program: env!("CARGO_BIN_EXE_barid").into(),
            arguments,
            aside: self.data.aside_db(),
        };
        let (live, health, shutdown) = (self.live.clone(), self.health.clone(), self.shutdown.clone());
        tokio::spawn(supervise(command, self.log.state(), live, health, shutdown))
    }

    async fn stop(self, supervised: tokio::task::JoinHandle<()>) {
        self.shutdown.begin();
        tokio::time::timeout(PATIENCE, supervised).await.unwrap().unwrap();
        assert_eq!(self.health.process(), None);
        drop(self.dir);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_and_the_news_go_on() {
    let relay = relay();
    let (health, data) = (relay.health.clone(), relay.data.clone());
    let mut notices = relay.live.read(None).notices;
    let supervised = relay.supervise(&[]);
    let first = relay.organisation.clone();
    notice(&mut notices, |notice| names_organisation(notice, &first)).await;
    let process = health.process().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    notice(&mut notices, |notice| notice.items.is_none()).await;
    assert_eq!(health.deaths(), 1);

    let second = organisation::add(&data, names("Second")).unwrap().to_string();
    notice(&mut notices, |notice| names_organisation(notice, &second)).await;
    assert_ne!(health.process().unwrap().to_string(), process);

    relay.stop(supervised).await;
    assert_eq!(health.deaths(), 1, "stopping is no death");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_live_takes_nothing_with_it_and_accuses_no_batch() {
    let relay = relay();
    let mut notices = relay.live.read(None).notices;
    let supervised = relay.supervise(&["--materialiser-mebibytes-max=16"]);
    for _ in 0..3 {
        notice(&mut notices, |notice| notice.items.is_none()).await;
    }
    assert!(relay.health.deaths() >= 2);
    assert_eq!(Aside::count(&relay.data.aside_db()).unwrap(), 0);
    relay.stop(supervised).await;
}
