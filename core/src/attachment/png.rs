//! PNG: which chunks are let through.

use super::{Walk, exif};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The picture and its colours. What animates it is not among them: the first frame is a picture too.
const PICTURE: [&[u8; 4]; 10] =
    [b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT"];

/// The picture without all else; none if it is malformed.
pub(super) fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk(bytes);
    let mut out = Vec::with_capacity(bytes.len());
    (walk.array()? == SIGNATURE).then_some(())?;
    out.extend(SIGNATURE);
    let (mut has_header, mut has_picture) = (false, false);
    let mut turn = turn(bytes);
    loop {
        let len = usize::try_from(u32::from_be_bytes(walk.array()?)).ok()?;
        let kind: [u8; 4] = walk.array()?;
        let payload = walk.take(len)?;
        let _crc: [u8; 4] = walk.array()?;
        if has_header == (&kind == b"IHDR") {
            return None;
        }
        has_header = true;
        if &kind == b"IEND" {
            // Whatever follows is nothing of the picture.
            chunk(&mut out, b"IEND", &[])?;
            break;
        }
        if &kind == b"IDAT" {
            has_picture = true;
            if let Some(turn) = turn.take() {
                chunk(&mut out, b"eXIf", &exif::tiff(turn))?;
            }
        }
        if PICTURE.contains(&&kind) {
            chunk(&mut out, &kind, payload)?;
        }
    }
    has_picture.then_some(out)
}

/// How it is to be turned: that may stand behind the picture.
fn turn(bytes: &[u8]) -> Option<u8> {
    let mut walk = Walk(bytes.get(SIGNATURE.len()..)?);
    loop {
        let len = usize::try_from(u32::from_be_bytes(walk.array()?)).ok()?;
        let kind: [u8; 4] = walk.array()?;
        let payload = walk.take(len)?;
        let _crc: [u8; 4] = walk.array()?;
        match &kind {
            b"eXIf" => return exif::orientation(payload),
            b"IEND" => return None,
            _ => {}
        }
    }
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], payload: &[u8]) -> Option<()> {
    out.extend(u32::try_from(payload.len()).ok()?.to_be_bytes());
    let from = out.len();
    out.extend(kind);
    out.extend(payload);
    let crc = crc32(&out[from..]);
    out.extend(crc.to_be_bytes());
    Some(())
}

fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut number = 0;
        while number < 256 {
            let (mut value, mut bit) = (number as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[number] = value;
            number += 1;
        }
        table
    };
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(u32::MAX, step)
}
