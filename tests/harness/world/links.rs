//! Links: frames on their way, and both ends performed as the client and the server do.

use barid_core::control::Verdict;
use barid_core::engine::{Link, LinkInput};
use barid_core::limits::LINK_IDLE_MS_MAX;
use barid_core::protocol::{CloseCode, RelayInput, RelayOutput};
use barid_server::log::LogError;

use super::relay::{Answer, RelayEnd};
use super::wire::{Quality, Wire};
use super::{Double, Event, Violation, World, checks, coverage};

/// The client sleeps no longer than this without looking.
const SLEEP_MS_MAX: i64 = 3_600_000;

/// The device's end of a link.
#[derive(Debug)]
pub(crate) struct DeviceEnd {
    pub(crate) link: Link,
    turn: u64,
}

/// One connection, of which either end may be gone.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) device: usize,
    pub(crate) device_end: Option<DeviceEnd>,
    pub(crate) relay_end: Option<RelayEnd>,
    relay_turn: u64,
    pub(crate) up: Wire,
    pub(crate) down: Wire,
    /// The relay's restorations when it was made.
    pub(crate) generation: u64,
}

impl World {
    /// Tries again after a while, as the client does.
    pub(super) fn plan_connect(&mut self, device: usize) {
        let delay_ms = self.devices[device].backoff.next(self.random.next());
        self.devices[device].attempt += 1;
        let attempt = self.devices[device].attempt;
        self.plan(delay_ms as i64, Event::Connect { device, attempt });
    }

    pub(super) fn connect(&mut self, number: usize, attempt: u64) -> Result<(), Violation> {
        let device = &self.devices[number];
        let Some(store) = device.store.clone() else { return Ok(()) };
        if device.attempt != attempt || device.link.is_some() || device.is_away {
            return Ok(());
        }
        if !self.relay.is_up() {
            self.plan_connect(number);
            return Ok(());
        }
        let (identity, now) = (device.identity.clone(), device.clock.now());
        let link = Link::begin(&store, identity, self.relay.key(), self.random.bytes(), now);
        if device.is_dying() {
            drop((link, store));
            self.kill_device(number);
            return Ok(());
        }
        drop(store);
        let link = match link {
            Ok(link) => link,
            Err(_) if self.devices[number].disk.take_has_failed() => {
                self.coverage.count("links not begun because a device's disk failed");
                self.plan_connect(number);
                return Ok(());
            }
            Err(error) => return Err(Violation::new(checks::ENGINE, format!("{error:?}"))),
        };
        let quality = if self.is_calm { Quality::GOOD } else { Quality::draw(&mut self.random) };
        let relay_end = self.relay.accept(&mut self.random);
        self.link_count += 1;
        let id = self.link_count;
        let connection = Connection {
            device: number,
            device_end: Some(DeviceEnd { link, turn: 0 }),
            relay_end: Some(relay_end),
            relay_turn: 0,
            up: Wire::new(quality),
            down: Wire::new(quality),
            generation: self.relay.generation,
        };
        self.links.insert(id, connection);
        self.devices[number].link = Some(id);
        self.coverage.count("links begun");
        if !self.is_calm && self.now() < self.flaps_until {
            let (after_ms, how) = (self.random.between(300, 4_000), super::Cut::draw(&mut self.random));
            self.plan(after_ms, Event::Cut(id, how));
        } else if !self.is_calm && self.random.one_in(2) {
            let (after_ms, how) = (self.random.between(0, 25_000), super::Cut::draw(&mut self.random));
            self.plan(after_ms, Event::Cut(id, how));
        }
        self.perform_device(id)?;
        self.perform_relay(id)
    }

    pub(super) fn arrive_up(&mut self, id: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(frame) = self.links.get_mut(&id).and_then(|link| link.up.take(now)) else { return Ok(()) };
        self.note(&frame);
        self.tell_relay(id, RelayInput::Frame(frame))
    }

    pub(super) fn arrive_down(&mut self, id: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(frame) = self.links.get_mut(&id).and_then(|link| link.down.take(now)) else { return Ok(()) };
        self.note(&frame);
        self.tell_device(id, LinkInput::Frame(frame))?;
        let device = self.links.get(&id).filter(|link| link.device_end.is_some()).map(|link| link.device);
        match device.filter(|_| self.random.one_in(48)) {
            Some(device) => self.check(checks::BELIEVED, |world| checks::of_device(world, device)),
            None => Ok(()),
        }
    }

    pub(super) fn wake_device(&mut self, id: u64, turn: u64) -> Result<(), Violation> {
        let end = self.links.get(&id).and_then(|link| link.device_end.as_ref());
        if end.is_some_and(|end| end.turn == turn) { self.tell_device(id, LinkInput::Tick) } else { Ok(()) }
    }

