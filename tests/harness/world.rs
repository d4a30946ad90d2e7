//! A world of phones and a relay in which one seed decides everything.
//!
//! The real engine, store, session, room and log run here; the network, the clocks, the processes and
//! the people are the world's. There is no thread, no sleep and no clock of the machine's: time is
//! the next entry of an agenda. A storm of work and faults is followed by a calm in which everything
//! must come to rest, and then each checker looks at what is left. What goes wrong names its checker,
//! and the same seed goes wrong again.

mod authority;
mod checks;
mod clock;
mod coverage;
mod decisions;
mod device;
mod disk;
mod double;
mod faults;
mod links;
mod many;
mod meetings;
mod oracle;
mod photos;
pub(crate) mod random;
mod relay;
mod sister;
mod sticks;
mod template;
mod watch;
mod wire;
mod workload;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tempfile::TempDir;

pub use checks::INVARIANTS;
pub use coverage::{Coverage, Group};
pub use double::Double;
pub use many::{Plan, Report, doubles, many, replay_command};

use crate::memory_folder::memory_folder;
use authority::{Authority, Rogue};
use clock::NodeClock;
use device::Device;
use disk::Disk;
use faults::Cut;
use links::Connection;
use oracle::Oracle;
use photos::Photos;
use random::Random;
use relay::Relay;
use sister::Sister;

/// When every world begins, by its own time.
const BEGIN_MS: i64 = 1_790_000_000_000;
/// A calm that lasts longer never ends: nothing is wrong any more, and it is not done.
const CALM_MS_MAX: i64 = 3 * 3_600_000;
/// Entries of the agenda that one calm may take.
const CALM_STEPS_MAX: u64 = 2_000_000;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which checker found it.
    pub checker: &'static str,
    /// What it found.
    pub found: String,
}

impl Violation {
    pub(crate) fn new(checker: &'static str, found: impl Into<String>) -> Self {
        Self { checker, found: found.into() }
    }
}

/// What became of one world.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What it was put through.
    pub coverage: Coverage,
    /// A hash over every frame and when it came: equal whenever the same world runs.
    pub trace: u64,
    /// What does not hold, if anything.
    pub violation: Option<Violation>,
}

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A frame may have arrived at the relay.
    Up(u64),
    /// A frame may have arrived at the device.
    Down(u64),
    WakeDevice {
        link: u64,
        turn: u64,
    },
    WakeRelay {
        link: u64,
        turn: u64,
    },
    /// The device's end learns that the link is gone.
    HangUpDevice(u64),
    /// The relay's end does.
    HangUpRelay(u64),
    Cut(u64, Cut),
    Connect {
        device: usize,
        attempt: u64,
    },
    Commit,
    StartDevice(usize),
    StartRelay,
    Act,
}

/// A world, while it runs.
#[derive(Debug)]
pub struct World {
    random: Random,
    time: Arc<AtomicI64>,
    agenda: BinaryHeap<Reverse<(i64, u64, Event)>>,
    /// Entries made so far: those of one time come in the order in which they were made.
    entries: u64,
    devices: Vec<Device>,
    relay: Relay,
    links: BTreeMap<u64, Connection>,
    link_count: u64,
    authority: Authority,
    rogue: Rogue,
    /// How many batches of either the relay has taken since its folder was last replaced.
    brought: (usize, usize),
    /// Bundles that are on their way.
    sticks: Vec<sticks::Stick>,
    oracle: Oracle,
    photos: Option<Photos>,
    sister: Option<Sister>,
    coverage: Coverage,
    double: Double,
    is_calm: bool,
    /// The relay's folder may be replaced by an older copy; else the phones' may.
    has_restores: bool,
    /// Until then no link lives longer than a few seconds.
    flaps_until: i64,
    actions_left: u32,
    /// The relay is killed when it has performed so many outputs.
    relay_dies_in: Option<u32>,
    trace: u64,
    /// Set while a checker looks.
    is_observed: Arc<AtomicBool>,
    _folder: TempDir,
}

/// How many phones a world has: a few, seldom many.
fn draw_devices(random: &mut Random) -> i64 {
    match random.below(1_000) {
        0 => random.between(51, 200),
        1..=5 => random.between(15, 50),
        _ => random.pick(&[3, 3, 4, 4, 4, 5, 5, 6]),
    }
}

/// Runs the world of one seed to its end, whatever happens.
pub fn run(seed: u64, double: Double) -> Outcome {
    run_of(seed, double, None)
}

/// The same, with so many phones: that is another world than the one of the seed alone.
pub fn run_of(seed: u64, double: Double, devices: Option<u8>) -> Outcome {
    let mut world = World::new(seed, double, devices);
    let result = catch_unwind(AssertUnwindSafe(|| world.live()));
    let violation = match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation::new(checks::PANIC, text.unwrap_or_default()))
        }
    };
    world.devices.iter().for_each(|device| device.disk.abandon());
    world.relay.disk.abandon();
    world.sister.iter().for_each(|sister| sister.relay.disk.abandon());
    Outcome { seed, coverage: world.coverage.clone(), trace: world.trace, violation }
}

