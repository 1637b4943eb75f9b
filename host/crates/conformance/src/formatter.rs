//! Checks of formatters.

use anyhow::{Result, ensure};
use bulkhead_core::{EventRef, RecordBatch};
use bulkhead_format::BatchBuilder;

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::guest::Guest;
use crate::samples::samples;

pub fn refuses_unknown_configuration(bench: &Bench, guest: &Guest) -> Result<()> {
    let mut config: serde_json::Value = serde_json::from_str(&guest.config()?)?;
    config["no_such_key_here"] = 1.into();
    match bench.formatter(guest, &config.to_string()) {
        Ok(_) => anyhow::bail!("an unknown key was accepted"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("no_such_key_here"), "the refusal does not name the key: {text}");
            Ok(())
        }
    }
}

fn format(bench: &Bench, guest: &Guest, events: &[EventRef<'_>]) -> Result<RecordBatch> {
    let mut formatter = bench.formatter(guest, &guest.config()?)?;
    let mut builder = BatchBuilder::default();
    let batch = builder.fill(formatter.projection(), events.iter().copied());
    let made = bench.runtime.block_on(formatter.format(batch))?;
    ensure!(made.refused.is_empty(), "refused: {:?}", made.refused);
    Ok(made.records)
}

/// The same in another instance, and event by event.
pub fn same_events_same_bytes(bench: &Bench, guest: &Guest) -> Result<()> {
    let samples = samples();
    let stored = store(samples.iter().step_by(7).copied(), RECEIVED)?;
    let events = refs(&stored)?;
    let all = format(bench, guest, &events)?;
    ensure!(format(bench, guest, &events)? == all, "two instances make different bytes");
    let mut formatter = bench.formatter(guest, &guest.config()?)?;
    let mut builder = BatchBuilder::default();
    // From behind, so that what a formatter remembers shows.
    for (i, event) in events.iter().enumerate().rev() {
        let batch = builder.fill(formatter.projection(), std::iter::once(*event));
        let alone = bench.runtime.block_on(formatter.format(batch))?.records;
        ensure!(
            alone.get(0) == all.get(i),
            "event {i} alone: {}\nwithin the batch: {}",
            String::from_utf8_lossy(alone.get(0)),
            String::from_utf8_lossy(all.get(i))
        );
    }
    Ok(())
}

/// As many events as a lane hands over at once by default, and the largest one that intake takes.
pub fn takes_the_largest_batch(bench: &Bench, guest: &Guest) -> Result<()> {
    let samples = samples();
    let stored = store(samples.iter().cycle().take(500).copied(), RECEIVED)?;
    let events = refs(&stored)?;
    let records = format(bench, guest, &events)?;
    ensure!(records.len() == events.len(), "{} records of {} events", records.len(), events.len());
    let large = format!(r#"{{"id":"large","message":"{}","list":[{}0]}}"#, "x\\u00e9\\n".repeat(60_000), "1,".repeat(100_000));
    let stored = store([large.as_str()], RECEIVED)?;
    let records = format(bench, guest, &refs(&stored)?)?;
    ensure!(records.len() == 1 && !records.get(0).is_empty(), "no record of an event of {} bytes", large.len());
    Ok(())
}

/// Media types of records that are no text.
const BINARY: [&str; 2] = ["avro/binary", "application/x-protobuf"];

/// No shape, escape or strange type makes it refuse, trap or write an empty record.
pub fn takes_every_sample(bench: &Bench, guest: &Guest) -> Result<()> {
    let is_text = !BINARY.contains(&bench.formatter(guest, &guest.config()?)?.record_format().content_type.as_str());
    let samples = samples();
    let stored = store(samples.iter().copied(), RECEIVED)?;
    let records = format(bench, guest, &refs(&stored)?)?;
    for (i, sample) in samples.iter().enumerate() {
        ensure!(!records.get(i).is_empty(), "an empty record of {sample}");
        if is_text {
            std::str::from_utf8(records.get(i)).map_err(|error| anyhow::anyhow!("{error} in the record of {sample}"))?;
        }
    }
    Ok(())
}
