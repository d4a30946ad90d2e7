//! Patrols, and the tracks of their devices as GeoJSON.

use std::collections::BTreeMap;

use barid_core::id::{DeviceId, OrganisationId, RecordId, SpaceId};
use barid_core::model::{Gap, Position as Fix, patrol};
use barid_core::store::{PageToken, Query, Record, StoredTrack};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use super::mentions::Mentions;
use super::shape::{OrganisationName, int_of, json_fields, rfc3339, text_of, time_of};
use super::{View, ViewError};

/// Positions of one track that are shown at most; of more, every so-and-so-manieth is.
const POSITIONS_SHOWN_MAX: usize = 50_000;

/// Where a device was at some time.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct LastPosition {
    /// Latitude in degrees.
    pub lat: f64,
    /// Longitude in degrees.
    pub lon: f64,
    /// Radius of 68 % confidence in metres, if the receiver said.
    #[schema(required)]
    pub accuracy_m: Option<u16>,
    /// When, by the device's clock.
    #[schema(format = DateTime)]
    pub at: String,
}

/// Redacted: a position never reaches a trace.
impl std::fmt::Debug for LastPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastPosition(…)")
    }
}

impl LastPosition {
    pub(super) fn of(fix: &Fix) -> Self {
        let [lon, lat] = degrees(fix);
        Self { lat, lon, accuracy_m: (fix.accuracy_m > 0).then_some(fix.accuracy_m), at: rfc3339(fix.time) }
    }
}

/// A patrol, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Patrol {
    /// The record.
    #[schema(format = "uuid")]
    pub id: String,
    /// The space.
    pub space: String,
    /// Whose device recorded it.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// Its serial number, as its organisation counts.
    #[schema(required)]
    pub serial: Option<String>,
    /// What it is called.
    #[schema(required)]
    pub title: Option<String>,
    /// What it is for.
    #[schema(required)]
    pub objective: Option<String>,
    /// Its type.
    #[schema(required)]
    pub patrol_type: Option<String>,
    /// The unit's call sign.
    #[schema(required)]
    pub unit: Option<String>,
    /// The leader's call sign.
    #[schema(required)]
    pub leader: Option<String>,
    /// `vehicle`, `foot`, `camel`, `boat` or `air`.
    #[schema(required)]
    pub transport: Option<String>,
    /// 0, 100, 200 or 300.
    #[schema(required)]
    pub priority: Option<i64>,
    /// `planned`, `ready`, `active`, `paused`, `done` or `cancelled`.
    #[schema(required)]
    pub state: Option<String>,
    /// When it should start.
    #[schema(required, format = DateTime)]
    pub scheduled_start: Option<String>,
    /// When it should end.
    #[schema(required, format = DateTime)]
    pub scheduled_end: Option<String>,
    /// When it started.
    #[schema(required, format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
    /// Positions received of it.
    pub positions: u64,
    /// The newest of them.
    #[schema(required)]
    pub last_position: Option<LastPosition>,
    /// Events and alerts that name it.
    pub events: u64,
    /// Fields with more than one value, since people edited them at the same time.
    pub conflicts: u32,
    /// Every field, also those that this version does not know.
    pub fields: Map<String, Json>,
}

/// One page of patrols.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PatrolPage {
    /// The latest scheduled start first.
    pub items: Vec<Patrol>,
    /// What to ask for next; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// A GeoJSON feature collection with a patrol's tracks.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackCollection {
    /// `FeatureCollection`.
    #[serde(rename = "type")]
    #[schema(example = "FeatureCollection")]
    pub type_: &'static str,
    /// Runs of positions, and the gaps between them.
    pub features: Vec<TrackFeature>,
}

/// A run of positions, or a gap.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackFeature {
    /// `Feature`.
    #[serde(rename = "type")]
    #[schema(example = "Feature")]
    pub type_: &'static str,
    /// The line; a run of one position repeats it. `null` for a gap without a position on both sides.
    #[schema(required)]
    pub geometry: Option<TrackLine>,
    /// What it is.
    pub properties: TrackProperties,
}

/// A GeoJSON line.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct TrackLine {
    /// `LineString`.
    #[serde(rename = "type")]
    #[schema(example = "LineString")]
    pub type_: &'static str,
    /// Longitude and latitude in degrees.
    pub coordinates: Vec<[f64; 2]>,
}

/// Redacted: a position never reaches a trace.
impl std::fmt::Debug for TrackLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrackLine({} positions)", self.coordinates.len())
    }
}

/// What a feature of a track is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrackProperties {
    /// The device.
    pub device: String,
    /// What its organisation calls the device.
    pub device_label: String,
    /// Whether there are no positions in this time.
    pub gap: bool,
    /// Why not: `no_fix`, `paused`, `battery`, `killed` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it begins.
    #[schema(format = DateTime)]
    pub from: String,
    /// When it ends.
    #[schema(format = DateTime)]
    pub to: String,
    /// The time of each coordinate.
    pub times: Vec<String>,
}

