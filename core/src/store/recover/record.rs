//! Table pages and rows, as SQLite's file format describes them.
//!
//! Every length and offset is taken as a claim: what does not fit is no cell and no row.

use super::pages::be_u32;

/// The byte that begins a page with the rows of a table.
const TABLE_LEAF: u8 = 0x0d;
/// The byte that begins a page of an index, or with the rows of a table that is one.
const INDEX_LEAF: u8 = 0x0a;
/// Columns of a row, at most; our tables have far fewer.
const COLUMNS_MAX: usize = 64;

/// A value of a row. Texts are not checked to be UTF-8.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Column<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A row as it lies in its page: the rest may be on other pages.
#[derive(Clone, Copy)]
pub(super) struct Cell<'p> {
    /// Its number, unless it is of an index.
    pub(super) rowid: Option<i64>,
    pub(super) payload_len: usize,
    /// The bytes of the payload on this page.
    pub(super) local: &'p [u8],
    /// The page that continues it.
    pub(super) overflow: Option<u32>,
}

/// Where a page's own header is: behind the file's, on the first page.
pub(super) fn header_at(page: u32) -> usize {
    if page == 1 { 100 } else { 0 }
}

/// Whether bytes could be a page of rows or of an index.
pub(in crate::store) fn looks_like_tree_page(page: &[u8], at: usize) -> bool {
    let Some(header) = page.get(at..at + 8) else { return false };
    let pointers_at = match header[0] {
        0x02 | 0x05 => at + 12,
        INDEX_LEAF | TABLE_LEAF => at + 8,
        _ => return false,
    };
    let (cells, content) = (be_u16(header, 3), be_u16(header, 5));
    let content = if content == 0 { 65_536 } else { content };
    header[7] <= 60 && pointers_at + 2 * cells <= content && content <= page.len()
}

/// The cells of a page of rows; `None` if it is no such page.
pub(super) fn cells(page: &[u8], at: usize) -> Option<impl Iterator<Item = usize> + '_> {
    let header = page.get(at..at + 8)?;
    // A page has no more cells than its bytes have room for, whatever its header says.
    let count = be_u16(header, 3).min(page.len() / 6);
    matches!(header[0], TABLE_LEAF | INDEX_LEAF).then(|| {
        (0..count)
            .map(move |i| at + 8 + 2 * i)
            .take_while(|at| at + 2 <= page.len())
            .map(|at| be_u16(page, at))
    })
}

/// Reads the cell at an offset of a page of which only the first `available` bytes exist. The page's
/// own header is at `header_at`.
pub(super) fn cell(
    page: &[u8],
    header_at: usize,
    at: usize,
    available: usize,
    usable: usize,
) -> Option<Cell<'_>> {
    let page = page.get(..available.min(usable))?;
    let is_table = *page.get(header_at)? == TABLE_LEAF;
    let mut rest = page.get(at..)?;
    let payload_len = usize::try_from(varint(&mut rest)?).ok()?;
    let rowid = if is_table { Some(varint(&mut rest)? as i64) } else { None };
    let local_len = local_len(payload_len, usable, is_table)?;
    let local = rest.get(..local_len)?;
    let overflow = match local_len < payload_len {
        true => Some(be_u32(rest, local_len).filter(|page| *page != 0)?),
        false => None,
    };
    (payload_len > 0).then_some(Cell { rowid, payload_len, local, overflow })
}

/// How many bytes of a payload lie on the page of its cell.
fn local_len(payload_len: usize, usable: usize, is_table: bool) -> Option<usize> {
    let most = if is_table { usable.checked_sub(35)? } else { ((usable - 12) * 64 / 255).checked_sub(23)? };
    if payload_len <= most {
        return Some(payload_len);
    }
    let least = ((usable - 12) * 32 / 255).checked_sub(23)?;
    let wanted = least + (payload_len - least) % (usable - 4);
    Some(if wanted <= most { wanted } else { least })
}

/// Reads a row's values.
pub(super) fn columns(payload: &[u8]) -> Option<Vec<Column<'_>>> {
    let mut rest = payload;
    let header_len = usize::try_from(varint(&mut rest)?).ok()?;
    let mut types = payload.get(payload.len() - rest.len()..header_len)?;
    let mut values = payload.get(header_len..)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        if columns.len() == COLUMNS_MAX {
            return None;
        }
        columns.push(column(varint(&mut types)?, &mut values)?);
    }
    (values.is_empty() && !columns.is_empty()).then_some(columns)
}

fn column<'a>(serial_type: u64, values: &mut &'a [u8]) -> Option<Column<'a>> {
    Some(match serial_type {
        0 => Column::Null,
        1..=4 => Column::Integer(integer(take(values, serial_type as usize)?)),
        5 => Column::Integer(integer(take(values, 6)?)),
        6 => Column::Integer(integer(take(values, 8)?)),
        7 => Column::Real(f64::from_bits(integer(take(values, 8)?) as u64)),
        8 => Column::Integer(0),
        9 => Column::Integer(1),
        10 | 11 => return None,
        _ => {
            let bytes = take(values, usize::try_from((serial_type - 12) / 2).ok()?)?;
            if serial_type.is_multiple_of(2) { Column::Blob(bytes) } else { Column::Text(bytes) }
        }
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
}

/// SQLite's own variable-length number: big-endian, the ninth byte whole.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for i in 0..8 {
        let byte = *bytes.get(i)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Some(value);
        }
    }
    let value = value << 8 | u64::from(*bytes.get(8)?);
    *bytes = &bytes[9..];
    Some(value)
}

fn be_u16(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 2).map_or(0, |pair| usize::from(pair[0]) << 8 | usize::from(pair[1]))
}
