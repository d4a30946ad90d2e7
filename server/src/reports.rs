//! What each device last said of itself: when it was here, what it had not sent, how far it reads.
//!
//! For people who look, never for a decision: losing all of it loses a display until the devices
//! come back.

use barid_core::clock::{Clock, Timestamp};
use barid_core::id::{DeviceId, SpaceId};
use rusqlite::params;

use crate::relay_db::RelayDb;

/// One device's last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub device: DeviceId,
    /// When it last had a link.
    pub seen_at: Timestamp,
    /// Records that it had not sent, if it ever said so.
    pub unsent: Option<u64>,
    /// How far it holds this relay's log, by space.
    pub cursors: Vec<(SpaceId, u64)>,
}

/// The reports of every device; clones share them. Every call is one short write or read.
#[derive(Clone)]
pub struct Reports {
    db: RelayDb,
    clock: Clock,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reports")
    }
}

impl Reports {
    /// Keeps them in this database.
    pub fn new(db: RelayDb, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// The device has a link now, and perhaps says how many records it had not sent.
    pub fn seen(&self, device: DeviceId, unsent: Option<u64>) -> Result<(), rusqlite::Error> {
        let unsent = unsent.map(|unsent| i64::try_from(unsent).unwrap_or(i64::MAX));
        self.db
            .lock()
            .prepare_cached(
                "INSERT INTO device_report (device, seen_at, unsent) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at,
                                           unsent = coalesce(excluded.unsent, unsent)",
            )?
            .execute(params![device.as_bytes(), (self.clock)().as_millis(), unsent])
            .map(drop)
    }

    /// The device holds this relay's log of a space up to this offset.
    pub fn reached(&self, device: DeviceId, space: SpaceId, offset: u64) -> Result<(), rusqlite::Error> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.db
            .lock()
            .prepare_cached(
                "INSERT INTO device_cursor (device, space, cursor_offset) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET cursor_offset = excluded.cursor_offset",
            )?
            .execute(params![device.as_bytes(), space.as_bytes(), offset])
            .map(drop)
    }

    /// Every report, by device.
    pub fn all(&self) -> Result<Vec<Report>, rusqlite::Error> {
        let connection = self.db.lock();
        let mut statement =
            connection.prepare_cached("SELECT device, seen_at, unsent FROM device_report ORDER BY device")?;
        let rows = statement.query_map([], |row| {
            Ok(Report {
                device: DeviceId::from_bytes(row.get(0)?),
                seen_at: Timestamp::from_millis(row.get(1)?),
                unsent: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
                cursors: Vec::new(),
            })
        })?;
        let mut reports = rows.collect::<Result<Vec<_>, _>>()?;
        let mut statement = connection.prepare_cached(
            "SELECT space, cursor_offset FROM device_cursor WHERE device = ?1 ORDER BY space",
        )?;
        for report in &mut reports {
            let rows = statement.query_map([report.device.as_bytes()], |row| {
                Ok((SpaceId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
            report.cursors = rows.collect::<Result<_, _>>()?;
        }
        Ok(reports)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_each_device_is_kept() {
        let clock: Clock = std::sync::Arc::new(|| Timestamp::from_millis(5));
        let reports = Reports::new(RelayDb::in_memory().unwrap(), clock);
        let (one, two) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        let space = SpaceId::from_bytes([3; 32]);
        reports.seen(two, None).unwrap();
        reports.seen(one, Some(7)).unwrap();
        reports.seen(one, None).unwrap();
        reports.reached(one, space, 4).unwrap();
        reports.reached(one, space, 9).unwrap();
        let seen_at = Timestamp::from_millis(5);
        assert_eq!(
            reports.all().unwrap(),
            [
                Report { device: one, seen_at, unsent: Some(7), cursors: vec![(space, 9)] },
                Report { device: two, seen_at, unsent: None, cursors: vec![] },
            ]
        );
    }
}
