//! From the configuration to guests that are ready to open: components found and loaded, grants bound,
//! every configuration tried once on a fresh guest. All faults are collected.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_core::{BoxFuture, Clock, Connector, ConnectorSource, Formatter, FormatterSource, OpenError, RecordFormat, SystemClock, Tenant};
use bulkhead_deliver::{InstanceSettings, LaneSettings};
use bulkhead_registry::Digest;
use bulkhead_seal::{Fields, Keyring, RuleFault};
use sha2::{Digest as _, Sha256};

use bulkhead_sandbox::{Component, ConnectorGrants, FileAccess, FilesGrant, FormatterGrants, Limit, Limits, Receipting, Sandbox, StateStore};
use tokio::sync::mpsc;

use crate::captures::CaptureDesk;
use crate::components::{ComponentError, Components, Wanted};
use crate::config::{
    Config, Fault, FaultKind, Fingerprint, FormatterConfig, Instance, RawConfig, SYNC, Section, Span, SubscriptionAction, secret_fields, webhook_of,
};
use crate::observed::periods::Periods;
use crate::receipts::HostReceipts;
use crate::sync_action::{SyncDoor, SyncSource};
use crate::webhooks::{EXCERPT, Heard, LogSink};

/// Whether directories may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The service starts: directories granted for writing are made where missing.
    Serve,
    /// Nothing is changed; a missing directory stands for the one that it would be made in.
    Check,
}

/// An instance that may run, and the digest of all that it is made from: configuration and components.
#[derive(Clone)]
pub struct Built {
    pub settings: InstanceSettings,
    pub fingerprint: Fingerprint,
    /// The components that it runs, its formatters' included.
    pub uses: Vec<Used>,
    /// Destinations that take any certificate.
    pub unverified: Vec<String>,
}

/// A component that an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub name: String,
    pub digest: Digest,
}

/// What instances get from the host that runs them.
#[derive(Clone, Copy, Default)]
pub struct Parts<'a> {
    pub receipts: Option<&'a HostReceipts>,
    /// Counts calls.
    pub periods: Option<&'a Periods>,
    /// Keys for their fields.
    pub keyring: Option<&'a Keyring>,
    /// Where deliveries to webhooks are noted.
    pub deliveries: Option<&'a mpsc::Sender<Heard>>,
    /// Where deliveries are kept on request.
    pub captures: Option<&'a CaptureDesk>,
    /// Where subscriptions begin runs.
    pub sync: Option<&'a (SyncDoor, Arc<dyn Clock>)>,
}

/// Loads what the configuration refers to, and nothing else; of the instances, all or those in `only`.
pub async fn build(
    config: &Config,
    components: &Components,
    sandbox: &Sandbox,
    state: Arc<dyn StateStore>,
    purpose: Purpose,
    parts: Parts<'_>,
    only: Option<&HashSet<Arc<str>>>,
) -> Result<Vec<Built>, Vec<Fault>> {
    if let Some(desk) = parts.captures {
        desk.begin();
    }
    let mut builder = Builder::new(config, components, sandbox, state, purpose, parts);
    let mut instances = Vec::new();
    for (at, instance) in config.instances.iter().enumerate() {
        if only.is_none_or(|only| only.contains(instance.name.as_str())) {
            instances.extend(builder.instance(at, instance).await);
        }
    }
    if builder.faults.is_empty() { Ok(instances) } else { Err(builder.faults) }
}

/// One formatter of a configuration by itself, on behalf of `instance`.
pub async fn formatter(
    config: &Config,
    components: &Components,
    sandbox: &Sandbox,
    state: Arc<dyn StateStore>,
    name: &str,
    instance: &str,
) -> Result<Arc<dyn FormatterSource>, Vec<Fault>> {
    let mut builder = Builder::new(config, components, sandbox, state, Purpose::Check, Parts::default());
    let source = builder.formatter(&config.formatter(name), instance, &format!("formatters.{name}.formatter")).await;
    match source {
        Some((source, ..)) if builder.faults.is_empty() => Ok(source),
        _ => Err(builder.faults),
    }
}

/// One name may mean an entry of a tenant to its own lanes, and a formatter as it is to all others.
type FormatName = (Option<Tenant>, String);

struct Builder<'a> {
    config: &'a Config,
    sandbox: &'a Sandbox,
    state: Arc<dyn StateStore>,
    purpose: Purpose,
    parts: Parts<'a>,
    components: &'a Components,
    /// By what names it; `None` for one that cannot be loaded, which is said once.
    loaded: HashMap<String, Option<Loaded>>,
    /// What formats make, tried once each; `None` where that failed.
    formats: HashMap<FormatName, Option<RecordFormat>>,
    faults: Vec<Fault>,
}

