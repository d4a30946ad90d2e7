//! Batches: signed runs of entries, the unit of signing, transfer and log.

/// Which queue a change travels in. An SOS must not wait behind two thousand records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Alerts and control records: sealed, sent, relayed and acknowledged first.
    Urgent = 0,
    /// Records.
    Normal = 1,
    /// Tracks: last.
    Bulk = 2,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// Reads the byte of a header.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Urgent),
            1 => Some(Self::Normal),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }
}
