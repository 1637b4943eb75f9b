//! Requests of inbound webhooks, handed to guests that an instance keeps for them: beside its lanes, so
//! that a slow receiver of events keeps no sender of requests waiting.
//!
//! Bounded: as many guests as `concurrency` says, each with one request at a time; who waits longer than
//! [`WAIT`] is sent away. A fault costs the guest, never an event: nothing was accepted yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{DeliverError, Failure, Inbound, ReceiveError, Reply};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::guest::{CallError, ConnectorSlot};
use crate::hold::HoldCause;
use crate::instance::Instance;
use crate::upkeep::Upkeep;

/// Longest wait for a guest.
const WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Reception {
    context: Arc<Context>,
    instance: Arc<Instance>,
    /// A place for each guest.
    places: Semaphore,
    idle: Mutex<Vec<(ConnectorSlot, Upkeep)>>,
    /// A guest came back.
    changed: Notify,
}

impl Reception {
    pub fn new(context: Arc<Context>, instance: Arc<Instance>) -> Arc<Self> {
        let places = Semaphore::new(instance.settings.concurrency.max as usize);
        Arc::new(Self { context, instance, places, idle: Mutex::default(), changed: Notify::new() })
    }

    /// Not cancel safe: a dropped call takes the guest along.
    pub async fn receive(&self, request: &Inbound) -> Result<Reply, ReceiveError> {
        if let Some(cause @ (HoldCause::Paused | HoldCause::Revoked | HoldCause::Quarantine)) = self.instance.state().1 {
            return Err(ReceiveError::Held(cause.name()));
        }
        let place = tokio::time::timeout(WAIT, self.places.acquire()).await.map_err(|_| ReceiveError::Busy)?;
        let _place = place.map_err(|_| ReceiveError::Gone)?;
        let (mut slot, mut upkeep) = self.take().unwrap_or_else(|| (ConnectorSlot::new(Arc::clone(&self.instance)), Upkeep::default()));
        let result = slot.receive(&self.instance.settings.record_format, request).await;
        upkeep.served(self.context.now());
        self.idle().push((slot, upkeep));
        self.changed.notify_one();
        result.map_err(|error| match error {
            CallError::Open(error) => ReceiveError::Open(error),
            CallError::Deliver(DeliverError::Failure(failure)) => ReceiveError::Failed(failure),
            CallError::Deliver(DeliverError::Fault(fault)) => ReceiveError::Fault(fault),
            CallError::Deadline(text) => ReceiveError::Deadline(text),
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
            let all = self.instance.settings.concurrency.max;
            // Whoever has a place keeps it to the end of its call; nobody gets one any more.
            if let Ok(places) = self.places.acquire_many(all).await {
                places.forget();
            }
            self.places.close();
            while let Some((mut slot, _)) = self.take() {
                slot.close().await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => self.places.close(),
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
