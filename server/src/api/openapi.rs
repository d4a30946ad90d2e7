//! The API's own description, OpenAPI 3.1, made from the routes themselves.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa::{IntoResponses, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::Problem;

/// The name of the way in which requests are authorised.
const SESSION: &str = "session";
/// The one operation that needs none.
const LOGIN: &str = "login";

/// A parameter, or a part of the path, cannot be used.
#[derive(IntoResponses)]
#[response(
    status = 400,
    description = "A parameter cannot be used (`bad_query`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct BadRequest(Problem);

/// There is no such thing.
#[derive(IntoResponses)]
#[response(
    status = 404,
    description = "There is no such thing (`not_found`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Missing(Problem);

/// The views do not exist yet.
#[derive(IntoResponses)]
#[response(
    status = 503,
    description = "The views are being built (`not_ready`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Unavailable(Problem);

/// Nobody is signed in. Every route gives it.
#[derive(IntoResponses)]
#[response(
    status = 401,
    description = "Nobody is signed in (`login_required`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only describes")]
struct LoginRequired(Problem);

/// The relay failed. Every route may give it.
#[derive(IntoResponses)]
#[response(
    status = 500,
    description = "The relay could not answer (`internal`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only describes")]
struct Internal(Problem);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Barid read API",
        description = "The merged picture of one relay: events, alerts, patrols, tracks and devices. It is only read \
            here; what changes is recorded on devices and travels by the sync protocol. Times are RFC 3339 in UTC with \
            milliseconds. Errors are `application/problem+json` with a stable `code`. Sign in by `POST /api/login`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    paths(crate::auth::login, crate::auth::logout),
    components(schemas(super::live::Ping, Problem)),
    tags(
        (name = "events", description = "Events and alerts"),
        (name = "patrols", description = "Patrols and their tracks"),
        (name = "positions", description = "Where devices were last"),
        (name = "devices", description = "Devices and their links"),
        (name = "spaces", description = "Spaces and organisations"),
        (name = "relay", description = "The relay itself")
    )
)]
struct Description;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// This description.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "read_openapi", tag = "relay",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value))
)]
async fn read() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| describe().to_json().expect("a description has a JSON form"));
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

/// Describes every route.
pub fn describe() -> OpenApi {
    let mut description = Description::openapi();
    description.merge(super::routes().into_openapi());
    let components = description.components.get_or_insert_with(Default::default);
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
        "barid_session",
        "Set by `POST /api/login`; not readable by scripts",
    ));
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(cookie));
    for operation in description.paths.paths.values_mut().flat_map(operations) {
        operation.responses.responses.extend(Internal::responses());
        if operation.operation_id.as_deref() == Some(LOGIN) {
            continue;
        }
        operation.responses.responses.extend(LoginRequired::responses());
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SESSION, [])]);
    }
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}
