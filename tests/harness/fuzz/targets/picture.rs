//! Pictures from whatever app, stripped before they are kept, and the thumbnails made of them.

use barid_core::attachment::{MediaType, prepare, thumbnail_within};

use super::super::{Target, bits, kind, signal};

/// A picture's bytes. It is small, so that decoding it costs what reading it costs.
pub(super) struct Picture;

/// Bytes for the pixels: a few bytes may say that they are a picture as large as any.
const WORK_LEN_MAX: u64 = 4 * 1024 * 1024;

fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(payload.len() as u16 + 2).to_be_bytes(), payload].concat()
}

fn chunk(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), &kind[..], payload, &[0; 4]].concat()
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, payload) in chunks {
        body.extend(*kind);
        body.extend((payload.len() as u32).to_le_bytes());
        body.extend(*payload);
        body.resize(body.len() + payload.len() % 2, 0);
    }
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// What says how a picture is turned.
const TIFF: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

impl Target for Picture {
    fn name(&self) -> &'static str {
        "picture"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        // 8 by 8 grey pixels, with every table that they need.
        let codes = [&[0u8][..], &[0, 1], &[0; 14], &[0]].concat();
        let codes_ac = [&[0x10u8][..], &[0, 1], &[0; 14], &[0]].concat();
        let jpeg = [
            vec![0xff, 0xd8],
            segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            segment(0xe1, &[b"Exif\0\0", TIFF].concat()),
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            segment(0xdb, &[&[0u8][..], &[1; 64]].concat()),
            segment(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]),
            segment(0xc4, &codes),
            segment(0xc4, &codes_ac),
            segment(0xda, &[1, 1, 0, 0, 63, 0]),
            vec![0x0f, 0xff, 0, 0xff, 0xd9, 9, 9],
        ];
        let png = [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]),
            chunk(b"tEXt", b"Author\0x"),
            chunk(b"IDAT", &[0x78, 0x01, 0x63, 0x60, 0, 0, 0, 2, 0, 1]),
            chunk(b"eXIf", TIFF),
            chunk(b"IEND", &[]),
        ];
        let vp8l = [0x2f, 0, 0, 0, 0, 0x07, 0x10, 0x11, 0x11, 0x88, 0x88, 0x08];
        let header = [0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let webp = riff(&[(b"VP8X", &header), (b"VP8L", &vp8l), (b"EXIF", TIFF), (b"XMP ", b"<x/>")]);
        let frame = [&[0; 16][..], b"VP8L", &12u32.to_le_bytes(), &vp8l].concat();
        let film = riff(&[(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), (b"ANIM", &[0; 6]), (b"ANMF", &frame)]);
        vec![jpeg.concat(), png.concat(), webp, film]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let names: [&[u8]; 12] = [
            b"Exif\0\0",
            b"ICC_PROFILE\0",
            b"Adobe",
            b"eXIf",
            b"iCCP",
            b"PLTE",
            b"IDAT",
            b"VP8 ",
            b"ALPH",
            b"ANMF",
            b"EXIF",
            b"II*\0\x08\0\0\0",
        ];
        let markers = [0xc2, 0xc4, 0xd0, 0xd9, 0xda, 0xe1, 0xfe].map(|marker| vec![0xff, marker]);
        names.iter().map(|name| name.to_vec()).chain(markers).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let kept = match prepare(input) {
            Ok(kept) => kept,
            Err(error) => return signal((1, kind(&error), MediaType::sniff(input))),
        };
        assert_eq!(prepare(&kept.bytes).as_ref(), Ok(&kept), "stripping what is stripped changes nothing");
        assert!(kept.bytes.len() <= input.len() + 64, "what is stripped is hardly longer");
        let small = thumbnail_within(&kept, WORK_LEN_MAX);
        if let Some(small) = &small {
            assert!(small.media == MediaType::Jpeg && prepare(&small.bytes).as_ref() == Ok(small));
        }
        signal((
            2,
            kept.media,
            bits(kept.bytes.len()),
            bits(input.len() - kept.bytes.len().min(input.len())),
            small.is_some(),
        ))
    }
}
