//! Checks of connectors that hold for every receiver.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bulkhead_core::{Delivery, Outcome, RecordFormat};
use bulkhead_format::BatchBuilder;
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings, FileAccess, FilesGrant, Limits};
use bulkhead_tests::receiver::{self, Receiver, Script};
use tempfile::TempDir;

use crate::bench::{Bench, Guest, RECEIVED, refs, samples, store};

/// A receiver, a directory, and the grants that lead to them.
pub struct World {
    pub receiver: Receiver,
    pub dir: TempDir,
}

impl World {
    pub fn new(script: Script) -> Result<Self> {
        Ok(Self { receiver: Receiver::start(receiver::Options { keep: 1_000, ..receiver::Options::default() }, script)?, dir: TempDir::new()? })
    }

    pub fn grants(&self, bench: &Bench, guest: &Guest) -> Result<ConnectorGrants> {
        let settings = DestinationSettings { url: self.receiver.url(), ..DestinationSettings::default() };
        let mut limits = Limits::default();
        // Long enough for everything but a receiver that never answers.
        limits.set_text("deadline", "2s")?;
        Ok(ConnectorGrants {
            destinations: if bench.wants(guest, "http")? { vec![Destination::new("primary", settings)?] } else { Vec::new() },
            files: if bench.wants(guest, "files")? {
                vec![FilesGrant { name: "primary".to_owned(), dir: self.dir.path().to_owned(), access: FileAccess::Write }]
            } else {
                Vec::new()
            },
            limits,
            ..ConnectorGrants::default()
        })
    }
}

/// The least configuration that it takes: what its manifest's schema requires, with plain values.
pub fn least_config(bench: &Bench, guest: &Guest) -> Result<String> {
    let inspection = bulkhead_sandbox::inspect(&bench.bytes(&guest.name)?)?;
    let Some(schema) = inspection.manifest.and_then(|manifest| manifest.config_schema) else { return Ok("{}".to_owned()) };
    let schema: serde_json::Value = serde_json::from_str(schema.get())?;
    let mut config = serde_json::Map::new();
    for key in schema["required"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        let property = &schema["properties"][key];
        let value = match property["type"].as_str() {
            Some("string") => property["enum"][0].as_str().unwrap_or("conformance").into(),
            Some("integer" | "number") => property["minimum"].as_u64().unwrap_or(1).into(),
            Some("boolean") => false.into(),
            other => bail!("`{key}` is required and of type {other:?}: no plain value fits"),
        };
        config.insert(key.to_owned(), value);
    }
    Ok(serde_json::Value::Object(config).to_string())
}

pub fn refuses_unknown_configuration(bench: &Bench, guest: &Guest) -> Result<()> {
    let world = World::new(Script::default())?;
    let mut config: serde_json::Value = serde_json::from_str(&least_config(bench, guest)?)?;
    config["no_such_key_here"] = 1.into();
    let format = RecordFormat { name: "json".to_owned(), content_type: "application/json".to_owned() };
    match bench.connector(&guest.name, &config.to_string(), &format, world.grants(bench, guest)?) {
        Ok(_) => bail!("an unknown key was accepted"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("no_such_key_here"), "the refusal does not name the key: {text}");
            Ok(())
        }
    }
}

/// As many events as a lane hands over at once by default, all accepted by a willing receiver.
pub fn takes_the_largest_batch(bench: &Bench, guest: &Guest) -> Result<()> {
    let world = World::new(Script::default())?;
    let samples = samples()?;
    let stored = store(samples.iter().cycle().take(500).map(String::as_str), RECEIVED)?;
    let events = refs(&stored)?;
    let (format, records) = bench.records("json", &events)?;
    let mut grants = world.grants(bench, guest)?;
    grants.limits.set_text("deadline", "30s")?;
    let mut connector = bench.connector(&guest.name, &least_config(bench, guest)?, &format, grants)?;
    let count = connector.limits().max_events.map_or(events.len(), |most| events.len().min(most as usize));
    let mut builder = BatchBuilder::default();
    for (i, chunk) in events.chunks(count).enumerate() {
        let offsets = &records.offsets[i * count..=i * count + chunk.len()];
        let part = bulkhead_core::RecordBatch {
            block: records.block[offsets[0] as usize..offsets[chunk.len()] as usize].to_vec(),
            offsets: offsets.iter().map(|offset| offset - offsets[0]).collect(),
        };
        let batch = builder.fill(connector.projection(), chunk.iter().copied());
        let delivery = bench.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), connector.deliver(&part, batch, 1)).await })??;
        let accepted = match &delivery {
            Delivery::All(outcome) => matches!(outcome, Outcome::Accepted { .. }),
            Delivery::Each(outcomes) => outcomes.len() == chunk.len() && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })),
        };
        ensure!(accepted, "a willing receiver, and yet {delivery:?}");
    }
    Ok(())
}
