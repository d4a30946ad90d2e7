use std::io::{Read as _, Write as _};
use std::time::Instant;

use barid_core::position::QuarantineDigest;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::admin::init::{Init, init};
use crate::admin::organisation::Names;
use crate::config::Flags;
use crate::secret::Secret;

/// A relay that serves until it is dropped.
struct Relay {
    dir: TempDir,
    app: App,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

const PASSWORD: &str = "a long password";

async fn relay(settings: Flags) -> Relay {
    let dir = tempfile::tempdir().unwrap();
    let spec = Init {
        name_ar: "المركز".to_owned(),
        name_en: "Centre".to_owned(),
        organisation: Names { ar: "أ".to_owned(), en: "a".to_owned(), kind: "police".to_owned() },
        account: "salma".to_owned(),
        password: Some(Secret::new(PASSWORD)),
        hosts: vec![],
        settings: Flags::default(),
    };
    init(dir.path(), spec).unwrap();
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let config = Config::load(dir.path(), None, &Flags { listen, ..settings }).unwrap();
    let server = Server::bind(config, false).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let (app, url) = (server.app().clone(), server.url());
    let served = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Relay { dir, app, url, stop: Some(stop), served }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

impl Relay {
    /// Sends one request as it is written, and reads to the end.
    async fn send(&self, head: &str, body: &str) -> Answer {
        let address = self.app.address;
        let request = format!(
            "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let status = head[9..12].parse().unwrap();
            Answer { status, head: head.to_owned(), body: body.to_owned() }
        })
        .await
        .unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1"), "").await
    }

    async fn login(&self, password: &str) -> Answer {
        let head =
            format!("POST /api/login HTTP/1.1\r\nOrigin: {}\r\nContent-Type: application/json", self.url);
        self.send(&head, &format!(r#"{{"name":"salma","password":"{password}"}}"#)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_login_every_route_of_the_api_answers_401() {
    let relay = relay(Flags::default()).await;
    for (method, path) in [
        ("GET", "/api"),
        ("GET", "/api/events"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/live"),
        ("GET", "/api/no/such/thing"),
        ("GET", "/maps/libya.pmtiles"),
    ] {
        let answer = relay.send(&format!("{method} {path} HTTP/1.1"), "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains(r#""code":"login_required""#), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_opens_the_api_until_logout() {
    let relay = relay(Flags::default()).await;
    assert_eq!(relay.login("wrong password").await.status, 401);
    let answer = relay.login(PASSWORD).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let set = answer.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"));
    let cookie = answer.cookie();
    let known = format!("GET /api/no/such/thing HTTP/1.1\r\nCookie: a=b; {cookie}");
    assert_eq!(relay.send(&known, "").await.status, 404);
    let logout = format!("POST /api/logout HTTP/1.1\r\nOrigin: {}\r\nCookie: {cookie}", relay.url);
    assert_eq!(relay.send(&logout, "").await.status, 204);
    assert_eq!(relay.send(&known, "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once() {
    let relay = relay(Flags::default()).await;
    let token = relay.app.accounts.make_login_token("salma").unwrap();
    let path = format!("/login/once/{}", token.reveal());
    let answer = relay.get(&path).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let known = format!("GET /api/none HTTP/1.1\r\nCookie: {}", answer.cookie());
    assert_eq!(relay.send(&known, "").await.status, 404);
    assert_eq!(relay.get(&path).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_of_the_world_cannot_speak_for_their_visitor() {
    let relay = relay(Flags::default()).await;
    let cookie = relay.login(PASSWORD).await.cookie();
    for (request, expected) in [
        ("POST /api/logout HTTP/1.1", 403),
        ("POST /api/logout HTTP/1.1\r\nOrigin: http://evil.example", 403),
        ("POST /api/logout HTTP/1.1\r\nOrigin: null", 403),
        ("DELETE /api/none HTTP/1.1\r\nOrigin: http://evil.example", 403),
        ("GET /sync HTTP/1.1\r\nUpgrade: websocket\r\nOrigin: http://evil.example", 403),
        ("GET /api/live HTTP/1.1\r\nAccept: text/event-stream\r\nOrigin: http://evil.example", 403),
        ("GET /api/live HTTP/1.1\r\nAccept: text/event-stream\r\nSec-Fetch-Site: cross-site", 403),
        ("GET /api/none HTTP/1.1\r\nAccept: text/event-stream\r\nSec-Fetch-Site: same-origin", 404),
        ("GET /api/none HTTP/1.1", 404),
    ] {
        let answer = relay.send(&format!("{request}\r\nCookie: {cookie}"), "").await;
        assert_eq!(answer.status, expected, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_relays_is_not_answered() {
    let relay = relay(Flags::default()).await;
    let address = relay.app.address;
    let status = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text[9..12].to_owned()
    });
    assert_eq!(status.await.unwrap(), "421");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_say_what_they_may_load_and_the_relay_that_it_lives() {
    let relay = relay(Flags::default()).await;
    let page = relay.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'; worker-src"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(relay.get("/livez").await.status, 200);
    assert_eq!(relay.get("/readyz").await.status, 200);
    assert_eq!(relay.get("/no.such.file").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_counted() {
    let relay = relay(Flags { login_attempts_max: Some(2), ..Flags::default() }).await;
    assert_eq!(relay.login("wrong password").await.status, 401);
    assert_eq!(relay.login("wrong password").await.status, 401);
    let held = relay.login(PASSWORD).await;
    assert_eq!(held.status, 429);
    assert!(held.header("retry-after").unwrap().parse::<u64>().unwrap() > 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_let_go() {
    let relay = relay(Flags { header_seconds_max: Some(1), ..Flags::default() }).await;
    let address = relay.app.address;
    for sent in [&b""[..], b"GET / HT"] {
        let waited = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(sent).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            began.elapsed()
        });
        let waited = waited.await.unwrap();
        assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(10), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_body_drips_in_is_let_go() {
    let relay = relay(Flags { body_seconds_max: Some(1), ..Flags::default() }).await;
    let address = relay.app.address;
    let waited = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/login HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\n\
             Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A byte now and then: no single wait is long.
        while stream.write_all(b" ").is_ok() && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(100));
        }
        began.elapsed()
    });
    let waited = waited.await.unwrap();
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_counts_among_the_connections_for_as_long_as_it_lives() {
    let relay = relay(Flags { connections_max: Some(1), ..Flags::default() }).await;
    let address = relay.app.address;
    let tried = tokio::task::spawn_blocking(move || {
        let ask = |request: &str, wait: Duration| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(wait)).unwrap();
            stream.write_all(format!("{request}\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
            let mut status = [0; 12];
            stream
                .read_exact(&mut status)
                .map(|()| (String::from_utf8_lossy(&status[9..]).into_owned(), stream))
        };
        let upgrade = "GET /sync HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let (status, link) = ask(upgrade, Duration::from_secs(20)).unwrap();
        assert_eq!(status, "101");
        assert!(ask("GET /livez HTTP/1.1", Duration::from_millis(300)).is_err());
        drop(link);
        ask("GET /livez HTTP/1.1\r\nConnection: close", Duration::from_secs(20)).unwrap().0
    });
    assert_eq!(tried.await.unwrap(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_stops_and_leaves_a_closed_log() {
    let mut relay = relay(Flags { drain_seconds_max: Some(1), ..Flags::default() }).await;
    // A connection that idles must not hold it up.
    let idle = tokio::net::TcpStream::connect(relay.app.address).await.unwrap();
    assert_eq!(relay.get("/livez").await.status, 200);
    relay.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(15), &mut relay.served).await.unwrap().unwrap().unwrap();
    assert!(relay.app.shutdown.is_begun());
    assert!(tokio::net::TcpStream::connect(relay.app.address).await.is_err());
    drop(idle);
    assert!(relay.dir.path().join("log.db").exists());
}

#[tokio::test]
async fn plain_http_is_for_loopback_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spec = Init {
        name_ar: "م".to_owned(),
        name_en: "c".to_owned(),
        organisation: Names { ar: "أ".to_owned(), en: "a".to_owned(), kind: "police".to_owned() },
        account: "salma".to_owned(),
        password: Some(Secret::new(PASSWORD)),
        hosts: vec![],
        settings: Flags { listen: Some("0.0.0.0:0".parse().unwrap()), ..Flags::default() },
    };
    init(dir.path(), spec).unwrap();
    let config = || Config::load(dir.path(), None, &Flags::default()).unwrap();
    let server = Server::bind(config(), false).await.unwrap();
    assert!(server.url().starts_with("https://") && server.app().certificate_pin.is_some());
    let second = Server::bind(config(), false).await;
    assert!(matches!(second, Err(ServeError::InUse(_))));
    drop(server);
    std::fs::remove_dir_all(dir.path().join("tls")).unwrap();
    let refused = Server::bind(config(), false).await.unwrap_err();
    assert!(matches!(refused, ServeError::Tls(TlsError::Missing { .. })));
    assert!(refused.to_string().contains("--tls-cert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_enrols_over_tls_by_the_pin_of_its_code_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spec = Init {
        name_ar: "م".to_owned(),
        name_en: "c".to_owned(),
        organisation: Names { ar: "أ".to_owned(), en: "a".to_owned(), kind: "police".to_owned() },
        account: "salma".to_owned(),
        password: Some(Secret::new(PASSWORD)),
        hosts: vec![],
        settings: Flags::default(),
    };
    let made = init(dir.path(), spec).unwrap();
    let tls = dir.path().join("tls");
    let flags = Flags {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        tls_cert: Some(tls.join("cert.pem")),
        tls_key: Some(tls.join("key.pem")),
        ..Flags::default()
    };
    let server = Server::bind(Config::load(dir.path(), None, &flags).unwrap(), false).await.unwrap();
    let config = Arc::clone(&server.app().config);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let phone = tokio::task::spawn_blocking(move || {
        let device = |seed: u8| {
            barid_core::device::Device::open(barid_core::device::DeviceConfig {
                path: None,
                seed: [seed; 32].into(),
                kinds: barid_core::model::Kinds::built_in(),
                clock: system_clock(),
                key: None,
            })
            .unwrap()
        };
        let code = crate::admin::enrol::enrol(&config, None, made.organisation, "P1").unwrap();
        assert!(code.url.starts_with("wss://127.0.0.1:"), "{}", code.url);
        let mut forged = code.clone();
        forged.certificate_pin = Some([1; 32]);
        assert!(device(1).enrol(&forged, "").is_err());
        forged.certificate_pin = None;
        assert!(device(1).enrol(&forged, "").is_err());
        let enrolment = device(1).enrol(&code, "").unwrap();
        assert_eq!((enrolment.organisation, enrolment.spaces.len()), (made.organisation, 2));
        assert!(device(2).enrol(&code, "").is_err(), "the code is used up");
    });
    phone.await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_whose_batch_the_log_could_not_store_is_told_and_tries_again() {
    use barid_core::client::{Phase, SyncError};
    use barid_core::protocol::{CloseCode, CloseReason};

    use crate::log::Log as _;

    let relay = relay(Flags::default()).await;
    let log = rusqlite::Connection::open(relay.app.data.log_db()).unwrap();
    let (config, state) = (Arc::clone(&relay.app.config), Arc::clone(&relay.app.log.state().borrow()));
    let phone = tokio::task::spawn_blocking(move || {
        let organisation = state.spaces.values().find_map(|space| space.membership.organisations().next());
        let code = crate::admin::enrol::enrol(&config, None, organisation.unwrap().id, "P1").unwrap();
        let phone = barid_core::device::Device::open(barid_core::device::DeviceConfig {
            path: None,
            seed: [1; 32].into(),
            kinds: barid_core::model::Kinds::built_in(),
            clock: system_clock(),
            key: None,
        })
        .unwrap();
        let space = phone.enrol(&code, "").unwrap().spaces[0];
        let fields = barid_core::model::Fields::from([("title".to_owned(), "نقطة".into())]);
        phone.store().write(|w| w.put(space, "event", None, fields)).unwrap();
        phone
    });
    let phone = phone.await.unwrap();
    log.execute_batch("CREATE TRIGGER full BEFORE INSERT ON batch BEGIN SELECT raise(ABORT, 'full'); END")
        .unwrap();
    let client = phone.sync().unwrap();
    let mut status = client.status();
    let failed = Some(SyncError::Closed(CloseReason::There(CloseCode::Failed)));
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, status.wait_for(|status| status.error == failed)).await.unwrap().unwrap();
    log.execute_batch("DROP TRIGGER full").unwrap();
    client.request();
    let done = status.wait_for(|status| status.phase == Phase::UpToDate);
    assert_eq!(tokio::time::timeout(patience, done).await.unwrap().unwrap().unsent_records, 0);
    tokio::task::spawn_blocking(move || drop(client)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_log_is_written_by_nobody_ends_with_an_error() {
    let relay = relay(Flags::default()).await;
    let log = relay.app.log.clone();
    let broken: Result<(), _> = log.transact(|_| panic!("what no thread survives")).await;
    assert!(broken.is_err());
    let patience = Duration::from_secs(20);
    let ended = tokio::time::timeout(patience, relay.served).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ServeError::LogEnded)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoke_cuts_a_link_at_once_and_the_next_one_takes_what_the_device_sends_into_quarantine() {
    use barid_core::client::Phase;

    use crate::log::Log as _;

    let relay = relay(Flags::default()).await;
    let state = Arc::clone(&relay.app.log.state().borrow());
    let organisation = state.spaces.values().find_map(|space| space.membership.organisations().next());
    let organisation = organisation.unwrap().id;
    let config = Arc::clone(&relay.app.config);
    let phone = tokio::task::spawn_blocking(move || {
        let code = crate::admin::enrol::enrol(&config, None, organisation, "P1").unwrap();
        let phone = barid_core::device::Device::open(barid_core::device::DeviceConfig {
            path: None,
            seed: [1; 32].into(),
            kinds: barid_core::model::Kinds::built_in(),
            clock: system_clock(),
            key: None,
        })
        .unwrap();
        phone.enrol(&code, "").unwrap();
        phone
    });
    let phone = phone.await.unwrap();
    let (space, key) = (phone.store().default_space().unwrap().unwrap(), phone.store().device().unwrap());
    let put = |title: &str| {
        let fields = barid_core::model::Fields::from([("title".to_owned(), title.into())]);
        phone.store().write(|w| w.put(space, "event", None, fields)).unwrap()
    };
    put("before");
    let client = phone.sync().unwrap();
    let mut status = client.status();
    let patience = Duration::from_secs(20);
    let is_done = |status: &barid_core::client::SyncStatus| status.phase == Phase::UpToDate;
    tokio::time::timeout(patience, status.wait_for(is_done)).await.unwrap().unwrap();
    let spaces = relay.app.log.state().borrow().spaces.keys().copied().collect::<Vec<_>>();
    let chains = relay.app.log.own_chains(space, key).await.unwrap();
    let cut: Vec<_> = chains
        .iter()
        .map(|chain| barid_core::control::Cut {
            incarnation: chain.incarnation,
            lane: chain.lane,
            seq: chain.seq,
            batch: chain.batch,
        })
        .collect();
    let head = relay.app.log.state().borrow().spaces[&space].head;

    // As another process would, such as `barid device revoke`.
    let signer = Arc::new(keys::load(&relay.app.data.organisation_key(organisation)).unwrap());
    let mut writer = crate::log::writer::LogWriter::open(&relay.app.data.log_db(), system_clock()).unwrap();
    let statements = barid_core::control::revoke_device(key, "seized", cut).unwrap();
    writer
        .transact(|append| {
            spaces.iter().try_for_each(|space| {
                let (signer, statements) = (Arc::clone(&signer), statements.clone());
                let own = crate::log::writer::OwnStatements { space: *space, signer, statements };
                append.statements(&own).map(drop)
            })
        })
        .unwrap();
    let is_cut = |status: &barid_core::client::SyncStatus| status.phase != Phase::UpToDate;
    tokio::time::timeout(Duration::from_secs(1), status.wait_for(is_cut)).await.unwrap().unwrap();
    put("after");
    let reader = relay.app.log.reader().clone();
    let taken = async {
        while reader.quarantined_of(space, key).unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, taken).await.unwrap();
    tokio::time::timeout(patience, status.wait_for(is_done)).await.unwrap().unwrap();
    let aside = reader.quarantined(space).unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!(reader.head(space).unwrap(), head + 1, "the revoke, and nothing else");
    assert!(phone.store().membership(space).unwrap().is_revoked(key), "the phone knows");
    assert!(status.borrow().revoked);
    // It is not offered again on another link, unless the relay has lost it.
    let position =
        |space| phone.store().positions().unwrap().into_iter().find(|at| at.space == space).unwrap();
    assert_eq!(position(space).quarantined, QuarantineDigest::of([aside[0].id]));
    assert_eq!(phone.store().outgoing(&[], &[], usize::MAX).unwrap().0, []);
    phone.store().forget_quarantined_there(space).unwrap();
    assert_eq!(phone.store().outgoing(&[], &[], usize::MAX).unwrap().0.len(), 1);
    tokio::task::spawn_blocking(move || drop(client)).await.unwrap();
}

#[tokio::test]
async fn a_directory_without_a_relay_says_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Server::bind(Config::defaults(dir.path()), false).await.unwrap_err();
    assert!(error.to_string().contains("barid init"));
}
