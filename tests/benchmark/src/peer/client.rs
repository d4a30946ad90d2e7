//! A device as a peer's client: the real core with its database, its search and map indexes and its
//! sync, driven by the line protocol.
//!
//! It enrols at `init`, before anything is timed, as a phone does once in its life; `connect` then
//! only says where to knock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barid_core::client::{Client, Phase};
use barid_core::clock::system_clock;
use barid_core::device::{Device, DeviceConfig};
use barid_core::id::{RecordId, SpaceId};
use barid_core::store::{News, Query, Record, Store};
use serde_json::{Value as Json, json};

use crate::line::{self, Answer, Command, now_ms};
use crate::observation::{self, from_fields, to_fields};
use crate::record::{Digest, record, record_id};
use crate::relay::RelayFolder;

/// Records that one write makes. An app that takes over what it held before writes like this; one
/// that records as things happen writes one by one, which costs an fsync each.
const GROUP: usize = 100;

/// A device and its sync, if it is on.
#[derive(Debug)]
struct Phone {
    device: Device,
    space: SpaceId,
    client: Mutex<Option<Client>>,
}

/// Answers every command until standard input ends.
pub fn serve() {
    let mut phone: Option<Arc<Phone>> = None;
    line::say_ready();
    line::serve(|command| match command.name.as_str() {
        "init" => Some(Phone::open(command).map(|opened| {
            phone = Some(Arc::new(opened));
            json!({})
        })),
        "close" => {
            phone = None;
            Some(Ok(json!({})))
        }
        "exit" => Some(Ok(json!({}))),
        _ => match &phone {
            None => Some(Err("not initialised".to_owned())),
            Some(phone) => answer(phone, command),
        },
    });
}

fn answer(phone: &Arc<Phone>, command: &Command) -> Option<Answer> {
    let wait: fn(&Phone, &Command) -> Answer = match command.name.as_str() {
        "wait_uploaded" | "wait_synced" => |phone, _| Ok(phone.wait_synced()),
        "wait_count" => Phone::wait_count,
        "watch" => Phone::watch,
        _ => return Some(phone.at_once(command)),
    };
    // What waits must not keep other commands from being answered.
    let (phone, command) = (phone.clone(), command.clone());
    std::thread::spawn(move || command.answer(wait(&phone, &command)));
    None
}

impl Phone {
    fn open(command: &Command) -> Result<Self, String> {
        let folder = PathBuf::from(command.text("dir")?);
        std::fs::create_dir_all(&folder).map_err(text)?;
        let config = DeviceConfig {
            path: Some(folder.join("device.db")),
            seed: seed(&folder)?.into(),
            kinds: observation::kinds(),
            clock: system_clock(),
            key: None,
        };
        let device = Device::open(config).map_err(text)?;
        let enrolment = match device.enrolment().map_err(text)? {
            Some(enrolment) => enrolment,
            None => {
                let name = command.text("name")?;
                let server = folder.parent().unwrap_or(Path::new("/")).join("server");
                device.enrol(&RelayFolder::within(&server).code(name)?, name).map_err(text)?
            }
        };
        let space = *enrolment.spaces.first().ok_or("the enrolment names no space")?;
        Ok(Self { device, space, client: Mutex::default() })
    }

    fn store(&self) -> &Store {
        self.device.store()
    }

    fn at_once(&self, command: &Command) -> Answer {
        match command.name.as_str() {
            "create" => self.create(command.number("from").unwrap_or(0), command.number("n")?),
            "connect" => self.connect(command.text("url")?),
            "edit" => self.edit(command.number("i")?, command.text("field")?, command.text("value")?),
            "get" => self.get(command.number("i")?),
            "digest" => self.digest(),
            // Durable when they return: what was written, and what was taken in.
            "flush" => Ok(json!({})),
            _ => Ok(json!({})),
        }
    }

    fn create(&self, from: u32, count: u32) -> Answer {
        let numbers: Vec<u32> = (from..from + count).collect();
        for group in numbers.chunks(GROUP) {
            let written = self.store().write(|write| {
                for number in group {
                    let record = record(*number);
                    write.put(self.space, observation::NAME, Some(record.id), to_fields(&record))?;
                }
                Ok(())
            });
            written.map_err(text)?;
        }
        Ok(json!({}))
    }

    fn connect(&self, address: &str) -> Answer {
        self.device.move_relay(&format!("ws://{address}")).map_err(text)?;
        let client = self.device.sync().map_err(text)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        Ok(json!({}))
    }

