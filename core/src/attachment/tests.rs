//! Nothing of a picture is kept but the picture, and all of that.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{MediaType, PrepareError, Prepared, exif, prepare, prepare_thumbnail, thumbnail};
use crate::id::AttachmentHash;
use crate::limits::{ATTACHMENT_LEN_MAX, THUMBNAIL_LEN_MAX};

/// What must be in no file that is kept.
const CANARY: &[u8] = b"32.8872N 13.1913E";

fn photo(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7 + y) as u8, (y * 3) as u8, (x ^ y) as u8])
    }))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn decoded(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(payload.len() as u16 + 2).to_be_bytes(), payload].concat()
}

/// EXIF with an orientation, the place where it was taken and who took it.
fn told(turn: u8) -> Vec<u8> {
    [exif::tiff(turn), CANARY.to_vec()].concat()
}

/// A JPEG as a phone writes it: EXIF, XMP, notes, colours, and a film behind the picture.
fn phone_jpeg(turn: u8) -> Vec<u8> {
    let plain = encoded(&photo(64, 48), ImageFormat::Jpeg);
    let secrets = [
        segment(0xe1, &[b"Exif\0\0", told(turn).as_slice()].concat()),
        segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", CANARY].concat()),
        segment(0xe2, &[b"MPF\0", CANARY].concat()),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01colours"),
        segment(0xed, CANARY),
        segment(0xfe, CANARY),
        vec![0xff, 0xff],
    ];
    [&plain[..2], &secrets.concat(), &plain[2..], CANARY, &plain].concat()
}

fn png_chunk(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    // Nobody checks the sum of what is dropped.
    [&(payload.len() as u32).to_be_bytes(), &kind[..], payload, &[0; 4]].concat()
}

fn phone_png(turn: u8) -> Vec<u8> {
    let plain = encoded(&photo(64, 48), ImageFormat::Png);
    let (head, tail) = plain.split_at(33);
    let (body, end) = tail.split_at(tail.len() - 12);
    let before = [png_chunk(b"tEXt", CANARY), png_chunk(b"tIME", CANARY)].concat();
    let behind = [png_chunk(b"eXIf", &told(turn)), png_chunk(b"iTXt", CANARY)].concat();
    [head, &before, body, &behind, end, CANARY].concat()
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

fn phone_webp(turn: u8) -> Vec<u8> {
    let plain = encoded(&photo(64, 48), ImageFormat::WebP);
    assert_eq!(&plain[12..16], b"VP8L");
    let len = u32::from_le_bytes(plain[16..20].try_into().unwrap()) as usize;
    let header = [0x0c, 0, 0, 0, 63, 0, 0, 47, 0, 0];
    let chunks: [(&[u8; 4], &[u8]); 5] = [
        (b"VP8X", &header),
        (b"VP8L", &plain[20..20 + len]),
        (b"EXIF", &told(turn)),
        (b"XMP ", CANARY),
        (b"note", CANARY),
    ];
    [riff(&chunks), CANARY.to_vec()].concat()
}

fn phone_pictures(turn: u8) -> [Vec<u8>; 3] {
    [phone_jpeg(turn), phone_png(turn), phone_webp(turn)]
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|part| part == CANARY)
}

#[test]
fn nothing_of_a_phones_picture_is_kept_but_the_picture_and_how_it_is_turned() {
    for turn in 1..=8 {
        for (bytes, media) in phone_pictures(turn).into_iter().zip(MediaType::ALL) {
            assert!(holds_canary(&bytes));
            let kept = prepare(&bytes).unwrap();
            assert_eq!(kept.media, media);
            assert!(!holds_canary(&kept.bytes), "{media}");
            assert_eq!(decoded(&kept.bytes).to_rgb8(), decoded(&bytes).to_rgb8(), "{media}");
            let tiff = exif::tiff(turn);
            let says_turn = kept.bytes.windows(tiff.len()).any(|part| part == tiff);
            assert_eq!(says_turn, turn > 1, "{media}, {turn}");
            let again = prepare(&kept.bytes).unwrap();
            assert!(again == kept, "stripping what is stripped changes nothing");
            assert_eq!(kept.hash, AttachmentHash::of(&kept.bytes));
        }
    }
}

#[test]
fn the_same_picture_from_two_phones_is_one_attachment() {
    for (one, other) in
        phone_pictures(1).into_iter().zip([ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP])
    {
        let plain = prepare(&encoded(&photo(64, 48), other)).unwrap();
        let stripped = prepare(&one).unwrap();
        // What the phone's has besides are its colours, and a header that says what there is.
        let more = stripped.bytes.len() - plain.bytes.len();
        assert!(more <= 40, "{other:?}: {more}");
    }
}

#[test]
fn colours_stay() {
    let kept = prepare(&phone_jpeg(1)).unwrap().bytes;
    assert!(kept.windows(7).any(|part| part == b"colours"));
}

#[test]
fn a_picture_with_several_scans_and_restarts_is_kept_whole() {
    // A frame of three scans with restarts, stuffing and fill bytes: what is compressed is not looked into.
    let scan = |number: u8| {
        [segment(0xda, &[1, number, 0, 0, 63, 0]), vec![7, 0xff, 0x00, 9, 0xff, 0xd3, 5]].concat()
    };
    let head = [segment(0xdb, &[0; 65]), segment(0xc2, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0])].concat();
    let tables = segment(0xc4, &[0x10; 20]);
    let plain = [&[0xff, 0xd8][..], &head, &scan(1), &tables, &scan(2), &scan(3), &[0xff, 0xd9]].concat();
    assert_eq!(prepare(&plain).unwrap().bytes, plain);
    let filled = [&plain[..plain.len() - 2], &[0xff, 0xff, 0xff, 0xd9]].concat();
    assert_eq!(prepare(&filled).unwrap().bytes, plain);
}

