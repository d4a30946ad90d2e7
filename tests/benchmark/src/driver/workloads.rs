//! W1 to W6 of the peers' README, step by step the same, for where their `run` is not.
//!
//! A row has the names and units of theirs: `ms`, `up`, `down`, `srv_cpu_s`, `cli_rss_MB` and so on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::contestant::{Contestant, Process};
use super::proxy::{self, Counts};
use crate::line::now_ms;
use crate::process::{Usage, clear_peak, load};
use crate::record::Digest;

/// An edit: record, field, value.
type Edit = (u32, String, String);

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Records.
    pub count: u32,
    /// The workloads, of 1 to 6.
    pub workloads: Vec<u8>,
    /// Clients of W6.
    pub clients: u32,
    /// How long one step may take.
    pub limit: Duration,
    /// How long W5 waits for a merge that may never come.
    pub merge_limit: Duration,
}

/// Clients' records in W6 begin here, beyond those of the other workloads.
const W6_FROM: u32 = 1_000_000;
/// Records of each client in W6.
const W6_RECORDS: u32 = 50;

struct Run<'a> {
    contestant: &'a Contestant,
    plan: &'a Plan,
    folder: PathBuf,
    port: u16,
    proxy_port: u16,
    counts: Arc<Counts>,
    server: Option<Process>,
    edits: Vec<Edit>,
    sink: &'a mut dyn FnMut(Json),
}

/// Runs a contestant's workloads in a folder, each row to `sink` as soon as it is known. A step that
/// fails is a row too.
pub fn run(contestant: &Contestant, plan: &Plan, folder: &Path, sink: &mut dyn FnMut(Json)) {
    let folder = folder.join(format!("{}-{}", contestant.name, plan.count));
    fs::remove_dir_all(&folder).ok();
    let begun = fs::create_dir_all(&folder).and_then(|()| {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        proxy::start(port).map(|(proxy_port, counts)| (port, proxy_port, counts))
    });
    let (port, proxy_port, counts) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            return sink(json!({ "peer": contestant.name, "failed": "start", "error": error.to_string() }));
        }
    };
    let mut run = Run {
        contestant,
        plan,
        folder: folder.clone(),
        port,
        proxy_port,
        counts,
        server: None,
        edits: Vec::new(),
        sink,
    };
    let mut stage = "start";
    if let Err(error) = run.all(&mut stage) {
        run.emit(stage, json!({ "failed": stage, "error": error }));
    }
    if let Some(server) = run.server.take() {
        server.stop();
    }
    if std::env::var_os("KEEP").is_none() {
        fs::remove_dir_all(&folder).ok();
    }
}

/// What a measured step may add to its row.
struct Extra {
    /// When the step was over, if not when it returned.
    at: Option<f64>,
    more: Json,
}

