//! The pages of a damaged database: the file's own and its log's, wherever they lie.
//!
//! The header is believed as far as it makes sense. Nothing here writes, and nothing but one page
//! is held in memory at a time. Pages of an encrypted file are decrypted as they are read, each for
//! itself and whether or not it is whole.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::cipher::{self, Cipher};
use super::super::key::{self, DatabaseKey, KeyError};
use super::RecoverError;
use super::record::{header_at, looks_like_tree_page};
use super::wal::{self, View, Wal};

/// What our stores use, for a file whose header is gone.
const PAGE_LEN_GUESS: usize = 4096;
const HEADER_LEN: usize = 100;
/// Bytes looked at to find the page size.
const SAMPLE_LEN: usize = 4 * 1024 * 1024;

/// Where a page's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// A page of the database file; the first is 1.
    File(u32),
    /// A frame of the log; the first is 0.
    Frame(u32),
}

/// A damaged database file and its log, open for reading only.
#[derive(Debug)]
pub(super) struct DamagedFile {
    file: File,
    cipher: Option<Cipher>,
    len: u64,
    wal: Option<Wal>,
    page_len: usize,
    reserved: usize,
    pages_stated: u32,
    free: HashSet<u32>,
}

impl DamagedFile {
    /// Opens the file and, if there is one, the log beside it.
    pub(super) fn open(path: &Path, key: Option<&DatabaseKey>) -> Result<Self, RecoverError> {
        let file = File::open(path).map_err(RecoverError::Read)?;
        let cipher = match key.map(Cipher::new).transpose()? {
            Some(cipher) if key::is_of(&file, &cipher).map_err(RecoverError::Read)? => Some(cipher),
            _ => None,
        };
        Self::read_in(path, file, cipher).map_err(RecoverError::Read)
    }

