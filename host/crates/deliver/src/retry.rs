//! How long an event waits for its next attempt, and when it has had enough. Pure: the caller draws the
//! jitter and knows the time.
//!
//! Sources: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015); RFC 9110 §10.2.3 for
//! `Retry-After`, which is input from outside and therefore capped.

use std::time::Duration;

/// How delays grow from one retry to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strategy {
    /// `initial · multiplierⁿ⁻¹`
    Exponential { multiplier: f64 },
    /// `initial · n`
    Linear,
    /// `initial`
    Fixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Uniform between nothing and the full delay, so that many events spread out.
    Full,
    None,
}

/// The `retry` part of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    pub strategy: Strategy,
    pub initial: Duration,
    /// No delay is longer, whatever the receiver asks for.
    pub max: Duration,
    pub jitter: Jitter,
    /// Time since the first attempt after which an event is a dead letter.
    pub max_elapsed: Duration,
    pub max_attempts: Option<u32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Exponential { multiplier: 2.0 },
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            jitter: Jitter::Full,
            max_elapsed: Duration::from_secs(24 * 3600),
            max_attempts: None,
        }
    }
}

/// What comes after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Again(Duration),
    /// The bound that was reached: the key's name.
    Exhausted(&'static str),
}

impl RetryPolicy {
    /// Delay before retry `n` (the first retry is 1). `jitter` is uniform in `[0, 1)`. Never more than `max`.
    pub fn delay(&self, n: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
        let n = n.max(1);
        let factor = match self.strategy {
            Strategy::Exponential { multiplier } => multiplier.max(1.0).powi(i32::try_from(n - 1).unwrap_or(i32::MAX)),
            Strategy::Linear => f64::from(n),
            Strategy::Fixed => 1.0,
        };
        // In seconds and capped before it becomes a duration again: a huge power must not overflow.
        let full = (self.initial.as_secs_f64() * factor).min(self.max.as_secs_f64());
        let drawn = match self.jitter {
            Jitter::Full => full * jitter.clamp(0.0, 1.0),
            Jitter::None => full,
        };
        Duration::try_from_secs_f64(drawn).unwrap_or(self.max).max(retry_after.unwrap_or_default()).min(self.max)
    }

    /// Judges an event after its attempt number `attempts` failed, `elapsed` after its first attempt.
    /// The last attempt is not later than `max_elapsed`.
    pub fn next(&self, attempts: u32, elapsed: Duration, jitter: f64, retry_after: Option<Duration>) -> Next {
        if self.max_attempts.is_some_and(|most| attempts >= most) {
            return Next::Exhausted("retry.max_attempts");
        }
        if elapsed >= self.max_elapsed {
            return Next::Exhausted("retry.max_elapsed");
        }
        Next::Again(self.delay(attempts, jitter, retry_after).min(self.max_elapsed - elapsed))
    }
}

#[cfg(test)]
mod tests;
