//! Driving an exchange over streams that block.
//!
//! Reading and writing each have a thread of their own, so that two ends which both have much to say
//! never wait for each other, whatever little the carrier itself can hold. The session's window bounds
//! what is between. An end that is gone for good may leave its threads in a read or a write until the
//! app closes the stream; nothing waits for them.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use super::{Cancel, ExchangeError, PeerLink, PeerLinkInput, outcome};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::noise::NOISE_LEN_MAX;
use crate::protocol::{PeerReport, PeerRole};
use crate::store::Store;

/// Frames that have come and wait to be handled.
const FRAMES_WAITING_MAX: usize = 16;
/// Bytes that wait to be written, at most: far more than the window. An end that takes nothing and
/// asks for much is cut off.
const UNWRITTEN_LEN_MAX: usize = 16 * 1024 * 1024;
/// How soon a cancel is heard.
const CANCEL_EVERY: Duration = Duration::from_millis(100);
/// How long the last frames may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(5);

enum Event {
    Frame(Vec<u8>),
    /// The other end has said everything, or its stream has ended.
    End,
    Broken(io::Error),
    Written,
}

/// Exchanges with the device at the other end of a stream until both have what the other had.
///
/// `on_progress` is called with what was given and taken so far, on the calling thread.
pub fn exchange(
    store: &Store,
    identity: Arc<Identity>,
    role: PeerRole,
    clock: &Clock,
    (read, write): (impl Read + Send + 'static, impl Write + Send + 'static),
    cancel: &Cancel,
    mut on_progress: impl FnMut(&PeerReport),
) -> Result<PeerReport, ExchangeError> {
    let mut ephemeral = [0; 32];
    getrandom::fill(&mut ephemeral).map_err(|error| ExchangeError::Carrier {
        source: io::Error::other(error),
        report: Box::default(),
    })?;
    let mut link = PeerLink::begin(store, identity, role, ephemeral, clock())?;
    let (events, inbox) = sync_channel(FRAMES_WAITING_MAX);
    let unwritten = Arc::new(AtomicUsize::new(0));
    let outbox = start(read, write, events, Arc::clone(&unwritten))
        .map_err(|source| ExchangeError::Carrier { source, report: Box::default() })?;
    let mut shown = PeerReport::default();
    let mut broken = None;
    let handled = loop {
        while let Some(frame) = link.next_frame() {
            unwritten.fetch_add(frame.len(), Ordering::Relaxed);
            // If the writer is gone it has said why.
            outbox.send(frame).ok();
        }
        if link.report() != shown {
            shown = link.report();
            on_progress(&shown);
        }
        if link.closed().is_some() {
            break Ok(());
        }
        let input = if cancel.is_cancelled() {
            PeerLinkInput::Cancel
        } else if unwritten.load(Ordering::Relaxed) > UNWRITTEN_LEN_MAX {
            PeerLinkInput::Cut
        } else {
            match inbox.recv_timeout(CANCEL_EVERY) {
                Ok(Event::Frame(frame)) => PeerLinkInput::Frame(frame),
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => PeerLinkInput::Cut,
                Ok(Event::Broken(error)) => {
                    broken = Some(error);
                    PeerLinkInput::Cut
                }
                Ok(Event::Written) => continue,
                Err(RecvTimeoutError::Timeout) => PeerLinkInput::Tick,
            }
        };
        if let Err(error) = link.handle(input, clock()) {
            break Err(error);
        }
    };
    while let Some(frame) = link.next_frame() {
        outbox.send(frame).ok();
    }
    drop(outbox);
    wait_written(&inbox);
    handled?;
    outcome(&link, broken)
}

/// Waits for the last frames to leave, but for no end that takes nothing.
fn wait_written(inbox: &Receiver<Event>) {
    let until = Instant::now() + LAST_WORDS;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match inbox.recv_timeout(left) {
            Ok(Event::Written) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Starts the two threads; frames sent to what is returned are written, and when it is dropped, the
/// end is.
fn start(
    read: impl Read + Send + 'static,
    write: impl Write + Send + 'static,
    events: SyncSender<Event>,
    unwritten: Arc<AtomicUsize>,
) -> io::Result<Sender<Vec<u8>>> {
    let (outbox, frames) = channel::<Vec<u8>>();
    let read_events = events.clone();
    thread("barid-peer-read", move || read_all(read, &read_events))?;
    thread("barid-peer-write", move || {
        let mut write = BufWriter::new(write);
        let written = write_all(&mut write, &frames, &unwritten);
        let event = written.map_or_else(Event::Broken, |()| Event::Written);
        // Nobody waits for it any more if the exchange has given up.
        events.send(event).ok();
    })?;
    Ok(outbox)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn read_all(mut read: impl Read, events: &SyncSender<Event>) {
    loop {
        let event = match read_frame(&mut read) {
            Ok(Some(frame)) => Event::Frame(frame),
            Ok(None) => Event::End,
            Err(error) => Event::Broken(error),
        };
        let is_last = !matches!(event, Event::Frame(_));
        if events.send(event).is_err() {
            // The exchange is over here; what still comes is read away, so that the other end's last
            // words are not turned into a failure, until it says that it has said everything.
            while let Ok(Some(_)) = read_frame(&mut read) {}
            return;
        }
        if is_last {
            return;
        }
    }
}

fn write_all(write: &mut impl Write, frames: &Receiver<Vec<u8>>, unwritten: &AtomicUsize) -> io::Result<()> {
    while let Ok(mut frame) = frames.recv() {
        loop {
            write_frame(write, &frame)?;
            unwritten.fetch_sub(frame.len(), Ordering::Relaxed);
            match frames.try_recv() {
                Ok(next) => frame = next,
                Err(_) => break,
            }
        }
        write.flush()?;
    }
    write.write_all(&[0, 0])?;
    write.flush()
}

/// Writes a frame; it is never empty.
pub(super) fn write_frame(write: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    debug_assert!((1..=NOISE_LEN_MAX).contains(&frame.len()), "a frame is one Noise message");
    write.write_all(&(frame.len() as u16).to_be_bytes())?;
    write.write_all(frame)
}

/// Reads a frame, or learns that there is none any more.
pub(super) fn read_frame(read: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 2];
    match read.read_exact(&mut len) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let len = usize::from(u16::from_be_bytes(len));
    if len == 0 {
        return Ok(None);
    }
    let mut frame = vec![0; len];
    read.read_exact(&mut frame)?;
    Ok(Some(frame))
}
