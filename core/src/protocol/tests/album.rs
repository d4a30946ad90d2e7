//! Attachments of a phone and of a relay in memory: they perform what the sessions put out.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer, AttachmentProgress, AttachmentRefusal,
    DeviceInput, DeviceOutput, RelayInput, RelayOutput,
};
use crate::id::{AttachmentHash, SpaceId};

/// Bytes that nothing else has.
pub(super) fn picture(number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

/// What a phone has, wants and knows of attachments.
#[derive(Default)]
pub(super) struct Album {
    pub(super) held: BTreeMap<AttachmentName, Vec<u8>>,
    /// In the order attached.
    pub(super) to_send: Vec<AttachmentOffer>,
    pub(super) wanted: Vec<AttachmentName>,
    pub(super) whole: BTreeSet<AttachmentName>,
    /// With the head of the log that the relay said.
    pub(super) acknowledged: BTreeMap<AttachmentName, u64>,
    pub(super) held_there: Vec<(AttachmentName, u64)>,
    pub(super) refused: Vec<(AttachmentName, AttachmentRefusal)>,
    pub(super) progress: AttachmentProgress,
    /// How often the session asked what there is.
    pub(super) asked: usize,
}

impl Album {
    pub(super) fn attach(&mut self, space: SpaceId, bytes: Vec<u8>, is_thumbnail: bool) -> AttachmentName {
        let name = (space, AttachmentHash::of(&bytes));
        let len = bytes.len() as u64;
        self.to_send.push(AttachmentOffer { space, hash: name.1, len, is_thumbnail });
        self.held.insert(name, bytes);
        self.whole.insert(name);
        name
    }

    /// Performs what is about attachments; gives the rest back.
    pub(super) fn perform(&mut self, output: DeviceOutput) -> Result<Option<DeviceInput>, DeviceOutput> {
        Ok(match output {
            DeviceOutput::AttachmentsWanted { offers, fetches, known } => {
                self.asked += 1;
                let mut unsent = self.to_send.clone();
                unsent.retain(|offer| !known.contains(&(offer.space, offer.hash)));
                unsent.sort_by_key(|offer| !offer.is_thumbnail);
                unsent.truncate(offers);
                let wanted = self.wanted.iter().filter(|name| !known.contains(name)).take(fetches);
                let fetches = wanted.map(|name| AttachmentFetch {
                    space: name.0,
                    hash: name.1,
                    held: self.held.get(name).map_or(0, Vec::len) as u64,
                });
                Some(DeviceInput::Attachments { offers: unsent, fetches: fetches.collect() })
            }
            DeviceOutput::AttachmentPieceWanted { space, hash, offset, len } => {
                let held = self.held.get(&(space, hash));
                let bytes = held.map(|bytes| bytes[offset as usize..].iter().copied().take(len).collect());
                Some(DeviceInput::AttachmentPiece { bytes })
            }
            DeviceOutput::AttachmentCame { space, hash, len, offset, bytes } => {
                let name = (space, hash);
                let held = self.held.entry(name).or_default();
                let came_len = bytes.len() as u64;
                let kept = if !self.wanted.contains(&name) {
                    AttachmentKept::Unwanted
                } else if held.len() as u64 != offset {
                    AttachmentKept::Part { held: held.len() as u64 }
                } else {
                    held.extend(bytes);
                    if (held.len() as u64) < len {
                        AttachmentKept::Part { held: held.len() as u64 }
                    } else if AttachmentHash::of(held) == hash {
                        self.wanted.retain(|wanted| *wanted != name);
                        self.whole.insert(name);
                        AttachmentKept::Whole
                    } else {
                        held.clear();
                        AttachmentKept::Harmed
                    }
                };
                Some(DeviceInput::AttachmentKept { space, hash, kept, len: came_len })
            }
            DeviceOutput::AttachmentHeldThere { space, hash, held } => {
                self.held_there.push(((space, hash), held));
                None
            }
            DeviceOutput::AttachmentAcknowledged { space, hash, head } => {
                self.to_send.retain(|offer| (offer.space, offer.hash) != (space, hash));
                self.acknowledged.insert((space, hash), head);
                None
            }
            DeviceOutput::AttachmentNotTaken { space, hash, refusal } => {
                self.refused.push(((space, hash), refusal));
                None
            }
            DeviceOutput::AttachmentsSought { space, hashes } => {
                for hash in hashes {
                    if let Some(bytes) =
                        self.held.get(&(space, hash)).filter(|_| self.whole.contains(&(space, hash)))
                    {
                        let len = bytes.len() as u64;
                        self.to_send.push(AttachmentOffer { space, hash, len, is_thumbnail: false });
                    }
                }
                Some(DeviceInput::AttachmentsChanged)
            }
            DeviceOutput::AttachmentProgress(progress) => {
                self.progress = progress;
                None
            }
            other => return Err(other),
        })
    }
}

/// What a relay has of attachments.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) blobs: BTreeMap<AttachmentName, (u64, Vec<u8>)>,
    pub(super) refusals: BTreeMap<AttachmentName, AttachmentRefusal>,
    /// Spoils so many more parts that come.
    pub(super) spoils: usize,
    /// Spoils so many more parts that go.
    pub(super) spoils_out: usize,
    /// Bytes that came, and those of them that were there.
    pub(super) came_len: usize,
    pub(super) repeated_len: usize,
    /// In the order in which they became whole.
    pub(super) completed: Vec<AttachmentName>,
}

