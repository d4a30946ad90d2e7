//! A link that can be slow, cut and counted: a TCP proxy on loopback. The demo and the tests use it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are passed on at a time on a slow link: a packet.
const PACKET_LEN: usize = 512;

/// The number of a connection, and bytes that came through it.
type Tapped = (u64, Vec<u8>);

#[derive(Debug, Default)]
struct State {
    refusing: AtomicBool,
    /// Bytes a second in each direction; 0 is as fast as it goes.
    rate: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// Cut every connection once this many bytes have gone up; 0 is never.
    cut_after_up: AtomicU64,
    /// What goes up stays on the way.
    holds_up: AtomicBool,
    /// Connections that the far end has ended, or this one.
    ended: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    /// Connections so far.
    count: AtomicU64,
    tap: Mutex<Option<Sender<Tapped>>>,
}

impl State {
    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy. Dropping it cuts everything.
#[derive(Debug)]
pub struct Link {
    port: u16,
    state: Arc<State>,
}

impl Link {
    /// A link to a port on loopback.
    pub fn to(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for incoming in listener.incoming().flatten() {
                if shared.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(onward) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                incoming.set_nodelay(true).ok();
                onward.set_nodelay(true).ok();
                let number = shared.count.fetch_add(1, Ordering::SeqCst);
                let both_ways = carry(&shared, &incoming, &onward, Some(number))
                    .and_then(|()| carry(&shared, &onward, &incoming, None));
                if both_ways.is_ok() {
                    shared.connections().extend([incoming, onward]);
                }
            }
        });
        Ok(Self { port, state })
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Out of range: every connection is cut, and new ones too until [`Link::restore`].
    pub fn cut(&self) {
        self.state.refusing.store(true, Ordering::SeqCst);
        self.drop_connections();
    }

    /// Back in range.
    pub fn restore(&self) {
        self.state.refusing.store(false, Ordering::SeqCst);
    }

    /// Cuts the connections of now; new ones are taken.
    pub fn drop_connections(&self) {
        for stream in self.state.connections().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Bits a second in each direction.
    pub fn set_bits_per_second(&self, bits: u64) {
        self.state.rate.store(bits / 8, Ordering::SeqCst);
    }

    /// Keeps on the way whatever goes up, until it is let go.
    pub fn hold_up(&self, holds: bool) {
        self.state.holds_up.store(holds, Ordering::SeqCst);
    }

    /// Cuts once so many more bytes have gone up.
    pub fn cut_after_up(&self, bytes: u64) {
        let at = self.state.up.load(Ordering::SeqCst) + bytes;
        self.state.cut_after_up.store(at, Ordering::SeqCst);
    }

    /// Everything that goes up from now on, as it reaches the far end: of which connection, which bytes.
    pub fn tap_up(&self) -> Receiver<Tapped> {
        let (tap, tapped) = channel();
        *self.state.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(tap);
        tapped
    }

    /// Connections that are over, whoever ended them.
    pub fn ended(&self) -> u64 {
        self.state.ended.load(Ordering::SeqCst)
    }

    /// Bytes that went up and down so far, with everything that carries the frames.
    pub fn bytes(&self) -> (u64, u64) {
        (self.state.up.load(Ordering::SeqCst), self.state.down.load(Ordering::SeqCst))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Carries one direction: up, with the connection's number, or down.
fn carry(state: &Arc<State>, from: &TcpStream, to: &TcpStream, up: Option<u64>) -> io::Result<()> {
    let (state, mut from, mut to) = (state.clone(), from.try_clone()?, to.try_clone()?);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut free_at = Instant::now();
        loop {
            let rate = state.rate.load(Ordering::SeqCst);
            let room = if rate == 0 { buffer.len() } else { PACKET_LEN };
            let Ok(len @ 1..) = from.read(&mut buffer[..room]) else { break };
            if rate > 0 {
                free_at = free_at.max(Instant::now()) + Duration::from_secs_f64(len as f64 / rate as f64);
                thread::sleep(free_at.saturating_duration_since(Instant::now()));
            }
            while up.is_some() && state.holds_up.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            let counter = if up.is_some() { &state.up } else { &state.down };
            let sum = counter.fetch_add(len as u64, Ordering::SeqCst) + len as u64;
            let cut_at = state.cut_after_up.load(Ordering::SeqCst);
            if up.is_some() && cut_at > 0 && sum >= cut_at {
                state.cut_after_up.store(0, Ordering::SeqCst);
                break;
            }
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
            if let Some(number) = up
                && let Some(tap) = &*state.tap.lock().unwrap_or_else(PoisonError::into_inner)
            {
                tap.send((number, buffer[..len].to_vec())).ok();
            }
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
        if up.is_none() {
            state.ended.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok(())
}
