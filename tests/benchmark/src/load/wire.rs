//! One link to the relay: the core's own session over a websocket, without a store behind it.

use std::time::{Duration, Instant};

use barid_core::batch::SealedBatch;
use barid_core::clock::system_clock;
use barid_core::limits::FRAME_LEN_MAX;
use barid_core::position::{Cursor, QuarantineDigest, SpacePosition};
use barid_core::protocol::{DeviceInput, DeviceOutput, DeviceSession, DeviceSessionConfig};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Failure;
use super::member::{Chain, Member};

/// What happens on a link.
#[derive(Debug)]
pub(super) enum Event {
    UpToDate(Option<Cursor>),
    Acknowledged,
    Arrived(Instant),
    Ended(String),
}

/// A link, driven by a task of its own until it is dropped.
#[derive(Debug)]
pub(super) struct Wire {
    outbox: mpsc::UnboundedSender<Vec<SealedBatch>>,
    events: mpsc::UnboundedReceiver<Event>,
    cursor: Option<Cursor>,
}

impl Wire {
    /// Connects and begins a session in the chain's space.
    pub(super) async fn dial(member: &Member, chain: Chain, cursor: Option<Cursor>) -> Result<Self, Failure> {
        let address = member.url.trim_start_matches("ws://");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = tokio_tungstenite::client_async(format!("{}/sync", member.url), stream).await?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let config = DeviceSessionConfig {
            identity: member.identity.clone(),
            relay: member.relay,
            nonce,
            incarnation: chain.incarnation,
            spaces: vec![SpacePosition {
                space: chain.space,
                cursor,
                own: Vec::new(),
                quarantined: QuarantineDigest::default(),
            }],
            unsent: 0,
        };
        let session = DeviceSession::new(config, system_clock()());
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (report, events) = mpsc::unbounded_channel();
        let task = Task { session, socket, chain, batches: Vec::new(), acknowledged: 0, cursor, report };
        tokio::spawn(task.run(inbox));
        Ok(Self { outbox, events, cursor })
    }

    /// How far the log was read when the link was last up to date.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Gives batches of the chain, in order.
    pub(super) fn send(&self, batches: Vec<SealedBatch>) -> Result<(), Failure> {
        self.outbox.send(batches).map_err(|_| "the link is over".into())
    }

    async fn next(&mut self) -> Result<Event, Failure> {
        match self.events.recv().await {
            Some(Event::Ended(why)) => Err(why.into()),
            Some(event) => Ok(event),
            None => Err("the link is over".into()),
        }
    }

    /// Waits until everything known here and there has been exchanged.
    pub(super) async fn up_to_date(&mut self) -> Result<(), Failure> {
        loop {
            if let Event::UpToDate(cursor) = self.next().await? {
                self.cursor = cursor;
                return Ok(());
            }
        }
    }

    /// Waits for so many more acknowledgements.
    pub(super) async fn acknowledged(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            while !matches!(self.next().await?, Event::Acknowledged) {}
        }
        Ok(())
    }

    /// Waits for the next batch of somebody else's, and says when it came.
    pub(super) async fn arrival(&mut self) -> Result<Instant, Failure> {
        loop {
            if let Event::Arrived(at) = self.next().await? {
                return Ok(at);
            }
        }
    }
}

struct Task {
    session: DeviceSession,
    socket: WebSocketStream<TcpStream>,
    chain: Chain,
    /// Every batch of the chain so far.
    batches: Vec<SealedBatch>,
    acknowledged: usize,
    cursor: Option<Cursor>,
    report: mpsc::UnboundedSender<Event>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Vec<SealedBatch>>) {
        let ended = self.drive(&mut inbox).await;
        let why = ended.err().map_or_else(|| "dropped".to_owned(), |error| error.to_string());
        self.report.send(Event::Ended(why)).ok();
    }

    async fn drive(&mut self, inbox: &mut mpsc::UnboundedReceiver<Vec<SealedBatch>>) -> Result<(), Failure> {
        let clock = system_clock();
        let mut wake_at = None;
        loop {
            while let Some(output) = self.session.poll_output() {
                if let DeviceOutput::WakeAt(at) = output {
                    wake_at = Some(at);
                } else if let Some(input) = self.perform(output).await? {
                    self.session.handle(input, clock());
                }
            }
            self.socket.flush().await?;
            let sleep_ms = wake_at.map_or(3_600_000, |at| at.millis_since(clock()).clamp(0, 3_600_000));
            let input = tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) if bytes.len() <= FRAME_LEN_MAX => {
                        DeviceInput::Frame(bytes.into())
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => return Err("the relay hung up".into()),
                },
                batches = inbox.recv() => match batches {
                    Some(batches) => {
                        self.batches.extend(batches);
                        DeviceInput::LocalChange { unsent: (self.batches.len() - self.acknowledged) as u64 }
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep(Duration::from_millis(sleep_ms as u64)) => {
                    wake_at = None;
                    DeviceInput::Tick
                }
            };
            self.session.handle(input, clock());
        }
    }

    async fn perform(&mut self, output: DeviceOutput) -> Result<Option<DeviceInput>, Failure> {
        match output {
            DeviceOutput::Send(frame) => self.socket.feed(Message::Binary(frame.into())).await?,
            DeviceOutput::Wanted { sent, budget_len, .. } => {
                let own = |height: &&(barid_core::id::SpaceId, barid_core::position::Height)| {
                    height.0 == self.chain.space && height.1.incarnation == self.chain.incarnation
                };
                let from = sent.iter().find(own).map_or(self.acknowledged as u64, |height| height.1.seq);
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.batches.len());
                let mut len = 0;
                let fits = |batch: &&SealedBatch| {
                    let is_first = len == 0;
                    len += batch.as_bytes().len();
                    is_first || len <= budget_len
                };
                let batches: Vec<SealedBatch> =
                    self.batches[from..].iter().take_while(fits).cloned().collect();
                let exhausted = from + batches.len() == self.batches.len();
                return Ok(Some(DeviceInput::Outgoing { batches, exhausted }));
            }
            DeviceOutput::Ingest { space, batches, cursor, .. } => {
                self.cursor = Some(cursor);
                let at = Instant::now();
                for _ in batches {
                    self.report.send(Event::Arrived(at)).ok();
                }
                return Ok(Some(DeviceInput::Ingested { space }));
            }
            DeviceOutput::Acknowledged { .. } => {
                self.acknowledged += 1;
                self.report.send(Event::Acknowledged).ok();
            }
            DeviceOutput::UpToDate => {
                self.report.send(Event::UpToDate(self.cursor)).ok();
            }
            DeviceOutput::Answered { verdict, .. } => return Err(format!("not taken: {verdict:?}").into()),
            DeviceOutput::NotMember { .. } => return Err("not a member".into()),
            DeviceOutput::Closed(reason) => return Err(format!("closed: {reason}").into()),
            _ => {}
        }
        Ok(None)
    }
}
