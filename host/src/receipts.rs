//! The receipts of a running host: one chain for all instances, and the digests that they carry.

use std::sync::Arc;

use bulkhead_audit::{AuditSettings, Blind, Receipts};
use bulkhead_observe::Metrics;
use bulkhead_sandbox::Receipting;

use crate::config::Config;

/// Why receipts cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    #[error(transparent)]
    Open(#[from] bulkhead_audit::OpenError),
    #[error("the key of the receipts' digests cannot be read or made (audit)")]
    Key(#[source] std::io::Error),
}

pub struct HostReceipts {
    receipts: Arc<Receipts>,
    blind: Blind,
}

impl HostReceipts {
    pub fn open(settings: &AuditSettings, metrics: &Metrics) -> Result<Arc<Self>, ReceiptsError> {
        let blind = Blind::open(&settings.dir).map_err(ReceiptsError::Key)?;
        Ok(Arc::new(Self { receipts: Arc::new(Receipts::open(settings, metrics)?), blind }))
    }

    /// What an instance is given.
    pub fn of(&self, config: &Config, instance: &str) -> Receipting {
        Receipting {
            sink: Arc::clone(&self.receipts) as _,
            policy: self.blind.digest(&config.policy(instance).unwrap_or_default()).into(),
            configuration: self.blind.digest(&config.fingerprint(instance).unwrap_or_default()).into(),
        }
    }

    /// Puts on record what was done to events.
    async fn act(&self, action: &str, about: serde_json::Value) {
        if let serde_json::Value::Object(about) = about {
            self.receipts.act(action, about).await;
        }
    }

    /// Writes what waits and ends the chain. Blocks for as long as a sync takes.
    pub fn close(&self) {
        self.receipts.close();
    }
}

/// Where it is put on record that events were replayed, changed or deleted: the chain of receipts, where
/// one is kept, and the log.
#[derive(Clone)]
pub struct Trail(Option<Arc<HostReceipts>>);

impl Trail {
    pub fn new(receipts: Option<&Arc<HostReceipts>>) -> Self {
        Self(receipts.cloned())
    }

    /// Waits for a place in the chain. Cancel safe.
    pub async fn act(&self, action: &str, about: serde_json::Value) {
        tracing::info!(action, %about, "on record");
        if let Some(receipts) = &self.0 {
            receipts.act(action, about).await;
        }
    }

    /// The same for those that must not wait.
    pub fn act_soon(&self, action: &'static str, about: serde_json::Value) {
        let trail = self.clone();
        tokio::spawn(async move { trail.act(action, about).await });
    }
}
