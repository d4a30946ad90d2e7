//! The write-ahead log beside a damaged database, as SQLite's file format describes it.
//!
//! Only frames whose salts and running checksum hold up to a commit are part of the database. The
//! others are kept in view too: what a torn log still holds may prove itself.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use super::pages::{be_u32, page_len_is_valid, read_at};

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;

/// One frame: a page as some transaction left it.
#[derive(Debug, Clone, Copy)]
struct Frame {
    page: u32,
    /// Which write of the log it belongs to: frames of an older one survive behind a newer one.
    salts: u64,
    /// The frame that commits its transaction: itself, a later one, or none.
    commit: Option<u32>,
}

/// The frames of a log, by number and by page.
#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    page_len: usize,
    /// Which write of the log the header begins, if the header is whole.
    salts_now: Option<u64>,
    frames: Vec<Frame>,
    by_page: HashMap<u32, Vec<u32>>,
    committed: u32,
    pages_after_commit: u32,
}

/// How pages are looked up: the frames of one write of the log before a given one, else the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    salts: u64,
    end: u32,
}

impl View {
    /// The database file alone.
    pub(super) const FILE: Self = Self { salts: 0, end: 0 };
}

/// The page size that a log's header states, whether or not its checksum holds.
pub(super) fn stated_page_len(file: &File) -> Option<usize> {
    let mut header = [0; HEADER_LEN];
    if read_at(file, 0, &mut header).ok()? < HEADER_LEN {
        return None;
    }
    let magic = be_u32(&header, 0)?;
    let page_len = be_u32(&header, 8)? as usize;
    (matches!(magic, MAGIC_LITTLE | MAGIC_BIG) && page_len_is_valid(page_len)).then_some(page_len)
}

impl Wal {
    /// Reads every frame's header, and every checksum up to the first that fails.
    pub(super) fn read(file: File, page_len: usize) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        let header_len = read_at(&file, 0, &mut header)?;
        let mut chain = Checksum::of_header(&header[..header_len]);
        let salts_now = be_u64(&header, 16);
        let mut wal = Self {
            file,
            page_len,
            salts_now: chain.map(|_| salts_now),
            frames: Vec::new(),
            by_page: HashMap::new(),
            committed: 0,
            pages_after_commit: 0,
        };
        let mut buffer = vec![0; FRAME_HEADER_LEN + page_len];
        for number in 0..u32::MAX {
            let len = read_at(&wal.file, wal.frame_at(number), &mut buffer)?;
            if len <= FRAME_HEADER_LEN {
                break;
            }
            let whole = len == buffer.len();
            let commits = whole && be_u32(&buffer, 4) != Some(0);
            let frame = Frame {
                page: be_u32(&buffer, 0).unwrap_or(0),
                salts: be_u64(&buffer, 8),
                commit: commits.then_some(number),
            };
            chain = chain
                .filter(|_| whole && frame.salts == salts_now && frame.page != 0)
                .and_then(|chain| chain.over_frame(&buffer));
            if chain.is_some() && commits {
                wal.committed = number + 1;
                wal.pages_after_commit = be_u32(&buffer, 4).unwrap_or(0);
            }
            wal.by_page.entry(frame.page).or_default().push(number);
            wal.frames.push(frame);
        }
        let mut next_commit = HashMap::new();
        for frame in wal.frames.iter_mut().rev() {
            frame.commit = frame.commit.or_else(|| next_commit.get(&frame.salts).copied());
            frame.commit.map(|commit| next_commit.insert(frame.salts, commit));
        }
        Ok(wal)
    }

    fn frame_at(&self, number: u32) -> u64 {
        HEADER_LEN as u64 + u64::from(number) * (FRAME_HEADER_LEN + self.page_len) as u64
    }

    /// How many frames there are, whole or cut off.
    pub(super) fn frames(&self) -> u32 {
        self.frames.len() as u32
    }

    /// Which page a frame holds.
    pub(super) fn page(&self, number: u32) -> u32 {
        self.frames.get(number as usize).map_or(0, |frame| frame.page)
    }

    /// How many pages the database has, by the last commit here.
    pub(super) fn pages_after_commit(&self) -> Option<u32> {
        (self.committed > 0).then_some(self.pages_after_commit)
    }

    /// Whether a broken frame hides commits from SQLite, which reads up to it and says nothing.
    ///
    /// One commit beyond it may be a write that a power cut tore; where each write is on the disk
    /// before the next begins, a second one proves that the first had been whole.
    pub(super) fn hides_commits(&self) -> bool {
        let salts = self.committed().salts;
        let beyond = self.frames.iter().enumerate().skip(self.committed as usize);
        beyond.filter(|(at, frame)| frame.salts == salts && frame.commit == Some(*at as u32)).count() > 1
    }

    /// Reads a frame's page; returns how many of its bytes the log still has.
    pub(super) fn read_page(&self, number: u32, page: &mut [u8]) -> io::Result<usize> {
        read_at(&self.file, self.frame_at(number) + FRAME_HEADER_LEN as u64, page)
    }

    /// The database as SQLite would read it.
    pub(super) fn committed(&self) -> View {
        // A process that dies right after it began the log anew leaves a new header before frames of
        // the write before, all of which are in the file by then: they hide nothing.
        let salts = self.salts_now.or(self.frames.first().map(|frame| frame.salts));
        View { salts: salts.unwrap_or(0), end: self.committed }
    }

    /// The database as the transaction of this frame left it.
    pub(super) fn view_of(&self, number: u32) -> View {
        let frame = self.frames.get(number as usize);
        let commit = frame.and_then(|frame| frame.commit);
        View {
            salts: frame.map_or(0, |frame| frame.salts),
            end: commit.map_or(self.frames(), |commit| commit + 1),
        }
    }

    /// Whether a commit follows this frame: then its rows were once acknowledged to the writer,
    /// even if a checksum on the way is broken now.
    pub(super) fn was_committed(&self, number: u32) -> bool {
        self.frames.get(number as usize).is_some_and(|frame| frame.commit.is_some())
    }

    /// The newest frame of a page in a view.
    pub(super) fn find(&self, page: u32, view: View) -> Option<u32> {
        let frames = self.by_page.get(&page)?;
        let before = frames.partition_point(|number| *number < view.end);
        frames[..before]
            .iter()
            .rev()
            .copied()
            .find(|number| self.frames[*number as usize].salts == view.salts)
    }
}

