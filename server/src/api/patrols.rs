//! `/api/patrols`: patrols and their tracks.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::events::record_path;
use super::openapi::{BadRequest, Missing, Unavailable};
use super::parameter::{Parameters, PathParts, id_if, limit, search_if, word_if};
use super::{ApiState, page_token};
use crate::view::patrols::{Patrol, PatrolFilter, PatrolPage, TrackCollection};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(detail)).routes(routes!(track))
}

/// Which patrols are shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct PatrolParameters {
    /// Only this space.
    space: Option<String>,
    /// Only this state.
    state: Option<String>,
    /// Only what this organisation's devices recorded.
    organisation: Option<String>,
    /// Words to find.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Rows on a page, at most.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Patrols, the latest scheduled start first.
#[utoipa::path(
    get, path = "/api/patrols", operation_id = "list_patrols", tag = "patrols",
    params(PatrolParameters),
    responses((status = 200, description = "One page", body = PatrolPage), BadRequest, Unavailable)
)]
async fn list(
    State(state): State<ApiState>,
    Parameters(parameters): Parameters<PatrolParameters>,
) -> Result<Json<PatrolPage>, ApiError> {
    let filter = PatrolFilter {
        space: id_if("space", parameters.space.as_deref())?,
        state: word_if("state", parameters.state.as_deref())?,
        organisation: id_if("organisation", parameters.organisation.as_deref())?,
        text: search_if(parameters.q.as_deref())?,
    };
    let limit = limit(parameters.limit.as_deref())?;
    let after = page_token(parameters.after.as_deref())?;
    state.look(move |view| view.patrols(&filter, limit, after)).await.map(Json)
}

/// One patrol.
#[utoipa::path(
    get, path = "/api/patrols/{space}/{id}", operation_id = "read_patrol", tag = "patrols",
    params(
        ("space" = String, Path, description = "The space"),
        ("id" = String, Path, format = "uuid", description = "The record"),
    ),
    responses((status = 200, description = "The patrol", body = Patrol), BadRequest, Missing, Unavailable)
)]
async fn detail(
    State(state): State<ApiState>,
    PathParts((space, id)): PathParts<(String, String)>,
) -> Result<Json<Patrol>, ApiError> {
    let (space, id) = record_path(&space, &id)?;
    let found = state.look(move |view| view.patrol(space, id)).await?;
    found.map(Json).ok_or(ApiError::NotFound { what: "patrol" })
}

/// The tracks of a patrol's devices as GeoJSON: a line for each run of positions, and one for each gap.
#[utoipa::path(
    get, path = "/api/patrols/{space}/{id}/track", operation_id = "read_patrol_track", tag = "patrols",
    params(
        ("space" = String, Path, description = "The space"),
        ("id" = String, Path, format = "uuid", description = "The patrol"),
    ),
    responses(
        (status = 200, description = "The tracks", body = TrackCollection, content_type = "application/geo+json"),
        BadRequest, Missing, Unavailable
    )
)]
async fn track(
    State(state): State<ApiState>,
    PathParts((space, id)): PathParts<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let (space, id) = record_path(&space, &id)?;
    let found = state.look(move |view| view.track(space, id)).await?;
    let track = found.ok_or(ApiError::NotFound { what: "patrol" })?;
    Ok(([(header::CONTENT_TYPE, "application/geo+json")], Json(track)))
}
