//! Rows of measurements as Markdown, the latest of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// Rows by contestant, number of records and workload; a later one replaces an earlier one.
#[derive(Debug, Default)]
pub struct Rows {
    rows: BTreeMap<(u64, String, String), Json>,
}

impl Rows {
    /// Reads rows, one JSON object a line. What is none is passed over.
    pub fn read(lines: &str) -> Self {
        let mut rows = Self::default();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|row| rows.add(row));
        rows
    }

    /// Adds a row.
    pub fn add(&mut self, row: Json) {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let Some(count) = row["n"].as_u64().filter(|_| row["peer"].is_string()) else { return };
        let workload = row["failed"].as_str().map_or_else(|| text("w"), str::to_owned);
        self.rows.insert((count, text("peer"), workload), row);
    }

    /// The row of a measurement.
    pub fn find(&self, count: u64, peer: &str, workload: &str) -> Option<&Json> {
        self.rows.get(&(count, peer.to_owned(), workload.to_owned()))
    }

    /// Every number of records, ascending.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> = self.rows.keys().map(|key| key.0).collect();
        counts.dedup();
        counts
    }

    /// Every contestant: Barid, the floor, the others.
    pub fn peers(&self) -> Vec<&str> {
        let mut peers: Vec<&str> = self.rows.keys().map(|key| key.1.as_str()).collect();
        peers.sort_by_key(|peer| (*peer != "barid", *peer != "floor", *peer));
        peers.dedup();
        peers
    }

    /// One table for each number of records.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for count in self.counts() {
            write!(text, "\n#### {count} records\n\n{HEAD}\n").ok();
            for peer in self.peers() {
                if let Some(line) = self.line(count, peer) {
                    writeln!(text, "{line}").ok();
                }
            }
        }
        text
    }

    fn line(&self, count: u64, peer: &str) -> Option<String> {
        let of = |workload: &str| self.find(count, peer, workload).filter(|row| row.get("failed").is_none());
        let all: Vec<&Json> = self
            .rows
            .range((count, peer.to_owned(), String::new())..)
            .map_while(|(key, row)| (key.0 == count && key.1 == peer).then_some(row))
            .collect();
        if all.is_empty() {
            return None;
        }
        let load = all.iter().filter_map(|row| row["load1"].as_f64()).fold(0.0, f64::max);
        let seconds = |row: Option<&Json>, floor: Option<&Json>| {
            let ms = row?["ms"].as_f64()?;
            let ratio = floor.and_then(|floor| floor["ms"].as_f64()).map(|floor| ms / floor.max(1.0));
            Some(format!("{:.2}{}", ms / 1e3, times(ratio)))
        };
        let len = |row: Option<&Json>, way: &str, floor: Option<&Json>| {
            let bytes = bytes(row?, way)?;
            let ratio = floor.and_then(|floor| self::bytes(floor, way)).map(|floor| bytes / floor);
            Some(format!("{}{}", kilo(bytes), times(ratio)))
        };
        let floor = |workload: &str| if peer == "floor" { None } else { self.find(count, "floor", workload) };
        let each = |row: Option<&Json>, way: &str| Some(format!("{:.0}", bytes(row?, way)? / 10.0));
        let number = |row: Option<&Json>, name: &str| Some(format!("{}", row?[name].as_f64()?));
        let both = |row: Option<&Json>| Some(format!("{} B", bytes(row?, "up")? + bytes(row?, "down")?));
        let (w1, w2, w3) = (of("W1"), of("W2"), of("W3"));
        let (online, offline) = (of("W4-online"), of("W4-offline"));
        let cells = [
            Some(peer.to_owned()),
            seconds(w1, floor("W1")),
            len(w1, "up", floor("W1")),
            seconds(w2, floor("W2")),
            len(w2, "down", floor("W2")),
            number(w2, "cli_rss_MB"),
            number(w3, "ms"),
            both(w3),
            number(w3, "open_ms"),
            number(online, "p50_ms"),
            each(online, "up").zip(each(online, "down")).map(|(up, down)| format!("{up} / {down}")),
            number(offline, "ms"),
            of("W5").map(|row| format!("{} of {}", row["both"], row["records"])),
            seconds(of("W6"), None),
            Some(format!("{load:.1}")),
            Some(notes(&all)),
        ];
        Some(format!("| {} |", cells.map(Option::unwrap_or_default).join(" | ")))
    }
}

