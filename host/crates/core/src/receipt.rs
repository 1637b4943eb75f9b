//! What is put on record about one call into a connector: who, under which grants, what left the host
//! and what came back. Numbers, names and classes; no event, no body, no secret.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::guest::BoxFuture;
use crate::ids::{LaneId, Seq, Tenant};

/// Exchanges that one receipt lists; the rest is counted.
pub const MAX_EXCHANGES: usize = 16;

/// On whose behalf a connector is called: the same for every call of an instance.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    pub tenant: Tenant,
    pub instance: Arc<str>,
    /// The component's name, as the configuration writes it.
    pub connector: Arc<str>,
    /// SHA-256 of the component, in hexadecimal digits.
    pub digest: Arc<str>,
    /// Digest of what the instance may reach and of its limits.
    pub policy: Arc<str>,
    /// Digest of the instance's whole configuration.
    pub configuration: Arc<str>,
}

/// What the next call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub lane: LaneId,
    /// Places in the journal of the first and the last event handed over.
    pub first: Seq,
    pub last: Seq,
    /// How many of the events were replayed: dead letters, or read again.
    pub replayed: u32,
}

/// One call into a connector.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub identity: Arc<Identity>,
    /// `deliver`, `settle`, …
    pub call: &'static str,
    /// Unix time in nanoseconds.
    pub begun: u64,
    pub ended: u64,
    pub about: Option<About>,
    /// Events handed over, or deliveries asked about.
    pub events: u32,
    /// Number of the attempt, from 1; 0 for calls that are none.
    pub attempt: u32,
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond [`MAX_EXCHANGES`].
    pub more_exchanges: u64,
    /// Bytes of all exchanges together.
    pub sent: u64,
    pub received: u64,
    pub outcomes: Outcomes,
    pub end: CallEnd,
    pub fuel: u64,
    /// Processor time of the guest, and of the host on its behalf.
    pub guest_cpu: Duration,
    pub host_cpu: Duration,
}

/// Events by what the connector said of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub accepted: u32,
    pub retry: u32,
    pub rejected: u32,
    pub pending: u32,
}

/// How the call ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallEnd {
    /// The guest answered.
    Answered,
    /// The guest answered that the call failed as a whole: the kind of failure.
    Failed(&'static str),
    /// `trap`, `contract`, or the name of the limit that was reached.
    Fault(&'static str),
    /// The host let go of the call before it ended.
    #[default]
    Dropped,
}

/// One request with its answer, or one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// `http`, `tcp`, `udp`.
    pub protocol: &'static str,
    /// The name that the operator gave the destination.
    pub destination: String,
    /// Method and path as sent, the path below the destination's base and without a query; empty for
    /// streams.
    pub method: String,
    pub path: String,
    /// Whom the bytes went to, where that is known.
    pub address: Option<SocketAddr>,
    /// SHA-256 of the certificate that the other side showed.
    pub certificate: Option<[u8; 32]>,
    /// Bytes of the bodies, or of the stream.
    pub sent: u64,
    pub received: u64,
    pub end: ExchangeEnd,
    pub took: Duration,
    /// How the body of the answer begins, without secrets: where the instance's owner asked for it, and for
    /// nobody's receipts.
    pub excerpt: Option<String>,
}

/// What came of an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// Status of the answer.
    Status(u16),
    /// A stream that was opened and ended in order.
    Closed,
    /// Nothing was sent: the rule that refused, in the order of evaluation.
    Refused { rule: u8, class: &'static str },
    /// `connect`, `broken`, `timeout`, `limit`.
    Error(&'static str),
    /// The call ended first.
    #[default]
    CutOff,
}

/// Takes receipts.
pub trait ReceiptSink: Send + Sync {
    /// Waits until there is room for one more receipt. Asked for before the call, so that no call is
    /// made whose receipt would not find a place. Cancel safe.
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>>;
}

/// Room for one receipt; dropped unused it is free again.
pub trait ReceiptRoom: Send + Sync {
    /// Never waits.
    fn put(self: Box<Self>, receipt: Receipt);
}
