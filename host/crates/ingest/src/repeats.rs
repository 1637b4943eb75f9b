//! Events that a producer sends again are journalled once: identity is (`source`, `id`), as CloudEvents
//! 1.0 says (§3.1.1), within a tenant and a time.
//!
//! Promises: of requests with the same event exactly one appends it, and the others are answered only
//! after it is on disk; a request is still appended as a whole or not at all; an append that failed leaves
//! nothing marked as seen. What was seen outlives the process (`follow`). Ids that Bulkhead gave are no
//! producer's word and are not looked at, and neither are replayed events and Bulkhead's own.

mod follow;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{Attr, Clock, EventRef, Shape};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use bulkhead_observe::WindowMetrics;
use tokio::sync::Notify;

use crate::seen::{Claim, Key, Seen};

pub use follow::{Follower, LANE, OpenRepeatsError};

/// Of `journal.dedup_window` and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatSettings {
    /// How long an event is known.
    pub window: Duration,
    /// Most events that are known at the same time.
    pub keys: u64,
}

/// Events seen lately.
pub struct Repeats {
    seen: Mutex<Seen<()>>,
    /// Claims were kept or forgotten.
    freed: Notify,
    clock: Arc<dyn Clock>,
    metrics: WindowMetrics,
}

impl Repeats {
    fn new(settings: &RepeatSettings, clock: Arc<dyn Clock>, metrics: WindowMetrics) -> Self {
        Self { seen: Mutex::new(Seen::new(settings.window, settings.keys)), freed: Notify::new(), clock, metrics }
    }

    /// Appends what is new of a batch; the number of events that were there already. An error means that
    /// nothing was appended, as for the journal.
    ///
    /// Cancel safe: dropped while it waits for others it has done nothing; dropped later the append goes
    /// on by itself.
    pub(crate) async fn append(self: &Arc<Self>, journal: &Journal, batch: AppendBatch, durability: Durability) -> Result<usize, AppendError> {
        let (rest, mut claims, duplicates) = self.sift(batch).await;
        let Some(batch) = rest else { return Ok(duplicates) };
        let journal = journal.clone();
        // A connection that breaks off must not leave open what became of its events.
        let append = tokio::spawn(async move {
            let appended = journal.append(batch, durability).await;
            if appended.is_ok() {
                claims.keep();
            }
            appended
        });
        append.await.unwrap_or(Err(AppendError::Closed)).map(|_| duplicates)
    }

    /// The same for senders that nobody answers; `again` as for the journal. Cancelled, what was under way
    /// is not known.
    pub(crate) async fn append_patiently<F: Future<Output = bool>>(
        self: &Arc<Self>,
        journal: &Journal,
        batch: AppendBatch,
        durability: Durability,
        again: impl FnMut(AppendError) -> F,
    ) -> Result<usize, AppendError> {
        let (rest, mut claims, duplicates) = self.sift(batch).await;
        if let Some(batch) = rest {
            journal.append_patiently(batch, durability, again).await?;
            claims.keep();
        }
        Ok(duplicates)
    }

    /// What is new of a batch, where anything is, claimed; and how many of its events are repeats.
    async fn sift(self: &Arc<Self>, batch: AppendBatch) -> (Option<AppendBatch>, Claims, usize) {
        let keys: Vec<Option<Key>> = (0..batch.len()).map(|index| batch.stored(index).and_then(key)).collect();
        let (claimed, repeated) = self.claim(&keys).await;
        let claims = Claims { repeats: Arc::clone(self), keys: claimed };
        let duplicates = repeated.iter().filter(|repeated| **repeated).count();
        let rest = match duplicates {
            0 => Some(batch),
            all if all == batch.len() => None,
            _ => Some(without(&batch, &repeated)),
        };
        (rest, claims, duplicates)
    }

    /// Claims all that is new, and says which events are repeats. Waits while somebody else appends one of
    /// them, holding nothing meanwhile: two requests that share events cannot wait for each other.
    async fn claim(&self, keys: &[Option<Key>]) -> (Vec<Key>, Vec<bool>) {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no wake-up is missed.
            freed.as_mut().enable();
            if let Some(claimed) = self.try_claim(keys) {
                return claimed;
            }
            freed.await;
        }
    }

    fn try_claim(&self, keys: &[Option<Key>]) -> Option<(Vec<Key>, Vec<bool>)> {
        let now = self.clock.monotonic();
        let mut claims = Vec::with_capacity(keys.len());
        // Only made where a key comes twice.
        let mut own: Option<HashSet<Key>> = None;
        let mut repeated = vec![false; keys.len()];
        let mut seen = self.seen();
        for (key, repeated) in keys.iter().zip(&mut repeated) {
            let Some(key) = key else { continue };
            match seen.claim(*key, now) {
                Claim::New => {
                    claims.push(*key);
                    if let Some(own) = &mut own {
                        own.insert(*key);
                    }
                }
                Claim::Seen(()) => *repeated = true,
                // Twice in one request.
                Claim::UnderWay if own.get_or_insert_with(|| claims.iter().copied().collect()).contains(key) => *repeated = true,
                Claim::UnderWay => {
                    // Under the same lock, so nobody has met these claims and nobody is to be woken.
                    claims.iter().for_each(|key| seen.forget(key));
                    return None;
                }
            }
        }
        Some((claims, repeated))
    }

    fn seen(&self) -> MutexGuard<'_, Seen<()>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims that are forgotten unless they are kept.
struct Claims {
    repeats: Arc<Repeats>,
    keys: Vec<Key>,
}

impl Claims {
    fn keep(&mut self) {
        let now = self.repeats.clock.monotonic();
        let mut seen = self.repeats.seen();
        for key in self.keys.drain(..) {
            seen.keep(key, (), 1, now);
        }
        let (len, forgotten) = (seen.len(), seen.take_forgotten());
        drop(seen);
        self.repeats.metrics.set(len, forgotten);
        self.repeats.freed.notify_waiters();
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            let mut seen = self.repeats.seen();
            self.keys.iter().for_each(|key| seen.forget(key));
            drop(seen);
            self.repeats.freed.notify_waiters();
        }
    }
}

/// What stands for an event whose producer named it.
fn key(stored: &[u8]) -> Option<Key> {
    let event = EventRef::new(stored).ok()?;
    let (_, place) = event.span(Attr::Id)?;
    // What is not in the original was written by us.
    let given = place.start < event.body().len() - event.original().len();
    if given || event.shape() == Shape::Own || event.lane().is_some() {
        return None;
    }
    let text = |attr| event.attr(attr).and_then(|value| value.text()).unwrap_or_default();
    Some(Key::of(&[text(Attr::Tenant).as_bytes(), text(Attr::Source).as_bytes(), text(Attr::Id).as_bytes()]))
}

/// The batch without the events that are repeats.
fn without(batch: &AppendBatch, repeated: &[bool]) -> AppendBatch {
    let mut rest = AppendBatch::with_capacity(batch.bytes(), batch.len());
    for index in (0..batch.len()).filter(|index| !repeated[*index]) {
        rest.buffer().extend_from_slice(batch.stored(index).unwrap_or_default());
        // They were events a moment ago.
        let _ = rest.push_event();
    }
    rest
}

#[cfg(test)]
mod tests;
