//! `/api/session`: who is signed in, and to what.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::openapi::Unavailable;
use crate::accounts::Principal;
use crate::view::shape::rfc3339;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
struct Account {
    /// The account's name.
    name: String,
    /// What it may do: `administrator` or `coordinator`.
    role: String,
}

/// The relay itself.
#[derive(Debug, Serialize, ToSchema)]
struct Relay {
    /// The program's version.
    version: &'static str,
    /// What its joint space is called in Arabic.
    name_ar: String,
    /// What its joint space is called in English.
    name_en: String,
    /// Whether this is the demonstration, with made-up patrols.
    demo: bool,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
struct Session {
    /// Who is signed in.
    account: Account,
    /// To what.
    relay: Relay,
    /// The relay's time, by which ages are reckoned.
    #[schema(format = DateTime)]
    now: String,
}

/// Who is signed in, and the relay's name and time.
#[utoipa::path(
    get, path = "/api/session", operation_id = "read_session", tag = "relay",
    responses((status = 200, description = "The session", body = Session), Unavailable)
)]
async fn read(State(state): State<ApiState>, principal: Principal) -> Json<Session> {
    // While the views are being built the relay has no name yet; that is no reason to turn people away.
    let name = state.look(|view| Ok(view.relay_name())).await.unwrap_or(None);
    let (name_ar, name_en) = name.unwrap_or_else(|| ("بريد".to_owned(), "Barid".to_owned()));
    Json(Session {
        account: Account { name: principal.name, role: principal.role.as_str().to_owned() },
        relay: Relay { version: env!("CARGO_PKG_VERSION"), name_ar, name_en, demo: state.demo },
        now: rfc3339((state.clock)()),
    })
}
