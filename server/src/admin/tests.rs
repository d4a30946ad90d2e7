use std::path::PathBuf;

use barid_core::clock::{Clock, system_clock};
use barid_core::identity::Identity;
use tempfile::TempDir;

use super::init::{Init, Initialised, init};
use super::organisation::{self, Names};
use super::*;
use crate::accounts::{Accounts, Role};
use crate::config::{Config, Flags};
use crate::data_dir::{DataDir, Serving};
use crate::enrolment::{EnrolError, Enrolments};
use crate::keys;
use crate::log::Log as _;
use crate::log::quarantine::QuarantineLimits;
use crate::log::sqlite::{SqliteLog, SqliteLogOptions};
use crate::relay_db::RelayDb;
use crate::secret::Secret;

fn names(ar: &str, en: &str) -> Names {
    Names { ar: ar.to_owned(), en: en.to_owned(), kind: "border_guard".to_owned() }
}

fn spec() -> Init {
    Init {
        name_ar: "المركز".to_owned(),
        name_en: "Centre".to_owned(),
        organisation: names("حرس الحدود", "Border Guard"),
        account: "salma".to_owned(),
        password: None,
        hosts: vec!["relay.example".to_owned()],
        settings: Flags { listen: Some("192.0.2.7:7600".parse().unwrap()), ..Flags::default() },
    }
}

fn relay() -> (TempDir, DataDir, Initialised) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("relay");
    let made = init(&root, spec()).unwrap();
    (dir, DataDir::new(root), made)
}

fn open_log(data: &DataDir) -> SqliteLog {
    let options = SqliteLogOptions {
        group_max: 16,
        queue_max: 16,
        quarantine: QuarantineLimits::default(),
        clock: system_clock(),
    };
    SqliteLog::open(&data.log_db(), options).unwrap()
}

fn enrolments(data: &DataDir, clock: Clock) -> Enrolments {
    Enrolments::new(RelayDb::open(&data.relay_db()).unwrap(), data.clone(), clock)
}

#[test]
fn a_new_relay_has_its_keys_its_spaces_and_its_account() {
    let (_dir, data, made) = relay();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(data.root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let expected = ["barid.toml", "log.db", "organisations", "relay.db", "relay.key", "tls"];
    assert_eq!(files, expected.map(|name| data.root().join(name)));
    #[cfg(unix)]
    for file in files.iter().filter(|file| file.is_file()) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }

    assert_eq!(keys::load(&data.relay_key()).unwrap().device(), made.relay);
    let listed = organisation::list(&data).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].has_key, listed[0].devices), (made.organisation, true, 0));
    assert_eq!(listed[0].names, names("حرس الحدود", "Border Guard"));

    let config = Config::load(data.root(), None, &Flags::default()).unwrap();
    assert_eq!(config.listen.to_string(), "192.0.2.7:7600");
    assert!(crate::tls::load(&config).unwrap().is_some());

    let accounts =
        Accounts::new(RelayDb::open(&data.relay_db()).unwrap(), system_clock(), config.session_idle(), 10);
    let new = Secret::new("quite another one");
    accounts.reset("salma", made.recovery_key.reveal(), &new).unwrap();
    assert!(matches!(accounts.create("Salma", Role::Coordinator, &new), Err(AccountError::Exists)));
}

#[test]
fn a_relay_is_never_overwritten() {
    let (_dir, data, made) = relay();
    let again = init(data.root(), spec());
    assert!(matches!(again, Err(AdminError::AlreadyInitialised(_))));
    assert_eq!(keys::load(&data.relay_key()).unwrap().device(), made.relay);
}

#[test]
fn what_an_interrupted_init_left_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("unfinished/organisations")).unwrap();
    std::fs::create_dir_all(root.join("organisations")).unwrap();
    std::fs::write(root.join("organisations/stale.key"), "x").unwrap();
    std::fs::write(root.join("log.db"), "not a database").unwrap();
    std::fs::write(root.join("barid.toml"), "connections_max = 7\n").unwrap();
    init(root, spec()).unwrap();
    assert!(!root.join("unfinished").exists());
    assert_eq!(std::fs::read_dir(root.join("organisations")).unwrap().count(), 1);
    assert_eq!(Config::load(root, None, &Flags::default()).unwrap().connections_max, 7);
}

#[test]
fn an_organisation_is_added_and_found_by_either_name_or_its_id() {
    let (_dir, data, _) = relay();
    let id = organisation::add(&data, names("الجمارك", "Customs")).unwrap();
    for text in ["الجمارك", "customs", &id.to_string(), &id.to_string()[..8]] {
        assert_eq!(organisation::find(&data, text).unwrap().id, id, "{text}");
    }
    assert!(matches!(organisation::find(&data, "nobody"), Err(AdminError::UnknownOrganisation(_))));
    organisation::add(&data, names("الجمارك", "Other Customs")).unwrap();
    assert!(matches!(organisation::find(&data, "الجمارك"), Err(AdminError::AmbiguousOrganisation(_))));
    assert_eq!(organisation::list(&data).unwrap().len(), 3);
}

