//! From the configuration to guests that are ready to open: components found and loaded, grants bound,
//! every configuration tried once on a fresh guest. All faults are collected.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_core::{FormatterSource, OpenError, RecordFormat};
use bulkhead_deliver::{InstanceSettings, LaneSettings};
use bulkhead_journal::LaneStart;
use sha2::{Digest, Sha256};

use bulkhead_sandbox::{Component, ConnectorGrants, FileAccess, FilesGrant, FormatterGrants, Limit, Limits, Sandbox, StateStore};

use crate::components::{Components, FORMATTER_PREFIX};
use crate::config::{Config, Fault, FaultKind, Fingerprint, FormatterConfig, Instance, RawConfig, Span, secret_fields};
use crate::receipts::HostReceipts;

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
}

/// Loads what the configuration refers to, and nothing else.
pub async fn build(
    config: &Config,
    sandbox: &Sandbox,
    state: Arc<dyn StateStore>,
    purpose: Purpose,
    receipts: Option<&HostReceipts>,
) -> Result<Vec<Built>, Vec<Fault>> {
    let mut builder = Builder {
        config,
        sandbox,
        state,
        purpose,
        receipts,
        components: Components::new(Some(&config.connectors_dir)),
        loaded: HashMap::new(),
        formats: HashMap::new(),
        faults: Vec::new(),
    };
    let mut instances = Vec::new();
    for (at, instance) in config.instances.iter().enumerate() {
        instances.extend(builder.instance(at, instance).await);
    }
    if builder.faults.is_empty() { Ok(instances) } else { Err(builder.faults) }
}

struct Builder<'a> {
    config: &'a Config,
    sandbox: &'a Sandbox,
    state: Arc<dyn StateStore>,
    purpose: Purpose,
    receipts: Option<&'a HostReceipts>,
    components: Components,
    /// By name; `None` for one that cannot be loaded, which is said once.
    loaded: HashMap<String, Option<Component>>,
    /// What formats make, tried once each; `None` where that failed.
    formats: HashMap<String, Option<RecordFormat>>,
    faults: Vec<Fault>,
}

