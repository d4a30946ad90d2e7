//! One phone of the demo: the real core, a database of its own, a real link that comes and goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use barid_core::client::{Client, Phase};
use barid_core::clock::{Timestamp, system_clock};
use barid_core::device::{Device, DeviceConfig};
use barid_core::enrolment::EnrolmentCode;
use barid_core::id::{RecordId, SpaceId};
use barid_core::model::{Fields, Gap, Kinds, Position, TrackChunk, Value, alert, event, patrol};
use barid_core::store::Query;

use super::link::Link;
use super::route::{Point, along};
use super::scene;
use super::story::{Act, CYCLE_S, PhonePlan, Report, SHARED};

/// Positions are written as a chunk every so many seconds, and at the end of a ride.
const CHUNK_S: u64 = 5;

/// The event that both organisations edit: its id, once it is recorded.
pub(super) type Shared = Arc<Mutex<Option<RecordId>>>;

/// A phone.
pub(super) struct Phone {
    plan: &'static PhonePlan,
    route: Vec<Point>,
    device: Device,
    client: Client,
    link: Link,
    space: SpaceId,
    shared: Shared,
    patrol: RecordId,
    reports_done: usize,
    recorded: u64,
    positions: Vec<Position>,
    gaps: Vec<Gap>,
    without_fix_since: Option<Timestamp>,
    last_act: String,
}

/// What the terminal shows of a phone.
pub(super) struct Snapshot {
    pub(super) callsign: &'static str,
    pub(super) organisation: usize,
    pub(super) in_range: bool,
    pub(super) phase: Phase,
    pub(super) recorded: u64,
    pub(super) unsent: u64,
    pub(super) received: u64,
    pub(super) conflicts: u64,
    pub(super) last_act: String,
}

impl Phone {
    /// Enrols over the real link and starts the first patrol.
    pub(super) fn start(
        folder: &Path,
        plan: &'static PhonePlan,
        route: Option<Vec<Point>>,
        code: EnrolmentCode,
        relay_port: u16,
        shared: Shared,
    ) -> anyhow::Result<Self> {
        let link = Link::to(relay_port)?;
        let code = EnrolmentCode { url: format!("ws://127.0.0.1:{}", link.port()), ..code };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let path = folder.join(format!("{}.db", plan.callsign));
        let device = Device::open(DeviceConfig {
            path: Some(path),
            seed: seed.into(),
            kinds: Kinds::built_in(),
            clock: system_clock(),
            key: None,
        })?;
        let enrolment = device.enrol(&code, plan.callsign)?;
        let space =
            enrolment.spaces.first().copied().ok_or_else(|| anyhow::anyhow!("no space for the phone"))?;
        let client = device.sync()?;
        let mut phone = Self {
            plan,
            route: route.unwrap_or_else(|| plan.route.to_vec()),
            device,
            client,
            link,
            space,
            shared,
            patrol: RecordId::from_bytes([0; 16]),
            reports_done: 0,
            recorded: 0,
            positions: Vec::new(),
            gaps: Vec::new(),
            without_fix_since: None,
            last_act: String::new(),
        };
        phone.begin_patrol(0)?;
        Ok(phone)
    }

    /// Lives one second of the story.
    pub(super) fn tick(&mut self, second: u64) -> anyhow::Result<()> {
        let (cycle, moment) = (second / CYCLE_S, second % CYCLE_S);
        if moment == 0 && cycle > 0 {
            self.begin_patrol(cycle)?;
        }
        let out_of_range = self.plan.out_of_range.iter().any(|(from, to)| (*from..*to).contains(&moment));
        if out_of_range {
            self.link.cut()
        } else {
            self.link.restore()
        }
        if self.plan.out_of_range.iter().any(|(_, to)| *to == moment) {
            // A phone sees that it is back in range and need not wait for its next try.
            self.client.request();
        }
        self.ride(cycle, moment)?;
        for (_, act) in self.plan.acts.iter().filter(|(at, _)| *at == moment) {
            self.act(*act, cycle, moment)?;
        }
        Ok(())
    }

    /// What the terminal shows.
    pub(super) fn snapshot(&self, second: u64) -> anyhow::Result<Snapshot> {
        let counts = self.device.store().counts()?;
        let moment = second % CYCLE_S;
        let conflicts = self.device.store().query(&Query {
            space: Some(self.space),
            conflicts_only: true,
            ..Query::default()
        })?;
        Ok(Snapshot {
            callsign: self.plan.callsign,
            organisation: self.plan.organisation,
            in_range: !self.plan.out_of_range.iter().any(|(from, to)| (*from..*to).contains(&moment)),
            phase: self.client.status().borrow().phase,
            recorded: self.recorded,
            unsent: counts.unsent_records,
            received: counts.records.saturating_sub(self.recorded),
            conflicts: conflicts.records.len() as u64,
            last_act: self.last_act.clone(),
        })
    }

