//! Photos: phones attach them to what they hold, and the relay keeps their bytes.
//!
//! What is kept here is what `Blobs` is to keep: whole attachments survive whatever kills the relay, and of
//! one that is still coming any part at its end may be lost. A quarter of the worlds have photos; the
//! others are drawn as they were before there were any.

use std::collections::{BTreeMap, BTreeSet};

use barid_core::attachment::{AttachmentName, AttachmentRefusal, prepare};
use barid_core::id::{AttachmentHash, DeviceId, SpaceId};
use barid_core::protocol::{RelayInput, RelayOutput};
use barid_core::store::{AttachError, AttachmentState, Store, WriteError};

use super::oracle::RecordKey;
use super::random::Random;
use super::relay::RelayEnd;
use super::workload::Done;
use super::{Double, Violation, World, checks};

/// What was photographed, and by whom.
#[derive(Debug)]
pub(crate) struct Photos {
    random: Random,
    taken: Vec<Photo>,
    /// Bytes of every picture and thumbnail.
    lens: BTreeMap<AttachmentName, u64>,
}

#[derive(Debug)]
struct Photo {
    by: DeviceId,
    record: RecordKey,
    /// Itself, and its thumbnail.
    names: [AttachmentName; 2],
}

/// Whether the world of a seed has photos.
pub(super) fn has_photos(seed: u64) -> bool {
    matches!(seed % 8, 1 | 6)
}

impl Photos {
    pub(super) fn new(seed: u64) -> Self {
        let random = Random::new(seed.rotate_left(17) ^ 0x70_68_6f_74_6f);
        Self { random, taken: Vec::new(), lens: BTreeMap::new() }
    }

    /// Something that begins and goes on as a picture does, and that nothing shows.
    fn picture(&mut self, len: i64) -> Vec<u8> {
        let mut scan = vec![0; len as usize];
        self.random.fill(&mut scan);
        scan.retain(|byte| *byte != 0xff);
        let head = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
        let picture = [&head[..], &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0], &scan, &[0xff, 0xd9]].concat();
        prepare(&picture).expect("a picture").bytes
    }
}

/// The relay's attachments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blobs {
    whole: BTreeMap<AttachmentName, Vec<u8>>,
    parts: BTreeMap<AttachmentName, (u64, Vec<u8>)>,
    /// Bytes that came, and of these the ones that were held.
    pub(crate) came_len: u64,
    pub(crate) repeated_len: u64,
}

impl Blobs {
    pub(crate) fn is_whole(&self, name: AttachmentName) -> bool {
        self.whole.get(&name).is_some_and(|bytes| AttachmentHash::of(bytes) == name.1)
    }

    /// The process is gone: of what is still coming anything may be.
    pub(crate) fn kill(&mut self, random: &mut Random) {
        for (_, bytes) in self.parts.values_mut() {
            bytes.truncate(random.below(bytes.len() + 1));
        }
    }

    fn held(&self, name: AttachmentName) -> Option<(u64, u64)> {
        let whole = self.whole.get(&name).map(|bytes| (bytes.len() as u64, bytes.len() as u64));
        whole.or_else(|| self.parts.get(&name).map(|(len, bytes)| (bytes.len() as u64, *len)))
    }

    fn offered(&mut self, name: AttachmentName, len: u64) -> (u64, u64) {
        if self.held(name).is_none_or(|(_, held_len)| held_len != len) && !self.whole.contains_key(&name) {
            self.parts.insert(name, (len, Vec::new()));
        }
        self.held(name).unwrap_or((0, len))
    }

    fn piece(
        &mut self,
        name: AttachmentName,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(u64, u64), AttachmentRefusal> {
        self.came_len += bytes.len() as u64;
        let Some((len, held)) = self.parts.get_mut(&name) else {
            self.repeated_len += bytes.len() as u64;
            return self.held(name).ok_or(AttachmentRefusal::NotNow);
        };
        if held.len() as u64 != offset {
            self.repeated_len += bytes.len() as u64;
        } else if offset + bytes.len() as u64 <= *len {
            held.extend(bytes);
        }
        if held.len() as u64 == *len {
            let (_, bytes) = self.parts.remove(&name).expect("it is there");
            if AttachmentHash::of(&bytes) != name.1 {
                let len = bytes.len() as u64;
                self.parts.insert(name, (len, Vec::new()));
                return Err(AttachmentRefusal::Harmed);
            }
            self.whole.insert(name, bytes);
        }
        Ok(self.held(name).expect("it is there"))
    }

    fn part(&self, (space, hash): AttachmentName, offset: u64, len_max: usize) -> RelayInput {
        let bytes = self.whole.get(&(space, hash));
        let part = bytes.and_then(|bytes| Some((bytes.len(), bytes.get(usize::try_from(offset).ok()?..)?)));
        match part.filter(|(_, part)| !part.is_empty()) {
            None => RelayInput::AttachmentLacking { space, hash },
            Some((len, part)) => {
                let bytes = part[..part.len().min(len_max)].to_vec();
                RelayInput::AttachmentBytes { space, hash, len: len as u64, offset, bytes }
            }
        }
    }
}

impl World {
    pub(super) fn has_photos(&self) -> bool {
        self.photos.is_some()
    }

