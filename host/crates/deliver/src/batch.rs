//! When events are enough for a batch. Pure: counts, bytes and `now` in, an answer out.
//!
//! A free slot takes what is there; only where `max_age` is set does a batch that is not full linger.

use std::time::Duration;

/// The `batch` part of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    pub max_events: u32,
    /// Bytes of stored events; a single larger event goes alone.
    pub max_bytes: u64,
    /// How long the first event waits for company.
    pub max_age: Duration,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { max_events: 500, max_bytes: 1 << 20, max_age: Duration::ZERO }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    Empty,
    /// A slot may take it now.
    Now,
    /// It lingers until then.
    Until(Duration),
}

/// Counts the batch that is being filled.
#[derive(Debug, Default)]
pub struct Batcher {
    events: u32,
    bytes: u64,
    since: Duration,
}

impl Batcher {
    /// Whether one more event of this size belongs into this batch.
    pub fn fits(&self, bytes: u64, limits: &BatchSettings) -> bool {
        self.events == 0 || (self.events < limits.max_events && self.bytes + bytes <= limits.max_bytes)
    }

    pub fn add(&mut self, bytes: u64, now: Duration) {
        if self.events == 0 {
            self.since = now;
        }
        self.events += 1;
        self.bytes += bytes;
    }

    /// `closed` says that the next event did not fit, so that waiting brings nothing.
    pub fn ready(&self, now: Duration, closed: bool, limits: &BatchSettings) -> Ready {
        let due = self.since + limits.max_age;
        if self.events == 0 {
            Ready::Empty
        } else if closed || self.events >= limits.max_events || self.bytes >= limits.max_bytes || now >= due {
            Ready::Now
        } else {
            Ready::Until(due)
        }
    }

    /// Begins the next batch.
    pub fn take(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