    /// Comes back into range, whatever the story says, so that all that is left is sent.
    pub(super) fn come_home(&mut self) {
        self.link.restore();
        self.client.request();
    }

    /// Whether everything recorded has been acknowledged.
    pub(super) fn is_done(&self) -> bool {
        let status = self.client.status();
        let status = status.borrow();
        let has_photos = self.device.store().unsent_attachments().map_or(true, |unsent| unsent.len > 0);
        status.phase == Phase::UpToDate && status.unsent_records == 0 && !has_photos
    }

    /// A digest of all rows, equal on phones that hold the same.
    pub(super) fn digest(&self) -> anyhow::Result<[u8; 32]> {
        Ok(self.device.store().digest(self.space)?)
    }

    fn begin_patrol(&mut self, cycle: u64) -> anyhow::Result<()> {
        let now = now();
        let plan = self.plan;
        let fields = fields([
            ("serial", format!("{}-{:03}", plan.callsign, cycle + 1).into()),
            ("patrol_type", "routine".into()),
            ("unit", plan.callsign.into()),
            ("scheduled_start", now.as_millis().into()),
            ("scheduled_end", now.plus_millis(CYCLE_S as i64 * 1000).as_millis().into()),
            ("title", plan.title.into()),
            ("objective", plan.objective.into()),
            ("priority", 100.into()),
            ("transport", plan.transport.into()),
            ("state", "active".into()),
            ("started_at", now.as_millis().into()),
        ]);
        self.patrol = self.put(patrol::NAME, fields)?;
        self.say(format!("patrol “{}” begins", plan.title));
        Ok(())
    }

    fn ride(&mut self, cycle: u64, moment: u64) -> anyhow::Result<()> {
        let now = now();
        let blind = self.plan.without_fix.is_some_and(|(from, to)| (from..to).contains(&moment));
        match (blind, self.without_fix_since) {
            (true, None) => self.without_fix_since = Some(now),
            (false, Some(from)) => {
                self.gaps.push(Gap { from, to: now, reason: "no_fix".to_owned() });
                self.without_fix_since = None;
            }
            _ => {}
        }
        if !blind {
            let place = self.place(cycle, moment);
            self.positions.push(Position {
                time: now,
                lat_e7: (place.lat * 1e7).round() as i32,
                lon_e7: (place.lon * 1e7).round() as i32,
                accuracy_m: 6,
            });
        }
        if moment % CHUNK_S == CHUNK_S - 1 {
            self.write_track()?;
        }
        Ok(())
    }

