//! Reading ahead: what batches say by themselves is found out on another thread, while those before
//! them are put into rows.
//!
//! Whether a signature is right, whether a body is what was signed, what a change says and what its
//! record shows while it is alone: nothing of it depends on what is held, so it is the same wherever it
//! is found out. Everything else is decided in the batches' order, by whoever takes them. The surprise:
//! a thread that is not to be had, or that died at a batch, changes nothing. Whoever takes the batch
//! then reads it, and dies of it where that is noted.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use crate::batch::{BatchError, Body, BodyEntry, ChangeEntry, Entry, SealedBatch};
use crate::document::{fold_first, scan};
use crate::id::{ActorId, ChangeHash};
use crate::model::Kinds;
use crate::store::observe::TRACK;
use crate::store::row::Columns;

/// Entries of a group that are worth a thread, which costs as much as reading some.
const ENTRIES_MIN: usize = 128;
/// Batches that are read before they are taken, at most: about a megabyte.
const BATCHES_MAX: usize = 4;

/// A batch, read.
pub(super) struct Read {
    /// What it holds, if it is what its device signed; nothing if only a newer version can say.
    pub(super) body: Result<Option<Body>, BatchError>,
    /// Of each entry what was read of it; what is not there is read where it is taken.
    pub(super) firsts: Vec<Option<First>>,
}

/// The first change of a record, ready to become its row.
pub(in crate::store) struct First {
    pub(in crate::store) actor: ActorId,
    pub(in crate::store) seq: u64,
    pub(in crate::store) hash: ChangeHash,
    pub(in crate::store) columns: Columns,
}

impl Read {
    pub(super) fn of(batch: &SealedBatch, kinds: &Kinds) -> Self {
        let body = batch.verify_signature().and_then(|()| match batch.open() {
            Err(error) if error.keeps_unread() => Ok(None),
            opened => opened.map(Some),
        });
        let firsts = match &body {
            Ok(Some(body)) => body.entries.iter().map(|entry| First::of(entry, kinds)).collect(),
            _ => Vec::new(),
        };
        Self { body, firsts }
    }
}

impl First {
    fn of(entry: &BodyEntry, kinds: &Kinds) -> Option<Self> {
        let BodyEntry::Present { entry: Entry::Change(ChangeEntry { kind, change, .. }), .. } = entry else {
            return None;
        };
        let change = scan(change).ok().filter(|_| kind != TRACK)?;
        let columns = Columns::new(&fold_first(&change).ok()?.into(), &kinds.find_or_undeclared(kind));
        Some(Self { actor: change.actor, seq: change.seq, hash: change.hash, columns })
    }
}

/// Gives the batches of a group, read, one after the other.
pub(super) struct Ahead(Option<Reading>);

struct Reading {
    reads: Receiver<Read>,
    taken: Sender<Read>,
}

impl Ahead {
    /// The next batch, if it was read ahead.
    pub(super) fn next(&mut self) -> Option<Read> {
        self.0.as_ref().and_then(|reading| reading.reads.recv().ok())
    }

    /// Gives a batch back that was taken, to be freed where it was read: to free another thread's
    /// memory is to wait for it.
    pub(super) fn give_back(&mut self, read: Option<Read>) {
        if let Some((reading, read)) = self.0.as_ref().zip(read) {
            reading.taken.send(read).ok();
        }
    }
}

/// Has batches read while `take` takes them, if they are many.
pub(super) fn read_ahead<'a, T>(
    batches: impl Iterator<Item = &'a SealedBatch> + Clone + Send,
    kinds: &Kinds,
    take: impl FnOnce(Ahead) -> T,
) -> T {
    let entries: usize = batches.clone().map(|batch| usize::from(batch.header().count)).sum();
    if entries < ENTRIES_MIN || batches.clone().nth(1).is_none() {
        return take(Ahead(None));
    }
    thread::scope(|scope| {
        let ((send, reads), (taken, free)) = (sync_channel(BATCHES_MAX), channel::<Read>());
        let read_all = move || {
            for batch in batches {
                // Whoever takes them stops at one that does not fit.
                if send.send(Read::of(batch, kinds)).is_err() {
                    break;
                }
                free.try_iter().for_each(drop);
            }
            drop(send);
            free.into_iter().for_each(drop);
        };
        let thread = thread::Builder::new().name("barid-read".to_owned()).spawn_scoped(scope, read_all);
        let done = take(Ahead(thread.is_ok().then_some(Reading { reads, taken })));
        // That it died is no matter of its own: what it did not read was read by whoever took it.
        thread.ok().and_then(|thread| thread.join().ok());
        done
    })
}
