//! The action `sync` of a subscription: events set off a run of a pull. It is a lane like any other, so that an event
//! that came before a kill begins its run after it; what it is handed to is the host itself, no component. What it asks
//! for is on disk before the event counts as delivered, and stays there until a run that began after it is done: one
//! that is cut off, or fails, is begun again, on whichever host has the lease of the instance.
//!
//! Bounded: one run is asked for in `min_interval`, and one waits; events between set off one together.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bulkhead_core::{
    BatchLimits, BoxFuture, Clock, Connector, ConnectorSource, DeliverError, Delivery, EventBatch, Failure, GuestFault, OpenError, Outcome, Projection,
    RecordBatch, RecordFormat,
};
use bulkhead_ingest::{Pulls, SyncRefused};

/// Between two looks whether the host has pulls by now.
const LOOK: Duration = Duration::from_secs(1);

/// Where runs begin, once the host has pulls.
pub type SyncDoor = Arc<OnceLock<Arc<Pulls>>>;

pub struct SyncSource(Arc<Shared>);

struct Shared {
    target: String,
    by: String,
    min_interval: Duration,
    door: SyncDoor,
    clock: Arc<dyn Clock>,
    /// When the last run was asked for, on the monotonic clock.
    last: Mutex<Option<Duration>>,
    projection: Arc<Projection>,
}

impl SyncSource {
    pub fn new(subscription: &str, target: &str, min_interval: Duration, door: SyncDoor, clock: Arc<dyn Clock>) -> Self {
        let by = format!("subscription:{subscription}");
        Self(Arc::new(Shared { target: target.to_owned(), by, min_interval, door, clock, last: Mutex::default(), projection: Arc::default() }))
    }
}

impl ConnectorSource for SyncSource {
    fn open<'a>(&'a self, _format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        Box::pin(async { Ok(Box::new(SyncConnector(Arc::clone(&self.0))) as Box<dyn Connector>) })
    }
}

struct SyncConnector(Arc<Shared>);

impl Shared {
    /// One answer for all events that wait.
    async fn begin(&self) -> Result<Outcome, DeliverError> {
        let now = self.clock.monotonic();
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = last.map_or(Duration::ZERO, |last| self.min_interval.saturating_sub(now.saturating_sub(last)));
        let later = |poll_after| Ok(Outcome::Pending { token: "a run is to begin".to_owned(), poll_after });
        if !rest.is_zero() {
            return later(rest);
        }
        // A moment after the start lanes run, and pulls do not yet.
        let Some(pulls) = self.door.get() else { return later(LOOK) };
        match pulls.ask(&self.target, &self.by).await {
            Ok(run) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                Ok(Outcome::Accepted { receipt: Some(run.to_string()) })
            }
            Err(refused @ SyncRefused::Unknown) => Err(Failure::Configuration(refused.words(&self.target)).into()),
            Err(refused) => Err(Failure::Unavailable { reason: refused.words(&self.target), after: None }.into()),
        }
    }
}

impl Connector for SyncConnector {
    fn projection(&self) -> &Arc<Projection> {
        &self.0.projection
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    fn deliver<'a>(&'a mut self, _records: &'a RecordBatch, _events: &'a EventBatch, _attempt: u32) -> BoxFuture<'a, Result<Delivery, DeliverError>> {
        Box::pin(async { self.0.begin().await.map(Delivery::All) })
    }

    fn settle<'a>(&'a mut self, tokens: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        Box::pin(async { self.0.begin().await.map(|outcome| vec![outcome; tokens.len()]) })
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        Box::pin(async { Ok(()) })
    }
}