#[tokio::test]
async fn a_token_makes_one_device_a_member_of_both_spaces() {
    let (_dir, data, made) = relay();
    let log = open_log(&data);
    let enrolments = enrolments(&data, system_clock());
    let token = *enrolments.issue(made.organisation, "Patrol 1").unwrap().token;
    let device = Identity::generate().device();
    let enrolled = enrolments.redeem(&log, token, device, "ignored").await.unwrap();
    assert_eq!((enrolled.organisation, enrolled.name_en.as_str()), (made.organisation, "Border Guard"));
    assert_eq!((enrolled.spaces.len(), enrolled.spaces[0]), (2, made.joint_space));
    let state = log.state().borrow().clone();
    for space in &enrolled.spaces {
        let statement = state.spaces[space].membership.device(device).unwrap().clone();
        assert_eq!((statement.label.as_str(), statement.is_active()), ("Patrol 1", true));
    }
    // The answer was lost: the same device asks again, and nothing is appended.
    let heads = |state: &crate::log::LogState| state.spaces.values().map(|s| s.head).collect::<Vec<_>>();
    assert_eq!(enrolments.redeem(&log, token, device, "ignored").await.unwrap(), enrolled);
    assert_eq!(heads(&log.state().borrow()), heads(&state));
    let other = Identity::generate().device();
    let refused = enrolments.redeem(&log, token, other, "").await;
    assert!(matches!(refused, Err(EnrolError::InvalidToken)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_devices_with_one_token_one_is_enrolled() {
    let (_dir, data, made) = relay();
    let log = open_log(&data);
    let enrolments = enrolments(&data, system_clock());
    let token = *enrolments.issue(made.organisation, "").unwrap().token;
    let tries: Vec<_> = (0..100)
        .map(|n| {
            let (log, enrolments) = (log.clone(), enrolments.clone());
            let device = Identity::generate().device();
            tokio::spawn(async move {
                enrolments.redeem(&log, token, device, &format!("phone {n}")).await.is_ok()
            })
        })
        .collect();
    let mut enrolled = 0;
    for one in tries {
        enrolled += usize::from(one.await.unwrap());
    }
    assert_eq!(enrolled, 1);
    let state = log.state().borrow().clone();
    assert_eq!(state.spaces[&made.joint_space].membership.devices().count(), 1);
}

#[tokio::test]
async fn a_token_expires_and_is_never_made_without_the_organisations_key() {
    let (_dir, data, made) = relay();
    let log = open_log(&data);
    let token = *enrolments(&data, system_clock()).issue(made.organisation, "").unwrap().token;
    let later: Clock = std::sync::Arc::new(|| system_clock()().plus_millis(11 * 60_000));
    let late = enrolments(&data, later).redeem(&log, token, Identity::generate().device(), "").await;
    assert!(matches!(late, Err(EnrolError::InvalidToken)));
    std::fs::remove_file(data.organisation_key(made.organisation)).unwrap();
    let without = enrolments(&data, system_clock()).issue(made.organisation, "");
    assert!(matches!(without, Err(EnrolError::Key(_))));
}

#[test]
fn a_code_carries_what_a_phone_needs_and_fits_a_qr_code() {
    let (_dir, data, made) = relay();
    let config = Config::load(data.root(), None, &Flags::default()).unwrap();
    let code = enrol::enrol(&config, None, made.organisation, "").unwrap();
    assert_eq!((code.url.as_str(), code.relay_key), ("wss://192.0.2.7:7600", made.relay));
    assert!(code.certificate_pin.is_some());
    let elsewhere = enrol::enrol(&config, Some("https://relay.example/"), made.organisation, "").unwrap();
    assert_eq!(elsewhere.url, "wss://relay.example");
    // The relay that runs knows better than its settings where it is.
    let lock = data.lock_for_serving().unwrap();
    let serving = Serving { device_url: "ws://127.0.0.1:41234".to_owned(), certificate_pin: None };
    lock.say(&serving).unwrap();
    let running = enrol::enrol(&config, None, made.organisation, "").unwrap();
    assert_eq!((running.url.as_str(), running.certificate_pin), ("ws://127.0.0.1:41234", None));
    drop(lock);
    let everywhere = Config { listen: "0.0.0.0:7600".parse().unwrap(), ..config };
    let nowhere = enrol::enrol(&everywhere, None, made.organisation, "");
    assert!(matches!(nowhere, Err(AdminError::NoAddress(_))));

    let qr = enrol::qr(&code).unwrap();
    assert!(qr.lines().count() < 40 && qr.lines().all(|line| line.chars().count() < 80));
}
