//! Checks of connectors that hold for every receiver.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bulkhead_core::{BatchLimits, Delivery, Outcome, RecordFormat};
use bulkhead_format::BatchBuilder;
use bulkhead_sandbox::{ConnectorGrants, Credential, Destination, DestinationSettings, FileAccess, FilesGrant, Limits};
use bulkhead_tests::receiver::{self, Receiver, Script};
use tempfile::TempDir;

use crate::bench::{Bench, Guest, RECEIVED, refs, samples, store};
use crate::case::Case;
use crate::sink::{Rules, Sink};

/// A receiver for each way to send, a directory, and the grants that lead to them.
pub struct World {
    pub receiver: Receiver,
    /// For streams and datagrams; nobody listens on `port` without it.
    pub sink: Option<Sink>,
    port: u16,
    pub dir: TempDir,
}

/// The credential of a stream, for guests that use one: its name and its secret.
const CREDENTIAL: (&str, &str) = ("conformance", "conformance-secret-5b1f");

impl World {
    pub fn new(script: Script, rules: &Rules) -> Result<Self> {
        let sink = Sink::start(rules)?;
        let receiver = Receiver::start(receiver::Options { keep: 1_000, ..receiver::Options::default() }, script)?;
        Ok(Self { receiver, port: sink.port, sink: Some(sink), dir: TempDir::new()? })
    }

    pub fn with_sink(rules: &Rules) -> Result<Self> {
        Self::new(Script::default(), rules)
    }

    pub fn at_port(port: u16) -> Result<Self> {
        Ok(Self { port, sink: None, ..Self::new(Script::default(), &Rules::default())? })
    }

    fn destinations(&self, bench: &Bench, guest: &Guest) -> Result<Vec<Destination>> {
        let stream = || -> Result<DestinationSettings> {
            let (name, secret) = CREDENTIAL;
            let credential = Credential::bearer(name, secrecy::SecretString::from(secret.to_owned()))?;
            let credential = if bench.wants(guest, "credentials")? { Some(Arc::new(credential)) } else { None };
            Ok(DestinationSettings { url: format!("tcp://127.0.0.1:{}", self.port), credential, ..DestinationSettings::default() })
        };
        let settings = if bench.wants(guest, "http")? {
            DestinationSettings { url: self.receiver.url(), methods: bench.methods(guest)?, ..DestinationSettings::default() }
        } else if bench.wants(guest, "tcp")? {
            stream()?
        } else if bench.wants(guest, "udp")? {
            DestinationSettings { url: format!("udp://127.0.0.1:{}", self.port), ..DestinationSettings::default() }
        } else {
            return Ok(Vec::new());
        };
        Ok(vec![Destination::new("primary", settings)?])
    }

    pub fn grants(&self, bench: &Bench, guest: &Guest) -> Result<ConnectorGrants> {
        let mut limits = Limits::default();
        // Long enough for everything but a receiver that never answers.
        limits.set_text("deadline", "2s")?;
        Ok(ConnectorGrants {
            destinations: self.destinations(bench, guest)?,
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
            _ if property["examples"][0].is_string() => property["examples"][0].clone(),
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
    let world = World::with_sink(&Rules::default())?;
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

/// How many of these records a lane hands over at once: at least one, the rest within the connector's limits.
fn fits(limits: BatchLimits, offsets: &[u32]) -> usize {
    let most = limits.max_events.map_or(usize::MAX, |most| most as usize).min(offsets.len() - 1);
    let within = |count: &usize| limits.max_bytes.is_none_or(|most| offsets[*count] - offsets[0] <= most);
    (2..=most).take_while(within).last().unwrap_or(1)
}

/// As many events as a lane hands over at once by default, all accepted by a willing receiver: the HTTP one, or a
/// sink that answers as the guest's own case says.
pub fn takes_the_largest_batch(bench: &Bench, guest: &Guest, willing: Option<&Case>) -> Result<()> {
    let (config, rules) = match willing {
        Some(case) => (case.config()?, case.sink.clone()),
        None => (least_config(bench, guest)?, Rules::default()),
    };
    let world = World::with_sink(&rules)?;
    let samples = samples()?;
    let stored = store(samples.iter().cycle().take(500).map(String::as_str), RECEIVED)?;
    let events = refs(&stored)?;
    let (format, records) = bench.records("json", &events)?;
    let mut grants = world.grants(bench, guest)?;
    grants.limits.set_text("deadline", "30s")?;
    let mut connector = bench.connector(&guest.name, &config, &format, grants)?;
    let mut builder = BatchBuilder::default();
    let mut start = 0;
    while start < events.len() {
        let end = start + fits(connector.limits(), &records.offsets[start..]);
        let (chunk, offsets) = (&events[start..end], &records.offsets[start..=end]);
        start = end;
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
