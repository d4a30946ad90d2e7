//! Who is linked: pure decisions, with no socket, clock or log in sight.

use std::collections::{BTreeMap, BTreeSet};

use barid_core::id::{DeviceId, SpaceId};

/// One link, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

/// A device has joined.
#[derive(Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its link.
    pub link: LinkId,
    /// The link that this one replaces: a phone that lost its network without a word is back, and
    /// its old link only looks alive.
    pub replaces: Option<LinkId>,
}

#[derive(Debug)]
struct Linked {
    device: DeviceId,
    spaces: Vec<SpaceId>,
    reached: BTreeMap<SpaceId, u64>,
}

/// Everybody who is linked. A device has one link: the newest.
#[derive(Debug, Default)]
pub struct Room {
    links: BTreeMap<LinkId, Linked>,
    by_device: BTreeMap<DeviceId, LinkId>,
    by_space: BTreeMap<SpaceId, BTreeSet<LinkId>>,
    next: u64,
}

impl Room {
    /// Lets a device in that has proved itself, with the spaces that it asked for.
    pub fn join(&mut self, device: DeviceId, spaces: Vec<SpaceId>) -> Joined {
        let link = LinkId(self.next);
        self.next += 1;
        for space in &spaces {
            self.by_space.entry(*space).or_default().insert(link);
        }
        self.links.insert(link, Linked { device, spaces, reached: BTreeMap::new() });
        Joined { link, replaces: self.by_device.insert(device, link) }
    }

    /// The links that hear of a space.
    pub fn linked(&self, space: SpaceId) -> impl Iterator<Item = LinkId> {
        self.by_space.get(&space).into_iter().flatten().copied()
    }

    /// Notes how far a link has read the log of a space.
    pub fn reached(&mut self, link: LinkId, space: SpaceId, offset: u64) {
        if let Some(linked) = self.links.get_mut(&link) {
            linked.reached.insert(space, offset);
        }
    }

    /// Lets a link go, and says how far it had read.
    pub fn leave(&mut self, link: LinkId) -> BTreeMap<SpaceId, u64> {
        let Some(linked) = self.links.remove(&link) else { return BTreeMap::new() };
        // The device may have a newer link by now, which stays.
        if self.by_device.get(&linked.device) == Some(&link) {
            self.by_device.remove(&linked.device);
        }
        for space in linked.spaces {
            if let Some(links) = self.by_space.get_mut(&space) {
                links.remove(&link);
                if links.is_empty() {
                    self.by_space.remove(&space);
                }
            }
        }
        linked.reached
    }

    /// Every device with a link, and how far it has read.
    pub fn connected(&self) -> BTreeMap<DeviceId, BTreeMap<SpaceId, u64>> {
        self.by_device
            .iter()
            .filter_map(|(device, link)| Some((*device, self.links.get(link)?.reached.clone())))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_comes_back_replaces_its_old_link_and_outlives_it() {
        let (phone, other) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        let space = SpaceId::from_bytes([3; 32]);
        let mut room = Room::default();
        let old = room.join(phone, vec![space]);
        assert_eq!(old.replaces, None);
        room.join(other, vec![]);
        let new = room.join(phone, vec![space]);
        assert_eq!(new.replaces, Some(old.link));
        room.reached(old.link, space, 5);
        room.reached(new.link, space, 7);
        assert_eq!(room.leave(old.link), BTreeMap::from([(space, 5)]));
        assert_eq!(room.connected()[&phone], BTreeMap::from([(space, 7)]));
        assert_eq!(room.linked(space).collect::<Vec<_>>(), [new.link]);
        room.leave(new.link);
        room.leave(new.link);
        assert_eq!(room.linked(space).count(), 0);
        assert_eq!(room.connected().into_keys().collect::<Vec<_>>(), [other]);
    }
}
