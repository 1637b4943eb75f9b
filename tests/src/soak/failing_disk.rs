//! A disk that fails below a running host, twice over: the kernel finds an error and makes the file system
//! read-only, and a device that takes no more, so that a sync ends with an input/output error. Both are
//! real: an ext4 on a loop device over a sparse file. Acceptance ends with 503, what was acknowledged
//! before is there after a check of the file system, a mount and a start.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Options, spec};
use crate::disk::Disk;
use crate::generator;
use crate::host::Host;
use crate::receiver::{self, Receiver, Script};
use crate::wait;

const BYTES: u64 = 96 << 20;

pub fn failing_disk(options: &Options) -> Result<Value> {
    Ok(json!({"read_only": broken(options, 1, Disk::turn_read_only)?, "io_error": broken(options, 2, |disk| disk.fill(0))?}))
}

fn broken(options: &Options, round: u32, fail: fn(&Disk) -> Result<()>) -> Result<Value> {
    let point = options.dir.join(format!("disk{round}"));
    fs::create_dir_all(&point)?;
    let disk = Disk::ext4(&point, BYTES).map_err(anyhow::Error::msg)?;
    let receiver = Receiver::start(receiver::Options::default(), Script::parse("503*")?)?;
    let files = point.join("fs");
    let config = format!(
        "journal: {{segment_bytes: 4MiB}}\ninstances:\n  siem:\n    connector: splunk-hec\n    destinations: {{primary: {{url: \"{}\", methods: [POST, GET]}}}}\n    \
         retry: {{initial: 50ms, max: 500ms}}\n    circuit_breaker: {{failure_threshold: 1000}}\ndefault_route: [{{instance: siem, format: cef}}]\n",
        receiver.url()
    );
    let mut spec = spec(&options.binary, &options.dir, &config)?;
    let text = fs::read_to_string(&spec.config)?.replace(&spec.data_dir.display().to_string(), &files.join("data").display().to_string());
    // The configuration stays on a disk that is well: nobody synced it.
    fs::write(&spec.config, text)?;
    (spec.data_dir, spec.through) = (disk.path("fs/data"), disk.enter());
    let mut host = Host::start(spec)?;

    let acked = |run: u32| options.dir.join(format!("acked-{round}-{run}"));
    let load = |run: u32| generator::Options { run, batch: 10, reconnect: true, acked: Some(acked(run)), ..generator::Options::to(host.intake) };
    let before = generator::run(generator::Options { count: options.size, ..load(1) })?;
    ensure!(before.acked == before.sent, "{:?}", before.refused);
    fail(&disk)?;
    let after = generator::run(generator::Options { duration: Duration::from_secs(4), ..load(2) })?;
    ensure!(after.refused.keys().copied().eq([503]), "refused with {:?}", after.refused);
    let refused = wait::until("acceptance ends", Duration::from_secs(20), || {
        let response = host.post("application/json", br#"{"event_id":"x","timestamp":"2026-11-02T08:00:00Z","event_type":"x"}"#)?;
        Ok((response.status != 202).then_some(response))
    })?;
    let problem = refused.json()?;
    ensure!((refused.status, problem["code"].as_str()) == (503, Some("disk")) && refused.headers.get("retry-after").is_some(), "{problem}");
    ensure!(host.get("/livez")?.status == 200, "not alive");

    host.kill()?;
    disk.repair()?;
    receiver.play(Script::default());
    let host = Host::start(host.spec.clone())?;
    host.settled(Duration::from_secs(120))?;
    let mut acknowledged = 0;
    for run in [1, 2] {
        for number in generator::read_ranges(&fs::read_to_string(acked(run)).context("acked")?)?.into_iter().flatten() {
            acknowledged += 1;
            ensure!(receiver.stats(|stats| stats.events.has(run, number)), "event {number} of run {run} was acknowledged and is lost");
        }
    }
    Ok(json!({
        "acknowledged": acknowledged, "while_failing": after.acked, "refused": after.refused.values().sum::<u64>(),
        "delivered": receiver.stats(|stats| stats.events.unique()),
    }))
}
