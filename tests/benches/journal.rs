//! The journal alone (row P10): 16 producers append batches of 100 events of about 640 bytes with
//! fsync, one lane reads and settles all of them; then the same packed, sealed, and both. Prints one JSON
//! line a figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_core::{Attr, EventBuilder, EventRef, Kind, Shape};
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_journal::{AppendBatch, Compression, Durability, Journal, JournalSettings, LaneStart, RealFs};
use bulkhead_seal::{AtRest, FieldRules, Fields, Key, Keyring, SealedBatch};
use bulkhead_tests::process;
use bulkhead_tests::template::{Batch, Layout};

const PRODUCERS: usize = 16;
const EVENTS: usize = 100;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let time = Duration::from_secs(if quick { 1 } else { 5 });
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-journal");
    let _ = std::fs::remove_dir_all(&dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (name, compression, seal) in [
        ("journal", Compression::None, false),
        ("journal.packed", Compression::Lz4, false),
        ("journal.sealed", Compression::None, true),
        ("journal.both", Compression::Lz4, true),
    ] {
        let key = Key::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")?;
        let at_rest = AtRest { keyring: Some(Keyring::new(key, [])), seal };
        let settings = JournalSettings { compression, at_rest, ..JournalSettings::new(&dir, 16 << 30) };
        let run = runtime.block_on(run(settings, time))?;
        let figures = [("rate", run.events as f64 / run.seconds), ("cpu", run.cpu * 1e6 / run.events as f64), ("disk", run.disk as f64 / run.payload as f64)];
        for (figure, value) in figures {
            println!("{}", serde_json::json!({"figure": format!("{name}.{figure}"), "value": value}));
        }
        std::fs::remove_dir_all(&dir)?;
    }
    println!("{}", serde_json::json!({"figure": "fields.sealed", "value": fields(if quick { 300 } else { 3_000 })?}));
    Ok(())
}

/// Stored events as intake writes them, one behind the other, with their ends.
fn stored() -> Result<Vec<Vec<u8>>> {
    let body = Batch::new(EVENTS, Layout::Lines).body;
    let mut builder = EventBuilder::new();
    body.split(|byte| *byte == b'\n')
        .map(|line| {
            let mut out = Vec::new();
            builder.start();
            builder.span(Attr::Id, Kind::String, 13..51);
            builder.span(Attr::Data, Kind::Object, 0..line.len());
            builder.finish(Shape::Copybook, None, 1, line, &mut out).context("an event is stored")?;
            Ok(out)
        })
        .collect()
}

/// Microseconds of CPU for one event of which the user and the operation are sealed.
fn fields(rounds: u32) -> Result<f64> {
    let mut normaliser = Normaliser::new(Rules::default());
    let body = Batch::new(EVENTS, Layout::Lines).body;
    let mut events = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut stored = Vec::new();
        normaliser.event(line, 0, Form::Json, 1, &mut stored).ok().context("an event is taken")?;
        events.push(stored);
    }
    let events = events.iter().map(|stored| EventRef::new(stored)).collect::<Result<Vec<_>, _>>()?;
    let keyring = Keyring::new(Key::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")?, []);
    let rules = FieldRules::parse(&["/user".into(), "/operation".into()], &[])?;
    let fields = Fields::new(rules, Some(&keyring), 86_400)?;
    let mut batch = SealedBatch::default();
    let start = process::cpu_seconds(std::process::id())?;
    for _ in 0..rounds {
        batch.fill(fields.as_ref(), events.iter().copied());
    }
    let took = (process::cpu_seconds(std::process::id())? - start) * 1e6 / f64::from(rounds) / events.len() as f64;
    ensure!(batch.event(0, events[0]).original() != events[0].original(), "nothing was sealed");
    Ok(took)
}

struct Run {
    events: u64,
    seconds: f64,
    cpu: f64,
    /// Bytes of the events as they came in, and of their frames on disk.
    payload: u64,
    disk: u64,
}

async fn run(settings: JournalSettings, time: Duration) -> Result<Run> {
    let (journal, _) = Journal::open(settings, Arc::new(RealFs))?;
    let mut lane = journal.lane("bench", LaneStart::Now)?;
    journal.lanes_ready();
    let mut reader = journal.reader(lane.cursor());
    let events = Arc::new(stored()?);
    let (start, cpu) = (Instant::now(), process::cpu_seconds(std::process::id())?);
    let appended = Arc::new(AtomicU64::new(0));
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        let (journal, events, appended) = (journal.clone(), Arc::clone(&events), Arc::clone(&appended));
        producers.spawn(async move {
            while start.elapsed() < time {
                let mut batch = AppendBatch::with_capacity(EVENTS * 720, EVENTS);
                for event in events.iter() {
                    batch.buffer().extend_from_slice(event);
                    batch.push_event()?;
                }
                journal.append(batch, Durability::Fsync).await?;
                appended.fetch_add(EVENTS as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let reading = tokio::spawn(async move {
        let mut read = 0;
        loop {
            // Nothing new for a second: the producers have ended.
            let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), reader.next()).await else { return anyhow::Ok(read) };
            let frame = frame?;
            read += frame.len() as u64;
            lane.settle(frame.first(), frame.last());
        }
    });
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    let (seconds, events) = (start.elapsed().as_secs_f64(), appended.load(Ordering::Relaxed));
    let cpu = process::cpu_seconds(std::process::id())? - cpu;
    let read = reading.await??;
    ensure!(read == events, "{read} of {events} events were read");
    let disk = journal.stats().appended_bytes;
    let batch: u64 = stored()?.iter().filter_map(|event| EventRef::new(event).ok()).map(|event| event.original().len() as u64).sum();
    journal.close().await;
    Ok(Run { events, seconds, cpu, payload: batch * (events / EVENTS as u64), disk })
}