/// What a name stands for.
#[derive(Clone)]
enum Loaded {
    Ready(Component),
    /// It must not run any more. The instance is there all the same, so that its events wait and its neighbours
    /// are served; its status says why.
    Revoked {
        used: Used,
        reason: Arc<str>,
    },
}

/// In place of a guest that must not run.
struct Barred(Arc<str>);

impl ConnectorSource for Barred {
    fn open<'a>(&'a self, _format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        Box::pin(async { Err(OpenError::Revoked(self.0.to_string())) })
    }
}

impl FormatterSource for Barred {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>> {
        Box::pin(async { Err(OpenError::Revoked(self.0.to_string())) })
    }
}

impl Loaded {
    fn used(&self) -> Used {
        match self {
            Self::Ready(component) => Used { name: component.name().into(), digest: Digest::new(component.inspection().digest) },
            Self::Revoked { used, .. } => used.clone(),
        }
    }
}

/// Opens a connector to see whether it takes its configuration, and closes it: it may have begun something
/// that it has to end. What goes wrong then is in the metrics and no reason to refuse.
async fn tried(source: &dyn ConnectorSource, format: &RecordFormat) -> Result<(), OpenError> {
    let mut opened = source.open(format).await?;
    let _ = opened.close().await;
    Ok(())
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config, components: &'a Components, sandbox: &'a Sandbox, state: Arc<dyn StateStore>, purpose: Purpose, parts: Parts<'a>) -> Self {
        Self { config, sandbox, state, purpose, parts, components, loaded: HashMap::new(), formats: HashMap::new(), faults: Vec::new() }
    }

    async fn instance(&mut self, at: usize, instance: &Instance) -> Option<Built> {
        let key = format!("instances.{}", instance.name);
        if let Some(subscription) = self.config.merged.maker(Section::Instances, &instance.name).filter(|_| instance.connector == SYNC) {
            return self.sync(at, instance, subscription.trim_start_matches("subscriptions/")).await;
        }
        let wanted = Wanted::connector(&instance.connector);
        let loaded = self.load(&wanted, &instance.limits, instance.connector_span, &format!("{key}.connector")).await?;
        let component = match &loaded {
            Loaded::Ready(component) => component.clone(),
            Loaded::Revoked { reason, .. } => return self.barred(at, instance, &loaded, reason).await,
        };
        let mut uses = vec![loaded.used()];
        self.secret_fields(&component, &instance.config, &format!("{key}.config"));
        let grants = ConnectorGrants {
            tenant: self.config.data_tenant(instance.tenant.as_ref()),
            instance: instance.name.clone(),
            destinations: instance.destinations.clone(),
            files: self.directories(instance, &key)?,
            state: Some(Arc::clone(&self.state)),
            machine: instance.machine.clone(),
            limits: instance.limits.clone(),
            receipts: self.receipting(&instance.name),
            recording: self
                .parts
                .captures
                .map(|desk| desk.recording(&instance.name, instance.tenant.as_ref(), &component, &instance.config))
                .unwrap_or_default(),
        };
        let source = match self.sandbox.connector(&component, instance.config.json.to_string(), grants) {
            Ok(source) => source,
            Err(error) => {
                self.fault(instance.span, key, error.to_string(), None);
                return None;
            }
        };
        let wanted = component.inspection().manifest.as_ref();
        let mut settings = InstanceSettings::new(&instance.name, Arc::clone(&source));
        settings.tenant = self.config.data_tenant(instance.tenant.as_ref());
        settings.owner = instance.tenant.as_ref().map_or("", |tenant| tenant.as_str()).into();
        settings.connector = component.inspection().digest_hex().into();
        settings.max_calls = instance.max_calls;
        settings.concurrency = instance.concurrency.at_most(wanted.and_then(|manifest| manifest.limits.concurrency).unwrap_or(u32::MAX));
        settings.ordering = instance.ordering;
        settings.batch = instance.batch;
        settings.backlog = instance.backlog;
        settings.retry = instance.retry;
        settings.breaker = instance.breaker;
        settings.rate_limit = instance.rate_limit;
        settings.filters = instance.filters.clone();
        self.answers(instance, wanted.map(|manifest| manifest.operations.as_slice()).unwrap_or_default());
        settings.fields = self.fields(instance)?;
        let mut digest = Sha256::new();
        digest.update(self.config.fingerprint(&instance.name).unwrap_or_default());
        digest.update(component.inspection().digest);
        // Renewed certificates count, also under the same file name.
        let tokens = self.sandbox.refresh_tokens();
        instance.destinations.iter().for_each(|destination| {
            digest.update(destination.tls().digest());
            digest.update(destination.credential().and_then(|credential| credential.tls_digest()).unwrap_or_default());
            // An instance that waited for somebody to connect its credential begins anew.
            digest.update(destination.credential().map_or(0, |credential| tokens.generation(credential.name())).to_le_bytes());
        });
        let lanes: Vec<_> = self.config.lanes.iter().filter(|lane| lane.instance == at).collect();
        for lane in &lanes {
            let formatter = self.config.formatter_for(&lane.id.format, instance.tenant.as_ref());
            // Other lanes are looked at all the same: all faults at once.
            let Some((formatter_source, format, used)) = self.formatter(&formatter, &instance.name, &lane.key).await else { continue };
            digest.update(used.digest.bytes());
            uses.push(used);
            let Some(format) = format else {
                // Its formatter was revoked: its events wait.
                settings.lanes.push(LaneSettings { format: Arc::clone(&lane.id.format), formatter: formatter_source, start: instance.from });
                continue;
            };
            let accepts = wanted.map(|manifest| manifest.accepts.as_slice()).unwrap_or_default();
            if !accepts.is_empty()
                && !accepts.iter().any(|name| name == "*" || Some(name.as_str()) == formatter.formatter.split('@').next() || *name == format.name)
            {
                let message = format!("`{}` does not take the format `{}`; it takes {}", instance.connector, lane.id.format, accepts.join(", "));
                self.fault(lane.span, lane.key.clone(), message, Some(format!("name one of {} here", accepts.join(", "))));
            }
            if let Err(error) = tried(&*source, &format).await {
                self.refused(instance.config.spans.get("").copied().unwrap_or(instance.span), &format!("{key}.config"), &error);
                return None;
            }
            if settings.lanes.is_empty() {
                settings.record_format = format.clone();
            }
            settings.lanes.push(LaneSettings { format: Arc::clone(&lane.id.format), formatter: formatter_source, start: instance.from });
        }
        if lanes.is_empty() {
            // No lane will open it, so that its configuration would go unchecked.
            let format = RecordFormat { name: "json".into(), content_type: "application/json".into() };
            if let Err(error) = tried(&*source, &format).await {
                self.refused(instance.span, &format!("{key}.config"), &error);
            }
        }
        let unverified = instance.destinations.iter().filter(|destination| destination.tls().unverified()).map(|destination| destination.name().to_owned());
        Some(Built { settings, fingerprint: digest.finalize().into(), uses, unverified: unverified.collect() })
    }

    /// Calls go on record where receipts are kept, and are counted in any case; those of a webhook are heard by its log on
    /// their way.
    fn receipting(&self, instance: &str) -> Option<Receipting> {
        let parts = &self.parts;
        let counted = || parts.periods.map(|periods| Receipting { sink: periods.before(None), policy: "".into(), configuration: "".into(), excerpt: 0 });
        let receipts = parts.receipts.map(|receipts| receipts.of(self.config, instance, parts.periods)).or_else(counted);
        let webhook = webhook_of(instance).filter(|name| self.config.webhooks.iter().any(|webhook| webhook.name == *name));
        let (Some(webhook), Some(log)) = (webhook, self.parts.deliveries) else { return receipts };
        let (inner, policy, configuration) = match receipts {
            Some(Receipting { sink, policy, configuration, .. }) => (Some(sink), policy, configuration),
            None => (None, "".into(), "".into()),
        };
        let sink = Arc::new(LogSink { webhook: webhook.into(), inner, log: log.clone() });
        Some(Receipting { sink, policy, configuration, excerpt: EXCERPT })
    }

    /// What events set off that begin a run: the host itself.
    async fn sync(&mut self, at: usize, instance: &Instance, subscription: &str) -> Option<Built> {
        let known = self.config.subscriptions.iter().find(|known| known.name == subscription)?;
        let SubscriptionAction::Sync { instance: target, min_interval } = &known.action else { return None };
        let (door, clock) = self.parts.sync.cloned().unwrap_or_else(|| (SyncDoor::default(), Arc::new(SystemClock::default()) as Arc<dyn Clock>));
        let mut settings = InstanceSettings::new(&instance.name, Arc::new(SyncSource::new(subscription, target, *min_interval, door, clock)));
        settings.tenant = self.config.data_tenant(instance.tenant.as_ref());
        settings.owner = instance.tenant.as_ref().map_or("", |tenant| tenant.as_str()).into();
        settings.concurrency = instance.concurrency;
        settings.batch = instance.batch;
        settings.backlog = instance.backlog;
        settings.retry = instance.retry;
        settings.filters = instance.filters.clone();
        let mut digest = Sha256::new();
        digest.update(self.config.fingerprint(&instance.name).unwrap_or_default());
        Some(self.without_connector(at, instance, settings, digest, Vec::new()).await)
    }

    /// An instance that runs no connector, with its lanes; `digest` has what it was made from so far.
    async fn without_connector(&mut self, at: usize, instance: &Instance, mut settings: InstanceSettings, mut digest: Sha256, mut uses: Vec<Used>) -> Built {
        for lane in self.config.lanes.iter().filter(|lane| lane.instance == at) {
            let formatter = self.config.formatter_for(&lane.id.format, instance.tenant.as_ref());
            let Some((source, _, used)) = self.formatter(&formatter, &instance.name, &lane.key).await else { continue };
            digest.update(used.digest.bytes());
            uses.push(used);
            settings.lanes.push(LaneSettings { format: Arc::clone(&lane.id.format), formatter: source, start: instance.from });
        }
        Built { settings, fingerprint: digest.finalize().into(), uses, unverified: Vec::new() }
    }

    /// Who is to answer requests, or to bring records, must be able to, as far as its manifest says.
    fn answers(&mut self, instance: &Instance, operations: &[String]) {
        let can = |wanted: &str| operations.is_empty() || operations.iter().any(|operation| operation == wanted);
        if instance.pull.is_some() && !can("pull") {
            let message = format!("`{}` brings no records; it does {}", instance.connector, operations.join(", "));
            self.fault(instance.connector_span, format!("instances.{}.pull", instance.name), message, Some("leave `pull` out".to_owned()));
        }
        if can("receive") {
            return;
        }
        for inbound in self.config.inbound.iter().filter(|inbound| inbound.instance.as_ref() == Some(&instance.name)) {
            let message = format!("`{}` answers no requests; it does {}", instance.connector, operations.join(", "));
            let hint = Some("leave `instance` out: the body is taken in as it is".to_owned());
            self.fault(instance.connector_span, format!("inbound.{}.instance", inbound.name), message, hint);
        }
    }

    /// An instance whose connector was revoked: its lanes are there and hold its events.
    async fn barred(&mut self, at: usize, instance: &Instance, loaded: &Loaded, reason: &Arc<str>) -> Option<Built> {
        tracing::error!(instance = instance.name, reason = &**reason, "instance is held: its component was revoked");
        let mut settings = InstanceSettings::new(&instance.name, Arc::new(Barred(Arc::clone(reason))));
        settings.tenant = self.config.data_tenant(instance.tenant.as_ref());
        settings.owner = instance.tenant.as_ref().map_or("", |tenant| tenant.as_str()).into();
        settings.backlog = instance.backlog;
        settings.retry = instance.retry;
        settings.filters = instance.filters.clone();
        settings.fields = self.fields(instance)?;
        let mut digest = Sha256::new();
        digest.update(self.config.fingerprint(&instance.name).unwrap_or_default());
        digest.update(loaded.used().digest.bytes());
        digest.update(b"revoked");
        Some(self.without_connector(at, instance, settings, digest, vec![loaded.used()]).await)
    }

    /// What is sealed for an instance; `None` outside is a fault. Where nothing runs no key is had.
    fn fields(&mut self, instance: &Instance) -> Option<Option<Arc<Fields>>> {
        let encryption = &self.config.encryption;
        let rules = instance.rules.as_ref().unwrap_or(&encryption.rules).clone();
        match Fields::new(rules, self.parts.keyring, encryption.rotate_every.as_secs()) {
            Ok(fields) => Some(fields.map(Arc::new)),
            Err(RuleFault::NoKey) if self.purpose == Purpose::Check => Some(None),
            Err(fault) => {
                let hint = Some("a key that is new takes a restart".to_owned());
                self.fault(instance.span, format!("instances.{}", instance.name), fault.to_string(), hint);
                None
            }
        }
    }

    /// A formatter's source for one instance, what it makes unless it was revoked, and which it is.
    async fn formatter(&mut self, formatter: &FormatterConfig, instance: &str, key: &str) -> Option<(Arc<dyn FormatterSource>, Option<RecordFormat>, Used)> {
        let loaded = self.load(&Wanted::formatter(&formatter.formatter), &formatter.limits, formatter.span, key).await?;
        let component = match &loaded {
            Loaded::Ready(component) => component.clone(),
            Loaded::Revoked { used, reason } => {
                tracing::error!(instance, reason = &**reason, "lanes are held: their formatter was revoked");
                return Some((Arc::new(Barred(Arc::clone(reason))), None, used.clone()));
            }
        };
        let known = (formatter.tenant.clone(), formatter.name.clone());
        if !self.formats.contains_key(&known) {
            self.secret_fields(&component, &formatter.config, &format!("formatters.{}.config", formatter.name));
        }
        let grants = FormatterGrants { instance: instance.to_owned(), limits: formatter.limits.clone() };
        let source = match self.sandbox.formatter(&component, formatter.config.json.to_string(), grants) {
            Ok(source) => source,
            Err(error) => {
                self.fault(formatter.span, key, error.to_string(), None);
                return None;
            }
        };
        if !self.formats.contains_key(&known) {
            let format = match source.open().await {
                Ok(opened) => Some(opened.record_format().clone()),
                Err(error) => {
                    self.refused(formatter.span, &format!("formatters.{}.config", formatter.name), &error);
                    None
                }
            };
            self.formats.insert(known.clone(), format);
        }
        Some((source, Some(self.formats.get(&known)?.clone()?), loaded.used()))
    }

    async fn load(&mut self, wanted: &Wanted, limits: &Limits, span: Span, key: &str) -> Option<Loaded> {
        let written = wanted.to_string();
        if let Some(known) = self.loaded.get(&written) {
            return known.clone();
        }
        let (components, sandbox, owned) = (self.components.clone(), self.sandbox.clone(), wanted.clone());
        let most = limits.get(Limit::ComponentSize);
        // Reading may be slow, and compiling takes tenths of a second to many.
        let loading = tokio::task::spawn_blocking(move || {
            let found = match components.read(&owned) {
                Ok(found) => found,
                Err(ComponentError::Revoked { name, digest, by, reason }) => {
                    let reason = crate::pipeline::uploads::said(&name, &digest, &by, reason.as_deref()).into();
                    return Ok(Loaded::Revoked { used: Used { name, digest }, reason });
                }
                Err(error) => return Err(crate::api::problem::Chain(&error).to_string()),
            };
            sandbox.load_within(&found.name, &found.bytes, most).map(Loaded::Ready).map_err(|error| error.to_string())
        });
        let loaded = loading.await.unwrap_or_else(|_| Err(format!("loading component `{written}` broke off; the log says why")));
        let loaded = match loaded {
            // Who only asks is told; who serves goes on with the rest.
            Ok(Loaded::Revoked { reason, .. }) if self.purpose == Purpose::Check => Err(reason.to_string()),
            other => other,
        };
        let loaded = match loaded {
            Ok(loaded) => Some(loaded),
            Err(problem) => {
                let hint = format!("components are uploaded, in `connectors_dir` ({}), or built in", self.config.connectors_dir.display());
                self.fault(span, key, problem, Some(hint));
                None
            }
        };
        self.loaded.insert(written, loaded.clone());
        loaded
    }

    fn directories(&mut self, instance: &Instance, key: &str) -> Option<Vec<FilesGrant>> {
        let mut grants = Vec::new();
        for directory in &instance.files {
            let mut grant = directory.clone();
            if grant.access == FileAccess::Write && !grant.dir.is_dir() {
                match self.purpose {
                    Purpose::Check => grant.dir = existing_ancestor(&grant.dir),
                    Purpose::Serve => {
                        if let Err(error) = std::fs::create_dir_all(&grant.dir) {
                            self.fault(instance.span, format!("{key}.files.{}.dir", grant.name), format!("cannot make {}: {error}", grant.dir.display()), None);
                            return None;
                        }
                    }
                }
            }
            grants.push(grant);
        }
        Some(grants)
    }

    /// Secrets go past guests: a field that the component marks as one is not filled in from outside.
    fn secret_fields(&mut self, component: &Component, config: &RawConfig, key: &str) {
        let Some(schema) = component.inspection().manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref()) else { return };
        for field in secret_fields(schema.get(), config) {
            let hint = "define it under `credentials` and name it in a destination: the host applies it, and the component never sees it".to_owned();
            self.fault(field.span, format!("{key}.{}", field.path), "a secret of the component's configuration cannot come from `${…}`", Some(hint));
        }
    }

    fn refused(&mut self, span: Span, key: &str, error: &OpenError) {
        self.fault(span, key, error.to_string(), None);
    }

    fn fault(&mut self, span: Span, key: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(self.config.fault(FaultKind::Component, span, key, message, hint));
    }
}

fn existing_ancestor(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned);
    found.unwrap_or_else(|| PathBuf::from("."))
}
