//! The receipts of a running host: one chain for all instances, and the digests that they carry.

use std::sync::Arc;

use bulkhead_audit::{AuditSettings, Blind, Receipts, TrailKind};
use bulkhead_core::receipt::ReceiptSink;
use bulkhead_observe::Metrics;
use bulkhead_sandbox::Receipting;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::observed::periods::Periods;

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

    /// What an instance is given. Its calls are counted on the way, where somebody counts.
    pub fn of(&self, config: &Config, instance: &str, periods: Option<&Periods>) -> Receipting {
        let sink: Arc<dyn ReceiptSink> = Arc::clone(&self.receipts) as _;
        Receipting {
            sink: periods.map_or(Arc::clone(&sink), |periods| periods.before(Some(sink))),
            policy: self.blind.digest(&config.policy(instance).unwrap_or_default()).into(),
            configuration: self.blind.digest(&config.fingerprint(instance).unwrap_or_default()).into(),
            excerpt: 0,
        }
    }

    /// Puts an entry of the trail on record. Waits for a place. Cancel safe.
    pub async fn trail(&self, kind: TrailKind, action: &str, about: Map<String, Value>) {
        self.receipts.trail(kind, action, about).await;
    }

    /// Writes what waits and ends the chain. Blocks for as long as a sync takes.
    pub fn close(&self) {
        self.receipts.close();
    }
}
