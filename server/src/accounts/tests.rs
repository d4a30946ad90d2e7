use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR_MS: i64 = 3_600_000;

/// Accounts with one administrator, and the clock they read.
fn accounts() -> (Accounts, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let clock: Clock = {
        let now = Arc::clone(&now);
        Arc::new(move || Timestamp::from_millis(now.load(Ordering::Relaxed)))
    };
    let accounts = Accounts::new(RelayDb::in_memory().unwrap(), clock, Duration::from_secs(12 * 3600), 3);
    accounts.create("Salma", Role::Administrator, &Secret::new("a long password")).unwrap();
    (accounts, now)
}

#[tokio::test]
async fn a_right_password_begins_a_session_and_a_wrong_one_does_not() {
    let (accounts, _) = accounts();
    let token = accounts.login(" salma ", Secret::new("a long password"), HERE).await.unwrap();
    let principal = accounts.principal(&token).unwrap().unwrap();
    assert_eq!(principal, Principal { name: "Salma".to_owned(), role: Role::Administrator });
    for (name, password) in [("Salma", "another password"), ("nobody", "a long password")] {
        let refused = accounts.login(name, Secret::new(password), HERE).await;
        assert!(matches!(refused, Err(LoginError::WrongCredentials)));
    }
    assert_eq!(accounts.principal(&Secret::random_token()).unwrap(), None);
}

#[tokio::test]
async fn a_session_ends_after_twelve_idle_hours_and_at_logout() {
    let (accounts, now) = accounts();
    let token = accounts.login("Salma", Secret::new("a long password"), HERE).await.unwrap();
    for _ in 0..3 {
        now.fetch_add(11 * HOUR_MS, Ordering::Relaxed);
        assert!(accounts.principal(&token).unwrap().is_some(), "each use counts");
    }
    now.fetch_add(12 * HOUR_MS + 1, Ordering::Relaxed);
    assert_eq!(accounts.principal(&token).unwrap(), None);

    let token = accounts.login("Salma", Secret::new("a long password"), HERE).await.unwrap();
    accounts.logout(&token).unwrap();
    assert_eq!(accounts.principal(&token).unwrap(), None);
}

#[tokio::test]
async fn after_some_wrong_passwords_even_the_right_one_must_wait() {
    let (accounts, now) = accounts();
    for _ in 0..3 {
        let wrong = accounts.login("Salma", Secret::new("guess"), HERE).await;
        assert!(matches!(wrong, Err(LoginError::WrongCredentials)));
    }
    let held = accounts.login("Salma", Secret::new("a long password"), HERE).await;
    assert!(matches!(held, Err(LoginError::TooManyAttempts { .. })));
    now.fetch_add(attempts::WINDOW_MS, Ordering::Relaxed);
    assert!(accounts.login("Salma", Secret::new("a long password"), HERE).await.is_ok());
}

#[test]
fn a_link_logs_in_once_and_within_its_time() {
    let (accounts, now) = accounts();
    let token = accounts.make_login_token("salma").unwrap();
    let session = accounts.login_once(&token).unwrap().unwrap();
    assert!(accounts.principal(&session).unwrap().is_some());
    assert_eq!(accounts.login_once(&token).unwrap(), None);

    let token = accounts.make_login_token("salma").unwrap();
    now.fetch_add(HOUR_MS, Ordering::Relaxed);
    assert_eq!(accounts.login_once(&token).unwrap(), None);
    assert!(matches!(accounts.make_login_token("nobody"), Err(AccountError::Unknown)));
}

#[tokio::test]
async fn the_recovery_key_sets_a_password_anew_and_ends_every_session() {
    let (accounts, _) = accounts();
    let key = Secret::random_recovery_key();
    let new = Secret::new("quite another one");
    assert!(matches!(accounts.reset("Salma", key.reveal(), &new), Err(AccountError::RecoveryKey)));
    accounts.set_recovery_key(&key).unwrap();
    let session = accounts.login("Salma", Secret::new("a long password"), HERE).await.unwrap();

    accounts.reset("salma", &key.reveal().to_lowercase(), &new).unwrap();
    assert_eq!(accounts.principal(&session).unwrap(), None);
    assert!(accounts.login("Salma", new, HERE).await.is_ok());
    assert!(accounts.login("Salma", Secret::new("a long password"), HERE).await.is_err());
}

#[test]
fn names_and_passwords_have_bounds() {
    let (accounts, _) = accounts();
    let long = Secret::new("long enough for all");
    for name in ["", "  ", "a\nb", &"n".repeat(65)] {
        assert!(matches!(accounts.create(name, Role::Coordinator, &long), Err(AccountError::Name)));
    }
    let short = accounts.create("Idris", Role::Coordinator, &Secret::new("short"));
    assert!(matches!(short, Err(AccountError::Password)));
    assert!(matches!(accounts.create("SALMA", Role::Coordinator, &long), Err(AccountError::Exists)));
}
