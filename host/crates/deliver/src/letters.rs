//! Where dead letters go. The host hands in the store; a simulation hands in its own.

use std::time::Duration;

use bulkhead_core::BoxFuture;
use bulkhead_store::{DeadLetters, Expired, NewDeadLetter, StoreError};
use tokio::sync::watch;

pub trait DeadLetterSink: Send + Sync {
    /// Keeps all of them or none; on disk when it says `Ok`. A letter that is there already replaces itself.
    /// Says how many older ones were dropped for the room. Cancel safe: written or not, never in part.
    fn add<'a>(&'a self, letters: &'a [NewDeadLetter<'a>]) -> BoxFuture<'a, Result<u64, StoreError>>;
    /// Moves when letters were deleted, so that there may be room again.
    fn freed(&self) -> watch::Receiver<u64>;
    /// Letters that are kept.
    fn count(&self) -> u64;
    /// How long letters are kept; for ever where it is none.
    fn retention(&self) -> Option<Duration>;
    /// Drops what is older than the operator wants to keep.
    fn enforce_retention(&self, now_ms: i64) -> BoxFuture<'_, Result<Expired, StoreError>>;
}

impl DeadLetterSink for DeadLetters {
    fn add<'a>(&'a self, letters: &'a [NewDeadLetter<'a>]) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { self.add_many(letters).await.map(|added| added.dropped) })
    }

    fn freed(&self) -> watch::Receiver<u64> {
        Self::freed(self)
    }

    fn count(&self) -> u64 {
        self.totals().letters
    }

    fn retention(&self) -> Option<Duration> {
        self.settings().retention
    }

    fn enforce_retention(&self, now_ms: i64) -> BoxFuture<'_, Result<Expired, StoreError>> {
        Box::pin(Self::enforce_retention(self, now_ms))
    }
}