/// The latest row of each of a kind's measurements, in the order in which they were first made.
fn latest(lines: &str, kind: &str, names: &[&str]) -> Vec<Json> {
    let mut rows: Vec<Json> = Vec::new();
    for row in lines.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        if row["w"] != kind {
            continue;
        }
        match rows.iter_mut().find(|held| names.iter().all(|name| held[*name] == row[*name])) {
            Some(held) => *held = row,
            None => rows.push(row),
        }
    }
    rows
}

/// What a device does on its own, beside raw SQLite.
pub fn local(lines: &str) -> String {
    let mut text = String::new();
    let mut count = Json::Null;
    for row in latest(lines, "local", &["n", "operation"]) {
        if row["n"] != count {
            count = row["n"].clone();
            write!(text, "\n#### A device on its own, {count} records\n\n| | Barid | raw SQLite | load |\n|---|---:|---:|---:|\n").ok();
        }
        let operation = row["operation"].as_str().unwrap_or_default();
        let sqlite = row["sqlite"].as_f64().map_or_else(String::new, |value| value.to_string());
        writeln!(text, "| {operation} | {} | {sqlite} | {} |", row["barid"], row["load1"]).ok();
    }
    text
}

/// What one relay bears.
pub fn relay(lines: &str) -> String {
    let rows = latest(lines, "relay", &["what"]);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "\n#### One relay\n\n| | | load |\n|---|---:|---:|\n".to_owned();
    for row in rows {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        writeln!(text, "| {} | {} {} | {} |", word("what"), row["value"], word("unit"), row["load1"]).ok();
    }
    text
}

const HEAD: &str = "| | W1 s | bytes up | W2 s | bytes down | client RSS MB | W3 ms | W3 bytes | open ms | W4 p50 ms | bytes an edit, up / down | catch-up ms | W5 keeps both | W6 s | load at most | |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|";

/// What must be known to read a line.
fn notes(rows: &[&Json]) -> String {
    let mut notes: Vec<String> = Vec::new();
    for row in rows {
        if let Some(failed) = row["failed"].as_str() {
            notes.push(format!("{failed} fails: {}", row["error"].as_str().unwrap_or_default()));
        }
        if row["verify"] == false || row["equals_full_merge"] == false {
            notes.push(format!("{}: what came is not what was sent", row["w"].as_str().unwrap_or_default()));
        }
    }
    notes.join("; ").replace('|', "/")
}

/// Bytes one way, with what still followed when the step was over.
fn bytes(row: &Json, way: &str) -> Option<f64> {
    row[format!("{way}_settled")].as_f64().or_else(|| row[way].as_f64())
}

fn kilo(bytes: f64) -> String {
    if bytes >= 1e6 { format!("{:.2} MB", bytes / 1e6) } else { format!("{:.1} kB", bytes / 1e3) }
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!(" (×{ratio:.1})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_row_counts_and_is_set_beside_the_floors() {
        let rows = Rows::read(concat!(
            r#"{"peer":"barid","w":"W1","n":2000,"ms":900,"up":5000,"load1":1.5,"verify":true}"#,
            "\n",
            r#"{"peer":"floor","w":"W1","n":2000,"ms":100,"up":1000,"up_settled":2000,"load1":0.5}"#,
            "\nnoise\n",
            r#"{"peer":"barid","w":"W1","n":2000,"ms":300,"up":3000,"load1":2.5,"verify":false}"#,
            "\n",
            r#"{"peer":"loro","w":"W2","failed":"W2","n":2000,"error":"too large","load1":2.5}"#,
        ));
        assert_eq!(rows.peers(), ["barid", "floor", "loro"]);
        let text = rows.to_markdown();
        assert!(text.contains("| barid | 0.30 (×3.0) | 3.0 kB (×1.5) |"), "{text}");
        assert!(text.contains("2.5 | W1: what came is not what was sent |"), "{text}");
        assert!(text.contains("W2 fails: too large"), "{text}");
    }
}
