//! What goes wrong in a storm.

use barid_core::store::{Store, damaged_beside};
use rusqlite::Connection;

use super::clock::TEN_YEARS_MS;
use super::device::{DATABASE, SavedCopy};
use super::disk::{End, Fault};
use super::oracle::Promise;
use super::random::Random;
use super::{Double, Event, Violation, World, checks};

/// How a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// Both ends learn of it; some of what was on its way still comes.
    Known,
    /// The device learns of it, the relay never does.
    KnownToDevice,
    /// The relay learns of it, the device never does.
    KnownToRelay,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Nothing passes from the device to the relay.
    SilentUp,
    /// Nothing passes from the relay to the device.
    SilentDown,
}

impl Cut {
    /// One as it comes.
    pub(crate) fn draw(random: &mut Random) -> Self {
        use Cut::{Known, KnownToDevice, KnownToRelay, Silent, SilentDown, SilentUp};
        random.pick(&[Known, Known, Known, KnownToDevice, KnownToRelay, Silent, SilentUp, SilentDown])
    }

    /// Every way.
    pub(crate) const ALL: [Self; 6] = [
        Self::Known,
        Self::KnownToDevice,
        Self::KnownToRelay,
        Self::Silent,
        Self::SilentUp,
        Self::SilentDown,
    ];

    /// What it counts as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Known => "cuts known to both ends",
            Self::KnownToDevice => "cuts known to the device alone",
            Self::KnownToRelay => "cuts known to the relay alone",
            Self::Silent => "links gone silent both ways",
            Self::SilentUp => "links gone silent from the device",
            Self::SilentDown => "links gone silent to the device",
        }
    }
}

impl World {
    pub(super) fn fault(&mut self, which: usize) -> Result<(), Violation> {
        let device = self.random.below(self.devices.len());
        match which {
            0..=7 => self.cut_any(),
            8..=11 => self.walk(device),
            12..=13 => self.carry_stick(device)?,
            14..=17 => self.turn_clock(device),
            18..=21 => {
                self.coverage.count("devices killed between steps");
                self.kill_device(device);
            }
            22..=27 if self.devices[device].store.is_some() => {
                let (after, end) = (self.random.between(1, 60) as u64, End::draw(&mut self.random));
                self.devices[device].disk.doom(after, end, self.random.fork());
            }
            28..=29 if self.relay.is_up() => {
                self.coverage.count("relay killed between steps");
                self.kill_relay();
            }
            30..=31 => self.relay_dies_in = Some(self.random.between(1, 40) as u32),
            32..=33 if self.relay.is_up() => {
                let (after, end) = (self.random.between(1, 60) as u64, End::draw(&mut self.random));
                self.relay.disk.doom(after, end, self.random.fork());
            }
            34..=35 if self.relay.is_up() => {
                self.coverage.count("copies of the relay's folder made");
                self.relay.back_up();
            }
            36 if self.has_restores => self.restore_relay(),
            36 if self.random.one_in(2) => self.copy_phone(device),
            36 => self.set_phone_back(device),
            37 => self.corrupt(),
            38 => self.decide(device)?,
            39 => self.meet(device)?,
            40..=41 => {
                self.coverage.count("batches of nonsense by a member");
                self.rogue.send(&mut self.random);
                self.bring()?;
            }
            42 => self.admit(device)?,
            43 if self.relay.is_up() && self.random.one_in(2) => {
                self.coverage.count("views brought up to date in the storm");
                let caught_up = self.observe(|world| world.relay.catch_up());
                caught_up.map_err(|found| Violation::new(checks::VIEWS, found))?;
            }
            45 if self.has_restores => self.restore_relay(),
            45..=46 if self.random.one_in(2) && !self.has_restores => self.copy_phone(device),
            45..=46 if !self.has_restores => self.set_phone_back(device),
            47 => self.decide(device)?,
            48..=49 => self.meet(device)?,
            43 if self.random.one_in(3) => {
                self.coverage.count("times at which every link flaps");
                self.flaps_until = self.now() + self.random.between(20_000, 200_000);
            }
            43 if !self.has_restores && self.random.one_in(4) => self.lose_phone(device),
            44 => {
                let fault = self.random.pick(&Fault::ALL);
                let (after, count) = (self.random.between(0, 30) as u64, self.random.between(1, 20) as u64);
                let is_relays = self.random.one_in(4);
                let disk = if is_relays { &self.relay.disk } else { &self.devices[device].disk };
                disk.fail(fault, after, count);
            }
            _ => {}
        }
        Ok(())
    }

