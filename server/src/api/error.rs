//! What can go wrong with a request, as one type that becomes `application/problem+json` (RFC 9457).
//!
//! Codes are stable words; the text a person reads is chosen by the client, in their language. What
//! went wrong inside stays in the trace, and no error repeats what the request contained.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::blob::BlobError;
use crate::view::ViewError;

/// A request that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No session, or one that is over.
    #[error("sign in first")]
    LoginRequired,
    /// There is no such thing, or not in this space.
    #[error("there is no such {what}")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// A parameter cannot be used.
    #[error("the parameter `{parameter}` must be {expected}")]
    BadQuery {
        /// The parameter's name.
        parameter: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The query as a whole cannot be read.
    #[error("{0}")]
    UnreadableQuery(String),
    /// The views do not exist yet, as on the first start.
    #[error("the views are being built; try again in a moment")]
    NotReady,
    /// The views cannot be read.
    #[error("the relay could not answer")]
    Internal(#[source] ViewError),
    /// An attachment has no such range of bytes.
    #[error("it has {len} bytes")]
    BadRange {
        /// Bytes that it has.
        len: u64,
    },
    /// An attachment cannot be read.
    #[error("the relay could not answer")]
    Attachment(#[source] BlobError),
    /// The work was given up, as when the relay stops.
    #[error("the relay could not answer")]
    GivenUp(#[source] tokio::task::JoinError),
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::NotReady => Self::NotReady,
            error => Self::Internal(error),
        }
    }
}

impl ApiError {
    /// The stable word by which a client knows the error, and the status of the response.
    pub const fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::LoginRequired => (StatusCode::UNAUTHORIZED, "login_required"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::BadQuery { .. } | Self::UnreadableQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::BadRange { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "bad_range"),
            Self::Internal(_) | Self::Attachment(_) | Self::GivenUp(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

/// The body of every error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A name for this kind of problem: `urn:barid:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:barid:problem:bad_query")]
    pub type_: String,
    /// The status in words.
    #[schema(example = "Bad Request")]
    pub title: String,
    /// The status of the response.
    #[schema(example = 400)]
    pub status: u16,
    /// A stable word to act upon.
    #[schema(example = "bad_query")]
    pub code: String,
    /// What happened, for developers, in English.
    #[schema(example = "the parameter `limit` must be a whole number from 1 to 500")]
    pub detail: String,
}

impl Problem {
    /// A problem as a response, for errors of whatever family.
    pub fn response(status: StatusCode, code: &str, detail: String) -> Response {
        let problem = Self {
            type_: format!("urn:barid:problem:{code}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        if let Some(cause) = std::error::Error::source(&self) {
            tracing::error!(code, cause = %chain(cause), "a request failed");
        }
        let mut response = Problem::response(status, code, self.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::BadRange { len } = self
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{len}"))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
