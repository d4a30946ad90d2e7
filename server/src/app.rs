//! What every request handler may use, and the routes put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use barid_core::clock::Clock;
use barid_core::id::to_hex;
use barid_core::identity::Identity;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyDeadlineLayer;
use tower_http::trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::accounts::Accounts;
use crate::api::ApiState;
use crate::attachments::Attachments;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::enrolment::Enrolments;
use crate::live::Live;
use crate::log::sqlite::SqliteLog;
use crate::problem::Problem;
use crate::relay_db::RelayDb;
use crate::reports::Reports;
use crate::shutdown::Shutdown;
use crate::view::Views;
use crate::{api, auth, dashboard, relay};

/// A running relay, as its handlers see it. Clones share everything.
#[derive(Clone)]
pub struct App {
    /// Every setting.
    pub config: Arc<Config>,
    /// Where each file is.
    pub data: DataDir,
    /// What time it is.
    pub clock: Clock,
    /// The relay's secret key: signs its side of every link.
    pub identity: Arc<Identity>,
    /// The log.
    pub log: SqliteLog,
    /// Accounts, tokens and reports as rows.
    pub relay_db: RelayDb,
    /// Accounts and sessions.
    pub accounts: Accounts,
    /// One-use enrolment tokens.
    pub enrolments: Enrolments,
    /// What devices last said of themselves.
    pub reports: Reports,
    /// Photos and other attachments.
    pub attachments: Attachments,
    /// Who is linked now.
    pub links: relay::Links,
    /// The views.
    pub views: Views,
    /// What changed in the views, for everyone who looks at them now.
    pub live: Live,
    /// Where the relay listens.
    pub address: SocketAddr,
    /// The pin of the certificate that is served, if links are encrypted.
    pub certificate_pin: Option<[u8; 32]>,
    /// Whether this is the demo, which says so on its pages.
    pub is_demo: bool,
    /// Told when the relay stops: links and streams end themselves.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("address", &self.address).field("log", &self.log).finish_non_exhaustive()
    }
}

impl App {
    /// What the routes of the API work with.
    pub fn api(&self) -> ApiState {
        ApiState {
            views: self.views.clone(),
            live: self.live.clone(),
            reports: self.reports.clone(),
            connected: Arc::new({
                let links = self.links.clone();
                move || links.connected()
            }),
            attachments: self.attachments.clone(),
            accounts: self.accounts.clone(),
            clock: self.clock.clone(),
            demo: self.is_demo,
        }
    }
}

const NOT_READY: Problem =
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the relay is stopping, or cannot write");

/// Every route, behind every check.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(auth::routes())
        .merge(relay::routes())
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .merge(dashboard::routes())
        .merge(api::router(app.api()))
        .layer(DefaultBodyLimit::max(app.config.body_len_max))
        .layer(RequestBodyDeadlineLayer::new(Duration::from_secs(app.config.body_seconds_max)))
        .layer(middleware::from_fn_with_state(app.clone(), auth::guard))
        .layer(middleware::from_fn(secure_headers))
        .layer(CatchPanicLayer::custom(|_| {
            // What it was is in the trace of the panic hook; a page gets no text of it.
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the relay could not answer")
                .into_response()
        }))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_failure(DefaultOnFailure::new().level(Level::WARN)),
        )
        .with_state(app)
}

/// Names the route, never the address: addresses hold search words and login tokens.
fn request_span(request: &Request) -> tracing::Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let id = to_hex(&crate::secret::random::<4>());
    tracing::info_span!("request", id, method = %request.method(), route)
}

async fn ready(State(app): State<App>) -> Response {
    let relay_db = app.relay_db.clone();
    let is_writable = tokio::task::spawn_blocking(move || relay_db.is_writable()).await.unwrap_or(false);
    if is_writable && app.log.is_writable() && !app.shutdown.is_begun() {
        "ready\n".into_response()
    } else {
        NOT_READY.into_response()
    }
}

/// Nothing from elsewhere is loaded, nothing is guessed, and nobody frames these pages. Map workers
/// are made from blobs, and the map library styles its elements.
const SECURE_HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; \
             style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'self'; object-src 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("geolocation=(), camera=(), microphone=()"),
    ),
];

async fn secure_headers(request: Request, next: Next) -> Response {
    let holds_facts = ["/api", "/login"].iter().any(|root| request.uri().path().starts_with(root));
    let mut response = next.run(request).await;
    for (name, value) in SECURE_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    if holds_facts {
        // Shared machines: what was shown to one must not come out of a cache for the next.
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    }
    response
}