    fn copy_phone(&mut self, number: usize) {
        let device = &self.devices[number];
        if device.store.is_some() {
            let copy = SavedCopy {
                image: device.disk.image(),
                promise: self.oracle.promise(device.identity.device()),
                is_doubtful: device.disk.is_doubtful(),
            };
            self.devices[number].copy = Some(copy);
            self.coverage.count("copies of a phone's database made");
        }
    }

    /// A phone's database is replaced by an older copy of itself.
    fn set_phone_back(&mut self, number: usize) {
        let Some(SavedCopy { image, mut promise, is_doubtful }) = self.devices[number].copy.clone() else {
            return;
        };
        // Of what it had not sent when it was revoked nothing is promised any more, whatever comes back.
        if self.devices[number].is_revoked {
            promise = Promise::default();
        }
        if self.devices[number].store.is_none() {
            return;
        }
        self.kill_device(number);
        let (device, key) = (&self.devices[number], self.devices[number].identity.device());
        let token = format!("{DATABASE}.token");
        let now = device.disk.image();
        // The token is renewed at each opening: until then a copy that comes back cannot be told.
        let is_renewed = now.file(&token) != image.file(&token);
        let kind = if self.double == Double::TokenRolledBack { 3 } else { self.random.below(3) };
        let (image, what, is_told) = match kind {
            1 if is_renewed => {
                let image = image.with(&token, now.file(&token));
                (image, "databases rolled back, and another token beside them", true)
            }
            3 => (image, "databases rolled back, and another token beside them", true),
            0 => (image.with(&token, None), "databases rolled back, and no token beside them", true),
            _ => (image, "databases rolled back together with their token", false),
        };
        // What its log holds of a commit that failed stands in the copy, and its owner never knew of it.
        if !is_told || is_doubtful {
            self.oracle.make_unaware(key);
        }
        device.disk.put_back(&image);
        self.oracle.forgetful.insert(key);
        self.oracle.set_back(key, &promise);
        self.coverage.count(what);
    }

    /// A phone is gone for good, with what it had not sent.
    fn lose_phone(&mut self, number: usize) {
        let others = self.devices.iter().filter(|device| !device.is_lost).count();
        if self.devices[number].store.is_none() || others < 3 {
            return;
        }
        self.devices[number].is_lost = true;
        self.kill_device(number);
        let key = self.devices[number].identity.device();
        self.oracle.forgetful.insert(key);
        self.oracle.set_back(key, &Promise::default());
        self.coverage.count("devices that never return");
    }

    pub(super) fn count_disk(&mut self, device: usize) {
        for (what, count) in self.devices[device].disk.take_counts() {
            self.coverage.add(what, count);
        }
    }

    pub(super) fn count_relays_disk(&mut self) {
        for (what, count) in self.relay.disk.take_counts() {
            self.coverage.add(what, count);
        }
    }

    fn cut_any(&mut self) {
        let all: Vec<u64> = self.links.keys().copied().collect();
        if !all.is_empty() {
            let (link, how) = (self.random.pick(&all), Cut::draw(&mut self.random));
            self.cut(link, how);
        }
    }

