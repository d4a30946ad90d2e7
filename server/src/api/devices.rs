//! `/api/devices`: the phones, when they were last heard of, and what is still to come from them.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::Unavailable;
use crate::view::devices::Devices;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every device that is or was enrolled.
#[utoipa::path(
    get, path = "/api/devices", operation_id = "list_devices", tag = "devices",
    responses((status = 200, description = "All devices", body = Devices), Unavailable)
)]
async fn list(State(state): State<ApiState>) -> Result<Json<Devices>, ApiError> {
    let (connected, now) = ((state.connected)(), (state.clock)());
    let reports = state.reports.clone();
    state.look(move |view| view.devices(&reports, &connected, now)).await.map(Json)
}