impl Shelf {
    pub(super) fn is_whole(&self, name: AttachmentName) -> bool {
        self.blobs
            .get(&name)
            .is_some_and(|(len, bytes)| bytes.len() as u64 == *len && AttachmentHash::of(bytes) == name.1)
    }

    pub(super) fn perform(&mut self, output: RelayOutput, head: impl Fn(SpaceId) -> u64) -> RelayInput {
        match output {
            RelayOutput::AttachmentOffered { space, hash, len } => {
                if let Some(refusal) = self.refusals.get(&(space, hash)) {
                    return RelayInput::AttachmentRefused { space, hash, refusal: *refusal };
                }
                let (len, bytes) = self.blobs.entry((space, hash)).or_insert((len, Vec::new()));
                let (held, head) = (bytes.len() as u64, head(space));
                RelayInput::AttachmentHeld { space, hash, held, len: *len, head }
            }
            RelayOutput::AttachmentPiece { space, hash, offset, mut bytes } => {
                if self.spoils > 0 {
                    self.spoils -= 1;
                    bytes[0] ^= 1;
                }
                self.came_len += bytes.len();
                let Some((len, held)) = self.blobs.get_mut(&(space, hash)) else {
                    return RelayInput::AttachmentRefused { space, hash, refusal: AttachmentRefusal::NotNow };
                };
                if held.len() as u64 == offset {
                    held.extend(bytes);
                } else {
                    self.repeated_len += bytes.len();
                }
                if held.len() as u64 >= *len {
                    if AttachmentHash::of(held) != hash {
                        held.clear();
                        let refusal = AttachmentRefusal::Harmed;
                        return RelayInput::AttachmentRefused { space, hash, refusal };
                    }
                    self.completed.push((space, hash));
                }
                let (held, len, head) = (held.len() as u64, *len, head(space));
                RelayInput::AttachmentHeld { space, hash, held, len, head }
            }
            RelayOutput::AttachmentWanted { space, hash, offset, len_max } => {
                let whole = self.blobs.get(&(space, hash)).filter(|_| self.is_whole((space, hash)));
                let part = whole.and_then(|(_, bytes)| bytes.get(offset as usize..));
                match part.filter(|part| !part.is_empty()) {
                    Some(part) => {
                        let mut bytes: Vec<u8> = part.iter().copied().take(len_max).collect();
                        if self.spoils_out > 0 {
                            self.spoils_out -= 1;
                            bytes[0] ^= 1;
                        }
                        let len = self.blobs[&(space, hash)].0;
                        RelayInput::AttachmentBytes { space, hash, len, offset, bytes }
                    }
                    None => RelayInput::AttachmentLacking { space, hash },
                }
            }
            other => unreachable!("performed before: {other:?}"),
        }
    }
}
