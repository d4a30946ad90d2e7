//! Who may ask what: the login, the cookie, and the checks in front of every route.
//!
//! The checks fail closed. Everything under `/api` and `/maps` needs a session, routes that do not
//! exist included, so that adding a route can never forget it. What changes anything must say that
//! it comes from this relay's own pages (`Origin`), and so must every link that a browser opens and
//! keeps open, because cookies alone would let any page of the world speak for its visitor.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::accounts::{LoginError, Principal};
use crate::app::App;
use crate::problem::Problem;
use crate::secret::Secret;

const COOKIE: &str = "barid_session";

const LOGIN_REQUIRED: Problem =
    Problem::new(StatusCode::UNAUTHORIZED, "login_required", "sign in first: POST /api/login");
const WRONG_ORIGIN: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "wrong_origin",
    "the request does not come from this relay's own pages",
);
const WRONG_HOST: Problem =
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", "this relay has another name");
const BAD_REQUEST: Problem =
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", "the body must be JSON with name and password");
const INTERNAL: Problem =
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the relay could not answer");

/// Where a request's connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

/// The routes of logging in and out.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/login", post(login))
        .route("/api/logout", post(logout))
        .route("/login/once/{token}", get(login_once))
}

/// Lets only those pass who may: the one middleware in front of every route.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = check_host(&app, request.headers()) {
        return problem.into_response();
    }
    if let Err(problem) = check_origin(&app, request.method(), request.headers()) {
        return problem.into_response();
    }
    if needs_login(request.uri().path()) {
        match session(&app, request.headers()) {
            Ok(Some(principal)) => {
                request.extensions_mut().insert(principal);
            }
            Ok(None) => return LOGIN_REQUIRED.into_response(),
            Err(problem) => return problem.into_response(),
        }
    }
    next.run(request).await
}

fn needs_login(path: &str) -> bool {
    let under =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (under("/api") && path != "/api/login") || under("/maps")
}

fn session(app: &App, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
    let Some(token) = cookie(headers) else { return Ok(None) };
    app.accounts.principal(&token).map_err(|error| {
        tracing::error!(%error, "a session could not be checked");
        INTERNAL
    })
}

/// A browser on this machine can be told by a hostile name server that any name is loopback; then
/// only the host it names gives that away. Under TLS the certificate does.
fn check_host(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if app.config.uses_tls() {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is_public = origin_host(&app.config.web_url(app.address)).is_some_and(|public| public == host);
    if is_loopback || is_public || name.eq_ignore_ascii_case("localhost") { Ok(()) } else { Err(WRONG_HOST) }
}

fn check_origin(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let keeps_open = headers.contains_key(header::UPGRADE)
        || headers
            .get(header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if !changes && !keeps_open {
        return Ok(());
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if is_own(app, origin, headers) => Ok(()),
        Some(_) => Err(WRONG_ORIGIN),
        None if changes => Err(WRONG_ORIGIN),
        // A phone's link has no origin; neither has an event stream of the same origin, and that of
        // a foreign page says so here.
        None => match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(WRONG_ORIGIN),
        },
    }
}

fn is_own(app: &App, origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if origin == app.config.web_url(app.address) {
        return true;
    }
    let scheme = if app.config.uses_tls() { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| origin == format!("{scheme}://{host}"))
}

fn origin_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()
}

/// The session's token, if the request brings one.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<Secret> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .map(Secret::new)
}

/// The cookie, or with no token the one that removes it. A browser forgets it when it closes; when
/// the session really ends is decided here.
fn set_cookie(app: &App, token: Option<&Secret>) -> HeaderValue {
    let secure = if app.config.web_url(app.address).starts_with("https") { "; Secure" } else { "" };
    let attributes = format!("Path=/; HttpOnly; SameSite=Strict{secure}");
    let text = match token {
        Some(token) => format!("{COOKIE}={}; {attributes}", token.reveal()),
        None => format!("{COOKIE}=; {attributes}; Max-Age=0"),
    };
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// A name and its password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Credentials {
    /// The account's name.
    name: String,
    /// Its password.
    #[schema(format = Password)]
    password: String,
}

/// Sign in: sets the session's cookie.
#[utoipa::path(
    post, path = "/api/login", operation_id = "login", tag = "relay",
    request_body = Credentials,
    responses(
        (status = 204, description = "Signed in; the cookie is set"),
        (status = 400, description = "Not JSON with name and password (`bad_request`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
        (status = 401, description = "The name or the password is wrong (`wrong_credentials`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
        (status = 403, description = "From another page than this relay's own (`wrong_origin`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Wait, as `Retry-After` says (`too_many_attempts`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn login(
    State(app): State<App>,
    PeerIp(from): PeerIp,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|form| form.as_bytes().starts_with(b"application/json"));
    let Ok(Credentials { name, password }) = serde_json::from_slice(&body) else {
        return BAD_REQUEST.into_response();
    };
    if !is_json {
        return BAD_REQUEST.into_response();
    }
    match app.accounts.login(&name, Secret::new(password), from).await {
        Ok(token) => {
            tracing::info!("somebody signed in");
            (StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie(&app, Some(&token)))]).into_response()
        }
        Err(LoginError::WrongCredentials) => {
            tracing::info!("a wrong name or password");
            Problem::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "the name or the password is wrong")
                .into_response()
        }
        Err(LoginError::TooManyAttempts { retry_after_seconds }) => {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "wait before the next attempt",
            );
            ([(header::RETRY_AFTER, retry_after_seconds)], problem).into_response()
        }
        Err(LoginError::Database(error)) => {
            tracing::error!(%error, "a login could not be checked");
            INTERNAL.into_response()
        }
    }
}

/// Sign out: ends the session and removes its cookie.
#[utoipa::path(
    post, path = "/api/logout", operation_id = "logout", tag = "relay",
    responses(
        (status = 204, description = "Signed out"),
        (status = 403, description = "From another page than this relay's own (`wrong_origin`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logout(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(Err(error)) = cookie(&headers).map(|token| app.accounts.logout(&token)) {
        tracing::error!(%error, "a session could not be ended");
        return INTERNAL.into_response();
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie(&app, None))]).into_response()
}

async fn login_once(State(app): State<App>, Path(token): Path<String>) -> Response {
    match app.accounts.login_once(&Secret::new(token)) {
        Ok(Some(session)) => {
            ([(header::SET_COOKIE, set_cookie(&app, Some(&session)))], Redirect::to("/")).into_response()
        }
        Ok(None) => (StatusCode::GONE, axum::response::Html(USED_PAGE)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a login link could not be checked");
            INTERNAL.into_response()
        }
    }
}

const USED_PAGE: &str = include_str!("pages/link_used.html");

/// The address that attempts are counted by.
pub(crate) struct PeerIp(IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for PeerIp {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<PeerAddress>();
        Ok(Self(peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip())))
    }
}

/// Whoever the guard let pass; on a route outside its reach, nobody.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| LOGIN_REQUIRED.into_response())
    }
}
