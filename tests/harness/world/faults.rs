//! What goes wrong in a storm.

use super::clock::TEN_YEARS_MS;
use super::random::Random;
use super::{Event, Violation, World, checks};

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

    fn name(self) -> &'static str {
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
            8..=13 => self.walk(device),
            14..=17 => self.turn_clock(device),
            18..=21 if self.devices[device].is_in_files() => {
                self.coverage.count("devices killed between steps");
                self.kill_device(device);
            }
            22..=27 if self.devices[device].is_in_files() && self.devices[device].store.is_some() => {
                self.devices[device].arm(self.random.between(1, 12));
            }
            28..=29 if self.relay.is_up() => {
                self.coverage.count("relay killed between steps");
                self.kill_relay();
            }
            30..=33 => self.relay_dies_in = Some(self.random.between(1, 40) as u32),
            34..=35 if self.relay.is_up() => {
                self.coverage.count("copies of the relay's folder made");
                self.relay.back_up();
            }
            36 => self.restore_relay(),
            37..=39 => self.corrupt(),
            40..=41 => {
                self.coverage.count("batches of nonsense by a member");
                self.rogue.send(&mut self.random);
                self.bring()?;
            }
            42 => self.admit(device)?,
            43 if self.relay.is_up() => {
                self.coverage.count("views brought up to date in the storm");
                self.relay.catch_up().map_err(|found| Violation::new("views follow the log", found))?;
            }
            _ => {}
        }
        Ok(())
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
        self.devices[device].kill(store);
        if was_up {
            let after_ms = self.random.between(0, 20_000);
            self.plan(after_ms, Event::StartDevice(device));
        }
    }

    pub(super) fn start_device(&mut self, number: usize) -> Result<(), Violation> {
        let device = &mut self.devices[number];
        if device.store.is_some() {
            return Ok(());
        }
        device.start().map_err(|found| Violation::new("a killed device opens its store", found))?;
        if device.is_dying() {
            self.kill_device(number);
            return Ok(());
        }
        checks::recorded_survives_on_its_device(self, number)?;
        self.plan_connect(number);
        Ok(())
    }

    /// Kills the relay's process: every link with it, and what was not committed.
    pub(super) fn kill_relay(&mut self) {
        self.relay_dies_in = None;
        if !self.relay.is_up() {
            return;
        }
        self.relay.kill();
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
        self.relay.start().map_err(|found| Violation::new("a killed relay opens its log", found))?;
        checks::acknowledged_survives_a_kill(self)?;
        self.bring()
    }

    /// The relay's folder is replaced by an older copy of itself.
    fn restore_relay(&mut self) {
        let spaces = self.authority.spaces;
        if !self.relay.is_up() || !self.relay.restore(&mut self.random, &spaces) {
            return;
        }
        self.coverage.count("relay restored from an older copy");
        self.relay_dies_in = None;
        // Only that they come back is promised now, and not that they are there.
        self.oracle.acknowledged_here.clear();
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
