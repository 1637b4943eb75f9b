//! What was measured: median and range of each figure over the repeats, beside its aims.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::json;

use super::yardstick::Disk;

/// A figure: its key, row, words, unit, first and final aim.
struct Figure {
    key: &'static str,
    row: &'static str,
    what: &'static str,
    unit: &'static str,
    first: Option<Aim>,
    last: Option<Aim>,
}

#[derive(Clone, Copy)]
enum Aim {
    Least(f64),
    Most(f64),
}

use Aim::{Least, Most};

const fn figure(key: &'static str, row: &'static str, what: &'static str, unit: &'static str, first: Option<Aim>, last: Option<Aim>) -> Figure {
    Figure { key, row, what, unit, first, last }
}

const FIGURES: [Figure; 105] = [
    figure("full.rate", "P1", "HTTP in (100 a batch) → CEF → HEC, end to end", "events/s", Some(Least(60_000.0)), Some(Least(130_000.0))),
    figure("full.accepted", "P1", "  of it: acceptance alone", "events/s", None, None),
    figure("full.cpu", "P2", "  host CPU", "s per million", Some(Most(20.0)), Some(Most(7.0))),
    figure("full.generator", "P2", "  generator CPU beside it", "s per million", None, None),
    figure("full.receiver", "P2", "  receiver CPU beside it", "s per million", None, None),
    figure("steady.p50", "P3", "sent → delivered at 20,000/s (batches of 10), p50", "ms", None, Some(Most(5.0))),
    figure("steady.p99", "P3", "  p99", "ms", Some(Most(50.0)), Some(Most(20.0))),
    figure("steady.cpu", "P3", "  host CPU at that rate", "s per million", None, None),
    figure("steady.ack50", "P4", "request due → 202 at 20,000/s, p50", "ms", None, None),
    figure("steady.ack99", "P4", "  p99", "ms", Some(Most(25.0)), Some(Most(10.0))),
    figure("ways.elastic", "P5", "→ ECS → Elasticsearch bulk, of the rate of P1", "times", None, Some(Least(0.8))),
    figure("ways.webhook", "P5", "  → JSON → webhook", "times", None, Some(Least(0.8))),
    figure("ways.syslog", "P5", "  → RFC 5424 → syslog TCP", "times", None, Some(Least(1.0))),
    figure("single.rate", "P6", "one event a request, 16 connections", "events/s", None, Some(Least(50_000.0))),
    figure("single.cpu", "P6", "  host CPU", "s per million", None, Some(Most(14.0))),
    figure("guest.ratio", "P7", "format + deliver, guest against the same source native", "times", Some(Most(2.5)), Some(Most(1.8))),
    figure("guest.tree", "P7", "  against a native serde_json tree", "times", None, Some(Most(0.6))),
    figure("guest.micros", "P7", "  guest", "µs per event", None, None),
    figure("guest.native", "P7", "  native", "µs per event", None, None),
    figure("format.json", "P8", "json, all in (scan, pass, guest)", "µs per event", Some(Most(2.0)), Some(Most(1.0))),
    figure("format.json.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.jsonl", "P8", "  jsonl", "µs per event", None, None),
    figure("format.jsonl.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.cef", "P8", "  cef", "µs per event", Some(Most(2.0)), Some(Most(1.0))),
    figure("format.cef.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.ecs", "P8", "  ecs", "µs per event", Some(Most(2.0)), Some(Most(1.0))),
    figure("format.ecs.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.cloudevents", "P8", "  cloudevents", "µs per event", None, None),
    figure("format.cloudevents.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.leef", "P8", "  leef", "µs per event", Some(Most(2.0)), Some(Most(1.0))),
    figure("format.leef.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.syslog", "P8", "  syslog", "µs per event", Some(Most(2.0)), Some(Most(1.0))),
    figure("format.syslog.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.splunk", "P8", "  splunk", "µs per event", None, None),
    figure("format.splunk.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.xml", "P8", "  xml", "µs per event", None, None),
    figure("format.xml.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.template", "P8", "  template", "µs per event", None, None),
    figure("format.template.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.mapping", "P8", "  mapping", "µs per event", None, None),
    figure("format.mapping.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.mapping-jq", "P8", "  mapping-jq", "µs per event", None, None),
    figure("format.mapping-jq.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.avro", "P8", "  avro", "µs per event", None, None),
    figure("format.avro.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.protobuf", "P8", "  protobuf", "µs per event", None, None),
    figure("format.protobuf.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.otlp", "P8", "  otlp", "µs per event", None, None),
    figure("format.otlp.fuel", "P8", "    fuel", "per event", None, None),
    figure("format.prometheus", "P8", "  prometheus", "µs per event", None, None),
    figure("format.prometheus.fuel", "P8", "    fuel", "per event", None, None),
    figure("five.ratio", "P9", "one event to 5 lanes against one: host CPU", "times", None, Some(Most(3.0))),
    figure("five.rate", "P9", "  end to end", "events/s", None, None),
    figure("five.cpu", "P9", "  host CPU", "s per million", None, None),
    figure("journal.rate", "P10", "journal alone: 16 producers, batches of 100, one lane reading", "events/s", None, Some(Least(200_000.0))),
    figure("journal.cpu", "P10", "  CPU", "s per million", None, None),
    figure("journal.disk", "P10", "  bytes on disk for each of the payload", "times", None, Some(Most(1.3))),
    figure("journal.packed.rate", "P10", "  packed (lz4)", "events/s", None, None),
    figure("journal.packed.cpu", "P10", "    CPU", "s per million", None, None),
    figure("journal.packed.disk", "P10", "    bytes on disk", "times", None, None),
    figure("journal.sealed.rate", "P10", "  sealed", "events/s", None, Some(Least(200_000.0))),
    figure("journal.sealed.cpu", "P10", "    CPU", "s per million", None, None),
    figure("journal.sealed.disk", "P10", "    bytes on disk", "times", None, Some(Most(1.3))),
    figure("journal.both.rate", "P10", "  packed and sealed", "events/s", None, None),
    figure("journal.both.cpu", "P10", "    CPU", "s per million", None, None),
    figure("journal.both.disk", "P10", "    bytes on disk", "times", None, None),
    figure("fields.sealed", "P10", "two fields of an event sealed before it is formatted", "µs", None, None),
    figure("replay.rate", "P11", "replay from the journal into null lanes, two formatters busy", "events/s", None, Some(Least(300_000.0))),
    figure("replay.one", "P11", "  one formatter, on one core", "events/s", None, None),
    figure("replay.ratio", "P11", "  two cores against one", "times", None, Some(Least(1.8))),
    figure("replay.cpu", "P11", "  CPU", "s per million", None, None),
    figure("three.rss", "P12", "resident memory, three lanes at 20,000/s, most seen", "MB", Some(Most(150.0)), Some(Most(60.0))),
    figure("full.rss", "P12", "resident memory at full speed, most seen", "MB", None, Some(Most(150.0))),
    figure("five.rss", "P12", "  with five lanes", "MB", None, None),
    figure("idle.rss", "P12", "1,000 idle instances of 20 components: resident memory, added", "MB", None, Some(Most(150.0))),
    figure("idle.virtual", "P12", "  address space, added", "GB", None, None),
    figure("busy.rss", "P12", "  and 100 formatters at work: resident memory, added", "MB", None, None),
    figure("start.ready", "P13", "ready after start, warm cache", "ms", Some(Most(300.0)), Some(Most(200.0))),
    figure("start.cold", "P13", "  first start, components compiled", "ms", None, None),
    figure("load.warm", "P14", "load of a compiled component of at most 1 MB, MAC included", "ms", None, Some(Most(2.0))),
    figure("load.bytes", "P14", "  its artefact", "MB", None, None),
    figure("load.large", "P14", "  of the component that `BULKHEAD_LARGE` names (Python, JavaScript)", "ms", None, Some(Most(50.0))),
    figure("fresh.call", "P14", "fresh instance: instantiated, configured, called", "µs", None, Some(Most(100.0))),
    figure("neighbour.quiet", "P15", "sent → delivered at 5,000/s beside a quiet guest, p99", "ms", None, None),
    figure("neighbour.beside", "P15", "  beside one that spins, p99", "ms", None, None),
    figure("neighbour.excess", "P15", "  beyond max(2 × quiet, quiet + 10 ms)", "ms", None, Some(Most(0.0))),
    figure("beside.upload", "P16", "p99 at 20,000/s during an upload of 20 MB, against before", "times", None, Some(Most(1.25))),
    figure("beside.api", "P16", "  during API load (200 requests/s)", "times", None, Some(Most(1.25))),
    figure("beside.quiet", "P16", "  alone", "ms", None, None),
    figure("beside.took", "P16", "  the upload, compiled and checked", "s", None, None),
    figure("control.sqlite.read50", "C1", "reads by id at 500 requests/s, p50", "ms", None, None),
    figure("control.sqlite.read99", "C1", "  p99", "ms", None, Some(Most(2.0))),
    figure("control.postgres.read50", "C1", "  the store in PostgreSQL, p50", "ms", None, None),
    figure("control.postgres.read99", "C1", "    p99", "ms", None, None),
    figure("control.sqlite.logs", "C2", "a page of 1,000 of 100,000 logs, through the API", "ms", None, Some(Most(30.0))),
    figure("control.sqlite.logs.middle", "C2", "  from the middle", "ms", None, Some(Most(30.0))),
    figure("control.sqlite.logs.text", "C2", "  with a text in them", "ms", None, Some(Most(30.0))),
    figure("control.postgres.logs", "C2", "  the store in PostgreSQL", "ms", None, None),
    figure("control.postgres.logs.middle", "C2", "    from the middle", "ms", None, None),
    figure("control.postgres.logs.text", "C2", "    with a text in them", "ms", None, None),
    figure("control.many.first", "C3", "first start with 1,000 instances", "s", None, None),
    figure("control.many.start", "C3", "  a later one", "s", None, Some(Most(5.0))),
    figure("control.many.rss", "C3", "  resident memory then", "MB", None, None),
    figure("disk.syncs", "disk", "write + fdatasync of 64 KiB, bare loop", "syncs/s", None, None),
    figure("disk.mb", "disk", "write + fdatasync of 1 MiB, bare loop", "MB/s", None, None),
];

