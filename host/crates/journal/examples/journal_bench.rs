//! Figures of the journal alone: `cargo run --release -p bulkhead-journal --example journal_bench [DIR]`.
//!
//! 1. 16 producers, batches of 100 events of 640 bytes, fsync before the answer, one lane reading and
//!    settling (row P10), between two runs of a bare write + fdatasync loop of the same sizes.
//! 2. The same with one producer, and with one event a request.
//! 3. 1 GB of backlog: time to open (row P13), and how fast a lane catches up from disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_core::{Attr, EventBuilder, Kind, Seq, Shape};
use bulkhead_journal::{AppendBatch, Durability, Journal, JournalSettings, LaneStart, RealFs};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const EVENT_BYTES: usize = 640;
const RUN: Duration = Duration::from_secs(5);

fn main() -> Result<(), Failure> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let frame = stored_events(100)?;
    println!("one event: {EVENT_BYTES} bytes, stored {}; {} bytes a request of 100", frame.len() / 100, frame.len());

    // What a group of 16 requests, and of 1, costs the disk alone.
    yardstick(dir.path(), frame.len() * 16)?;
    for (producers, events) in [(16, 100), (1, 100), (16, 1)] {
        runtime.block_on(load(dir.path(), producers, events, Durability::Fsync, RUN))?;
    }
    runtime.block_on(load(dir.path(), 16, 100, Durability::Os, RUN))?;
    yardstick(dir.path(), frame.len() * 16)?;
    yardstick(dir.path(), frame.len())?;
    runtime.block_on(backlog(dir.path()))
}

/// `events` stored events one behind the other.
fn stored_events(events: usize) -> Result<Vec<u8>, Failure> {
    let mut batch = AppendBatch::new();
    fill(&mut batch, events)?;
    Ok((0..batch.len()).filter_map(|index| batch.stored(index)).flatten().copied().collect())
}

fn fill(batch: &mut AppendBatch, events: usize) -> Result<(), Failure> {
    let mut original = br#"{"id":"8a6e0804-2bd0-4672-b79d-d97027f9071a","type":"auth.login.failed","pad":""#.to_vec();
    original.resize(EVENT_BYTES - 2, b'x');
    original.extend_from_slice(b"\"}");
    let mut builder = EventBuilder::new();
    for _ in 0..events {
        builder.start();
        builder.span(Attr::Id, Kind::String, 7..43);
        builder.finish(Shape::Plain, None, 1, &original, batch.buffer())?;
        batch.push_event()?;
    }
    Ok(())
}

fn yardstick(dir: &Path, bytes: usize) -> Result<(), Failure> {
    let path = dir.join("yardstick");
    let mut file = std::fs::File::create(&path)?;
    let block: Vec<u8> = (0..bytes).map(|index| (index * 31) as u8).collect();
    let (start, mut syncs) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all(&block)?;
        file.sync_data()?;
        syncs += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    let rate = f64::from(syncs) / seconds;
    println!("  bare write + fdatasync of {bytes} bytes: {rate:.0} syncs/s, {:.0} MB/s", rate * bytes as f64 / 1e6);
    Ok(())
}

async fn load(dir: &Path, producers: usize, events: usize, durability: Durability, run: Duration) -> Result<(), Failure> {
    let dir = dir.join("journal");
    let (journal, _) = Journal::open(JournalSettings::new(&dir, 4 << 30), Arc::new(RealFs))?;
    let mut lane = journal.lane("bench/json", LaneStart::Now)?;
    journal.lanes_ready();
    let mut reader = journal.reader(lane.cursor());
    let stop = Arc::new(AtomicBool::new(false));
    let cpu = cpu_seconds();
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (journal, stop) = (journal.clone(), stop.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = AppendBatch::with_capacity(events * (EVENT_BYTES + 64), events);
                    fill(&mut batch, events)?;
                    let asked = Instant::now();
                    journal.append(batch, durability).await?;
                    waits.push(asked.elapsed());
                }
                Ok::<_, Failure>(waits)
            })
        })
        .collect();
    let lane_task = tokio::spawn(async move {
        let mut read = 0_u64;
        while let Ok(frame) = reader.next().await {
            read += frame.events().map(|(_, event)| u64::from(!event.original().is_empty())).sum::<u64>();
            lane.settle(frame.first(), frame.last());
            // Like a lane that delivers batches: what one group of appends brought, it settles at once.
            if lane.backlog() == 0 {
                lane.flush()?;
            }
        }
        Ok::<_, Failure>(read)
    });
    tokio::time::sleep(run).await;
    stop.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let (stats, cpu) = (journal.stats(), cpu_seconds() - cpu);
    journal.close().await;
    let read = lane_task.await??;
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "{producers} producers, {events} a request, {durability:?}: {:.0} events/s, {:.0} syncs/s, {:.0} MB/s; answer p50 {:.2} ms, p99 {:.2} ms; \
         {:.2} us CPU an event, building it included; the lane read {read} of {}; {} segments deleted",
        stats.events as f64 / seconds,
        stats.syncs as f64 / seconds,
        stats.appended_bytes as f64 / seconds / 1e6,
        at(0.5),
        at(0.99),
        cpu * 1e6 / stats.events as f64,
        stats.events,
        stats.deleted_segments,
    );
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

async fn backlog(dir: &Path) -> Result<(), Failure> {
    let dir = dir.join("journal");
    let open = || Journal::open(JournalSettings::new(&dir, 4 << 30), Arc::new(RealFs));
    let (journal, _) = open()?;
    journal.lane("bench/json", LaneStart::Now)?;
    while journal.stats().appended_bytes < 1 << 30 {
        let mut batch = AppendBatch::with_capacity(1000 * (EVENT_BYTES + 64), 1000);
        fill(&mut batch, 1000)?;
        journal.append(batch, Durability::Os).await?;
    }
    journal.close().await;
    drop(journal);
    let start = Instant::now();
    let (journal, recovery) = open()?;
    println!(
        "opened with a backlog of {} MB in {} segments, up to event {}: {:.0} ms",
        journal.stats().bytes >> 20,
        recovery.segments,
        recovery.last,
        start.elapsed().as_secs_f64() * 1e3
    );
    let mut reader = journal.reader(Seq(0));
    let (start, mut bytes) = (Instant::now(), 0);
    while reader.position() <= recovery.last {
        bytes += reader.next().await?.bytes();
    }
    println!("one lane caught up from disk: {:.0} MB/s", bytes as f64 / start.elapsed().as_secs_f64() / 1e6);
    journal.close().await;
    Ok(())
}

/// CPU time of this process, to a hundredth of a second; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
