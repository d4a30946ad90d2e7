//! The dashboard's files, built into the binary, and the operator's own maps.
//!
//! The files are public: they hold nothing but code. Everything they show comes from the API, which
//! needs a login. If the dashboard was not built, a page says so.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::app::App;
use crate::problem::Problem;

pub(crate) mod maps;

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
#[allow_missing = true]
struct Files;

const NOT_FOUND: Problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here");

/// The routes of the pages.
pub fn routes() -> Router<App> {
    Router::new().route("/maps/{file}", get(map)).fallback(file)
}

async fn file(method: axum::http::Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    // Unknown routes of the API are its own business and no page.
    if path == "api"
        || path.starts_with("api/")
        || ![axum::http::Method::GET, axum::http::Method::HEAD].contains(&method)
    {
        return NOT_FOUND.into_response();
    }
    if let Some(found) = Files::get(path) {
        return serve(path, found, &headers);
    }
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    match Files::get("index.html") {
        Some(found) if is_page => serve("index.html", found, &headers),
        None if path.is_empty() => {
            (StatusCode::OK, no_cache(), Html(include_str!("pages/not_built.html"))).into_response()
        }
        _ => NOT_FOUND.into_response(),
    }
}

fn no_cache() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))]
}

fn serve(path: &str, found: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", barid_core::id::to_hex(&found.metadata.sha256_hash()[..16]));
    let is_held = headers.get(header::IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes());
    // Vite names its assets by their content: they never change under one name.
    let caching =
        if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if is_held {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let form = mime_guess::from_path(path).first_or_octet_stream();
        let form = if form.type_() == "text" { format!("{form}; charset=utf-8") } else { form.to_string() };
        ([(header::CONTENT_TYPE, form)], Body::from(found.data)).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

async fn map(State(app): State<App>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let is_name = name.ends_with(".pmtiles")
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if !is_name {
        return NOT_FOUND.into_response();
    }
    maps::serve(app.config.maps_dir().join(name), range.map(str::to_owned)).await
}
