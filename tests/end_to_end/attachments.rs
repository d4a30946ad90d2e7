//! What devices may do with attachments, asked of a real relay by frames made by hand: who is no member
//! learns nothing, and no bytes of a device harm anything but its own.

use std::fs;
use std::path::PathBuf;

use barid_core::id::{AttachmentHash, SpaceId};
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::raw_link::RawLink;
use harness::relay::Relay;
use harness::wait::until;

const OFFER: u8 = 0x40;
const HOLDS: u8 = 0x41;
const PIECE: u8 = 0x42;
const NOT_WANTED: u8 = 0x43;
const FETCH: u8 = 0x44;
const BYTES: u8 = 0x45;
const LACKS: u8 = 0x47;

const NOT_PERMITTED: u8 = 2;
const FULL: u8 = 3;
const HARMED: u8 = 4;
const NOT_NOW: u8 = 5;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// What the relay says of an attachment.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Holds(u64),
    NotWanted(u8),
    /// The whole's length, the offset, the bytes.
    Bytes(u64, u64, Vec<u8>),
    Lacks,
    /// The link is over.
    End,
}

/// A link of a device, and the places of its spaces on it.
struct Linked {
    link: RawLink,
    spaces: Vec<SpaceId>,
}

impl Linked {
    fn open(relay: &Relay, phone: &Phone, files: &PhoneFiles) -> Self {
        let mut linked = Self::before(relay, phone);
        linked.link.handshake(&phone.device, files);
        linked
    }

    /// The same where the relay does not let the device into every space.
    fn open_alone(relay: &Relay, phone: &Phone, files: &PhoneFiles) -> Self {
        let mut linked = Self::before(relay, phone);
        linked.link.handshake_alone(&phone.device, files);
        linked
    }

    fn before(relay: &Relay, phone: &Phone) -> Self {
        let positions = phone.device.store().positions().unwrap();
        let spaces = positions.iter().map(|position| position.space).collect();
        Self { link: RawLink::open(relay.port()), spaces }
    }

    fn place(&self, space: SpaceId) -> u8 {
        self.spaces.iter().position(|held| *held == space).unwrap() as u8
    }

    fn say(&mut self, kind: u8, place: u8, hash: AttachmentHash, rest: &[&[u8]]) {
        self.link.send(&[&[kind, place][..], hash.as_bytes(), &rest.concat()].concat());
    }

    fn word(&mut self) -> Word {
        let Some(frame) = self.link.attachment_word() else { return Word::End };
        let mut rest = &frame[34..];
        match frame[0] {
            HOLDS => Word::Holds(read_varint(&mut rest)),
            NOT_WANTED => Word::NotWanted(rest[0]),
            BYTES => Word::Bytes(read_varint(&mut rest), read_varint(&mut rest), rest.to_vec()),
            LACKS => Word::Lacks,
            _ => self.word(),
        }
    }

    fn offer(&mut self, place: u8, hash: AttachmentHash, len: u64) -> Word {
        self.say(OFFER, place, hash, &[&varint(len)]);
        self.word()
    }

    fn piece(&mut self, place: u8, hash: AttachmentHash, offset: u64, bytes: &[u8]) -> Word {
        self.say(PIECE, place, hash, &[&varint(offset), bytes]);
        self.word()
    }

    fn fetch(&mut self, place: u8, hash: AttachmentHash, offset: u64) -> Word {
        self.say(FETCH, place, hash, &[&varint(offset)]);
        self.word()
    }

    /// Sends all of an attachment, from where the relay says.
    fn give(&mut self, place: u8, bytes: &[u8]) -> Word {
        let hash = AttachmentHash::of(bytes);
        let mut word = self.offer(place, hash, bytes.len() as u64);
        while let Word::Holds(held) = word
            && held < bytes.len() as u64
        {
            let piece = bytes[held as usize..].chunks(8 * 1024).next().unwrap();
            word = self.piece(place, hash, held, piece);
        }
        word
    }
}

fn photo(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|place| (place as u8).wrapping_mul(seed).wrapping_add(seed)).collect()
}

fn enrolled(
    relay: &Relay,
    folder: &tempfile::TempDir,
    name: &str,
    organisation: &str,
) -> (Phone, PhoneFiles) {
    let mut phone = Phone::enrol_with(relay, folder.path(), name, organisation);
    phone.sync_once();
    (phone, PhoneFiles::new(folder.path(), name))
}

/// Where the relay keeps an attachment when it is whole.
fn file(relay: &Relay, space: SpaceId, hash: AttachmentHash) -> PathBuf {
    let hash = hash.to_string();
    relay.folder().join("attachments").join(space.to_string()).join(&hash[..2]).join(hash)
}

