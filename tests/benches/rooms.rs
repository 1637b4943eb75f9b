//! What one event costs in each room of the host, by criterion: `cargo bench --workspace --bench rooms [-- NAME]`.
//! `scan`, `normalise`, `journal`, `route` and `extract` are the host's own work; `format` is the CEF formatter with
//! the extraction before it, `deliver` the Splunk connector up to a request that is refused before any network.
//! Divide what is printed by a hundred, or read the throughput.

use std::path::Path;
use std::time::Duration;

use bulkhead_core::EventRef;
use criterion::{Criterion, Throughput};

#[path = "shared/guests.rs"]
mod guests;
#[path = "shared/rooms.rs"]
mod rooms;
mod shared;

use guests::Guests;
use rooms::EVENTS;
use shared::stored;

fn main() -> anyhow::Result<()> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-rooms");
    let _ = std::fs::remove_dir_all(&dir);
    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).configure_from_args();
    let mut group = criterion.benchmark_group("rooms");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for mut piece in rooms::pieces(&dir)? {
        (piece.run)()?;
        group.bench_function(piece.name, |bench| bench.iter(|| (piece.run)().is_ok()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stored = stored(EVENTS)?;
    let events: Vec<EventRef<'_>> = stored.iter().map(|bytes| EventRef::new(bytes)).collect::<Result<_, _>>()?;
    let mut guests = runtime.block_on(Guests::open())?;
    let records = runtime.block_on(guests.format(&events))?;
    runtime.block_on(guests.deliver(&records, &events))?;
    group.bench_function("format", |bench| bench.iter(|| runtime.block_on(guests.format(&events)).is_ok()));
    group.bench_function("deliver", |bench| bench.iter(|| runtime.block_on(guests.deliver(&records, &events)).is_ok()));
    group.finish();
    criterion.final_summary();
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
