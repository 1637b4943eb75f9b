//! When the next run is, of an interval or a cron schedule, with what failed tried again before. Pure: both clocks
//! are arguments.

use std::time::Duration;

use bulkhead_core::SyncTrigger;

use super::timer::{Look, Timer};

/// Between two looks of a schedule that brings nothing.
const IDLE: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct When {
    schedule: Schedule,
    /// A run at a time of the monotonic clock: the next of an interval, or one that is tried again.
    planned: Option<Planned>,
}

#[derive(Debug)]
enum Schedule {
    Every(Duration),
    Cron(Timer),
    /// Nothing is due by itself.
    Asked,
}

#[derive(Debug)]
struct Planned {
    at: Duration,
    trigger: SyncTrigger,
    again: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Run {
        trigger: SyncTrigger,
        /// One that did not come to its end before.
        again: bool,
    },
    /// Look again after this; the next run is then, in milliseconds since 1970.
    Wait(Duration, Option<i64>),
}

impl When {
    /// First at once, then this long after each end.
    pub fn every(interval: Duration, monotonic: Duration) -> Self {
        Self { schedule: Schedule::Every(interval), planned: Some(Planned { at: monotonic, trigger: SyncTrigger::Start, again: false }) }
    }

    pub fn cron(timer: Timer) -> Self {
        Self { schedule: Schedule::Cron(timer), planned: None }
    }

    /// By hand and by events alone.
    pub fn asked() -> Self {
        Self { schedule: Schedule::Asked, planned: None }
    }

    /// At once, before anything else: it was missed.
    pub fn with_missed(self, monotonic: Duration) -> Self {
        Self { planned: Some(Planned { at: monotonic, trigger: SyncTrigger::Start, again: false }), ..self }
    }

    pub fn look(&mut self, unix_ms: i64, monotonic: Duration) -> Turn {
        if let Some(Planned { at, trigger, again }) = self.planned {
            let wait = at.saturating_sub(monotonic);
            let at_ms = unix_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            return if wait.is_zero() { Turn::Run { trigger, again } } else { Turn::Wait(wait, Some(at_ms)) };
        }
        match &mut self.schedule {
            Schedule::Cron(timer) => match timer.look(unix_ms, monotonic) {
                Look::Due => Turn::Run { trigger: SyncTrigger::Scheduled, again: false },
                Look::Wait(wait, due) => Turn::Wait(wait, due),
            },
            // Something is always planned.
            Schedule::Every(interval) => Turn::Wait(*interval, None),
            Schedule::Asked => Turn::Wait(IDLE, None),
        }
    }

    /// A run came to its end, or nobody wants it any more: nothing up to now needs one.
    pub fn settle(&mut self, unix_ms: i64, monotonic: Duration) {
        match &mut self.schedule {
            Schedule::Every(interval) => self.planned = Some(Planned { at: monotonic + *interval, trigger: SyncTrigger::Scheduled, again: false }),
            Schedule::Cron(timer) => {
                timer.settle(unix_ms);
                self.planned = None;
            }
            Schedule::Asked => self.planned = None,
        }
    }

    /// A run did not. One of the schedule, or of an event, is tried again; one by hand only together with such a one.
    pub fn again(&mut self, trigger: SyncTrigger, monotonic: Duration, wait: Duration) {
        let trigger = match (trigger, &self.schedule, &self.planned) {
            (SyncTrigger::Manual, _, Some(planned)) => planned.trigger,
            (SyncTrigger::Manual, Schedule::Every(_), None) => SyncTrigger::Scheduled,
            (SyncTrigger::Manual, _, None) => return,
            (own, ..) => own,
        };
        self.planned = Some(Planned { at: monotonic + wait, trigger, again: true });
    }
}

#[cfg(test)]
mod tests;
