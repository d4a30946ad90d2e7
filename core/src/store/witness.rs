//! Whether Automerge makes of a space's records what is shown of them.

use super::error::StoreError;
use super::{Store, space};
use crate::id::{RecordId, SpaceId};

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Witnessed {
    /// Records of which Automerge was asked: those with more than one change.
    pub records: u64,
    /// Those of which it says something else, or cannot say anything.
    pub differing: Vec<(String, RecordId)>,
}

impl Store {
    /// Has Automerge merge every record of a space that has more than one change, and compares. For
    /// checks: it takes as long as that takes.
    pub fn ask_automerge(&self, space: SpaceId) -> Result<Witnessed, StoreError> {
        self.inner.read(|connection| {
            let mut witnessed = Witnessed::default();
            let number = space::number(connection, space)?;
            let sql =
                "SELECT id, kind, record FROM record WHERE space = ?1 AND doc IS NOT NULL ORDER BY kind, record";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                let document = self.inner.document(connection, row.get(0)?)?;
                witnessed.records += 1;
                if !document.is_confirmed_by_automerge().unwrap_or(false) {
                    witnessed.differing.push((row.get(1)?, RecordId::from_bytes(row.get(2)?)));
                }
            }
            Ok(witnessed)
        })
    }
}