#[test]
fn a_stranger_of_another_space_learns_neither_that_a_photo_exists_nor_a_byte_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    relay.add_organisation("Red Crescent", "الهلال الأحمر");
    let (owner, owner_files) = enrolled(&relay, &folder, "owner", "Border Guard");
    let (stranger, stranger_files) = enrolled(&relay, &folder, "stranger", "Red Crescent");
    let of = |phone: &Phone| phone.device.store().spaces().unwrap();
    let private = of(&owner).into_iter().find(|space| !of(&stranger).contains(space)).unwrap();
    let joint = of(&owner).into_iter().find(|space| of(&stranger).contains(space)).unwrap();

    let (held, elsewhere) = (photo(3, 50_000), photo(5, 50_000));
    let (hash, unknown) = (AttachmentHash::of(&held), AttachmentHash::of(&elsewhere));
    let mut link = Linked::open(&relay, &owner, &owner_files);
    let place = link.place(private);
    assert_eq!(link.give(place, &held), Word::Holds(50_000));
    assert!(matches!(link.fetch(place, hash, 0), Word::Bytes(50_000, 0, _)));

    // In the space that both share, one that is held elsewhere is like one that nobody has.
    let mut link = Linked::open(&relay, &stranger, &stranger_files);
    let place = link.place(joint);
    for hash in [hash, unknown] {
        assert_eq!(link.fetch(place, hash, 0), Word::Lacks);
        assert_eq!(link.offer(place, hash, 50_000), Word::Holds(0));
    }
    // It is kept apart: what the stranger sends there as the same hash is compared with it anew.
    assert_eq!(link.piece(place, hash, 0, &held[..100]), Word::Holds(100));
    assert!(!file(&relay, joint, hash).exists() && file(&relay, private, hash).exists());

    // Who names the other space itself is told the same of both: nothing, and shown the door.
    stranger.device.store().join_space(private).unwrap();
    for hash in [hash, unknown] {
        for fetches in [true, false] {
            let mut link = Linked::open_alone(&relay, &stranger, &stranger_files);
            let place = link.place(private);
            let word = if fetches { link.fetch(place, hash, 0) } else { link.offer(place, hash, 50_000) };
            assert_eq!(word, Word::End);
        }
    }
}

#[test]
fn whatever_a_hostile_member_sends_harms_nothing_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let (good, good_files) = enrolled(&relay, &folder, "good", "Border Guard");
    let (bad, bad_files) = enrolled(&relay, &folder, "bad", "Border Guard");
    let space = good.space;
    let bytes = photo(7, 60_000);
    let hash = AttachmentHash::of(&bytes);
    let mut honest = Linked::open(&relay, &good, &good_files);
    let mut hostile = Linked::open(&relay, &bad, &bad_files);
    let (ours, theirs) = (honest.place(space), hostile.place(space));
    assert_eq!(honest.offer(ours, hash, 60_000), Word::Holds(0));
    assert_eq!(honest.piece(ours, hash, 0, &bytes[..8000]), Word::Holds(8000));

    // Pieces without an offer, lengths that no attachment has.
    assert_eq!(hostile.piece(theirs, hash, 0, &bytes[..10]), Word::NotWanted(NOT_NOW));
    for len in [0, u64::MAX, 26 * 1024 * 1024] {
        assert_eq!(hostile.offer(theirs, hash, len), Word::NotWanted(1), "{len}");
    }
    // The same attachment, with other bytes.
    assert_eq!(hostile.offer(theirs, hash, 60_000), Word::Holds(0));
    for (offset, expected) in [(1, 0), (u64::MAX, 0), (59_990, 0), (0, 16_000), (0, 16_000), (15_999, 16_000)]
    {
        assert_eq!(hostile.piece(theirs, hash, offset, &[9; 16_000]), Word::Holds(expected), "{offset}");
    }
    // Beyond the length that it announced itself.
    for held in [32_000, 48_000] {
        assert_eq!(hostile.piece(theirs, hash, held - 16_000, &[9; 16_000]), Word::Holds(held));
    }
    assert_eq!(hostile.piece(theirs, hash, 48_000, &[9; 16_000]), Word::Holds(48_000));
    assert_eq!(hostile.piece(theirs, hash, 48_000, &[9; 12_000]), Word::NotWanted(HARMED));
    // A length that is a lie, with the right bytes.
    assert_eq!(hostile.offer(theirs, hash, 8_000), Word::Holds(0));
    assert_eq!(hostile.piece(theirs, hash, 0, &bytes[..8_000]), Word::NotWanted(HARMED));
    assert_eq!(hostile.fetch(theirs, hash, 0), Word::Lacks, "nothing is shown before it is whole");
    // Nothing, and a frame that is cut off: the end of this link, and of no other.
    hostile.say(PIECE, theirs, hash, &[]);
    assert_eq!(hostile.word(), Word::End);
    let mut hostile = Linked::open(&relay, &bad, &bad_files);
    hostile.say(OFFER, 63, hash, &[&varint(1)]);
    assert_eq!(hostile.word(), Word::End);

    for offset in (8_000..60_000).step_by(4_000) {
        let end = offset + 4_000;
        let word = honest.piece(ours, hash, offset as u64, &bytes[offset..end]);
        assert_eq!(word, Word::Holds(end as u64));
    }
    let mut hostile = Linked::open(&relay, &bad, &bad_files);
    let Word::Bytes(60_000, 59_000, piece) = hostile.fetch(theirs, hash, 59_000) else {
        panic!("it is whole")
    };
    assert_eq!(piece[..], bytes[59_000..][..piece.len()]);
    assert_eq!(hostile.fetch(theirs, hash, 60_000), Word::Lacks, "there is nothing behind its end");
    assert_eq!(hostile.offer(theirs, hash, 1), Word::Holds(60_000), "it is held, whatever is said of it");
    assert_eq!(fs::read(file(&relay, space, hash)).unwrap(), bytes);
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean && printed.contains("1 attachments"), "{printed}");
}