/// Which patrols are asked for.
#[derive(Debug, Clone, Default)]
pub struct PatrolFilter {
    /// Only this space.
    pub space: Option<SpaceId>,
    /// Only this state.
    pub state: Option<String>,
    /// Only this organisation's.
    pub organisation: Option<OrganisationId>,
    /// Words to find.
    pub text: Option<String>,
}

impl View {
    /// One page of patrols.
    pub fn patrols(
        &self,
        filter: &PatrolFilter,
        limit: usize,
        after: Option<PageToken>,
    ) -> Result<PatrolPage, ViewError> {
        let query = Query {
            space: filter.space,
            state: filter.state.clone(),
            organisation: filter.organisation,
            text: filter.text.clone(),
            ..Query::default()
        };
        let page = self.page(query, &[patrol::NAME], limit, after, |_| true)?;
        let mentions = self.mentions()?;
        let items =
            page.records.iter().map(|record| self.patrol_of(record, &mentions)).collect::<Result<_, _>>()?;
        Ok(PatrolPage { items, next: page.next })
    }

    /// One patrol.
    pub fn patrol(&self, space: SpaceId, id: RecordId) -> Result<Option<Patrol>, ViewError> {
        let Some(record) = self.store.get(space, patrol::NAME, id)? else { return Ok(None) };
        let mentions = self.mentions()?;
        self.patrol_of(&record, &mentions).map(Some)
    }

    /// The tracks of a patrol's devices. A track may arrive before its patrol does.
    pub fn track(&self, space: SpaceId, patrol: RecordId) -> Result<Option<TrackCollection>, ViewError> {
        let tracks = self.store.tracks(space, patrol)?;
        if tracks.is_empty() && self.store.get(space, patrol::NAME, patrol)?.is_none() {
            return Ok(None);
        }
        let total: usize = tracks.iter().map(|track| track.chunk.positions.len()).sum();
        let every = total.div_ceil(POSITIONS_SHOWN_MAX).max(1);
        let mut features = Vec::new();
        for (device, (fixes, gaps)) in by_device(tracks) {
            for piece in split(&fixes, &gaps) {
                features.push(self.feature(device, piece, every));
            }
        }
        Ok(Some(TrackCollection { type_: "FeatureCollection", features }))
    }

    fn patrol_of(&self, record: &Record, mentions: &Mentions) -> Result<Patrol, ViewError> {
        let fields = &record.fields;
        let tracks = self.store.tracks(record.space, record.id)?;
        let last = tracks.iter().flat_map(|track| &track.chunk.positions).max_by_key(|fix| fix.time);
        Ok(Patrol {
            id: record.id.to_string(),
            space: record.space.to_string(),
            organisation: record.organisation.and_then(|id| self.names.organisation(id)),
            serial: text_of(fields, "serial"),
            title: text_of(fields, "title"),
            objective: text_of(fields, "objective"),
            patrol_type: text_of(fields, "patrol_type"),
            unit: text_of(fields, "unit"),
            leader: text_of(fields, "leader"),
            transport: text_of(fields, "transport"),
            priority: int_of(fields, "priority"),
            state: record.state.clone(),
            scheduled_start: time_of(fields, "scheduled_start"),
            scheduled_end: time_of(fields, "scheduled_end"),
            started_at: time_of(fields, "started_at"),
            ended_at: time_of(fields, "ended_at"),
            positions: tracks.iter().map(|track| track.chunk.positions.len() as u64).sum(),
            last_position: last.map(LastPosition::of),
            events: mentions.of(record.space, record.id),
            conflicts: record.conflicts,
            fields: json_fields(fields),
        })
    }

    fn feature(&self, device: DeviceId, piece: Piece<'_>, every: usize) -> TrackFeature {
        let (ends, reason) = match piece {
            Piece::Run(fixes) => ((fixes.first(), fixes.last()), None),
            Piece::Gap { gap, before, after } => ((before, after), Some(gap.reason.clone())),
        };
        let shown: Vec<&Fix> = match piece {
            Piece::Run([only]) => vec![only, only],
            Piece::Run(fixes) => thinned(fixes, every),
            Piece::Gap { .. } => ends.0.into_iter().chain(ends.1).collect(),
        };
        let (from, to) = match piece {
            Piece::Run(_) => (ends.0.map(|fix| fix.time), ends.1.map(|fix| fix.time)),
            Piece::Gap { gap, .. } => (Some(gap.from), Some(gap.to)),
        };
        let geometry = (shown.len() >= 2).then(|| TrackLine {
            type_: "LineString",
            coordinates: shown.iter().map(|fix| degrees(fix)).collect(),
        });
        TrackFeature {
            type_: "Feature",
            properties: TrackProperties {
                device: device.to_string(),
                device_label: self.names.label(device),
                gap: reason.is_some(),
                reason,
                from: rfc3339(from.unwrap_or_default()),
                to: rfc3339(to.unwrap_or_default()),
                times: if geometry.is_some() {
                    shown.iter().map(|fix| rfc3339(fix.time)).collect()
                } else {
                    Vec::new()
                },
            },
            geometry,
        }
    }
}

