//! How a picture is to be turned: the one thing of its EXIF that is read, and the one that is written.

/// The tag of the orientation, and the type of its value: a short.
const ORIENTATION: [u8; 4] = [0x01, 0x12, 0x00, 0x03];

/// The orientation that a TIFF block says, if it is one of the seven that turn or mirror.
pub(super) fn orientation(tiff: &[u8]) -> Option<u8> {
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let first: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    let first = if is_little { u32::from_le_bytes(first) } else { u32::from_be_bytes(first) };
    let first = usize::try_from(first).ok()?;
    let count = usize::from(u16_at(first)?);
    let entry = |number: usize| first.checked_add(2)?.checked_add(number * 12);
    let is_it = |at: &usize| u16_at(*at) == Some(0x0112) && u16_at(*at + 2) == Some(3);
    let at = (0..count).map_while(entry).take_while(|at| *at < tiff.len()).find(is_it)?;
    u8::try_from(u16_at(at + 8)?).ok().filter(|turn| (2..=8).contains(turn))
}

/// A TIFF block that says an orientation and nothing else.
pub(super) fn tiff(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01".to_vec();
    tiff.extend(ORIENTATION);
    tiff.extend([0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend([0; 4]);
    tiff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_reads_back_in_both_byte_orders_and_from_no_damaged_block() {
        for turn in 2..=8 {
            assert_eq!(orientation(&tiff(turn)), Some(turn));
            let little = [
                &b"II*\0\x08\0\0\0\x02\0"[..],
                &[0x0f, 0x01, 2, 0, 4, 0, 0, 0, b'a', b'b', b'c', 0],
                &[0x12, 0x01, 3, 0, 1, 0, 0, 0, turn, 0, 0, 0],
                &[0; 4],
            ];
            assert_eq!(orientation(&little.concat()), Some(turn));
        }
        assert_eq!(orientation(&tiff(1)), None, "upright");
        assert_eq!(orientation(&tiff(9)), None);
        for len in 0..tiff(6).len() - 6 {
            assert_eq!(orientation(&tiff(6)[..len]), None, "{len}");
        }
        assert_eq!(orientation(b"MM\0*\xff\xff\xff\xff\xff\xff"), None);
    }
}
