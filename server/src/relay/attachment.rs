//! The attachments of one link: performed beside its batches, which never wait for them.
//!
//! What the session asks for is queued here and done by two tasks, one for what comes and one for what
//! goes, each in its order; the answers return to the link as inputs. How much may be queued is bounded
//! by the session for a link and by [`Attachments`] for all. A queue outlives its link: what came is kept,
//! for the device to go on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use barid_core::id::{AttachmentHash, DeviceId, SpaceId};
use barid_core::limits::{ATTACHMENT_LINK_MAX, ATTACHMENT_SOUGHT_MAX};
use barid_core::protocol::{AttachmentRefusal, RelayInput};
use tokio::sync::{broadcast, mpsc};

use super::connection::standing;
use crate::app::App;
use crate::attachments::{Attachments, Held, Waiting};
use crate::blob::{BlobId, PartId};
use crate::live::LiveItem;
use crate::log::Log as _;

/// What a device sends.
enum Incoming {
    /// It offers an attachment of this length.
    Offer(BlobId, u64),
    /// A part from an offset on, and its place among those that wait.
    Piece(BlobId, u64, Vec<u8>, Option<Waiting>),
}

/// What goes to a device.
enum Outgoing {
    /// A part from an offset on, at most so long.
    Wanted(BlobId, u64, usize),
    /// What the relay lacks of a space.
    Sought(SpaceId),
    /// Something that may be what it was told is lacking has come.
    Came(BlobId),
    /// Whatever it was told is lacking may have come.
    AllMayHaveCome,
}

/// The queues of one link.
pub(super) struct AttachmentQueues {
    attachments: Attachments,
    /// Bytes of its pieces that wait.
    waiting_len: Arc<AtomicUsize>,
    incoming: mpsc::UnboundedSender<Incoming>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
}

/// Who works for which link.
struct Worker {
    app: App,
    device: DeviceId,
    answers: mpsc::UnboundedSender<RelayInput>,
}

impl AttachmentQueues {
    /// Queues for a link of this device; answers go to `answers`.
    pub(super) fn start(app: &App, device: DeviceId, answers: &mpsc::UnboundedSender<RelayInput>) -> Self {
        let (incoming, came) = mpsc::unbounded_channel();
        let (outgoing, asked) = mpsc::unbounded_channel();
        let worker = || Worker { app: app.clone(), device, answers: answers.clone() };
        tokio::spawn(worker().take(came));
        tokio::spawn(worker().give(asked));
        Self { attachments: app.attachments.clone(), waiting_len: Arc::default(), incoming, outgoing }
    }

    pub(super) fn offered(&self, space: SpaceId, hash: AttachmentHash, len: u64) {
        self.incoming.send(Incoming::Offer(BlobId { space, hash }, len)).ok();
    }

    pub(super) fn piece(&self, space: SpaceId, hash: AttachmentHash, offset: u64, mut bytes: Vec<u8>) {
        let waiting = self.attachments.wait(&self.waiting_len, bytes.len());
        if waiting.is_none() {
            // The disk is behind: its answer keeps its place, its bytes do not.
            bytes = Vec::new();
        }
        self.incoming.send(Incoming::Piece(BlobId { space, hash }, offset, bytes, waiting)).ok();
    }

    pub(super) fn wanted(&self, space: SpaceId, hash: AttachmentHash, offset: u64, len_max: usize) {
        self.outgoing.send(Outgoing::Wanted(BlobId { space, hash }, offset, len_max)).ok();
    }

    pub(super) fn seek(&self, space: SpaceId) {
        self.outgoing.send(Outgoing::Sought(space)).ok();
    }

    /// An attachment has come, over whatever link; or so many that they were not told one by one.
    pub(super) fn came(&self, news: Result<BlobId, broadcast::error::RecvError>) {
        let news = news.map_or(Outgoing::AllMayHaveCome, Outgoing::Came);
        self.outgoing.send(news).ok();
    }
}

impl Worker {
    /// Whether the device may send to a space and read from it, at this moment.
    fn is_member(&self, space: SpaceId) -> bool {
        standing(self.device, &self.app.log.state().borrow(), space).is_member()
    }

    /// The last offset of a space's log, also if another process wrote there and nobody was told yet: a
    /// backup may have it already.
    async fn head(&self, space: SpaceId) -> u64 {
        let mut head = self.app.log.state().borrow().spaces.get(&space).map_or(0, |known| known.head);
        while let Ok(Some(_)) = self.app.log.digest_at(space, head + 1).await {
            head += 1;
        }
        head
    }

