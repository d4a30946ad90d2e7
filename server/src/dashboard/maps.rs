//! Map files: read in ranges, as PMTiles readers do, so that a file larger than memory is served.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Bytes of one answer; a reader that asks for more gets this much and asks again.
const ANSWER_LEN_MAX: u64 = 8 * 1024 * 1024;

const NOT_FOUND: Problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such map");
const BAD_RANGE: Problem =
    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", "the file does not have this range");
const INTERNAL: Problem =
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the map could not be read");

/// Answers with a range of a file, or with all of it if it is small.
pub(crate) async fn serve(path: PathBuf, range: Option<String>) -> Response {
    match tokio::task::spawn_blocking(move || read(path, range.as_deref())).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => NOT_FOUND.into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "a map cannot be read");
            INTERNAL.into_response()
        }
        Err(_) => INTERNAL.into_response(),
    }
}

fn read(path: PathBuf, range: Option<&str>) -> io::Result<Response> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let asked = match range {
        Some(range) => parse(range, len),
        None => Some((0, len)),
    };
    let Some((start, end)) = asked else {
        let headers = [(header::CONTENT_RANGE, format!("bytes */{len}"))];
        return Ok((headers, BAD_RANGE).into_response());
    };
    let end = end.min(start + ANSWER_LEN_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.pmtiles".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "private, max-age=3600".to_owned()),
    ];
    Ok(if range.is_none() && end == len {
        (StatusCode::OK, headers, Body::from(bytes)).into_response()
    } else {
        let range = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{len}", end - 1))];
        (StatusCode::PARTIAL_CONTENT, headers, range, Body::from(bytes)).into_response()
    })
}

/// One range of a file of `len` bytes, its end excluded.
fn parse(range: &str, len: u64) -> Option<(u64, u64)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) => (start, end.saturating_add(1).min(len)),
        (Ok(start), Err(_)) if end.is_empty() => (start, len),
        (Err(_), Ok(suffix)) if start.is_empty() => (len.saturating_sub(suffix), len),
        _ => return None,
    };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_within_the_file_or_is_none() {
        for (range, expected) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=10-19", Some((10, 20))),
            ("bytes=90-", Some((90, 100))),
            ("bytes=-5", Some((95, 100))),
            ("bytes=0-18446744073709551615", Some((0, 100))),
            ("bytes=-1000", Some((0, 100))),
            ("bytes=100-", None),
            ("bytes=5-4", None),
            ("bytes=a-b", None),
            ("bytes=0-1,5-6", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(parse(range, 100), expected, "{range}");
        }
    }
}
