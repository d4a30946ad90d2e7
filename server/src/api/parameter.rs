//! Reading what a request asks for: every parameter is checked before anything is looked up.
//!
//! An unknown parameter is an error: a filter that is mistyped and ignored would show more than was
//! asked for, and nobody would notice. An empty one counts as absent, as a form sends it.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use barid_core::clock::Timestamp;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::view::shape::parse_rfc3339;

/// Rows on one page, at most.
pub(crate) const PAGE_LIMIT_MAX: usize = 500;
/// Rows on one page if the request does not say.
const PAGE_LIMIT_DEFAULT: usize = 100;
/// Characters of a search, at most.
const SEARCH_LEN_MAX: usize = 200;
/// Characters of a word such as a state or a type, at most.
const WORD_LEN_MAX: usize = 64;

/// The query of a request, as a struct of optional texts that refuses unknown names.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The struct's fields are texts, so the rejection can only name a parameter, never a value.
        Query::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|rejection| ApiError::UnreadableQuery(rejection.body_text()))
    }
}

/// The named parts of the path.
#[derive(Debug)]
pub(crate) struct PathParts<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParts<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::BadQuery { parameter: "path", expected: "UTF-8 text" };
        Path::from_request_parts(parts, state).await.map(|Path(parts)| Self(parts)).map_err(malformed)
    }
}

/// A parameter's text, unless it is absent or empty.
fn present(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// An identifier.
pub(crate) fn id<T: FromStr>(parameter: &'static str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::BadQuery {
        parameter,
        expected: "an identifier as this API gives it: hexadecimal digits, or a UUID",
    })
}

/// An identifier that may be absent.
pub(crate) fn id_if<T: FromStr>(parameter: &'static str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    present(text).map(|text| id(parameter, text)).transpose()
}

/// A page's number of rows.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = present(text) else { return Ok(PAGE_LIMIT_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=PAGE_LIMIT_MAX).contains(limit))
        .ok_or(ApiError::BadQuery { parameter: "limit", expected: "a whole number from 1 to 500" })
}

/// A time that may be absent.
pub(crate) fn time_if(parameter: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let expected = "a time as in RFC 3339, such as 2026-11-24T20:00:00Z";
    present(text)
        .map(|text| parse_rfc3339(text).ok_or(ApiError::BadQuery { parameter, expected }))
        .transpose()
}

/// A whole number that may be absent.
pub(crate) fn int_if(parameter: &'static str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let expected = "a whole number";
    present(text).map(|text| text.parse().map_err(|_| ApiError::BadQuery { parameter, expected })).transpose()
}

/// A yes or no; absent is no.
pub(crate) fn flag(parameter: &'static str, text: Option<&str>) -> Result<bool, ApiError> {
    match present(text) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::BadQuery { parameter, expected: "true or false" }),
    }
}

/// A word such as a state or a type: lower-case letters, digits and underscores. Words that this
/// version does not know are allowed, since an app may have its own.
pub(crate) fn word_if(parameter: &'static str, text: Option<&str>) -> Result<Option<String>, ApiError> {
    let is_word = |text: &str| {
        text.len() <= WORD_LEN_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
    };
    let expected = "one word of lower-case letters, digits and underscores";
    match present(text) {
        None => Ok(None),
        Some(text) if is_word(text) => Ok(Some(text.to_owned())),
        Some(_) => Err(ApiError::BadQuery { parameter, expected }),
    }
}

/// Words to search for.
pub(crate) fn search_if(text: Option<&str>) -> Result<Option<String>, ApiError> {
    match present(text) {
        Some(text) if text.chars().count() > SEARCH_LEN_MAX || text.contains('\0') => {
            Err(ApiError::BadQuery { parameter: "q", expected: "a text of at most 200 characters" })
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// A rectangle of `lat_min,lon_min,lat_max,lon_max` in degrees.
pub(crate) fn bbox_if(text: Option<&str>) -> Result<Option<[f64; 4]>, ApiError> {
    let Some(text) = present(text) else { return Ok(None) };
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let rectangle = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
    rectangle
        .filter(|[lat_min, lon_min, lat_max, lon_max]| {
            (-90.0..=90.0).contains(lat_min)
                && (-180.0..=180.0).contains(lon_min)
                && (-90.0..=90.0).contains(lat_max)
                && (-180.0..=180.0).contains(lon_max)
                && lat_min <= lat_max
                && lon_min <= lon_max
        })
        .map(Some)
        .ok_or(ApiError::BadQuery {
            parameter: "bbox",
            expected: "lat_min,lon_min,lat_max,lon_max in degrees, the smaller ones first",
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use barid_core::id::SpaceId;

    #[test]
    fn what_is_absent_or_empty_is_not_asked_for() {
        for text in [None, Some(""), Some("  ")] {
            assert_eq!(limit(text).unwrap(), PAGE_LIMIT_DEFAULT);
            assert_eq!(time_if("from", text).unwrap(), None);
            assert_eq!(int_if("priority_min", text).unwrap(), None);
            assert!(!flag("conflicts", text).unwrap());
            assert_eq!(word_if("type", text).unwrap(), None);
            assert_eq!(search_if(text).unwrap(), None);
            assert_eq!(bbox_if(text).unwrap(), None);
            assert_eq!(id_if::<SpaceId>("space", text).unwrap(), None);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name_and_never_repeated() {
        let errors = [
            limit(Some("0")).unwrap_err(),
            limit(Some("501")).unwrap_err(),
            limit(Some("many")).unwrap_err(),
            time_if("from", Some("yesterday")).unwrap_err(),
            int_if("priority_min", Some("1.5")).unwrap_err(),
            flag("conflicts", Some("yes")).unwrap_err(),
            word_if("type", Some("A b")).unwrap_err(),
            search_if(Some(&"ا".repeat(201))).unwrap_err(),
            bbox_if(Some("1,2,3")).unwrap_err(),
            bbox_if(Some("1,2,3,NaN")).unwrap_err(),
            bbox_if(Some("5,2,3,4")).unwrap_err(),
            bbox_if(Some("-91,0,0,0")).unwrap_err(),
            id_if::<SpaceId>("space", Some("xyz")).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, ApiError::BadQuery { .. }), "{error}");
            for value in ["501", "many", "yesterday", "1.5", "yes", "A b", "NaN", "xyz"] {
                assert!(!error.to_string().contains(value), "{error}");
            }
        }
    }

    #[test]
    fn a_rectangle_is_read_in_the_order_of_its_name() {
        assert_eq!(bbox_if(Some("20, 9.5,33,25")).unwrap(), Some([20.0, 9.5, 33.0, 25.0]));
    }
}
