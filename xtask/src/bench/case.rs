//! The cases that drive the whole host: configuration, load, what is read off afterwards. Each run gets
//! a fresh host, a fresh receiver and an empty data folder; compiled components are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_tests::host::{Host, Spec};
use bulkhead_tests::tool::{ReceiverProcess, start_generator};
use serde_json::Value;

use super::report::Report;

pub struct Case {
    pub name: &'static str,
    pub(super) load: &'static [&'static str],
    lanes: &'static [Lane],
    /// Figures read off: the part behind the dot.
    figures: &'static [&'static str],
}

struct Lane {
    instance: &'static str,
    connector: &'static str,
    format: &'static str,
}

const fn lane(instance: &'static str, connector: &'static str, format: &'static str) -> Lane {
    Lane { instance, connector, format }
}

const SIEM: Lane = lane("siem", "splunk-hec", "cef");
const BATCHES: &[&str] = &["--batch", "100", "--connections", "8"];
const STEADILY: &[&str] = &["--batch", "10", "--connections", "16", "--rate", "20000"];

pub static FULL: Case = Case { name: "full", load: BATCHES, lanes: &[SIEM], figures: &["rate", "accepted", "cpu", "generator", "receiver", "rss"] };
pub static STEADY: Case = Case { name: "steady", load: STEADILY, lanes: &[SIEM], figures: &["p50", "p99", "cpu", "ack50", "ack99"] };
pub static SINGLE: Case =
    Case { name: "single", load: &["--batch", "1", "--layout", "object", "--connections", "16"], lanes: &[SIEM], figures: &["rate", "cpu"] };
pub static FIVE: Case = Case {
    name: "five",
    load: BATCHES,
    lanes: &[
        SIEM,
        lane("siem2", "splunk-hec", "cef"),
        lane("siem3", "splunk-hec", "cef"),
        lane("siem4", "splunk-hec", "cef"),
        lane("siem5", "splunk-hec", "cef"),
    ],
    figures: &["ratio", "rate", "cpu", "rss"],
};
pub static THREE: Case =
    Case { name: "three", load: STEADILY, lanes: &[SIEM, lane("hook", "webhook", "json"), lane("archive", "file", "ecs")], figures: &["rss"] };

const SETTLE: Duration = Duration::from_secs(300);

pub struct Bench {
    pub tools: PathBuf,
    pub dir: PathBuf,
    pub seconds: u64,
}

impl Bench {
    pub fn run(&self, case: &Case, report: &mut Report) -> Result<()> {
        eprintln!("  {}", case.name);
        let receiver = ReceiverProcess::start(&self.tools, &[])?;
        self.clear()?;
        let host = Host::start(self.spec(case, &receiver)?)?;
        let (cpu, receiver_cpu) = (host.cpu_seconds()?, receiver.cpu_seconds()?);
        let seconds = self.seconds.to_string();
        let mut generator = start_generator(&self.tools, host.intake, &[case.load, &["--seconds", &seconds]].concat())?;
        let mut rss = 0;
        let patience = Instant::now() + Duration::from_secs(self.seconds + 60);
        while generator.is_running()? {
            ensure!(Instant::now() < patience, "the generator does not end");
            rss = rss.max(host.memory()?.now);
            // A sampling interval, not a wait for something.
            std::thread::sleep(Duration::from_millis(100));
        }
        let load = generator.report()?;
        let scrape = host.settled(SETTLE)?;
        let events = number(&load, "/acked")?;
        ensure!(events > 0.0, "nothing was accepted: {load}");
        let cpu = (host.cpu_seconds()? - cpu) * 1e6 / events;
        let receiver_cpu = (receiver.cpu_seconds()? - receiver_cpu) * 1e6 / events;
        let stats = receiver.stats()?;
        ensure!(number(&stats, "/events")? >= events, "{} of {events} accepted events arrived", stats["events"]);
        ensure!(scrape.sum("bulkhead_lane_rejected_total", &[]) == 0.0, "events were rejected; see {}", host.spec.log.display());
        for figure in case.figures {
            let value = match *figure {
                "rate" => number(&stats, "/events_per_second")?,
                "accepted" => number(&load, "/events_per_second")?,
                "cpu" => cpu,
                "generator" => number(&load, "/cpu_seconds_per_million")?,
                "receiver" => receiver_cpu,
                "rss" => rss.max(host.memory()?.now) as f64 / 1e6,
                "p50" => number(&stats, "/latency/p50_ms")?,
                "p99" => number(&stats, "/latency/p99_ms")?,
                "ack50" => number(&load, "/latency/p50_ms")?,
                "ack99" => number(&load, "/latency/p99_ms")?,
                "ratio" => cpu / report.last("full.cpu").context("five lanes are measured against one: `full` must run before")?,
                other => anyhow::bail!("no such figure: {other}"),
            };
            report.add(&format!("{}.{figure}", case.name), value)?;
        }
        Ok(())
    }

