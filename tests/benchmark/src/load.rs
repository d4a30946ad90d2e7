//! What one relay bears: appends, watchers, connections; over real links from another process.

mod member;
mod wire;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barid_core::batch::SealedBatch;
use barid_core::id::SpaceId;
use barid_core::position::Cursor;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::process::{Usage, load};
use crate::relay::{RelayFolder, wait_listening};
use member::{Chain, Member, Members};
use wire::Wire;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Organisations of the relay, each with a space of its own.
const ORGANISATIONS: usize = 50;
/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Links that are made at the same time.
const DIALS: usize = 64;
/// Files that this process and the relay need besides their links.
const OTHER_FILES: usize = 300;

/// How much to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// Changes appended for each combination of batch size and writers, at most.
    pub changes: usize,
    /// Links that only watch.
    pub watchers: usize,
    /// Links that are idle.
    pub idle: usize,
    /// Links that write now and then.
    pub active: usize,
}

/// A relay process and its members. Dropping it ends the process.
struct Stage {
    relay: Child,
    members: Members,
    joint: SpaceId,
    runtime: Runtime,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.relay.kill().ok();
        self.relay.wait().ok();
    }
}

/// Measures all of it, a row each.
pub fn run(plan: &Load, folder: &Path, sink: &mut dyn FnMut(Json)) -> Result<(), Failure> {
    let folder = folder.join("relay");
    std::fs::remove_dir_all(&folder).ok();
    let files = open_files_max();
    let bound = |wanted: usize| wanted.min(files.saturating_sub(OTHER_FILES));
    let members = (2 * ORGANISATIONS).max(plan.watchers + 1).max(bound(plan.idle + plan.active) + 1);
    let mut emit = |what: &str, value: f64, unit: &str| {
        let value = (value * 10.0).round() / 10.0;
        sink(json!({ "w": "relay", "what": what, "value": value, "unit": unit, "load1": load() }));
    };
    let begun = Instant::now();
    let stage = Stage::new(&folder, members)?;
    emit(&format!("enrol {members} devices, each"), each(begun, members), "ms");
    for writers in [1, 10, 100] {
        for size in [1, 10, 100, 500] {
            stage.appends(plan.changes, size, writers, &mut emit)?;
        }
    }
    stage.fan_out(bound(plan.watchers), &mut emit)?;
    let (idle, active) = (bound(plan.idle + plan.active) - bound(plan.active), bound(plan.active));
    if idle < plan.idle {
        emit(
            &format!("open files allowed: {files}, so only {idle} idle links instead of"),
            plan.idle as f64,
            "",
        );
    }
    stage.connections(idle, active, &mut emit)?;
    drop(stage);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn each(begun: Instant, count: usize) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3 / count as f64
}

/// Files that a process may have open at once.
fn open_files_max() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1_024)
}

/// The values at these shares of all, sorted.
fn percentiles<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> [f64; N] {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    shares.map(|share| {
        values.get(((share * values.len() as f64) as usize).min(last)).copied().unwrap_or(f64::NAN)
    })
}

impl Stage {
    fn new(folder: &Path, count: usize) -> Result<Self, Failure> {
        let relay = RelayFolder::within(folder);
        relay.init()?;
        let organisations = member::organisations(relay.data(), ORGANISATIONS)?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let process = relay.serve(port, &["--connections-max", "20000"])?.spawn()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        // From here on the process ends with the stage.
        let mut stage = Self {
            relay: process,
            members: Members::default(),
            joint: SpaceId::from_bytes([0; 32]),
            runtime,
        };
        wait_listening(port, Duration::from_secs(20))?;
        stage.members = Members::enrol(relay.data(), port, &organisations, count)?;
        stage.joint = stage.members.joint()?;
        Ok(stage)
    }

