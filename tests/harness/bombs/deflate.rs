//! DEFLATE at its utmost: two bits for 258 zeros.

/// Writes bits, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }
}

/// The stream of about so many zeros, by one block with codes of its own: one bit says "258 of the
/// byte before", one bit that it is the one right before.
pub(super) fn zeros(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(1, 1); // the last block
    bits.put(2, 2); // with its own codes
    bits.put(29, 5); // 286 codes for literals and lengths
    bits.put(0, 5); // one code for distances
    bits.put(14, 4); // 18 lengths of the codes in which the lengths are written
    // In the order that the format has: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
    for length in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
        bits.put(length, 3);
    }
    // Codes by length and then symbol: 18 is 0, 1 is 10, 2 is 11; written from the highest bit.
    let (one, two) = ((0b01, 2), (0b11, 2));
    let zeros = |bits: &mut Bits, count: u32| {
        bits.put(0, 1);
        bits.put(count - 11, 7);
    };
    let put = |bits: &mut Bits, (code, count): (u32, u32)| bits.put(code, count);
    put(&mut bits, two); // the literal 0: two bits
    zeros(&mut bits, 138);
    zeros(&mut bits, 117); // no other literal
    put(&mut bits, two); // the end: two bits
    zeros(&mut bits, 28); // no other length
    put(&mut bits, one); // 258: one bit
    put(&mut bits, one); // the distance 1: one bit
    // Codes: 258 is 0, the literal 0 is 10, the end is 11.
    bits.put(0b01, 2);
    for _ in 0..len.saturating_sub(1) / 258 {
        bits.put(0, 2);
    }
    bits.put(0b11, 2);
    bits.put(0, 7);
    bits.bytes
}
