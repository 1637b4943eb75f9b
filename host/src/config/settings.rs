//! What a checked configuration consists of: plain values that rooms run on.

use std::net::SocketAddr;
use std::time::Duration;

use bulkhead_access::Lives;
use bulkhead_core::{LaneId, Tenant};
use bulkhead_deliver::{BacklogSettings, BatchSettings, BreakerSettings, ConcurrencySettings, Ordering, RateSettings, RetryPolicy};
use bulkhead_ingest::PullSchedule;
use bulkhead_journal::LaneStart;
use bulkhead_route::FilterSettings;
use bulkhead_sandbox::{CompileLimits, Destination, FilesGrant, Limits, MachineGrants, Value};
use bulkhead_seal::FieldRules;
use bulkhead_tls::ServerTls;
use secrecy::SecretString;
use url::Url;

use crate::components::Signing;
use crate::directory::LdapSettings;
use crate::oidc::OidcSettings;

use super::checked::RawConfig;
use super::fault::Span;

/// The API listener.
#[derive(Debug, Clone)]
pub struct ApiListener {
    pub addr: SocketAddr,
    /// Static tokens that let in to everything.
    pub tokens: Vec<SecretString>,
    /// Whether API keys let in.
    pub keys: bool,
    /// Whether people with a password of this host do.
    pub users: bool,
    /// How long they stay signed in.
    pub sign_in: Lives,
    /// The provider whose tokens let in, where they do.
    pub oidc: Option<OidcSettings>,
    /// The directory whose people sign in, where they do.
    pub ldap: Option<LdapSettings>,
    /// Origins of web pages that may use the API.
    pub cors: Vec<http::HeaderValue>,
    /// What keys are hashed with, in place of the file in `data_dir`.
    pub pepper: Option<SecretString>,
    pub tls: Option<ServerTls>,
    /// Where browsers reach it.
    pub public_url: Option<Url>,
}

impl ApiListener {
    /// Nothing is needed, on a loopback address only.
    pub fn is_open(&self) -> bool {
        !self.keys && !self.users && self.oidc.is_none() && self.ldap.is_none() && self.tokens.is_empty()
    }

    /// Nobody but users of this host is let in.
    pub fn is_only_users(&self) -> bool {
        self.users && !self.keys && self.oidc.is_none() && self.ldap.is_none() && self.tokens.is_empty()
    }
}

/// Keys, and what is sealed with them. Commands that print keys were not run yet.
#[derive(Debug, Clone, Default)]
pub struct EncryptionSettings {
    pub key: Option<Value>,
    pub older_keys: Vec<Value>,
    pub at_rest: bool,
    /// Of instances that have none of their own.
    pub rules: FieldRules,
    pub rotate_every: Duration,
}

/// How components are taken in and compiled.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    pub compile: CompileLimits,
    pub signing: Signing,
    /// Most bytes of all uploads.
    pub disk: u64,
    /// Longest pause within the bytes of an upload.
    pub idle: Duration,
    /// How long a version is on trial after its activation.
    pub trial: Duration,
}

/// A configured connector.
#[derive(Debug, Clone)]
pub struct Instance {
    pub name: String,
    /// Whose it is; nothing: the operator's.
    pub tenant: Option<Tenant>,
    /// Where it stands in the file, for faults found later.
    pub span: Span,
    /// Name of the component.
    pub connector: String,
    pub connector_span: Span,
    pub config: RawConfig,
    pub destinations: Vec<Destination>,
    pub files: Vec<FilesGrant>,
    /// What it sees of the machine.
    pub machine: MachineGrants,
    pub limits: Limits,
    /// Calls that a guest serves before it is replaced.
    pub max_calls: u64,
    pub concurrency: ConcurrencySettings,
    pub ordering: Ordering,
    /// Where its lanes begin that the journal does not know yet.
    pub from: LaneStart,
    pub batch: BatchSettings,
    /// When the connector is asked for what it brings; nothing where it brings nothing.
    pub pull: Option<PullSchedule>,
    /// Whether that schedule counts; runs by hand and by events begin in any case.
    pub pull_active: bool,
    pub query_cache: Option<QueryCacheSettings>,
    pub backlog: BacklogSettings,
    pub retry: RetryPolicy,
    pub breaker: BreakerSettings,
    pub rate_limit: Option<RateSettings>,
    /// The global rate limits, then its own filters. The other global filters are asked before routing.
    pub filters: Vec<FilterSettings>,
    /// In place of the rules of `encryption`.
    pub rules: Option<FieldRules>,
}

/// Which answers to questions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryCacheSettings {
    pub operations: Vec<String>,
    /// Age up to which an answer is given without asking.
    pub ttl: Duration,
    /// Age up to which it is given where none can be had.
    pub stale: Duration,
}

/// An entry of `formatters`.
#[derive(Debug, Clone)]
pub struct FormatterConfig {
    pub name: String,
    /// Whose it is, for lanes of whose instances alone it is there; nothing: the operator's, for all.
    pub tenant: Option<Tenant>,
    pub span: Span,
    /// Name of the formatter, for example `cef`.
    pub formatter: String,
    pub config: RawConfig,
    pub limits: Limits,
}

/// A lane that some route names; its place in the list is its [`LaneIndex`](bulkhead_route::LaneIndex).
#[derive(Debug, Clone)]
pub struct Lane {
    pub id: LaneId,
    /// Place in `instances`.
    pub instance: usize,
    /// Where a route first names the format, and that key's path.
    pub span: Span,
    pub key: String,
}

/// A managed webhook; its parts are among the instances, credentials and routes.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub name: String,
    pub tenant: Option<Tenant>,
    pub format: String,
    pub enabled: bool,
    pub disable_after: Duration,
    /// When all secrets but the first go, in milliseconds since 1970.
    pub previous_until_ms: Option<i64>,
}

/// What is kept of deliveries to webhooks.
#[derive(Debug, Clone, Copy)]
pub struct WebhookLogSettings {
    pub max_age: Duration,
    /// For each webhook.
    pub max_count: u64,
}

/// What events set off.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub name: String,
    pub enabled: bool,
    pub action: SubscriptionAction,
}

#[derive(Debug, Clone)]
pub enum SubscriptionAction {
    Webhook,
    Sync { instance: String, min_interval: Duration },
    Notification,
}
