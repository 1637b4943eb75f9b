//! What a guest costs on this machine: measured over batches of a hundred events that a willing receiver takes.

use anyhow::{Result, ensure};
use bulkhead_core::{Clock as _, SystemClock};
use bulkhead_format::BatchBuilder;

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::connector::{deliver_all, willing_world};
use crate::guest::Guest;
use crate::samples::samples;

const BATCH: usize = 100;
/// Batches that are measured, behind one that warms up.
const BATCHES: usize = 5;

/// Costs for each event, and what they come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub events: usize,
    /// Units of fuel, roughly one an instruction, for an event.
    pub fuel: f64,
    /// Processor time of the guest for an event, in nanoseconds.
    pub nanos: f64,
    /// Calls of the host that sent something, for an event; 0 for formatters.
    pub requests: f64,
    /// Bytes sent for an event.
    pub bytes: f64,
    /// Linear memory that the guest holds, in bytes.
    pub memory: u64,
    /// Time until a fresh one of the compiled component is configured, in nanoseconds.
    pub open: f64,
}

impl Cost {
    /// Events that one guest can do in a second of processor time, waiting left out.
    pub fn events_per_second(&self) -> f64 {
        if self.nanos > 0.0 { 1e9 / self.nanos } else { 0.0 }
    }
}

/// Measures; other calls of the same guest at the same time would count too.
pub fn measure(bench: &Bench, guest: &Guest) -> Result<Cost> {
    let all = samples();
    let batch: Vec<&str> = all.iter().copied().step_by(all.len().div_ceil(BATCH)).cycle().take(BATCH).collect();
    let stored = store(batch, RECEIVED)?;
    let events = refs(&stored)?;
    let (metrics, clock) = (bench.metrics(guest), SystemClock::default());
    if guest.is_formatter() {
        let begun = clock.monotonic();
        let mut formatter = bench.formatter(guest, &guest.config()?)?;
        let open = (clock.monotonic() - begun).as_nanos() as f64;
        let mut builder = BatchBuilder::default();
        let mut made = 0;
        let mut format = || -> Result<()> {
            let batch = builder.fill(formatter.projection(), events.iter().copied());
            made += bench.runtime.block_on(formatter.format(batch))?.records.block.len();
            Ok(())
        };
        format()?;
        let before = (metrics.fuel.get(), metrics.costs.cpu_guest.get());
        (0..BATCHES).try_for_each(|_| format())?;
        let each = 1.0 / (BATCH * BATCHES) as f64;
        return Ok(Cost {
            events: BATCH * BATCHES,
            fuel: (metrics.fuel.get() - before.0) as f64 * each,
            nanos: (metrics.costs.cpu_guest.get() - before.1) * 1e9 * each,
            requests: 0.0,
            bytes: made as f64 / (BATCH * (BATCHES + 1)) as f64,
            memory: u64::try_from(metrics.memory.get()).unwrap_or(0),
            open,
        });
    }
    ensure!(guest.does("deliver"), "it delivers nothing: what a pull costs depends on what is there");
    let world = willing_world(guest)?;
    let (format, _) = bench.records(guest.format(), &events)?;
    let begun = clock.monotonic();
    drop(bench.connector(guest, &guest.config()?, &format, world.grants(guest)?)?);
    let open = (clock.monotonic() - begun).as_nanos() as f64;
    deliver_all(bench, guest, &world, &events, 1)?;
    let kept = world.receiver.kept().len();
    let before = (metrics.fuel.get(), metrics.costs.cpu_guest.get(), metrics.costs.bytes_out.get());
    for _ in 0..BATCHES {
        deliver_all(bench, guest, &world, &events, 1)?;
    }
    let each = 1.0 / (BATCH * BATCHES) as f64;
    Ok(Cost {
        events: BATCH * BATCHES,
        fuel: (metrics.fuel.get() - before.0) as f64 * each,
        nanos: (metrics.costs.cpu_guest.get() - before.1) * 1e9 * each,
        requests: (world.receiver.kept().len() - kept) as f64 * each,
        bytes: (metrics.costs.bytes_out.get() - before.2) as f64 * each,
        memory: u64::try_from(metrics.memory.get()).unwrap_or(0),
        open,
    })
}
