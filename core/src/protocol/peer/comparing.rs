//! What the two ends hold of the spaces that both have, and so what each has to give.

use super::gift::Gift;
use super::message::{Heights, PeerMessage, Tag, chain_key};
use super::space::{CommonSpace, Mine, clipped, digest, lacking, parts};
use super::{PeerOutput, PeerRole, PeerSession, Phase};
use crate::id::SpaceId;
use crate::position::Height;
use crate::protocol::close::CloseCode;

/// Only who has a space recognises its tag, and only of this session.
const SPACE_CONTEXT: &str = "barid 2026 peer space";

impl PeerSession {
    fn tags(&self) -> Vec<Tag> {
        self.own_spaces.iter().map(|space| tag(&self.salt, *space)).collect()
    }

    pub(super) fn say_spaces(&mut self) {
        self.send(&PeerMessage::Spaces(self.tags()));
    }

    /// Finds the spaces that both have. Places are those of the joining end.
    pub(super) fn compare(&mut self, theirs: &[Tag]) -> Result<(), CloseCode> {
        let own = self.tags();
        let mut sorted = theirs.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(CloseCode::Malformed);
        }
        let is_joining = matches!(self.role, PeerRole::Joining(_));
        let (places, others) = if is_joining { (&own[..], theirs) } else { (theirs, &own[..]) };
        for (place, tag) in places.iter().enumerate().filter(|(_, tag)| others.contains(tag)) {
            let at = own.iter().position(|known| known == tag).expect("a common space is one of our own");
            self.spaces.push(CommonSpace::new(self.own_spaces[at], place as u8));
        }
        if !is_joining {
            self.say_spaces();
        }
        self.report.spaces = self.spaces.len() as u32;
        self.phase = Phase::Control;
        self.want_standings(true);
        Ok(())
    }

    pub(super) fn want_standings(&mut self, control_only: bool) {
        let peer = self.report.peer.expect("the other device is known after the handshake");
        for common in &self.spaces {
            self.outputs.push_back(PeerOutput::WantStanding { space: common.id, peer, control_only });
        }
    }

    /// This end's store has said where it stands in a space.
    pub(super) fn stand(&mut self, space: SpaceId, is_member: bool, mut heights: Vec<Height>) {
        let Some(at) = self.spaces.iter().position(|common| common.id == space) else { return };
        heights.sort_unstable_by_key(chain_key);
        // Of what does not fit nothing is said, and so it may come though it is held.
        heights.truncate(self.chains_left.0);
        self.chains_left.0 -= heights.len();
        let place = self.spaces[at].place;
        if matches!(self.phase, Phase::Control) {
            self.say_heights(place, true, &heights);
            self.spaces[at].mine = Some(Mine { gives: true, heights });
        } else if matches!(self.phase, Phase::Data) {
            self.report.control_only += u32::from(!is_member);
            let digest = is_member.then(|| digest(&heights));
            self.spaces[at].mine = Some(Mine { gives: is_member, heights });
            self.send(&PeerMessage::Opened { space: place, digest });
        }
    }

    fn say_heights(&mut self, space: u8, is_control: bool, heights: &[Height]) {
        for (heights, goes_on) in parts(heights) {
            self.send(&PeerMessage::Heights(Heights { space, is_control, goes_on, heights }));
        }
    }

    /// Both ends have said whether they give a space's data.
    pub(super) fn settle(&mut self, place: u8) -> Result<(), CloseCode> {
        let common = self.common(place)?;
        let (Some(mine), Some(theirs)) = (&common.mine, common.theirs) else {
            return Err(CloseCode::Unexpected);
        };
        let is_equal = mine.gives && theirs.digest == Some(digest(&mine.heights));
        if is_equal || !(mine.gives || theirs.digest.is_some()) {
            common.is_settled = true;
            return Ok(());
        }
        common.wants_heights = true;
        // Who gives nothing answers what the other says, and says nothing by itself.
        common.is_settled = !mine.gives;
        if mine.gives {
            let heights = mine.heights.clone();
            self.say_heights(place, false, &heights);
        }
        Ok(())
    }

    pub(super) fn heights(&mut self, heights: Heights) -> Result<(), CloseCode> {
        let Heights { space, is_control, goes_on, heights } = heights;
        if is_control != matches!(self.phase, Phase::Control) {
            return Err(CloseCode::Unexpected);
        }
        let common = self.common(space)?;
        if !common.wants_heights {
            return Err(CloseCode::Unexpected);
        }
        let ascends = match (common.coming.last(), heights.first()) {
            (Some(last), Some(first)) => chain_key(last) < chain_key(first),
            _ => true,
        };
        if !ascends || (goes_on && heights.is_empty()) {
            return Err(CloseCode::Malformed);
        }
        let count = heights.len();
        common.coming.extend(heights);
        self.chains_left.1 = self.chains_left.1.checked_sub(count).ok_or(CloseCode::TooLarge)?;
        if !goes_on { self.compare_heights(space) } else { Ok(()) }
    }

    /// What the other end holds of a space is known.
    fn compare_heights(&mut self, place: u8) -> Result<(), CloseCode> {
        let common = self.common(place)?;
        common.wants_heights = false;
        let theirs = std::mem::take(&mut common.coming);
        let mine = common.mine.take().ok_or(CloseCode::Unexpected)?;
        common.is_settled = true;
        let answer = (!mine.gives).then(|| clipped(&mine.heights, &theirs));
        if mine.gives {
            common.gift = Some(Gift::above(&theirs));
            self.report.to_give += lacking(&mine.heights, &theirs);
        }
        self.report.to_take += lacking(&theirs, answer.as_ref().unwrap_or(&mine.heights));
        if let Some(answer) = answer {
            self.say_heights(place, false, &answer);
        }
        Ok(())
    }

    pub(super) fn common(&mut self, place: u8) -> Result<&mut CommonSpace, CloseCode> {
        self.spaces.iter_mut().find(|common| common.place == place).ok_or(CloseCode::Unexpected)
    }
}

/// How a space is called on one link, by whoever knows it.
pub(super) fn tag(salt: &[u8; 32], space: SpaceId) -> Tag {
    let hash = blake3::derive_key(SPACE_CONTEXT, &[&salt[..], space.as_bytes()].concat());
    let mut tag = [0; 16];
    tag.copy_from_slice(&hash[..16]);
    tag
}
