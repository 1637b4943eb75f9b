//! Every formatter (row P8): what one event costs, the host's scan, the passing and the guest together, under fuel,
//! epochs and limits, with the least configuration that takes every event (that of its willing case, else none). One
//! thread, minimum of several rounds in which all take turns. Prints a table and one JSON line a figure.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_core::{EventRef, Formatter};
use bulkhead_format::BatchBuilder;
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{FormatterGrants, Sandbox, SandboxSettings};
use bulkhead_tests::host::root;

mod shared;

use shared::stored;

const EVENTS: usize = 500;

struct Subject {
    name: String,
    formatter: Box<dyn Formatter>,
    builder: BatchBuilder,
    component: usize,
    record: usize,
    fuel: f64,
    best: Duration,
}

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, calls) = if quick { (3, 5) } else { (15, 30) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stored = stored(EVENTS)?;
    let refs: Vec<EventRef<'_>> = stored.iter().map(|bytes| EventRef::new(bytes)).collect::<Result<_, _>>()?;
    let metrics = Metrics::new();
    let mut subjects = runtime.block_on(subjects(&metrics))?;
    for subject in &mut subjects {
        let fuel = metrics.guest(&subject.name, &subject.name).fuel;
        let before = fuel.get();
        let batch = subject.builder.fill(subject.formatter.projection(), refs.iter().copied());
        let made = runtime.block_on(subject.formatter.format(batch))?;
        ensure!(made.refused.is_empty(), "{} refuses: {:?}", subject.name, made.refused.first());
        subject.record = made.records.block.len() / EVENTS;
        subject.fuel = (fuel.get() - before) as f64 / EVENTS as f64;
    }
    for _ in 0..rounds {
        for subject in &mut subjects {
            let start = Instant::now();
            for _ in 0..calls {
                let batch = subject.builder.fill(subject.formatter.projection(), refs.iter().copied());
                runtime.block_on(subject.formatter.format(batch))?;
            }
            subject.best = subject.best.min(start.elapsed());
        }
    }
    println!("| formatter | component KB | record bytes | fuel per event | µs per event |\n|---|---|---|---|---|");
    for subject in &subjects {
        let micros = subject.best.as_secs_f64() * 1e6 / (calls * EVENTS) as f64;
        println!("| {} | {} | {} | {:.0} | {micros:.2} |", subject.name, subject.component / 1000, subject.record, subject.fuel);
    }
    for subject in &subjects {
        let micros = subject.best.as_secs_f64() * 1e6 / (calls * EVENTS) as f64;
        println!("{}", serde_json::json!({"figure": format!("format.{}", subject.name), "value": micros}));
        println!("{}", serde_json::json!({"figure": format!("format.{}.fuel", subject.name), "value": subject.fuel}));
    }
    Ok(())
}

async fn subjects(metrics: &Metrics) -> Result<Vec<Subject>> {
    let sandbox = Sandbox::new(SandboxSettings::default(), metrics.clone())?;
    let mut folders: Vec<_> = std::fs::read_dir(root().join("connectors"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.sort();
    let mut subjects = Vec::new();
    for folder in folders {
        let guest = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = guest.strip_prefix("format-") else { continue };
        let path = root().join("target/guests").join(&guest).with_extension("wasm");
        let bytes = std::fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))?;
        let grants = FormatterGrants { instance: name.to_owned(), ..FormatterGrants::default() };
        let source = sandbox.formatter(&sandbox.load(name, &bytes)?, configuration(&folder)?, grants)?;
        let formatter = source.open().await.with_context(|| guest.clone())?;
        let (builder, component) = (BatchBuilder::default(), bytes.len());
        subjects.push(Subject { name: name.to_owned(), formatter, builder, component, record: 0, fuel: 0.0, best: Duration::MAX });
    }
    Ok(subjects)
}

/// That of the case which takes every event.
fn configuration(folder: &Path) -> Result<String> {
    for entry in std::fs::read_dir(folder.join("cases"))? {
        let path = entry?.path();
        let case: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        if case.get("willing").and_then(toml::Value::as_bool) == Some(true) {
            return Ok(case.get("config").map_or_else(|| Ok("{}".to_owned()), serde_json::to_string)?);
        }
    }
    Ok("{}".to_owned())
}
