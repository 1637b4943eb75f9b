//! What every check runs on: one sandbox, the built components, events through the real intake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use bulkhead_core::{Connector, EventRef, Formatter, RecordBatch, RecordFormat};
use bulkhead_format::BatchBuilder;
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{Component, ConnectorGrants, FormatterGrants, Level, LogSink, MemoryState, Sandbox, SandboxSettings, inspect};
use bulkhead_tests::host::root;

/// A folder of `connectors/`.
pub struct Guest {
    pub name: String,
    pub folder: PathBuf,
}

pub struct Bench {
    sandbox: Sandbox,
    pub runtime: tokio::runtime::Runtime,
    log: Arc<Lines>,
    /// Compiled once each.
    components: Mutex<BTreeMap<String, Component>>,
}

/// Lines of guests, kept.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, instance: &str, component: &str, _: Level, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{instance} {component} {text}"));
    }
}

/// Time of receipt where a case names none: 2026-01-02T03:04:05.123Z.
pub const RECEIVED: u64 = 1_767_323_045_123_000_000;

impl Bench {
    pub fn new() -> Result<Self> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let log = Arc::new(Lines::default());
        let settings = SandboxSettings { log: Arc::clone(&log) as Arc<dyn LogSink>, ..SandboxSettings::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let sandbox = runtime.block_on(async { Sandbox::new(settings, Metrics::new()) })?;
        Ok(Self { sandbox, runtime, log, components: Mutex::default() })
    }

    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = root().join("target/guests").join(format!("{name}.wasm"));
        std::fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))
    }

    pub fn component(&self, name: &str) -> Result<Component> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = components.get(name) {
            return Ok(component.clone());
        }
        let component = self.sandbox.load(name, &self.bytes(name)?)?;
        components.insert(name.to_owned(), component.clone());
        Ok(component)
    }

    pub fn wants(&self, guest: &Guest, interface: &str) -> Result<bool> {
        Ok(inspect(&self.bytes(&guest.name)?)?.capabilities.contains(interface))
    }

    /// Methods that its manifest asks for.
    pub fn methods(&self, guest: &Guest) -> Result<Vec<String>> {
        let manifest = inspect(&self.bytes(&guest.name)?)?.manifest;
        Ok(manifest.into_iter().flat_map(|manifest| manifest.wants).flat_map(|want| want.methods).collect())
    }

    /// Whether its manifest names this operation.
    pub fn does(&self, guest: &Guest, operation: &str) -> Result<bool> {
        let manifest = inspect(&self.bytes(&guest.name)?)?.manifest;
        Ok(manifest.is_none_or(|manifest| manifest.operations.iter().any(|own| own == operation)))
    }

    pub fn formatter(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>> {
        let source = self.sandbox.formatter(
            &self.component(name)?,
            config.to_owned(),
            FormatterGrants { instance: "conformance".to_owned(), ..FormatterGrants::default() },
        )?;
        Ok(self.runtime.block_on(source.open())?)
    }

    pub fn connector(&self, name: &str, config: &str, format: &RecordFormat, grants: ConnectorGrants) -> Result<Box<dyn Connector>> {
        let grants = ConnectorGrants { instance: "conformance".to_owned(), state: Some(Arc::new(MemoryState::default())), ..grants };
        let source = self.sandbox.connector(&self.component(name)?, config.to_owned(), grants)?;
        Ok(self.runtime.block_on(source.open(format))?)
    }

    /// Records of these events, made by a formatter without a configuration.
    pub fn records(&self, format: &str, events: &[EventRef<'_>]) -> Result<(RecordFormat, RecordBatch)> {
        let mut formatter = self.formatter(&format!("format-{format}"), "{}")?;
        let mut builder = BatchBuilder::default();
        let batch = builder.fill(formatter.projection(), events.iter().copied());
        let made = self.runtime.block_on(formatter.format(batch))?;
        ensure!(made.refused.is_empty(), "`{format}` refuses events: {:?}", made.refused);
        Ok((formatter.record_format().clone(), made.records))
    }

    /// Lines that guests wrote so far.
    pub fn log(&self) -> Vec<String> {
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Events as the journal keeps them.
pub fn store<'a>(events: impl IntoIterator<Item = &'a str>, received: u64) -> Result<Vec<Vec<u8>>> {
    let mut normaliser = Normaliser::new(Rules::default());
    let mut store = |json: &str| {
        let mut out = Vec::new();
        normaliser.event(json.as_bytes(), 0, Form::Json, received, &mut out).map_err(|refused| anyhow!("intake refuses the event: {:?}", refused.fault))?;
        Ok(out)
    };
    events.into_iter().map(&mut store).collect()
}

pub fn refs(stored: &[Vec<u8>]) -> Result<Vec<EventRef<'_>>> {
    Ok(stored.iter().map(|bytes| EventRef::new(bytes)).collect::<Result<_, _>>()?)
}

/// The committed samples of every shape.
pub fn samples() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let path = root().join("examples/events").join(name).with_extension("ndjson");
        lines.extend(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?.lines().map(str::to_owned));
    }
    Ok(lines)
}

/// The section is there, says what the folder says, and carries a schema.
pub fn manifest_is_valid(bench: &Bench, guest: &Guest) -> Result<()> {
    let inspection = inspect(&bench.bytes(&guest.name)?)?;
    let manifest = inspection.manifest.as_ref().context("the component carries no manifest")?;
    let expected = guest.name.strip_prefix("format-").unwrap_or(&guest.name);
    ensure!(manifest.name == expected || manifest.name == guest.name, "the manifest's name is `{}`, the folder's `{}`", manifest.name, guest.name);
    ensure!(manifest.kind == inspection.kind, "the manifest says {:?}, the exports say {:?}", manifest.kind, inspection.kind);
    ensure!(inspection.contradictions.is_empty(), "{}", inspection.contradictions.join("; "));
    let schema = manifest.config_schema.as_ref().context("the manifest has no schema of the configuration")?;
    let schema: serde_json::Value = serde_json::from_str(schema.get())?;
    ensure!(schema["type"] == "object", "the configuration's schema is not one of an object: {schema}");
    ensure!(schema["additionalProperties"] == false, "the schema lets unknown keys pass: {schema}");
    ensure!(manifest.vendor.is_some() && manifest.docs.is_some(), "vendor and docs belong in connector.toml");
    for want in &manifest.wants {
        ensure!(want.reason.as_ref().is_some_and(|reason| reason.len() > 10), "the wish for `{}` gives no reason", want.interface);
    }
    Ok(())
}

/// What it imports, it says so and why; what it says, it imports.
pub fn imports_are_wanted(bench: &Bench, guest: &Guest) -> Result<()> {
    let inspection = inspect(&bench.bytes(&guest.name)?)?;
    let manifest = inspection.manifest.as_ref().context("the component carries no manifest")?;
    for capability in &inspection.capabilities {
        // Always there, and they reach nothing.
        let free = ["log", "metrics", "types"].contains(capability);
        ensure!(free || manifest.wants.iter().any(|want| want.interface == *capability), "it imports `{capability}`, but connector.toml does not want it");
    }
    for want in &manifest.wants {
        ensure!(inspection.capabilities.contains(want.interface.as_str()), "connector.toml wants `{}`, which is not imported", want.interface);
    }
    Ok(())
}