#[test]
fn an_animation_is_stripped_inside_its_frames_too() {
    let frame = [
        &[0; 16][..],
        b"note",
        &(CANARY.len() as u32).to_le_bytes(),
        CANARY,
        &[0],
        b"VP8 ",
        &[2, 0, 0, 0, 1, 2],
    ];
    let header = [0x02, 0, 0, 0, 63, 0, 0, 47, 0, 0];
    let bytes = riff(&[(b"VP8X", &header), (b"ANIM", &[0; 6]), (b"ANMF", &frame.concat())]);
    let kept = prepare(&bytes).unwrap();
    assert!(!holds_canary(&kept.bytes) && kept.bytes.windows(4).any(|part| part == b"VP8 "));
}

#[test]
fn an_extended_header_that_is_too_short_is_none() {
    let vp8l = [0x2f, 0, 0, 0, 0, 0x07, 0x10, 0x11, 0x11, 0x88, 0x88, 0x08];
    let bytes = riff(&[(b"VP8X", &[0x0c, 0, 0]), (b"VP8L", &vp8l), (b"EXIF", &told(6))]);
    let kept = prepare(&bytes).unwrap();
    assert_eq!(kept.bytes, riff(&[(b"VP8L", &vp8l)]));
}

#[test]
fn what_is_no_picture_is_not_taken() {
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>";
    for bytes in [&b""[..], heic, svg, b"GIF89a\x01\0", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE"] {
        assert_eq!(prepare(bytes), Err(PrepareError::UnsupportedType));
    }
    for (bytes, media) in phone_pictures(6).into_iter().zip(MediaType::ALL) {
        assert_eq!(prepare(&bytes[..bytes.len() / 4]), Err(PrepareError::Malformed(media)));
    }
    let jpeg_of_nothing = [0xff, 0xd8, 0xff, 0xd9];
    assert_eq!(prepare(&jpeg_of_nothing), Err(PrepareError::Malformed(MediaType::Jpeg)));
}

#[test]
fn what_is_too_long_is_refused_with_its_length() {
    let long = |len: u64| {
        let mut bytes = phone_jpeg(1);
        // In the scan, where everything is kept.
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
        bytes.splice(scan..scan, vec![1; len as usize]);
        bytes
    };
    for (prepare, len_max) in
        [(prepare as fn(&[u8]) -> _, ATTACHMENT_LEN_MAX), (prepare_thumbnail, THUMBNAIL_LEN_MAX)]
    {
        let error = prepare(&long(len_max)).unwrap_err();
        assert!(
            matches!(error, PrepareError::TooLarge { len, len_max: most } if len > len_max && most == len_max)
        );
        assert!(prepare(&long(len_max - 5_000)).is_ok());
        assert!(matches!(prepare(&vec![0xff; len_max as usize * 2 + 1]), Err(PrepareError::TooLarge { .. })));
    }
}

#[test]
fn a_thumbnail_is_small_upright_and_tells_nothing() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let picture = prepare(&encoded(&photo(1_600, 1_200), format)).unwrap();
        let small = thumbnail(&picture).unwrap();
        assert_eq!(small.media, MediaType::Jpeg);
        let shown = decoded(&small.bytes);
        assert_eq!((shown.width(), shown.height()), (320, 240));
        assert!((500..64_000).contains(&small.bytes.len()), "{}", small.bytes.len());
    }
    // Turned by a quarter.
    for bytes in phone_pictures(6) {
        let small = thumbnail(&prepare(&bytes).unwrap()).unwrap();
        let shown = decoded(&small.bytes);
        assert_eq!((shown.width(), shown.height()), (48, 64));
    }
}

#[test]
fn what_cannot_be_shown_small_is_kept_without_a_thumbnail() {
    let spoiled =
        [&[0xff, 0xd8][..], &segment(0xc0, &[1, 2, 3]), &segment(0xda, &[9]), &[1, 2], &[0xff, 0xd9]];
    let picture = prepare(&spoiled.concat()).unwrap();
    assert_eq!(thumbnail(&picture), None);
    // One that says it is as large as a town.
    let mut bytes = encoded(&photo(8, 8), ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    assert_eq!(thumbnail(&prepare(&bytes).unwrap()), None);
}

fn of(bytes: &[u8]) -> Result<Prepared, PrepareError> {
    prepare(bytes)
}

proptest! {
    #[test]
    fn whatever_a_picture_became_stripping_it_never_panics_and_twice_is_once(
        which in 0..3usize, turn in 1..9u8,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = phone_pictures(turn)[which].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 8);
        if let Ok(kept) = of(&bytes) {
            let again = of(&kept.bytes);
            prop_assert!(again.is_ok_and(|again| again == kept));
            prop_assert!(kept.bytes.len() <= bytes.len() + 64);
            let _may_fail = thumbnail(&kept);
        }
    }

    #[test]
    fn any_bytes_behind_any_beginning_are_a_picture_or_refused(
        head in prop::sample::select(vec![&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP"]),
        rest in vec(any::<u8>(), 0..200),
    ) {
        if let Ok(kept) = of(&[head, &rest].concat()) {
            prop_assert!(of(&kept.bytes).is_ok_and(|again| again == kept));
        }
    }
}
