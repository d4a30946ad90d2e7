//! What a browser asks: the real router, behind a real login, over real views.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, Uri, header};
use barid_server::app;
use barid_server::config::Config;
use barid_server::serve::Server;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::super::{Target, bits, signal};
use crate::browser::Browser;
use crate::phone::{Phone, event_fields};
use crate::relay::Relay;
use crate::wait::until;

const PATHS: [&str; 10] = [
    "/api/events",
    "/api/patrols",
    "/api/positions",
    "/api/devices",
    "/api/spaces",
    "/api/stats",
    "/api/events/",
    "/api/patrols/",
    "/api/session",
    "/",
];

/// The first byte names the path, the rest is the query, and what follows the path where it goes on.
pub(super) struct Query {
    runtime: Runtime,
    router: axum::Router,
    cookie: String,
    host: String,
    event: String,
    token: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Query {
    /// Fills a relay with a phone's events, by the real processes, and opens what they left.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut relay = Relay::new(folder.path());
        let mut phone = Phone::enrol(&relay, folder.path(), "phone");
        for number in 0..30 {
            phone.put_event(event_fields(number));
        }
        phone.sync_once();
        let browser = Browser::login(&relay);
        until("the views show all of it", crate::phone::PATIENCE, || {
            (browser.all("/api/events").len() == 30).then_some(())
        });
        let page = browser.get("/api/events?limit=3").json();
        let token = page["next"].as_str().unwrap().to_owned();
        let first = &page["items"][0];
        let part = |name: &str| first[name].as_str().unwrap().to_owned();
        let event = format!("{}/event/{}", part("space"), part("id"));
        let cookie = browser.cookie().to_owned();
        relay.stop();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut config = Config::defaults(relay.folder());
        config.listen.set_port(0);
        let server = runtime.block_on(Server::bind(config, false)).unwrap();
        let router = app::router(server.app().clone());
        let host = server.address().to_string();
        Self { runtime, router, cookie, host, event, token, _server: server, _folder: folder }
    }
}

impl Target for Query {
    fn name(&self) -> &'static str {
        "query"
    }

    fn len_max(&self) -> usize {
        2048
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let everything = format!(
            "kind=event&q=%D8%A7%D9%84%D8%A8%D8%A6%D8%B1&type=stranded_vehicle&state=new&review=submitted\
             &priority_min=0&from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00%2B02:00&bbox=20,9,33,25\
             &conflicts=false&withdrawn=true&limit=7&after={}",
            self.token
        );
        let of = |path: u8, query: &str| [&[path], query.as_bytes()].concat();
        vec![
            of(0, &everything),
            of(0, "limit=500"),
            of(1, "state=active&overdue=true&limit=1"),
            of(2, "bbox=-90,-180,90,180"),
            of(6, &self.event),
            of(6, &format!("{}/history", self.event)),
            of(8, ""),
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        [
            "&",
            "=",
            "%00",
            "%",
            "%ff",
            "+",
            "q=",
            "after=",
            "limit=",
            "bbox=",
            "space=",
            "from=",
            "to=",
            "NEAR(",
            "%22",
            "*",
            "-",
            "^",
            "OR",
            "%D9%80",
            "1e308",
            "NaN",
            "-0",
            "9999-12-31T23:59:60Z",
            "../",
            "//",
            "?",
        ]
        .map(|word| word.as_bytes().to_vec())
        .into_iter()
        .chain([self.token.clone().into_bytes(), self.event.clone().into_bytes()])
        .collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let (path, rest) = input.split_first().unwrap_or((&0, &[]));
        let path = PATHS[usize::from(*path) % PATHS.len()];
        let mark = if path.len() > 1 && path.ends_with('/') { "" } else { "?" };
        // What is no address at all never reaches the router.
        let Ok(address) = Uri::try_from([path.as_bytes(), mark.as_bytes(), rest].concat()) else {
            return signal(0);
        };
        let request = Request::get(address)
            .header(header::HOST, &self.host)
            .header(header::COOKIE, &self.cookie)
            .body(Body::empty())
            .unwrap();
        let (status, len) = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            (status, to_bytes(response.into_body(), 8 * 1024 * 1024).await.unwrap().len())
        });
        assert!(
            !status.is_server_error() && status != StatusCode::UNAUTHORIZED,
            "a question has an answer: {status}"
        );
        signal((path, status.as_u16(), bits(len)))
    }
}
