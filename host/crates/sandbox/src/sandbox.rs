//! The sandbox as other rooms see it: load components, open sources under grants.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_core::receipt::Identity;
use bulkhead_core::{Clock, ConnectorSource, FormatterSource, SystemClock, Tenant};
use bulkhead_observe::Metrics;
use wasmtime::Engine;

use crate::attempt::{Receipting, Receipts};
use crate::bar::Bars;
use crate::bindings::{delivering, formatting};
use crate::cache::Cache;
use crate::capabilities::Capabilities;
use crate::capture::Recording;
use crate::compile::Compiler;
use crate::component::{Component, Linked, LoadError};
use crate::convert::Projections;
use crate::credentials::RefreshTokens;
use crate::egress::client::Egress;
use crate::egress::places::Places;
use crate::egress::redact::Redactor;
use crate::egress::{Destination, Resolve, SystemResolver};
use crate::engine::{EngineError, Ticking};
use crate::host::files::{Files, FilesError, FilesGrant};
use crate::host::log::{InstanceLog, LogSink, TracingSink};
use crate::host::metrics::{GuestCollector, GuestSeries};
use crate::host::state::{State, StateScope, StateStore};
use crate::inspect::Inspection;
use crate::limits::{Limit, Limits, Watch};
use crate::linker::{GrantSet, Linkers, remedy};
use crate::manifest::Kind;
use crate::store::{Calls, Factory};
use crate::wasi::MachineGrants;
use crate::{connector, formatter};

/// How the sandbox runs.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Where compiled components are kept; without, every load compiles.
    pub data_dir: Option<PathBuf>,
    /// Largest component in bytes.
    pub component_size: u64,
    /// Where components are compiled.
    pub compiler: Compiler,
    pub resolver: Arc<dyn Resolve>,
    pub log: Arc<dyn LogSink>,
    pub clock: Arc<dyn Clock>,
    /// Requests and connections of all guests at the same time.
    pub max_egress: usize,
    /// What servers gave in the place of configured refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            data_dir: None,
            component_size: Limit::ComponentSize.row().default,
            compiler: Compiler::InProcess,
            resolver: Arc::new(SystemResolver),
            log: Arc::new(TracingSink),
            clock: Arc::new(SystemClock::default()),
            max_egress: Places::default().count(),
            refresh_tokens: Arc::default(),
        }
    }
}

impl fmt::Debug for SandboxSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxSettings").field("data_dir", &self.data_dir).field("component_size", &self.component_size).finish_non_exhaustive()
    }
}

/// What one connector instance may reach. Nothing by default.
#[derive(Clone, Default)]
pub struct ConnectorGrants {
    pub tenant: Tenant,
    pub instance: String,
    pub destinations: Vec<Destination>,
    pub files: Vec<FilesGrant>,
    pub state: Option<Arc<dyn StateStore>>,
    pub machine: MachineGrants,
    pub limits: Limits,
    /// Where receipts go; without, none are kept.
    pub receipts: Option<Receipting>,
    /// Whether deliveries are kept to be run again, or this is one that is.
    pub recording: Recording,
}