fn be_u64(bytes: &[u8], at: usize) -> u64 {
    let high = be_u32(bytes, at).unwrap_or(0);
    let low = be_u32(bytes, at + 4).unwrap_or(0);
    u64::from(high) << 32 | u64::from(low)
}

/// The running checksum of a log, in the byte order of the machine that wrote it.
#[derive(Debug, Clone, Copy)]
struct Checksum {
    big_endian: bool,
    first: u32,
    second: u32,
}

impl Checksum {
    fn of_header(header: &[u8]) -> Option<Self> {
        let big_endian = match be_u32(header, 0)? {
            MAGIC_LITTLE => false,
            MAGIC_BIG => true,
            _ => return None,
        };
        let sum = Self { big_endian, first: 0, second: 0 }.over(header.get(..24)?);
        sum.is(header, 24).then_some(sum)
    }

    /// Covers a frame's page number, size after commit and page, as the format has it.
    fn over_frame(self, frame: &[u8]) -> Option<Self> {
        let sum = self.over(&frame[..8]).over(&frame[FRAME_HEADER_LEN..]);
        sum.is(frame, 16).then_some(sum)
    }

    fn is(&self, bytes: &[u8], at: usize) -> bool {
        be_u32(bytes, at) == Some(self.first) && be_u32(bytes, at + 4) == Some(self.second)
    }

    fn over(mut self, bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |bytes: [u8; 4]| match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        let (pairs, _) = words.as_chunks::<2>();
        let (mut first, mut second) = (self.first, self.second);
        for [left, right] in pairs {
            first = first.wrapping_add(word(*left)).wrapping_add(second);
            second = second.wrapping_add(word(*right)).wrapping_add(first);
        }
        (self.first, self.second) = (first, second);
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const PAGE_LEN: usize = 4096;

    /// The log of five commits that no checkpoint has taken into the file.
    fn five_commits() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);")
            .unwrap();
        for number in 0..4 {
            connection.execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
        }
        std::fs::read(folder.path().join("x.db-wal")).unwrap()
    }

    fn hides_commits(log: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, log).unwrap();
        Wal::read(file, PAGE_LEN).unwrap().hides_commits()
    }

    #[test]
    fn a_broken_frame_hides_the_commits_behind_it() {
        let mut log = five_commits();
        assert!(!hides_commits(&log));
        log[HEADER_LEN + FRAME_HEADER_LEN + 100] ^= 1;
        assert!(hides_commits(&log));
    }

    #[test]
    fn a_log_that_was_just_begun_anew_hides_nothing_of_the_one_before() {
        let mut log = five_commits();
        log[16..24].copy_from_slice(&[7; 8]);
        let mut sum = Checksum { big_endian: be_u32(&log, 0) == Some(MAGIC_BIG), first: 0, second: 0 };
        sum = sum.over(&log[..24]);
        log[24..28].copy_from_slice(&sum.first.to_be_bytes());
        log[28..32].copy_from_slice(&sum.second.to_be_bytes());
        assert!(!hides_commits(&log));
    }
}
