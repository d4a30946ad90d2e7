//! `/api/events`: events and alerts, one by one and as a feed.

use axum::Json;
use axum::extract::State;
use barid_core::id::{RecordId, SpaceId};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::openapi::{BadRequest, Missing, Unavailable};
use super::parameter::{
    Parameters, PathParts, bbox_if, flag, id, id_if, int_if, limit, search_if, time_if, word_if,
};
use super::{ApiState, page_token};
use crate::view::events::{EventDetail, EventFilter, EventPage, History};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(detail)).routes(routes!(history))
}

/// What the feed shows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct EventParameters {
    /// Only this space.
    space: Option<String>,
    /// Only events, only alerts, or both.
    #[param(inline, schema_with = kind_schema)]
    kind: Option<String>,
    /// Words to find, in Arabic or English: with or without the article, however the hamza was typed.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only this type, such as `people_in_distress` or `sos`.
    r#type: Option<String>,
    /// Only this operational state (of an alert: its state).
    state: Option<String>,
    /// Only this review state.
    review: Option<String>,
    /// Only what this organisation's devices recorded.
    organisation: Option<String>,
    /// Only what belongs to this patrol.
    #[param(format = "uuid")]
    patrol: Option<String>,
    /// Only this priority and above. Alerts count as 300.
    #[param(value_type = Option<i64>, example = 200)]
    priority_min: Option<String>,
    /// Only what happened at this time or later.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only what happened before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Only inside `lat_min,lon_min,lat_max,lon_max`, in degrees.
    #[param(example = "20.0,9.3,33.2,25.2")]
    bbox: Option<String>,
    /// Only records with fields that people edited at the same time, with different results.
    #[param(value_type = Option<bool>)]
    conflicts: Option<String>,
    /// Withdrawn ones too.
    #[param(value_type = Option<bool>)]
    withdrawn: Option<String>,
    /// Rows on a page, at most. A page may have fewer although `next` is there.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn kind_schema() -> utoipa::openapi::schema::Object {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .enum_values(Some(["event", "alert", "any"]))
        .default(Some("any".into()))
        .build()
}

impl EventParameters {
    fn filter(&self) -> Result<EventFilter, ApiError> {
        let kind = match self.kind.as_deref() {
            None | Some("" | "any") => None,
            Some("event") => Some("event"),
            Some("alert") => Some("alert"),
            Some(_) => return Err(ApiError::BadQuery { parameter: "kind", expected: "event, alert or any" }),
        };
        Ok(EventFilter {
            space: id_if("space", self.space.as_deref())?,
            kind,
            text: search_if(self.q.as_deref())?,
            type_: word_if("type", self.r#type.as_deref())?,
            state: word_if("state", self.state.as_deref())?,
            review: word_if("review", self.review.as_deref())?,
            organisation: id_if("organisation", self.organisation.as_deref())?,
            patrol: id_if("patrol", self.patrol.as_deref())?,
            priority_min: int_if("priority_min", self.priority_min.as_deref())?,
            from: time_if("from", self.from.as_deref())?,
            to: time_if("to", self.to.as_deref())?,
            bbox: bbox_if(self.bbox.as_deref())?,
            conflicts_only: flag("conflicts", self.conflicts.as_deref())?,
            include_withdrawn: flag("withdrawn", self.withdrawn.as_deref())?,
        })
    }
}

/// Events and alerts, the newest first.
#[utoipa::path(
    get, path = "/api/events", operation_id = "list_events", tag = "events",
    params(EventParameters),
    responses((status = 200, description = "One page", body = EventPage), BadRequest, Unavailable)
)]
async fn list(
    State(state): State<ApiState>,
    Parameters(parameters): Parameters<EventParameters>,
) -> Result<Json<EventPage>, ApiError> {
    let filter = parameters.filter()?;
    let limit = limit(parameters.limit.as_deref())?;
    let after = page_token(parameters.after.as_deref())?;
    state.look(move |view| view.events(&filter, limit, after)).await.map(Json)
}

/// One record, as its path names it.
pub(super) fn record_path(space: &str, id_text: &str) -> Result<(SpaceId, RecordId), ApiError> {
    Ok((id("space", space)?, id("id", id_text)?))
}

/// Which of the two kinds a path names.
fn kind_of(kind: &str) -> Result<&'static str, ApiError> {
    match kind {
        "event" => Ok("event"),
        "alert" => Ok("alert"),
        _ => Err(ApiError::NotFound { what: "kind" }),
    }
}

/// One event or alert, with both values of every conflict.
#[utoipa::path(
    get, path = "/api/events/{space}/{kind}/{id}", operation_id = "read_event", tag = "events",
    params(
        ("space" = String, Path, description = "The space"),
        ("kind" = String, Path, description = "`event` or `alert`"),
        ("id" = String, Path, format = "uuid", description = "The record"),
    ),
    responses((status = 200, description = "The record", body = EventDetail), BadRequest, Missing, Unavailable)
)]
async fn detail(
    State(state): State<ApiState>,
    PathParts((space, kind, id)): PathParts<(String, String, String)>,
) -> Result<Json<EventDetail>, ApiError> {
    let (kind, (space, id)) = (kind_of(&kind)?, record_path(&space, &id)?);
    let found = state.look(move |view| view.event(space, kind, id)).await?;
    let mut found = found.ok_or(ApiError::NotFound { what: kind })?;
    state.mark_held(space, &mut found.attachments).await;
    Ok(Json(found))
}

/// Everything that was ever changed in one event or alert, the oldest first.
#[utoipa::path(
    get, path = "/api/events/{space}/{kind}/{id}/history", operation_id = "read_event_history", tag = "events",
    params(
        ("space" = String, Path, description = "The space"),
        ("kind" = String, Path, description = "`event` or `alert`"),
        ("id" = String, Path, format = "uuid", description = "The record"),
    ),
    responses((status = 200, description = "Its changes", body = History), BadRequest, Missing, Unavailable)
)]
async fn history(
    State(state): State<ApiState>,
    PathParts((space, kind, id)): PathParts<(String, String, String)>,
) -> Result<Json<History>, ApiError> {
    let (kind, (space, id)) = (kind_of(&kind)?, record_path(&space, &id)?);
    let found = state.look(move |view| view.history(space, kind, id)).await?;
    found.map(Json).ok_or(ApiError::NotFound { what: kind })
}
