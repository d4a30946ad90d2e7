//! How many wrong passwords are tried: per name and per address, in a bounded table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use barid_core::clock::Timestamp;

/// Attempts are counted over this long.
pub(crate) const WINDOW_MS: i64 = 10 * 60_000;
/// Names and addresses counted at the same time, at most.
const COUNTED_MAX: usize = 10_000;
/// An address may fail for this many times as many as one name: a whole centre may share one.
const ADDRESS_FACTOR: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    /// Hashed: a name that is typed here is sometimes a password.
    Name([u8; 16]),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Timestamp,
    attempts: u32,
}

/// The table of attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    max: u32,
    windows: Mutex<HashMap<Counted, Window>>,
}

impl Attempts {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, windows: Mutex::default() }
    }

    /// Counts an attempt, or says after how many seconds the next may be made.
    pub(crate) fn begin(&self, name: &str, from: IpAddr, now: Timestamp) -> Result<(), u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must lock nobody out until it has caught up.
        for window in windows.values_mut().filter(|window| window.began > now) {
            window.began = now;
        }
        let bounded =
            [(by_name(name), self.max), (by_address(from), self.max.saturating_mul(ADDRESS_FACTOR))];
        for (counted, max) in &bounded {
            if let Some(window) = windows.get(counted)
                && now.millis_since(window.began) < WINDOW_MS
                && window.attempts >= *max
            {
                let wait_ms = WINDOW_MS - now.millis_since(window.began);
                return Err(u64::try_from(wait_ms).unwrap_or(0).div_ceil(1000));
            }
        }
        if windows.len() + bounded.len() > COUNTED_MAX {
            make_room(&mut windows, now);
        }
        for (counted, _) in bounded {
            let window = windows.entry(counted).or_insert(Window { began: now, attempts: 0 });
            if now.millis_since(window.began) >= WINDOW_MS {
                *window = Window { began: now, attempts: 0 };
            }
            window.attempts += 1;
        }
        Ok(())
    }

    /// A success: the name starts anew, and the address gets this one attempt back.
    pub(crate) fn forget(&self, name: &str, from: IpAddr) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&by_name(name));
        if let Some(window) = windows.get_mut(&by_address(from)) {
            window.attempts = window.attempts.saturating_sub(1);
        }
    }
}

fn by_name(name: &str) -> Counted {
    let hash = blake3::derive_key("barid 2026 login attempt", name.as_bytes());
    let mut short = [0u8; 16];
    short.copy_from_slice(&hash[..16]);
    Counted::Name(short)
}

/// One subscriber has a whole /64 of IPv6: they count as one.
fn by_address(from: IpAddr) -> Counted {
    Counted::Address(match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    })
}

/// Drops what is over; if all are fresh, drops the half that has been tried least.
fn make_room(windows: &mut HashMap<Counted, Window>, now: Timestamp) {
    windows.retain(|_, window| now.millis_since(window.began) < WINDOW_MS);
    if windows.len() + 2 > COUNTED_MAX {
        let mut counts: Vec<_> = windows.values().map(|window| window.attempts).collect();
        let (_, median, _) = counts.select_nth_unstable(COUNTED_MAX / 2);
        let median = *median;
        windows.retain(|_, window| window.attempts > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn a_name_is_held_from_every_address_and_an_address_for_every_name() {
        let attempts = Attempts::new(2);
        assert_eq!(attempts.begin("salma", address(1), NOW), Ok(()));
        assert_eq!(attempts.begin("salma", address(2), NOW), Ok(()));
        assert_eq!(attempts.begin("salma", address(3), NOW), Err(600));
        assert_eq!(attempts.begin("idris", address(3), NOW), Ok(()));

        for n in 0..10 {
            assert_eq!(attempts.begin(&format!("name {n}"), address(9), NOW), Ok(()));
        }
        assert_eq!(attempts.begin("yet another", address(9), NOW), Err(600));
        assert_eq!(attempts.begin("yet another", address(9), NOW.plus_millis(WINDOW_MS)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_longer() {
        let attempts = Attempts::new(1);
        assert_eq!(attempts.begin("salma", address(1), NOW), Ok(()));
        let back = NOW.plus_millis(-365 * 24 * 3_600_000);
        assert_eq!(attempts.begin("salma", address(1), back), Err(600));
        assert_eq!(attempts.begin("salma", address(1), back.plus_millis(WINDOW_MS)), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_tried_most() {
        let attempts = Attempts::new(3);
        for _ in 0..3 {
            assert_eq!(attempts.begin("salma", address(1), NOW), Ok(()));
        }
        for n in 0..20_000 {
            let _ = attempts.begin(&format!("name {n}"), address(1000 + n), NOW);
        }
        assert!(attempts.windows.lock().is_ok_and(|windows| windows.len() <= COUNTED_MAX));
        assert!(attempts.begin("salma", address(1), NOW).is_err());
    }
}