    /// Links every member of a list at once, in one space, and waits until each is up to date.
    async fn link(members: Vec<(Member, Chain, Option<Cursor>)>) -> Result<Vec<Wire>, Failure> {
        let dials = Arc::new(Semaphore::new(DIALS));
        let mut tasks = Vec::new();
        for (member, chain, cursor) in members {
            let dials = dials.clone();
            tasks.push(tokio::spawn(async move {
                let _permit = dials.acquire_owned().await?;
                let mut wire = Wire::dial(&member, chain, cursor).await?;
                wire.up_to_date().await?;
                Ok::<_, Failure>(wire)
            }));
        }
        let mut wires = Vec::new();
        for task in tasks {
            wires.push(tokio::time::timeout(PATIENCE, task).await???);
        }
        Ok(wires)
    }

    /// Writers in the spaces of their organisations, as many in each as must be.
    fn appends(
        &self,
        changes: usize,
        size: usize,
        writers: usize,
        emit: &mut impl FnMut(&str, f64, &str),
    ) -> Result<(), Failure> {
        // Enough to take a while, and not so much that single changes take for ever.
        let each = (changes * (size + 9) / 20).min(changes * 5).div_ceil(size * writers).max(2);
        let mut links = Vec::new();
        let mut batches: Vec<Vec<SealedBatch>> = Vec::new();
        for member in self.members.spread(writers) {
            let mut chain = Chain::new(&member, member.own_space(self.joint)?)?;
            batches.push((0..each).map(|_| chain.seal(size)).collect::<Result<_, _>>()?);
            links.push((member, chain, None));
        }
        self.runtime.block_on(async {
            let wires = Self::link(links).await?;
            let begun = Instant::now();
            let mut tasks = Vec::new();
            for (mut wire, batches) in wires.into_iter().zip(batches) {
                tasks.push(tokio::spawn(async move {
                    let count = batches.len();
                    wire.send(batches)?;
                    wire.acknowledged(count).await
                }));
            }
            for task in tasks {
                tokio::time::timeout(PATIENCE, task).await???;
            }
            let seconds = begun.elapsed().as_secs_f64();
            let batches = (each * writers) as f64;
            let of = if writers == 1 { "writer" } else { "writers" };
            let what = format!("appends, {size} a batch, {writers} {of}");
            emit(&format!("{what}: durable acks"), batches / seconds, "per s");
            if size > 1 {
                emit(&format!("{what}: changes"), batches * size as f64 / seconds, "per s");
            }
            Ok(())
        })
    }

