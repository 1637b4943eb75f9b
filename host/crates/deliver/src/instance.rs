//! What the lanes of an instance share: breaker, hold, rate limit, adaptive concurrency, slots. The state machines are pure; this
//! file guards them with one lock, counts, and tells when something changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_observe::{InstanceMetrics, Metrics};
use tokio::sync::{Semaphore, watch};

use crate::breaker::{self, Breaker, BreakerState};
use crate::concurrency::{Began, Concurrency, Told};
use crate::hold::{self, Hold, HoldCause};
use crate::notice::{Notice, NoticeSink};
use crate::ordering::Ordering;
use crate::rate::Rate;
use crate::settings::InstanceSettings;
use crate::slots::Slots;

pub(crate) struct Instance {
    pub settings: InstanceSettings,
    pub slots: Slots,
    gate: Mutex<Gate>,
    /// Moves whenever a lane that was told to wait may ask again.
    changed: watch::Sender<u64>,
    notices: NoticeSink,
    metrics: InstanceMetrics,
}

struct Gate {
    breaker: Breaker,
    hold: Hold,
    rate: Option<Rate>,
    concurrency: Concurrency,
    /// The receiver asked for rest until then.
    rest_until: Duration,
}

/// What one job told about the receiver and the guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// The receiver answered.
    Reached,
    /// A call failed as a whole, or every event of it is to be tried again.
    Failed { rest: Option<Duration> },
    /// People must act; the instance is held already.
    Held,
    /// Nothing was learned.
    Nothing,
}

/// What the calls of one job took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    /// Events that were handed to the connector.
    pub events: usize,
    pub took: Duration,
    /// Some of them are to be tried again.
    pub pressed: bool,
}

