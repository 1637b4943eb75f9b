//! Where rooms meet a guest: `format` calls [`Formatter`], `deliver` calls [`Connector`], `sandbox`
//! implements both. Futures are boxed: one allocation per batch, never per event.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Delivery, EventBatch, Failure, Formatted, Inbound, Outcome, Page, RecordBatch, RecordFormat, Reply};
use crate::projection::Projection;
use crate::receipt::About;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A guest broke a rule or a limit. The instance is gone; a fresh one is opened for the next call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestFault {
    /// Unreachable code, a panic, memory out of bounds, stack overflow.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// A limit was reached: which, how much, the key to change.
    #[error("{limit} of {value} reached; {}", advice(key, *ceiling))]
    Limit { limit: &'static str, value: String, key: &'static str, ceiling: bool },
    /// What it returned does not fit the contract (too few outcomes, offsets out of range).
    #[error("the guest broke the contract: {0}")]
    Contract(String),
}

/// What to do about a limit that was reached: raise its key, unless it is at its ceiling.
pub fn advice(key: &str, ceiling: bool) -> String {
    if ceiling { format!("`{key}` is at its ceiling") } else { format!("raise `{key}` to allow more") }
}

/// Why a guest cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// `configure` refused; the text is the guest's.
    #[error("the configuration was refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Fault(#[from] GuestFault),
    /// The component must not run any more; says who forbade it, and why.
    #[error("{0}")]
    Revoked(String),
    /// The component does not fit: wrong world, an import that was not granted, limits at load.
    #[error("{0}")]
    Unfit(String),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum DeliverError {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Fault(#[from] GuestFault),
}

/// Batch limits that a connector asked for when it was configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchLimits {
    pub max_events: Option<u32>,
    pub max_bytes: Option<u32>,
}

/// A configured formatter. After a fault it is dead: drop it and open another.
pub trait Formatter: Send {
    /// Fields it wants from each event.
    fn projection(&self) -> &Arc<Projection>;
    fn record_format(&self) -> &RecordFormat;
    /// False once its component was revoked: it must not be called again.
    fn may_run(&self) -> bool {
        true
    }
    /// Formats a batch; the result is checked: one record per event. Not cancel safe: dropping the
    /// future kills the instance.
    fn format<'a>(&'a mut self, events: &'a EventBatch) -> BoxFuture<'a, Result<Formatted, GuestFault>>;
}

/// A configured connector. After a fault it is dead: drop it and open another.
pub trait Connector: Send {
    /// Fields it wants from each event beside the formatted record.
    fn projection(&self) -> &Arc<Projection>;
    fn limits(&self) -> BatchLimits;
    /// False once its component was revoked: it must not be called again.
    fn may_run(&self) -> bool {
        true
    }
    /// Says what the next call is about, for its receipt. The guest hears nothing of it.
    fn about(&mut self, _about: About) {}
    /// Delivers; the result is checked: one outcome per event. Not cancel safe: dropping the future
    /// kills the instance, and the receiver may have seen the batch.
    fn deliver<'a>(&'a mut self, records: &'a RecordBatch, events: &'a EventBatch, attempt: u32) -> BoxFuture<'a, Result<Delivery, DeliverError>>;
    /// Asks again for pending deliveries; one outcome per token.
    fn settle<'a>(&'a mut self, tokens: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>>;
    /// Whether the receiver can be reached and lets us in; words for people.
    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>>;
    /// Answers a request of an inbound webhook; the reply is checked, but for the events in it.
    fn receive<'a>(&'a mut self, _request: &'a Inbound) -> BoxFuture<'a, Result<Reply, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }
    /// Brings new records from behind a cursor, empty at first; the page is checked, but for the events in it.
    fn pull<'a>(&'a mut self, _cursor: &'a [u8]) -> BoxFuture<'a, Result<Page, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }
    /// Answers a question; parameters and answer are JSON, and the answer is checked to be that.
    fn query<'a>(&'a mut self, _operation: &'a str, _parameters: &'a str) -> BoxFuture<'a, Result<String, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }
    /// Heartbeats and idle connections, between deliveries; how long until it wants to be called again,
    /// if at all.
    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>>;
    /// The last call before it goes, bounded by a short deadline of its own. A fault changes nothing.
    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>>;
}

/// Why what is asked of an instance beside its lanes has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    #[error("the instance does not run right now")]
    Gone,
    /// By hand, or because its guests break.
    #[error("the instance is held: {0}")]
    Held(&'static str),
    #[error("all guests of the instance are at work; raise `concurrency` of the instance for more")]
    Busy,
    #[error("{0}")]
    Deadline(String),
    #[error(transparent)]
    Open(OpenError),
    #[error(transparent)]
    Failed(Failure),
    #[error(transparent)]
    Fault(GuestFault),
}

/// Hands requests of inbound webhooks to the instances that answer them.
pub trait Receiver: Send + Sync {
    /// Not cancel safe: dropping the future kills the guest at work.
    fn receive<'a>(&'a self, instance: &'a str, request: &'a Inbound) -> BoxFuture<'a, Result<Reply, AskError>>;
}

/// Has instances bring what is new at the systems they stand for.
pub trait Puller: Send + Sync {
    /// Not cancel safe: dropping the future kills the guest at work.
    fn pull<'a>(&'a self, instance: &'a str, cursor: &'a [u8]) -> BoxFuture<'a, Result<Page, AskError>>;
}

/// Opens fresh formatters of one configuration; cheap enough to call after every fault.
pub trait FormatterSource: Send + Sync {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>>;
}

/// Opens fresh connectors of one instance, for one record format.
pub trait ConnectorSource: Send + Sync {
    fn open<'a>(&'a self, format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>>;
}
