//! The journal alone (row P10): 16 producers append batches of 100 events of about 640 bytes with
//! fsync, one lane reads and settles all of them. Prints one JSON line a figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_core::{Attr, EventBuilder, Kind, Shape};
use bulkhead_journal::{AppendBatch, Durability, Journal, JournalSettings, LaneStart, RealFs};
use bulkhead_tests::process;
use bulkhead_tests::template::{Batch, Layout};

const PRODUCERS: usize = 16;
const EVENTS: usize = 100;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let time = Duration::from_secs(if quick { 1 } else { 8 });
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-journal");
    let _ = std::fs::remove_dir_all(&dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (events, seconds, cpu) = runtime.block_on(run(&dir, time))?;
    println!("{}", serde_json::json!({"figure": "journal.rate", "value": events as f64 / seconds}));
    println!("{}", serde_json::json!({"figure": "journal.cpu", "value": cpu * 1e6 / events as f64}));
    std::fs::remove_dir_all(&dir)?;
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

async fn run(dir: &std::path::Path, time: Duration) -> Result<(u64, f64, f64)> {
    let (journal, _) = Journal::open(JournalSettings::new(dir, 16 << 30), Arc::new(RealFs))?;
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
    journal.close().await;
    Ok((events, seconds, cpu))
}
