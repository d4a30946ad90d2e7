//! JPEG: which segments are let through.

use super::{Walk, exif};

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;

/// What follows the name of a JFIF segment: version, unit and density, each of them common to millions.
const JFIF_LEN: usize = 14;

/// The picture without all else; none if it is malformed.
pub(super) fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk(bytes);
    let mut out = Vec::with_capacity(bytes.len());
    (walk.array()? == [0xff, SOI]).then_some(())?;
    out.extend([0xff, SOI]);
    let (mut has_jfif, mut turn, mut has_picture) = (false, None, false);
    loop {
        let marker = marker(&mut walk)?;
        if marker == EOI {
            // Whatever follows is another picture, or something worse.
            out.extend([0xff, EOI]);
            break;
        }
        let len = usize::from(u16::from_be_bytes(walk.array()?)).checked_sub(2)?;
        let payload = walk.take(len)?;
        match marker {
            APP0 if payload.starts_with(b"JFIF\0") && payload.len() >= JFIF_LEN && !has_jfif => {
                has_jfif = true;
                // Its own thumbnail is left out.
                let mut jfif: Vec<u8> = payload[..JFIF_LEN - 2].to_vec();
                jfif.extend([0, 0]);
                segment(&mut out, APP0, &jfif)?;
            }
            APP1 if turn.is_none() => {
                turn = payload.strip_prefix(b"Exif\0\0").and_then(exif::orientation);
                if let Some(turn) = turn {
                    segment(&mut out, APP1, &[b"Exif\0\0", exif::tiff(turn).as_slice()].concat())?;
                }
            }
            _ if is_picture(marker, payload) => {
                has_picture = true;
                segment(&mut out, marker, payload)?;
                if marker == SOS {
                    copy_scan(&mut walk, &mut out);
                }
            }
            _ => {}
        }
    }
    has_picture.then_some(out)
}

/// The next marker; fill bytes may stand before it.
fn marker(walk: &mut Walk<'_>) -> Option<u8> {
    (walk.u8()? == 0xff).then_some(())?;
    loop {
        match walk.u8()? {
            0xff => {}
            // No segment begins with these.
            0x00 | 0x01 | 0xd0..=SOI => return None,
            marker => return Some(marker),
        }
    }
}

/// Tables, frames and scans; colours, and how they are encoded.
fn is_picture(marker: u8, payload: &[u8]) -> bool {
    match marker {
        0xc0..=0xcf => marker != 0xc8,
        SOS | 0xdb..=0xdd => true,
        0xe2 => payload.starts_with(b"ICC_PROFILE\0"),
        0xee => payload.starts_with(b"Adobe"),
        _ => false,
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, payload: &[u8]) -> Option<()> {
    out.extend([0xff, marker]);
    out.extend(u16::try_from(payload.len() + 2).ok()?.to_be_bytes());
    out.extend(payload);
    Some(())
}

/// What is compressed goes on up to a marker that is neither stuffed nor a restart.
fn copy_scan(walk: &mut Walk<'_>, out: &mut Vec<u8>) {
    let bytes = walk.0;
    let is_end = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    let len = bytes.windows(2).position(is_end).unwrap_or(bytes.len());
    // Fill bytes before the marker belong to nothing.
    let kept = bytes[..len].iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    out.extend(&bytes[..kept]);
    walk.0 = &bytes[len..];
}
