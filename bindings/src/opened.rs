//! The device while its store is open: every object of the boundary has a handle of this one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use barid_core::device::Device;
use barid_core::exchange::Cancel;

use crate::error::BaridError;

/// How long calls that are under way may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The device, until its store is closed or wiped.
pub(crate) struct Opened {
    state: Mutex<State>,
    settled: Condvar,
    /// Of the long calls that are under way.
    cancels: Mutex<Vec<(u64, Cancel)>>,
}

enum State {
    Open(Arc<Device>),
    /// Somebody waits for every call to end, or wipes it.
    Taken,
    Closed,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened")
    }
}

impl Opened {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            state: Mutex::new(State::Open(Arc::new(device))),
            settled: Condvar::new(),
            cancels: Mutex::default(),
        }
    }

    /// The device, for one call.
    pub(crate) fn device(&self) -> Result<Arc<Device>, BaridError> {
        let state = self.settled.wait_while(self.state(), |state| matches!(state, State::Taken));
        match &*state.unwrap_or_else(PoisonError::into_inner) {
            State::Open(device) => Ok(Arc::clone(device)),
            State::Taken | State::Closed => Err(BaridError::Closed),
        }
    }

    /// Ends long calls, waits for all, and gives the device out of everybody's hands. Who asks for it
    /// meanwhile waits for [`put_back`](Self::put_back) or [`close`](Self::close).
    pub(crate) fn take(&self) -> Result<Device, BaridError> {
        let mut device = {
            let state = self.settled.wait_while(self.state(), |state| matches!(state, State::Taken));
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *state, State::Taken) {
                State::Open(device) => device,
                before => {
                    *state = before;
                    return Err(BaridError::Closed);
                }
            }
        };
        self.cancels().iter().for_each(|(_, cancel)| cancel.cancel());
        let until = Instant::now() + PATIENCE;
        loop {
            device = match Arc::try_unwrap(device) {
                Ok(device) => return Ok(device),
                Err(shared) if Instant::now() < until => shared,
                Err(shared) => {
                    self.settle(State::Open(shared));
                    return Err(BaridError::InUse);
                }
            };
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn put_back(&self, device: Device) {
        self.settle(State::Open(Arc::new(device)));
    }

    /// Nobody gets it any more.
    pub(crate) fn close(&self) {
        self.cancels().iter().for_each(|(_, cancel)| cancel.cancel());
        self.settle(State::Closed);
    }

    /// Notes a long call, until what is returned is dropped.
    pub(crate) fn note(&self, cancel: &Cancel) -> UnderWay<'_> {
        let mut cancels = self.cancels();
        let number = cancels.last().map_or(0, |(last, _)| last + 1);
        cancels.push((number, cancel.clone()));
        UnderWay { opened: self, number }
    }

    fn settle(&self, settled: State) {
        let before = std::mem::replace(&mut *self.state(), settled);
        self.settled.notify_all();
        // Closing the database may take a moment; nobody waits for it here.
        drop(before);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancels(&self) -> MutexGuard<'_, Vec<(u64, Cancel)>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A long call.
#[derive(Debug)]
pub(crate) struct UnderWay<'a> {
    opened: &'a Opened,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.opened.cancels().retain(|(number, _)| *number != self.number);
    }
}
