//! `/api/spaces` and `/api/organisations`: who shares what.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::Unavailable;
use crate::view::spaces::{Organisations, Spaces};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(spaces)).routes(routes!(organisations))
}

/// The spaces that this relay carries.
#[utoipa::path(
    get, path = "/api/spaces", operation_id = "list_spaces", tag = "spaces",
    responses((status = 200, description = "All spaces", body = Spaces), Unavailable)
)]
async fn spaces(State(state): State<ApiState>) -> Result<Json<Spaces>, ApiError> {
    state.look(|view| Ok(view.spaces())).await.map(Json)
}

/// The organisations of all spaces.
#[utoipa::path(
    get, path = "/api/organisations", operation_id = "list_organisations", tag = "spaces",
    responses((status = 200, description = "All organisations", body = Organisations), Unavailable)
)]
async fn organisations(State(state): State<ApiState>) -> Result<Json<Organisations>, ApiError> {
    state.look(|view| Ok(view.organisations())).await.map(Json)
}
