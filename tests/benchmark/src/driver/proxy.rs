//! A byte-counting proxy on loopback, like the peers' one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Payload bytes since the last reset.
#[derive(Debug, Default)]
pub(super) struct Counts {
    up: AtomicU64,
    down: AtomicU64,
}

impl Counts {
    /// Bytes from clients and to them.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }

    /// Counts anew.
    pub(super) fn reset(&self) {
        self.up.store(0, Ordering::Relaxed);
        self.down.store(0, Ordering::Relaxed);
    }
}

/// Passes on every connection to a port of loopback, and says where to connect instead.
pub(super) fn start(target: u16) -> std::io::Result<(u16, Arc<Counts>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let counts = Arc::new(Counts::default());
    let shared = counts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let counts = shared.clone();
            std::thread::spawn(move || pass_on(client, target, &counts));
        }
    });
    Ok((port, counts))
}

fn pass_on(client: TcpStream, target: u16, counts: &Counts) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&client, &server, &counts.up));
        pump(&server, &client, &counts.down);
    });
    Ok(())
}

/// Ends with either end; then the other one learns of it.
fn pump(mut from: &TcpStream, mut to: &TcpStream, count: &AtomicU64) {
    let mut bytes = vec![0; 256 * 1024];
    while let Ok(len) = from.read(&mut bytes) {
        if len == 0 || to.write_all(&bytes[..len]).is_err() {
            break;
        }
        count.fetch_add(len as u64, Ordering::Relaxed);
    }
    to.shutdown(Shutdown::Write).ok();
}
