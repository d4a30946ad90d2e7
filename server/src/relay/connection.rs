//! One link: owns the socket, and performs what the session decides on the log.
//!
//! Outputs are performed in order. A `Send` waits for the socket, so a slow phone holds back the
//! reading of the log for itself and for nobody else; a phone that takes nothing at all is given up.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use barid_core::batch::SealedBatch;
use barid_core::clock::Timestamp;
use barid_core::control::Verdict;
use barid_core::id::{DeviceId, Incarnation, SpaceId};
use barid_core::limits::LINK_IDLE_MS_MAX;
use barid_core::protocol::{
    CloseCode, CloseReason, CursorClaim, Enrolment, Logged, OpenedSpace, RelayInput, RelayOutput,
    RelaySession, RelaySessionConfig,
};
use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio::sync::{broadcast, mpsc, watch};
use tracing::Instrument as _;

use super::Bells;
use super::attachment::AttachmentQueues;
use super::room::LinkId;
use super::standing::Standing;
use crate::app::App;
use crate::blob::BlobId;
use crate::enrolment::EnrolError;
use crate::log::{Log as _, LogError, LogState, SpaceState, verify};

type Sink = stream::SplitSink<WebSocket, Message>;

/// Serves a link until either end closes it.
pub(super) async fn run(app: App, socket: WebSocket) {
    let link = barid_core::id::to_hex(&crate::secret::random::<4>());
    let span = tracing::info_span!("link", link, device = tracing::field::Empty);
    Connection::new(app, socket).serve().instrument(span).await;
}

struct Connection {
    app: App,
    session: RelaySession,
    sink: Sink,
    incoming: stream::SplitStream<WebSocket>,
    /// What became of batches that were queued.
    appended: (mpsc::UnboundedSender<RelayInput>, mpsc::UnboundedReceiver<RelayInput>),
    wake_at: Option<Timestamp>,
    joined: Option<(LinkId, Arc<Bells>)>,
    /// The spaces asked for, and what the device was in each when the link opened.
    spaces: Vec<(SpaceId, Standing)>,
    /// From when the link is open.
    attachments: Option<AttachmentQueues>,
    /// Attachments that came, over whatever link.
    came: broadcast::Receiver<BlobId>,
    /// When to ask again for what is lacking.
    asks: watch::Receiver<u64>,
    closed: Option<CloseReason>,
}

/// The link cannot go on, for a reason that its session does not know.
enum Broken {
    /// The socket takes nothing any more.
    Cut,
}

impl Connection {
    fn new(app: App, socket: WebSocket) -> Self {
        let config =
            RelaySessionConfig { identity: app.identity.clone(), nonce: crate::secret::random::<16>() };
        let session = RelaySession::new(config, (app.clock)());
        let (sink, incoming) = socket.split();
        let (came, asks) = (app.attachments.came(), app.attachments.asks());
        Self {
            app,
            session,
            sink,
            incoming,
            // Its length is bounded by the bytes that the session lets be untaken.
            appended: mpsc::unbounded_channel(),
            wake_at: None,
            joined: None,
            spaces: Vec::new(),
            attachments: None,
            came,
            asks,
            closed: None,
        }
    }

