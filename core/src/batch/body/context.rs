//! What zstd works with, kept by each thread: to make it anew costs as much as a body of some kilobytes.

use std::cell::RefCell;
use std::io;
use std::thread::LocalKey;

use zstd::bulk::{Compressor, Decompressor};

const LEVEL: i32 = 3;

type Kept<T> = LocalKey<RefCell<Option<T>>>;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(raw: &[u8]) -> io::Result<Vec<u8>> {
    with(&COMPRESSOR, || Compressor::new(LEVEL), |compressor| compressor.compress(raw))
}

/// Decompresses one frame into a buffer of so many bytes and no more.
pub(super) fn decompress(frame: &[u8], len_max: usize) -> io::Result<Vec<u8>> {
    with(&DECOMPRESSOR, Decompressor::new, |decompressor| decompressor.decompress(frame, len_max))
}

/// Works with what this thread keeps; after an error with another one.
fn with<T, R>(
    kept: &'static Kept<T>,
    make: impl FnOnce() -> io::Result<T>,
    work: impl FnOnce(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    let mut context = kept.take().map_or_else(make, Ok)?;
    let done = work(&mut context)?;
    kept.set(Some(context));
    Ok(done)
}
