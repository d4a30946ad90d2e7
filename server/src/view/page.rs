//! Pages: what is shown of a long list, and the token that says where to go on.
//!
//! A token is the store's own with a hash behind it, so that a cut or mistyped one is an error and
//! never a wrong page. It is no secret.

use barid_core::id::to_hex;
use barid_core::store::{PageToken, Query, Record};

use super::{View, ViewError};

/// Rows that one request looks at, at most; then it returns what it found, with a place to go on.
const ROWS_LOOKED_AT_MAX: usize = 100_000;
/// Rows read at once while looking for those that are wanted.
const ROWS_READ_AT_ONCE: usize = 1000;

/// Records that were asked for.
#[derive(Debug)]
pub(super) struct FoundPage {
    pub(super) records: Vec<Record>,
    pub(super) next: Option<String>,
}

impl View {
    /// The records of one page: those that the query finds, of these kinds, and that are admitted.
    /// What the store cannot look up by itself is asked of each row in turn.
    pub(super) fn page(
        &self,
        query: Query,
        kinds: &[&str],
        limit: usize,
        after: Option<PageToken>,
        admits: impl Fn(&Record) -> bool,
    ) -> Result<FoundPage, ViewError> {
        let kind = if let [only] = kinds { Some((*only).to_owned()) } else { None };
        let mut query = Query { kind, after, ..query };
        let mut records = Vec::new();
        let mut looked_at = 0;
        loop {
            // One more than is wanted at first; in strides once many rows turn out unwanted.
            query.limit = if looked_at == 0 { limit + 1 } else { ROWS_READ_AT_ONCE };
            let page = self.store.query(&query)?;
            looked_at += page.records.len();
            for record in page.records {
                if !kinds.contains(&record.kind.as_str()) || !admits(&record) {
                    continue;
                }
                if records.len() == limit {
                    let next = records.last().map(place_of);
                    return Ok(FoundPage { records, next: next.as_ref().map(write_token) });
                }
                records.push(record);
            }
            let Some(next) = page.next else { return Ok(FoundPage { records, next: None }) };
            if looked_at >= ROWS_LOOKED_AT_MAX {
                return Ok(FoundPage { records, next: Some(write_token(&next)) });
            }
            query.after = Some(next);
        }
    }
}

fn place_of(record: &Record) -> PageToken {
    PageToken { time: record.time, id: record.id, space: record.space, kind: record.kind.clone() }
}

/// A token as clients see it.
fn write_token(token: &PageToken) -> String {
    let text = token.to_string();
    format!("{text}.{}", check(&text))
}

/// Reads a token that `View::page` gave.
pub fn read_token(text: &str) -> Option<PageToken> {
    let (token, given) = text.rsplit_once('.')?;
    if given != check(token) { None } else { token.parse().ok() }
}

fn check(text: &str) -> String {
    let hash = blake3::derive_key("barid 2026 page token", text.as_bytes());
    to_hex(&hash[..6])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use barid_core::clock::Timestamp;
    use barid_core::id::{RecordId, SpaceId};

    #[test]
    fn a_token_reads_back_and_a_mistyped_one_does_not() {
        let place = PageToken {
            time: Timestamp::from_millis(-5),
            id: RecordId::from_bytes([1; 16]),
            space: SpaceId::from_bytes([2; 32]),
            kind: "event".to_owned(),
        };
        let token = write_token(&place);
        assert_eq!(read_token(&token), Some(place));
        assert_eq!(read_token(&token[1..]), None);
        for index in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[index] = if other[index] == b'0' { b'1' } else { b'0' };
            assert_eq!(read_token(std::str::from_utf8(&other).unwrap()), None, "character {index}");
        }
    }
}
