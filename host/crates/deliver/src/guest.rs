//! A place for one connector: opened when it is needed, replaced when it broke or has served long enough.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::receipt::About;
use bulkhead_core::{Connector, DeliverError, Delivery, EventBatch, GuestFault, Inbound, OpenError, Outcome, Page, RecordBatch, RecordFormat, Reply};

use crate::instance::Instance;

/// Why a call gave nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    Open(OpenError),
    Deliver(DeliverError),
    /// Its deadline passed: the receiver may be slow, so no event is to blame.
    Deadline(String),
}

pub(crate) struct ConnectorSlot {
    instance: Arc<Instance>,
    guest: Option<Box<dyn Connector>>,
    calls: u64,
    /// Whether the guest of the last call had served none before.
    fresh: bool,
    /// What the next call is about, for its receipt.
    about: Option<About>,
}

impl ConnectorSlot {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, guest: None, calls: 0, fresh: true, about: None }
    }

    /// The connector for the next call. Cancel safe: one half opened is dropped.
    pub async fn ready(&mut self, format: &RecordFormat) -> Result<&mut dyn Connector, OpenError> {
        let withdrawn = self.guest.as_ref().is_some_and(|guest| !guest.may_run());
        if withdrawn {
            // Not even a last word.
            self.guest = None;
        } else if self.calls >= self.instance.settings.max_calls.max(1) {
            self.close().await;
        }
        if self.guest.is_none() {
            self.guest = Some(self.instance.settings.source.open(format).await?);
            self.calls = 0;
        }
        Ok(self.guest.as_mut().expect("opened above").as_mut())
    }

    /// Whether there is a guest that can be called without opening one.
    pub fn is_open(&self) -> bool {
        self.guest.is_some()
    }

    /// Lets the guest see to its connections. `None` where there is none. A fault costs the guest.
    pub async fn maintain(&mut self) -> Option<Result<Option<Duration>, DeliverError>> {
        let mut guest = self.guest.take().filter(|guest| guest.may_run())?;
        let result = guest.maintain().await;
        if !matches!(result, Err(DeliverError::Fault(_))) {
            self.guest = Some(guest);
        }
        Some(result)
    }

    /// Takes leave of the guest. Its last call has a short deadline; a fault in it changes nothing.
    pub async fn close(&mut self) {
        let Some(mut guest) = self.guest.take().filter(|guest| guest.may_run()) else { return };
        if let Err(fault) = guest.close().await {
            tracing::debug!(instance = %self.instance.name(), %fault, "closing a connector");
        }
    }

    /// Says what the next call is about.
    pub fn about(&mut self, about: About) {
        self.about = Some(about);
    }

    /// Whether the guest of the last call was a fresh one.
    pub fn was_fresh(&self) -> bool {
        self.fresh
    }

    /// Not cancel safe: a dropped call takes the guest along, and the receiver may have seen the batch.
    pub async fn deliver(&mut self, format: &RecordFormat, records: &RecordBatch, events: &EventBatch, attempt: u32) -> Result<Delivery, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.deliver(records, events, attempt).await;
        self.end(guest, result)
    }

    /// As [`deliver`](Self::deliver).
    pub async fn settle(&mut self, format: &RecordFormat, tokens: &[String]) -> Result<Vec<Outcome>, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.settle(tokens).await;
        self.end(guest, result)
    }

    /// As [`deliver`](Self::deliver).
    pub async fn receive(&mut self, format: &RecordFormat, request: &Inbound) -> Result<Reply, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.receive(request).await;
        self.end(guest, result)
    }

    /// As [`deliver`](Self::deliver).
    pub async fn pull(&mut self, format: &RecordFormat, cursor: &[u8]) -> Result<Page, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.pull(cursor).await;
        self.end(guest, result)
    }

    /// As [`deliver`](Self::deliver).
    pub async fn query(&mut self, format: &RecordFormat, operation: &str, parameters: &str) -> Result<String, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.query(operation, parameters).await;
        self.end(guest, result)
    }

    /// As [`deliver`](Self::deliver).
    pub async fn check(&mut self, format: &RecordFormat) -> Result<String, CallError> {
        let mut guest = self.begin(format).await?;
        let result = guest.check().await;
        self.end(guest, result)
    }

    /// The guest is out of its place while it runs, so that a dropped future or a fault takes it along.
    async fn begin(&mut self, format: &RecordFormat) -> Result<Box<dyn Connector>, CallError> {
        self.ready(format).await.map_err(CallError::Open)?;
        self.fresh = self.calls == 0;
        self.calls += 1;
        let mut guest = self.guest.take().expect("opened above");
        if let Some(about) = self.about.take() {
            guest.about(about);
        }
        Ok(guest)
    }

    fn end<T>(&mut self, guest: Box<dyn Connector>, result: Result<T, DeliverError>) -> Result<T, CallError> {
        match result {
            Err(DeliverError::Fault(GuestFault::Limit { limit: "deadline", value, .. })) => Err(CallError::Deadline(format!("no answer within {value}"))),
            Err(error @ DeliverError::Fault(_)) => Err(CallError::Deliver(error)),
            other => {
                self.guest = Some(guest);
                other.map_err(CallError::Deliver)
            }
        }
    }
}
