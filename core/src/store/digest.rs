//! One hash over everything that a space's rows say: equal on replicas that hold the same batches.

use blake3::Hasher;

use super::error::StoreError;
use super::{Store, space};
use crate::id::SpaceId;

impl Store {
    /// A hash over all records and tracks of a space. It depends neither on the order in which they
    /// came nor on anything local: numbers, offsets, what was acknowledged.
    pub fn digest(&self, space: SpaceId) -> Result<[u8; 32], StoreError> {
        self.inner.read(|connection| {
            let mut hasher = Hasher::new_derive_key("barid 2026 rows of a space");
            let number = space::number(connection, space)?;
            let records = "SELECT r.kind, r.record, r.fields, r.time, r.lat, r.lon, r.state, c.device, c.incarnation,
                    c.organisation, r.created_at, u.device, u.incarnation, r.updated_at, r.withdrawn, r.conflicts
                FROM record r JOIN chain c ON c.id = r.created_by JOIN chain u ON u.id = r.updated_by
                WHERE r.space = ?1 ORDER BY r.kind, r.record";
            let tracks = "SELECT t.chunk, c.device, c.incarnation, c.organisation, t.patrol, t.time_from, t.time_to, t.body
                FROM track_chunk t JOIN chain c ON c.id = t.chain
                WHERE t.space = ?1 ORDER BY t.chunk, c.device, c.incarnation";
            for sql in [records, tracks] {
                let mut statement = connection.prepare(sql)?;
                let columns = statement.column_count();
                let mut rows = statement.query([number])?;
                let mut count = 0u64;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        update(&mut hasher, row.get_ref(column)?);
                    }
                    count += 1;
                }
                hasher.update(&count.to_be_bytes());
            }
            Ok(*hasher.finalize().as_bytes())
        })
    }
}

/// Every value says its type and length, so that no two rows are the same bytes.
fn update(hasher: &mut Hasher, value: rusqlite::types::ValueRef<'_>) {
    use rusqlite::types::ValueRef as V;
    let mut sized = |tag: u8, bytes: &[u8]| {
        hasher.update(&[tag]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    };
    match value {
        V::Null => sized(0, &[]),
        V::Integer(int) => sized(1, &int.to_be_bytes()),
        V::Real(real) => sized(2, &real.to_bits().to_be_bytes()),
        V::Text(text) => sized(3, text),
        V::Blob(blob) => sized(4, blob),
    }
}
