//! `/api/stats`: a few numbers for the head of the page.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::Unavailable;
use crate::view::stats::Stats;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// How much there is, and how far the views are behind the log.
#[utoipa::path(
    get, path = "/api/stats", operation_id = "read_stats", tag = "relay",
    responses((status = 200, description = "Numbers of this moment", body = Stats), Unavailable)
)]
async fn read(State(state): State<ApiState>) -> Result<Json<Stats>, ApiError> {
    let connected = (state.connected)();
    state.look(move |view| view.stats(&connected)).await.map(Json)
}
