//! `/api/live`: the live stream as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use barid_core::clock::Clock;
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::BadRequest;
use crate::accounts::Accounts;
use crate::auth::cookie;
use crate::live::{LiveItem, Notice, Reader, Resume};
use crate::secret::Secret;
use crate::view::shape::rfc3339;

/// Between two pings.
const PING: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// The data of a `changed` event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed<'a> {
    /// What to read again.
    items: &'a [LiveItem],
}

/// The data of a `ping` event, and of a `reset`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ping {
    /// The relay's time.
    #[schema(format = DateTime)]
    now: String,
}

/// What changed in the views, as it happens.
///
/// `changed` names items to read again, `reset` says to read everything again, `ping` comes every 15
/// seconds and at the beginning. A reader that comes back with `Last-Event-ID` gets what it missed.
/// The stream ends when the session does, or the relay.
#[utoipa::path(
    get, path = "/api/live", operation_id = "read_live", tag = "relay",
    params(("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event seen; browsers send it by themselves")),
    responses(
        (status = 200, description = "An endless stream; the data of `changed` is this schema, that of `ping` and `reset` is `Ping`", body = Changed<'_>, content_type = "text/event-stream"),
        BadRequest
    )
)]
async fn stream(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let seen = headers.get("last-event-id").map(last_event_id).transpose()?;
    let session = cookie(&headers).map(|token| (state.accounts.clone(), token));
    let place = Place::new(state.live.read(seen), Arc::clone(&state.clock), session, PING);
    let mut response = Sse::new(events(place)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers the stream into blocks would make it anything but live.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(value: &HeaderValue) -> Result<u64, ApiError> {
    let expected = "the id of an event of this stream";
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.ok_or(ApiError::BadQuery { parameter: "Last-Event-ID", expected })
}

/// One reader's place between what it was told and what it must be told next.
struct Place {
    reader: Reader,
    due: VecDeque<Event>,
    clock: Clock,
    ping: tokio::time::Interval,
    /// Whose session must still run.
    session: Option<(Accounts, Secret)>,
}

impl Place {
    fn new(mut reader: Reader, clock: Clock, session: Option<(Accounts, Secret)>, every: Duration) -> Self {
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due = VecDeque::new();
        match std::mem::replace(&mut reader.resume, Resume::Reset) {
            Resume::From(notices) => {
                due.extend(notices.iter().map(|notice| event(notice, &clock)));
                // It gives the reader an id to come back with, though nothing has happened yet.
                due.push_back(time_only("ping", &clock).id(reader.newest.to_string()));
            }
            Resume::Reset => due.push_back(reset(reader.newest, &clock)),
        }
        Self { reader, due, clock, ping, session }
    }

    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.due.pop_front() {
            return Some(event);
        }
        tokio::select! {
            notice = self.reader.notices.recv() => match notice {
                Ok(notice) => Some(event(&notice, &self.clock)),
                // What was dropped is unknown; the next notice that is still there has its id.
                Err(RecvError::Lagged(_)) => Some(time_only("reset", &self.clock)),
                Err(RecvError::Closed) => None,
            },
            _ = self.ping.tick() => self.is_allowed().then(|| time_only("ping", &self.clock)),
        }
    }

    /// Who signs out, or is locked out, hears nothing more.
    fn is_allowed(&self) -> bool {
        let Some((accounts, token)) = &self.session else { return false };
        accounts.is_running(token).unwrap_or_else(|error| {
            tracing::error!(%error, "a session could not be checked");
            false
        })
    }
}

fn events(place: Place) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(place, |mut place| async move {
        let event = place.next().await?;
        Some((Ok(event), place))
    })
}

/// An event that says only what time it is.
fn time_only(name: &str, clock: &Clock) -> Event {
    data(Event::default().event(name), &Ping { now: rfc3339(clock()) })
}

fn event(notice: &Notice, clock: &Clock) -> Event {
    match &notice.items {
        Some(items) => data(Event::default().event("changed").id(notice.id.to_string()), &Changed { items }),
        None => reset(notice.id, clock),
    }
}

fn reset(id: u64, clock: &Clock) -> Event {
    time_only("reset", clock).id(id.to_string())
}

fn data(event: Event, data: &impl Serialize) -> Event {
    event.json_data(data).expect("names and ids have a JSON form")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::accounts::Role;
    use crate::fixture::{NOON, clock_at};
    use crate::live::Live;
    use crate::relay_db::RelayDb;
    use barid_core::clock::Timestamp;

    #[tokio::test]
    async fn whoever_signs_out_hears_nothing_more() {
        let (clock, hour) = (clock_at(NOON), Duration::from_secs(3600));
        let accounts = Accounts::new(RelayDb::in_memory().unwrap(), Arc::clone(&clock), hour, 10);
        accounts.create("amal", Role::Coordinator, &Secret::new("a long password")).unwrap();
        let link = accounts.make_login_token("amal").unwrap();
        let token = accounts.login_once(&link).unwrap().unwrap();
        let live = Live::new(Timestamp::from_millis(NOON));
        let session = Some((accounts.clone(), Secret::new(token.reveal())));
        let mut place = Place::new(live.read(None), Arc::clone(&clock), session, Duration::from_millis(1));
        for _ in 0..3 {
            assert!(place.next().await.is_some());
        }
        accounts.logout(&token).unwrap();
        assert!(place.next().await.is_none());
        let mut nobody = Place::new(live.read(None), clock, None, Duration::from_millis(1));
        assert!(nobody.next().await.is_some(), "the first ping has an id to come back with");
        assert!(nobody.next().await.is_none());
    }
}