impl World {
    fn new(seed: u64, double: Double, devices: Option<u8>) -> Self {
        let mut random = Random::new(seed);
        let time = Arc::new(AtomicI64::new(BEGIN_MS));
        // Memory that looks like files: what is in it survives a process, and costs no disk.
        let folder = tempfile::tempdir_in(memory_folder()).unwrap();
        let is_observed = Arc::new(AtomicBool::new(false));
        let mut authority = Authority::new(&mut random);
        let spaces = authority.spaces;
        let mut relay = {
            let disk = Disk::new(folder.path().join("relay"), &is_observed);
            if double == Double::RelayForgetsSyncs {
                disk.forget_syncs();
            }
            Relay::new(&mut random, NodeClock::new(&time), disk, &spaces, double)
        };
        let rogue = Rogue::new(&mut random, spaces[0]);
        authority.admit(&mut random, rogue.identity.device(), 0, &spaces[..1]);
        relay.take_in(&authority.batches).unwrap();
        let count = devices.map_or_else(|| draw_devices(&mut random), i64::from);
        let device = |number: i64| {
            let organisation = random.below(2);
            // The first organisation's devices are in its own space too.
            let spaces = if organisation == 0 { spaces.to_vec() } else { spaces[..1].to_vec() };
            let disk = Disk::new(folder.path().join(format!("device-{number}")), &is_observed);
            if double == Double::PhonesForgetSyncs {
                disk.forget_syncs();
            }
            Device::new(&mut random, spaces, organisation, NodeClock::new(&time), disk)
        };
        let devices = (0..count).map(device).collect();
        let has_restores = random.one_in(2);
        let sister =
            sister::has_sister(seed).then(|| Sister::new(seed, &time, folder.path(), &is_observed, &spaces));
        Self {
            random,
            time,
            agenda: BinaryHeap::new(),
            entries: 0,
            devices,
            relay,
            links: BTreeMap::new(),
            link_count: 0,
            authority,
            rogue,
            brought: (0, 0),
            sticks: Vec::new(),
            oracle: Oracle::default(),
            photos: photos::has_photos(seed).then(|| Photos::new(seed)),
            sister,
            coverage: Coverage::default(),
            double,
            is_calm: false,
            has_restores,
            flaps_until: 0,
            actions_left: 0,
            relay_dies_in: None,
            trace: 0xcbf2_9ce4_8422_2325,
            is_observed,
            _folder: folder,
        }
    }

    /// Storm and calm, once or a few times.
    fn live(&mut self) -> Result<(), Violation> {
        for device in 0..self.devices.len() {
            self.start_device(device)?;
            // Some are admitted when they have recorded for a while.
            if !self.random.one_in(6) {
                self.admit(device)?;
            }
        }
        let rounds = self.random.pick(&[1, 1, 1, 1, 1, 1, 1, 2, 2, 3]);
        for _ in 0..rounds {
            self.storm()?;
            self.calm()?;
            self.observe(checks::after_calm)?;
            if !self.oracle.adopted.is_empty() || self.random.one_in(3) {
                self.link_again()?;
            }
            self.coverage.count("rounds of storm and calm");
        }
        (0..self.devices.len()).for_each(|device| self.count_disk(device));
        self.count_relays_disk();
        self.count_sisters_disk();
        self.coverage.add("worlds with a sister relay", u64::from(self.sister.is_some()));
        self.coverage.add("changes recorded", self.oracle.changes() as u64);
        self.coverage.add("batches acknowledged", self.oracle.acknowledged.len() as u64);
        self.coverage.add("devices", self.devices.len() as u64);
        self.coverage.add("worlds of more than 14 devices", u64::from(self.devices.len() > 14));
        self.coverage.add("worlds of more than 50 devices", u64::from(self.devices.len() > 50));
        Ok(())
    }

