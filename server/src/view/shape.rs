//! The shapes that several views share: names, places, times, and fields as JSON.

use barid_core::clock::Timestamp;
use barid_core::id::to_hex;
use barid_core::model::{Fields, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

/// An organisation, as it is shown beside a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganisationName {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name in Arabic.
    pub name_ar: String,
    /// Its name in English.
    pub name_en: String,
    /// Which colour of the palette is its own: 0 and up, the same on every screen.
    pub colour_index: u32,
}

/// A device, and when it did something by its own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trace {
    /// The device, as 64 hexadecimal digits.
    pub device: String,
    /// What its organisation calls the device; empty if it is not known here.
    pub device_label: String,
    /// When, as its clock claimed.
    #[schema(format = DateTime)]
    pub at: String,
}

/// Where something was, and how well that is known.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct Place {
    /// Latitude in degrees.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Longitude in degrees.
    #[schema(minimum = -180, maximum = 180)]
    pub lon: f64,
    /// Radius of 68 % confidence in metres, if the device said.
    #[schema(required)]
    pub accuracy_m: Option<f64>,
    /// `gps`, `manual`, `estimated` or `reported`, if the device said.
    #[schema(required)]
    pub how: Option<String>,
}

/// Redacted: a position never reaches a trace.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place(…)")
    }
}

/// A time as RFC 3339 in UTC with milliseconds. Beyond the years that RFC 3339 can write it is held
/// at their end: a claimed time is data, and a device's clock may claim anything.
pub fn rfc3339(time: Timestamp) -> String {
    let bounded = time.as_millis().clamp(YEAR_0_MS, YEAR_9999_MS);
    jiff::Timestamp::from_millisecond(bounded)
        .unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        .to_string()
}

/// 0000-01-01T00:00:00.000Z and 9999-12-30T22:00:00.000Z, in milliseconds: the ends of the calendar.
const YEAR_0_MS: i64 = -62_167_219_200_000;
const YEAR_9999_MS: i64 = 253_402_207_200_000;

/// Reads a time with a date, a time of day and an offset.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp::from_millis(time.as_millisecond()))
}

/// A field's time as text, if it holds one.
pub fn time_of(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name)?.as_int().map(|millis| rfc3339(Timestamp::from_millis(millis)))
}

/// A field's text, if it holds one.
pub fn text_of(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name)?.as_text().map(str::to_owned)
}

/// A field's whole number, if it holds one.
pub fn int_of(fields: &Fields, name: &str) -> Option<i64> {
    fields.get(name)?.as_int()
}

/// A value as JSON. Bytes have no form there: they become an object with their hexadecimal digits.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(bool) => Json::Bool(*bool),
        Value::Int(int) => Json::from(*int),
        Value::Float(float) => Json::from(*float),
        Value::Text(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::Object(Map::from_iter([("hex".to_owned(), to_hex(bytes).into())])),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(fields) => Json::Object(json_fields(fields)),
    }
}

/// Fields as a JSON object.
pub fn json_fields(fields: &Fields) -> Map<String, Json> {
    fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_and_reads_back() {
        for (millis, text) in [
            (1_795_550_400_000, "2026-11-24T20:00:00.000Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_millis(millis)), text);
            assert_eq!(parse_rfc3339(text), Some(Timestamp::from_millis(millis)));
        }
    }

    #[test]
    fn a_clock_that_claims_nonsense_is_shown_at_the_end_of_the_calendar() {
        assert_eq!(rfc3339(Timestamp::from_millis(i64::MIN)), "0000-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::from_millis(i64::MAX)), "9999-12-30T22:00:00.000Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert_eq!(parse_rfc3339("2026-11-24T20:00:00"), None);
        assert_eq!(parse_rfc3339("2026-11-24"), None);
        assert_eq!(parse_rfc3339("2026-11-24T22:00:00+02:00"), parse_rfc3339("2026-11-24T20:00:00Z"));
    }

    #[test]
    fn every_type_of_value_has_a_json_form() {
        let fields = Fields::from([
            ("bytes".to_owned(), Value::Bytes(vec![1, 0xab])),
            ("list".to_owned(), Value::List(vec![Value::Null, true.into(), 1.5.into(), "نص".into()])),
        ]);
        let expected = serde_json::json!({"bytes": {"hex": "01ab"}, "list": [null, true, 1.5, "نص"]});
        assert_eq!(Json::Object(json_fields(&fields)), expected);
    }
}
