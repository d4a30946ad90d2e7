//! Routes: points in a row, and where on them a rider is.

use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes of a GPX file, at most: a week of fixes a second is less.
const GPX_LEN_MAX: u64 = 64 * 1024 * 1024;

/// A place in degrees.
#[derive(Clone, Copy, PartialEq)]
pub struct Point {
    /// North is positive.
    pub lat: f64,
    /// East is positive.
    pub lon: f64,
}

/// Redacted: a position never reaches a trace.
impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Point(…)")
    }
}

/// A GPX file that cannot be ridden.
#[derive(Debug, thiserror::Error)]
pub enum GpxError {
    /// The file could not be read.
    #[error("reading the GPX file")]
    Read(#[source] std::io::Error),
    /// The file is larger than a track can reasonably be.
    #[error("reading the GPX file: it is larger than {GPX_LEN_MAX} bytes")]
    TooLarge,
    /// It is not GPX.
    #[error("reading the GPX file: it is not valid GPX")]
    Parse(#[source] gpx::errors::GpxError),
    /// It has no track or route with at least two points.
    #[error("reading the GPX file: it has no track or route with two points")]
    Empty,
}

/// The points of a GPX file that was named.
pub(super) fn from_gpx(path: &Path) -> Result<Vec<Point>, GpxError> {
    let file = std::fs::File::open(path).map_err(GpxError::Read)?;
    if file.metadata().map_err(GpxError::Read)?.len() > GPX_LEN_MAX {
        return Err(GpxError::TooLarge);
    }
    read_gpx(file)
}

/// The points of the tracks of a GPX file, or else of its routes: two at least, all on the earth.
pub fn read_gpx(file: impl Read) -> Result<Vec<Point>, GpxError> {
    let gpx = gpx::read(BufReader::new(file.take(GPX_LEN_MAX))).map_err(GpxError::Parse)?;
    let of_tracks = gpx.tracks.iter().flat_map(|track| &track.segments).flat_map(|segment| &segment.points);
    let mut points: Vec<Point> = of_tracks.map(point).collect();
    if points.len() < 2 {
        points = gpx.routes.iter().flat_map(|route| &route.points).map(point).collect();
    }
    points.retain(|p| p.lat.abs() <= 90.0 && p.lon.abs() <= 180.0);
    if points.len() < 2 { Err(GpxError::Empty) } else { Ok(points) }
}

fn point(waypoint: &gpx::Waypoint) -> Point {
    let place = waypoint.point();
    Point { lat: place.y(), lon: place.x() }
}

/// Where a rider is who has ridden `share` (0 to 1) of the route, at even speed.
pub(super) fn along(route: &[Point], share: f64) -> Point {
    let leg = |pair: &[Point]| {
        // Near enough for a drawing: a degree of longitude is shorter by the cosine of the latitude.
        let lon_scale = pair[0].lat.to_radians().cos();
        (pair[1].lat - pair[0].lat).hypot((pair[1].lon - pair[0].lon) * lon_scale)
    };
    let whole: f64 = route.windows(2).map(leg).sum();
    let mut left = whole * share.clamp(0.0, 1.0);
    for pair in route.windows(2) {
        let len = leg(pair);
        if left <= len && len > 0.0 {
            let part = left / len;
            return Point {
                lat: pair[0].lat + (pair[1].lat - pair[0].lat) * part,
                lon: pair[0].lon + (pair[1].lon - pair[0].lon) * part,
            };
        }
        left -= len;
    }
    route[route.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rider_begins_at_the_first_point_and_ends_at_the_last() {
        let route =
            [Point { lat: 24.0, lon: 10.0 }, Point { lat: 24.5, lon: 10.0 }, Point { lat: 25.0, lon: 10.0 }];
        assert!(along(&route, 0.0) == route[0]);
        assert!((along(&route, 0.5).lat - 24.5).abs() < 1e-9);
        assert!((along(&route, 1.0).lat - 25.0).abs() < 1e-9);
        assert!((along(&route, 7.0).lat - 25.0).abs() < 1e-9);
    }

    #[test]
    fn a_file_that_is_no_gpx_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gpx");
        std::fs::write(&path, "<gpx version=\"1.1\" creator=\"x\"></gpx>").unwrap();
        assert!(matches!(from_gpx(&path), Err(GpxError::Empty)));
        std::fs::write(&path, b"\xff\xfe\x00junk").unwrap();
        assert!(matches!(from_gpx(&path), Err(GpxError::Parse(_))));
        assert!(matches!(from_gpx(&folder.path().join("absent")), Err(GpxError::Read(_))));
    }
}