impl Builder<'_> {
    async fn instance(&mut self, at: usize, instance: &Instance) -> Option<Built> {
        let key = format!("instances.{}", instance.name);
        let component = self.load(&instance.connector, instance.connector_span, &format!("{key}.connector"), &instance.limits).await?;
        self.secret_fields(&component, &instance.config, &format!("{key}.config"));
        let grants = ConnectorGrants {
            tenant: self.config.http.rules.tenant.clone(),
            instance: instance.name.clone(),
            destinations: instance.destinations.clone(),
            files: self.directories(instance, &key)?,
            state: Some(Arc::clone(&self.state)),
            machine: instance.machine.clone(),
            limits: instance.limits.clone(),
            receipts: self.receipts.map(|receipts| receipts.of(self.config, &instance.name)),
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
        settings.tenant = self.config.http.rules.tenant.clone();
        settings.connector = component.inspection().digest_hex().into();
        settings.max_calls = instance.max_calls;
        settings.concurrency = instance.concurrency.min(wanted.and_then(|manifest| manifest.limits.concurrency).unwrap_or(u32::MAX));
        settings.ordering = instance.ordering;
        settings.batch = instance.batch;
        settings.backlog = instance.backlog;
        settings.retry = instance.retry;
        settings.breaker = instance.breaker;
        settings.rate_limit = instance.rate_limit;
        settings.filters = instance.filters.clone();
        let mut digest = Sha256::new();
        digest.update(self.config.fingerprint(&instance.name).unwrap_or_default());
        digest.update(component.inspection().digest);
        let lanes: Vec<_> = self.config.lanes.iter().filter(|lane| lane.instance == at).collect();
        for lane in &lanes {
            let formatter = self.config.formatter(&lane.id.format);
            // Other lanes are looked at all the same: all faults at once.
            let Some((formatter_source, format)) = self.formatter(&formatter, instance, &lane.key).await else { continue };
            if let Some(Some(component)) = self.loaded.get(&format!("{FORMATTER_PREFIX}{}", formatter.formatter)) {
                digest.update(component.inspection().digest);
            }
            let accepts = wanted.map(|manifest| manifest.accepts.as_slice()).unwrap_or_default();
            if !accepts.is_empty() && !accepts.iter().any(|name| name == "*" || *name == formatter.formatter || *name == format.name) {
                let message = format!("`{}` does not take the format `{}`; it takes {}", instance.connector, lane.id.format, accepts.join(", "));
                self.fault(lane.span, lane.key.clone(), message, Some(format!("name one of {} here", accepts.join(", "))));
            }
            if let Err(error) = source.open(&format).await {
                self.refused(instance.config.spans.get("").copied().unwrap_or(instance.span), &format!("{key}.config"), &error);
                return None;
            }
            settings.lanes.push(LaneSettings { format: Arc::clone(&lane.id.format), formatter: formatter_source, start: LaneStart::Now });
        }
        if lanes.is_empty() {
            // No lane will open it, so that its configuration would go unchecked.
            let format = RecordFormat { name: "json".into(), content_type: "application/json".into() };
            if let Err(error) = source.open(&format).await {
                self.refused(instance.span, &format!("{key}.config"), &error);
            }
        }
        Some(Built { settings, fingerprint: digest.finalize().into() })
    }

    /// A formatter's source for one instance, and what it makes.
    async fn formatter(&mut self, formatter: &FormatterConfig, instance: &Instance, key: &str) -> Option<(Arc<dyn FormatterSource>, RecordFormat)> {
        let component = self.load(&format!("{FORMATTER_PREFIX}{}", formatter.formatter), formatter.span, key, &formatter.limits).await?;
        if !self.formats.contains_key(&formatter.name) {
            self.secret_fields(&component, &formatter.config, &format!("formatters.{}.config", formatter.name));
        }
        let grants = FormatterGrants { instance: instance.name.clone(), limits: formatter.limits.clone() };
        let source = match self.sandbox.formatter(&component, formatter.config.json.to_string(), grants) {
            Ok(source) => source,
            Err(error) => {
                self.fault(formatter.span, key, error.to_string(), None);
                return None;
            }
        };
        if !self.formats.contains_key(&formatter.name) {
            let format = match source.open().await {
                Ok(opened) => Some(opened.record_format().clone()),
                Err(error) => {
                    self.refused(formatter.span, &format!("formatters.{}.config", formatter.name), &error);
                    None
                }
            };
            self.formats.insert(formatter.name.clone(), format);
        }
        Some((source, self.formats.get(&formatter.name)?.clone()?))
    }

    async fn load(&mut self, name: &str, span: Span, key: &str, limits: &Limits) -> Option<Component> {
        if let Some(known) = self.loaded.get(name) {
            return known.clone();
        }
        let bytes = self.components.read(name).map_err(|error| crate::api::problem::Chain(&error).to_string());
        let loaded = match bytes {
            Err(problem) => Err(problem),
            Ok(bytes) => {
                let (sandbox, owned, most) = (self.sandbox.clone(), name.to_owned(), limits.get(Limit::ComponentSize));
                // Compiling takes tenths of a second to many.
                let loading = tokio::task::spawn_blocking(move || sandbox.load_within(&owned, &bytes, most)).await;
                match loading {
                    Ok(Ok(component)) => Ok(component),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("loading component `{name}` broke off; the log says why")),
                }
            }
        };
        let component = match loaded {
            Ok(component) => Some(component),
            Err(problem) => {
                let hint = format!("components are looked for in `connectors_dir` ({}) and among the built-in ones", self.config.connectors_dir.display());
                self.fault(span, key, problem, Some(hint));
                None
            }
        };
        self.loaded.insert(name.to_owned(), component.clone());
        component
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