    /// Lets a checker look: what it reads is no step of the world.
    fn observe<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        self.is_observed.store(true, Ordering::Relaxed);
        let seen = look(self);
        self.is_observed.store(false, Ordering::Relaxed);
        seen
    }

    /// Asks one checker.
    fn check(
        &mut self,
        checker: &'static str,
        look: impl FnOnce(&mut Self) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.coverage.count(checker);
        let was_observed = self.is_observed.swap(true, Ordering::Relaxed);
        let seen = look(self);
        self.is_observed.store(was_observed, Ordering::Relaxed);
        seen
    }

    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    fn plan(&mut self, after_ms: i64, event: Event) {
        self.entries += 1;
        self.agenda.push(Reverse((self.now() + after_ms.max(0), self.entries, event)));
    }

    /// Does what is next on the agenda. False if there is nothing.
    fn step(&mut self) -> Result<bool, Violation> {
        let Some(Reverse((at, _, event))) = self.agenda.pop() else { return Ok(false) };
        self.time.store(at.max(self.now()), Ordering::Relaxed);
        match event {
            Event::Up(link) => self.arrive_up(link)?,
            Event::Down(link) => self.arrive_down(link)?,
            Event::WakeDevice { link, turn } => self.wake_device(link, turn)?,
            Event::WakeRelay { link, turn } => self.wake_relay(link, turn)?,
            Event::HangUpDevice(link) => self.hang_up_device(link),
            Event::HangUpRelay(link) => self.hang_up_relay(link),
            Event::Cut(link, how) => self.cut(link, how),
            Event::Connect { device, attempt } => self.connect(device, attempt)?,
            Event::Commit => self.commit()?,
            Event::StartDevice(device) => self.start_device(device)?,
            Event::StartRelay => self.start_relay()?,
            Event::Act => self.act()?,
        }
        Ok(true)
    }

    fn storm(&mut self) -> Result<(), Violation> {
        self.is_calm = false;
        self.actions_left = self.random.between(20, 48) as u32;
        self.plan(0, Event::Act);
        while self.actions_left > 0 && self.step()? {}
        Ok(())
    }

    fn act(&mut self) -> Result<(), Violation> {
        if self.is_calm || self.actions_left == 0 {
            return Ok(());
        }
        self.actions_left -= 1;
        self.coverage.count("actions");
        match self.random.below(100) {
            0..=49 => {
                self.record()?;
                self.photograph()?;
            }
            fault => self.fault(fault - 50)?,
        }
        self.trade()?;
        let pause_ms = match self.random.below(20) {
            0..=9 => self.random.between(0, 300),
            10..=17 => self.random.between(0, 6_000),
            _ => self.random.between(0, 150_000),
        };
        self.plan(pause_ms, Event::Act);
        Ok(())
    }

    /// Nothing goes wrong any more, but what is wrong already heals by itself; until all is at rest.
    fn calm(&mut self) -> Result<(), Violation> {
        self.is_calm = true;
        self.relay_dies_in = None;
        self.relay.disk.heal();
        self.start_relay()?;
        self.bring()?;
        for device in 0..self.devices.len() {
            self.devices[device].disk.heal();
            self.devices[device].is_away = false;
            self.start_device(device)?;
            self.update_program(device)?;
            self.admit(device)?;
        }
        self.reconcile()?;
        if self.random.one_in(2) {
            self.coverage.count("calms that begin with links nobody knows to be dead");
        } else {
            let all: Vec<u64> = self.links.keys().copied().collect();
            all.into_iter().for_each(|link| self.cut(link, Cut::Known));
        }
        (0..self.devices.len())
            .filter(|device| self.devices[*device].link.is_none() && !self.devices[*device].is_lost)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|device| self.plan_connect(device));
        self.rest()
    }

    /// Goes on until everything is at rest.
    fn rest(&mut self) -> Result<(), Violation> {
        self.coverage.count(checks::REST);
        let (begin, mut steps) = (self.now(), 0);
        while !self.observe(|world| checks::is_at_rest(world)) {
            steps += 1;
            let is_over = steps > CALM_STEPS_MAX || self.now() - begin > CALM_MS_MAX;
            if is_over || !self.step()? {
                return Err(Violation::new(checks::REST, checks::unrest(self)));
            }
        }
        Ok(())
    }

    /// Links everybody anew: there must be nothing left to say.
    fn link_again(&mut self) -> Result<(), Violation> {
        if checks::is_to_hear_of_its_own(self)? {
            self.link_all_anew()?;
        }
        self.link_all_anew()?;
        self.check(checks::ADOPTED, |world| checks::what_is_adopted_stands(world))?;
        self.check(checks::FRESH, |world| checks::fresh_diff_is_empty(world))
    }

    fn link_all_anew(&mut self) -> Result<(), Violation> {
        let all: Vec<u64> = self.links.keys().copied().collect();
        all.into_iter().for_each(|link| self.cut(link, Cut::Known));
        (0..self.devices.len()).for_each(|device| self.plan_connect(device));
        self.rest()
    }

    fn admit(&mut self, device: usize) -> Result<(), Violation> {
        let admitted = &mut self.devices[device];
        if std::mem::replace(&mut admitted.is_admitted, true) {
            return Ok(());
        }
        let (key, organisation, spaces) =
            (admitted.identity.device(), admitted.organisation, admitted.spaces.clone());
        self.authority.admit(&mut self.random, key, organisation, &spaces);
        self.bring()
    }

    /// Gives the relay what others than devices have for it.
    fn bring(&mut self) -> Result<(), Violation> {
        let (signed, sent) = self.brought;
        let taken = self.relay.take_in(&self.authority.batches[signed..]);
        let taken = taken.and_then(|()| self.relay.take_in(&self.rogue.batches[sent..]));
        if self.relay.disk.is_dead() {
            self.coverage.count("relay killed while it took in control records");
            self.kill_relay();
            return Ok(());
        }
        if let Err(found) = taken {
            let is_excused = self.relay.disk.take_has_failed();
            return if is_excused { Ok(()) } else { Err(Violation::new(checks::TAKEN, found)) };
        }
        if self.relay.is_up() {
            self.brought = (self.authority.batches.len(), self.rogue.batches.len());
        }
        self.tell_news()
    }

    fn note(&mut self, bytes: &[u8]) {
        let now = self.now().to_be_bytes();
        for byte in now.iter().chain(bytes) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
