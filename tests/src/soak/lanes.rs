//! Many lanes, each with a route of its own: how long a start takes, what they cost while nothing is for
//! them, what a sender notices of them, and that each event reaches its lane and no other.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Options, mib, seconds};
use crate::crash::roll;
use crate::histogram::Histogram;
use crate::host::Host;
use crate::http::Client;
use crate::wait;

/// Requests, one every so often, of so many events for lanes drawn by lot.
const REQUESTS: u64 = 300;
const EVERY: Duration = Duration::from_millis(20);
const EVENTS: u64 = 10;
/// Each instance has a lane for each: an open folder an instance and an open log a lane are what counts
/// against the limit of open files.
const FORMATS: [&str; 2] = ["json", "jsonl"];

pub fn lanes(options: &Options) -> Result<Value> {
    let mut config = String::from("instances:\n");
    for instance in 0..options.size.div_ceil(FORMATS.len() as u64) {
        let _ = writeln!(config, "  i{instance}: {{connector: file, config: {{path: i{instance}.ndjson}}, files: {{primary: {{dir: ./out, access: write}}}}}}");
    }
    config.push_str("routes:\n");
    for lane in 0..options.size {
        let (instance, format) = (lane / FORMATS.len() as u64, FORMATS[lane as usize % FORMATS.len()]);
        let _ = writeln!(config, "  - {{id: r{lane}, when: {{event_type: load.type{lane}}}, to: [{{instance: i{instance}, format: {format}}}]}}");
    }
    fs::create_dir_all(options.dir.join("out"))?;
    let cold = Host::start(options.spec(&config)?)?;
    let first_start = cold.ready_in;
    let host = cold.restart()?;
    let idle = host.memory()?;
    let cpu = host.cpu_seconds()?;
    let mut client = Client::new(host.intake);
    let (mut dice, mut latency, mut wanted) = (1, Histogram::default(), vec![0_u64; options.size.div_ceil(FORMATS.len() as u64) as usize]);
    let start = Instant::now();
    for request in 0..REQUESTS {
        // At a steady pace: what is measured is how long an answer takes, not how many there can be.
        std::thread::sleep((EVERY * request as u32).saturating_sub(start.elapsed()));
        let mut body = String::new();
        for event in 0..EVENTS {
            let lane = roll(&mut dice) % options.size;
            wanted[(lane / FORMATS.len() as u64) as usize] += 1;
            let _ =
                writeln!(body, r#"{{"event_id":"l-{request}-{event}","timestamp":"2026-11-02T08:00:00Z","event_type":"load.type{lane}","severity":"Info"}}"#);
        }
        let sent = Instant::now();
        let response = client.send("POST", "/events", &[("Content-Type", "application/x-ndjson")], body.as_bytes())?;
        ensure!(response.status == 202, "{} {}", response.status, response.text());
        latency.record(sent.elapsed().as_nanos() as u64);
    }
    let spent = (host.cpu_seconds()? - cpu) / start.elapsed().as_secs_f64();
    let lines = |instance: usize| {
        fs::read(options.dir.join(format!("out/i{instance}.ndjson"))).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
    };
    let waited = Instant::now();
    wait::until("every instance wrote its lanes' events", Duration::from_secs(180), || {
        Ok(wanted.iter().enumerate().all(|(instance, count)| *count == 0 || lines(instance) >= *count).then_some(()))
    })?;
    let arrived = waited.elapsed();
    for (instance, count) in wanted.iter().enumerate() {
        ensure!(lines(instance) == *count, "instance {instance}: {} events of {count}", lines(instance));
    }
    let busy = host.memory()?;
    let (before, summary) = (host.cpu_seconds()?, latency.summary());
    let rest = Instant::now();
    wait::until("a while without events", Duration::from_secs(10), || Ok((rest.elapsed() >= Duration::from_secs(2)).then_some(())))?;
    let resting = (host.cpu_seconds()? - before) / rest.elapsed().as_secs_f64();
    let start_again = host.ready_in;
    let mut host = host;
    let status = host.terminate(Duration::from_secs(60)).context("the drain")?;
    ensure!(status.success(), "the host ended with {status}");
    Ok(json!({
        "lanes": options.size, "first_start_s": seconds(first_start), "start_s": seconds(start_again),
        "rss_idle_mib": mib(idle.now), "rss_busy_mib": mib(busy.now), "kib_per_lane": (idle.now as f64 / 1024.0 / options.size as f64 * 10.0).round() / 10.0,
        "accept_p50_ms": summary["p50_ms"], "accept_p99_ms": summary["p99_ms"], "cores_at_500_events_s": (spent * 100.0).round() / 100.0,
        "cores_idle": (resting * 100.0).round() / 100.0, "last_arrival_s": seconds(arrived),
    }))
}
