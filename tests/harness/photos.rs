//! Photos for tests, and a backlog of them over a link that keeps breaking: what it takes, and how much
//! of it is sent twice, counted where the relay receives it.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use barid_core::id::{AttachmentHash, RecordId};
use barid_core::model::event;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, Rgb, RgbImage};

use crate::phone::{Phone, event_fields};
use crate::wait::until;

/// A photo of about this length, at least it, unlike any of another seed.
pub fn jpeg(seed: u64, len: usize) -> Vec<u8> {
    let mut width = 160;
    loop {
        let picture = desert(seed, width, width * 3 / 4);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
        encoder.encode(&picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
        if bytes.len() >= len {
            return bytes;
        }
        // Bytes grow as the area does.
        let factor = (len as f64 / bytes.len() as f64).sqrt().clamp(1.05, 8.0);
        width = (f64::from(width) * factor) as u32 + 1;
    }
}

/// Sand below, sky above, grain everywhere.
fn desert(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let phase = (random() % 628) as f64 / 100.0;
    RgbImage::from_fn(width, height, |x, y| {
        let (across, down) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let horizon = 0.45 + 0.08 * (across * 6.0 + phase).sin();
        let ground = if down < horizon { [120.0, 165.0, 210.0] } else { [205.0, 165.0 - 40.0 * down, 105.0] };
        let grain = (random() % 29) as f64 - 14.0;
        Rgb(ground.map(|level: f64| (level + grain) as u8))
    })
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// How many photos wait on the phone.
    pub photos: usize,
    /// Bytes of each, about.
    pub photo_len: usize,
    /// The link, each way.
    pub bits_per_second: u64,
    /// How long it holds at a time.
    pub holds: Duration,
    /// How long it is gone then.
    pub gone: Duration,
    /// How long all of it may take.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// From the first link to the last photo.
    pub took: Duration,
    /// How often the phone had a link.
    pub links: u32,
    /// Bytes of the photos and of their thumbnails.
    pub needed_len: u64,
    /// Bytes of them that reached the relay.
    pub received_len: u64,
    /// Bytes of them that had reached the relay before.
    pub again_len: u64,
    /// All bytes that went up.
    pub up_len: u64,
    /// From a link's beginning to when what was recorded before it was acknowledged.
    pub records: Vec<Duration>,
}

impl Outcome {
    /// Which share of the photos' bytes was sent twice.
    pub fn again(&self) -> f64 {
        self.again_len as f64 / self.needed_len as f64
    }

    /// How long the slowest of the records took.
    pub fn slowest(&self) -> Duration {
        self.records.iter().max().copied().unwrap_or_default()
    }
}

/// A record with a photo of each number.
pub fn take_photos(
    phone: &Phone,
    numbers: std::ops::Range<usize>,
    photo_len: usize,
) -> Vec<(RecordId, AttachmentHash)> {
    let taken = numbers.map(|number| {
        let record = phone.put_event(event_fields(number));
        let bytes = jpeg(number as u64 + 1, photo_len);
        let attached = phone.device.store().attach(phone.space, event::NAME, record, &bytes, None).unwrap();
        (record, attached.hash)
    });
    taken.collect()
}

/// Lets a phone send its backlog, with a record before each link.
pub fn send_backlog(phone: &mut Phone, backlog: Backlog) -> Outcome {
    let mut received = Received::new(phone.link.tap_up());
    phone.link.set_bits_per_second(backlog.bits_per_second);
    let unsent = |phone: &Phone| phone.device.store().unsent_attachments().unwrap();
    let needed_len = unsent(phone).len;
    let up_before = phone.link.bytes().0;
    let begun = Instant::now();
    let (mut links, mut records) = (0, Vec::new());
    while unsent(phone).len > 0 {
        assert!(begun.elapsed() < backlog.patience, "not within {:?}: {:?}", backlog.patience, unsent(phone));
        let record = phone.put_event(event_fields(10_000 + links as usize));
        phone.connect();
        phone.request();
        links += 1;
        let link_begun = Instant::now();
        let mut arrived = None;
        while link_begun.elapsed() < backlog.holds && (arrived.is_none() || unsent(phone).len > 0) {
            if arrived.is_none() && phone.event(record).unwrap().delivered {
                arrived = Some(link_begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        records.push(arrived.unwrap_or_else(|| panic!("a record did not arrive within the link {links}")));
        phone.link.cut();
        received.read();
        std::thread::sleep(backlog.gone);
    }
    let took = begun.elapsed();
    phone.link.set_bits_per_second(0);
    phone.link.restore();
    phone.request();
    until("the phone is in sync", Duration::from_secs(30), || {
        (phone.device.store().counts().unwrap().unsent_records == 0).then_some(())
    });
    received.read();
    Outcome {
        took,
        links,
        needed_len,
        received_len: received.len,
        again_len: received.again_len,
        up_len: phone.link.bytes().0 - up_before,
        records,
    }
}

/// The parts of attachments in what reaches the relay.
#[derive(Debug)]
pub struct Received {
    tap: Receiver<(u64, Vec<u8>)>,
    connections: HashMap<u64, Carrier>,
    /// How far each attachment has come.
    reached: HashMap<[u8; 32], u64>,
    /// Bytes of parts.
    pub len: u64,
    /// Those that had come before.
    pub again_len: u64,
}

/// The upward half of a websocket.
#[derive(Debug, Default)]
struct Carrier {
    bytes: Vec<u8>,
    is_open: bool,
}

impl Received {
    /// Counts what comes out of a link's tap.
    pub fn new(tap: Receiver<(u64, Vec<u8>)>) -> Self {
        Self { tap, connections: HashMap::new(), reached: HashMap::new(), len: 0, again_len: 0 }
    }

    /// Counts what has come since the last time.
    pub fn read(&mut self) {
        while let Ok((number, bytes)) = self.tap.try_recv() {
            let carrier = self.connections.entry(number).or_default();
            carrier.bytes.extend(bytes);
            while let Some(frame) = carrier.next_frame() {
                if frame.first() == Some(&0x42) {
                    count(&frame, &mut self.reached, &mut self.len, &mut self.again_len);
                }
            }
        }
    }
}

fn count(frame: &[u8], reached: &mut HashMap<[u8; 32], u64>, sum: &mut u64, again: &mut u64) {
    let hash: [u8; 32] = frame[2..34].try_into().unwrap();
    let (mut offset, mut at) = (0, 34);
    for shift in (0..64).step_by(7) {
        offset |= u64::from(frame[at] & 0x7f) << shift;
        at += 1;
        if frame[at - 1] & 0x80 == 0 {
            break;
        }
    }
    let len = (frame.len() - at) as u64;
    let reached = reached.entry(hash).or_default();
    *sum += len;
    *again += reached.saturating_sub(offset).min(len);
    *reached = (*reached).max(offset + len);
}

impl Carrier {
    /// The payload of the next whole message.
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        if !self.is_open {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
            self.bytes.drain(..end + 4);
            self.is_open = true;
        }
        let (head, len) = match *self.bytes.get(1)? & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.bytes.get(2..10)?.try_into().unwrap())),
            len => (2, u64::from(len)),
        };
        let end = head + 4 + usize::try_from(len).unwrap();
        if self.bytes.len() < end {
            return None;
        }
        let mask: [u8; 4] = self.bytes[head..head + 4].try_into().unwrap();
        let payload =
            self.bytes[head + 4..end].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let payload = payload.collect();
        self.bytes.drain(..end);
        Some(payload)
    }
}
