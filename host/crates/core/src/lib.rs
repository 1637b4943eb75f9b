//! What the rooms share: the event and its stored form, batches, outcomes, the traits where rooms
//! meet, identifiers, the clock. No IO, no async runtime, nothing foreign.

pub mod attr;
pub mod batch;
pub mod bucket;
pub mod clock;
pub mod event;
pub mod guest;
pub mod ids;
pub mod json;
pub mod projection;
pub mod receipt;
pub mod sync;

pub use attr::{Attr, Kind, Severity, Shape};
pub use batch::{Delivery, EventBatch, Failure, Formatted, Inbound, Outcome, Page, RecordBatch, RecordFormat, Refusal, Reply};
pub use bucket::{RateSettings, TokenBucket};
pub use clock::{Clock, SystemClock};
pub use event::{CorruptEvent, EventBuilder, EventRef, MAX_EVENT_BYTES, Value};
pub use guest::{
    AskError, BatchLimits, BoxFuture, Connector, ConnectorSource, DeliverError, Formatter, FormatterSource, GuestFault, OpenError, Puller, Receiver, advice,
};
pub use ids::{LaneId, Seq, Tenant};
pub use projection::Projection;
pub use sync::{SyncRun, SyncStatus, SyncTrigger};

/// The one thing callers branch on when something failed; texts are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Worth another attempt later, without anyone doing anything.
    Retry,
    /// Input that will never be accepted.
    Permanent,
    /// Somebody must act: configuration, credentials, disk.
    Operator,
    /// The component cannot go on.
    Fatal,
}