    pub(super) fn wake_relay(&mut self, id: u64, turn: u64) -> Result<(), Violation> {
        let link = self.links.get(&id).filter(|link| link.relay_end.is_some());
        if link.is_some_and(|link| link.relay_turn == turn) {
            self.tell_relay(id, RelayInput::Tick)
        } else {
            Ok(())
        }
    }

    pub(super) fn tell_device(&mut self, id: u64, input: LinkInput) -> Result<(), Violation> {
        let Some(connection) = self.links.get_mut(&id) else { return Ok(()) };
        let Some(end) = &mut connection.device_end else { return Ok(()) };
        let device = &self.devices[connection.device];
        device.disk.take_has_failed();
        let handled = end.link.handle(input, device.clock.now());
        match handled {
            Err(error) if !device.is_dying() => {
                if !device.disk.take_has_failed() {
                    return Err(Violation::new(checks::ENGINE, format!("{error:?}")));
                }
                // The client gives the link up and tries again later.
                self.coverage.count("links given up because a device's disk failed");
                self.hang_up_device(id);
                Ok(())
            }
            _ => self.perform_device(id),
        }
    }

    /// Does what the client does after each input: sends, ends, tells of what was committed, sleeps.
    fn perform_device(&mut self, id: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(connection) = self.links.get_mut(&id) else { return Ok(()) };
        let number = connection.device;
        if self.devices[number].is_dying() {
            self.kill_device(number);
            return Ok(());
        }
        let Some(end) = &mut connection.device_end else { return Ok(()) };
        let is_synced = self.devices[number].disk.is_synced();
        let mut frames = Vec::new();
        while let Some(frame) = end.link.next_frame() {
            frames.push(frame);
        }
        end.turn += 1;
        let (turn, closed, is_up_to_date) = (end.turn, end.link.closed(), end.link.is_up_to_date());
        let sleep_ms = self.devices[number].sleep_ms(end.link.wake_at(), SLEEP_MS_MAX);
        if !frames.is_empty() {
            self.coverage.count(checks::SENT);
            if !is_synced {
                return Err(checks::sent_before_durable(number));
            }
        }
        if is_up_to_date {
            self.devices[number].backoff.reset();
            self.devices[number].generation = connection.generation;
        }
        for frame in frames {
            self.watch_up(id, &frame)?;
            let arrival = self.links.get_mut(&id).and_then(|link| link.up.put(frame, now));
            if let Some(arrival) = arrival {
                self.plan(arrival - now, Event::Up(id));
            }
        }
        if let Some(closed) = closed {
            if let Some(code) = closed.code() {
                self.coverage.count(&coverage::close(code));
            }
            self.hang_up_device(id);
            return Ok(());
        }
        self.plan(sleep_ms, Event::WakeDevice { link: id, turn });
        if self.devices[number].has_news() { self.tell_device(id, LinkInput::LocalChange) } else { Ok(()) }
    }

    pub(super) fn tell_relay(&mut self, id: u64, input: RelayInput) -> Result<(), Violation> {
        let now = self.relay.clock.now();
        let Some(end) = self.links.get_mut(&id).and_then(|link| link.relay_end.as_mut()) else {
            return Ok(());
        };
        end.session.handle(input, now);
        self.perform_relay(id)
    }

    /// Does what the server's connection does: performs outputs in order, then sleeps.
    fn perform_relay(&mut self, id: u64) -> Result<(), Violation> {
        let mut replaced = None;
        loop {
            let Some(mut end) = self.links.get_mut(&id).and_then(|link| link.relay_end.take()) else {
                return Ok(());
            };
            let Some(output) = end.session.poll_output() else {
                self.links.get_mut(&id).expect("it is there").relay_end = Some(end);
                break;
            };
            if self.relay_dies() {
                self.coverage.count("relay killed between an output and its performance");
                self.kill_relay();
                return Ok(());
            }
            self.relay.disk.take_has_failed();
            let input = self.perform_one(id, &mut end, output, &mut replaced)?;
            if self.relay.disk.is_dead() {
                self.coverage.count("relay killed while it read or wrote");
                self.kill_relay();
                return Ok(());
            }
            if let Some(input) = input {
                let is_opened = matches!(input, RelayInput::Opened(_));
                end.session.handle(input, self.relay.clock.now());
                if is_opened {
                    self.seek(&mut end);
                }
            }
            self.links.get_mut(&id).expect("it is there").relay_end = Some(end);
        }
        self.settle_relay(id);
        let Some(replaced) = replaced else { return Ok(()) };
        let is_old = |link: &super::Connection| {
            link.relay_end.as_ref().is_some_and(|end| end.joined == Some(replaced))
        };
        let old = self.links.iter().find(|(_, link)| is_old(link)).map(|(id, _)| *id);
        self.coverage.count("links replaced by a newer one");
        old.map_or(Ok(()), |old| self.tell_relay(old, RelayInput::Close(CloseCode::Replaced)))
    }

