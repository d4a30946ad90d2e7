//! What readers beside a writer ask, to know whether anything changed and how far a record has come.

use rusqlite::OptionalExtension;

use super::error::StoreError;
use super::{Store, space};
use crate::id::{RecordId, SpaceId};

impl Store {
    /// The highest revision of any record. Local to this file.
    pub fn revision(&self) -> Result<u64, StoreError> {
        self.inner.read(|connection| {
            let sql = "SELECT coalesce(max(revision), 0) FROM record";
            let revision: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(revision as u64)
        })
    }

    /// Grows with every control batch held: while it is the same, memberships are. Local to this file.
    pub fn control_version(&self) -> Result<u64, StoreError> {
        self.inner.read(|connection| {
            let sql = "SELECT coalesce(max(id), 0) FROM batch WHERE control = 1";
            let version: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(version as u64)
        })
    }

    /// Where the relay's log has the last change of a record; `None` if there is no such record, or
    /// nothing of it came from a log.
    pub fn last_logged(&self, space: SpaceId, kind: &str, id: RecordId) -> Result<Option<u64>, StoreError> {
        self.inner.read(|connection| {
            let Some(space) = space::number(connection, space)? else { return Ok(None) };
            let sql = "SELECT max(b.log_offset) FROM record r JOIN record_entry e ON e.record = r.id
                JOIN batch b ON b.id = e.batch WHERE r.space = ?1 AND r.kind = ?2 AND r.record = ?3";
            let offset: Option<Option<i64>> = connection
                .prepare_cached(sql)?
                .query_row((space, kind, id.as_bytes()), |row| row.get(0))
                .optional()?;
            Ok(offset.flatten().map(|offset| offset as u64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fields;
    use crate::store::fixture::World;

    #[test]
    fn every_change_raises_the_revision_and_is_found_in_the_log() {
        let mut world = World::new();
        let (device, replica) = (world.device(1, 0), world.replica());
        let space = world.space;
        let take = |world: &World| {
            let news = world.news_for(&replica);
            replica.ingest(space, &news, Some(world.cursor_at(world.log.len() as u64))).unwrap();
        };
        take(&world);
        let (control, revision) = (replica.control_version().unwrap(), replica.revision().unwrap());

        let id = device.write(|group| group.put(space, "event", None, Fields::new())).unwrap();
        assert_eq!(device.last_logged(space, "event", id).unwrap(), None);
        world.upload(&device);
        take(&world);
        let first = replica.last_logged(space, "event", id).unwrap();
        assert_eq!(first, Some(world.log.len() as u64));
        assert!(replica.revision().unwrap() > revision);
        assert_eq!(replica.control_version().unwrap(), control);

        device.write(|group| group.withdraw(space, "event", id)).unwrap();
        world.upload(&device);
        world.device(2, 1);
        take(&world);
        assert_eq!(replica.last_logged(space, "event", id).unwrap(), first.map(|offset| offset + 1));
        assert!(replica.control_version().unwrap() > control);
        let other = RecordId::from_bytes([7; 16]);
        assert_eq!(replica.last_logged(space, "event", other).unwrap(), None);
    }
}