fn degrees(fix: &Fix) -> [f64; 2] {
    [f64::from(fix.lon_e7) / 1e7, f64::from(fix.lat_e7) / 1e7]
}

/// Each device's positions and gaps in the order of time, however their chunks arrived.
fn by_device(tracks: Vec<StoredTrack>) -> BTreeMap<DeviceId, (Vec<Fix>, Vec<Gap>)> {
    let mut devices = BTreeMap::<DeviceId, (Vec<Fix>, Vec<Gap>)>::new();
    for track in tracks {
        let (fixes, gaps) = devices.entry(track.device).or_default();
        fixes.extend(track.chunk.positions);
        gaps.extend(track.chunk.gaps);
    }
    for (fixes, gaps) in devices.values_mut() {
        fixes.sort_by_key(|fix| fix.time);
        gaps.sort_by_key(|gap| (gap.from, gap.to));
        gaps.dedup();
    }
    devices
}

/// A part of one device's track.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece<'a> {
    Run(&'a [Fix]),
    Gap { gap: &'a Gap, before: Option<&'a Fix>, after: Option<&'a Fix> },
}

/// Cuts a track at its gaps. A position inside a gap, as a faulty device may claim, is kept: it
/// belongs to the run after the gap's beginning.
fn split<'a>(fixes: &'a [Fix], gaps: &'a [Gap]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for gap in gaps {
        // Positions at the very beginning of the gap were still taken.
        let cut = fixes.partition_point(|fix| fix.time <= gap.from).max(start);
        if cut > start {
            pieces.push(Piece::Run(&fixes[start..cut]));
        }
        let before = cut.checked_sub(1).and_then(|last| fixes.get(last));
        pieces.push(Piece::Gap { gap, before, after: fixes.get(cut) });
        start = cut;
    }
    if start < fixes.len() {
        pieces.push(Piece::Run(&fixes[start..]));
    }
    pieces
}

/// Every so-and-so-manieth position, and always the last.
fn thinned(fixes: &[Fix], every: usize) -> Vec<&Fix> {
    let last = fixes.len().saturating_sub(1);
    fixes.iter().enumerate().filter(|(n, _)| n % every == 0 || *n == last).map(|(_, fix)| fix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use barid_core::clock::Timestamp;

    fn fix(seconds: i64) -> Fix {
        Fix { time: Timestamp::from_millis(seconds * 1000), lat_e7: 1, lon_e7: 2, accuracy_m: 5 }
    }

    fn gap(from: i64, to: i64) -> Gap {
        Gap {
            from: Timestamp::from_millis(from * 1000),
            to: Timestamp::from_millis(to * 1000),
            reason: "no_fix".to_owned(),
        }
    }

    /// Seconds of runs, and of the positions beside gaps.
    fn described(pieces: &[Piece<'_>]) -> Vec<String> {
        let second = |fix: &Fix| fix.time.as_millis() / 1000;
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Run(fixes) => format!("{:?}", fixes.iter().map(second).collect::<Vec<_>>()),
                Piece::Gap { before, after, .. } => {
                    format!("gap {:?} {:?}", before.map(second), after.map(second))
                }
            })
            .collect()
    }

    #[test]
    fn a_track_is_cut_at_its_gaps_and_no_position_is_lost() {
        let fixes = [fix(1), fix(2), fix(8), fix(9), fix(20)];
        let gaps = [gap(2, 8), gap(9, 20)];
        assert_eq!(
            described(&split(&fixes, &gaps)),
            ["[1, 2]", "gap Some(2) Some(8)", "[8, 9]", "gap Some(9) Some(20)", "[20]"]
        );
    }

    #[test]
    fn gaps_at_the_ends_and_beside_one_another_have_no_run_between_them() {
        let fixes = [fix(5), fix(6)];
        let gaps = [gap(1, 5), gap(6, 9), gap(9, 12)];
        assert_eq!(
            described(&split(&fixes, &gaps)),
            ["gap None Some(5)", "[5, 6]", "gap Some(6) None", "gap Some(6) None"]
        );
        assert_eq!(described(&split(&[], &gaps[..1])), ["gap None None"]);
    }

    #[test]
    fn a_gap_inside_another_does_not_repeat_positions() {
        let fixes = [fix(1), fix(4), fix(10)];
        let gaps = [gap(1, 10), gap(2, 3)];
        assert_eq!(
            described(&split(&fixes, &gaps)),
            ["[1]", "gap Some(1) Some(4)", "gap Some(1) Some(4)", "[4, 10]"]
        );
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let fixes: Vec<Fix> = (0..10).map(fix).collect();
        let kept: Vec<i64> = thinned(&fixes, 4).iter().map(|fix| fix.time.as_millis() / 1000).collect();
        assert_eq!(kept, [0, 4, 8, 9]);
        assert_eq!(thinned(&fixes, 1).len(), 10);
    }
}
