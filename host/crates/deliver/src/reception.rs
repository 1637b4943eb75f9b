//! What is asked of an instance beside its lanes: requests of inbound webhooks, pulls, queries, connection tests. It keeps guests
//! for them, so that a slow receiver of events keeps nobody who asks waiting.
//!
//! Bounded: as many guests as `concurrency` says for webhooks, one for pulls, [`QUERIES`] for people and programs who
//! ask, each with one call at a time; who waits longer than [`WAIT`] is sent away. A fault costs the guest, never an event: nothing was accepted yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{AskError, DeliverError, Failure, Inbound, Page, Reply};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::guest::{CallError, ConnectorSlot};
use crate::hold::HoldCause;
use crate::instance::Instance;
use crate::upkeep::Upkeep;

/// Longest wait for a guest.
const WAIT: Duration = Duration::from_secs(5);
/// Queries and connection tests of one instance at the same time.
const QUERIES: u32 = 2;

pub(crate) struct Reception {
    context: Arc<Context>,
    instance: Arc<Instance>,
    /// A place for each guest that answers webhooks; pulls and questions take none of them.
    places: Semaphore,
    pulls: Semaphore,
    queries: Semaphore,
    idle: Mutex<Vec<(ConnectorSlot, Upkeep)>>,
    /// A guest came back.
    changed: Notify,
}

/// A guest at work, and its place.
struct Visit<'a> {
    slot: ConnectorSlot,
    upkeep: Upkeep,
    _place: SemaphorePermit<'a>,
}

impl Reception {
    pub fn new(context: Arc<Context>, instance: Arc<Instance>) -> Arc<Self> {
        let places = Semaphore::new(instance.settings.concurrency.max as usize);
        Arc::new(Self {
            context,
            instance,
            places,
            pulls: Semaphore::new(1),
            queries: Semaphore::new(QUERIES as usize),
            idle: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Not cancel safe, like all of these: a dropped call takes the guest along.
    pub async fn receive(&self, request: &Inbound) -> Result<Reply, AskError> {
        let mut visit = self.begin(&self.places).await?;
        let result = visit.slot.receive(&self.instance.settings.record_format, request).await;
        self.end(visit, result)
    }

    pub async fn pull(&self, cursor: &[u8]) -> Result<Page, AskError> {
        let mut visit = self.begin(&self.pulls).await?;
        let result = visit.slot.pull(&self.instance.settings.record_format, cursor).await;
        self.end(visit, result)
    }

    pub async fn query(&self, operation: &str, parameters: &str) -> Result<String, AskError> {
        let mut visit = self.begin(&self.queries).await?;
        let result = visit.slot.query(&self.instance.settings.record_format, operation, parameters).await;
        self.end(visit, result)
    }

    pub async fn check(&self) -> Result<String, AskError> {
        let mut visit = self.begin(&self.queries).await?;
        let result = visit.slot.check(&self.instance.settings.record_format).await;
        self.end(visit, result)
    }

    /// Why nothing is asked of the instance.
    pub fn held(&self) -> Option<&'static str> {
        let held = self.instance.state().1.filter(|cause| matches!(cause, HoldCause::Paused | HoldCause::Revoked | HoldCause::Quarantine));
        held.map(HoldCause::name)
    }

    async fn begin<'a>(&self, places: &'a Semaphore) -> Result<Visit<'a>, AskError> {
        if let Some(cause) = self.held() {
            return Err(AskError::Held(cause));
        }
        let place = tokio::time::timeout(WAIT, places.acquire()).await.map_err(|_| AskError::Busy)?;
        let place = place.map_err(|_| AskError::Gone)?;
        let (slot, upkeep) = self.take().unwrap_or_else(|| (ConnectorSlot::new(Arc::clone(&self.instance)), Upkeep::default()));
        Ok(Visit { slot, upkeep, _place: place })
    }

    fn end<T>(&self, visit: Visit<'_>, result: Result<T, CallError>) -> Result<T, AskError> {
        let Visit { slot, mut upkeep, _place } = visit;
        upkeep.served(self.context.now());
        self.idle().push((slot, upkeep));
        self.changed.notify_one();
        result.map_err(|error| match error {
            CallError::Open(error) => AskError::Open(error),
            CallError::Deliver(DeliverError::Failure(failure)) => AskError::Failed(failure),
            CallError::Deliver(DeliverError::Fault(fault)) => AskError::Fault(fault),
            CallError::Deadline(text) => AskError::Deadline(text),
        })
    }

    /// Sees to idle guests until drained; then they take leave, once their requests are answered.
    pub async fn run(self: Arc<Self>, drain: CancellationToken, stop: CancellationToken) {
        let work = async {
            loop {
                let due = self.idle().iter().filter(|(slot, _)| slot.is_open()).filter_map(|(_, upkeep)| upkeep.due()).min();
                tokio::select! {
                    biased;
                    () = drain.cancelled() => break,
                    () = self.context.at(due) => self.maintain().await,
                    () = self.changed.notified() => {}
                }
            }
            // Whoever has a place keeps it to the end of its call; nobody gets one any more.
            for (places, all) in [(&self.places, self.instance.settings.concurrency.max), (&self.pulls, 1), (&self.queries, QUERIES)] {
                if let Ok(places) = places.acquire_many(all).await {
                    places.forget();
                }
                places.close();
            }
            while let Some((mut slot, _)) = self.take() {
                slot.close().await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => [&self.places, &self.pulls, &self.queries].into_iter().for_each(Semaphore::close),
            () = work => {}
        }
    }

    async fn maintain(&self) {
        // Its place, so that no more guests run than there may be.
        let Ok(_place) = self.places.acquire().await else { return };
        let now = self.context.now();
        let due = {
            let mut idle = self.idle();
            let at = idle.iter().position(|(slot, upkeep)| slot.is_open() && upkeep.due().is_some_and(|due| due <= now));
            at.map(|at| idle.swap_remove(at))
        };
        let Some((mut slot, mut upkeep)) = due else { return };
        let answer = slot.maintain().await;
        upkeep.answered(answer.as_ref(), self.context.now());
        if let Some(Err(error)) = &answer
            && !matches!(error, DeliverError::Failure(Failure::Unsupported))
        {
            tracing::debug!(instance = %self.instance.name(), %error, "maintain");
        }
        self.idle().push((slot, upkeep));
    }

    /// The one that served last: the others may go cold.
    fn take(&self) -> Option<(ConnectorSlot, Upkeep)> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(ConnectorSlot, Upkeep)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
