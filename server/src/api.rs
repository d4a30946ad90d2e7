//! The read API: JSON over the views, a live stream of what changed, and its own description.
//!
//! Handlers read what a request asks for, ask a view, and turn the answer into JSON; queries are the
//! views' own. Nothing here writes anything, and nothing here knows the log or a store. Who may ask
//! is decided in front of all routes, by the server.

mod attachments;
mod devices;
pub mod error;
mod events;
mod live;
pub mod openapi;
mod parameter;
mod patrols;
mod positions;
mod session;
mod spaces;
mod stats;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use barid_core::clock::Clock;
use barid_core::store::PageToken;
use utoipa_axum::router::OpenApiRouter;

use crate::accounts::Accounts;
use crate::attachments::Attachments;
use crate::live::Live;
use crate::reports::Reports;
use crate::view::devices::Connected;
use crate::view::page::read_token;
use crate::view::{View, ViewError, Views};
use error::ApiError;

/// Who is on a link now, at the moment of asking, and how far each has read the log of each space.
pub type AskConnected = Arc<dyn Fn() -> Connected + Send + Sync>;

/// What the routes work with.
#[derive(Clone)]
pub struct ApiState {
    /// The views.
    pub views: Views,
    /// The live stream.
    pub live: Live,
    /// What devices said of themselves.
    pub reports: Reports,
    /// Who is on a link now.
    pub connected: AskConnected,
    /// Photos and other attachments.
    pub attachments: Attachments,
    /// Whose sessions run.
    pub accounts: Accounts,
    /// What time it is.
    pub clock: Clock,
    /// Whether this is the demonstration.
    pub demo: bool,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("views", &self.views).finish_non_exhaustive()
    }
}

impl ApiState {
    /// Looks at the views on a thread that may block.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let views = self.views.clone();
        let looked = tokio::task::spawn_blocking(move || look(&views.look()?)).await;
        Ok(looked.map_err(ApiError::GivenUp)??)
    }
}

/// All routes, to be served and to be described.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(session::routes())
        .merge(spaces::routes())
        .merge(events::routes())
        .merge(attachments::routes())
        .merge(patrols::routes())
        .merge(positions::routes())
        .merge(devices::routes())
        .merge(stats::routes())
        .merge(live::routes())
        .merge(openapi::routes())
}

/// All routes, ready to be put behind the server's checks.
pub fn router<S>(state: ApiState) -> Router<S> {
    Router::from(routes()).with_state(state)
}

/// Where a page begins, if not at the top.
fn page_token(text: Option<&str>) -> Result<Option<PageToken>, ApiError> {
    let expected = "the `next` of the page before";
    text.filter(|text| !text.is_empty())
        .map(|text| read_token(text).ok_or(ApiError::BadQuery { parameter: "after", expected }))
        .transpose()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
