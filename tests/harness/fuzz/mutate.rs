//! How one input becomes another.

use super::packets;
use crate::world::random::Random;

/// Numbers at which bounds lie.
const NUMBERS: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3ff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];

/// Changes an input in one to five places. `others` are inputs to take parts from.
pub(super) fn mutate(
    input: &mut Vec<u8>,
    others: &[Vec<u8>],
    words: &[Vec<u8>],
    is_packets: bool,
    random: &mut Random,
) {
    let times = 1 + random.below(5).min(random.below(5));
    for _ in 0..times {
        if is_packets && !random.one_in(4) {
            mutate_packets(input, others, words, random);
        } else {
            mutate_bytes(input, others, words, random);
        }
    }
}

fn mutate_packets(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let mut list: Vec<Vec<u8>> = packets::split(input).into_iter().map(<[u8]>::to_vec).collect();
    if list.is_empty() {
        return mutate_bytes(input, others, words, random);
    }
    let at = random.below(list.len());
    match random.below(8) {
        0 => drop(list.remove(at)),
        1 => list.insert(at, list[random.below(list.len())].clone()),
        2 => {
            let other = random.below(list.len());
            list.swap(at, other);
        }
        3 => {
            let other = packets::split(&others[random.below(others.len())]);
            if !other.is_empty() {
                list.insert(at, other[random.below(other.len())].to_vec());
            }
        }
        4 => list.truncate(at),
        // What is in the packets is where most of the meaning is.
        _ => mutate_bytes(&mut list[at], others, words, random),
    }
    *input = packets::join(list);
}

fn mutate_bytes(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let len = input.len();
    let at = random.below(len + 1);
    // A place that there is, or none.
    let place = if len == 0 { None } else { Some(random.below(len)) };
    let some = |random: &mut Random| 1 + random.below(8).min(random.below(64));
    match (random.below(16), place) {
        (0 | 1, Some(place)) => input[place] ^= 1 << random.below(8),
        (2, Some(place)) => input[place] = random.next() as u8,
        (3, Some(place)) => input[place] = random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        (4, Some(place)) => input[place] = input[place].wrapping_add(random.pick(&[1, 2, 0xff, 0xfe, 16])),
        (5, _) => {
            let count = some(random);
            let new: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
            input.splice(at..at, new);
        }
        (6, Some(place)) => {
            let end = len.min(place + some(random));
            input.drain(place..end);
        }
        (7, Some(place)) => {
            // The same again, elsewhere.
            let end = len.min(place + some(random) * 4);
            let part = input[place..end].to_vec();
            input.splice(at..at, part);
        }
        (8, Some(place)) => {
            let end = len.min(place + some(random) * 4);
            let part = input[place..end].to_vec();
            let to = random.below(len);
            let count = part.len().min(len - to);
            input[to..to + count].copy_from_slice(&part[..count]);
        }
        (9 | 10, _) if !words.is_empty() => {
            let word = &words[random.below(words.len())];
            let end = if random.one_in(2) { at } else { len.min(at + word.len()) };
            input.splice(at..end, word.iter().copied());
        }
        (11, Some(_)) => {
            let other = &others[random.below(others.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend(&other[from..]);
        }
        (12, Some(place)) => {
            // A whole number in one of the widths and orders that formats use.
            let number = random.pick(&NUMBERS).wrapping_add_signed(random.between(-1, 1)).to_be_bytes();
            let width = random.pick(&[2, 4, 8]).min(len - place);
            input[place..place + width].copy_from_slice(&number[8 - width..]);
        }
        (13, Some(place)) => {
            let mut number = random.pick(&NUMBERS).wrapping_add_signed(random.between(-1, 1));
            let mut leb = Vec::new();
            while number >= 0x80 {
                leb.push(number as u8 | 0x80);
                number >>= 7;
            }
            leb.push(number as u8);
            input.splice(place..place + 1, leb);
        }
        (14, Some(place)) => input.truncate(place),
        (15, Some(place)) => {
            let count = 1 << random.below(11);
            let byte = input[place];
            input.splice(place..place, std::iter::repeat_n(byte, count));
        }
        _ => input.push(random.next() as u8),
    }
}