    pub(super) fn cut(&mut self, id: u64, how: Cut) {
        let Some(connection) = self.links.get_mut(&id) else { return };
        let (up, down) = (connection.up.on_the_way(), connection.down.on_the_way());
        let kept = (self.random.below(up + 1), self.random.below(down + 1));
        match how {
            Cut::Silent => (connection.up.is_silent, connection.down.is_silent) = (true, true),
            Cut::SilentUp => connection.up.is_silent = true,
            Cut::SilentDown => connection.down.is_silent = true,
            Cut::Known | Cut::KnownToDevice | Cut::KnownToRelay => {
                connection.up.lose_after(kept.0);
                connection.down.lose_after(kept.1);
                self.coverage.add("frames lost by cuts", (up + down - kept.0 - kept.1) as u64);
                connection.up.is_silent |= how == Cut::KnownToDevice;
                connection.down.is_silent |= how == Cut::KnownToRelay;
                if how != Cut::KnownToRelay {
                    self.hang_up_device(id);
                }
                if how == Cut::KnownToRelay {
                    self.hang_up_relay(id);
                }
            }
        }
        self.coverage.count(how.name());
    }

    /// A device goes out of reach, or comes back.
    fn walk(&mut self, device: usize) {
        self.devices[device].is_away = !self.devices[device].is_away;
        match (self.devices[device].is_away, self.devices[device].link) {
            (true, Some(link)) => {
                self.coverage.count("devices gone out of reach");
                let how = Cut::draw(&mut self.random);
                self.cut(link, how);
            }
            (false, None) if self.devices[device].store.is_some() => self.plan_connect(device),
            _ => {}
        }
    }

    fn turn_clock(&mut self, device: usize) {
        let error_ms = match self.random.below(3) {
            0 => self.random.between(-TEN_YEARS_MS, TEN_YEARS_MS),
            1 => self.random.pick(&[-TEN_YEARS_MS, TEN_YEARS_MS, 0]),
            _ => self.random.between(-120_000, 120_000),
        };
        if self.random.one_in(4) {
            self.coverage.count("clock jumps of the relay");
            self.relay.clock.set_error(error_ms);
        } else {
            self.coverage.count("clock jumps of a device");
            self.devices[device].clock.set_error(error_ms);
        }
    }

    /// Kills a device's process, and starts it again later.
    pub(super) fn kill_device(&mut self, device: usize) {
        if self.devices[device].is_dying() {
            self.coverage.count("devices killed inside of a step");
        }
        let was_up = self.devices[device].store.is_some();
        let store = self.devices[device].store.take();
        if let Some(link) = self.devices[device].link {
            let how = self.random.pick(&[Cut::Known, Cut::KnownToDevice]);
            self.cut(link, how);
        }
        let end = End::draw(&mut self.random);
        self.devices[device].kill(store, end, &mut self.random);
        self.count_disk(device);
        if was_up {
            let after_ms = self.random.between(0, 20_000);
            self.plan(after_ms, Event::StartDevice(device));
        }
    }

    /// A phone that died twice at one batch has set it aside, until another version of its program tries
    /// it again: that version comes.
    pub(super) fn update_program(&mut self, number: usize) -> Result<(), Violation> {
        let count = |store: &Store| store.counts().map_or(0, |counts| counts.set_aside);
        if self.devices[number].store.as_ref().map_or(0, count) == 0 {
            return Ok(());
        }
        self.coverage.count("programs updated, for a batch that was set aside");
        self.kill_device(number);
        let path = self.devices[number].disk.path(DATABASE);
        let connection = Connection::open(path).expect("a phone's database");
        connection.execute("UPDATE suspect SET version = 'the one before'", ()).expect("it is there");
        drop(connection);
        self.start_device(number)
    }

