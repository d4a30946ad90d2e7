//! What people do: they record, edit what others edit too, take back, raise alerts and ride.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use barid_core::id::{RecordId, SpaceId};
use barid_core::model::{Fields, Value};
use barid_core::store::{Store, WriteError, WriteGroup};
use rusqlite::Connection;

use super::authority::chunk;
use super::device::DATABASE;
use super::oracle::RecordKey;
use super::random::Random;
use super::{Double, Violation, World, checks};

/// Fields that everybody edits, so that edits meet.
const CONTESTED: [&str; 4] = ["operational_state", "persons_total", "title", "priority"];

/// What one write did.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) records: BTreeSet<RecordKey>,
    pub(super) tracks: Vec<(SpaceId, RecordId, RecordId)>,
    pub(super) names: Vec<&'static str>,
}

impl World {
    /// Somebody writes, if their phone is on.
    pub(super) fn record(&mut self) -> Result<(), Violation> {
        let number = self.random.below(self.devices.len());
        let device = &self.devices[number];
        let Some(store) = device.store.clone() else { return Ok(()) };
        let now = device.clock.now();
        let space = self.random.pick(&device.spaces);
        let known: Vec<RecordKey> =
            self.oracle.recorded.keys().filter(|key| key.0 == space).copied().collect();
        device.disk.take_has_failed();
        let random = &mut self.random;
        let steps = if random.one_in(6) { random.between(2, 8) } else { 1 };
        let written = store.write(|group| {
            let mut done = Done::default();
            for _ in 0..steps {
                match random.below(12) {
                    0..=3 => put_event(group, random, space, now.as_millis(), &mut done)?,
                    4 => put_alert(group, random, space, &mut done)?,
                    5 => ride(group, random, space, now, &mut done)?,
                    _ => change_known(group, random, &known, &mut done)?,
                }
            }
            Ok(done)
        });
        if self.devices[number].is_dying() {
            // It did not return: whether it was recorded is open.
            self.coverage.count("devices killed while they wrote");
            drop(store);
            self.kill_device(number);
            return Ok(());
        }
        let done = match written {
            Ok(done) => done,
            Err(_) if self.devices[number].disk.take_has_failed() => {
                self.coverage.count("writes of people that a disk failed");
                return Ok(());
            }
            Err(error) => return Err(Violation::new(checks::WRITE, format!("{error:?}"))),
        };
        if self.double == Double::PendingDropped {
            drop_pending(&self.devices[number].disk.path(DATABASE));
        }
        self.check(checks::WRITE, |world| world.remember(number, &store, &done))?;
        // The link may be where the process dies, and then this must not keep its files open.
        drop(store);
        self.tell_of_change(number)
    }

    /// From now on these are recorded.
    pub(super) fn remember(&mut self, number: usize, store: &Store, done: &Done) -> Result<(), Violation> {
        let key = self.devices[number].identity.device();
        done.names.iter().for_each(|name| self.coverage.count(name));
        // Nothing is promised of what it writes from now on.
        if self.devices[number].is_revoked {
            return Ok(());
        }
        let counts = store.counts().map_err(|error| Violation::new(checks::WRITE, format!("{error:?}")))?;
        for record in done.records.iter().filter(|record| !self.oracle.erased.contains(*record)) {
            // What builds on what may be written again counts by its record, not by its name.
            if counts.orphans > 0 || self.oracle.unaware.contains(&key) {
                self.oracle.loose.entry(key).or_default().insert(*record);
                continue;
            }
            let history = store.history(record.0, record.1, record.2);
            let history =
                history.map_err(|error| Violation::new("a write can be read", format!("{error:?}")))?;
            for entry in history.into_iter().filter(|entry| entry.device == key) {
                self.oracle.recorded.entry(*record).or_default().insert(entry.hash);
                self.oracle.recorded_by.entry(key).or_default().insert((*record, entry.hash));
            }
        }
        for (space, patrol, chunk) in &done.tracks {
            self.oracle.tracks.entry((*space, *patrol)).or_default().insert((key, *chunk));
        }
        Ok(())
    }
}