    fn relay_dies(&mut self) -> bool {
        let Some(left) = &mut self.relay_dies_in else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    fn perform_one(
        &mut self,
        id: u64,
        end: &mut RelayEnd,
        output: RelayOutput,
        replaced: &mut Option<barid_server::relay::room::LinkId>,
    ) -> Result<Option<RelayInput>, Violation> {
        let now = self.now();
        Ok(match output {
            RelayOutput::Send(frame) => {
                self.watch_down(id, &frame)?;
                let arrival = self.links.get_mut(&id).and_then(|link| link.down.put(frame, now));
                if let Some(arrival) = arrival {
                    self.plan(arrival - now, Event::Down(id));
                }
                None
            }
            RelayOutput::Open { device, incarnation: _, spaces } => {
                let opened = self.relay.open(end, device, &spaces);
                let (input, replaces) =
                    self.or_failed(opened, (RelayInput::Close(CloseCode::Failed), None))?;
                *replaced = replaces.or(*replaced);
                Some(input)
            }
            RelayOutput::Append { space: _, batch } => {
                let answer = self.relay.append(id, batch);
                if self.relay.is_behind() {
                    // A slow disk takes longer than a device takes to come back on another link.
                    let is_slow = !self.is_calm && self.random.one_in(4);
                    let fsync_ms = self.random.between(0, if is_slow { 5_000 } else { 30 });
                    self.plan(fsync_ms, Event::Commit);
                }
                match answer {
                    Some(answer) => Some(self.answered(&answer)?),
                    None => None,
                }
            }
            RelayOutput::ReadLog { space, after, excluding, len_max, control_only } => {
                let read = self.relay.read(space, after, excluding, len_max, control_only);
                Some(self.or_failed(read, RelayInput::Close(CloseCode::Failed))?)
            }
            RelayOutput::ReadControl { space, position, after, len_max } => {
                let read = self.relay.read_control(space, position, after, len_max);
                Some(self.or_failed(read, RelayInput::Close(CloseCode::Failed))?)
            }
            output @ (RelayOutput::AttachmentOffered { .. }
            | RelayOutput::AttachmentPiece { .. }
            | RelayOutput::AttachmentWanted { .. }) => Some(self.shelve(output)),
            RelayOutput::WakeAt(at) => {
                end.wake_at = Some(at);
                None
            }
            RelayOutput::Closed(_) => {
                end.is_closed = true;
                None
            }
            // Who was seen when is shown to people and decides nothing.
            RelayOutput::Seen { .. } | RelayOutput::Confirmed { .. } => None,
            RelayOutput::Enrol { .. } => return Err(Violation::new("nobody enrols here", "")),
        })
    }

    /// What the server does when its log fails: it says so to the one link and goes on.
    pub(super) fn or_failed<T>(&mut self, result: Result<T, LogError>, instead: T) -> Result<T, Violation> {
        match result {
            Ok(value) => Ok(value),
            Err(_) if self.relay.disk.is_dead() || self.relay.disk.take_has_failed() => {
                self.coverage.count("answers of the relay that its disk failed");
                Ok(instead)
            }
            Err(error) => Err(Violation::new(checks::LOG, format!("{error:?}"))),
        }
    }

    /// Lets an end that closed go, and plans the sleep of one that did not.
    fn settle_relay(&mut self, id: u64) {
        let relay_now = self.relay.clock.now();
        let Some(connection) = self.links.get_mut(&id) else { return };
        let Some(end) = &connection.relay_end else { return };
        if end.is_closed {
            self.hang_up_relay(id);
            return;
        }
        let sleep_ms = end.wake_at.map_or(LINK_IDLE_MS_MAX, |at| at.millis_since(relay_now));
        connection.relay_turn += 1;
        let turn = connection.relay_turn;
        self.plan(sleep_ms.clamp(0, LINK_IDLE_MS_MAX), Event::WakeRelay { link: id, turn });
    }

    /// The log's commit, and who hears of it.
    pub(super) fn commit(&mut self) -> Result<(), Violation> {
        if !self.relay.is_behind() {
            return Ok(());
        }
        if self.relay_dies() {
            self.coverage.count("relay killed before a commit");
            self.kill_relay();
            return Ok(());
        }
        let senders = self.relay.senders();
        self.relay.disk.take_has_failed();
        let answers = self.relay.commit();
        if self.relay.disk.is_dead() {
            self.coverage.count("relay killed while it committed");
            self.kill_relay();
            return Ok(());
        }
        let is_failed = answers.is_err();
        let answers = self.or_failed(answers, Vec::new())?;
        if is_failed {
            self.coverage.count("commits of the log that failed");
            // Nothing of the group was stored, and no verdict is given on it.
            return senders
                .into_iter()
                .try_for_each(|link| self.tell_relay(link, RelayInput::Close(CloseCode::Failed)));
        }
        self.coverage.count("commits of the log");
        let held = std::mem::take(&mut self.relay.held_already);
        self.coverage.add("batches that came again and were held", held);
        if self.relay_dies() {
            self.coverage.count("relay killed after a commit and before its acknowledgements");
            self.kill_relay();
            return Ok(());
        }
        for answer in answers {
            // It may die while it answers the one before.
            if !self.relay.is_up() {
                return Ok(());
            }
            let input = self.answered(&answer)?;
            self.tell_relay(answer.link, input)?;
        }
        self.tell_news()
    }

    fn answered(&mut self, answer: &Answer) -> Result<RelayInput, Violation> {
        match answer.verdict {
            Verdict::Accepted => {
                self.check(checks::DURABLE, |world| checks::acknowledged_is_durable(world, answer))?;
                // Which of two branches stands may come out later.
                if !self.oracle.unaware.contains(&answer.device) {
                    self.oracle.acknowledged.insert((answer.space, answer.batch));
                }
                self.oracle.acknowledged_here.insert((answer.space, answer.batch));
            }
            Verdict::RetryLater(reason) => self.coverage.count(&coverage::retry(reason)),
            Verdict::Refused(reason) => self.coverage.count(&coverage::refuse(reason)),
            Verdict::Quarantined(reason) => {
                self.oracle.quarantined.insert((answer.space, answer.batch));
                self.coverage.count(&coverage::quarantine(reason));
            }
        }
        Ok(RelayInput::Appended { batch: answer.batch, outcome: answer.verdict })
    }

    /// Tells every link how far the log is.
    pub(super) fn tell_news(&mut self) -> Result<(), Violation> {
        if self.double == Double::NewsLost {
            return Ok(());
        }
        let heads = self.relay.heads();
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            let standing = self.links.get(&id).and_then(|link| link.relay_end.as_ref()?.standing.clone());
            if let Some((device, before)) = standing
                && self.double != Double::RevokeCutsNoLink
                && self.relay.standing(device) != before
            {
                self.coverage.count("links cut because a device's standing changed");
                self.tell_relay(id, RelayInput::Close(CloseCode::Reopen))?;
                continue;
            }
            for (space, head) in &heads {
                let end = self.links.get(&id).and_then(|link| link.relay_end.as_ref());
                if end.is_some_and(|end| end.spaces.contains(space)) {
                    self.tell_relay(id, RelayInput::News { space: *space, head: *head })?;
                }
            }
        }
        Ok(())
    }

