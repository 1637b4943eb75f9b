//! A place for one connector: opened when it is needed, replaced when it broke or has served long enough.

use std::sync::Arc;

use bulkhead_core::{BoxFuture, Connector, DeliverError, GuestFault, OpenError, RecordFormat};

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
}

impl ConnectorSlot {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, guest: None, calls: 0, fresh: true }
    }

    /// The connector for the next call. Cancel safe: one half opened is dropped.
    pub async fn ready(&mut self, format: &RecordFormat) -> Result<&mut dyn Connector, OpenError> {
        if self.calls >= self.instance.settings.max_calls.max(1) {
            self.guest = None;
        }
        if self.guest.is_none() {
            self.guest = Some(self.instance.settings.source.open(format).await?);
            self.calls = 0;
        }
        Ok(self.guest.as_mut().expect("opened above").as_mut())
    }

    /// Whether the guest of the last call was a fresh one.
    pub fn was_fresh(&self) -> bool {
        self.fresh
    }

    /// Calls the guest. It is out of its place while it runs, so that a dropped future or a fault takes it along.
    pub async fn call<T>(
        &mut self,
        format: &RecordFormat,
        call: impl for<'a> FnOnce(&'a mut Box<dyn Connector>) -> BoxFuture<'a, Result<T, DeliverError>>,
    ) -> Result<T, CallError> {
        self.ready(format).await.map_err(CallError::Open)?;
        let mut guest = self.guest.take().expect("opened above");
        self.fresh = self.calls == 0;
        self.calls += 1;
        let result = call(&mut guest).await;
        match result {
            Err(DeliverError::Fault(GuestFault::Limit { limit: "deadline", ref value, .. })) => Err(CallError::Deadline(format!("no answer within {value}"))),
            Err(error @ DeliverError::Fault(_)) => Err(CallError::Deliver(error)),
            other => {
                self.guest = Some(guest);
                other.map_err(CallError::Deliver)
            }
        }
    }
}
