//! The live stream: what changed in the views, for everyone who looks at them now.
//!
//! It carries no facts, only names of what to read again. The newest changes are kept in a ring with
//! ascending ids, so that a browser that lost its connection goes on where it was; one that was away
//! for longer than the ring remembers is told to read everything again.

pub mod devices;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

/// Items that one notice carries at most; more are split over several notices.
const NOTICE_ITEMS_MAX: usize = 500;
/// Items that the ring remembers, over all its notices.
const RING_ITEMS_MAX: usize = 20_000;
/// Notices that a slow reader may be behind before it is told to read everything again.
const READER_NOTICES_MAX: usize = 256;

/// One thing to read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveItem {
    /// `event`, `alert`, `patrol`, `track` (`id` is the patrol's), `device`, `organisation`, or an app's own kind.
    #[schema(example = "event")]
    pub kind: String,
    /// The space, as 64 hexadecimal digits; empty for a device, which belongs to none alone.
    pub space: String,
    /// The id within its kind: a UUID for records, hexadecimal for devices and organisations.
    pub id: String,
}

/// Some changes that were committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Ascends from notice to notice, also over restarts of the relay.
    pub id: u64,
    /// What to read again; `None` is everything.
    pub items: Option<Vec<LiveItem>>,
}

/// What a reader that knows everything up to some id has to be told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// These notices, perhaps none, and then whatever is published.
    From(Vec<Arc<Notice>>),
    /// The ring does not reach back so far: read everything again.
    Reset,
}

/// The newest notices, within a bound.
#[derive(Debug)]
pub struct Ring {
    notices: VecDeque<Arc<Notice>>,
    items: usize,
    items_max: usize,
    newest: u64,
    /// Everything above this id is still in the ring.
    complete_after: u64,
}

impl Ring {
    /// An empty ring whose first notice has the id after `newest`.
    pub fn new(newest: u64, items_max: usize) -> Self {
        Self { notices: VecDeque::new(), items: 0, items_max, newest, complete_after: newest }
    }

    /// The id of the newest notice.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds a notice and forgets the oldest ones beyond the bound.
    pub fn push(&mut self, items: Vec<LiveItem>) -> Arc<Notice> {
        self.newest += 1;
        self.items += items.len();
        let notice = Arc::new(Notice { id: self.newest, items: Some(items) });
        self.notices.push_back(Arc::clone(&notice));
        while self.items > self.items_max {
            let Some(oldest) = self.notices.pop_front() else { break };
            self.items -= oldest.items.as_ref().map_or(0, Vec::len);
            self.complete_after = oldest.id;
        }
        notice
    }

    /// Forgets everything: what changed is no longer known. Returns the notice that says so.
    pub fn forget(&mut self) -> Arc<Notice> {
        self.newest += 1;
        self.complete_after = self.newest;
        self.notices.clear();
        self.items = 0;
        Arc::new(Notice { id: self.newest, items: None })
    }

    /// What a reader needs that has seen the notice `seen`.
    pub fn resume(&self, seen: u64) -> Resume {
        if seen < self.complete_after || seen > self.newest {
            return Resume::Reset;
        }
        Resume::From(self.notices.iter().filter(|notice| notice.id > seen).cloned().collect())
    }
}

/// One reader's place in the stream.
#[derive(Debug)]
pub struct Reader {
    /// The newest id at the moment the reader came.
    pub newest: u64,
    /// What it missed.
    pub resume: Resume,
    /// What comes from now on; ends when the relay stops.
    pub notices: broadcast::Receiver<Arc<Notice>>,
}

/// The stream itself, shared by the one who publishes and all who read.
#[derive(Debug, Clone)]
pub struct Live {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    ring: Ring,
    /// `None` once closed.
    sender: Option<broadcast::Sender<Arc<Notice>>>,
}

impl Live {
    /// Starts the stream. Ids begin at the present time, so that they ascend over restarts although
    /// the ring itself is only in memory.
    pub fn new(now: barid_core::clock::Timestamp) -> Self {
        let newest = u64::try_from(now.as_millis()).unwrap_or(0).saturating_mul(1000);
        let sender = Some(broadcast::Sender::new(READER_NOTICES_MAX));
        Self { inner: Arc::new(Mutex::new(Inner { ring: Ring::new(newest, RING_ITEMS_MAX), sender })) }
    }

    /// Tells every reader what to read again.
    pub fn publish(&self, items: Vec<LiveItem>) {
        let mut inner = self.lock();
        for items in items.chunks(NOTICE_ITEMS_MAX) {
            let notice = inner.ring.push(items.to_vec());
            inner.send(notice);
        }
    }

