//! How many events a second are taken: over the listener, and of each token.
//!
//! A request is let in while its bucket is not in debt and then pays for all its events, however many:
//! a batch larger than the burst is taken, and what follows waits until the debt is paid.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most events a second, and at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeRate {
    pub events_per_second: u32,
    pub burst: u32,
}

/// What one event costs; a nanosecond brings `rate` of these, so nothing is rounded.
const EVENT: i128 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Bucket(Mutex<State>);

#[derive(Debug)]
struct State {
    rate: i128,
    full: i128,
    /// Below 0 in debt.
    level: i128,
    last: Duration,
}

impl Bucket {
    pub(super) fn new(rate: IntakeRate) -> Self {
        let full = i128::from(rate.burst.max(1)) * EVENT;
        Self(Mutex::new(State { rate: i128::from(rate.events_per_second.max(1)), full, level: full, last: Duration::ZERO }))
    }

    /// How long until a request is let in again; nothing where one is now.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let mut state = self.lock();
        state.refill(now);
        if state.level > 0 {
            return None;
        }
        let missing = EVENT - state.level;
        Some(Duration::from_nanos(u64::try_from(missing / state.rate).unwrap_or(u64::MAX)))
    }

    pub(super) fn pay(&self, events: usize) {
        self.lock().level -= events as i128 * EVENT;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refill(&mut self, now: Duration) {
        // A clock that went back brings nothing.
        let passed = now.saturating_sub(self.last);
        self.last = now;
        self.level = self.full.min(self.level + i128::from(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)) * self.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_is_taken_and_paid_for() {
        let bucket = Bucket::new(IntakeRate { events_per_second: 10, burst: 20 });
        let at = Duration::from_millis;
        assert_eq!(bucket.wait(at(0)), None);
        bucket.pay(50);
        // 30 in debt: 3 s, and one event's worth more.
        assert_eq!(bucket.wait(at(0)), Some(at(3_100)));
        assert_eq!(bucket.wait(at(3_000)), Some(at(100)));
        assert_eq!(bucket.wait(at(3_050)), None);
        assert_eq!(bucket.wait(at(1_000)), None, "a clock that goes back takes nothing away");
    }

    #[test]
    fn quiet_times_fill_it_to_the_burst_only() {
        let bucket = Bucket::new(IntakeRate { events_per_second: 10, burst: 20 });
        assert_eq!(bucket.wait(Duration::from_secs(3_600)), None);
        bucket.pay(21);
        assert_eq!(bucket.wait(Duration::from_secs(3_600)), Some(Duration::from_millis(200)));
    }
}
