//! `bulkhead.yaml`: YAML first, then `${…}` in scalar values only, then the key table, then what must go
//! together. Promises: every fault is reported, not the first, with its place and what to do; no value
//! that may be a secret is ever printed; a value never becomes structure. Refuses unknown keys and keys
//! that this version does not act on.

mod assemble;
mod checked;
mod credentials;
mod encryption;
mod fault;
mod fingerprint;
mod inbound;
mod intake;
mod integrity;
mod interpolate;
mod keys;
mod ldap;
mod nearest;
mod objects;
mod observed;
mod owners;
mod raw;
mod reach;
mod reader;
mod routing;
mod schedule;
mod schema;
mod secret_fields;
mod settings;
mod sign_in;
mod store;
mod stored;
mod tree;
mod units;
mod unsupported;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_audit::AuditSettings;
use bulkhead_core::Tenant;
use bulkhead_deliver::DeliverySettings;
use bulkhead_ingest::{FilesSettings, HttpIntakeSettings, InboundSettings, PullSchedule, PullSettings, RepeatSettings, SyslogSettings};
use bulkhead_journal::JournalSettings;
use bulkhead_observe::LogSettings;
use bulkhead_route::{Filter, LaneIndex, Route};
use bulkhead_sandbox::{Credential, Limits};
use bulkhead_store::DeadLetterSettings;

pub use checked::RawConfig;
pub use fault::{Fault, FaultKind, Source, Span};
pub use fingerprint::Fingerprint;
pub use integrity::IntegrityRule;
pub use objects::{SYNC, webhook_instance, webhook_of};
pub use owners::{Owners, tenant_of};
pub use schema::schema;
pub use secret_fields::{is_secret, secret_fields};
pub use settings::{
    ApiListener, EncryptionSettings, FormatterConfig, Instance, Lane, QueryCacheSettings, Subscription, SubscriptionAction, UploadSettings, Webhook,
    WebhookLogSettings,
};
pub use store::StoreSettings;
pub use stored::{Entry, Merged, Section, hide, unhide};

use fault::Faults;

use crate::observed::index::IndexSettings;
use crate::observed::logs::LogRetention;
use crate::replay::LetterRetry;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub connectors_dir: PathBuf,
    pub api: ApiListener,
    pub http: HttpIntakeSettings,
    pub syslog: Vec<SyslogSettings>,
    pub inbound: Vec<InboundSettings>,
    pub files: Vec<FilesSettings>,
    pub instances: Vec<Instance>,
    pub credentials: BTreeMap<String, Arc<Credential>>,
    pub formatters: Vec<FormatterConfig>,
    pub webhooks: Vec<Webhook>,
    pub webhook_log: WebhookLogSettings,
    pub subscriptions: Vec<Subscription>,
    /// Every pair of instance and format that a route names; [`LaneIndex`] counts in it.
    pub lanes: Vec<Lane>,
    pub routes: Vec<Route>,
    pub default_route: Vec<LaneIndex>,
    /// Global filters without state; global rate limits are among each instance's filters.
    pub filters: Vec<Filter>,
    pub dead_letters: DeadLetterSettings,
    /// When dead letters are handed back by themselves; `None` where they are not.
    pub letter_retry: Option<LetterRetry>,
    pub journal: JournalSettings,
    /// Removal of repeated events; `None` where it is switched off.
    pub repeats: Option<RepeatSettings>,
    /// Rules by which hash chains of sources are verified.
    pub integrity: Vec<IntegrityRule>,
    /// How long answers are kept for their `Idempotency-Key`; `None` where they are not.
    pub idempotency_window: Option<Duration>,
    pub encryption: EncryptionSettings,
    pub store: StoreSettings,
    pub delivery: DeliverySettings,
    /// Requests and connections of all connectors at the same time; derived from the limit of open
    /// files where absent.
    pub max_egress: Option<usize>,
    pub drain: Duration,
    /// Whether the host's own events go into the journal.
    pub own_events: bool,
    /// Receipts; `None` where they are switched off.
    pub audit: Option<AuditSettings>,
    pub log: LogSettings,
    pub upload: UploadSettings,
    pub logs: LogRetention,
    /// `None` where events are not indexed.
    pub event_index: Option<IndexSettings>,
    /// Not wrong, but perhaps not meant: instances that no route uses, no route at all.
    pub warnings: Vec<Fault>,
    /// Whose everything is.
    pub owners: Owners,
    /// Whether stored entries have effect.
    pub stored: bool,
    /// Which of them have, and which stand behind the file's.
    pub merged: Merged,
    /// Credentials, and `encryption`, that run a program when they are used.
    pub commands: Vec<String>,
    fingerprints: Vec<(String, Fingerprint)>,
    policies: Vec<(String, Fingerprint)>,
    fixed: Vec<(&'static str, Fingerprint)>,
    shown: serde_json::Value,
    source: Arc<Source>,
    file: Arc<ConfigFile>,
}

