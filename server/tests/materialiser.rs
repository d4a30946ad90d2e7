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
use barid_server::log::sqlite::{SqliteLog, SqliteLogOptions};
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
            if wanted(&*notices.recv().await.unwrap()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}

fn names_organisation(notice: &Notice, id: &str) -> bool {
    notice.items.iter().flatten().any(|item| item.kind == "organisation" && item.id == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_and_the_news_go_on() {
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
        SqliteLogOptions { group_max: 16, queue_max: 16, clock: system_clock() },
    )
    .unwrap();
    let live = Live::new(Timestamp::from_millis(1));
    let mut notices = live.read(None).notices;
    let (health, shutdown) = (Arc::new(WorkerHealth::default()), Shutdown::default());
    let command = WorkerCommand {
        program: env!("CARGO_BIN_EXE_barid").into(),
        arguments: ["materialise".into(), "--data".into(), root.clone().into_os_string()].into(),
        aside: data.aside_db(),
    };
    let supervised =
        tokio::spawn(supervise(command, log.state(), live.clone(), health.clone(), shutdown.clone()));

    let first = made.organisation.to_string();
    notice(&mut notices, |notice| names_organisation(notice, &first)).await;
    let process = health.process().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    notice(&mut notices, |notice| notice.items.is_none()).await;
    assert_eq!(health.deaths(), 1);

    let second = organisation::add(&data, names("Second")).unwrap().to_string();
    notice(&mut notices, |notice| names_organisation(notice, &second)).await;
    assert_ne!(health.process().unwrap().to_string(), process);

    shutdown.begin();
    tokio::time::timeout(PATIENCE, supervised).await.unwrap().unwrap();
    assert_eq!(health.deaths(), 1, "stopping is no death");
}
