//! How long to wait before the next try.
//!
//! The span doubles with every failure and the wait is a random point in its upper half, so that a
//! hundred phones that lost one relay do not all come back in the same second.

use crate::limits::{RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN};

/// A jittered exponential delay; randomness comes from the caller.
#[derive(Debug, Clone)]
pub struct Backoff {
    span_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { span_ms: RETRY_DELAY_MS_MIN.unsigned_abs() }
    }
}

impl Backoff {
    /// Milliseconds to wait after one more failure.
    pub fn next(&mut self, random: u64) -> u64 {
        let span_ms = self.span_ms;
        self.span_ms = (span_ms * 2).min(RETRY_DELAY_MS_MAX.unsigned_abs());
        let half = span_ms / 2;
        half + random % (span_ms - half + 1)
    }

    /// Begins again at the shortest span, after a success.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_fall_back_after_a_success() {
        let mut backoff = Backoff::default();
        let longest: Vec<u64> = (0..12).map(|_| Backoff::next(&mut backoff.clone(), 0) * 2).collect();
        assert!(longest.iter().all(|delay| *delay == 500), "a copy does not advance the original");
        let mut spans = Vec::new();
        for _ in 0..12 {
            spans.push(backoff.span_ms);
            backoff.next(0);
        }
        assert_eq!(spans[..4], [500, 1_000, 2_000, 4_000]);
        assert_eq!(spans[11], 300_000);
        backoff.reset();
        assert_eq!(backoff.span_ms, 500);
    }

    #[test]
    fn a_delay_lies_in_the_upper_half_of_its_span_whatever_the_random_number() {
        for random in [0, 1, 250, 251, 12_345, u64::MAX] {
            let delay = Backoff::default().next(random);
            assert!((250..=500).contains(&delay), "{delay}");
        }
    }
}