#[test]
fn a_device_that_is_revoked_in_the_middle_sends_no_more_and_reads_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let (phone, files) = enrolled(&relay, &folder, "phone", "Border Guard");
    let (whole, begun) = (photo(3, 20_000), photo(5, 20_000));
    let mut link = Linked::open(&relay, &phone, &files);
    let place = link.place(phone.space);
    assert_eq!(link.give(place, &whole), Word::Holds(20_000));
    assert_eq!(link.offer(place, AttachmentHash::of(&begun), 20_000), Word::Holds(0));
    assert_eq!(link.piece(place, AttachmentHash::of(&begun), 0, &begun[..5_000]), Word::Holds(5_000));
    relay.ask(&["device", "revoke", "phone", "--reason", "seized"]);
    until("the link is cut", PATIENCE, || {
        let word = link.piece(place, AttachmentHash::of(&begun), 5_000, &begun[5_000..10_000]);
        (word == Word::End).then_some(())
    });
    let mut link = Linked::open(&relay, &phone, &files);
    assert_eq!(link.offer(place, AttachmentHash::of(&begun), 20_000), Word::NotWanted(NOT_PERMITTED));
    assert_eq!(link.fetch(place, AttachmentHash::of(&whole), 0), Word::Lacks);
}

#[test]
fn a_relay_without_room_for_photos_says_so_and_takes_records_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::made(folder.path());
    relay.set_flags(&["--attachments-device-mebibytes-max=1".to_owned()]);
    relay.start();
    let (mut phone, files) = enrolled(&relay, &folder, "phone", "Border Guard");
    let mut link = Linked::open(&relay, &phone, &files);
    let place = link.place(phone.space);
    assert_eq!(link.give(place, &photo(3, 700_000)), Word::Holds(700_000));
    let second = photo(5, 700_000);
    assert_eq!(link.give(place, &second), Word::NotWanted(FULL));
    assert_eq!(link.give(place, &photo(7, 200_000)), Word::Holds(200_000), "what fits is taken");
    drop(link);
    phone.put_event(event_fields(1));
    phone.sync_once();

    // There is no room on the disk but for records.
    relay.stop();
    relay.set_flags(&["--attachments-spare-mebibytes-min=1000000000".to_owned()]);
    relay.start();
    let mut link = Linked::open(&relay, &phone, &files);
    assert_eq!(link.give(place, &second), Word::NotWanted(FULL));
    assert!(matches!(link.fetch(place, AttachmentHash::of(&photo(3, 700_000)), 0), Word::Bytes(..)));
    drop(link);
    phone.put_event(event_fields(2));
    phone.sync_once();
    assert_eq!(relay.stored_changes(), 2);
}

#[test]
fn a_relay_killed_in_the_middle_of_a_photo_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let (phone, files) = enrolled(&relay, &folder, "phone", "Border Guard");
    let bytes = photo(11, 100_000);
    let hash = AttachmentHash::of(&bytes);
    let mut held = 0;
    while held < bytes.len() as u64 {
        let mut link = Linked::open(&relay, &phone, &files);
        let place = link.place(phone.space);
        let Word::Holds(from) = link.offer(place, hash, 100_000) else { panic!("it is wanted") };
        assert_eq!(from, held, "nothing that was taken is sent again");
        for _ in 0..3 {
            let end = (held + 8_000).min(100_000);
            assert_eq!(link.piece(place, hash, held, &bytes[held as usize..end as usize]), Word::Holds(end));
            held = end;
            if held == 100_000 {
                break;
            }
        }
        relay.kill();
        relay.start();
    }
    assert_eq!(fs::read(file(&relay, phone.space, hash)).unwrap(), bytes);
    let mut link = Linked::open(&relay, &phone, &files);
    let place = link.place(phone.space);
    assert_eq!(link.offer(place, hash, 100_000), Word::Holds(100_000));
}
