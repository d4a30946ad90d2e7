//! WebP: which chunks are let through.

use super::{Walk, exif};

const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

/// Bytes of the extended header.
const HEADER_LEN: usize = 10;

/// Bytes of a frame of an animation before its own chunks.
const FRAME_HEAD_LEN: usize = 16;

/// The picture without all else; none if it is malformed.
pub(super) fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk(bytes);
    (walk.take(4)? == b"RIFF").then_some(())?;
    let len = usize::try_from(u32::from_le_bytes(walk.array()?)).ok()?;
    // Whatever follows is nothing of the picture.
    let mut walk = Walk(walk.take(len)?);
    (walk.take(4)? == b"WEBP").then_some(())?;
    let chunks = chunks(walk)?;
    let says_turn = |chunk: &Chunk<'_>| &chunk.kind == b"EXIF";
    let turn = chunks.iter().find(|chunk| says_turn(chunk)).and_then(|chunk| {
        // Some write the name that JPEG has before it.
        exif::orientation(chunk.payload.strip_prefix(b"Exif\0\0").unwrap_or(chunk.payload))
    });
    // Without the extended header nothing but the picture may be there.
    let is_header = |chunk: &Chunk<'_>| &chunk.kind == b"VP8X" && chunk.payload.len() >= HEADER_LEN;
    let is_extended = chunks.first().is_some_and(is_header);
    let turn = turn.filter(|_| is_extended);
    let (mut body, mut has_picture) = (b"WEBP".to_vec(), false);
    for (place, chunk) in chunks.iter().enumerate() {
        match &chunk.kind {
            b"VP8X" if place == 0 && is_extended => {
                let mut header = chunk.payload[..HEADER_LEN].to_vec();
                header[0] = header[0] & !(HAS_EXIF | HAS_XMP) | if turn.is_some() { HAS_EXIF } else { 0 };
                // Reserved, so nothing can be meant by them.
                header[1..4].fill(0);
                put(&mut body, b"VP8X", &header)?;
            }
            b"VP8 " | b"VP8L" => {
                has_picture = true;
                put(&mut body, &chunk.kind, chunk.payload)?;
            }
            b"ALPH" | b"ANIM" | b"ICCP" if is_extended => put(&mut body, &chunk.kind, chunk.payload)?,
            b"ANMF" if is_extended => {
                has_picture = true;
                put(&mut body, b"ANMF", &strip_frame(chunk.payload)?)?;
            }
            _ => {}
        }
    }
    if let Some(turn) = turn {
        put(&mut body, b"EXIF", &exif::tiff(turn))?;
    }
    let mut out = b"RIFF".to_vec();
    out.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
    out.extend(body);
    has_picture.then_some(out)
}

/// A frame of an animation has chunks of its own.
fn strip_frame(payload: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = payload.split_at_checked(FRAME_HEAD_LEN)?;
    let mut out = head.to_vec();
    for chunk in chunks(Walk(rest))? {
        if matches!(&chunk.kind, b"ALPH" | b"VP8 " | b"VP8L") {
            put(&mut out, &chunk.kind, chunk.payload)?;
        }
    }
    Some(out)
}

struct Chunk<'a> {
    kind: [u8; 4],
    payload: &'a [u8],
}

fn chunks(mut walk: Walk<'_>) -> Option<Vec<Chunk<'_>>> {
    let mut chunks = Vec::new();
    while !walk.0.is_empty() {
        let kind = walk.array()?;
        let len = usize::try_from(u32::from_le_bytes(walk.array()?)).ok()?;
        let payload = walk.take(len)?;
        // Some writers leave the last one's padding out.
        if len % 2 == 1 && !walk.0.is_empty() {
            walk.u8()?;
        }
        chunks.push(Chunk { kind, payload });
    }
    Some(chunks)
}

fn put(out: &mut Vec<u8>, kind: &[u8; 4], payload: &[u8]) -> Option<()> {
    out.extend(kind);
    out.extend(u32::try_from(payload.len()).ok()?.to_le_bytes());
    out.extend(payload);
    if payload.len() % 2 == 1 {
        out.push(0);
    }
    Some(())
}
