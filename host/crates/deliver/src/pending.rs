//! Deliveries that the receiver confirms later: taken, not settled. In memory only: after a restart they
//! are sent again, which is what at-least-once means. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bulkhead_core::Seq;

use crate::schedule::Tries;

/// Most deliveries that a lane lets wait for a confirmation; beyond it sends no more.
pub(crate) const MOST: usize = 10_000;
/// Tokens asked for in one call.
pub(crate) const PER_CALL: usize = 100;
/// A receiver that says "at once" is not asked in a loop.
const LEAST_WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Unconfirmed {
    pub seq: Seq,
    pub token: String,
    pub poll_at: Duration,
    /// When it is sent again.
    pub expires: Duration,
    pub tries: Tries,
    pub key: u64,
    pub received_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// By the time of the next question; the slots keep the heap's entries small.
    heap: BinaryHeap<Reverse<(Duration, Seq, usize)>>,
    slots: Vec<Option<Unconfirmed>>,
    free: Vec<usize>,
}

impl Pending {
    /// `poll_after` counts from `now`; the question is never after the expiry.
    pub fn add(&mut self, mut entry: Unconfirmed, poll_after: Duration, now: Duration) {
        entry.poll_at = (now + poll_after.max(LEAST_WAIT)).min(entry.expires);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.heap.push(Reverse((entry.poll_at, entry.seq, slot)));
        self.slots[slot] = Some(entry);
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes up to [`PER_CALL`] that are due: those to ask for, and those that expired.
    pub fn take_due(&mut self, now: Duration) -> (Vec<Unconfirmed>, Vec<Unconfirmed>) {
        let mut due = Vec::new();
        while due.len() < PER_CALL && self.next_due().is_some_and(|at| at <= now) {
            let Some(Reverse((_, _, slot))) = self.heap.pop() else { break };
            due.extend(self.slots[slot].take());
            self.free.push(slot);
        }
        due.into_iter().partition(|entry| entry.expires > now)
    }
}

#[cfg(test)]
mod tests;