    async fn serve(mut self) {
        loop {
            if self.perform_all().await.is_err() || self.closed.is_some() {
                break;
            }
            let bells = self.joined.as_ref().map(|(_, bells)| bells.clone());
            let evicted = async {
                match &bells {
                    Some(bells) => bells.end.notified().await,
                    None => std::future::pending().await,
                }
            };
            let news = async {
                match &bells {
                    Some(bells) => bells.news.notified().await,
                    None => std::future::pending().await,
                }
            };
            let sleep_ms = self.wake_at.map_or(LINK_IDLE_MS_MAX, |at| at.millis_since((self.app.clock)()));
            let input = tokio::select! {
                message = self.incoming.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => RelayInput::Frame(bytes.into()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Text(_))) => RelayInput::Close(CloseCode::Malformed),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                },
                Some(appended) = self.appended.1.recv() => appended,
                () = news => {
                    let state = self.app.log.state().borrow().clone();
                    self.tell_news(&state);
                    continue;
                },
                came = self.came.recv() => {
                    // Nobody sends any more only when the relay is gone.
                    if let Some(queues) = &self.attachments {
                        queues.came(came);
                    }
                    continue;
                }
                Ok(()) = self.asks.changed() => {
                    self.seek();
                    continue;
                }
                () = evicted => RelayInput::Close(CloseCode::Replaced),
                () = self.app.shutdown.wait() => RelayInput::Close(CloseCode::Busy),
                () = tokio::time::sleep(Duration::from_millis(sleep_ms.clamp(0, LINK_IDLE_MS_MAX) as u64)) => {
                    RelayInput::Tick
                }
            };
            self.session.handle(input, (self.app.clock)());
        }
        self.end().await;
    }

    /// Tells the session of every space of this link whose log may have grown; it knows what is news.
    /// A device that is not what it was when the link opened must open it anew, and at once: a revoke
    /// cuts a link before anything else goes over it, and of what does not stand any more the device
    /// believes that it was delivered.
    fn tell_news(&mut self, state: &LogState) {
        let now = (self.app.clock)();
        let Some(device) = self.session.device() else { return };
        if self.spaces.iter().any(|(space, before)| standing(device, state, *space) != *before) {
            tracing::info!("the device's standing has changed");
            return self.session.handle(RelayInput::Close(CloseCode::Reopen), now);
        }
        for (space, _) in &self.spaces {
            if let Some(known) = state.spaces.get(space) {
                self.session.handle(RelayInput::News { space: *space, head: known.head }, now);
            }
        }
    }

    /// Asks the device for what the relay lacks.
    fn seek(&self) {
        if let Some(queues) = &self.attachments {
            let members = self.spaces.iter().filter(|(_, standing)| standing.is_member());
            members.for_each(|(space, _)| queues.seek(*space));
        }
    }

    async fn perform_all(&mut self) -> Result<(), Broken> {
        while let Some(output) = self.session.poll_output() {
            if let Some(input) = self.perform(output).await? {
                self.session.handle(input, (self.app.clock)());
            }
        }
        Ok(())
    }

    async fn perform(&mut self, output: RelayOutput) -> Result<Option<RelayInput>, Broken> {
        Ok(match output {
            RelayOutput::Send(frame) => {
                self.send(frame).await?;
                None
            }
            RelayOutput::Open { device, incarnation: _, spaces } => Some(self.open(device, spaces).await),
            RelayOutput::Enrol { token, device, label } => Some(self.enrol(token, device, &label).await),
            RelayOutput::Append { space: _, batch } => self.append(batch).await,
            RelayOutput::ReadLog { space, after, excluding, len_max, control_only } => {
                let author = (!control_only).then_some(excluding);
                Some(self.read(space, after, author, len_max).await)
            }
            RelayOutput::ReadControl { space, position, after, len_max } => {
                Some(self.read_control(space, position, after, len_max).await)
            }
            RelayOutput::AttachmentOffered { space, hash, len } => {
                if let Some(queues) = &self.attachments {
                    queues.offered(space, hash, len);
                }
                None
            }
            RelayOutput::AttachmentPiece { space, hash, offset, bytes } => {
                if let Some(queues) = &self.attachments {
                    queues.piece(space, hash, offset, bytes);
                }
                None
            }
            RelayOutput::AttachmentWanted { space, hash, offset, len_max } => {
                if let Some(queues) = &self.attachments {
                    queues.wanted(space, hash, offset, len_max);
                }
                None
            }
            RelayOutput::Confirmed { space, offset } => {
                if let Some((link, _)) = &self.joined {
                    self.app.links.reached(*link, space, offset);
                }
                None
            }
            RelayOutput::Seen { device, unsent } => {
                let reports = self.app.reports.clone();
                let noted = tokio::task::spawn_blocking(move || reports.seen(device, Some(unsent)));
                if let Ok(Err(error)) = noted.await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a device's report is not kept");
                }
                None
            }
            RelayOutput::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            RelayOutput::Closed(reason) => {
                self.closed = Some(reason);
                None
            }
        })
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Broken> {
        let patience = Duration::from_millis(LINK_IDLE_MS_MAX as u64);
        match tokio::time::timeout(patience, self.sink.send(Message::Binary(frame.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Broken::Cut),
        }
    }

    async fn open(&mut self, device: DeviceId, spaces: Vec<(SpaceId, Option<CursorClaim>)>) -> RelayInput {
        let state = self.app.log.state().borrow().clone();
        if state.spaces.keys().all(|space| standing(device, &state, *space) == Standing::Stranger) {
            return RelayInput::Close(CloseCode::UnknownDevice);
        }
        tracing::Span::current().record("device", tracing::field::display(device));
        let mut opened = Vec::with_capacity(spaces.len());
        for (space, claim) in spaces {
            let standing = standing(device, &state, space);
            self.spaces.push((space, standing));
            let known = state.spaces.get(&space).filter(|_| standing != Standing::Stranger);
            let Some(known) = known else {
                opened.push(OpenedSpace::NotMember);
                continue;
            };
            match self.look_up(device, space, claim, known, standing).await {
                Ok(member) => opened.push(member),
                Err(error) => return failed(&error),
            }
        }
        let joined = self.app.links.join(device, self.spaces.iter().map(|(space, _)| *space).collect());
        tracing::info!(spaces = self.spaces.len(), "linked");
        self.joined = Some(joined);
        self.attachments = Some(AttachmentQueues::start(&self.app, device, &self.appended.0));
        self.seek();
        RelayInput::Opened(opened)
    }

    async fn look_up(
        &self,
        device: DeviceId,
        space: SpaceId,
        claim: Option<CursorClaim>,
        known: &SpaceState,
        standing: Standing,
    ) -> Result<OpenedSpace, LogError> {
        let log = &self.app.log;
        let (at_cursor, len_after_cursor) = match claim {
            Some(claim) => {
                (log.digest_at(space, claim.offset).await?, log.bytes_after(space, claim.offset).await?)
            }
            None => (None, known.len),
        };
        Ok(OpenedSpace::Member {
            log: log.id(),
            head: known.head,
            at_cursor,
            len_after_cursor,
            len_total: known.len,
            watermark: known.watermark,
            is_revoked: matches!(standing, Standing::Revoked { .. }),
            quarantined: log.quarantined_of(space, device).await?,
            own: log.own_chains(space, device).await?,
        })
    }

    async fn enrol(&self, token: [u8; 16], device: DeviceId, label: &str) -> RelayInput {
        match self.app.enrolments.redeem(&self.app.log, token, device, label).await {
            Ok(enrolled) => RelayInput::Enrolled(Enrolment {
                organisation: enrolled.organisation,
                name_ar: enrolled.name_ar,
                name_en: enrolled.name_en,
                spaces: enrolled.spaces,
            }),
            Err(EnrolError::InvalidToken) => RelayInput::Close(CloseCode::TokenUnknown),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a device could not be enrolled");
                RelayInput::Close(CloseCode::Failed)
            }
        }
    }

    /// Checks a batch on another thread and queues it; the outcome comes when it is durable.
    async fn append(&self, sealed: SealedBatch) -> Option<RelayInput> {
        let batch = sealed.id();
        let verified = match tokio::task::spawn_blocking(move || verify(sealed)).await {
            Ok(Ok(verified)) => verified,
            Ok(Err(error)) => {
                tracing::warn!(%batch, %error, "a batch does not verify");
                return Some(RelayInput::Appended { batch, outcome: Verdict::from(error) });
            }
            Err(_) => return Some(RelayInput::Close(CloseCode::Failed)),
        };
        let ticket = match self.app.log.append(verified).await {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a batch could not be queued");
                return Some(RelayInput::Close(CloseCode::Failed));
            }
        };
        let appended = self.appended.0.clone();
        tokio::spawn(async move {
            let outcome = match ticket.outcome().await {
                Ok(outcome) => Verdict::from(outcome),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a batch could not be appended"
                    );
                    // Nothing was stored: silence would let the device wait for ever, and any other
                    // word would be a verdict. The link's end says that it may try again.
                    appended.send(RelayInput::Close(CloseCode::Failed)).ok();
                    return;
                }
            };
            appended.send(RelayInput::Appended { batch, outcome }).ok();
        });
        None
    }

    async fn read(
        &mut self,
        space: SpaceId,
        after: u64,
        author: Option<(DeviceId, Incarnation)>,
        len_max: usize,
    ) -> RelayInput {
        let log = &self.app.log;
        let page = match author {
            Some(_) => log.read_after(space, after, len_max, author).await,
            None => log.read_control_after(space, after, len_max).await,
        };
        match page {
            Ok(page) => {
                let batches = page
                    .batches
                    .iter()
                    .map(|logged| Logged {
                        offset: logged.offset,
                        digest: logged.digest,
                        batch: logged.batch.as_bytes().into(),
                    })
                    .collect();
                RelayInput::Read { space, batches, reached: page.reached }
            }
            Err(error) => failed(&error),
        }
    }

    async fn read_control(
        &mut self,
        space: SpaceId,
        position: u64,
        after: u64,
        len_max: usize,
    ) -> RelayInput {
        match self.app.log.read_control_ahead(space, position, after, len_max).await {
            Ok(page) => {
                let batches = page.batches.iter().map(|logged| logged.batch.as_bytes().into()).collect();
                let reached = page.reached.map_or(after, |(offset, _)| offset);
                RelayInput::ControlRead { space, batches, reached }
            }
            Err(error) => failed(&error),
        }
    }

    async fn end(mut self) {
        if let Some(reason) = self.closed {
            tracing::info!(%reason, "link closed");
        }
        if let Some((link, _)) = self.joined.take() {
            let reached = self.app.links.leave(link);
            if let Some(device) = self.session.device() {
                let reports = self.app.reports.clone();
                let kept = tokio::task::spawn_blocking(move || {
                    reports.seen(device, None)?;
                    reached.into_iter().try_for_each(|(space, offset)| reports.reached(device, space, offset))
                });
                kept.await.ok();
            }
        }
        tokio::time::timeout(Duration::from_secs(1), self.sink.close()).await.ok();
    }
}

/// What a device is in a space of the log.
pub(super) fn standing(device: DeviceId, state: &LogState, space: SpaceId) -> Standing {
    let known = state.spaces.get(&space);
    known.map_or(Standing::Stranger, |known| Standing::of(device, known))
}

fn failed(error: &LogError) -> RelayInput {
    tracing::error!(error = error as &dyn std::error::Error, "the log could not be read");
    RelayInput::Close(CloseCode::Failed)
}