/// The file as it was read, to be put together with other entries.
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl std::fmt::Debug for ConfigFile {
    // Never the text: secrets may stand in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The process's environment, for `${…}`.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Config {
    /// Reads a file; variables come from `env`.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        match read(path) {
            Ok(text) => Self::parse(path, &text, env),
            Err(message) => {
                let hint = Some("name the file with --config".to_owned());
                Err(vec![Source::veiled(path, "").fault(FaultKind::Unreadable, Span::default(), "", message, hint)])
            }
        }
    }

    /// The same for text; `path` is only named in faults.
    pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        Self::put_together(Arc::new(ConfigFile { path: path.to_owned(), text: text.to_owned() }), &[], env)
    }

    /// This file, read again, with these entries.
    pub fn with_entries(&self, entries: &[Entry], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        Self::put_together(Arc::clone(&self.file), entries, env)
    }

    fn put_together(file: Arc<ConfigFile>, entries: &[Entry], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        let (path, text) = (file.path.as_path(), file.text.as_str());
        let mut faults = Faults::default();
        let Some(mut tree) = tree::parse(text, &mut faults) else { return Err(faults.finish(&Source::veiled(path, text))) };
        interpolate::interpolate(&mut tree, env, &mut faults);
        // Behind the variables: none is filled into what came over the API.
        let merged = stored::merge(&mut tree, entries, &mut faults);
        let root = reader::Reader::new(&mut faults).section(&tree, &keys::ROOT);
        let config = root.as_ref().filter(|_| !merged.refused).map(|root| assemble::assemble(root, &mut faults));
        // What has to be masked is known only now.
        let source = Source::masked(path, text, &faults.veil);
        match config {
            Some(mut config) if faults.is_empty() => {
                config.source = Arc::new(source);
                config.merged = merged;
                config.file = Arc::clone(&file);
                config.warnings = config.find_warnings();
                Ok(config)
            }
            _ => {
                let mut faults = faults.finish(&source);
                faults.iter_mut().for_each(|fault| fault.key = merged.key(std::mem::take(&mut fault.key)));
                Err(faults)
            }
        }
    }

    /// Any YAML as JSON, with variables filled in: parts of a configuration on their way to a host.
    pub fn document(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<serde_json::Value, Vec<Fault>> {
        let mut faults = Faults::default();
        let source = Source::veiled(path, text);
        let Some(mut tree) = tree::parse(text, &mut faults) else { return Err(faults.finish(&source)) };
        interpolate::interpolate(&mut tree, env, &mut faults);
        let raw = raw::config(&tree).map_err(|(span, message)| faults.push(FaultKind::WrongType, span, "", message, None));
        match raw {
            Ok(raw) if faults.is_empty() => Ok(raw.json),
            _ => Err(faults.finish(&source)),
        }
    }

    fn find_warnings(&self) -> Vec<Fault> {
        let answers = |at: usize| self.inbound.iter().any(|inbound| inbound.instance.as_ref() == Some(&self.instances[at].name));
        let unused = |at: &usize| self.lanes.iter().all(|lane| lane.instance != *at) && !answers(*at) && self.instances[*at].pull.is_none();
        let mut warnings: Vec<Fault> = (0..self.instances.len())
            .filter(unused)
            .map(|at| {
                let instance = &self.instances[at];
                let hint = Some("name it in `routes` or `default_route`".to_owned());
                self.fault(FaultKind::Conflict, instance.span, format!("instances.{}", instance.name), "no route leads to this instance", hint)
            })
            .collect();
        for inbound in self.inbound.iter().filter(|inbound| matches!(inbound.verifier.scheme, bulkhead_ingest::Scheme::None)) {
            let hint = Some("where the sender signs, say how in `verify`".to_owned());
            let key = format!("inbound.{}.verify", inbound.name);
            warnings.push(self.fault(FaultKind::Conflict, Span::default(), key, "nothing is verified: whoever knows the address may send", hint));
        }
        if self.lanes.is_empty() {
            let hint = Some("events are accepted and kept, but delivered nowhere".to_owned());
            warnings.push(self.fault(FaultKind::Conflict, Span::default(), "routes", "there is no route and no default route", hint));
        }
        warnings
    }

    /// A fault that was found later, at a place of this file: a component's refusal, for example.
    pub fn fault(&self, kind: FaultKind, span: Span, key: impl Into<String>, message: impl Into<String>, hint: Option<String>) -> Fault {
        self.source.fault(kind, span, self.merged.key(key.into()), message, hint)
    }

    /// Digest of what an instance runs on, secrets included: equal where a reload need not touch it.
    pub fn fingerprint(&self, instance: &str) -> Option<Fingerprint> {
        self.fingerprints.iter().find(|(name, _)| name == instance).map(|(_, digest)| *digest)
    }

    /// Digest of what an instance may reach and of its limits, secrets included.
    pub fn policy(&self, instance: &str) -> Option<Fingerprint> {
        self.policies.iter().find(|(name, _)| name == instance).map(|(_, digest)| *digest)
    }

    /// Digest of each part that only a restart changes, secrets included.
    pub fn fixed(&self) -> &[(&'static str, Fingerprint)] {
        &self.fixed
    }

    /// What is pulled from whom.
    pub fn pulls(&self) -> Vec<PullSettings> {
        let pulled = self.instances.iter().filter_map(|instance| Some((instance, instance.pull.clone()?)));
        let settings = |(instance, schedule): (&Instance, PullSchedule)| PullSettings {
            instance: instance.name.as_str().into(),
            // Whatever its version.
            connector: instance.connector.split('@').next().unwrap_or_default().into(),
            schedule,
            active: instance.pull_active,
            tenant: self.data_tenant(instance.tenant.as_ref()),
        };
        pulled.map(settings).collect()
    }

    /// Under whose name an instance keeps what it keeps, and whose the records are that it brings: the tenant that it
    /// names, or that of the HTTP intake, as it was before instances had tenants.
    pub fn data_tenant(&self, owner: Option<&Tenant>) -> Tenant {
        owner.unwrap_or(&self.http.rules.tenant).clone()
    }

    /// Whether there is an entry of this name, stored or not.
    pub fn has(&self, section: Section, name: &str) -> bool {
        match section {
            Section::Instances => self.instances.iter().any(|instance| instance.name == name),
            Section::Formatters => self.formatters.iter().any(|formatter| formatter.name == name),
            Section::Routes => self.routes.iter().any(|route| &*route.id == name),
            Section::Credentials | Section::Webhooks | Section::Subscriptions => self.shown[section.name()].get(name).is_some(),
        }
    }

    /// What `format:` means: an entry of `formatters`, or a formatter of that name as it is.
    pub fn formatter(&self, format: &str) -> FormatterConfig {
        self.formatter_among(format, |_| true)
    }

    /// The same for a lane of an instance of this owner: entries of tenants are there for their own lanes alone.
    pub fn formatter_for(&self, format: &str, owner: Option<&Tenant>) -> FormatterConfig {
        self.formatter_among(format, |formatter| formatter.tenant.is_none() || formatter.tenant.as_ref() == owner)
    }

    fn formatter_among(&self, format: &str, there: impl Fn(&FormatterConfig) -> bool) -> FormatterConfig {
        let configured = self.formatters.iter().find(|formatter| formatter.name == format && there(formatter));
        configured.cloned().unwrap_or_else(|| FormatterConfig {
            name: format.to_owned(),
            tenant: None,
            span: self.lanes.iter().find(|lane| &*lane.id.format == format).map_or_else(Span::default, |lane| lane.span),
            formatter: format.to_owned(),
            config: RawConfig { json: serde_json::json!({}), ..RawConfig::default() },
            limits: Limits::default(),
        })
    }

    /// What is in force, with defaults, without secrets; text from variables is shown as `${…}`.
    pub fn effective(&self) -> &serde_json::Value {
        &self.shown
    }
}

/// A text file within the bound of [`tree::parse`].
fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
        _ => format!("cannot read the file: {error}"),
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(tree::MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
