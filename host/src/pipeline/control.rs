//! What changes a running host. Reloads, uploads and what becomes of them go one after the other.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::Clock;
use bulkhead_deliver::{Delivery, RoutingTable};
use bulkhead_ingest::{Inbound, Pulls, SyslogSettings};
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;
use bulkhead_registry::Registry;
use bulkhead_sandbox::{Sandbox, StateStore};
use bulkhead_seal::Keyring;
use bulkhead_tls::ServerTls;
use tokio::sync::mpsc;

use super::Current;
use super::connect::PendingFlows;
use super::stored::Stored;
use super::uploads::Trials;
use crate::captures::CaptureDesk;
use crate::components::Catalogue;
use crate::config::{Fingerprint, UploadSettings};
use crate::guests::Parts;
use crate::observed::Guise;
use crate::observed::periods::Periods;
use crate::own_events::OwnEvents;
use crate::ownership::Ownership;
use crate::receipts::HostReceipts;
use crate::sync_action::SyncDoor;
use crate::trail::Trail;
use crate::unverified::Unverified;
use crate::webhooks::Heard;

/// Parts of the configuration that hold from start to end.
#[derive(Debug, Clone)]
pub struct Settings {
    pub connectors_dir: PathBuf,
    pub upload: UploadSettings,
    /// The listeners as they were started; their TLS is renewed at reloads.
    pub syslog: Vec<SyslogSettings>,
    pub api_tls: Option<ServerTls>,
}

/// Handles of the rooms that a change touches, and what is in force.
pub struct Control {
    pub settings: Settings,
    pub(super) delivery: Arc<Delivery>,
    pub(super) journal: Journal,
    pub(super) routing: Arc<RoutingTable>,
    pub(super) sandbox: Sandbox,
    pub(super) state: Arc<dyn StateStore>,
    pub stored: Stored,
    /// Since when whose instances are.
    pub ownership: Ownership,
    pub registry: Arc<Registry>,
    /// What is known of components, for lists.
    pub catalogue: Catalogue,
    pub inbound: Inbound,
    pub(super) pulls: Arc<Pulls>,
    pub(super) receipts: Option<Arc<HostReceipts>>,
    pub(super) trail: Trail,
    pub(super) periods: Periods,
    /// How events are shown to people.
    pub(super) guise: Guise,
    /// The keys of the start: others take a restart.
    pub(super) keyring: Option<Keyring>,
    pub(super) own_events: OwnEvents,
    /// Where deliveries to webhooks are noted.
    pub(super) deliveries: mpsc::Sender<Heard>,
    pub(super) sync: (SyncDoor, Arc<dyn Clock>),
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    /// Held for as long as a change takes, draining included.
    pub(super) change: tokio::sync::Mutex<()>,
    /// Moves at the end of a change only.
    pub(super) current: RwLock<Arc<Current>>,
    /// The parts of the start that only a restart changes.
    pub(super) fixed: Vec<(&'static str, Fingerprint)>,
    pub(super) trials: Trials,
    pub(super) flows: PendingFlows,
    pub(super) unverified: Unverified,
    /// Deliveries that are kept on request.
    pub captures: Arc<CaptureDesk>,
}

impl Control {
    /// What instances get from this host.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            receipts: self.receipts.as_deref(),
            periods: Some(&self.periods),
            keyring: self.keyring.as_ref(),
            deliveries: Some(&self.deliveries),
            captures: Some(&self.captures),
            sync: Some(&self.sync),
        }
    }

    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, current: Current) {
        self.unverified.set(current.instances.values());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
    }
}