    fn write_track(&mut self) -> anyhow::Result<()> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let chunk = TrackChunk {
            id: RecordId::new(now(), random()?),
            patrol: self.patrol,
            positions: std::mem::take(&mut self.positions),
            gaps: std::mem::take(&mut self.gaps),
        };
        let space = self.space;
        self.device.store().write(|group| group.add_track(space, chunk))?;
        Ok(())
    }

    fn act(&mut self, act: Act, cycle: u64, moment: u64) -> anyhow::Result<()> {
        let place = self.place(cycle, moment);
        match act {
            Act::Report => {
                let report = &self.plan.reports[self.reports_done % self.plan.reports.len()];
                self.reports_done += 1;
                let id = self.put(event::NAME, self.event(report, place))?;
                if self.reports_done % 2 == 1 {
                    self.photograph(id, 1)?;
                }
                self.say(format!("reports “{}”", report.title));
            }
            Act::RecordShared => {
                let id = self.put(event::NAME, self.event(&SHARED, place))?;
                self.photograph(id, 2)?;
                *self.shared.lock().expect("no phone panics while it holds this") = Some(id);
                self.say(format!("reports “{}”, which DR-1 will edit too", SHARED.title));
            }
            Act::EditShared { field, value, title } => {
                self.edit_shared(&[(field, value), ("title", title)])?
            }
            Act::ResolveShared => self.resolve_shared()?,
            Act::Sos { note } => {
                self.put(
                    alert::NAME,
                    fields([
                        ("time", now().as_millis().into()),
                        ("lat", degrees(place.lat).into()),
                        ("lon", degrees(place.lon).into()),
                        ("accuracy_m", 6.0.into()),
                        ("alert_type", "sos".into()),
                        ("raised_by", self.plan.callsign.into()),
                        ("patrol", self.patrol.to_string().into()),
                        ("state", "raised".into()),
                        ("note", note.into()),
                    ]),
                )?;
                self.say("SOS".to_owned());
            }
            Act::EndPatrol => {
                self.write_track()?;
                let (space, patrol) = (self.space, self.patrol);
                let ended = now().as_millis();
                self.device.store().write(|group| {
                    group.patch(
                        space,
                        patrol::NAME,
                        patrol,
                        set([("state", "done".into()), ("ended_at", ended.into())]),
                    )
                })?;
                self.say("patrol ends".to_owned());
            }
        }
        Ok(())
    }

    fn event(&self, report: &Report, place: Point) -> Fields {
        let mut all = fields([
            ("time", now().as_millis().into()),
            ("lat", degrees(place.lat).into()),
            ("lon", degrees(place.lon).into()),
            ("accuracy_m", 6.0.into()),
            ("how", "gps".into()),
            ("reported_by", self.plan.callsign.into()),
            ("patrol", self.patrol.to_string().into()),
            ("event_type", report.event_type.into()),
            ("category", report.category.into()),
            ("layer", report.layer.into()),
            ("priority", report.priority.into()),
            ("title", report.title.into()),
            ("note", report.note.into()),
            ("review_state", "submitted".into()),
            ("operational_state", "new".into()),
        ]);
        if let Some([women, men, girls, boys]) = report.persons {
            all.extend(fields([
                ("persons_total", (women + men + girls + boys).into()),
                ("persons_women", women.into()),
                ("persons_men", men.into()),
                ("persons_girls", girls.into()),
                ("persons_boys", boys.into()),
                ("needs_water", report.needs[0].into()),
                ("needs_medical", report.needs[1].into()),
            ]));
        }
        all
    }

    /// Attaches so many pictures to an event.
    fn photograph(&self, id: RecordId, count: u64) -> anyhow::Result<()> {
        for _ in 0..count {
            let seed = u64::from_le_bytes(crate::secret::random());
            self.device.store().attach(self.space, event::NAME, id, &scene::draw(seed)?, None)?;
        }
        Ok(())
    }

    fn edit_shared(&mut self, values: &[(&str, &str)]) -> anyhow::Result<()> {
        let Some(id) = self.held_shared()? else { return Ok(()) };
        let space = self.space;
        let values = set(values.iter().map(|(name, value)| (*name, Value::from(*value))));
        self.device.store().write(|group| group.patch(space, event::NAME, id, values))?;
        self.say("edits the shared event, out of range".to_owned());
        Ok(())
    }

    fn resolve_shared(&mut self) -> anyhow::Result<()> {
        let Some(id) = self.held_shared()? else { return Ok(()) };
        let space = self.space;
        let conflicts = self.device.store().conflicts(space, event::NAME, id)?;
        let chosen: BTreeMap<String, Option<Value>> = conflicts
            .into_iter()
            .filter_map(|conflict| Some((conflict.field, conflict.values.into_iter().next()?.value)))
            .collect();
        if !chosen.is_empty() {
            self.device.store().write(|group| group.patch(space, event::NAME, id, chosen))?;
            self.say("decides between the two titles".to_owned());
        }
        Ok(())
    }

    /// The shared event's id, if it has already arrived on this phone.
    fn held_shared(&self) -> anyhow::Result<Option<RecordId>> {
        let id = *self.shared.lock().expect("no phone panics while it holds this");
        let Some(id) = id else { return Ok(None) };
        Ok(self.device.store().get(self.space, event::NAME, id)?.map(|_| id))
    }

    fn put(&mut self, kind: &str, fields: Fields) -> anyhow::Result<RecordId> {
        let space = self.space;
        let id = self.device.store().write(|group| group.put(space, kind, None, fields))?;
        self.recorded += 1;
        Ok(id)
    }

    fn place(&self, cycle: u64, moment: u64) -> Point {
        let share = moment as f64 / CYCLE_S as f64;
        along(&self.route, if cycle.is_multiple_of(2) { share } else { 1.0 - share })
    }

    fn say(&mut self, what: String) {
        self.last_act = what;
    }
}

fn now() -> Timestamp {
    system_clock()()
}

fn random() -> Result<[u8; 10], getrandom::Error> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Five decimals are about a metre: no more than the receiver knows.
fn degrees(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn set<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> BTreeMap<String, Option<Value>> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
}
