//! From the journal into null lanes (row P11): a journal that was filled before is read, formatted as CEF by
//! two guests under fuel, epochs and limits, and handed to a connector that takes everything at once. The
//! program starts itself twice, on one core with one formatter and on two with two, the same work each time.
//! Prints one JSON line a figure.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_core::{
    BatchLimits, BoxFuture, Connector, ConnectorSource, DeliverError, Delivery as Answer, EventBatch, Failure, FormatterSource, GuestFault, LaneId, OpenError,
    Outcome, Projection, RecordBatch, RecordFormat, Seq, SystemClock,
};
use bulkhead_deliver::{ConcurrencySettings, Delivery, DeliveryParts, DeliverySettings, InstanceSettings, LaneSettings, Nobody, RoutingTable};
use bulkhead_journal::{AppendBatch, Durability, Journal, JournalSettings, LaneStart, RealFs};
use bulkhead_observe::Metrics;
use bulkhead_route::{LaneIndex, Router};
use bulkhead_sandbox::{FormatterGrants, Sandbox, SandboxSettings};
use bulkhead_store::{DeadLetterSettings, Store};
use bulkhead_tests::host::root;
use bulkhead_tests::process;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod shared;

/// Events of one request.
const REQUEST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    let requests = if quick { 2_000 } else { 12_000 };
    if let Some(cores) = args.iter().position(|arg| arg == "--cores").and_then(|at| args.get(at + 1)) {
        let cores: usize = cores.parse()?;
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-replay");
        let _ = std::fs::remove_dir_all(&dir);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
        println!("{}", runtime.block_on(run(&dir, requests, cores))?);
        std::fs::remove_dir_all(&dir)?;
        return Ok(());
    }
    let (two, one) = (on_cores(2, quick)?, on_cores(1, quick)?);
    let number = |value: &Value, name: &str| value[name].as_f64().with_context(|| format!("no {name} in {value}"));
    let (rate, alone) = (number(&two, "rate")?, number(&one, "rate")?);
    for (figure, value) in [("replay.rate", rate), ("replay.one", alone), ("replay.ratio", rate / alone), ("replay.cpu", number(&two, "cpu")?)] {
        println!("{}", json!({"figure": figure, "value": value}));
    }
    Ok(())
}

/// The same program, kept to so many cores.
fn on_cores(cores: usize, quick: bool) -> Result<Value> {
    let program = std::env::current_exe()?;
    let list = if cores == 1 { "0" } else { "0,1" };
    let mut command = Command::new("taskset");
    command.args(["-c", list]).arg(program).args(["--cores", &cores.to_string()]);
    if quick {
        command.arg("--quick");
    }
    let output = command.output().context("taskset (util-linux) keeps a program to a core")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn run(dir: &Path, requests: usize, cores: usize) -> Result<Value> {
    let (journal, _) = Journal::open(JournalSettings::new(dir, 16 << 30), Arc::new(RealFs))?;
    fill(&journal, requests).await?;
    let events = (requests * REQUEST) as u64;
    let metrics = Metrics::new();
    let sandbox = Sandbox::new(SandboxSettings::default(), metrics.clone())?;
    let path = root().join("target/guests/format-cef.wasm");
    let bytes = std::fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))?;
    let formatter: Arc<dyn FormatterSource> = sandbox.formatter(&sandbox.load("format-cef", &bytes)?, "{}".to_owned(), FormatterGrants::default())?;
    let mut instance = InstanceSettings::new("null", Arc::new(Null));
    instance.concurrency = ConcurrencySettings { min: cores as u32, max: cores as u32 };
    instance.lanes = vec![LaneSettings { format: "cef".into(), formatter, start: LaneStart::From(Seq(1)) }];
    let store = Store::open(dir).await?;
    let parts = DeliveryParts {
        settings: DeliverySettings::default(),
        journal: journal.clone(),
        dead_letters: Arc::new(store.dead_letters(DeadLetterSettings::default()).await?),
        routing: RoutingTable::new(
            Router::new(Vec::new(), &[LaneIndex(0)], Vec::new(), 1)?,
            HashMap::from([(LaneId::new("null", "cef"), LaneIndex(0))]),
            &metrics,
        ),
        metrics: metrics.clone(),
        clock: Arc::new(SystemClock::default()),
        notices: Arc::new(|_| ()),
        onlooker: Arc::new(Nobody),
    };
    let (start, cpu) = (Instant::now(), process::cpu_seconds(std::process::id())?);
    let delivery = Delivery::start(parts, vec![instance], CancellationToken::new())?;
    let delivered = &metrics.lane("null", "cef").delivered;
    while delivered.get() < events {
        ensure!(start.elapsed() < PATIENCE, "{} of {events} events were delivered", delivered.get());
        // A sampling interval; both ends of a run of seconds are known to a millisecond.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), process::cpu_seconds(std::process::id())? - cpu);
    delivery.drain(Duration::from_secs(10)).await;
    journal.close().await;
    store.close().await;
    Ok(json!({"rate": events as f64 / seconds, "cpu": cpu * 1e6 / events as f64}))
}

async fn fill(journal: &Journal, requests: usize) -> Result<()> {
    let events = shared::stored(REQUEST)?;
    for _ in 0..requests {
        let mut batch = AppendBatch::with_capacity(REQUEST * 800, REQUEST);
        for event in &events {
            batch.buffer().extend_from_slice(event);
            batch.push_event()?;
        }
        journal.append(batch, Durability::Os).await?;
    }
    Ok(())
}

/// Takes everything at once.
struct Null;

impl ConnectorSource for Null {
    fn open<'a>(&'a self, _: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        Box::pin(async { Ok(Box::new(Taker(Arc::default())) as Box<dyn Connector>) })
    }
}

struct Taker(Arc<Projection>);

impl Connector for Taker {
    fn projection(&self) -> &Arc<Projection> {
        &self.0
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    fn deliver<'a>(&'a mut self, records: &'a RecordBatch, _: &'a EventBatch, _: u32) -> BoxFuture<'a, Result<Answer, DeliverError>> {
        std::hint::black_box(records);
        Box::pin(std::future::ready(Ok(Answer::All(Outcome::Accepted { receipt: None }))))
    }

    fn settle<'a>(&'a mut self, _: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        Box::pin(std::future::ready(Err(Failure::Unsupported.into())))
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(std::future::ready(Ok("nothing to reach".into())))
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        Box::pin(std::future::ready(Err(Failure::Unsupported.into())))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