impl Run<'_> {
    fn wants(&self, workload: u8) -> bool {
        self.plan.workloads.contains(&workload)
    }

    fn all(&mut self, stage: &mut &'static str) -> Result<(), String> {
        let last = self.plan.workloads.iter().copied().filter(|workload| *workload < 6).max();
        self.start_server()?;
        if let Some(last) = last {
            *stage = "W1-create";
            let mut writer = self.start_client("A")?;
            self.create(&mut writer)?;
            *stage = "W1";
            self.upload(&mut writer)?;
            if last >= 2 {
                *stage = "W2";
                let mut reader = self.start_client("B")?;
                self.download(&mut reader)?;
                if last >= 3 {
                    *stage = "W3";
                    reader.stop();
                    reader = self.nothing_new()?;
                }
                if last >= 4 {
                    *stage = "W4-online";
                    self.edit_online(&mut writer, &mut reader)?;
                    *stage = "W4-offline";
                    reader.stop();
                    reader = self.edit_offline(&mut writer)?;
                }
                writer.stop();
                reader.stop();
                if last >= 5 {
                    *stage = "W5";
                    self.edit_both()?;
                }
            }
        }
        if self.wants(6) {
            *stage = "W6";
            self.many_clients()?;
        }
        Ok(())
    }

    fn emit(&mut self, workload: &str, row: Json) {
        let number = workload.as_bytes().get(1).map_or(0, |digit| digit.saturating_sub(b'0'));
        if !self.wants(number) && row.get("failed").is_none() {
            return;
        }
        let mut line = json!({ "peer": self.contestant.name, "w": workload, "n": self.plan.count });
        merge(&mut line, row);
        merge(&mut line, json!({ "load1": load() }));
        (self.sink)(line);
    }

    fn start_server(&mut self) -> Result<(), String> {
        let mut server = Process::start("server", self.contestant.server, &self.folder, self.plan.limit)?;
        let folder = self.folder.join("server");
        server.call("init", json!({ "dir": folder, "port": self.port, "host": "127.0.0.1" }))?;
        self.server = Some(server);
        Ok(())
    }

    fn server(&mut self) -> Result<&mut Process, String> {
        self.server.as_mut().ok_or_else(|| "there is no server".to_owned())
    }

    fn start_client(&self, label: &str) -> Result<Process, String> {
        let mut client = Process::start(label, self.contestant.client, &self.folder, self.plan.limit)?;
        client.call("init", json!({ "dir": self.folder.join(label), "name": label }))?;
        Ok(client)
    }

    fn connect(&self, client: &mut Process) -> Result<(), String> {
        client.call("connect", json!({ "url": format!("127.0.0.1:{}", self.proxy_port) })).map(drop)
    }

    /// Time, bytes, processor time and memory of a step.
    fn measure(
        &mut self,
        client: Option<&mut Process>,
        step: impl FnOnce(&mut Self, Option<&mut Process>) -> Result<Extra, String>,
    ) -> Result<Json, String> {
        let server = self.server()?.id();
        let client_id = client.as_ref().map(|client| client.id());
        let usage = |process: Option<u32>| process.and_then(Usage::of);
        [Some(server), client_id].into_iter().flatten().for_each(clear_peak);
        self.counts.reset();
        let before = [usage(Some(server)), usage(client_id)];
        let begun = now_ms();
        let extra = step(self, client)?;
        let ms = extra.at.unwrap_or_else(now_ms) - begun;
        let (up, down) = self.counts.read();
        let mut row = json!({ "ms": ms.round(), "up": up, "down": down });
        for ((process, name), before) in [(Some(server), "srv"), (client_id, "cli")].into_iter().zip(before) {
            if let Some((before, after)) = before.zip(usage(process)) {
                row[format!("{name}_cpu_s")] = json!(((after.cpu_s - before.cpu_s) * 100.0).round() / 100.0);
                row[format!("{name}_rss_MB")] = after.peak_mb.into();
            }
        }
        merge(&mut row, extra.more);
        Ok(row)
    }

    /// Waits until no byte has moved for a while, and gives all that moved.
    fn settle(&self) -> Json {
        let mut before = self.counts.read();
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.counts.read();
            if now == before {
                break;
            }
            before = now;
        }
        json!({ "up_settled": before.0, "down_settled": before.1 })
    }

    fn wait_stored(&mut self, count: u32) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let stored = self.server()?.call("stored", json!({}))?["n"].as_u64().unwrap_or(0);
            if stored >= u64::from(count) {
                return Ok(());
            }
            if begun.elapsed() > self.plan.limit {
                return Err(format!("the server has {stored} of {count}"));
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Whether a client holds exactly what was created and edited.
    fn verify(&self, client: &mut Process, edits: &[Edit]) -> Result<bool, String> {
        let held = client.call("digest", json!({}))?;
        let expected = Digest::expected(self.plan.count, edits).to_json();
        Ok(held["count"] == expected["count"] && held["digest"] == expected["digest"])
    }

    fn create(&mut self, writer: &mut Process) -> Result<(), String> {
        let begun = now_ms();
        writer.call("create", json!({ "n": self.plan.count, "from": 0 }))?;
        let usage = Usage::of(writer.id());
        self.emit(
            "W1-create",
            json!({
                "ms": (now_ms() - begun).round(),
                "cli_cpu_s": usage.map(|usage| usage.cpu_s),
                "cli_rss_MB": usage.map(|usage| usage.peak_mb),
                "disk_MB": disk_mb(&self.folder.join("A")),
            }),
        );
        Ok(())
    }

    fn upload(&mut self, writer: &mut Process) -> Result<(), String> {
        let count = self.plan.count;
        let mut row = self.measure(Some(writer), |run, writer| {
            let writer = writer.ok_or("no client")?;
            let begun = now_ms();
            run.connect(writer)?;
            let uploaded = writer.begin("wait_uploaded", json!({ "n": count }))?;
            run.wait_stored(count)?;
            let at = now_ms();
            let known = uploaded.within(Duration::from_secs(60))?;
            let ack_ms = known.and_then(|answer| answer["t"].as_f64()).map(|t| (t - begun).round());
            Ok(Extra { at: Some(at), more: json!({ "ack_ms": ack_ms }) })
        })?;
        merge(&mut row, self.settle());
        row["verify"] = self.verify(writer, &[])?.into();
        row["server"] = json!({ "disk_MB": disk_mb(&self.folder.join("server")) });
        self.emit("W1", row);
        Ok(())
    }

    fn download(&mut self, reader: &mut Process) -> Result<(), String> {
        let count = self.plan.count;
        let mut row = self.measure(Some(reader), |run, reader| {
            let reader = reader.ok_or("no client")?;
            let begun = now_ms();
            run.connect(reader)?;
            reader.call("wait_count", json!({ "n": count }))?;
            let at = now_ms();
            reader.call("flush", json!({}))?;
            Ok(Extra { at: Some(at), more: json!({ "persisted_ms": (now_ms() - begun).round() }) })
        })?;
        merge(&mut row, self.settle());
        row["verify"] = self.verify(reader, &[])?.into();
        row["client"] = json!({ "disk_MB": disk_mb(&self.folder.join("B")) });
        self.emit("W2", row);
        Ok(())
    }

    fn nothing_new(&mut self) -> Result<Process, String> {
        std::thread::sleep(Duration::from_millis(1_500));
        let begun = now_ms();
        let mut reader = self.start_client("B")?;
        let open_ms = (now_ms() - begun).round();
        let mut row = self.measure(Some(&mut reader), |run, reader| {
            let reader = reader.ok_or("no client")?;
            run.connect(reader)?;
            let answer = reader.call("wait_synced", json!({ "n": run.plan.count }))?;
            Ok(Extra { at: None, more: json!({ "synced_note": answer["note"] }) })
        })?;
        merge(&mut row, self.settle());
        row["open_ms"] = open_ms.into();
        row["verify"] = self.verify(&mut reader, &[])?.into();
        self.emit("W3", row);
        Ok(reader)
    }

    /// Ten edits, spread over the records.
    fn ten(&self, field: &str, word: &str, shift: f64) -> Vec<Edit> {
        let place = |k: u32| ((f64::from(k) + shift) * f64::from(self.plan.count) / 10.0) as u32;
        (0..10).map(|k| (place(k), field.to_owned(), format!("{word}-{k}"))).collect()
    }

    fn edit_online(&mut self, writer: &mut Process, reader: &mut Process) -> Result<(), String> {
        let edits = self.ten("status", "edited", 0.5);
        self.settle();
        let mut row = self.measure(Some(reader), |_, reader| {
            let seen = reader.ok_or("no client")?.begin("watch", json!({ "edits": edits }))?;
            let mut made = Vec::new();
            for edit in &edits {
                made.push(make(writer, edit)?["t0"].as_f64().unwrap_or(0.0));
                std::thread::sleep(Duration::from_millis(300));
            }
            let seen = seen.wait()?;
            let mut latencies: Vec<f64> = made
                .iter()
                .enumerate()
                .map(|(k, made)| seen["seen"][k.to_string()].as_f64().unwrap_or(f64::NAN) - made)
                .collect();
            latencies.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let place = (share * latencies.len() as f64) as usize;
                (latencies[place.min(latencies.len() - 1)] * 10.0).round() / 10.0
            };
            Ok(Extra { at: None, more: json!({ "p50_ms": at(0.5), "p95_ms": at(0.95), "max_ms": at(1.0) }) })
        })?;
        if let Some(fields) = row.as_object_mut() {
            fields.remove("ms");
        }
        self.edits.extend(edits);
        merge(&mut row, self.settle());
        row["verify"] = self.verify(reader, &self.edits)?.into();
        self.emit("W4-online", row);
        Ok(())
    }

    fn edit_offline(&mut self, writer: &mut Process) -> Result<Process, String> {
        let edits = self.ten("severity", "changed", 0.2);
        for edit in &edits {
            make(writer, edit)?;
        }
        self.edits.extend(edits.clone());
        self.settle();
        std::thread::sleep(Duration::from_secs(1));
        let begun = now_ms();
        let mut reader = self.start_client("B")?;
        let open_ms = (now_ms() - begun).round();
        let mut row = self.measure(Some(&mut reader), |run, reader| {
            let reader = reader.ok_or("no client")?;
            let seen = reader.begin("watch", json!({ "edits": edits }))?;
            run.connect(reader)?;
            seen.wait()?;
            Ok(Extra { at: None, more: json!({}) })
        })?;
        merge(&mut row, self.settle());
        row["open_ms"] = open_ms.into();
        row["verify"] = self.verify(&mut reader, &self.edits)?.into();
        self.emit("W4-offline", row);
        Ok(reader)
    }

    fn edit_both(&mut self) -> Result<(), String> {
        std::thread::sleep(Duration::from_millis(500));
        let (mut a, mut b) = (self.start_client("A")?, self.start_client("B")?);
        let count = self.plan.count;
        let edited = count.min(100);
        let places: Vec<u32> =
            (0..edited).map(|k| (u64::from(k) * u64::from(count) / u64::from(edited)) as u32 + 1).collect();
        let places: Vec<u32> = places.into_iter().filter(|place| *place < count).collect();
        let by_a: Vec<Edit> =
            places.iter().map(|i| (*i, "title".to_owned(), format!("A-title-{i}"))).collect();
        let by_b: Vec<Edit> =
            places.iter().map(|i| (*i, "reporter".to_owned(), format!("B-reporter-{i}"))).collect();
        for (for_a, for_b) in by_a.iter().zip(&by_b) {
            make(&mut a, for_a)?;
            make(&mut b, for_b)?;
        }
        let mut row = self.measure(Some(&mut b), |run, b| {
            let b = b.ok_or("no client")?;
            run.connect(&mut a)?;
            run.connect(b)?;
            let seen =
                [a.begin("watch", json!({ "edits": by_b }))?, b.begin("watch", json!({ "edits": by_a }))?];
            let limit = run.plan.merge_limit;
            let mut merged = true;
            for seen in seen {
                merged &= seen.within(limit)?.is_some();
            }
            Ok(Extra { at: None, more: json!({ "converged_merged": merged }) })
        })?;
        self.settle();
        let (mut both, mut only_a, mut only_b, mut agree) = (0, 0, 0, 0);
        for place in &places {
            let at = json!({ "i": place });
            let records = [a.call("get", at.clone())?["rec"].take(), b.call("get", at)?["rec"].take()];
            let has_a = records[0]["title"] == format!("A-title-{place}");
            let has_b = records[0]["reporter"] == format!("B-reporter-{place}");
            both += u32::from(has_a && has_b);
            only_a += u32::from(has_a && !has_b);
            only_b += u32::from(has_b && !has_a);
            let same = |field: &str| records[0][field] == records[1][field];
            agree += u32::from(same("title") && same("reporter"));
        }
        let digests = [a.call("digest", json!({}))?, b.call("digest", json!({}))?];
        let all: Vec<Edit> = [self.edits.clone(), by_a, by_b].concat();
        merge(
            &mut row,
            json!({
                "records": places.len(), "both": both, "onlyA": only_a, "onlyB": only_b, "agree": agree,
                "A_equals_B": digests[0]["digest"] == digests[1]["digest"],
                "equals_full_merge": self.verify(&mut a, &all)?,
            }),
        );
        self.emit("W5", row);
        a.stop();
        b.stop();
        Ok(())
    }

    fn many_clients(&mut self) -> Result<(), String> {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        fs::remove_dir_all(self.folder.join("server")).map_err(|error| error.to_string())?;
        self.start_server()?;
        let mut clients = Vec::new();
        for k in 0..self.plan.clients {
            let mut client = self.start_client(&format!("C{k}"))?;
            client.call("create", json!({ "from": W6_FROM + k * W6_RECORDS, "n": W6_RECORDS }))?;
            clients.push(client);
        }
        let records = self.plan.clients * W6_RECORDS;
        let mut row = self.measure(None, |run, _| {
            for client in &mut clients {
                run.connect(client)?;
            }
            run.wait_stored(records)?;
            Ok(Extra { at: None, more: json!({ "clients": run.plan.clients, "records": records }) })
        })?;
        merge(&mut row, self.settle());
        row["server"] = json!({ "disk_MB": disk_mb(&self.folder.join("server")) });
        self.emit("W6", row);
        Ok(())
    }
}

fn make(client: &mut Process, (number, field, value): &Edit) -> Result<Json, String> {
    client.call("edit", json!({ "i": number, "field": field, "value": value }))
}

/// Adds the fields of one object to another.
fn merge(row: &mut Json, more: Json) {
    if let (Some(row), Json::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
}

/// Megabytes that a folder takes on the disk.
fn disk_mb(folder: &Path) -> f64 {
    fn blocks(folder: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let of = |entry: fs::DirEntry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => blocks(&entry.path()),
            Ok(metadata) => metadata.blocks(),
            Err(_) => 0,
        };
        entries.map(of).sum()
    }
    (blocks(folder) as f64 * 512.0 / 1e5).round() / 10.0
}
