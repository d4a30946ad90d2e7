//! Drives one link over one websocket until either ends.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use super::status::{LinkLen, Phase, SyncError, SyncStatus};
use super::transport::WebSocket;
use super::{Command, Inbox, Meeting, Wake};
use crate::clock::Clock;
use crate::engine::{Link, LinkInput};
use crate::protocol::{Backoff, CloseReason};

/// Frames that are handled together when they have come together, at most; and bytes, but for the last.
const FRAMES_MAX: usize = 64;
const FRAMES_LEN_MAX: usize = 64 * 1024;

/// Runs until the link is cut or closed, or the app pauses or drops the client.
pub(super) async fn drive(
    mut link: Link,
    socket: WebSocket,
    clock: &Clock,
    inbox: &mut Inbox,
    mut shown: Shown<'_>,
) -> Result<Wake, SyncError> {
    let (mut sink, mut incoming) = socket.split();
    // Writing must never keep acknowledgements from being read, so it has a task of its own. What is
    // queued here is bounded by the session's window.
    let (outbox, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
    let writer = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            sink.send(Message::Binary(frame.into())).await?;
        }
        sink.close().await
    });
    let mut link_len = LinkLen::default();
    let result = loop {
        while let Some(frame) = link.next_frame() {
            link_len.up += frame.len() as u64;
            outbox.send(frame).map_err(|_| SyncError::Cut)?;
        }
        shown.show(&link, link_len, clock);
        match link.closed() {
            Some(CloseReason::Cut) => break Err(SyncError::Cut),
            Some(reason) => break Err(SyncError::Closed(reason)),
            None => {}
        }
        let sleep_ms = link.wake_at().map_or(i64::MAX, |at| at.millis_since(clock()).max(0));
        let mut is_cut = false;
        let input = tokio::select! {
            message = incoming.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let mut frames: Vec<Vec<u8>> = vec![bytes.into()];
                    let mut len = frames[0].len();
                    while frames.len() < FRAMES_MAX && len < FRAMES_LEN_MAX {
                        match incoming.next().now_or_never() {
                            Some(Some(Ok(Message::Binary(bytes)))) => {
                                len += bytes.len();
                                frames.push(bytes.into());
                            }
                            Some(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                            None => break,
                            // What had come whole is handled first.
                            Some(_) => {
                                is_cut = true;
                                break;
                            }
                        }
                    }
                    link_len.down += len as u64;
                    LinkInput::Frames(frames)
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                // What had come whole is stored before the link is given up.
                Some(Ok(_) | Err(_)) | None => LinkInput::Cut,
            },
            command = inbox.recv() => match command {
                None => break Ok(Wake::Dropped),
                Some(Command::Pause) => break Ok(Wake::Paused),
                Some(Command::LocalChange) => LinkInput::LocalChange,
                Some(Command::Request | Command::Resume) => continue,
            },
            () = tokio::time::sleep(Duration::from_millis(sleep_ms.min(3_600_000) as u64)) => LinkInput::Tick,
        };
        let handled = link.handle(input, clock()).and_then(|()| match is_cut {
            true => link.handle(LinkInput::Cut, clock()),
            false => Ok(()),
        });
        handled.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "syncing failed");
            SyncError::Storage
        })?;
    };
    drop(outbox);
    // A last frame that says why may still be on its way; a dead socket must not hold us.
    tokio::time::timeout(Duration::from_millis(500), writer).await.ok();
    result
}

/// Where it is shown how far a link has come.
pub(super) struct Shown<'a> {
    pub(super) status: &'a watch::Sender<SyncStatus>,
    pub(super) meeting: &'a Meeting,
    pub(super) backoff: &'a mut Backoff,
}

impl Shown<'_> {
    fn show(&mut self, link: &Link, link_len: LinkLen, clock: &Clock) {
        let (progress, up_to_date) = (link.progress(), link.is_up_to_date());
        if up_to_date {
            self.backoff.reset();
            // First, so that whoever hears of the success finds the lease renewed.
            let before = self.status.borrow();
            let is_news =
                before.phase != Phase::UpToDate || before.up != progress.up || before.down != progress.down;
            drop(before);
            if is_news {
                (self.meeting.0)();
            }
        }
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.phase = if up_to_date { Phase::UpToDate } else { Phase::Syncing };
            status.link_len = link_len;
            status.up = progress.up;
            status.down = progress.down;
            status.unsent_records = link.unsent_records();
            status.unsent_attachments = link.unsent_attachments();
            status.attachments = link.attachment_progress();
            status.turned_down = link.turned_down();
            status.revoked = link.is_revoked();
            if up_to_date {
                status.error = None;
                if before.phase != Phase::UpToDate || before.up != status.up || before.down != status.down {
                    status.last_success = Some(clock());
                }
            }
            *status != before
        });
    }
}
