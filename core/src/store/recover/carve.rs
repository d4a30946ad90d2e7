//! Finds every row in a damaged database, page by page, without its schema or its trees.

use super::pages::{DamagedFile, Image, be_u32};
use super::record::{self, Cell, Column};
use super::wal::View;

/// Bytes of a row, at most: a batch or a pending entry and its columns. Larger rows are derived.
const ROW_LEN_MAX: usize = 1024 * 1024;
/// Rows of one page that go on elsewhere, at most. By the format's own fill rule a page has room for
/// eight; a forged one must not make us follow thousands of chains.
const OVERFLOWS_MAX: usize = 16;

/// Where a row was found, to read it again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    image: Image,
    header: usize,
    cell: usize,
    view: View,
}

/// A row that could be read.
pub(super) struct Row<'a> {
    pub(super) place: Place,
    /// Its number, unless it is of an index.
    pub(super) rowid: Option<i64>,
    pub(super) columns: Vec<Column<'a>>,
    /// It is what SQLite would read now: not an older version, not on a free page.
    pub(super) current: bool,
    /// It was once committed, as far as can be told.
    pub(super) committed: bool,
}

/// How the visit of a database went.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Carved {
    /// Pages of the file and of its log that were looked at.
    pub(super) pages: u64,
    /// Bytes of pages that are missing, or hold rows that could not be read.
    pub(super) bytes_unreadable: u64,
}

/// Visits every row of every page. The visitor says whether it recognised the row; if not, and parts
/// of it lie on other pages, older versions of those are tried.
pub(super) fn carve(file: &DamagedFile, mut visit: impl FnMut(&Row<'_>) -> bool) -> Carved {
    let mut carved = Carved { bytes_unreadable: file.missing_len(), ..Carved::default() };
    let mut page = Vec::new();
    for image in file.images() {
        carved.pages += 1;
        let read_len = file.read(image, &mut page).unwrap_or(0);
        let all = carve_page(file, image, &page, read_len, &mut visit);
        let whole = read_len == file.page_len();
        if !whole || (!all && file.is_current(image)) {
            carved.bytes_unreadable += file.page_len() as u64;
        }
    }
    carved
}

/// Visits the rows of one page; returns whether all of them could be read.
fn carve_page(
    file: &DamagedFile,
    image: Image,
    page: &[u8],
    read_len: usize,
    visit: &mut impl FnMut(&Row<'_>) -> bool,
) -> bool {
    let header = record::header_at(file.page_of(image));
    let Some(cells) = record::cells(page, header) else { return true };
    let views = file.views_of(image);
    let (current, committed) = (file.is_current(image), file.was_committed(image));
    let mut overflows = 0;
    let mut all = true;
    for at in cells {
        let Some(cell) = record::cell(page, header, at, read_len, file.usable_len()) else {
            all = false;
            continue;
        };
        overflows += usize::from(cell.overflow.is_some());
        if cell.payload_len > ROW_LEN_MAX || (cell.overflow.is_some() && overflows > OVERFLOWS_MAX) {
            continue;
        }
        let tries = if cell.overflow.is_some() { &views[..] } else { &views[..1] };
        let mut read = false;
        for view in tries {
            let Some(payload) = payload(file, &cell, *view) else { continue };
            let Some(columns) = record::columns(&payload) else { continue };
            read = true;
            let place = Place { image, header, cell: at, view: *view };
            if visit(&Row { place, rowid: cell.rowid, columns, current, committed }) {
                break;
            }
        }
        all &= read;
    }
    all
}

/// Reads again the row at a place where one was found.
pub(super) fn read_again<T>(
    file: &DamagedFile,
    place: Place,
    read: impl FnOnce(&[Column<'_>]) -> Option<T>,
) -> Option<T> {
    let mut page = Vec::new();
    let read_len = file.read(place.image, &mut page).ok()?;
    let cell = record::cell(&page, place.header, place.cell, read_len, file.usable_len())?;
    let payload = payload(file, &cell, place.view)?;
    read(&record::columns(&payload)?)
}

/// Puts a row together from its page and those that continue it.
fn payload(file: &DamagedFile, cell: &Cell<'_>, view: View) -> Option<Vec<u8>> {
    let mut payload = Vec::with_capacity(cell.payload_len.min(ROW_LEN_MAX));
    payload.extend_from_slice(cell.local);
    let mut next = cell.overflow;
    let mut page = Vec::new();
    // Each page adds at least one byte, so that a chain that bites its tail ends as well.
    while payload.len() < cell.payload_len {
        let image = file.find(next.filter(|number| *number != 0)?, view)?;
        let read_len = file.read(image, &mut page).ok()?;
        let wanted = (cell.payload_len - payload.len()).min(file.usable_len() - 4);
        if read_len < 4 + wanted {
            return None;
        }
        payload.extend_from_slice(&page[4..4 + wanted]);
        next = be_u32(&page, 0);
    }
    Some(payload)
}
