//! A small picture of a picture.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};

use super::{MediaType, Prepared};
use crate::limits::{THUMBNAIL_LEN_MAX, THUMBNAIL_SIDE_MAX};

/// Of a hundred: what a list needs, in a few kilobytes.
const QUALITY: u8 = 70;

pub(super) fn of(picture: &Prepared, work_len_max: u64) -> Option<Vec<u8>> {
    let format = match picture.media {
        MediaType::Jpeg => ImageFormat::Jpeg,
        MediaType::Png => ImageFormat::Png,
        MediaType::WebP => ImageFormat::WebP,
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(work_len_max);
    let mut reader = ImageReader::with_format(Cursor::new(&picture.bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    // Some formats' decoders do not keep to the limit themselves.
    if decoder.total_bytes() > work_len_max {
        return None;
    }
    let orientation = decoder.orientation().ok()?;
    let decoded = DynamicImage::from_decoder(decoder).ok()?;
    let side = THUMBNAIL_SIDE_MAX;
    let is_small = decoded.width() <= side && decoded.height() <= side;
    let mut small = if is_small { decoded } else { decoded.thumbnail(side, side) };
    small.apply_orientation(orientation);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small.to_rgb8()).ok()?;
    (bytes.len() as u64 <= THUMBNAIL_LEN_MAX).then_some(bytes)
}
