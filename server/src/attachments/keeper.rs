//! Follows the views: which records name which attachments, and what goes with an erased record.
//!
//! The views are behind the log, and may be built anew at any time; then everything is looked at again.
//! What is erased is known from the log itself. Nothing is removed because no record names it: its
//! record may be on its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use barid_core::control::Membership;
use barid_core::id::{AttachmentHash, SpaceId};
use barid_core::store::StoreError;
use tokio::sync::watch;

use super::index::RecordName;
use super::{Attachments, PART_IDLE_MAX};
use crate::log::LogState;
use crate::shutdown::Shutdown;
use crate::view::{View, ViewError, Views};

/// Between two looks at the views.
const LOOK: Duration = Duration::from_secs(1);
/// Between two sweeps of what nobody goes on sending.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// Records looked at with one read.
const PAGE_LEN: usize = 500;

/// How far the views were followed.
#[derive(Debug, Default)]
struct Followed {
    /// Another one begins when the views are built anew.
    file: Option<u64>,
    revision: u64,
    /// Per space, how many erasures were seen to.
    erasures: BTreeMap<SpaceId, usize>,
}

/// What cannot be followed now; it is tried again.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("reading the views")]
    Store(#[from] StoreError),
    #[error("using attachments.db")]
    Index(#[from] rusqlite::Error),
    #[error(transparent)]
    Blob(#[from] crate::blob::BlobError),
}

/// Follows the views until the relay stops.
pub async fn keep(
    attachments: Attachments,
    views: Views,
    log: watch::Receiver<Arc<LogState>>,
    shutdown: Shutdown,
) {
    let mut followed = Followed::default();
    let mut swept_at = tokio::time::Instant::now();
    loop {
        let (attachments, views, state) = (attachments.clone(), views.clone(), log.borrow().clone());
        let is_sweep = swept_at.elapsed() >= SWEEP;
        if is_sweep {
            swept_at = tokio::time::Instant::now();
        }
        let kept = tokio::task::spawn_blocking(move || {
            if let Err(error) = follow(&attachments, &views, &state, &mut followed) {
                tracing::warn!(error = &error as &dyn std::error::Error, "attachments are looked at later");
            }
            if is_sweep {
                sweep(&attachments);
            }
            followed
        });
        followed = match kept.await {
            Ok(followed) => followed,
            Err(_) => Followed::default(),
        };
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.wait() => return,
        }
    }
}

fn follow(
    attachments: &Attachments,
    views: &Views,
    state: &LogState,
    followed: &mut Followed,
) -> Result<(), FollowError> {
    match views.look() {
        Ok(view) => note_mentions(attachments, &view, state, followed)?,
        // On the first start, or while they are built anew.
        Err(ViewError::NotReady) => {}
        Err(error) => return Err(error.into()),
    }
    for (space, known) in &state.spaces {
        see_to_erasures(attachments, *space, &known.membership, followed)?;
    }
    Ok(())
}

fn note_mentions(
    attachments: &Attachments,
    view: &View,
    state: &LogState,
    followed: &mut Followed,
) -> Result<(), FollowError> {
    let shared = &attachments.0;
    let is_new = followed.file != Some(view.generation());
    if is_new {
        *followed = Followed { file: Some(view.generation()), ..Followed::default() };
    }
    // Before anything is read: what changes meanwhile is looked at the next time.
    let revision = view.revision()?;
    if revision == followed.revision && !is_new {
        return Ok(());
    }
    view.changed_since(followed.revision, PAGE_LEN, |records| {
        let mut named = Vec::new();
        for record in records {
            let membership = state.spaces.get(&record.space).map(|known| &known.membership);
            if membership.is_some_and(|membership| membership.is_erased(&record.kind, record.id)) {
                // The views are behind: it is gone.
                continue;
            }
            let name = RecordName { space: record.space, kind: &record.kind, record: record.id };
            named.push((name, hashes_of(&record.fields)));
        }
        shared.index.note_mentions(&named).map_err(FollowError::Index)
    })?;
    followed.revision = revision;
    if is_new {
        // Now it is known what a restored relay lacks.
        shared.asks.send_modify(|asks| *asks += 1);
    }
    Ok(())
}

fn hashes_of(fields: &barid_core::model::Fields) -> Vec<AttachmentHash> {
    let named = crate::view::attachments::named(fields);
    named.flat_map(|(hash, _, thumbnail)| [Some(hash), thumbnail]).flatten().collect()
}

/// Removes what only erased records named.
fn see_to_erasures(
    attachments: &Attachments,
    space: SpaceId,
    membership: &Membership,
    followed: &mut Followed,
) -> Result<(), FollowError> {
    let count = membership.erasures().count();
    if followed.erasures.get(&space) == Some(&count) {
        return Ok(());
    }
    let shared = &attachments.0;
    for (kind, record) in membership.erasures() {
        for blob in shared.index.erase(RecordName { space, kind, record })? {
            shared.remove(blob)?;
        }
    }
    for blob in shared.index.erased_and_held()?.into_iter().filter(|blob| blob.space == space) {
        shared.remove(blob)?;
    }
    shared.recount();
    followed.erasures.insert(space, count);
    Ok(())
}

fn sweep(attachments: &Attachments) {
    match attachments.0.blobs.sweep(PART_IDLE_MAX) {
        Ok(_) => attachments.0.recount(),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "attachments were not swept"),
    }
}