    /// The device's end is gone; the relay hears of it when what is on its way has come.
    pub(super) fn hang_up_device(&mut self, id: u64) {
        let now = self.now();
        let Some(connection) = self.links.get_mut(&id) else { return };
        if connection.device_end.take().is_none() {
            return;
        }
        let (number, end_ms) = (connection.device, connection.up.end_at(now) - now);
        let is_silent = connection.up.is_silent;
        self.devices[number].link = None;
        if !is_silent {
            self.plan(end_ms, Event::HangUpRelay(id));
        }
        if self.devices[number].store.is_some() {
            self.plan_connect(number);
        }
        self.forget_if_gone(id);
    }

    /// The relay's end is gone; the device hears of it when what is on its way has come.
    pub(super) fn hang_up_relay(&mut self, id: u64) {
        let now = self.now();
        let Some(connection) = self.links.get_mut(&id) else { return };
        let Some(end) = connection.relay_end.take() else { return };
        let (end_ms, is_silent) = (connection.down.end_at(now) - now, connection.down.is_silent);
        if let Some(joined) = end.joined {
            self.relay.leave(joined);
        }
        if !is_silent {
            self.plan(end_ms, Event::HangUpDevice(id));
        }
        self.forget_if_gone(id);
    }

    pub(super) fn forget_if_gone(&mut self, id: u64) {
        if self.links.get(&id).is_some_and(|link| link.device_end.is_none() && link.relay_end.is_none()) {
            self.links.remove(&id);
        }
    }
}