    async fn take(self, mut queue: mpsc::UnboundedReceiver<Incoming>) {
        let mut offered: BTreeMap<BlobId, u64> = BTreeMap::new();
        while let Some(next) = queue.recv().await {
            let (blob, taken) = match next {
                Incoming::Offer(blob, len) => {
                    (blob, self.offer(blob, len, &mut offered).await.map(|held| (held, len)))
                }
                Incoming::Piece(blob, offset, bytes, waiting) => {
                    let len = offered.get(&blob).copied();
                    let taken = self.piece(blob, len, offset, bytes, waiting.is_some()).await;
                    drop(waiting);
                    (blob, taken)
                }
            };
            if !matches!(taken, Ok((Held { is_whole: false, .. }, _)) | Err(AttachmentRefusal::Harmed)) {
                offered.remove(&blob);
            }
            let BlobId { space, hash } = blob;
            self.answer(match taken {
                Ok((held, len)) => {
                    // Of a whole one, its own length counts, whatever was said when it was offered.
                    let len = if held.is_whole { held.len } else { len };
                    // Read after it was durable: a backup beyond this offset has it.
                    let head = if held.is_whole { self.head(space).await } else { 0 };
                    RelayInput::AttachmentHeld { space, hash, held: held.len, len, head }
                }
                Err(refusal) => RelayInput::AttachmentRefused { space, hash, refusal },
            });
        }
    }

    async fn offer(
        &self,
        blob: BlobId,
        len: u64,
        offered: &mut BTreeMap<BlobId, u64>,
    ) -> Result<Held, AttachmentRefusal> {
        if !self.is_member(blob.space) {
            return Err(AttachmentRefusal::NotPermitted);
        }
        if offered.len() >= ATTACHMENT_LINK_MAX && !offered.contains_key(&blob) {
            return Err(AttachmentRefusal::NotNow);
        }
        offered.insert(blob, len);
        self.app.attachments.offered(PartId { blob, device: self.device }, len).await
    }

    async fn piece(
        &self,
        blob: BlobId,
        len: Option<u64>,
        offset: u64,
        bytes: Vec<u8>,
        has_room: bool,
    ) -> Result<(Held, u64), AttachmentRefusal> {
        if !self.is_member(blob.space) {
            return Err(AttachmentRefusal::NotPermitted);
        }
        let Some(len) = len.filter(|_| has_room) else {
            // It was sent before the word that the whole has come reached the device, or there is no room.
            let whole = self.app.attachments.read(blob, 0, 0).await.ok().flatten();
            let whole = whole.ok_or(AttachmentRefusal::NotNow)?;
            return Ok((Held { len: whole.len, is_whole: true }, whole.len));
        };
        let part = PartId { blob, device: self.device };
        let held = self.app.attachments.piece(part, len, offset, bytes).await?;
        if held.is_whole {
            self.show(blob).await;
        }
        Ok((held, len))
    }

    /// Those who look at a record of the attachment see it now.
    async fn show(&self, blob: BlobId) {
        let records = self.app.attachments.mentioned_by(blob).await;
        let space = blob.space.to_string();
        let items =
            records.into_iter().map(|(kind, id)| LiveItem { kind, space: space.clone(), id: id.to_string() });
        self.app.live.publish(items.collect());
    }

    async fn give(self, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
        // What the device was told is lacking.
        let mut lacked: BTreeSet<BlobId> = BTreeSet::new();
        while let Some(next) = queue.recv().await {
            match next {
                Outgoing::Wanted(blob, offset, len_max) => {
                    let answer = self.read(blob, offset, len_max).await;
                    if matches!(answer, RelayInput::AttachmentLacking { .. }) {
                        if lacked.len() >= ATTACHMENT_LINK_MAX {
                            lacked.pop_first();
                        }
                        lacked.insert(blob);
                    }
                    self.answer(answer);
                }
                Outgoing::Sought(space) => {
                    if !self.is_member(space) {
                        continue;
                    }
                    let hashes = self.app.attachments.lacking(space, ATTACHMENT_SOUGHT_MAX).await;
                    if !hashes.is_empty() {
                        self.answer(RelayInput::AttachmentsSought { space, hashes });
                    }
                }
                Outgoing::Came(blob) => {
                    if lacked.contains(&blob) {
                        self.tell_came(blob, &mut lacked).await;
                    }
                }
                Outgoing::AllMayHaveCome => {
                    for blob in lacked.clone() {
                        self.tell_came(blob, &mut lacked).await;
                    }
                }
            }
        }
    }

    async fn read(&self, blob: BlobId, offset: u64, len_max: usize) -> RelayInput {
        let BlobId { space, hash } = blob;
        let lacking = RelayInput::AttachmentLacking { space, hash };
        if !self.is_member(space) {
            return lacking;
        }
        match self.app.attachments.read(blob, offset, len_max).await {
            Ok(Some(piece)) if !piece.bytes.is_empty() => {
                RelayInput::AttachmentBytes { space, hash, len: piece.len, offset, bytes: piece.bytes }
            }
            Ok(_) => lacking,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an attachment could not be read");
                lacking
            }
        }
    }

    async fn tell_came(&self, blob: BlobId, lacked: &mut BTreeSet<BlobId>) {
        let BlobId { space, hash } = blob;
        let Ok(Some(piece)) = self.app.attachments.read(blob, 0, 0).await else { return };
        if self.is_member(space) {
            lacked.remove(&blob);
            let (held, len, head) = (piece.len, piece.len, self.head(space).await);
            self.answer(RelayInput::AttachmentHeld { space, hash, held, len, head });
        }
    }

    /// The link may be over.
    fn answer(&self, answer: RelayInput) {
        self.answers.send(answer).ok();
    }
}
