//! What every check runs on: one sandbox, the components, events through the real intake.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use bulkhead_core::clock::SystemClock;
use bulkhead_core::{Clock, Connector, EventRef, Formatter, RecordBatch, RecordFormat};
use bulkhead_format::BatchBuilder;
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_observe::{GuestMetrics, Metrics};
use bulkhead_sandbox::{Component, ConnectorGrants, FormatterGrants, Level, Limit, Limits, LogSink, MemoryState, Sandbox, SandboxSettings};

use crate::guest::Guest;

/// Where components that a check needs beside the one under test come from, by name (`format-json`).
pub type Source = Box<dyn Fn(&str) -> Result<Vec<u8>> + Send + Sync>;

/// The name that instances go by here.
pub const INSTANCE: &str = "conformance";

/// Lines of guests that are kept; later ones are counted as none.
const MAX_LINES: usize = 100_000;

pub struct Bench {
    sandbox: Sandbox,
    pub runtime: tokio::runtime::Runtime,
    log: Arc<Lines>,
    metrics: Metrics,
    source: Source,
    /// Compiled once each, by digest.
    components: Mutex<BTreeMap<[u8; 32], Component>>,
    /// What `source` gave, read once each.
    formatters: Mutex<BTreeMap<String, Arc<Guest>>>,
}

/// A wall clock that stands: the same batch is the same bytes, whenever it is sent. Waiting goes on.
struct Still {
    clock: SystemClock,
    at: u64,
}

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        self.at
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Lines of guests, kept.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, instance: &str, component: &str, _: Level, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_LINES {
            lines.push(format!("{instance} {component} {text}"));
        }
    }
}

/// Time of receipt where a case names none: 2026-01-02T03:04:05.123Z.
pub const RECEIVED: u64 = 1_767_323_045_123_000_000;

impl Bench {
    /// Starts the engine. `data_dir` keeps what was compiled; without it nothing is kept.
    pub fn new(source: Source, data_dir: Option<&Path>) -> Result<Self> {
        Self::at(source, data_dir, SystemClock::default().unix_nanos())
    }

    /// The same at another time: its wall clock stands there.
    pub fn at(source: Source, data_dir: Option<&Path>, at: u64) -> Result<Self> {
        // Somebody in this process may have been first.
        rustls::crypto::ring::default_provider().install_default().ok();
        let log = Arc::new(Lines::default());
        let clock = SystemClock::default();
        let settings = SandboxSettings {
            log: Arc::clone(&log) as Arc<dyn LogSink>,
            clock: Arc::new(Still { at, clock }),
            component_size: Limit::ComponentSize.row().ceiling,
            data_dir: data_dir.map(Path::to_owned),
            ..SandboxSettings::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let metrics = Metrics::new();
        let sandbox = runtime.block_on(async { Sandbox::new(settings, metrics.clone()) })?;
        Ok(Self { sandbox, runtime, log, metrics, source, components: Mutex::default(), formatters: Mutex::default() })
    }

    /// The component, compiled.
    pub fn component(&self, guest: &Guest) -> Result<Component> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = components.get(&guest.inspection.digest) {
            return Ok(component.clone());
        }
        let component = self.sandbox.load(&guest.name, &guest.bytes)?;
        components.insert(guest.inspection.digest, component.clone());
        Ok(component)
    }

    /// Lets a component go that is not called any more.
    pub fn forget(&self, guest: &Guest) {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).remove(&guest.inspection.digest);
    }

    pub fn formatter(&self, guest: &Guest, config: &str) -> Result<Box<dyn Formatter>> {
        let grants = FormatterGrants { instance: INSTANCE.to_owned(), limits: any_size(Limits::default())? };
        let source = self.sandbox.formatter(&self.component(guest)?, config.to_owned(), grants)?;
        Ok(self.runtime.block_on(source.open())?)
    }

    pub fn connector(&self, guest: &Guest, config: &str, format: &RecordFormat, grants: ConnectorGrants) -> Result<Box<dyn Connector>> {
        let limits = any_size(grants.limits)?;
        let grants = ConnectorGrants { instance: INSTANCE.to_owned(), state: Some(Arc::new(MemoryState::default())), limits, ..grants };
        let source = self.sandbox.connector(&self.component(guest)?, config.to_owned(), grants)?;
        Ok(self.runtime.block_on(source.open(format))?)
    }

    /// What a guest has cost so far.
    pub fn metrics(&self, guest: &Guest) -> GuestMetrics {
        self.metrics.guest(INSTANCE, &guest.name)
    }

    /// A formatter that stands beside the guest under test.
    fn beside(&self, format: &str) -> Result<Arc<Guest>> {
        let name = format!("format-{format}");
        let mut formatters = self.formatters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = formatters.get(&name) {
            return Ok(Arc::clone(known));
        }
        let guest = Arc::new(Guest::new(&name, (self.source)(&name)?, None)?);
        formatters.insert(name, Arc::clone(&guest));
        Ok(guest)
    }

    /// Records of these events, made by a formatter without a configuration.
    pub fn records(&self, format: &str, events: &[EventRef<'_>]) -> Result<(RecordFormat, RecordBatch)> {
        let mut formatter = self.formatter(&*self.beside(format)?, "{}")?;
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

/// What a component is made of is for the operator to allow, up to what any host takes: an interpreter is large and has
/// many parts. What a call may use stays at the defaults.
fn any_size(mut limits: Limits) -> Result<Limits> {
    for limit in [Limit::ComponentSize, Limit::Instances, Limit::Tables, Limit::TableElements, Limit::Memories] {
        limits.set(limit, limit.row().ceiling)?;
    }
    Ok(limits)
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
