//! Records → outcomes: lanes over the journal, through a formatter and a connector, to the receiver.
//!
//! Promises: an event leaves a lane only as accepted by the receiver, held back by a filter, or as a dead
//! letter on disk; only the events that need it are tried again; a slow or dead receiver stops no other
//! lane; memory is bounded whatever the backlog; after a crash at most what was under way comes twice.
//! Refuses: to parse an event, to name a protocol, to drop anything.
//!
//! The decisions are pure state machines with time as an argument ([`retry`](RetryPolicy), [`Breaker`],
//! hold, batch, rate, concurrency, schedule, ordering, worklist, judge); `lane` and `worker` are their thin drivers.

mod batch;
mod breaker;
mod bury;
mod concurrency;
mod context;
mod delivery;
mod feed;
mod guest;
mod herald;
mod hold;
mod instance;
mod job;
mod judge;
mod jumps;
mod lane;
mod letters;
mod notice;
mod onlooker;
mod ordering;
mod pending;
mod rate;
mod reception;
mod retry;
mod routing;
mod schedule;
mod settings;
mod slots;
mod status;
mod upkeep;
mod worker;
mod worklist;

#[cfg(test)]
mod tests;

pub use batch::BatchSettings;
pub use breaker::{Breaker, BreakerSettings, BreakerState};
pub use bulkhead_core::RateSettings;
pub use concurrency::ConcurrencySettings;
pub use context::DeliveryParts;
pub use delivery::{Delivery, DrainReport, StartError};
pub use hold::HoldCause;
pub use letters::DeadLetterSink;
pub use notice::{Notice, NoticeSink};
pub use onlooker::{Became, Nobody, Onlooker, Seen};
pub use ordering::Ordering;
pub use retry::{Jitter, RetryPolicy, Strategy};
pub use routing::{Chooser, Look, RoutingTable};
pub use settings::{BacklogSettings, DeliverySettings, InstanceSettings, LaneSettings, OnBacklogFull};
pub use status::{LaneStatus, LastError};