    /// Somebody attaches a photo to something, if their phone is on.
    pub(super) fn photograph(&mut self) -> Result<(), Violation> {
        let count = self.devices.len();
        let Some(photos) = &mut self.photos else { return Ok(()) };
        if !photos.random.one_in(3) {
            return Ok(());
        }
        let number = photos.random.below(count);
        let device = &self.devices[number];
        let Some(store) = device.store.clone() else { return Ok(()) };
        let space = photos.random.pick(&device.spaces);
        let known: Vec<RecordKey> =
            self.oracle.recorded.keys().filter(|key| key.0 == space).copied().collect();
        if known.is_empty() {
            return Ok(());
        }
        let record = photos.random.pick(&known);
        let len = if photos.random.one_in(8) { 60_000 } else { 4_000 };
        let len = photos.random.between(100, len);
        let pictures = [photos.picture(len), photos.picture(300)];
        device.disk.take_has_failed();
        let attached = store.attach(space, record.1, record.2, &pictures[0], Some(&pictures[1]));
        if self.devices[number].is_dying() {
            self.coverage.count("devices killed while they wrote");
            drop(store);
            self.kill_device(number);
            return Ok(());
        }
        match attached {
            Ok(_) => {}
            // It does not hold the record, or not any more.
            Err(AttachError::Record(
                WriteError::NotFound(_) | WriteError::Erased(_) | WriteError::Superseded(_),
            )) => return Ok(()),
            Err(_) if self.devices[number].disk.take_has_failed() => {
                self.coverage.count("writes of people that a disk failed");
                return Ok(());
            }
            Err(error) => return Err(Violation::new(checks::WRITE, format!("{error:?}"))),
        }
        let done =
            Done { records: BTreeSet::from([record]), names: vec!["photos attached"], ..Done::default() };
        self.check(checks::WRITE, |world| world.remember(number, &store, &done))?;
        let by = self.devices[number].identity.device();
        let names = pictures.each_ref().map(|bytes| (space, AttachmentHash::of(bytes)));
        if let Some(photos) = &mut self.photos {
            let lens = names.into_iter().zip(pictures.iter().map(|bytes| bytes.len() as u64));
            photos.lens.extend(lens);
            photos.taken.push(Photo { by, record, names });
        }
        drop(store);
        self.tell_of_change(number)
    }

    /// Does what the relay does with attachments.
    pub(super) fn shelve(&mut self, output: RelayOutput) -> RelayInput {
        let heads: BTreeMap<SpaceId, u64> = self.relay.heads().into_iter().collect();
        let is_bad = !self.is_calm && self.photos.as_mut().is_some_and(|photos| photos.random.one_in(200));
        let blobs = &mut self.relay.blobs;
        let (name, held) = match output {
            RelayOutput::AttachmentOffered { space, hash, .. }
            | RelayOutput::AttachmentPiece { space, hash, .. }
                if is_bad =>
            {
                self.coverage.count("photos that the relay could not keep just then");
                let refusal = AttachmentRefusal::NotNow;
                return RelayInput::AttachmentRefused { space, hash, refusal };
            }
            RelayOutput::AttachmentOffered { space, hash, len } => {
                ((space, hash), Ok(blobs.offered((space, hash), len)))
            }
            RelayOutput::AttachmentPiece { space, hash, offset, bytes } => {
                ((space, hash), blobs.piece((space, hash), offset, &bytes))
            }
            RelayOutput::AttachmentWanted { space, hash, offset, len_max } => {
                return blobs.part((space, hash), offset, len_max);
            }
            other => unreachable!("{other:?} is about no attachment"),
        };
        let (space, hash) = name;
        let head = heads.get(&space).copied().unwrap_or(0);
        match held {
            Err(refusal) => {
                self.coverage.count("photos harmed on their way");
                RelayInput::AttachmentRefused { space, hash, refusal }
            }
            Ok((held, len)) => {
                let is_early = self.double == Double::PhotoAckedEarly && held > 0;
                RelayInput::AttachmentHeld { space, hash, held: if is_early { len } else { held }, len, head }
            }
        }
    }

