//! Format and deliver (row P7): the CEF formatter and the Splunk connector as guests under fuel, epochs
//! and limits, against the same source compiled natively, with the same batches and a transport that
//! refuses at once on both sides; and against a native writer over a `serde_json` tree. One thread,
//! minimum of several rounds that take turns. Prints one JSON line a figure.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bulkhead_core::{EventBatch, EventRef, RecordBatch};
use bulkhead_format::BatchBuilder;
use bulkhead_sdk::native::{self, NativeConnector, NativeFormatter};
use format_cef::Cef;
use splunk_hec::SplunkHec;

#[path = "shared/guests.rs"]
mod guests;
mod shared;

use guests::Guests;
use shared::stored;

const EVENTS: usize = 500;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, calls) = if quick { (3, 10) } else { (15, 60) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stored = stored(EVENTS)?;
    let refs: Vec<EventRef<'_>> = stored.iter().map(|bytes| EventRef::new(bytes)).collect::<Result<_, _>>()?;
    let mut guest = runtime.block_on(Guests::open())?;
    let mut native = Natives::open()?;
    ensure!(runtime.block_on(guest.format(&refs))? == native.format(&refs)?, "guest and native make different records");
    let (mut guest_best, mut native_best, mut tree_best, mut scan_best) = (Duration::MAX, Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        guest_best = guest_best.min(time(calls, || runtime.block_on(guest.pass(&refs)))?);
        native_best = native_best.min(time(calls, || native.pass(&refs))?);
        scan_best = scan_best.min(time(calls, || {
            guest.fill(&refs);
            Ok(())
        })?);
        tree_best = tree_best.min(time(calls, || tree(&refs))?);
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / (calls * EVENTS) as f64;
    let (guest, native, tree, scan) = (micros(guest_best), micros(native_best), micros(tree_best), micros(scan_best));
    // The scan is the host's on both sides; the ratio is that of format and deliver alone.
    for (figure, value) in [("guest.ratio", (guest - scan) / (native - scan)), ("guest.tree", guest / tree), ("guest.micros", guest), ("guest.native", native)]
    {
        println!("{}", serde_json::json!({"figure": figure, "value": value}));
    }
    Ok(())
}

fn time(calls: usize, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..calls {
        work()?;
    }
    Ok(start.elapsed())
}

impl Guests {
    fn fill(&mut self, events: &[EventRef<'_>]) {
        self.for_formatter.fill(self.formatter.projection(), events.iter().copied());
        self.for_connector.fill(self.connector.projection(), events.iter().copied());
    }

    async fn pass(&mut self, events: &[EventRef<'_>]) -> Result<()> {
        let records = self.format(events).await?;
        self.deliver(&records, events).await
    }
}

struct Natives {
    formatter: NativeFormatter<Cef>,
    connector: NativeConnector<SplunkHec>,
    for_formatter: (BatchBuilder, bulkhead_core::Projection),
    for_connector: (BatchBuilder, bulkhead_core::Projection),
}

impl Natives {
    fn open() -> Result<Self> {
        let words = anyhow::Error::msg::<String>;
        let formatter = native::formatter::<Cef>("{}").map_err(words)?;
        let connector = native::connector::<SplunkHec>("{}", &formatter.record_format()).map_err(words)?;
        native::on_http(|request| {
            std::hint::black_box(request);
            Err(bulkhead_sdk::http::Error::Denied("refused at once".to_owned()))
        });
        let projection = |fields: &[String]| Ok::<_, anyhow::Error>((BatchBuilder::default(), bulkhead_core::Projection::parse(fields)?));
        Ok(Self { for_formatter: projection(formatter.fields())?, for_connector: projection(connector.fields())?, formatter, connector })
    }

    fn format(&mut self, events: &[EventRef<'_>]) -> Result<RecordBatch> {
        let (builder, projection) = &mut self.for_formatter;
        let EventBatch { block, spans, .. } = builder.fill(projection, events.iter().copied());
        let made = self.formatter.format(events.len(), block, spans);
        Ok(RecordBatch { block: made.block, offsets: made.offsets })
    }

    fn pass(&mut self, events: &[EventRef<'_>]) -> Result<()> {
        let records = self.format(events)?;
        let (builder, projection) = &mut self.for_connector;
        let EventBatch { block, spans, .. } = builder.fill(projection, events.iter().copied());
        let delivered = self.connector.deliver((&records.block, &records.offsets), (block, spans), 1);
        ensure!(delivered.is_err(), "a refused request was delivered");
        Ok(())
    }
}

/// What a plain program does: parse into a tree, format the fields, wrap the line for the collector.
fn tree(events: &[EventRef<'_>]) -> Result<()> {
    let mut body = String::with_capacity(events.len() * 900);
    for event in events {
        let event: serde_json::Value = serde_json::from_slice(event.original())?;
        let text = |pointer: &str| event.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
        let escape = |text: &str| text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n");
        let severity = match text("/severity") {
            "Info" => 2,
            "Low" => 4,
            "Medium" => 6,
            "High" => 8,
            "Critical" => 10,
            _ => 0,
        };
        let kind = text("/event_type");
        let mut line =
            format!("CEF:0|Copybook-rs|Enterprise Audit System|{}|{kind}|{kind}|{severity}|", text("/context/environment/version").replace('|', "\\|"));
        let pairs = [
            ("start", "/timestamp"),
            ("end", "/timestamp"),
            ("suser", "/context/user"),
            ("dvchost", "/context/environment/hostname"),
            ("cs2", "/context/security/classification"),
            ("cs4", "/integrity_hash"),
            ("flexString1", "/context/operation_id"),
            ("externalId", "/event_id"),
        ];
        for (key, pointer) in pairs {
            write!(line, "{key}={} ", escape(text(pointer)))?;
        }
        if let Some(profiles) = event.pointer("/context/compliance_profiles").and_then(serde_json::Value::as_array) {
            write!(line, "cs3={}", profiles.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(","))?;
        }
        let envelope = serde_json::json!({"time": 1_762_000_000.123, "host": text("/context/environment/hostname"), "source": "copybook", "event": line});
        body.push_str(&serde_json::to_string(&envelope)?);
    }
    std::hint::black_box(body);
    Ok(())
}