    fn read_in(path: &Path, file: File, cipher: Option<Cipher>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let log = match File::open(log_beside(path)) {
            Ok(log) => Some(log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut first = vec![0; cipher::PAGE_LEN];
        let first_len = read_at(&file, 0, &mut first).unwrap_or(0);
        if let Some(cipher) = &cipher {
            cipher.decrypt(1, &mut first[..first_len]);
        }
        let header = Header::read(&first[..first_len]);
        let stated = header.as_ref().map(|header| header.page_len);
        let logged = log.as_ref().and_then(wal::stated_page_len);
        let page_len = match cipher {
            Some(_) => cipher::PAGE_LEN,
            None => likely_page_len(&file, len, [stated, logged]),
        };
        let reserved = match (&cipher, &header) {
            (Some(_), _) => cipher::RESERVED_LEN,
            (None, header) => header.as_ref().map_or(0, |header| header.reserved),
        };
        let wal = log.map(|log| Wal::read(log, page_len)).transpose()?;
        let mut damaged = Self {
            file,
            cipher,
            len,
            wal,
            page_len,
            reserved,
            pages_stated: header.as_ref().map_or(0, |header| header.pages),
            free: HashSet::new(),
        };
        damaged.free = damaged.read_free_list();
        Ok(damaged)
    }

    /// What it lacks to be read, if it is noise all through: a key, or another one.
    pub(super) fn check_key(&self, key: Option<&DatabaseKey>) -> Result<(), RecoverError> {
        if self.cipher.is_some() || !key::looks_encrypted(&self.file).map_err(RecoverError::Read)? {
            return Ok(());
        }
        Err(if key.is_some() { KeyError::Wrong } else { KeyError::Missing }.into())
    }

    pub(super) fn page_len(&self) -> usize {
        self.page_len
    }

    /// Bytes of a page that SQLite uses.
    pub(super) fn usable_len(&self) -> usize {
        self.page_len.saturating_sub(self.reserved).max(480)
    }

    /// Pages of the file, the last perhaps cut off.
    fn file_pages(&self) -> u32 {
        u32::try_from(self.len.div_ceil(self.page_len as u64)).unwrap_or(u32::MAX)
    }

    /// Bytes that the database had, by its own account, and the file has not.
    pub(super) fn missing_len(&self) -> u64 {
        let logged = self.wal.as_ref().and_then(Wal::pages_after_commit);
        let stated = logged.unwrap_or(self.pages_stated);
        // A wild figure in a damaged header is no account of anything.
        if u64::from(stated) > 2 * u64::from(self.file_pages()) + u64::from(self.frames()) + 65_536 {
            return 0;
        }
        (1..=stated)
            .filter(|page| *page > self.file_pages() && self.find(*page, self.committed()).is_none())
            .count() as u64
            * self.page_len as u64
    }

    fn frames(&self) -> u32 {
        self.wal.as_ref().map_or(0, Wal::frames)
    }

    /// Every page there is, the file's first.
    pub(super) fn images(&self) -> impl Iterator<Item = Image> + use<> {
        let frames = self.frames();
        (1..=self.file_pages()).map(Image::File).chain((0..frames).map(Image::Frame))
    }

    /// Which page of the database an image is of.
    pub(super) fn page_of(&self, image: Image) -> u32 {
        match (image, &self.wal) {
            (Image::File(page), _) => page,
            (Image::Frame(number), Some(wal)) => wal.page(number),
            (Image::Frame(_), None) => 0,
        }
    }

    /// Reads a page; returns how many of its bytes there were. The rest is zero.
    pub(super) fn read(&self, image: Image, page: &mut Vec<u8>) -> io::Result<usize> {
        page.clear();
        page.resize(self.page_len, 0);
        let len = match (image, &self.wal) {
            (Image::File(number), _) => {
                let at = u64::from(number.saturating_sub(1)) * self.page_len as u64;
                read_at(&self.file, at, page)?
            }
            (Image::Frame(number), Some(wal)) => wal.read_page(number, page)?,
            (Image::Frame(_), None) => 0,
        };
        match &self.cipher {
            // What a page begins with lies at its end.
            Some(_) if len < self.page_len => Ok(0),
            Some(cipher) => {
                cipher.decrypt(self.page_of(image), page);
                Ok(len)
            }
            None => Ok(len),
        }
    }

    /// Finds the image of a page in a view.
    pub(super) fn find(&self, page: u32, view: View) -> Option<Image> {
        let frame = self.wal.as_ref().and_then(|wal| wal.find(page, view)).map(Image::Frame);
        frame.or_else(|| (1..=self.file_pages()).contains(&page).then_some(Image::File(page)))
    }

    fn committed(&self) -> View {
        self.wal.as_ref().map_or(View::FILE, Wal::committed)
    }

    /// The views in which an image's other pages may be found, the likeliest first.
    pub(super) fn views_of(&self, image: Image) -> Vec<View> {
        let mut views = match (image, &self.wal) {
            (Image::Frame(number), Some(wal)) => vec![wal.view_of(number)],
            _ => Vec::new(),
        };
        for view in [self.committed(), View::FILE] {
            if !views.contains(&view) {
                views.push(view);
            }
        }
        views
    }

    /// Whether an image is what SQLite would read now, and not on its list of free pages.
    pub(super) fn is_current(&self, image: Image) -> bool {
        let page = self.page_of(image);
        self.find(page, self.committed()) == Some(image) && !self.free.contains(&page)
    }

    /// Whether what an image holds was ever committed, as far as can be told.
    pub(super) fn was_committed(&self, image: Image) -> bool {
        match (image, &self.wal) {
            (Image::Frame(number), Some(wal)) => wal.was_committed(number),
            _ => true,
        }
    }

    /// Pages that SQLite lists as free: what they hold was deleted.
    fn read_free_list(&self) -> HashSet<u32> {
        let mut free = HashSet::new();
        let mut page = Vec::new();
        let mut next = match self.read_current(1, &mut page) {
            Some(()) if Header::read(&page).is_some() => be_u32(&page, 32).unwrap_or(0),
            _ => 0,
        };
        while next != 0 && free.insert(next) && self.read_current(next, &mut page).is_some() {
            let count = be_u32(&page, 4).unwrap_or(0) as usize;
            let leaves = (0..count.min(self.page_len / 4)).map_while(|i| be_u32(&page, 8 + 4 * i));
            free.extend(leaves);
            next = be_u32(&page, 0).unwrap_or(0);
        }
        free
    }

    fn read_current(&self, number: u32, page: &mut Vec<u8>) -> Option<()> {
        let image = self.find(number, self.committed())?;
        (self.read(image, page).ok()? == self.page_len).then_some(())
    }
}

/// What the first hundred bytes state.
struct Header {
    page_len: usize,
    reserved: usize,
    pages: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let page_len = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            len => usize::from(len),
        };
        let reserved = usize::from(bytes[20]);
        let makes_sense = bytes.starts_with(b"SQLite format 3\0")
            && page_len_is_valid(page_len)
            && page_len >= 480 + reserved
            && bytes[21..24] == [64, 32, 32];
        makes_sense.then(|| Self { page_len, reserved, pages: be_u32(bytes, 28).unwrap_or(0) })
    }
}

/// The page size at which most pages look like pages. One that a header states must be beaten
/// clearly: what overflows hold may look like anything.
fn likely_page_len(file: &File, len: u64, stated: [Option<usize>; 2]) -> usize {
    let mut sample = vec![0; usize::try_from(len).map_or(SAMPLE_LEN, |len| len.min(SAMPLE_LEN))];
    let sampled = read_at(file, 0, &mut sample).unwrap_or(0);
    let score = |page_len: usize| {
        let pages = (1..).zip(sample[..sampled].chunks(page_len));
        pages.filter(|(page, bytes)| looks_like_tree_page(bytes, header_at(*page))).count()
    };
    let first = stated.into_iter().flatten().next().unwrap_or(PAGE_LEN_GUESS);
    let mut best = (2 * score(first) + 1, first);
    for page_len in stated.into_iter().flatten().chain((9..=16).map(|power| 1 << power)) {
        let score = score(page_len);
        if score > best.0 {
            best = (score, page_len);
        }
    }
    best.1
}

pub(super) fn log_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Whether SQLite could have made pages of this size.
pub(super) fn page_len_is_valid(len: usize) -> bool {
    len.is_power_of_two() && (512..=65_536).contains(&len)
}

/// Reads a big-endian number, if it is there.
pub(super) fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Fills the buffer from a place in the file, as far as the file goes.
pub(in crate::store) fn read_at(mut file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