    /// Tells a link that was just opened what the relay lacks of what it should have.
    pub(super) fn seek(&self, end: &mut RelayEnd) {
        let Some(photos) = &self.photos else { return };
        for space in end.spaces.clone() {
            let lacking = photos.lens.keys().filter(|name| name.0 == space);
            let lacking = lacking.filter(|name| !self.relay.blobs.is_whole(**name));
            let hashes: Vec<AttachmentHash> = lacking.map(|name| name.1).collect();
            end.session.handle(RelayInput::AttachmentsSought { space, hashes }, self.relay.clock.now());
        }
    }

    /// A frame says that the relay holds so much of an attachment: all of it only when it does.
    pub(super) fn watch_held(&self, link: u64, frame: &[u8]) -> Result<(), Violation> {
        let said = || {
            let (space, rest) = frame.get(1..)?.split_first()?;
            let (hash, rest) = rest.split_at_checked(32)?;
            let device = &self.devices[self.links.get(&link)?.device];
            let space = device.spaces.get(usize::from(*space))?;
            // How much, and then nothing if that is not all.
            let held_len = rest.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
            let is_all = rest.get(held_len..)? != [0];
            Some(((*space, AttachmentHash::from_slice(hash)?), is_all))
        };
        match said() {
            Some((name, true)) if !self.relay.blobs.is_whole(name) => {
                Err(Violation::new(checks::PHOTO_WHOLE, format!("{:?} is not there whole", name.1)))
            }
            _ => Ok(()),
        }
    }

    /// Why the photos of a phone are not at rest.
    pub(super) fn unrest_of_photos(&self, store: &Store) -> Option<String> {
        self.photos.as_ref()?;
        let unsent = store.unsent_attachments().ok()?;
        if unsent.len > 0 {
            return Some(format!("photos are unsent: {unsent:?}"));
        }
        let (_, wanted) = store.moving_attachments(0, usize::MAX, &BTreeSet::new()).ok()?;
        let is_there = |name| self.relay.blobs.is_whole(name);
        let waits = wanted.iter().any(|fetch| is_there((fetch.space, fetch.hash)));
        waits.then(|| "a thumbnail is not here yet".to_owned())
    }

    /// What was attached on a phone that is still there is whole at the relay, and every phone that is
    /// linked says so of what it holds.
    pub(super) fn photos_are_at_the_relay(&self) -> Result<(), Violation> {
        let Some(photos) = &self.photos else { return Ok(()) };
        let lost = |found: String| Err(Violation::new(checks::PHOTOS_THERE, found));
        let is_whole = |name: AttachmentName| self.relay.blobs.is_whole(name);
        for (number, device) in self.devices.iter().enumerate().filter(|(_, device)| !device.is_lost) {
            let key = device.identity.device();
            let Some(store) = &device.store else { continue };
            if device.is_revoked {
                continue;
            }
            let is_promised = !self.oracle.forgetful.contains(&key);
            for photo in photos.taken.iter().filter(|photo| !self.oracle.erased.contains(&photo.record)) {
                if photo.by == key && is_promised && !photo.names.iter().all(|name| is_whole(*name)) {
                    return lost(format!("a photo of device {number} is not at the relay: {photo:?}"));
                }
                let (space, kind, id) = photo.record;
                if !device.spaces.contains(&space) {
                    continue;
                }
                let held = store.attachments(space, kind, id);
                let held =
                    held.map_err(|error| Violation::new(checks::PHOTOS_THERE, format!("{error:?}")))?;
                for attachment in held {
                    let states = [Some((attachment.hash, attachment.state)), attachment.thumbnail];
                    for (hash, state) in states.into_iter().flatten() {
                        let is_sound = match state {
                            AttachmentState::Local { .. } => false,
                            AttachmentState::Delivered => is_whole((space, hash)),
                            AttachmentState::Remote | AttachmentState::Fetching { .. } => true,
                        };
                        if !is_sound {
                            return lost(format!("device {number} has {hash:?} as {state:?}"));
                        }
                        if state == AttachmentState::Delivered {
                            let bytes = store.attachment_bytes(space, hash).ok().flatten();
                            if bytes.map(|bytes| AttachmentHash::of(&bytes)) != Some(hash) {
                                return lost(format!("device {number} does not read {hash:?} as it was"));
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
