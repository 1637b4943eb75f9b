//! Circuit breaker of an instance: after too many failed calls in a row the receiver is left alone for a
//! while, then a few calls probe it, one at a time. Pure: time is an argument.
//!
//! Only calls that failed as a whole count, and those where every event was to be retried: a receiver
//! that refuses single events is there.

use std::time::Duration;

/// The `circuit_breaker` part of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failed calls in a row that open it.
    pub failure_threshold: u32,
    pub open_for: Duration,
    /// Calls, one after the other, that must all succeed before it closes.
    pub half_open_calls: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failure_threshold: 5, open_for: Duration::from_secs(60), half_open_calls: 3 }
    }
}

/// The state as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

impl BreakerState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    /// The value of the metric.
    pub fn gauge(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Leave for one call; handed back with its end. Leaves from before a change of state count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Go(Leave),
    /// Not before this time.
    Until(Duration),
    /// A probe is under way; ask again when it ended.
    Probing,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    HalfOpen { probing: bool, succeeded: u32 },
}

#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    generation: u64,
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, generation: 0 }
    }

    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks for leave to call.
    pub fn ask(&mut self, now: Duration) -> Answer {
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { until } if now < *until => return Answer::Until(*until),
            State::Open { .. } => self.enter(State::HalfOpen { probing: true, succeeded: 0 }),
            State::HalfOpen { probing: true, .. } => return Answer::Probing,
            State::HalfOpen { probing, .. } => *probing = true,
        }
        Answer::Go(Leave { generation: self.generation })
    }

    /// The call reached the receiver.
    pub fn success(&mut self, leave: Leave) {
        if leave.generation != self.generation {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { probing, succeeded } => {
                *probing = false;
                *succeeded += 1;
                if *succeeded >= self.settings.half_open_calls {
                    self.enter(State::Closed { failures: 0 });
                }
            }
            State::Open { .. } => {}
        }
    }

    /// The call failed as a whole.
    pub fn failure(&mut self, leave: Leave, now: Duration) {
        if leave.generation != self.generation {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failure_threshold.max(1) {
                    self.enter(State::Open { until: now + self.settings.open_for });
                }
            }
            State::HalfOpen { .. } => self.enter(State::Open { until: now + self.settings.open_for }),
            State::Open { .. } => {}
        }
    }

    /// The call ended without saying anything about the receiver, or never began.
    pub fn abandon(&mut self, leave: Leave) {
        if leave.generation == self.generation
            && let State::HalfOpen { probing, .. } = &mut self.state
        {
            *probing = false;
        }
    }

    /// By hand: tries the receiver now.
    pub fn reset(&mut self) {
        self.enter(State::Closed { failures: 0 });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests;