    /// One member writes in the joint space, all others watch it.
    fn fan_out(&self, watchers: usize, emit: &mut impl FnMut(&str, f64, &str)) -> Result<(), Failure> {
        let mut members = self.members.spread(watchers + 1);
        let writer = members.pop().ok_or("there is no member")?;
        self.runtime.block_on(async {
            let cursor = self.head(&writer).await?;
            let mut links = Vec::new();
            for member in members {
                let chain = Chain::new(&member, self.joint)?;
                links.push((member, chain, cursor));
            }
            let chain = Chain::new(&writer, self.joint)?;
            let mut sealer = chain.clone();
            let mut watching = Self::link(links).await?;
            let mut wire = Wire::dial(&writer, chain, cursor).await?;
            wire.up_to_date().await?;
            let (mut all, mut last) = (Vec::new(), Vec::new());
            for _ in 0..20 {
                let batch = sealer.seal(1)?;
                let made = Instant::now();
                wire.send(vec![batch])?;
                let mut latencies = Vec::new();
                for watcher in &mut watching {
                    let seen = tokio::time::timeout(PATIENCE, watcher.arrival()).await??;
                    latencies.push(seen.duration_since(made).as_secs_f64() * 1e3);
                }
                last.push(latencies.iter().copied().fold(0.0, f64::max));
                all.extend(latencies);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let what = format!("fan-out to {watchers} watchers, from sealed to arrived");
            let [p50, p99] = percentiles(all, [0.5, 0.99]);
            emit(&format!("{what}: p50"), p50, "ms");
            emit(&format!("{what}: p99"), p99, "ms");
            emit(&format!("{what}: the last of all, median"), percentiles(last, [0.5])[0], "ms");
            Ok(())
        })
    }

    /// How far the joint space's log goes.
    async fn head(&self, member: &Member) -> Result<Option<Cursor>, Failure> {
        let mut wire = Wire::dial(member, Chain::new(member, self.joint)?, None).await?;
        wire.up_to_date().await?;
        Ok(wire.cursor())
    }

    /// Idle links in the joint space, active ones in the spaces of their organisations, and one good
    /// device that waits for each acknowledgement.
    fn connections(
        &self,
        idle: usize,
        active: usize,
        emit: &mut impl FnMut(&str, f64, &str),
    ) -> Result<(), Failure> {
        let mut members = self.members.spread(idle + active + 1);
        let good = members.pop().ok_or("there is no member")?;
        let resting = members.split_off(active);
        let relay = self.relay.id();
        let memory = || Usage::of(relay).map_or(0.0, |usage| usage.now_mb as f64);
        self.runtime.block_on(async {
            let cursor = self.head(&good).await?;
            emit("relay's RSS with no link", memory(), "MB");
            emit("one device, acknowledgement p99 with no other link", self.wait(&good).await?, "ms");
            let mut links = Vec::new();
            for member in resting {
                let chain = Chain::new(&member, self.joint)?;
                links.push((member, chain, cursor));
            }
            let begun = Instant::now();
            let resting = Self::link(links).await?;
            emit(&format!("{idle} links made and up to date, each"), each(begun, idle), "ms");
            emit(&format!("relay's RSS with {idle} idle links"), memory(), "MB");
            emit(
                &format!("one device, acknowledgement p99 beside {idle} idle"),
                self.wait(&good).await?,
                "ms",
            );
            let mut links = Vec::new();
            let mut chains = Vec::new();
            for member in members {
                let chain = Chain::new(&member, member.own_space(self.joint)?)?;
                chains.push(chain.clone());
                links.push((member, chain, None));
            }
            let writing: Vec<_> = Self::link(links)
                .await?
                .into_iter()
                .zip(chains)
                .enumerate()
                .map(|(place, (wire, chain))| tokio::spawn(write_each_second(wire, chain, place, active)))
                .collect();
            let p99 = self.wait(&good).await?;
            let what = format!("beside {idle} idle and {active} active (a change a second each)");
            emit(&format!("one device, acknowledgement p99 {what}"), p99, "ms");
            emit(&format!("relay's RSS {what}"), memory(), "MB");
            writing.iter().for_each(tokio::task::JoinHandle::abort);
            drop(resting);
            Ok(())
        })
    }

    /// The 99th percentile of the time from a sealed change to its acknowledgement, one at a time.
    async fn wait(&self, member: &Member) -> Result<f64, Failure> {
        let chain = Chain::new(member, member.own_space(self.joint)?)?;
        let mut sealer = chain.clone();
        let mut wire = Wire::dial(member, chain, None).await?;
        wire.up_to_date().await?;
        let mut latencies = Vec::new();
        for _ in 0..200 {
            let batch = sealer.seal(1)?;
            let made = Instant::now();
            wire.send(vec![batch])?;
            tokio::time::timeout(PATIENCE, wire.acknowledged(1)).await??;
            latencies.push(made.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(percentiles(latencies, [0.99])[0])
    }
}

/// Writes until it is told to end; the members begin at different moments.
async fn write_each_second(mut wire: Wire, mut chain: Chain, place: usize, of: usize) -> Result<(), Failure> {
    tokio::time::sleep(Duration::from_millis(1_000 * place as u64 / of.max(1) as u64)).await;
    loop {
        wire.send(vec![chain.seal(1)?])?;
        let begun = tokio::time::Instant::now();
        wire.acknowledged(1).await?;
        tokio::time::sleep_until(begun + Duration::from_secs(1)).await;
    }
}
