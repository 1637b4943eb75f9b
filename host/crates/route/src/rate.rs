//! A token bucket in whole numbers: never more than `burst + rate · t` in any time `t`, to the
//! nanosecond. `now` comes from the caller.

use std::time::Duration;

/// What one event costs; a nanosecond brings `rate` of these, so nothing is ever rounded.
const EVENT: u64 = 1_000_000_000;

/// Lets so many events a second through, and so many at once after a quiet time.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    rate: u64,
    full: u64,
    level: u64,
    last: Option<Duration>,
}

impl RateLimiter {
    /// A full bucket. Both are taken as at least 1.
    pub fn new(events_per_second: u32, burst: u32) -> Self {
        let full = u64::from(burst.max(1)) * EVENT;
        Self { rate: u64::from(events_per_second.max(1)), full, level: full, last: None }
    }

    /// Takes one event's worth, or says how long until one is there and takes nothing.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let wait = self.wait(now);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.level -= EVENT;
        Ok(())
    }

    /// Takes for as many of `wanted` events as there is room for now, perhaps none.
    pub fn take_up_to(&mut self, now: Duration, wanted: u32) -> u32 {
        self.refill(now);
        let taken = (self.level / EVENT).min(u64::from(wanted));
        self.level -= taken * EVENT;
        taken as u32
    }

    /// How long until one event's worth is there; nothing is taken.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.refill(now);
        Duration::from_nanos(EVENT.saturating_sub(self.level).div_ceil(self.rate))
    }

    fn refill(&mut self, now: Duration) {
        // A clock that went back brings nothing and counts on from where it is now: neither a gift nor a standstill.
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.last = Some(now);
        let gained = passed.as_nanos().saturating_mul(u128::from(self.rate));
        let missing = self.full - self.level;
        self.level += u64::try_from(gained).map_or(missing, |gained| gained.min(missing));
    }
}

#[cfg(test)]
mod tests;
