//! Concurrency: how many batches of an instance, and of all instances together, are under way. The number
//! is fixed today; adapting it to latency and errors changes this file only.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug, Clone)]
pub struct Slots {
    instance: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Leave for one batch; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _instance: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Slots {
    pub fn new(concurrency: u32, all: Arc<Semaphore>) -> Self {
        Self { instance: Arc::new(Semaphore::new(concurrency.max(1) as usize)), all }
    }

    pub fn try_take(&self) -> Option<Slot> {
        let instance = Arc::clone(&self.instance).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Slot { _instance: instance, _all: all })
    }

    /// Waits in line, first for the instance and then for a place among all. Cancel safe.
    pub async fn take(self) -> Option<Slot> {
        let instance = self.instance.acquire_owned().await.ok()?;
        let all = self.all.acquire_owned().await.ok()?;
        Some(Slot { _instance: instance, _all: all })
    }
}
