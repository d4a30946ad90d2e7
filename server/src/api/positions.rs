//! `/api/positions`: where each device was last.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::{BadRequest, Unavailable};
use super::parameter::{Parameters, id_if};
use crate::view::positions::DevicePositions;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Whose positions are shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct PositionParameters {
    /// Only what was recorded in this space.
    space: Option<String>,
}

/// The newest position of every device that sent any. How old it is, is for the reader to see.
#[utoipa::path(
    get, path = "/api/positions", operation_id = "list_positions", tag = "positions",
    params(PositionParameters),
    responses((status = 200, description = "One position a device", body = DevicePositions), BadRequest, Unavailable)
)]
async fn list(
    State(state): State<ApiState>,
    Parameters(parameters): Parameters<PositionParameters>,
) -> Result<Json<DevicePositions>, ApiError> {
    let space = id_if("space", parameters.space.as_deref())?;
    state.look(move |view| view.positions(space)).await.map(Json)
}