pub struct Report {
    profile: String,
    quick: bool,
    values: BTreeMap<&'static str, Vec<f64>>,
    slow_disk: bool,
}

impl Report {
    pub fn new(profile: &str, quick: bool) -> Self {
        Self { profile: profile.to_owned(), quick, values: BTreeMap::new(), slow_disk: false }
    }

    pub fn add(&mut self, key: &str, value: f64) -> Result<()> {
        let known = FIGURES.iter().find(|figure| figure.key == key);
        // Formatters are found by their folders: one without a row is shown and not kept.
        ensure!((known.is_some() || key.starts_with("format.")) && value.is_finite(), "{key} = {value} is no figure of the table");
        if known.is_none() {
            eprintln!("    {key:<64} {:>12}", show(value));
        }
        if let Some(figure) = known {
            eprintln!("    {:<64} {:>12} {}", figure.what.trim(), show(value), figure.unit);
            self.values.entry(figure.key).or_default().push(value);
        }
        Ok(())
    }

    pub fn last(&self, key: &str) -> Option<f64> {
        self.values.get(key)?.last().copied()
    }

    /// How often a figure was measured so far.
    pub fn count(&self, key: &str) -> usize {
        self.values.get(key).map_or(0, Vec::len)
    }

    pub fn disk(&mut self, disk: Disk) {
        eprintln!("    disk: {:.0} syncs/s of 64 KiB, {:.0} MB/s", disk.syncs_per_second, disk.mb_per_second);
        self.slow_disk |= !disk.is_fast();
        self.values.entry("disk.syncs").or_default().push(disk.syncs_per_second);
        self.values.entry("disk.mb").or_default().push(disk.mb_per_second);
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Figure, Summary)> + '_ {
        FIGURES.iter().filter_map(|figure| Some((figure, summary(self.values.get(figure.key)?))))
    }

    pub fn json(&self) -> serde_json::Value {
        let rows: Vec<serde_json::Value> = self
            .rows()
            .map(|(figure, summary)| json!({"key": figure.key, "row": figure.row, "what": figure.what.trim(), "unit": figure.unit, "median": summary.median, "least": summary.least, "most": summary.most, "values": self.values[figure.key], "first_aim": figure.first.map(Aim::text), "final_aim": figure.last.map(Aim::text)}))
            .collect();
        json!({"schema_version": 1, "profile": self.profile, "quick": self.quick, "cores": cores(), "slow_disk": self.slow_disk, "figures": rows})
    }

    pub fn markdown(&self) -> String {
        let mut out = format!(
            "`cargo xtask bench`, profile {}, {} cores, generator and receiver on them too{}\n\n",
            self.profile,
            cores(),
            if self.quick { ", quick: too short to quote" } else { "" }
        );
        out.push_str("| row | case | median | range | first aim | final aim |\n|---|---|---|---|---|---|\n");
        for (figure, summary) in self.rows() {
            let aim = |aim: Option<Aim>| aim.map_or(String::new(), |aim| format!("{} {}", aim.text(), if aim.met(summary.median) { "met" } else { "missed" }));
            out.push_str(&format!(
                "| {} | {} | {} {} | {} – {} | {} | {} |\n",
                figure.row,
                figure.what.trim(),
                show(summary.median),
                figure.unit,
                show(summary.least),
                show(summary.most),
                aim(figure.first),
                aim(figure.last)
            ));
        }
        if self.slow_disk {
            out.push_str("\nThe disk did less than 5,000 syncs/s or 400 MB/s in some repeat: disk-bound aims count at 70 %.\n");
        }
        out
    }
}

