//! What delivery runs on: checked values, made from the configuration by the host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{ConnectorSource, FormatterSource, RateSettings, RecordFormat, Tenant};
use bulkhead_journal::LaneStart;
use bulkhead_route::FilterSettings;
use bulkhead_seal::Fields;

use crate::batch::BatchSettings;
use crate::breaker::BreakerSettings;
use crate::concurrency::ConcurrencySettings;
use crate::ordering::Ordering;
use crate::retry::RetryPolicy;

/// The `delivery` part of the configuration: bounds over all instances.
#[derive(Debug, Clone, Copy)]
pub struct DeliverySettings {
    /// Batches under way at the same time.
    pub max_concurrent: u32,
    /// How long a receiver may take to confirm a pending delivery before it is sent again.
    pub pending_expiry: Duration,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { max_concurrent: 100, pending_expiry: Duration::from_secs(600) }
    }
}

/// What happens to a lane's oldest events when its backlog is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBacklogFull {
    /// They become dead letters, so that they pin no journal segments.
    #[default]
    DeadLetter,
    /// They wait; once the journal is full, producers hear of it.
    Block,
}

/// The `backlog` part of an instance; each of its lanes has this much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BacklogSettings {
    /// Bytes of events that the lane has not settled, reckoned with the journal's average event.
    pub max_bytes: Option<u64>,
    pub max_age: Option<Duration>,
    pub on_full: OnBacklogFull,
}

/// One instance of a connector and its lanes.
#[derive(Clone)]
pub struct InstanceSettings {
    pub name: Arc<str>,
    pub tenant: Tenant,
    /// The tenant that the instance was made for, noted in dead letters; empty: the host's.
    pub owner: Arc<str>,
    /// Digest of the connector, noted in dead letters.
    pub connector: Arc<str>,
    pub source: Arc<dyn ConnectorSource>,
    /// The component is new here, and the one before it stands ready: one event that breaks it is enough for
    /// the quarantine, as long as it has served none.
    pub trial: bool,
    /// It starts switched off: what is for it waits until it is resumed.
    pub inactive: bool,
    /// Batches under way at the same time, over all its lanes.
    pub concurrency: ConcurrencySettings,
    pub ordering: Ordering,
    pub batch: BatchSettings,
    pub backlog: BacklogSettings,
    pub retry: RetryPolicy,
    pub breaker: BreakerSettings,
    pub rate_limit: Option<RateSettings>,
    /// Global rate limits first, then the instance's own filters.
    pub filters: Vec<FilterSettings>,
    /// What is sealed or redacted before it is formatted.
    pub fields: Option<Arc<Fields>>,
    /// Calls after which a guest is replaced.
    pub max_calls: u64,
    pub lanes: Vec<LaneSettings>,
    /// What guests that answer requests are opened with: the format of the first lane, where there is one.
    pub record_format: RecordFormat,
}

impl InstanceSettings {
    /// With the documented defaults and no lanes.
    pub fn new(name: &str, source: Arc<dyn ConnectorSource>) -> Self {
        Self {
            name: name.into(),
            tenant: Tenant::default(),
            owner: "".into(),
            connector: "".into(),
            source,
            trial: false,
            inactive: false,
            concurrency: ConcurrencySettings::default(),
            ordering: Ordering::default(),
            batch: BatchSettings::default(),
            backlog: BacklogSettings::default(),
            retry: RetryPolicy::default(),
            breaker: BreakerSettings::default(),
            rate_limit: None,
            filters: Vec::new(),
            fields: None,
            max_calls: 100_000,
            lanes: Vec::new(),
            record_format: RecordFormat { name: "json".into(), content_type: "application/json".into() },
        }
    }
}

impl fmt::Debug for InstanceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceSettings").field("name", &self.name).field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// One lane of an instance.
#[derive(Clone)]
pub struct LaneSettings {
    pub format: Arc<str>,
    pub formatter: Arc<dyn FormatterSource>,
    /// Where the lane begins if the journal does not know it yet.
    pub start: LaneStart,
}

impl fmt::Debug for LaneSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneSettings").field("format", &self.format).field("start", &self.start).finish_non_exhaustive()
    }
}