    /// From spawning the process to listening, on compiled components; the first start of all compiles.
    pub fn starts(&self, report: &mut Report, times: usize) -> Result<()> {
        eprintln!("  start");
        let receiver = ReceiverProcess::start(&self.tools, &[])?;
        self.clear()?;
        let _ = fs::remove_dir_all(self.dir.join("data"));
        for i in 0..=times {
            let mut host = Host::start(self.spec(&THREE, &receiver)?)?;
            let ready = host.ready_in.as_secs_f64() * 1e3;
            report.add(if i == 0 { "start.cold" } else { "start.ready" }, ready)?;
            let status = host.terminate(Duration::from_secs(40))?;
            ensure!(status.success(), "the host ended with {status}");
        }
        Ok(())
    }

    /// Empties the data folder but for the cache of compiled components.
    pub(super) fn clear(&self) -> Result<()> {
        let data = self.dir.join("data");
        fs::create_dir_all(&data)?;
        for entry in fs::read_dir(&data)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == "cache") {
                continue;
            }
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        let out = self.dir.join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out)?;
        Ok(())
    }

    pub(super) fn spec(&self, case: &Case, receiver: &ReceiverProcess) -> Result<Spec> {
        let config = self.dir.join(format!("{}.yaml", case.name));
        fs::write(&config, self.config(case, &receiver.url()))?;
        Ok(Spec {
            binary: self.tools.join("bulkhead"),
            config,
            data_dir: self.dir.join("data"),
            log: self.dir.join(format!("{}.log", case.name)),
            env: Vec::new(),
            dir: self.dir.clone(),
            args: Vec::new(),
            through: Vec::new(),
        })
    }

    fn config(&self, case: &Case, url: &str) -> String {
        let mut text = format!("data_dir: {}\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\ninstances:\n", quoted(&self.dir.join("data")));
        for Lane { instance, connector, .. } in case.lanes {
            text.push_str(&format!("  {instance}:\n    connector: {connector}\n    concurrency: 4\n"));
            if *connector == "file" {
                let out = quoted(&self.dir.join("out"));
                text.push_str(&format!("    config: {{path: {instance}.ndjson}}\n    files: {{primary: {{dir: {out}, access: write}}}}\n"));
            } else {
                text.push_str(&format!("    destinations: {{primary: {{url: \"{url}\", methods: [POST, GET]}}}}\n"));
            }
        }
        let lanes: Vec<String> = case.lanes.iter().map(|lane| format!("{{instance: {}, format: {}}}", lane.instance, lane.format)).collect();
        text.push_str(&format!("default_route: [{}]\n", lanes.join(", ")));
        text
    }
}

pub fn quoted(path: &Path) -> String {
    Value::String(path.display().to_string()).to_string()
}

pub(super) fn number(value: &Value, pointer: &str) -> Result<f64> {
    value.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{pointer} is missing in {value}"))
}