impl Aim {
    fn text(self) -> String {
        match self {
            Least(value) => format!("≥ {}", show(value)),
            Most(value) => format!("≤ {}", show(value)),
        }
    }

    fn met(self, value: f64) -> bool {
        match self {
            Least(aim) => value >= aim,
            Most(aim) => value <= aim,
        }
    }
}

struct Summary {
    median: f64,
    least: f64,
    most: f64,
}

/// Of at least one value.
fn summary(values: &[f64]) -> Summary {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Summary { median, least: sorted[0], most: sorted[sorted.len() - 1] }
}

/// Three digits that matter, thousands parted.
fn show(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|chunk| std::str::from_utf8(chunk).unwrap_or_default()).collect();
    parts.join(",")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ranges_and_numbers() {
        let summary = summary(&[3.0, 1.0, 10.0, 2.0]);
        assert_eq!((summary.median, summary.least, summary.most), (2.5, 1.0, 10.0));
        assert_eq!(["1,234,567", "130,000", "99.5", "7", "0.38"], [1_234_567.0, 130_000.0, 99.5, 7.0, 0.38].map(show).each_ref().map(String::as_str));
    }

    #[test]
    fn only_figures_of_the_table() {
        let mut report = Report::new("dist", false);
        report.add("full.rate", 61_000.0).expect("known");
        assert!(report.add("full.rat", 1.0).is_err());
        let text = report.markdown();
        assert!(text.contains("| P1 |") && text.contains("≥ 60,000 met") && text.contains("≥ 130,000 missed"), "{text}");
    }
}