    /// Waits until everything known here and at the relay is exchanged and acknowledged.
    fn wait_synced(&self) -> Json {
        let status = {
            let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            client.as_ref().map(Client::status)
        };
        let Some(status) = status else { return json!({ "note": "never connected" }) };
        loop {
            let now = status.borrow().clone();
            if now.phase == Phase::UpToDate && now.unsent_records == 0 {
                let note =
                    format!("frames {} up, {} down; nothing unsent", now.link_len.up, now.link_len.down);
                return json!({ "note": note });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_count(&self, command: &Command) -> Answer {
        let wanted = u64::from(command.number("n")?);
        let query = Query { kind: Some(observation::NAME.to_owned()), ..Query::default() };
        let changes = self.store().subscribe();
        // As an app does, which shows how far a first download is and looks at the records when it is done.
        let mut has_news = true;
        loop {
            if has_news && self.phase().is_none_or(|phase| phase == Phase::UpToDate) {
                has_news = false;
                if self.store().count(&query).map_err(text)? >= wanted {
                    return Ok(json!({}));
                }
            }
            match changes.recv_timeout(Duration::from_millis(1)) {
                Ok(_) => has_news = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(error) => return Err(text(error)),
            }
        }
    }

    /// How far the sync is, once there is one.
    fn phase(&self) -> Option<Phase> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.as_ref().map(|client| client.status().borrow().phase)
    }

    fn edit(&self, number: u32, field: &str, value: &str) -> Answer {
        let t0 = now_ms();
        let puts = BTreeMap::from([(field.to_owned(), Some(value.into()))]);
        let patch = |write: &mut barid_core::store::WriteGroup<'_, '_>| {
            write.patch(self.space, observation::NAME, record_id(number), puts)
        };
        self.store().write(patch).map_err(text)?;
        Ok(json!({ "t0": t0 }))
    }

    fn record(&self, id: RecordId) -> Result<Option<Record>, String> {
        self.store().get(self.space, observation::NAME, id).map_err(text)
    }

    fn get(&self, number: u32) -> Answer {
        let Some(record) = self.record(record_id(number))? else { return Ok(json!({ "rec": null })) };
        let read = from_fields(record.id, &record.fields).ok_or("a record lacks a field")?;
        let mut json = read.to_json();
        json["_conflicts"] = (0..record.conflicts).collect();
        Ok(json!({ "rec": json }))
    }

    fn digest(&self) -> Answer {
        let mut digest = Digest::default();
        let mut query = Query { kind: Some(observation::NAME.to_owned()), limit: 1_000, ..Query::default() };
        loop {
            let page = self.store().query(&query).map_err(text)?;
            for record in &page.records {
                digest.add(&from_fields(record.id, &record.fields).ok_or("a record lacks a field")?);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(digest.to_json()),
            }
        }
    }

    /// Waits until each edit can be read here, and says when that was.
    fn watch(&self, command: &Command) -> Answer {
        let changes = self.store().subscribe();
        let edits = command.argument("edits").as_array().ok_or("watch: edits are missing")?;
        let mut left = BTreeMap::new();
        for (place, edit) in edits.iter().enumerate() {
            let number = edit[0].as_u64().and_then(|number| u32::try_from(number).ok());
            let (Some(number), Some(field), Some(value)) = (number, edit[1].as_str(), edit[2].as_str())
            else {
                return Err("watch: an edit is malformed".to_owned());
            };
            left.insert((record_id(number), place), (field, value));
        }
        let mut seen = serde_json::Map::new();
        // What was there before anybody watched is announced to nobody.
        let mut changed: BTreeSet<RecordId> = left.keys().map(|(id, _)| *id).collect();
        while !left.is_empty() {
            for id in changed {
                let Some(record) = self.record(id)? else { continue };
                left.retain(|(wanted, place), (field, value)| {
                    let holds = record.fields.get(*field).and_then(|held| held.as_text());
                    let is_seen = *wanted == id && holds == Some(*value);
                    if is_seen {
                        seen.insert(place.to_string(), now_ms().into());
                    }
                    !is_seen
                });
            }
            if left.is_empty() {
                break;
            }
            changed = match changes.recv().map_err(text)? {
                News::Changed(group) => group.iter().map(|changed| changed.id).collect(),
                News::Everything => left.keys().map(|(id, _)| *id).collect(),
            };
            changed.retain(|id| left.keys().any(|(wanted, _)| wanted == id));
        }
        Ok(json!({ "seen": seen }))
    }
}

/// The device's secret, made once and kept beside its database.
fn seed(folder: &Path) -> Result<[u8; 32], String> {
    let path = folder.join("seed");
    if let Ok(held) = std::fs::read(&path) {
        return held.try_into().map_err(|_| "the seed is damaged".to_owned());
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(text)?;
    std::fs::write(&path, seed).map_err(text)?;
    Ok(seed)
}

/// An error with its causes, as one line.
fn text<E: std::error::Error>(error: E) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    line
}
