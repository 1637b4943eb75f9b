//! A receiver that is down while events come in: memory stays where it was, senders notice nothing, and
//! when it is back everything arrives, each event once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Options, mib, seconds};
use crate::generator;
use crate::host::Host;
use crate::port;
use crate::receiver::{self, Receiver, Script};

/// Load while latency is measured, small enough for any machine.
const RATE: f64 = 2_000.0;

/// Acceptance at a steady rate for a while: number sent, and milliseconds at the median and the 99th percentile.
fn accept(host: &Host, run: u32, time: Duration) -> Result<(u64, f64, f64)> {
    let report = generator::run(generator::Options { run, batch: 10, rate: Some(RATE), duration: time, ..generator::Options::to(host.intake) })?;
    ensure!(report.acked == report.sent, "{} of {} accepted: {:?}", report.acked, report.sent, report.refused);
    let summary = report.latency.summary();
    Ok((report.sent, summary["p50_ms"].as_f64().unwrap_or(f64::NAN), summary["p99_ms"].as_f64().unwrap_or(f64::NAN)))
}

pub fn backlog(options: &Options) -> Result<Value> {
    let addr = port::free()?;
    let host = Host::start(options.spec(&format!(
        "instances:\n  siem:\n    connector: splunk-hec\n    destinations: {{primary: {{url: \"http://{addr}\", methods: [POST, GET]}}}}\n    \
         retry: {{initial: 100ms, max: 1s}}\n    circuit_breaker: {{failure_threshold: 5, open_for: 1s}}\ndefault_route: [{{instance: siem, format: cef}}]\n"
    ))?)?;
    let listen = || Receiver::start(receiver::Options { bind: addr, ..receiver::Options::default() }, Script::default());
    let steady = Duration::from_secs(if options.size >= 1_000_000 { 5 } else { 1 });

    let up = listen()?;
    let (first, p50_up, p99_up) = accept(&host, 1, steady)?;
    host.settled(Duration::from_secs(60))?;
    ensure!(up.stats(|stats| (stats.events.unique(), stats.events.duplicates)) == (first, 0), "with the receiver up");
    let before = host.memory()?;
    drop(up);

    let start = Instant::now();
    let load = generator::Options { run: 2, count: options.size, connections: 8, duration: Duration::from_secs(600), ..generator::Options::to(host.intake) };
    let report = generator::run(load)?;
    ensure!(report.acked == report.sent && report.sent == options.size / 100 * 100, "{} of {} accepted: {:?}", report.acked, report.sent, report.refused);
    let filling = start.elapsed();
    let (more, p50_down, p99_down) = accept(&host, 3, steady)?;
    let down = host.memory()?;
    let waiting = host.get("/api/integration/health")?.json()?["lanes"][0]["backlog"].as_u64().unwrap_or(0);
    ensure!(waiting == report.sent + more, "{waiting} wait of {}", report.sent + more);

    let up = listen()?;
    let start = Instant::now();
    let scrape = host.settled(Duration::from_secs(600))?;
    let draining = start.elapsed();
    let after = host.memory()?;
    let (arrived, duplicates) = up.stats(|stats| (stats.events.unique(), stats.events.duplicates));
    ensure!((arrived, duplicates) == (waiting, 0), "{arrived} arrived and {duplicates} twice, of {waiting}");
    ensure!(scrape.sum("bulkhead_dead_letters", &[]) == 0.0, "dead letters");
    Ok(json!({
        "events": waiting, "filling_s": seconds(filling), "accepted_per_s": (report.sent as f64 / filling.as_secs_f64()).round(),
        "draining_s": seconds(draining), "delivered_per_s": (arrived as f64 / draining.as_secs_f64()).round(),
        "rss_before_mib": mib(before.now), "rss_backlog_mib": mib(down.now), "rss_after_mib": mib(after.now), "rss_peak_mib": mib(after.peak),
        "accept_p50_up_ms": p50_up, "accept_p99_up_ms": p99_up, "accept_p50_down_ms": p50_down, "accept_p99_down_ms": p99_down,
    }))
}