    /// Tells every reader to read everything again.
    pub fn publish_reset(&self) {
        let mut inner = self.lock();
        let notice = inner.ring.forget();
        inner.send(notice);
    }

    /// Joins the stream after the notice `seen`, or at its present end.
    pub fn read(&self, seen: Option<u64>) -> Reader {
        let inner = self.lock();
        let resume = seen.map_or(Resume::From(Vec::new()), |seen| inner.ring.resume(seen));
        let notices = inner.sender.as_ref().map_or_else(closed, broadcast::Sender::subscribe);
        Reader { newest: inner.ring.newest(), resume, notices }
    }

    /// Ends the stream for all readers, so that the relay can stop.
    pub fn close(&self) {
        self.lock().sender = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the ring whole: every change of it is one push.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn send(&self, notice: Arc<Notice>) {
        if let Some(sender) = &self.sender {
            // Nobody listening is no failure: the ring has it.
            let _ = sender.send(notice);
        }
    }
}

/// A receiver whose sender is gone: it ends at once.
fn closed() -> broadcast::Receiver<Arc<Notice>> {
    broadcast::channel(1).1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use barid_core::clock::Timestamp;

    fn items(count: usize) -> Vec<LiveItem> {
        (0..count).map(|n| LiveItem { kind: "event".into(), space: "ab".into(), id: n.to_string() }).collect()
    }

    fn ids(resume: &Resume) -> Option<Vec<u64>> {
        match resume {
            Resume::From(notices) => Some(notices.iter().map(|notice| notice.id).collect()),
            Resume::Reset => None,
        }
    }

    #[test]
    fn a_reader_that_was_away_gets_exactly_what_it_missed() {
        let mut ring = Ring::new(100, 10);
        for _ in 0..3 {
            ring.push(items(2));
        }
        assert_eq!(ids(&ring.resume(100)), Some(vec![101, 102, 103]));
        assert_eq!(ids(&ring.resume(102)), Some(vec![103]));
        assert_eq!(ids(&ring.resume(103)), Some(vec![]));
    }

    #[test]
    fn a_reader_older_than_the_ring_or_from_another_one_starts_over() {
        let mut ring = Ring::new(100, 4);
        for _ in 0..4 {
            ring.push(items(2));
        }
        assert_eq!(ids(&ring.resume(102)), Some(vec![103, 104]));
        assert_eq!(ids(&ring.resume(101)), None, "102 is forgotten");
        assert_eq!(ids(&ring.resume(5)), None, "from before this ring");
        assert_eq!(ids(&ring.resume(999)), None, "from a clock that went back");
    }

    #[test]
    fn a_large_step_is_split_and_nothing_of_it_is_missed() {
        let live = Live::new(Timestamp::from_millis(7));
        let mut reader = live.read(None);
        live.publish(items(NOTICE_ITEMS_MAX * 2 + 1));
        let mut seen = 0;
        while let Ok(notice) = reader.notices.try_recv() {
            let items = notice.items.as_ref().unwrap();
            assert!(items.len() <= NOTICE_ITEMS_MAX);
            seen += items.len();
        }
        assert_eq!(seen, NOTICE_ITEMS_MAX * 2 + 1);
    }

    #[test]
    fn a_reader_that_joins_while_publishing_misses_nothing_and_sees_nothing_twice() {
        let live = Live::new(Timestamp::from_millis(7));
        live.publish(items(1));
        let mut reader = live.read(Some(7000));
        live.publish(items(1));
        assert_eq!(ids(&reader.resume), Some(vec![7001]));
        assert_eq!(reader.notices.try_recv().map(|notice| notice.id), Ok(7002));
        assert!(reader.notices.try_recv().is_err());
    }

    #[test]
    fn after_a_reset_nobody_goes_on_from_before_it() {
        let mut ring = Ring::new(100, 10);
        ring.push(items(1));
        assert_eq!(ring.forget().id, 102);
        assert_eq!(ids(&ring.resume(101)), None);
        assert_eq!(ids(&ring.resume(102)), Some(vec![]));
    }

    #[test]
    fn closing_ends_every_reader() {
        let live = Live::new(Timestamp::from_millis(7));
        let mut before = live.read(None);
        live.close();
        assert!(matches!(before.notices.try_recv(), Err(broadcast::error::TryRecvError::Closed)));
        assert!(matches!(live.read(None).notices.try_recv(), Err(broadcast::error::TryRecvError::Closed)));
    }
}
