//! `/api/spaces/{space}/attachments/{hash}`: the bytes of an attachment.
//!
//! They came from a phone, so a browser is told nothing that it could run: the type is looked for in the
//! bytes themselves, everything that is no picture is a stream of bytes, and what opens it does so without
//! rights. Whole files are never held in memory.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use barid_core::attachment::MediaType;
use barid_core::id::{AttachmentHash, SpaceId};
use futures_util::stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::ApiError;
use super::openapi::{BadRequest, Missing};
use super::parameter::{PathParts, id};
use crate::attachments::Attachments;
use crate::blob::BlobId;
use crate::view::attachments::Attachment;

/// Bytes read from the disk at a time.
const READ_LEN: usize = 256 * 1024;
/// Bytes by which a type is known.
const SNIFF_LEN: usize = 16;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

impl ApiState {
    /// Says of attachments that are shown whether this relay has them.
    pub(super) async fn mark_held(&self, space: SpaceId, shown: &mut [Attachment]) {
        let hashes = shown
            .iter()
            .flat_map(|shown| [Some(&shown.hash), shown.thumbnail.as_ref().map(|thumbnail| &thumbnail.hash)]);
        let hashes: Vec<AttachmentHash> = hashes.flatten().filter_map(|hash| hash.parse().ok()).collect();
        if hashes.is_empty() {
            return;
        }
        let held = match self.attachments.held(space, hashes).await {
            Ok(held) => held,
            Err(error) => {
                // The record is shown all the same.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "attachments could not be looked for"
                );
                return;
            }
        };
        let is_held = |hash: &str| hash.parse().is_ok_and(|hash| held.contains(&hash));
        for shown in shown {
            shown.held = is_held(&shown.hash);
            if let Some(thumbnail) = &mut shown.thumbnail {
                thumbnail.held = is_held(&thumbnail.hash);
            }
        }
    }
}

/// The bytes of an attachment or a thumbnail, as the device sent them.
#[utoipa::path(
    get, path = "/api/spaces/{space}/attachments/{hash}", operation_id = "read_attachment", tag = "events",
    params(
        ("space" = String, Path, description = "The space"),
        ("hash" = String, Path, description = "The attachment's hash, as the record names it"),
        ("Range" = Option<String>, Header, description = "One range of bytes, as in RFC 9110"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` of before"),
    ),
    responses(
        (status = 200, description = "All of it", body = inline(Vec<u8>), content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = inline(Vec<u8>), content_type = "application/octet-stream"),
        (status = 304, description = "It is what it was"),
        (status = 416, description = "It has no such range (`bad_range`)",
            body = crate::api::error::Problem, content_type = "application/problem+json"),
        BadRequest, Missing
    )
)]
async fn read(
    State(state): State<ApiState>,
    PathParts((space, hash)): PathParts<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let blob = BlobId { space: id("space", &space)?, hash: id("hash", &hash)? };
    let attachments = &state.attachments;
    let first = attachments.read(blob, 0, SNIFF_LEN).await.map_err(ApiError::Attachment)?;
    let first = first.ok_or(ApiError::NotFound { what: "attachment" })?;
    let etag = format!("\"{}\"", blob.hash);
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let range = match asked_range(&headers, &etag, first.len) {
        Asked::All => None,
        Asked::Range(from, to) => Some((from, to)),
        Asked::Nothing => return Err(ApiError::BadRange { len: first.len }),
    };
    let (from, to) = range.unwrap_or((0, first.len));
    let type_ = MediaType::sniff(&first.bytes).map_or("application/octet-stream", MediaType::as_str);
    let ending = type_.strip_prefix("image/").unwrap_or("bin");
    let disposition = format!("attachment; filename=\"{}.{ending}\"", &blob.hash.to_string()[..16]);
    let mut response = Response::new(body(attachments.clone(), blob, from, to));
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, type_);
    set(header::CONTENT_LENGTH, &(to - from).to_string());
    set(header::CONTENT_DISPOSITION, &disposition);
    set(header::ETAG, &etag);
    set(header::ACCEPT_RANGES, "bytes");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    if range.is_some() {
        set(header::CONTENT_RANGE, &format!("bytes {from}-{}/{}", to - 1, first.len));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The bytes from one place to another, read as they are taken.
fn body(attachments: Attachments, blob: BlobId, from: u64, to: u64) -> Body {
    Body::from_stream(stream::try_unfold(from, move |at| {
        let attachments = attachments.clone();
        async move {
            if at >= to {
                return Ok(None);
            }
            let wanted = usize::try_from(to - at).unwrap_or(READ_LEN).min(READ_LEN);
            let read = attachments.read(blob, at, wanted).await?;
            match read.filter(|piece| !piece.bytes.is_empty()) {
                Some(piece) => {
                    let next = at + piece.bytes.len() as u64;
                    Ok(Some((Bytes::from(piece.bytes), next)))
                }
                // Erased meanwhile: the answer breaks off, and is seen to be too short.
                None => Err(Box::<dyn std::error::Error + Send + Sync>::from("the attachment is gone")),
            }
        }
    }))
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known
        .split(',')
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}

enum Asked {
    All,
    /// From the first byte to before the second.
    Range(u64, u64),
    Nothing,
}

/// One range, if one is asked for. Several, or what cannot be read, count as none: that is allowed.
fn asked_range(headers: &HeaderMap, etag: &str, len: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) else {
        return Asked::All;
    };
    if text(header::IF_RANGE).is_some_and(|condition| condition != etag) {
        return Asked::All;
    }
    let Some((from, to)) = range.trim().split_once('-') else { return Asked::All };
    let (from, to) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(len)),
        (Ok(from), Err(_)) if to.is_empty() => (from, len),
        // So many at the end.
        (Err(_), Ok(count)) if from.is_empty() => (len - count.min(len), len),
        _ => return Asked::All,
    };
    if from < to { Asked::Range(from, to) } else { Asked::Nothing }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn asked(range: &str, len: u64) -> Option<(u64, u64)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        match asked_range(&headers, "\"x\"", len) {
            Asked::All => Some((0, len)),
            Asked::Range(from, to) => Some((from, to)),
            Asked::Nothing => None,
        }
    }

    #[test]
    fn a_range_is_what_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=10-", Some((10, 100))),
            ("bytes=90-1000", Some((90, 100))),
            ("bytes=-10", Some((90, 100))),
            ("bytes=-1000", Some((0, 100))),
            ("bytes=99-99", Some((99, 100))),
            ("bytes=100-", None),
            ("bytes=-0", None),
            ("bytes=0-18446744073709551615", Some((0, 100))),
            ("bytes=9-5", Some((0, 100))),
            ("bytes=0-1,5-6", Some((0, 100))),
            ("bytes=x-y", Some((0, 100))),
            ("lines=1-2", Some((0, 100))),
        ] {
            assert_eq!(asked(range, 100), expected, "{range}");
        }
    }
}
