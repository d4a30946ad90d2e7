//! Changes by hand: Automerge's storage format, with whatever one likes in it.

use sha2::{Digest as _, Sha256};

use super::{put_sleb, put_uleb};

/// A chunk of any type around any contents, with the checksum that belongs to it.
pub fn chunk(kind: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind];
    put_uleb(&mut bytes, contents.len() as u64);
    bytes.extend(contents);
    let hash = Sha256::digest(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    bytes
}

/// The hash of a chunk.
pub fn hash(chunk: &[u8]) -> [u8; 32] {
    Sha256::digest(&chunk[8..]).into()
}

/// What stands in a change, each part as it is to be written.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Ancestors.
    pub deps: Vec<[u8; 32]>,
    /// The author, of any length.
    pub actor: Vec<u8>,
    /// Sequence number.
    pub seq: u64,
    /// Counter of the first operation.
    pub start_op: u64,
    /// Milliseconds.
    pub time: i64,
    /// A message.
    pub message: Vec<u8>,
    /// Other actors.
    pub others: Vec<Vec<u8>>,
    /// Columns: number and bytes.
    pub columns: Vec<(u64, Vec<u8>)>,
}

impl Parts {
    /// A first change that puts `count` keys, named by their number, to null.
    pub fn first(actor: [u8; 16], count: u64) -> Self {
        let mut keys = Vec::new();
        put_sleb(&mut keys, -(count as i64));
        for number in 0..count {
            let key = format!("k{number:05}");
            put_uleb(&mut keys, key.len() as u64);
            keys.extend(key.as_bytes());
        }
        Self {
            deps: Vec::new(),
            actor: actor.to_vec(),
            seq: 1,
            start_op: 1,
            time: 1_790_000_000_000,
            message: Vec::new(),
            others: Vec::new(),
            columns: vec![
                (21, keys),
                (52, uleb(count)),
                (66, run(count, 1)),
                (86, run(count, 0)),
                (112, run(count, 0)),
            ],
        }
    }

    /// The body of the change.
    pub fn body(&self) -> Vec<u8> {
        let mut out = uleb(self.deps.len() as u64);
        self.deps.iter().for_each(|dep| out.extend(dep));
        put_uleb(&mut out, self.actor.len() as u64);
        out.extend(&self.actor);
        put_uleb(&mut out, self.seq);
        put_uleb(&mut out, self.start_op);
        put_sleb(&mut out, self.time);
        put_uleb(&mut out, self.message.len() as u64);
        out.extend(&self.message);
        put_uleb(&mut out, self.others.len() as u64);
        for actor in &self.others {
            put_uleb(&mut out, actor.len() as u64);
            out.extend(actor);
        }
        put_uleb(&mut out, self.columns.len() as u64);
        for (column, bytes) in &self.columns {
            put_uleb(&mut out, *column);
            put_uleb(&mut out, bytes.len() as u64);
        }
        self.columns.iter().for_each(|(_, bytes)| out.extend(bytes));
        out
    }

    /// The change's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        chunk(1, &self.body())
    }

    /// The column of this number, to be changed.
    pub fn column(&mut self, number: u64) -> &mut Vec<u8> {
        let place = self.columns.iter().position(|(column, _)| *column == number).unwrap();
        &mut self.columns[place].1
    }
}

/// One number.
pub fn uleb(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uleb(&mut out, value);
    out
}

/// A column of one number, so many times; written as a literal if there is one alone.
pub fn run(count: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_sleb(&mut out, if count == 1 { -1 } else { count as i64 });
    put_uleb(&mut out, value);
    out
}
