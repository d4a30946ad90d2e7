//! A link whose frames are sent by hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use barid_core::clock::system_clock;
use barid_core::device::Device;
use barid_core::engine::{Link, LinkInput};
use barid_core::identity::Identity;

use crate::phone::PhoneFiles;

/// A websocket spoken by hand, so that anything at all can be sent.
#[derive(Debug)]
pub struct RawLink(TcpStream);

impl RawLink {
    /// Asks for a link and gets it.
    pub fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = format!(
            "GET /sync HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    /// A binary message, masked with zeros.
    pub fn send(&mut self, payload: &[u8]) {
        let mut frame = vec![0x82];
        match payload.len() {
            len @ ..=125 => frame.push(0x80 | len as u8),
            len @ ..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).ok();
    }

    /// The next binary message of the relay, which masks nothing.
    pub fn receive(&mut self) -> Vec<u8> {
        self.receive_or_end().expect("a whole binary message")
    }

    /// The same, or the link's end.
    fn receive_or_end(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        if head[0] != 0x82 {
            return None;
        }
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).ok()?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).ok()?;
                usize::try_from(u64::from_be_bytes(len)).ok()?
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).ok()?;
        Some(payload)
    }

    /// The relay's next word on a batch; what it sends of the log meanwhile is passed over.
    pub fn verdict(&mut self) -> Vec<u8> {
        loop {
            let frame = self.receive();
            if matches!(frame[0], 0x11 | 0x12) {
                return frame;
            }
        }
    }

    /// Sends a batch of the link's first space and waits for the relay's word on it; `None` if its word
    /// is the link's end, as for what no frame may be.
    pub fn push(&mut self, batch: &[u8]) -> Option<Vec<u8>> {
        self.push_to(0, batch)
    }

    /// The same for the space at a place of those that the link named.
    pub fn push_to(&mut self, place: u8, batch: &[u8]) -> Option<Vec<u8>> {
        self.send(&[&[0x10, place][..], batch].concat());
        loop {
            let frame = self.receive_or_end()?;
            match frame[0] {
                0x11 | 0x12 => return Some(frame),
                0x7f => return None,
                _ => {}
            }
        }
    }

    /// The relay's next word on an attachment; `None` if its next word is the link's end.
    pub fn attachment_word(&mut self) -> Option<Vec<u8>> {
        loop {
            let frame = self.receive_or_end()?;
            match frame[0] {
                0x40..=0x48 => return Some(frame),
                0x7f => return None,
                _ => {}
            }
        }
    }

    /// Opens a link as an enrolled device, by the real session, and has nothing new.
    pub fn handshake(&mut self, device: &Device, files: &PhoneFiles) {
        self.handshake_until(device, files, |link, _| link.is_up_to_date());
    }

    /// The same, and goes no further than what the relay says of the spaces.
    pub fn handshake_alone(&mut self, device: &Device, files: &PhoneFiles) {
        self.handshake_until(device, files, |_, frame| frame[0] == 0x04);
    }

    fn handshake_until(
        &mut self,
        device: &Device,
        files: &PhoneFiles,
        is_done: impl Fn(&Link, &[u8]) -> bool,
    ) {
        let identity = Arc::new(Identity::from_seed(files.seed));
        let relay = device.enrolment().unwrap().unwrap().relay;
        let now = system_clock()();
        let mut link = Link::begin(device.store(), identity, relay, [3; 16], now).unwrap();
        loop {
            while let Some(frame) = link.next_frame() {
                self.send(&frame);
            }
            let frame = self.receive();
            link.handle(LinkInput::Frame(frame.clone()), now).unwrap();
            assert_eq!(link.closed(), None);
            if is_done(&link, &frame) {
                break;
            }
        }
        while let Some(frame) = link.next_frame() {
            self.send(&frame);
        }
    }

    /// Everything that comes until the relay hangs up.
    pub fn answer(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).ok();
        bytes
    }
}
