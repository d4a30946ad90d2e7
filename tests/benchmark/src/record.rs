//! The peers' generator: record `i` is the same here, in `lib/gen.mjs` and in every peer.
//!
//! A record is made from a mulberry32 stream of its own, so any of them can be made without the ones
//! before it; and the sum of many is one digest, in whatever order they are read back.
//!
//! Ids and times are random there. With `BARID_RECORDS=in-order` both rise from record to record, as in an
//! app that lets its store choose the ids: that is another workload, for our own driver alone (`--own`).

use std::sync::LazyLock;

use barid_core::clock::Timestamp;
use barid_core::id::RecordId;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

const SEED: u32 = 0x5eed_1234;
/// The earliest time of a record, in seconds since the epoch.
const BEGIN_S: i64 = 1_767_225_600;
/// Seconds between two records that come in order.
const PACE_S: i64 = 10;
const AGENCIES: [&str; 4] = ["GDBG", "CustomsHQ", "CoastGuard", "NatParks"];
const CATEGORIES: [&str; 6] = ["crossing", "vehicle", "camp", "wildlife", "smuggling", "hazard"];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const STATUSES: [&str; 3] = ["new", "verified", "closed"];
const TAGS: [&str; 8] = ["night", "foot", "river", "fence", "drone", "dog", "armed", "tracks"];
const WORDS: [&str; 2] = [
    "دورية الفجر رصدت آثار مركبة قرب الوادي واتجاه الحركة نحو الشرق تم تصوير الموقع وإبلاغ غرفة العمليات فوراً عبور مشاة ليلاً من الجهة الشمالية العدد غير مؤكد الرؤية ضعيفة بسبب الغبار المطلوب متابعة البرج صباح الغد سياج مقطوع خيمة نار",
    "fresh tyre tracks cross the wadi heading east near fence post water bottles blankets found samples bagged photographed marked operations informed heavy axle foot traffic at dawn no contact visibility poor dust drone heard over ridge camp fire still warm two men fled north vehicle stopped papers checked",
];

/// The fifteen fields of a record. Degrees are whole millionths, so that reading back is exact.
#[derive(Clone, PartialEq, Eq)]
pub struct ReferenceRecord {
    pub id: RecordId,
    pub patrol_id: String,
    pub agency: String,
    pub category: String,
    pub severity: String,
    pub status: String,
    pub title: String,
    pub note: String,
    pub lat_millionths: i64,
    pub lon_millionths: i64,
    pub accuracy_m: i64,
    /// Seconds since the epoch.
    pub observed_at: i64,
    pub tags: Vec<String>,
    pub attachments: Vec<String>,
    pub reporter: String,
}

impl std::fmt::Debug for ReferenceRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReferenceRecord").field(&self.canonical()).finish()
    }
}

/// mulberry32.
fn stream(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x6d2b_79f5);
        let mut mixed = (state ^ (state >> 15)).wrapping_mul(state | 1);
        mixed ^= mixed.wrapping_add((mixed ^ (mixed >> 7)).wrapping_mul(mixed | 61));
        mixed ^ (mixed >> 14)
    }
}

static IN_ORDER: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("BARID_RECORDS").is_some_and(|records| records == "in-order"));

/// The id of record `number` alone.
pub fn record_id(number: u32) -> RecordId {
    id_of(number, &mut stream(seed_of(number)))
}

fn seed_of(number: u32) -> u32 {
    SEED ^ (number + 1).wrapping_mul(0x9e37_79b1)
}

fn time_in_order(number: u32) -> i64 {
    BEGIN_S + i64::from(number) * PACE_S
}

fn id_of(number: u32, next: &mut impl FnMut() -> u32) -> RecordId {
    let mut id = [0; 16];
    for part in id.chunks_exact_mut(4) {
        part.copy_from_slice(&next().to_be_bytes());
    }
    if *IN_ORDER {
        let [_, _, _, _, _, _, random @ ..] = id;
        return RecordId::new(Timestamp::from_millis(time_in_order(number) * 1_000), random);
    }
    id[6] = 0x40 | (id[6] & 0x0f);
    id[8] = 0xa0 | (id[8] & 0x0f);
    RecordId::from_bytes(id)
}

