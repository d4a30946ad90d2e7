//! Automerge's column encodings, for the few columns that flat changes use.
//!
//! Reading is bounded by the number of rows that the caller expects, never by what the bytes
//! claim. It need not notice that bytes could have been shorter: the scan writes what it read and
//! compares.

/// A column cannot be read: cut short, too long, or with rows that are too many or too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends an unsigned LEB128.
pub(super) fn write_uleb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128.
pub(super) fn write_sleb(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Appends values as runs: equal neighbours once with their number, the others one by one.
pub(super) fn write_runs<T: Copy + PartialEq>(
    out: &mut Vec<u8>,
    values: &[T],
    write: impl Fn(&mut Vec<u8>, T),
) {
    let mut literal = 0;
    let mut at = 0;
    while at < values.len() {
        let equal = values[at..].iter().take_while(|v| **v == values[at]).count();
        if equal == 1 {
            at += 1;
            continue;
        }
        write_literal(out, &values[literal..at], &write);
        write_sleb(out, equal as i64);
        write(out, values[at]);
        at += equal;
        literal = at;
    }
    write_literal(out, &values[literal..], &write);
}

fn write_literal<T: Copy>(out: &mut Vec<u8>, values: &[T], write: &impl Fn(&mut Vec<u8>, T)) {
    if !values.is_empty() {
        write_sleb(out, -(values.len() as i64));
        values.iter().for_each(|value| write(out, *value));
    }
}

/// Reads bytes from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn uleb(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(super) fn sleb(&mut self) -> Result<i64, Malformed> {
        let mut value = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(Malformed);
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if shift < 57 && byte & 0x40 != 0 {
                    value |= -1 << (shift + 7);
                }
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A length that must fit into what is left, so that it may be used for an allocation.
    pub(super) fn len(&mut self) -> Result<usize, Malformed> {
        let len = usize::try_from(self.uleb()?).map_err(|_| Malformed)?;
        if len > self.bytes.len() { Err(Malformed) } else { Ok(len) }
    }
}

/// Reads a whole column of exactly `rows` values.
pub(super) fn read_runs<'a, T: Copy>(
    column: &'a [u8],
    rows: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut reader = Reader::new(column);
    let mut values = Vec::with_capacity(rows);
    while !reader.is_empty() {
        let run = reader.sleb()?;
        let len = usize::try_from(run.unsigned_abs()).map_err(|_| Malformed)?;
        if len == 0 || len > rows - values.len() {
            return Err(Malformed);
        }
        if run > 0 {
            let value = read(&mut reader)?;
            values.extend(std::iter::repeat_n(value, len));
        } else {
            for _ in 0..len {
                values.push(read(&mut reader)?);
            }
        }
    }
    if values.len() == rows { Ok(values) } else { Err(Malformed) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_runs_read_back(values in proptest::collection::vec(prop_oneof![0..3i64, any::<i64>()], 0..40)) {
            let mut column = Vec::new();
            write_runs(&mut column, &values, write_sleb);
            prop_assert_eq!(read_runs(&column, values.len(), Reader::sleb), Ok(values.clone()));
            let unsigned: Vec<u64> = values.iter().map(|v| *v as u64).collect();
            column.clear();
            write_runs(&mut column, &unsigned, write_uleb);
            prop_assert_eq!(read_runs(&column, unsigned.len(), Reader::uleb), Ok(unsigned));
        }

        #[test]
        fn no_bytes_read_as_more_rows_than_expected(column in proptest::collection::vec(any::<u8>(), 0..24), rows in 0usize..8) {
            if let Ok(values) = read_runs(&column, rows, Reader::uleb) {
                prop_assert_eq!(values.len(), rows);
            }
        }
    }

    #[test]
    fn a_run_that_claims_billions_is_refused_at_once() {
        let mut column = Vec::new();
        write_sleb(&mut column, i64::MAX);
        column.push(0);
        assert_eq!(read_runs(&column, 1024, Reader::uleb), Err(Malformed));
        column.clear();
        write_sleb(&mut column, i64::MIN);
        assert_eq!(read_runs(&column, 1024, Reader::uleb), Err(Malformed));
    }
}
