//! How the rate limit of an instance paces its batches. Pure: `now` is an argument.

use std::time::Duration;

use bulkhead_core::{RateSettings, TokenBucket};

#[derive(Debug)]
pub struct Rate {
    bucket: TokenBucket,
    burst: u32,
    /// Events worth waiting for, a tenth of a second's: without it a busy limit would send events one by one.
    quantum: u32,
}

impl Rate {
    pub fn new(settings: RateSettings) -> Self {
        let burst = settings.burst.max(1);
        let quantum = (settings.events_per_second / 10).clamp(1, burst);
        Self { bucket: settings.into(), burst, quantum }
    }

    /// Takes for a part of `wanted` events, at least one; or says until when to wait and takes nothing.
    /// `whole` asks for all of them, of which there are at most [`burst`](RateSettings::burst).
    pub fn take(&mut self, wanted: u32, whole: bool, now: Duration) -> Result<u32, Duration> {
        let wanted = wanted.max(1);
        let least = wanted.min(if whole { self.burst } else { self.quantum });
        match self.bucket.wait(least.into(), now) {
            Duration::ZERO => Ok(u32::try_from(self.bucket.take_up_to(wanted.into(), now)).unwrap_or(wanted)),
            wait => Err(now + wait),
        }
    }
}

#[cfg(test)]
mod tests;