/// Record `number`.
pub fn record(number: u32) -> ReferenceRecord {
    let mut next = stream(seed_of(number));
    let id = id_of(number, &mut next);
    let patrol = next() % 500;
    let mut one_of = |list: &[&'static str]| list[next() as usize % list.len()];
    let (agency, category) = (one_of(&AGENCIES), one_of(&CATEGORIES));
    let (severity, status) = (one_of(&SEVERITIES), one_of(&STATUSES));
    let post = next();
    let lat_millionths = 29_000_000 + i64::from(next() % 4_000_000);
    let lon_millionths = 35_000_000 + i64::from(next() % 4_000_000);
    let accuracy_m = 3 + i64::from(next() % 40);
    let drawn_at = BEGIN_S + i64::from(next() % 20_000_000);
    let observed_at = if *IN_ORDER { time_in_order(number) } else { drawn_at };
    let tags = (0..3).map(|_| TAGS[next() as usize % TAGS.len()].to_owned()).collect();
    let hash: String = (0..8).map(|_| format!("{:08x}", next())).collect();
    let reporter = next() % 900;
    let words: Vec<&str> = WORDS[post as usize % 2].split(' ').collect();
    let note: Vec<&str> = (0..20).map(|_| words[next() as usize % words.len()]).collect();
    ReferenceRecord {
        id,
        patrol_id: format!("patrol-{patrol:04}"),
        agency: agency.to_owned(),
        category: category.to_owned(),
        severity: severity.to_owned(),
        status: status.to_owned(),
        title: format!("{category} {severity} at post {}, sector {}", post % 97, post % 13),
        note: note.join(" "),
        lat_millionths,
        lon_millionths,
        accuracy_m,
        observed_at,
        tags,
        attachments: vec![hash],
        reporter: format!("officer-{reporter:04}"),
    }
}

impl ReferenceRecord {
    /// A text field, by its name.
    pub fn text(&self, field: &str) -> Option<&str> {
        Some(match field {
            "patrol_id" => &self.patrol_id,
            "agency" => &self.agency,
            "category" => &self.category,
            "severity" => &self.severity,
            "status" => &self.status,
            "title" => &self.title,
            "note" => &self.note,
            "reporter" => &self.reporter,
            _ => return None,
        })
    }

    /// Sets a text field, by its name. False if there is none of that name.
    pub fn set_text(&mut self, field: &str, value: &str) -> bool {
        let place = match field {
            "patrol_id" => &mut self.patrol_id,
            "agency" => &mut self.agency,
            "category" => &mut self.category,
            "severity" => &mut self.severity,
            "status" => &mut self.status,
            "title" => &mut self.title,
            "note" => &mut self.note,
            "reporter" => &mut self.reporter,
            _ => return false,
        };
        value.clone_into(place);
        true
    }

    /// The text whose hash the digest adds.
    pub fn canonical(&self) -> String {
        [
            &self.id.to_string(),
            &self.patrol_id,
            &self.agency,
            &self.category,
            &self.severity,
            &self.status,
            &self.title,
            &self.note,
            &self.lat_millionths.to_string(),
            &self.lon_millionths.to_string(),
            &self.accuracy_m.to_string(),
            &rfc3339(self.observed_at),
            &self.tags.join(","),
            &self.attachments.join(","),
            &self.reporter,
        ]
        .map(String::as_str)
        .join("\u{1f}")
    }

    /// The record as the peers write it.
    pub fn to_json(&self) -> Json {
        json!({
            "id": self.id.to_string(), "patrol_id": self.patrol_id, "agency": self.agency, "category": self.category,
            "severity": self.severity, "status": self.status, "title": self.title, "note": self.note,
            "lat": degrees(self.lat_millionths), "lon": degrees(self.lon_millionths),
            "accuracy_m": self.accuracy_m, "observed_at": rfc3339(self.observed_at), "tags": self.tags,
            "attachments": self.attachments, "reporter": self.reporter,
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub fn from_json(json: &Json) -> Option<Self> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let list = |name: &str| -> Option<Vec<String>> {
            json[name].as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Some(Self {
            id: json["id"].as_str()?.parse().ok()?,
            patrol_id: text("patrol_id")?,
            agency: text("agency")?,
            category: text("category")?,
            severity: text("severity")?,
            status: text("status")?,
            title: text("title")?,
            note: text("note")?,
            lat_millionths: millionths(json["lat"].as_f64()?),
            lon_millionths: millionths(json["lon"].as_f64()?),
            accuracy_m: json["accuracy_m"].as_i64()?,
            observed_at: seconds(json["observed_at"].as_str()?)?,
            tags: list("tags")?,
            attachments: list("attachments")?,
            reporter: text("reporter")?,
        })
    }
}

/// Degrees as the records have them.
pub fn degrees(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

/// The nearest whole millionth.
pub fn millionths(degrees: f64) -> i64 {
    (degrees * 1e6).round() as i64
}

/// Days since the epoch of a date of the proleptic Gregorian calendar, and back: no other part of a
/// calendar is needed for the one text form that the records use.
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

fn seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + part(11, 13)? * 3_600 + part(14, 16)? * 60 + part(17, 19)?)
}

/// The number of records and the exclusive or of their hashes: equal for equal sets in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digest {
    count: u64,
    sum: [u8; 32],
}

impl Digest {
    /// What records `0..count` give with these edits: record, field, value.
    pub fn expected(count: u32, edits: &[(u32, String, String)]) -> Self {
        let mut digest = Self::default();
        for number in 0..count {
            let mut record = record(number);
            for (_, field, value) in edits.iter().filter(|edit| edit.0 == number) {
                record.set_text(field, value);
            }
            digest.add(&record);
        }
        digest
    }

    /// Adds a record.
    pub fn add(&mut self, record: &ReferenceRecord) {
        for (sum, byte) in self.sum.iter_mut().zip(Sha256::digest(record.canonical().as_bytes())) {
            *sum ^= byte;
        }
        self.count += 1;
    }

    /// As the line protocol gives it.
    pub fn to_json(&self) -> Json {
        json!({ "count": self.count, "digest": barid_core::id::to_hex(&self.sum[..8]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `lib/gen.mjs` of the peers.
    const KNOWN: [(u32, &str); 3] = [
        (
            0,
            r#"{"id":"b1303134-bd2f-4e90-a5de-b6eaf36bca57","patrol_id":"patrol-0153","agency":"CustomsHQ","category":"wildlife","severity":"medium","status":"closed","title":"wildlife medium at post 32, sector 10","note":"بسبب مركبة سياج المطلوب واتجاه تصوير مقطوع غرفة عبور الغبار متابعة متابعة رصدت غير الشمالية ضعيفة سياج ليلاً بسبب الرؤية","lat":30.422556,"lon":38.951462,"accuracy_m":15,"observed_at":"2026-01-20T02:02:25Z","tags":["night","tracks","river"],"attachments":["b8821ef324eda618fe7cca4ce0becd9480569d646e36e61b37434d08ea6a14b3"],"reporter":"officer-0092"}"#,
        ),
        (
            1_999,
            r#"{"id":"e408d50a-f1e8-4273-a2eb-1e02616ff4e7","patrol_id":"patrol-0143","agency":"GDBG","category":"vehicle","severity":"high","status":"closed","title":"vehicle high at post 22, sector 6","note":"blankets heavy at still heard poor at operations tracks east heard north traffic north bagged vehicle fence tracks the vehicle","lat":32.783744,"lon":38.042608,"accuracy_m":35,"observed_at":"2026-06-30T20:37:01Z","tags":["fence","armed","tracks"],"attachments":["3bfa9fa7634294c823cca898c06b236dcaa2fa455db16feebf48e008e76f75d4"],"reporter":"officer-0564"}"#,
        ),
        (
            1_000_049,
            r#"{"id":"00c39a80-1f19-4083-a0d7-f24bdb2cd6ed","patrol_id":"patrol-0494","agency":"CoastGuard","category":"crossing","severity":"critical","status":"verified","title":"crossing critical at post 77, sector 9","note":"مركبة الفجر قرب الموقع الشرق مشاة رصدت الشرق الفجر مقطوع الرؤية الشمالية الشمالية الحركة سياج الرؤية مركبة تصوير ضعيفة سياج","lat":31.483239,"lon":35.412013,"accuracy_m":38,"observed_at":"2026-04-04T20:28:08Z","tags":["dog","river","drone"],"attachments":["03caa4933349629347e2a7720827cde99694b9d0ec5714b267ff84e81cc82b0c"],"reporter":"officer-0740"}"#,
        ),
    ];

    #[test]
    fn the_records_are_those_of_the_peers_generator() {
        for (number, json) in KNOWN {
            let json: Json = serde_json::from_str(json).unwrap();
            assert_eq!(record(number).to_json(), json);
            assert_eq!(ReferenceRecord::from_json(&json), Some(record(number)));
            assert_eq!(record_id(number), record(number).id);
        }
    }

    #[test]
    fn the_digest_is_the_one_the_peers_verify_by() {
        let json = json!({ "count": 2_000, "digest": "28f029312ed8b975" });
        assert_eq!(Digest::expected(2_000, &[]).to_json(), json);
        let json = json!({ "count": 50, "digest": "1280e64c20df6d0d" });
        assert_eq!(Digest::expected(50, &[]).to_json(), json);
    }

    #[test]
    fn the_digest_tells_an_edit_and_not_an_order() {
        let edit = [(3, "status".to_owned(), "edited".to_owned())];
        assert_ne!(Digest::expected(9, &edit), Digest::expected(9, &[]));
        let mut backwards = Digest::default();
        (0..9).rev().for_each(|number| backwards.add(&record(number)));
        assert_eq!(backwards, Digest::expected(9, &[]));
    }
}
