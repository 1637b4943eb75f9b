//! Rate limit of an instance: a token bucket over events, asked batch by batch. Pure: `now` is an argument.

use std::time::Duration;

/// What one event costs; a nanosecond brings `events_per_second` of these, so nothing is ever rounded.
const EVENT: u64 = 1_000_000_000;

/// The `rate_limit` part of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    pub events_per_second: u32,
    pub burst: u32,
}

#[derive(Debug)]
pub struct Rate {
    rate: u64,
    burst: u32,
    /// Events worth waiting for, a tenth of a second's: without it a busy limit would send events one by one.
    quantum: u32,
    level: u64,
    last: Duration,
}

impl Rate {
    /// A full bucket.
    pub fn new(settings: RateSettings) -> Self {
        let burst = settings.burst.max(1);
        let quantum = (settings.events_per_second / 10).clamp(1, burst);
        Self { rate: u64::from(settings.events_per_second.max(1)), burst, quantum, level: u64::from(burst) * EVENT, last: Duration::ZERO }
    }

    /// Takes for a part of `wanted` events, at least one; or says until when to wait and takes nothing.
    /// `whole` asks for all of them, of which there are at most [`burst`](Self::burst).
    pub fn take(&mut self, wanted: u32, whole: bool, now: Duration) -> Result<u32, Duration> {
        self.refill(now);
        let wanted = wanted.max(1);
        let least = u64::from(wanted.min(if whole { self.burst } else { self.quantum })) * EVENT;
        if self.level < least {
            return Err(now + Duration::from_nanos((least - self.level).div_ceil(self.rate)));
        }
        let taken = (self.level / EVENT).min(u64::from(wanted));
        self.level -= taken * EVENT;
        Ok(taken as u32)
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let room = u64::from(self.burst) * EVENT - self.level;
        let gained = passed.as_nanos().saturating_mul(u128::from(self.rate));
        self.level += u64::try_from(gained).map_or(room, |gained| gained.min(room));
    }
}

#[cfg(test)]
mod tests;