/// Under what a formatter runs.
#[derive(Debug, Clone, Default)]
pub struct FormatterGrants {
    /// The instance of the lane, for metrics and log.
    pub instance: String,
    pub limits: Limits,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the cache of compiled components below {} cannot be used", dir.display())]
    Cache {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("guests' metrics cannot be shown: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Why a component cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("component `{component}` is a {is}; a {wanted} is needed here")]
    Kind { component: String, is: &'static str, wanted: &'static str },
    #[error("component `{component}` needs what instance `{instance}` does not grant: {}", .missing.join("; "))]
    NotGranted { component: String, instance: String, missing: Vec<String> },
    #[error("component `{component}` does not fit: {problem}")]
    Unfit { component: String, problem: String },
    #[error("{0}")]
    Limits(String),
    #[error("the configuration of instance `{instance}` is no JSON object")]
    Config { instance: String },
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// The engine with what all guests share; cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    ticking: Ticking,
    linkers: Linkers,
    cache: Option<Cache>,
    bars: Bars,
    settings: SandboxSettings,
    metrics: Metrics,
    series: GuestSeries,
    places: Places,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine. One for each process and registry of metrics.
    pub fn new(settings: SandboxSettings, metrics: Metrics) -> Result<Self, SandboxError> {
        let cache = match &settings.data_dir {
            Some(dir) => Some(Cache::open(dir).map_err(|source| SandboxError::Cache { dir: dir.clone(), source })?),
            None => None,
        };
        let series = GuestSeries::default();
        metrics.registry().register(Box::new(GuestCollector::new(series.clone())?))?;
        Ok(Self(Arc::new(Inner {
            ticking: Ticking::start(settings.compiler.is_here())?,
            linkers: Linkers::default(),
            cache,
            places: Places::new(settings.max_egress),
            bars: Bars::default(),
            settings,
            metrics,
            series,
        })))
    }

    /// The refresh tokens of this host's credentials.
    pub fn refresh_tokens(&self) -> &Arc<RefreshTokens> {
        &self.0.settings.refresh_tokens
    }

    /// What requests on the host's own account need.
    pub(crate) fn outside(&self) -> (&SandboxSettings, &Metrics) {
        (&self.0.settings, &self.0.metrics)
    }

    /// Checks and compiles a component, or takes it from the cache. Blocks for as long as compiling
    /// takes (tenths of a second to many seconds): call it where that is allowed.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        self.load_within(name, bytes, self.0.settings.component_size)
    }

    /// As [`Self::load`], with a limit of its own for the size in bytes.
    pub fn load_within(&self, name: &str, bytes: &[u8], limit: u64) -> Result<Component, LoadError> {
        let inspection = Inspection::read(bytes, limit).map_err(|source| LoadError::Inspect { name: name.into(), source })?;
        self.load_inspected(name, bytes, inspection)
    }

    /// The same for bytes that were inspected already: many megabytes are hashed once.
    pub fn load_inspected(&self, name: &str, bytes: &[u8], inspection: Inspection) -> Result<Component, LoadError> {
        for contradiction in &inspection.contradictions {
            tracing::warn!(component = name, contradiction, "the manifest contradicts the component; the component counts");
        }
        let bar = self.0.bars.of(inspection.digest);
        if let Some(reason) = bar.reason() {
            return Err(LoadError::Revoked(reason.to_string()));
        }
        let engine = &self.0.ticking.engine;
        if let Some(compiled) = self.0.cache.as_ref().and_then(|cache| cache.load(engine, &inspection.digest)) {
            return Ok(Component::new(name, inspection, bar, compiled));
        }
        let (compiled, artefact) = self.0.settings.compiler.compile(engine, name, bytes)?;
        if let (Some(cache), Some(artefact)) = (&self.0.cache, artefact) {
            cache.store(&inspection.digest, &artefact);
        }
        Ok(Component::new(name, inspection, bar, compiled))
    }

    /// Bars a component by its digest: it is not loaded again, and what runs it ends before its next call.
    pub fn revoke(&self, digest: [u8; 32], reason: &str) {
        self.0.bars.bar(digest, reason);
    }

    /// A source of connectors of one instance. `config` is its JSON object.
    pub fn connector(&self, component: &Component, config: String, grants: ConnectorGrants) -> Result<Arc<dyn ConnectorSource>, SetupError> {
        let ConnectorGrants { tenant, instance, destinations, files, state, machine, limits, receipts, recording } = grants;
        let set = GrantSet { wasi_http: machine.wasi_http, ..GrantSet::of(&destinations, !files.is_empty(), state.is_some()) };
        check_config(&config, &instance)?;
        let watch = self.watch(component, &instance, limits);
        component.check_limits(&watch).map_err(SetupError::Limits)?;
        let linked = self.link(component, Kind::Connector, &instance, set)?;
        let limits = Arc::clone(watch.limits());
        let credentials = destinations.iter().filter_map(Destination::credential);
        let redactor = Arc::new(credentials.fold(Redactor::default(), |redactor, credential| credential.guard(redactor)));
        let shared_instance: Arc<str> = instance.as_str().into();
        let destinations: BTreeMap<String, Destination> = destinations.into_iter().map(|destination| (destination.name().to_owned(), destination)).collect();
        let excerpt = receipts.as_ref().map_or(0, |receipting| receipting.excerpt);
        let receipts = receipts.map(|Receipting { sink, policy, configuration, excerpt: _ }| {
            let (instance, connector) = (Arc::clone(&shared_instance), component.name().into());
            let digest = component.inspection().digest_hex().into();
            Arc::new(Receipts { sink, identity: Arc::new(Identity { tenant: tenant.clone(), instance, connector, digest, policy, configuration }) })
        });
        let egress = Egress::new(
            &instance,
            destinations,
            Arc::clone(&self.0.settings.resolver),
            Arc::clone(&redactor),
            Arc::clone(&watch),
            self.0.places.clone(),
            self.0.metrics.clone(),
        )
        .on_record(receipts.clone())
        .refreshing(Arc::clone(&self.0.settings.refresh_tokens))
        .with_excerpts(excerpt);
        let capabilities = Capabilities {
            instance: Arc::clone(&shared_instance),
            egress,
            files: Files::open(&files)?,
            state: state.map(|store| Arc::new(State { store, scope: StateScope { tenant, instance: shared_instance } })),
            series: self.0.series.clone(),
            limits,
            watch: Arc::clone(&watch),
            machine,
        };
        let shared = self.shared(component, &instance, config, redactor, watch, linked, Some(Arc::new(capabilities)), receipts, recording, connector::CALLS);
        Ok(Arc::new(connector::Source { shared }))
    }

    /// A source of formatters of one configuration.
    pub fn formatter(&self, component: &Component, config: String, grants: FormatterGrants) -> Result<Arc<dyn FormatterSource>, SetupError> {
        let FormatterGrants { instance, limits } = grants;
        check_config(&config, &instance)?;
        let watch = self.watch(component, &instance, limits);
        component.check_limits(&watch).map_err(SetupError::Limits)?;
        let linked = self.link(component, Kind::Formatter, &instance, GrantSet::default())?;
        let shared = self.shared(component, &instance, config, Arc::default(), watch, linked, None, None, Recording::Off, formatter::CALLS);
        Ok(Arc::new(formatter::Source { shared }))
    }

    fn watch(&self, component: &Component, instance: &str, limits: Limits) -> Arc<Watch> {
        let metrics = self.0.metrics.guest(instance, component.name());
        Arc::new(Watch::new(Arc::new(limits), metrics, Arc::clone(&self.0.settings.clock)))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one struct, joined in one place for both kinds")]
    fn shared(
        &self,
        component: &Component,
        instance: &str,
        config: String,
        redactor: Arc<Redactor>,
        watch: Arc<Watch>,
        linked: Arc<Linked>,
        capabilities: Option<Arc<Capabilities>>,
        receipts: Option<Arc<Receipts>>,
        recording: Recording,
        calls: &[&'static str],
    ) -> Arc<connector::Shared> {
        let inner = &self.0;
        let metrics = inner.metrics.guest(instance, component.name());
        let clock = Arc::clone(&inner.settings.clock);
        let (sink, cut) = (Arc::clone(&inner.settings.log), metrics.log_cut.clone());
        let log = Arc::new(InstanceLog::new(instance, component.name(), sink, Arc::clone(&redactor), Arc::clone(&clock), cut, Arc::clone(&watch)));
        let calls = Calls::new(&metrics, calls);
        let factory = Factory { ticking: inner.ticking.clone(), limits: Arc::clone(watch.limits()), watch, log, metrics, capabilities, clock };
        Arc::new(connector::Shared {
            bar: Arc::clone(component.bar()),
            factory,
            linked,
            calls,
            config,
            projections: Projections::default(),
            redactor,
            receipts,
            component: component.clone(),
            recording,
        })
    }

    fn link(&self, component: &Component, wanted: Kind, instance: &str, grants: GrantSet) -> Result<Arc<Linked>, SetupError> {
        if component.kind() != wanted {
            return Err(SetupError::Kind { component: component.name().into(), is: component.kind().name(), wanted: wanted.name() });
        }
        let missing: Vec<String> =
            component.inspection().capabilities.iter().filter(|name| !grants.links(name)).map(|name| format!("{name} ({})", remedy(name))).collect();
        if !missing.is_empty() {
            return Err(SetupError::NotGranted { component: component.name().into(), instance: instance.into(), missing });
        }
        let engine = &self.0.ticking.engine;
        if !Engine::same(engine, component.compiled().engine()) {
            // Types of two engines are not told apart by their numbers (RUSTSEC-2026-0222).
            return Err(SetupError::Unfit { component: component.name().into(), problem: "it was loaded by another sandbox".into() });
        }
        component.linked(grants, || {
            let unfit = |error: wasmtime::Error| SetupError::Unfit { component: component.name().into(), problem: format!("{error:#}") };
            let linker = self.0.linkers.get(engine, grants).map_err(unfit)?;
            let pre = linker.instantiate_pre(component.compiled()).map_err(unfit)?;
            Ok(match wanted {
                Kind::Connector => {
                    let indices = delivering::GuestIndices::new(&pre).map_err(unfit)?;
                    Linked::Connector(pre, indices)
                }
                Kind::Formatter => {
                    let indices = formatting::GuestIndices::new(&pre).map_err(unfit)?;
                    Linked::Formatter(pre, indices)
                }
            })
        })
    }
}

/// Guests are promised a JSON object.
fn check_config(config: &str, instance: &str) -> Result<(), SetupError> {
    match serde_json::from_str::<BTreeMap<&str, &serde_json::value::RawValue>>(config) {
        Ok(_) => Ok(()),
        // A key with an escape cannot be borrowed; the slower reading decides.
        Err(_) => match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(config) {
            Ok(_) => Ok(()),
            Err(_) => Err(SetupError::Config { instance: instance.into() }),
        },
    }
}

#[cfg(test)]
mod tests;