fn put_event(
    group: &mut WriteGroup<'_, '_>,
    random: &mut Random,
    space: SpaceId,
    now_ms: i64,
    done: &mut Done,
) -> Result<(), WriteError> {
    let mut fields = Fields::from([
        ("time".to_owned(), now_ms.into()),
        ("title".to_owned(), format!("بئر {}", random.below(1_000)).as_str().into()),
        ("lat".to_owned(), (random.between(20_000, 33_000) as f64 / 1_000.0).into()),
        ("lon".to_owned(), (random.between(10_000, 25_000) as f64 / 1_000.0).into()),
        ("operational_state".to_owned(), "new".into()),
        ("persons_total".to_owned(), random.between(0, 400).into()),
    ]);
    if random.one_in(30) {
        let len = random.between(1_000, 50_000);
        let letters: String = (0..len).map(|_| (b'a' + random.below(26) as u8) as char).collect();
        fields.insert("description".to_owned(), letters.as_str().into());
        done.names.push("large records written");
    }
    let id = RecordId::from_bytes(random.bytes());
    group.put(space, "event", Some(id), fields)?;
    done.records.insert((space, "event", id));
    done.names.push("events written");
    Ok(())
}

fn put_alert(
    group: &mut WriteGroup<'_, '_>,
    random: &mut Random,
    space: SpaceId,
    done: &mut Done,
) -> Result<(), WriteError> {
    let fields = Fields::from([
        ("alert_type".to_owned(), "sos".into()),
        ("state".to_owned(), "raised".into()),
        ("lat".to_owned(), 27.5.into()),
        ("lon".to_owned(), 14.25.into()),
    ]);
    let id = RecordId::from_bytes(random.bytes());
    group.put(space, "alert", Some(id), fields)?;
    done.records.insert((space, "alert", id));
    done.names.push("alerts raised");
    Ok(())
}

fn ride(
    group: &mut WriteGroup<'_, '_>,
    random: &mut Random,
    space: SpaceId,
    now: barid_core::clock::Timestamp,
    done: &mut Done,
) -> Result<(), WriteError> {
    let patrol = RecordId::from_bytes([random.below(4) as u8; 16]);
    let chunk = chunk(random, patrol, now);
    done.tracks.push((space, patrol, chunk.id));
    done.names.push("track chunks written");
    group.add_track(space, chunk)
}

/// Edits, withdraws or brings back a record that this phone holds, if it holds any.
fn change_known(
    group: &mut WriteGroup<'_, '_>,
    random: &mut Random,
    known: &[RecordKey],
    done: &mut Done,
) -> Result<(), WriteError> {
    if known.is_empty() {
        return Ok(());
    }
    // The newest are the most contested.
    let newest = known.len().saturating_sub(1 + random.below(known.len().min(6)));
    let key = if random.one_in(2) { random.pick(known) } else { known[newest] };
    let (space, kind, id) = key;
    let Some(record) = group.get(space, kind, id)? else { return Ok(()) };
    done.records.insert(key);
    match random.below(10) {
        0 => {
            done.names.push("records withdrawn");
            group.withdraw(space, kind, id)
        }
        1 => {
            done.names.push("records brought back");
            group.restore(space, kind, id)
        }
        2 => {
            done.names.push("notes added");
            let name = format!("notes/{}", random.below(1_000_000));
            group.patch(space, kind, id, BTreeMap::from([(name, Some("مياه صالحة".into()))]))
        }
        _ => {
            done.names.push(if record.conflicts > 0 { "edits of records in conflict" } else { "edits" });
            let mut puts: BTreeMap<String, Option<Value>> = BTreeMap::new();
            for _ in 0..random.between(1, 3) {
                let value = (!random.one_in(8)).then(|| random.between(0, 9).into());
                puts.insert(random.pick(&CONTESTED).to_owned(), value);
            }
            group.patch(space, kind, id, puts)
        }
    }
}

/// What a store would be that forgot its newest write.
fn drop_pending(path: &Path) {
    let connection = Connection::open(path).expect("a phone's database");
    let sql = "DELETE FROM pending WHERE id = (SELECT max(id) FROM pending)";
    connection.execute(sql, ()).expect("it is gone");
}
