//! Adaptive concurrency of an instance: as many deliveries at the same time as its receiver bears. Additive
//! increase, multiplicative decrease (Chiu, Jain, 1989; RFC 5681 §3.1) on errors and on latency, an idea
//! published for clients of services by Netflix (concurrency-limits) and Vector (adaptive request
//! concurrency). Pure: durations of calls go in, the limit comes out.
//!
//! * A round is as many calls as the limit, at least [`ROUND`]. One that used the limit in full and went well
//!   raises it by one; one whose calls took [`TOLERANCE`] times their baseline halves it.
//! * A call that failed as a whole, or that had events to be tried again, halves it at once. Calls that began
//!   before a halving say nothing about what came of it: one overload is one halving.
//! * A call is compared with calls of its size, for batches of 1 and of 500 differ by themselves. The baseline
//!   falls quickly and rises slowly, or a queue that grows with the limit would pass for its measure; at the
//!   least concurrency there is no such queue, and it follows in both directions.
//! * Calls quicker than [`QUICK`] count as equal: a receiver that fast is not overloaded.
//! * Nothing is concluded from time alone: after an idle period it goes on where it was.

use std::time::Duration;

/// The `concurrency` part of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencySettings {
    /// Never fewer.
    pub min: u32,
    /// Never more. Equal to `min`: fixed.
    pub max: u32,
}

impl Default for ConcurrencySettings {
    fn default() -> Self {
        Self::from(START)
    }
}

impl From<u32> for ConcurrencySettings {
    /// At most so many.
    fn from(max: u32) -> Self {
        Self { min: 1, max: max.max(1) }
    }
}

impl ConcurrencySettings {
    pub fn at_most(self, most: u32) -> Self {
        let max = self.max.min(most).max(1);
        Self { min: self.min.clamp(1, max), max }
    }
}

/// Where it begins, if the bounds allow.
const START: u32 = 4;
/// Least calls of a round: one slow call among fewer would say too much.
const ROUND: u32 = 8;
/// Times the baseline that a round's calls take on average when the receiver is overloaded. Less than what a
/// halving makes good: where calls wait in line it then ends below where it began, and finds the baseline.
const TOLERANCE: f64 = 1.75;
/// Most that one call counts, in times of its baseline.
const MOST: f64 = 4.0;
const QUICK: f64 = 0.02;
/// Powers of two of events in a batch, of which there are at most 10,000.
const SIZES: usize = 14;

/// What one job told about the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It took or judged so many events, in so long.
    Answered {
        events: usize,
        took: Duration,
    },
    /// It failed, or wants something again.
    Pressed,
    Nothing,
}

/// Under which limit a job began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Began(u64);

#[derive(Debug)]
pub struct Concurrency {
    settings: ConcurrencySettings,
    limit: u32,
    running: u32,
    /// Counts the decreases.
    generation: u64,
    round: Round,
    /// Seconds that a call of each size takes.
    baselines: [Option<f64>; SIZES],
}

#[derive(Debug, Default)]
struct Round {
    calls: u32,
    /// Their times, in times of the baseline.
    ratios: f64,
    /// Seconds and calls by size.
    took: [(f64, u32); SIZES],
    /// The limit was used in full.
    full: bool,
}

impl Concurrency {
    pub fn new(settings: ConcurrencySettings) -> Self {
        let settings = settings.at_most(settings.max);
        let limit = START.clamp(settings.min, settings.max);
        Self { settings, limit, running: 0, generation: 0, round: Round::default(), baselines: [None; SIZES] }
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// A job begins. That there are not too many is the caller's affair.
    pub fn begin(&mut self) -> Began {
        self.running += 1;
        self.round.full |= self.running >= self.limit;
        Began(self.generation)
    }

    pub fn end(&mut self, began: Began, told: Told) {
        self.running = self.running.saturating_sub(1);
        if began.0 != self.generation || self.settings.min >= self.settings.max {
            return;
        }
        match told {
            Told::Nothing => {}
            Told::Pressed => self.fall(self.limit / 2),
            Told::Answered { events, took } => {
                self.round.add(&self.baselines, events, took);
                if self.round.calls >= self.limit.max(ROUND) {
                    self.judge();
                }
            }
        }
    }

    /// The receiver is left alone from now on, and begins with as little as may be.
    pub fn collapse(&mut self) {
        if self.limit > self.settings.min {
            self.fall(self.settings.min);
        }
    }

    fn judge(&mut self) {
        let round = std::mem::take(&mut self.round);
        let least = self.limit <= self.settings.min;
        let rise = if least { 0.5 } else { 1.0 / (8.0 * f64::from(self.limit)) };
        for (baseline, (took, calls)) in self.baselines.iter_mut().zip(round.took) {
            if calls == 0 {
                continue;
            }
            let mean = took / f64::from(calls);
            let before = baseline.unwrap_or(mean);
            *baseline = Some(before + (mean - before) * if mean < before { 0.5 } else { rise });
        }
        if round.ratios / f64::from(round.calls) > TOLERANCE {
            self.fall(self.limit / 2);
        } else if round.full && self.limit < self.settings.max {
            self.limit += 1;
            self.round.full = self.running >= self.limit;
        }
    }

    fn fall(&mut self, to: u32) {
        self.limit = to.max(self.settings.min);
        self.generation += 1;
        self.round = Round { full: self.running >= self.limit, ..Round::default() };
    }
}

impl Round {
    fn add(&mut self, baselines: &[Option<f64>; SIZES], events: usize, took: Duration) {
        let size = (events.max(1).ilog2() as usize).min(SIZES - 1);
        let took = took.as_secs_f64();
        let usual = baselines[size].unwrap_or(took).max(QUICK);
        let ratio = (took.max(QUICK) / usual).min(MOST);
        self.calls += 1;
        self.ratios += ratio;
        self.took[size].0 += took.min(usual * MOST);
        self.took[size].1 += 1;
    }
}

#[cfg(test)]
mod tests;
