//! The token bucket, for every rate limit of the host. In whole numbers: in any time `t` no more than
//! `burst + rate · t` is taken, to the nanosecond. Pure: `now` comes from the caller.
//!
//! Who cannot split what it takes may [`pay`](TokenBucket::pay) into debt; then what follows waits until
//! the debt is paid.

use std::time::Duration;

/// The `rate_limit` part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    pub events_per_second: u32,
    /// Most at once, after a quiet time.
    pub burst: u32,
}

/// What one token is made of; a nanosecond brings `rate` of these, so nothing is ever rounded.
const TOKEN: i128 = 1_000_000_000;

#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: u64,
    full: i128,
    /// Below 0 in debt.
    level: i128,
    last: Duration,
}

impl TokenBucket {
    /// A full bucket. Both are taken as at least 1.
    pub fn new(per_second: u64, burst: u64) -> Self {
        let full = i128::from(burst.max(1)) * TOKEN;
        Self { rate: per_second.max(1), full, level: full, last: Duration::ZERO }
    }

    /// So many a second; a second's worth may come at once.
    pub fn per_second(tokens: u64) -> Self {
        Self::new(tokens, tokens)
    }

    /// How long until so many tokens are there, at most a full bucket; zero where they are. Nothing is taken.
    pub fn wait(&mut self, tokens: u64, now: Duration) -> Duration {
        self.refill(now);
        let missing = (i128::from(tokens) * TOKEN).min(self.full) - self.level;
        match u128::try_from(missing) {
            Err(_) | Ok(0) => Duration::ZERO,
            // A reading from before the last one: what passes until then has been counted.
            Ok(missing) => nanos(missing.div_ceil(u128::from(self.rate))).saturating_add(self.last - now),
        }
    }

    /// Takes one token, or says how long until one is there and takes nothing.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        match self.wait(1, now) {
            Duration::ZERO => {
                self.pay(1);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// Takes as many of `wanted` as there are now, perhaps none.
    pub fn take_up_to(&mut self, wanted: u64, now: Duration) -> u64 {
        self.refill(now);
        let there = u64::try_from((self.level / TOKEN).max(0)).unwrap_or(u64::MAX);
        let taken = there.min(wanted);
        self.pay(taken);
        taken
    }

    /// Takes so many whether they are there or not.
    pub fn pay(&mut self, tokens: u64) {
        self.level -= i128::from(tokens) * TOKEN;
    }

    fn refill(&mut self, now: Duration) {
        // Threads read a clock one before the other and come here in another order: time counts once.
        let passed = now.saturating_sub(self.last).as_nanos();
        self.last = self.last.max(now);
        let missing = self.full - self.level;
        let gained = i128::try_from(passed.saturating_mul(u128::from(self.rate))).unwrap_or(i128::MAX);
        self.level += gained.min(missing);
    }
}

impl From<RateSettings> for TokenBucket {
    fn from(settings: RateSettings) -> Self {
        Self::new(settings.events_per_second.into(), settings.burst.into())
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
