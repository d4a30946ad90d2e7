//! Tracks of patrols.

use std::sync::Arc;

use barid_core::clock::Timestamp;
use barid_core::model::{self, TrackChunk};

use crate::error::BaridError;
use crate::opened::Opened;
use crate::records::{RecordKey, parts};

/// One position of a track.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Position {
    /// When it was taken, in milliseconds since the epoch.
    pub time_ms: i64,
    /// Latitude in degrees.
    pub latitude: f64,
    /// Longitude in degrees.
    pub longitude: f64,
    /// Radius of 68 % confidence in metres; 0 if the receiver did not say.
    pub accuracy_m: u16,
}

/// A time without positions.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Gap {
    /// The last moment before it, in milliseconds since the epoch.
    pub from_ms: i64,
    /// The first moment after it, in milliseconds since the epoch.
    pub to_ms: i64,
    /// Why, a word: `no_fix`, `paused`, `battery`, `killed`, `unknown`.
    pub reason: String,
}

/// A piece of a patrol's track, taken by one device.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Track {
    /// The device that took it.
    pub device: String,
    /// The organisation whose device that is, if it is known here.
    pub organisation: Option<String>,
    /// Positions, the earliest first.
    pub positions: Vec<Position>,
    /// Gaps, the earliest first.
    pub gaps: Vec<Gap>,
}

/// The tracks of one store.
#[derive(Debug, uniffi::Object)]
pub struct Tracks {
    opened: Arc<Opened>,
}

impl Tracks {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened }
    }
}

#[uniffi::export]
impl Tracks {
    /// Records a piece of the track of a patrol, durable when this returns.
    pub fn add(&self, patrol: RecordKey, positions: Vec<Position>, gaps: Vec<Gap>) -> Result<(), BaridError> {
        let (space, patrol) = parts(&patrol)?;
        let device = self.opened.device()?;
        let chunk = TrackChunk {
            id: device.store().new_record_id(),
            patrol,
            positions: positions.into_iter().map(model::Position::try_from).collect::<Result<_, _>>()?,
            gaps: gaps.into_iter().map(model::Gap::from).collect(),
        };
        Ok(device.store().write(|group| group.add_track(space, chunk))?)
    }

    /// The pieces of the track of a patrol that are here, the earliest first.
    pub fn of(&self, patrol: RecordKey) -> Result<Vec<Track>, BaridError> {
        let (space, patrol) = parts(&patrol)?;
        let tracks = self.opened.device()?.shown()?.tracks(space, patrol)?;
        Ok(tracks
            .into_iter()
            .map(|track| Track {
                device: track.device.to_string(),
                organisation: track.organisation.map(|id| id.to_string()),
                positions: track.chunk.positions.iter().map(Position::from).collect(),
                gaps: track.chunk.gaps.into_iter().map(Gap::from).collect(),
            })
            .collect())
    }
}

impl TryFrom<Position> for model::Position {
    type Error = BaridError;

    fn try_from(position: Position) -> Result<Self, BaridError> {
        let Position { time_ms, latitude, longitude, accuracy_m } = position;
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err(BaridError::invalid("a position is not on the earth"));
        }
        Ok(Self {
            time: Timestamp::from_millis(time_ms),
            lat_e7: (latitude * 1e7).round() as i32,
            lon_e7: (longitude * 1e7).round() as i32,
            accuracy_m,
        })
    }
}

impl From<&model::Position> for Position {
    fn from(position: &model::Position) -> Self {
        Self {
            time_ms: position.time.as_millis(),
            latitude: f64::from(position.lat_e7) / 1e7,
            longitude: f64::from(position.lon_e7) / 1e7,
            accuracy_m: position.accuracy_m,
        }
    }
}

impl From<Gap> for model::Gap {
    fn from(gap: Gap) -> Self {
        let (from, to) = (Timestamp::from_millis(gap.from_ms), Timestamp::from_millis(gap.to_ms));
        Self { from, to, reason: gap.reason }
    }
}

impl From<model::Gap> for Gap {
    fn from(gap: model::Gap) -> Self {
        Self { from_ms: gap.from.as_millis(), to_ms: gap.to.as_millis(), reason: gap.reason }
    }
}
