//! `barid erase`: a record's content is deleted, here at once and on every device as it syncs.

use std::time::{Duration, Instant};

use barid_core::clock::system_clock;
use barid_core::control::erase as erase_statement;
use barid_core::id::{RecordId, SpaceId};
use barid_core::model::value::{Fields, Value};

use super::AdminError;
use super::signers::{Signers, find_space, operator};
use crate::data_dir::DataDir;
use crate::log::writer::{LogWriter, OwnStatements};

/// How long the write-ahead log is waited for: a reader keeps it from being emptied while it reads.
const EMPTIED_WITHIN: Duration = Duration::from_secs(20);

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Where.
    pub space: SpaceId,
    /// Whether it had been erased before; then nothing was changed.
    pub already: bool,
    /// Whether the log's files hold nothing of it any more. If not, a running relay sees to it as soon
    /// as nobody reads from where it was.
    pub is_gone: bool,
}

/// Erases a record of a space, which is named by a name or an id.
pub fn erase(data: &DataDir, kind: &str, record: RecordId, space: &str) -> Result<Erased, AdminError> {
    let signers = Signers::load(data)?;
    let mut log = LogWriter::open(&data.log_db(), system_clock())?;
    let space = find_space(&log.state(), space)?;
    let statement = erase_statement(kind, record)?;
    let signer = log.state().spaces.get(&space).and_then(|known| signers.on_records(&known.membership));
    let signer = signer.ok_or(AdminError::NoSigner(space))?;
    let already = log.transact(|append| {
        if append.membership(space)?.is_some_and(|membership| membership.is_erased(kind, record)) {
            return Ok(true);
        }
        let batch = append.statements(&OwnStatements { space, signer, statements: vec![statement] })?;
        append.note(&crate::log::trail::Decision {
            action: "erase",
            by: operator(),
            details: Fields::from([
                ("kind".to_owned(), Value::Text(kind.to_owned())),
                ("record".to_owned(), Value::Bytes(record.as_bytes().to_vec())),
                ("space".to_owned(), Value::Bytes(space.as_bytes().to_vec())),
                ("statement".to_owned(), Value::Bytes(batch.as_bytes().to_vec())),
            ]),
        })?;
        Ok(false)
    })?;
    crate::attachments::forget(data, space, kind, record)?;
    let begun = Instant::now();
    while log.has_traces() && begun.elapsed() < EMPTIED_WITHIN {
        std::thread::sleep(Duration::from_millis(200));
        log.refresh()?;
    }
    Ok(Erased { space, already, is_gone: !log.has_traces() })
}
