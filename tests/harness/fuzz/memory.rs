//! How much memory one input takes: a global allocator that counts.
//!
//! A binary that wants to know makes [`Counting`] its global allocator; in any other the numbers
//! stay 0. What C libraries take (SQLite, zstd) is not counted here; the end-to-end tests measure
//! whole processes.

#![allow(unsafe_code, reason = "a global allocator can only be written so; it passes everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

static NOW: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

fn add(len: usize) {
    let now = NOW.fetch_add(len as isize, Relaxed) + len as isize;
    PEAK.fetch_max(now, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size() as isize, Relaxed);
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // Both are there for a moment.
        add(len);
        NOW.fetch_sub(layout.size() as isize, Relaxed);
        unsafe { System.realloc(place, layout, len) }
    }
}

/// Begins to measure: what is held now.
pub fn begin() -> isize {
    let now = NOW.load(Relaxed);
    PEAK.store(now, Relaxed);
    now
}

/// Bytes held at once since then, at most, beyond what was held then.
pub fn grown(since: isize) -> usize {
    usize::try_from(PEAK.load(Relaxed) - since).unwrap_or(0)
}
