//! Waiting for a claim to become true, bounded in time.

use std::time::{Duration, Instant};

/// Asks again every few milliseconds until the answer is `Some`, and panics with the claim after `limit`.
pub fn until<T>(claim: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {claim}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
