//! When a cron schedule is due, by a wall clock that may jump. Pure: both clocks are arguments.
//!
//! Promises: what lies between two looks is due once, however much of it there is, so a clock that jumps ahead
//! leaves nothing out. A clock that is set back makes nothing run twice: a time that ran is passed over unless half
//! a period has gone by on the monotonic clock since it did. So `0 6 * * *` does not come again at a six o'clock
//! that comes again, and `* * * * *` does not stand still for an hour. Of jumps before its start it knows what the
//! settled time tells, no more.

use std::time::Duration;

use super::cron::Cron;

/// Longest time between two looks at the wall clock.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Timer {
    cron: Cron,
    looked_ms: i64,
    ran: Option<Ran>,
}

#[derive(Debug)]
struct Ran {
    at_ms: i64,
    monotonic: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Due,
    /// Look again after this; it is due then.
    Wait(Duration, Option<i64>),
}

impl Timer {
    /// Everything up to `settled_ms` needs no run any more.
    pub fn new(cron: Cron, settled_ms: i64, unix_ms: i64, monotonic: Duration) -> Self {
        // The clock was set back while nobody looked: that counts as if it ran just now.
        let ran = (settled_ms > unix_ms).then_some(Ran { at_ms: settled_ms, monotonic });
        Self { cron, looked_ms: settled_ms.min(unix_ms), ran }
    }

    /// Whether something was due since the last look.
    pub fn is_behind(&self, unix_ms: i64) -> bool {
        self.cron.next(self.looked_ms).is_some_and(|due| due <= unix_ms)
    }

    /// Nothing up to now needs a run any more.
    pub fn settle(&mut self, unix_ms: i64) {
        self.looked_ms = unix_ms;
    }

    pub fn look(&mut self, unix_ms: i64, monotonic: Duration) -> Look {
        let mut from_ms = self.looked_ms.min(unix_ms);
        self.looked_ms = unix_ms;
        while let Some(due) = self.cron.next(from_ms) {
            if self.repeats(due, unix_ms, monotonic) {
                from_ms = due;
            } else if due <= unix_ms {
                self.ran = Some(Ran { at_ms: unix_ms, monotonic });
                return Look::Due;
            } else {
                let until = Duration::from_millis(due.abs_diff(unix_ms));
                return Look::Wait(until.min(LOOK), Some(due));
            }
        }
        Look::Wait(LOOK, None)
    }

    /// Whether it ran under this name already, too short a while before.
    fn repeats(&self, due: i64, unix_ms: i64, monotonic: Duration) -> bool {
        let Some(ran) = self.ran.as_ref().filter(|ran| due <= ran.at_ms) else { return false };
        // The longer of the two to come: `0 6,7 * * *` has an hour and a day.
        let next = self.cron.next(ran.at_ms);
        let period = next.and_then(|next| Some((next - ran.at_ms).max(self.cron.next(next)? - next))).unwrap_or(i64::MAX);
        let since = i64::try_from(monotonic.saturating_sub(ran.monotonic).as_millis()).unwrap_or(i64::MAX);
        since.saturating_add(due - unix_ms) < period / 2
    }
}

#[cfg(test)]
mod tests;
