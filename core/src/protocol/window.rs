//! How many bytes may be on their way, sent and not yet answered for.
//!
//! A queue inside the network is where an SOS would wait. So the window grows only while answers
//! come back fast, and shrinks as soon as they do not: on a slow link one batch is on its way, on a
//! fast one megabytes are. Either end uses one for what it sends.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::limits::{
    ATTACHMENT_WINDOW_LEN_INITIAL, ATTACHMENT_WINDOW_LEN_MAX, ATTACHMENT_WINDOW_LEN_MIN, WINDOW_ANSWER_MS,
    WINDOW_LEN_INITIAL, WINDOW_LEN_MAX, WINDOW_LEN_MIN,
};

/// How many times its length a window grows by at most when all of it is answered.
const GROWTH_MAX: i64 = 4;

/// What is on its way, named by `K`.
#[derive(Debug)]
pub(super) struct Window<K> {
    len: usize,
    len_min: usize,
    len_max: usize,
    in_flight_len: usize,
    in_flight: VecDeque<Flight<K>>,
    shrunk_at: Timestamp,
    /// How many were ever sent.
    sent_count: u64,
    /// How many had been sent when the window was last at least half full: answers to these say
    /// something about the link.
    full_count: u64,
}

#[derive(Debug)]
struct Flight<K> {
    key: K,
    len: usize,
    sent_at: Timestamp,
    number: u64,
}

impl<K: PartialEq> Window<K> {
    /// Of batches.
    pub(super) fn new(now: Timestamp) -> Self {
        Self::within(WINDOW_LEN_INITIAL, WINDOW_LEN_MIN, WINDOW_LEN_MAX, now)
    }

    /// Of parts of attachments, which must keep no batch waiting.
    pub(super) fn of_attachments(now: Timestamp) -> Self {
        let (initial, min) = (ATTACHMENT_WINDOW_LEN_INITIAL, ATTACHMENT_WINDOW_LEN_MIN);
        Self::within(initial, min, ATTACHMENT_WINDOW_LEN_MAX, now)
    }

    fn within(len: usize, len_min: usize, len_max: usize, now: Timestamp) -> Self {
        Self {
            len,
            len_min,
            len_max,
            in_flight_len: 0,
            in_flight: VecDeque::new(),
            shrunk_at: now,
            sent_count: 0,
            full_count: 0,
        }
    }

    /// Bytes that may be sent now. The last thing sent may be longer than the room there was.
    pub(super) fn room(&self) -> usize {
        self.len.saturating_sub(self.in_flight_len)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn in_flight_len(&self) -> usize {
        self.in_flight_len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether something else may go besides: nothing is on its way, or not for long.
    pub(super) fn lets_by(&self, now: Timestamp) -> bool {
        let oldest = self.in_flight.front();
        oldest.is_none_or(|flight| now.millis_since(flight.sent_at) < WINDOW_ANSWER_MS)
    }

    pub(super) fn sent(&mut self, key: K, len: usize, now: Timestamp) {
        self.in_flight_len += len;
        self.sent_count += 1;
        if self.in_flight_len * 2 >= self.len {
            self.full_count = self.sent_count;
        }
        self.in_flight.push_back(Flight { key, len, sent_at: now, number: self.sent_count });
    }

    /// Takes an answer in; the length of what it answers, unless nothing of that name was on its way.
    pub(super) fn answered(&mut self, key: &K, now: Timestamp) -> Option<usize> {
        let index = self.in_flight.iter().position(|flight| flight.key == *key)?;
        let flight = self.in_flight.remove(index)?;
        self.in_flight_len -= flight.len;
        self.adapt(&flight, now);
        Some(flight.len)
    }

    fn adapt(&mut self, flight: &Flight<K>, now: Timestamp) {
        let took_ms = now.millis_since(flight.sent_at).max(1);
        if took_ms > WINDOW_ANSWER_MS {
            // One slow window halves once, however many answers it brings.
            if flight.sent_at >= self.shrunk_at {
                self.len = (self.len / 2).max(self.len_min);
                self.shrunk_at = now;
            }
        } else if flight.number <= self.full_count {
            // A whole window answered makes it what would have been answered in the time that is fast, but
            // no more than five times as long.
            let times = (WINDOW_ANSWER_MS / took_ms - 1).clamp(1, GROWTH_MAX) as usize;
            self.len = (self.len + times * flight.len).min(self.len_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Keeps the window full of `batch_len` batches over a link of `bytes_a_second` for twenty seconds.
    fn settle(batch_len: usize, bytes_a_second: i64) -> Window<u64> {
        let mut window = Window::new(at(0));
        let (mut next, mut answered, mut free_at) = (0, 0, 0);
        let mut arrivals = VecDeque::new();
        for now in 0..20_000 {
            while window.room() > 0 {
                free_at = free_at.max(now) + batch_len as i64 * 1_000 / bytes_a_second;
                arrivals.push_back(free_at);
                window.sent(next, batch_len, at(now));
                next += 1;
            }
            while arrivals.front().is_some_and(|arrival| *arrival <= now) {
                arrivals.pop_front();
                assert_eq!(window.answered(&answered, at(now)), Some(batch_len));
                answered += 1;
            }
        }
        window
    }

    #[test]
    fn a_window_grows_up_to_its_bound_and_the_faster_it_is_answered_the_more() {
        for (took, times) in [(50, 5), (200, 5), (250, 4), (400, 2), (900, 2)] {
            let mut window = Window::new(at(0));
            let mut lens = vec![window.len()];
            for round in 0..12 {
                let (mut sent, began) = (0, round * 1_000);
                while window.room() > 0 {
                    window.sent((round, sent), 1024, at(began));
                    sent += 1;
                }
                (0..sent).for_each(|key| assert!(window.answered(&(round, key), at(began + took)).is_some()));
                lens.push(window.len());
            }
            assert_eq!(
                lens[..3],
                [1, times, times * times].map(|times| times * WINDOW_LEN_INITIAL),
                "{took}"
            );
            assert_eq!(lens[12], WINDOW_LEN_MAX);
            assert!(window.is_empty());
        }
    }

    #[test]
    fn a_slow_window_halves_once_however_many_answers_it_brings() {
        let mut window = Window::new(at(0));
        (0..8).for_each(|key| window.sent(key, 2048, at(0)));
        (0..8).for_each(|key| assert!(window.answered(&key, at(5_000 + key)).is_some()));
        assert_eq!(window.len(), WINDOW_LEN_INITIAL / 2);
    }

    #[test]
    fn on_64_kbit_a_second_at_most_some_seconds_are_on_their_way_and_often_one_batch() {
        assert!(settle(1_000, 8_000).in_flight_len() <= 16_000);
        assert!(settle(30_000, 8_000).in_flight_len() <= 30_000, "one batch");
        assert_eq!(settle(30_000, 100_000_000).len(), WINDOW_LEN_MAX);
    }

    #[test]
    fn a_window_that_is_hardly_used_does_not_grow() {
        let mut window = Window::new(at(0));
        for key in 0..1_000 {
            window.sent(key, 100, at(key));
            window.answered(&key, at(key + 10));
        }
        assert_eq!(window.len(), WINDOW_LEN_INITIAL);
    }

    #[test]
    fn an_answer_to_nothing_is_seen() {
        let mut window = Window::new(at(0));
        window.sent(1, 10, at(0));
        assert_eq!(window.answered(&2, at(1)), None);
        assert_eq!(window.answered(&1, at(1)), Some(10));
        assert_eq!(window.answered(&1, at(1)), None);
        assert_eq!(window.room(), WINDOW_LEN_INITIAL);
    }
}
