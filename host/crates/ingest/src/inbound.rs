//! Inbound webhooks: who may send to which address, whether a request is theirs, and whether it came before.
//!
//! Promises: a key that is not known looks like any other path; nothing of a body is parsed before its
//! signature is checked, with all secrets and in constant time; a request that was accepted once is not
//! taken a second time, also after the process was killed. Refusals are counted by reason; the sender
//! hears none. The states are pure ([`verify`], [`seen`](crate::seen)); [`memory`] keeps a window on disk.

mod endpoint;
mod memory;
mod origin;
mod slack;
mod stats;
mod verify;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bulkhead_core::{Clock, Receiver, Tenant};
use bulkhead_observe::Metrics;
use http::HeaderName;

use crate::seen::Key;

pub(crate) use endpoint::{Endpoint, Refusal};
pub(crate) use memory::{Known, Moment};
pub(crate) use origin::Origin;
pub(crate) use slack::Envelope;
pub use stats::{InboundStatus, RefusedStatus};
pub use verify::{Digits, Hash, Refused, Scheme, SignedParts, Verified, Verifier, VerifyKey};

/// One entry of `inbound`, checked.
#[derive(Debug, Clone)]
pub struct InboundSettings {
    pub name: String,
    /// Last parts of its address; several during a rotation.
    pub keys: Vec<AddressKey>,
    pub verifier: Verifier,
    /// Source and type of events that name none.
    pub source: String,
    pub event_type: String,
    /// Headers that become labels of the events, and that a connector sees.
    pub headers: Vec<HeaderName>,
    /// Whose connector answers; without one the body is taken in as it is.
    pub instance: Option<String>,
    /// Whose events come in here.
    pub tenant: Tenant,
    /// Largest body; the listener's where absent.
    pub max_body: Option<usize>,
    pub rate: Option<bulkhead_core::RateSettings>,
    /// How long an accepted request is remembered, and how many of them.
    pub remember: Duration,
    pub remembered: u32,
}

/// The last part of an address. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressKey(Box<str>);

impl AddressKey {
    /// 8 to 128 letters, digits, `-`, `_`, `.` and `~`: what a path carries without escapes (RFC 3986 §2.3).
    pub fn new(text: &str) -> Option<Self> {
        let fits = (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        fits.then(|| Self(text.into()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

/// Why the requests that came before cannot be known.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {}, where accepted requests of `inbound.{name}` are remembered", path.display())]
pub struct InboundError {
    pub name: String,
    pub path: PathBuf,
    #[source]
    pub source: std::io::Error,
}

/// All inbound webhooks of a host. Cheap to clone; a reload replaces what is behind it.
#[derive(Clone)]
pub struct Inbound(Arc<Inner>);

struct Inner {
    /// Where the windows are kept.
    dir: PathBuf,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    /// Before each key when it is hashed: nobody outside can tell how a lookup will go.
    salt: [u8; 32],
    table: RwLock<Arc<Table>>,
    receiver: OnceLock<Arc<dyn Receiver>>,
}

#[derive(Default)]
struct Table {
    endpoints: Vec<Arc<Endpoint>>,
    /// By the salted hash of a key: endpoint and place among its keys.
    keys: HashMap<Key, (usize, usize)>,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

/// What a change of the configuration would put in force.
pub struct Prepared(Arc<Table>);

impl Inbound {
    /// None at first; see [`Self::prepare`].
    pub fn new(dir: PathBuf, metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        let mut salt = [0; 32];
        // Without randomness a lookup's time could tell something about keys, and the process would not get this far.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut salt);
        Self(Arc::new(Inner { dir, metrics, clock, salt, table: RwLock::default(), receiver: OnceLock::new() }))
    }

    /// Opens what `all` need. What was there under the same name keeps its window and its counts. Blocks on the disk.
    pub fn prepare(&self, all: &[InboundSettings]) -> Result<Prepared, InboundError> {
        let now = self.now();
        let before = self.table();
        let mut table = Table::default();
        for (at, settings) in all.iter().enumerate() {
            let kept = before.endpoints.iter().find(|endpoint| endpoint.settings.name == settings.name);
            let path = self.0.dir.join(&*settings.name);
            let opened = Endpoint::open(settings.clone(), kept.map(|kept| &**kept), &path, now, &self.0.metrics);
            let endpoint = opened.map_err(|source| InboundError { name: settings.name.clone(), path, source })?;
            table.endpoints.push(Arc::new(endpoint));
            for (place, key) in settings.keys.iter().enumerate() {
                table.keys.insert(self.hash(&key.0), (at, place));
            }
        }
        Ok(Prepared(Arc::new(table)))
    }

    /// Puts it in force.
    pub fn replace(&self, prepared: Prepared) {
        *self.0.table.write().unwrap_or_else(PoisonError::into_inner) = prepared.0;
    }

    /// Who answers requests that are for connectors; said once.
    pub fn answered_by(&self, receiver: Arc<dyn Receiver>) {
        let _ = self.0.receiver.set(receiver);
    }

    pub(crate) fn receiver(&self) -> Option<&Arc<dyn Receiver>> {
        self.0.receiver.get()
    }

    pub fn status(&self) -> Vec<InboundStatus> {
        self.table().endpoints.iter().map(|endpoint| endpoint.status()).collect()
    }

    /// The endpoint of a key, and the key's place among its keys. Takes the same time whatever is known.
    pub(crate) fn find(&self, key: &str) -> Option<(Arc<Endpoint>, usize)> {
        let table = self.table();
        let (at, place) = *table.keys.get(&self.hash(key))?;
        Some((Arc::clone(table.endpoints.get(at)?), place))
    }

    fn hash(&self, key: &str) -> Key {
        Key::of(&[&self.0.salt, key.as_bytes()])
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.0.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Moment {
        Moment { unix: self.0.clock.unix_nanos() / 1_000_000_000, monotonic: self.0.clock.monotonic() }
    }
}