impl Effort {
    fn told(&self, end: &CallEnd) -> Told {
        match end {
            CallEnd::Failed { .. } => Told::Pressed,
            CallEnd::Reached if self.pressed => Told::Pressed,
            CallEnd::Reached if self.events > 0 => Told::Answered { events: self.events, took: self.took },
            CallEnd::Reached | CallEnd::Held | CallEnd::Nothing => Told::Nothing,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Go(Pass),
    Until(Duration),
    /// Until something changes.
    Wait,
}

/// What the gate gives for one job.
struct Leave {
    leave: breaker::Leave,
    began: Began,
    probe: bool,
    events: u32,
}

/// Leave for one job. Dropped without an end it is given back, so that a probe can never be lost.
pub(crate) struct Pass {
    instance: Arc<Instance>,
    leave: breaker::Leave,
    began: Began,
    probe: bool,
    /// Events that the rate limit lets through.
    pub events: u32,
    ended: bool,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("events", &self.events).field("probe", &self.probe).finish_non_exhaustive()
    }
}

impl Instance {
    pub fn new(settings: InstanceSettings, all: Arc<Semaphore>, metrics: &Metrics, notices: NoticeSink) -> Arc<Self> {
        let metrics = metrics.instance(&settings.name);
        let concurrency = Concurrency::new(settings.concurrency);
        let mut hold = Hold::new(settings.trial);
        if settings.inactive {
            hold.pause();
        }
        metrics.breaker.set(BreakerState::Closed.gauge());
        metrics.concurrency.set(concurrency.limit().into());
        Arc::new(Self {
            slots: Slots::new(concurrency.limit(), all),
            gate: Mutex::new(Gate {
                breaker: Breaker::new(settings.breaker),
                hold,
                rate: settings.rate_limit.map(Rate::new),
                concurrency,
                rest_until: Duration::ZERO,
            }),
            settings,
            changed: watch::Sender::new(0),
            notices,
            metrics,
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Asks to send this many events; `paced` is false for calls that carry none.
    pub fn ask(self: &Arc<Self>, now: Duration, events: u32, paced: bool) -> Answer {
        // Part of a batch of keys must not go ahead of the rest of the same keys.
        let whole = self.settings.ordering == Ordering::Key;
        let (before, asked, after) = {
            let mut gate = self.lock();
            let before = gate.breaker.state();
            let asked = gate.ask(now, events, paced, whole);
            (before, asked, gate.breaker.state())
        };
        self.breaker_moved(before, after);
        match asked {
            Ok(Leave { leave, began, probe, events }) => Answer::Go(Pass { instance: Arc::clone(self), leave, began, probe, events, ended: false }),
            Err(refused) => refused,
        }
    }

    /// One more event broke fresh guests alone. True where the guest is to blame by now.
    pub fn blame(&self) -> bool {
        self.lock().hold.blame()
    }

    /// Calls that guests served to their end.
    pub fn count_served(&self) -> u64 {
        self.lock().hold.count_served()
    }

    /// Whether so many different events broke guests in a row that the guest is to blame.
    pub fn blamed(&self) -> bool {
        self.lock().hold.blamed()
    }

    /// A guest served a call to its end.
    pub fn served(&self) {
        if let Some(cause) = self.lock().hold.served() {
            tracing::info!(instance = %self.name(), cause = cause.name(), "instance goes on");
            (self.notices)(Notice::Released { instance: Arc::clone(self.name()), cause });
            self.wake();
        }
    }

    /// When the hold lets the next probe go.
    pub fn hold(&self, cause: HoldCause, reason: &str, now: Duration) -> Duration {
        let (until, news) = self.lock().hold.hold(cause, now);
        if news {
            tracing::error!(instance = %self.name(), cause = cause.name(), "instance is held, its events wait; see its status for the reason");
            (self.notices)(Notice::Held { instance: Arc::clone(self.name()), cause, reason: reason.into() });
        }
        self.wake();
        until
    }

    pub fn pause(&self) {
        self.lock().hold.pause();
        self.wake();
    }

    /// By hand: forgets breaker and waits.
    pub fn resume(&self, now: Duration) {
        let mut gate = self.lock();
        gate.hold.resume(now);
        let before = gate.breaker.state();
        gate.breaker.reset();
        gate.rest_until = Duration::ZERO;
        drop(gate);
        self.breaker_moved(before, BreakerState::Closed);
        self.wake();
    }

    pub fn state(&self) -> (BreakerState, Option<HoldCause>, Option<Duration>) {
        let gate = self.lock();
        (gate.breaker.state(), gate.hold.cause(), gate.hold.until())
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn wake(&self) {
        self.changed.send_modify(|times| *times += 1);
    }

    /// Deliveries at the same time: as many as may be now.
    pub fn concurrency(&self) -> u32 {
        self.lock().concurrency.limit()
    }

    fn end(&self, pass: &Pass, end: &CallEnd, effort: &Effort, now: Duration) {
        let mut gate = self.lock();
        let before = gate.breaker.state();
        match end {
            CallEnd::Reached => gate.breaker.success(pass.leave),
            CallEnd::Failed { rest } => {
                gate.breaker.failure(pass.leave, now);
                if let Some(rest) = rest {
                    gate.rest_until = gate.rest_until.max(now + (*rest).min(self.settings.retry.max));
                }
            }
            CallEnd::Held | CallEnd::Nothing => gate.breaker.abandon(pass.leave),
        }
        if pass.probe {
            // Changes nothing where the probe's outcome already released the instance or held it anew.
            gate.hold.abandon_probe();
        }
        let after = gate.breaker.state();
        self.adapt(&mut gate.concurrency, pass.began, effort.told(end), after);
        drop(gate);
        self.breaker_moved(before, after);
        // A probe's end may let others go; without one nobody waits for this call.
        if pass.probe || before != BreakerState::Closed {
            self.wake();
        }
    }

    fn adapt(&self, concurrency: &mut Concurrency, began: Began, told: Told, breaker: BreakerState) {
        let before = concurrency.limit();
        concurrency.end(began, told);
        if breaker == BreakerState::Open {
            concurrency.collapse();
        }
        let after = concurrency.limit();
        if before != after {
            self.slots.resize(after);
            self.metrics.concurrency.set(after.into());
            tracing::debug!(instance = %self.name(), before, after, "concurrency");
        }
    }

    fn breaker_moved(&self, before: BreakerState, after: BreakerState) {
        if before == after {
            return;
        }
        self.metrics.breaker.set(after.gauge());
        if after == BreakerState::Open {
            tracing::warn!(instance = %self.name(), "circuit breaker opened");
        } else {
            tracing::info!(instance = %self.name(), state = after.name(), "circuit breaker moved");
        }
        (self.notices)(Notice::Breaker { instance: Arc::clone(self.name()), state: after });
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn ask(&mut self, now: Duration, events: u32, paced: bool, whole: bool) -> Result<Leave, Answer> {
        if now < self.rest_until {
            return Err(Answer::Until(self.rest_until));
        }
        let probe = match self.hold.ask(now) {
            hold::Leave::Free => false,
            hold::Leave::Probe => true,
            hold::Leave::Until(until) => return Err(Answer::Until(until)),
            hold::Leave::Wait => return Err(Answer::Wait),
        };
        let asked = match self.breaker.ask(now) {
            breaker::Answer::Go(leave) => match &mut self.rate {
                Some(rate) if paced => rate.take(events, whole, now).map(|granted| (leave, granted)).map_err(|until| {
                    self.breaker.abandon(leave);
                    Answer::Until(until)
                }),
                _ => Ok((leave, events)),
            },
            breaker::Answer::Until(until) => Err(Answer::Until(until)),
            breaker::Answer::Probing => Err(Answer::Wait),
        };
        if asked.is_err() && probe {
            self.hold.abandon_probe();
        }
        asked.map(|(leave, events)| Leave { leave, began: self.concurrency.begin(), probe, events })
    }
}

impl Pass {
    pub fn end(mut self, end: &CallEnd, effort: &Effort, now: Duration) {
        self.ended = true;
        let instance = Arc::clone(&self.instance);
        instance.end(&self, end, effort, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.ended {
            let instance = Arc::clone(&self.instance);
            instance.end(self, &CallEnd::Nothing, &Effort::default(), Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests;
