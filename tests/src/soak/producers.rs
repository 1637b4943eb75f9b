//! Many producers at once, each with a connection of its own: every event that was acknowledged arrives,
//! once, and none that was not sent.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Options, mib, seconds};
use crate::generator;
use crate::host::Host;
use crate::receiver::{self, Receiver, Script};

/// Events of each producer, in batches of ten.
const EACH: u64 = 100;

pub fn producers(options: &Options) -> Result<Value> {
    let receiver = Receiver::start(receiver::Options::default(), Script::default())?;
    let host = Host::start(options.spec(&format!(
        "instances:\n  siem:\n    connector: splunk-hec\n    destinations: {{primary: {{url: \"{}\", methods: [POST, GET]}}}}\ndefault_route: [{{instance: siem, format: cef}}]\n",
        receiver.url()
    ))?)?;
    let before = host.memory()?;
    let count = options.size * EACH;
    let load =
        generator::Options { connections: options.size as usize, batch: 10, count, duration: Duration::from_secs(300), ..generator::Options::to(host.intake) };
    let report = generator::run(load)?;
    ensure!(
        (report.sent, report.acked, report.broken) == (count, count, 0),
        "{} sent, {} accepted, {} broken, {:?}",
        report.sent,
        report.acked,
        report.broken,
        report.refused
    );
    host.settled(Duration::from_secs(120))?;
    let head = host.get("/api/integration/health")?.json()?["journal"]["head"].as_u64();
    ensure!(head == Some(count), "the journal ends at {head:?} after {count} events");
    let (arrived, duplicates) = receiver.stats(|stats| (stats.events.count(1), stats.events.duplicates));
    ensure!((arrived, duplicates) == (count, 0), "{arrived} arrived and {duplicates} twice, of {count}");
    let after = host.memory()?;
    let summary = report.service.summary();
    Ok(json!({
        "producers": options.size, "events": count, "seconds": seconds(Duration::from_secs_f64(report.seconds)),
        "accepted_per_s": (count as f64 / report.seconds).round(), "accept_p50_ms": summary["p50_ms"], "accept_p99_ms": summary["p99_ms"], "accept_max_ms": summary["max_ms"],
        "rss_before_mib": mib(before.now), "rss_peak_mib": mib(after.peak),
    }))
}
