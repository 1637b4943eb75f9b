//! What instances cost (rows P12 and P14): loading a compiled component from the cache with its MAC
//! checked, opening a fresh instance up to its first answer, and the memory of 1,000 idle instances of 20
//! components with 100 busy ones beside them. Prints one JSON line a figure.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bulkhead_core::{Connector, EventRef, FormatterSource};
use bulkhead_format::BatchBuilder;
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{Component, ConnectorGrants, Destination, DestinationSettings, FormatterGrants, Limit, Sandbox, SandboxSettings};
use bulkhead_tests::host::root;

mod shared;

use shared::stored;

const COMPONENTS: usize = 20;
const BUSY: usize = 100;
const EVENTS: usize = 500;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, instances) = if quick { (5, 100) } else { (101, 1_000) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let data_dir = tempfile::tempdir()?;
    let settings =
        SandboxSettings { data_dir: Some(data_dir.path().to_owned()), component_size: Limit::ComponentSize.row().ceiling, ..SandboxSettings::default() };
    let bytes = guest("format-cef")?;

    // Compiled once; every later load takes the artefact.
    let sandbox = Sandbox::new(settings, Metrics::new())?;
    let formatter = sandbox.load("format-cef", &bytes)?;
    print("load.bytes", largest_file(data_dir.path())? as f64 / 1e6);
    let load = || -> Result<f64> {
        let start = Instant::now();
        sandbox.load("format-cef", &bytes)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    print("load.warm", median(rounds, load)?);

    // A component of another language, where one is named: `BULKHEAD_LARGE=app.wasm`.
    if let Some(path) = std::env::var_os("BULKHEAD_LARGE") {
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        sandbox.load("large", &bytes)?;
        print(
            "load.large",
            median(rounds, || {
                let start = Instant::now();
                sandbox.load("large", &bytes)?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            })?,
        );
    }

    let source = sandbox.formatter(&formatter, "{}".to_owned(), FormatterGrants::default())?;
    let stored = stored(EVENTS)?;
    let refs: Vec<EventRef<'_>> = stored.iter().map(|bytes| EventRef::new(bytes)).collect::<Result<_, _>>()?;
    let fresh = || -> Result<f64> {
        let start = Instant::now();
        // Instantiated and called: `configure` is the first call, and its answer is the proof.
        let opened = runtime.block_on(source.open())?;
        let took = start.elapsed();
        // Tearing it down is another matter: nobody waits for that.
        drop(opened);
        Ok(took.as_secs_f64() * 1e6)
    };
    print("fresh.call", median(rounds * 10, fresh)?);

    // Copies with a section of their own are components of their own: compiled, kept and mapped apart.
    let copies: Vec<Component> = (0..COMPONENTS).map(|nth| Ok(sandbox.load("splunk-hec", &distinct(guest("splunk-hec")?, nth))?)).collect::<Result<_>>()?;
    let format = runtime.block_on(source.open())?.record_format().clone();
    let before = memory()?;
    let mut idle: Vec<Box<dyn Connector>> = Vec::with_capacity(instances);
    for nth in 0..instances {
        let settings = DestinationSettings { url: "http://127.0.0.1:9".to_owned(), ..DestinationSettings::default() };
        let grants =
            ConnectorGrants { instance: format!("idle-{nth}"), destinations: vec![Destination::new("primary", settings)?], ..ConnectorGrants::default() };
        let opened = sandbox.connector(&copies[nth % COMPONENTS], "{}".to_owned(), grants)?;
        idle.push(runtime.block_on(opened.open(&format))?);
    }
    let with_idle = memory()?;
    print("idle.rss", with_idle.resident.saturating_sub(before.resident) as f64 / 1e6 * (1_000.0 / instances as f64));
    print("idle.virtual", with_idle.virtual_.saturating_sub(before.virtual_) as f64 / 1e9 * (1_000.0 / instances as f64));

    let busy = runtime.block_on(work(&*source, &refs))?;
    print("busy.rss", busy.saturating_sub(with_idle.resident) as f64 / 1e6);
    ensure!(idle.len() == instances, "all stayed");
    Ok(())
}

/// Formats with many instances that all stay, and answers the memory that is resident by then.
async fn work(source: &dyn FormatterSource, refs: &[EventRef<'_>]) -> Result<u64> {
    let mut formatters = Vec::with_capacity(BUSY);
    let mut builder = BatchBuilder::default();
    for _ in 0..BUSY {
        let mut formatter = source.open().await?;
        let projection = std::sync::Arc::clone(formatter.projection());
        let formatted = formatter.format(builder.fill(&projection, refs.iter().copied())).await?;
        ensure!(formatted.records.offsets.len() == refs.len() + 1, "a record for each event");
        formatters.push(formatter);
    }
    let resident = memory()?.resident;
    drop(formatters);
    Ok(resident)
}

fn print(figure: &str, value: f64) {
    println!("{}", serde_json::json!({"figure": figure, "value": value}));
}

fn median(rounds: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut values = (0..rounds).map(|_| measure()).collect::<Result<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    Ok(values[values.len() / 2])
}

fn guest(name: &str) -> Result<Vec<u8>> {
    let path = root().join("target/guests").join(name).with_extension("wasm");
    fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))
}

/// The component with a custom section more: other bytes, other digest, the same code.
fn distinct(mut component: Vec<u8>, nth: usize) -> Vec<u8> {
    // Section 0: size, then a name with its length, then the payload (component binary format).
    component.extend_from_slice(&[0, 6, 4, b'c', b'o', b'p', b'y', u8::try_from(nth).unwrap_or(u8::MAX)]);
    component
}

struct Memory {
    resident: u64,
    virtual_: u64,
}

fn memory() -> Result<Memory> {
    let status = fs::read_to_string("/proc/self/status")?;
    let bytes = |key: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(key)).context("a line of /proc/self/status")?;
        Ok(line.split_whitespace().nth(1).context("a number")?.parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS:")?, virtual_: bytes("VmSize:")? })
}

fn largest_file(dir: &std::path::Path) -> Result<u64> {
    let mut most = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let size = if entry.file_type()?.is_dir() { largest_file(&entry.path())? } else { entry.metadata()?.len() };
        most = most.max(size);
    }
    Ok(most)
}