    pub(super) fn start_device(&mut self, number: usize) -> Result<(), Violation> {
        let device = &mut self.devices[number];
        if device.store.is_some() || device.is_lost {
            return Ok(());
        }
        device.disk.take_has_failed();
        let started = device.start();
        if device.is_dying() {
            let store = device.store.take();
            device.kill(store, End::Killed, &mut self.random);
            self.coverage.count("devices killed while they started");
            self.plan(1_000, Event::StartDevice(number));
            return Ok(());
        }
        if let Err(found) = started {
            device.store = None;
            // A disk that fails makes no file damaged, and one that is put aside is missed.
            let is_put_aside = !damaged_beside(&device.disk.path(DATABASE)).is_empty();
            if !device.disk.take_has_failed() || is_put_aside {
                return Err(Violation::new(checks::OPENS, found));
            }
            self.coverage.count("devices that did not start because their disk failed");
            self.plan(1_000, Event::StartDevice(number));
            return Ok(());
        }
        self.coverage.count(checks::OPENS);
        self.check(checks::RECORDED_HERE, |world| checks::recorded_survives_on_its_device(world, number))?;
        self.plan_connect(number);
        Ok(())
    }

    /// Kills the relay's process: every link with it, and what was not committed.
    pub(super) fn kill_relay(&mut self) {
        self.relay_dies_in = None;
        if !self.relay.is_up() {
            return;
        }
        let end = End::draw(&mut self.random);
        self.relay.kill(end, &mut self.random);
        self.count_relays_disk();
        self.drop_relay_ends();
        let after_ms = self.random.between(0, 30_000);
        self.plan(after_ms, Event::StartRelay);
    }

    fn drop_relay_ends(&mut self) {
        // Of one that is just performed, the end is taken out already: the device must hear of it too.
        let all: Vec<u64> = self.links.keys().copied().collect();
        for id in all {
            let is_told = !self.random.one_in(4);
            let Some(connection) = self.links.get_mut(&id) else { continue };
            connection.relay_end = None;
            connection.down.is_silent |= !is_told;
            if is_told {
                let after_ms = self.random.between(0, 2_000);
                self.plan(after_ms, Event::HangUpDevice(id));
            }
            self.forget_if_gone(id);
        }
    }

    pub(super) fn start_relay(&mut self) -> Result<(), Violation> {
        if self.relay.is_up() {
            return Ok(());
        }
        self.relay.disk.take_has_failed();
        if let Err(found) = self.relay.start() {
            let (is_dead, has_failed) = (self.relay.disk.is_dead(), self.relay.disk.take_has_failed());
            if is_dead {
                self.relay.kill(End::Killed, &mut self.random);
            } else if !has_failed {
                return Err(Violation::new(checks::OPENS, found));
            }
            self.coverage.count("starts of the relay that its disk failed");
            self.plan(1_000, Event::StartRelay);
            return Ok(());
        }
        if self.relay.disk.is_dead() {
            self.kill_relay();
            return Ok(());
        }
        self.coverage.count(checks::OPENS);
        self.check(checks::SURVIVES, |world| checks::acknowledged_survives_a_kill(world))?;
        self.bring()
    }

    /// The relay's folder is replaced by an older copy of itself.
    fn restore_relay(&mut self) {
        if !self.relay.is_up() {
            return;
        }
        let Some(is_renamed) = self.relay.restore(&mut self.random) else { return };
        self.coverage.count(if is_renamed {
            "relay restored from an older copy, under a new log id"
        } else {
            "relay's folder replaced by an older copy, under its old log id"
        });
        self.brought = (0, 0);
        self.relay_dies_in = None;
        // Only that they come back is promised now, and not that they are there.
        self.oracle.acknowledged_here.clear();
        self.oracle.quarantined.clear();
        self.drop_relay_ends();
        let after_ms = self.random.between(0, 30_000);
        self.plan(after_ms, Event::StartRelay);
    }

    /// A bit of a batch flips on its way, as no honest transport lets it.
    fn corrupt(&mut self) {
        let all: Vec<u64> = self.links.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let link = self.random.pick(&all);
        let Some(connection) = self.links.get_mut(&link) else { return };
        if connection.up.flip_bit(300, &mut self.random) {
            self.coverage.count("bits flipped on the way to the relay");
        }
    }
}
