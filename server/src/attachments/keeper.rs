//! Follows the views: which records name which attachments, and what goes with an erased record.
//!
//! The views are behind the log, and may be built anew at any time; then everything is looked at again.
//! What is erased is known from the log itself. Nothing is removed because no record names it: its
//! record may be on its way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use barid_core::attachment::Mention;
use barid_core::control::Membership;
use barid_core::id::{AttachmentHash, RecordId, SpaceId};
use barid_core::store::{ChangePlace, StoreError};
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
const PAGE_LEN: usize = 5_000;

/// How far the views were followed.
#[derive(Debug, Default)]
struct Followed {
    /// Another one begins when the views are built anew.
    file: Option<u64>,
    revision: u64,
    /// Records that name something, or did, so that it is seen when they name nothing any more. By id alone:
    /// of two that share one, the other is looked at in vain.
    naming: HashSet<RecordId>,
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
    #[error("the relay stops")]
    Stopping,
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
        let stopping = shutdown.clone();
        let is_sweep = swept_at.elapsed() >= SWEEP;
        if is_sweep {
            swept_at = tokio::time::Instant::now();
        }
        let kept = tokio::task::spawn_blocking(move || {
            let done = follow(&attachments, &views, &state, &mut followed, || stopping.is_begun());
            if let Err(error) = done
                && !stopping.is_begun()
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "attachments are looked at later");
            }
            if is_sweep {
                sweep(&attachments);
            }
            followed
        });
        followed = kept.await.unwrap_or_default();
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
    is_stopping: impl Fn() -> bool,
) -> Result<(), FollowError> {
    match views.look() {
        Ok(view) => note_mentions(attachments, &view, state, followed, is_stopping)?,
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
    is_stopping: impl Fn() -> bool,
) -> Result<(), FollowError> {
    let shared = &attachments.0;
    let is_new = followed.file != Some(view.generation());
    if is_new {
        let naming = shared.index.naming()?;
        *followed = Followed { file: Some(view.generation()), naming, ..Followed::default() };
    }
    // Before anything is read: what changes meanwhile is looked at the next time.
    let revision = view.revision()?;
    if revision == followed.revision && !is_new {
        return Ok(());
    }
    let mut after = Some(ChangePlace::after(followed.revision));
    while let Some(place) = after {
        if is_stopping() {
            return Err(FollowError::Stopping);
        }
        let (found, next) = view.mentions_since(place, &followed.naming, PAGE_LEN)?;
        let mut named = Vec::new();
        for mentioning in &found {
            let record = &mentioning.record;
            let membership = state.spaces.get(&record.space).map(|known| &known.membership);
            if membership.is_some_and(|membership| membership.is_erased(&record.kind, record.id)) {
                // The views are behind: what it names goes next.
                followed.erasures.remove(&record.space);
            }
            let name = RecordName { space: record.space, kind: &record.kind, record: record.id };
            named.push((name, hashes_of(&mentioning.mentions)));
        }
        if !named.is_empty() {
            shared.index.note_mentions(&named)?;
        }
        followed.naming.extend(named.iter().map(|(name, _)| name.record));
        after = next;
    }
    followed.revision = revision;
    if is_new {
        // Now it is known what a restored relay lacks.
        shared.asks.send_modify(|asks| *asks += 1);
    }
    Ok(())
}

fn hashes_of(mentions: &[Mention]) -> Vec<AttachmentHash> {
    let named = |mention: &Mention| [Some(mention.hash), mention.thumbnail.map(|(hash, _)| hash)];
    mentions.iter().flat_map(named).flatten().collect()
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use barid_core::clock::Timestamp;
    use barid_core::control::erase as erase_statement;
    use barid_core::id::DeviceId;
    use barid_core::model::{Fields, Value};

    use super::*;
    use crate::attachments::Limits;
    use crate::blob::{BlobId, PartId};
    use crate::config::Config;
    use crate::fixture::{World, event};
    use crate::log::writer::OwnStatements;

    fn hash(bytes: &[u8]) -> AttachmentHash {
        AttachmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
    }

    /// The attachments of a relay, as it opens them when it starts.
    fn opened(world: &World) -> Attachments {
        let limits = Limits { spare_len_min: 0, ..Limits::of(&Config::defaults("x")) };
        Attachments::open(&world.data, limits, std::sync::Arc::new(|| Timestamp::from_millis(5))).unwrap()
    }

    fn with_photo(mut fields: Fields, photo: &[u8], thumbnail: &[u8]) -> Fields {
        let about = Fields::from([
            ("type".to_owned(), "image/jpeg".into()),
            ("len".to_owned(), Value::Int(photo.len() as i64)),
            ("thumbnail".to_owned(), Value::Bytes(hash(thumbnail).as_bytes().to_vec())),
            ("thumbnail_len".to_owned(), Value::Int(thumbnail.len() as i64)),
        ]);
        fields.insert(format!("attachment/{}", hash(photo)), Value::Map(about));
        fields
    }

    #[tokio::test]
    async fn of_two_records_that_share_an_id_each_is_seen_to_name_nothing_any_more() {
        let mut world = World::new();
        let phone = world.phone(0, "SH-1");
        let space = world.joint;
        let photos = [("event", b"one".as_slice()), ("alert", b"two".as_slice())];
        let record = phone.put("event", with_photo(event("fire", "One", 0), photos[0].1, photos[0].1));
        let alert = with_photo(event("fire", "Two", 1), photos[1].1, photos[1].1);
        phone.store.write(|group| group.put(space, "alert", Some(record), alert)).unwrap();
        world.take(&phone);
        world.materialise();
        let (views, attachments) = (Views::new(world.data.clone()), opened(&world));
        let mut followed = Followed::default();
        follow(&attachments, &views, &world.log.state(), &mut followed, || false).unwrap();
        for (left, (kind, photo)) in [1, 0].into_iter().zip(photos) {
            let none = [(format!("attachment/{}", hash(photo)), None)].into();
            phone.store.write(|group| group.patch(space, kind, record, none)).unwrap();
            world.take(&phone);
            world.materialise();
            follow(&attachments, &views, &world.log.state(), &mut followed, || false).unwrap();
            assert_eq!(attachments.lacking(space, 64).await.len(), left, "after {kind}");
        }
    }

    #[tokio::test]
    async fn an_erased_record_takes_its_photos_along_and_leaves_those_of_others() {
        let mut world = World::new();
        let phone = world.phone(0, "SH-1");
        let (photo, thumbnail, shared) = (b"photo".as_slice(), b"small".as_slice(), b"shared".as_slice());
        let fields = with_photo(event("fire", "One", 0), photo, thumbnail);
        let record = phone.put("event", with_photo(fields, shared, shared));
        phone.put("event", with_photo(event("fire", "Two", 1), shared, shared));
        world.take(&phone);
        world.materialise();
        let (views, attachments) = (Views::new(world.data.clone()), opened(&world));
        let mut followed = Followed::default();
        let asks = attachments.asks();
        follow(&attachments, &views, &world.log.state(), &mut followed, || false).unwrap();
        assert!(asks.has_changed().unwrap(), "now it is known what is lacking");
        let mut lacking = attachments.lacking(world.joint, 64).await;
        lacking.sort();
        let mut expected = [photo, thumbnail, shared].map(hash);
        expected.sort();
        assert_eq!(lacking, expected);
        for bytes in [photo, thumbnail, shared] {
            let blob = BlobId { space: world.joint, hash: hash(bytes) };
            let part = PartId { blob, device: DeviceId::from_bytes([1; 32]) };
            let held = attachments.piece(part, bytes.len() as u64, 0, bytes.to_vec()).await;
            assert!(held.unwrap().is_whole);
        }
        assert_eq!(attachments.lacking(world.joint, 64).await, []);

        // Detached first: the history still names it.
        phone
            .store
            .write(|group| {
                let none = [(format!("attachment/{}", hash(photo)), None)].into();
                group.patch(world.joint, "event", record, none)
            })
            .unwrap();
        world.take(&phone);
        world.materialise();
        follow(&attachments, &views, &world.log.state(), &mut followed, || false).unwrap();
        let held = || attachments.held(world.joint, [photo, thumbnail, shared].map(hash).to_vec());
        assert_eq!(held().await.unwrap().len(), 3);

        let statement = erase_statement("event", record).unwrap();
        let space = world.joint;
        let key = world.data.organisation_key(world.organisations[0]);
        let signer = std::sync::Arc::new(crate::keys::load(&key).unwrap());
        let own = OwnStatements { space, signer, statements: vec![statement] };
        world.log.transact(|append| append.statements(&own)).unwrap();
        // The views are behind, and the relay is started again in between.
        let attachments = opened(&world);
        let mut followed = Followed::default();
        follow(&attachments, &views, &world.log.state(), &mut followed, || false).unwrap();
        let held = attachments.held(world.joint, [photo, thumbnail, shared].map(hash).to_vec()).await;
        assert_eq!(held.unwrap().into_iter().collect::<Vec<_>>(), [hash(shared)]);
        let parts = BlobId { space, hash: hash(photo) };
        let again =
            attachments.offered(PartId { blob: parts, device: DeviceId::from_bytes([1; 32]) }, 5).await;
        assert_eq!(again, Err(barid_core::protocol::AttachmentRefusal::NotPermitted));
    }
}
