//! The retry schedule of a lane: data, not a loop. What waits is in memory as a few numbers per event; the
//! event itself stays in the journal and is read again when it is due. Pure: time is an argument.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::Seq;
use bulkhead_store::Attempt;

use crate::jumps::Expiry;

/// Attempts listed in a dead letter: the first ones and the latest.
const KEPT_FIRST: usize = 4;
const KEPT_LAST: usize = 12;

/// The attempts of an event, oldest first.
pub type Log = Arc<[Attempt]>;
/// The log before and after the last event's failure.
pub type LastLog = Option<(Option<Log>, Log)>;

/// What is known of an event's attempts. Times are milliseconds on the monotonic clock and may lie before
/// its start, so that a jump of the wall clock neither shortens nor lengthens a retry budget.
#[derive(Debug, Clone, Default)]
pub struct Tries {
    pub attempts: u32,
    pub first_ms: i64,
    /// Shared by the events of one batch; what was before a restart is not in it.
    pub log: Option<Arc<[Attempt]>>,
    /// Where the event broke fresh guests alone: how many calls the instance's guests had served by then.
    pub blamed_at: Option<u64>,
}

impl Tries {
    /// After one more attempt. Events of one batch have mostly failed together before: `last` is the log
    /// made for the event in front, shared where the one before it was the same.
    pub fn failed(&self, now_ms: i64, attempt: &Attempt, last: &mut LastLog) -> Self {
        let log = match last {
            Some((before, after)) if same(before.as_ref(), self.log.as_ref()) => Arc::clone(after),
            _ => {
                let after = extended(self.log.as_deref().unwrap_or_default(), attempt);
                *last = Some((self.log.clone(), Arc::clone(&after)));
                after
            }
        };
        Self {
            attempts: self.attempts.saturating_add(1),
            first_ms: if self.attempts == 0 { now_ms } else { self.first_ms },
            log: Some(log),
            blamed_at: self.blamed_at,
        }
    }

    pub fn elapsed(&self, now_ms: i64) -> Duration {
        if self.attempts == 0 { Duration::ZERO } else { Duration::from_millis(u64::try_from(now_ms - self.first_ms).unwrap_or(0)) }
    }
}

fn same(a: Option<&Arc<[Attempt]>>, b: Option<&Arc<[Attempt]>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// The log with one more attempt; in the middle it loses the oldest.
fn extended(log: &[Attempt], attempt: &Attempt) -> Arc<[Attempt]> {
    let drop = (log.len() >= KEPT_FIRST + KEPT_LAST).then_some(KEPT_FIRST);
    log.iter().enumerate().filter(|(i, _)| Some(*i) != drop).map(|(_, old)| old).chain([attempt]).cloned().collect()
}

/// An event that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub seq: Seq,
    pub due: Duration,
    pub tries: Tries,
    /// Its key where the lane keeps order by key.
    pub key: u64,
    /// Time of receipt, milliseconds since 1970; 0 where it is not known after a restart.
    pub received_ms: i64,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    /// The greatest of a heap is due first; among those, the oldest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.seq).cmp(&(self.due, self.seq))
    }
}

#[derive(Debug, Default)]
pub struct Schedule {
    heap: BinaryHeap<Waiting>,
}

impl Schedule {
    pub fn add(&mut self, waiting: Waiting) {
        self.heap.push(waiting);
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.heap.peek().map(|first| first.due)
    }

    /// How many of at most `most` are due.
    pub fn due(&self, now: Duration, most: usize) -> usize {
        // A heap is no sorted list: counts only whether there is work, exactly enough for a batch.
        if self.next_due().is_none_or(|due| due > now) { 0 } else { self.heap.iter().filter(|waiting| waiting.due <= now).take(most).count() }
    }

    /// Takes at most `most` that are due, in the order of the journal.
    pub fn take_due(&mut self, now: Duration, most: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while taken.len() < most && self.next_due().is_some_and(|due| due <= now) {
            taken.extend(self.heap.pop());
        }
        taken.sort_unstable_by_key(|waiting| waiting.seq);
        taken
    }

    /// Lets everything of these keys, or of all, wait until `due`, so that nothing overtakes.
    pub fn hold_back(&mut self, keys: Option<&HashSet<u64>>, due: Duration) {
        let held = |waiting: &Waiting| waiting.due < due && keys.is_none_or(|keys| keys.contains(&waiting.key));
        if self.heap.iter().any(held) {
            let mut all = std::mem::take(&mut self.heap).into_vec();
            all.iter_mut().filter(|waiting| held(waiting)).for_each(|waiting| waiting.due = due);
            self.heap = all.into();
        }
    }

    /// Lets nothing be due before what is earlier in the journal and has the same key; without `by_key` all
    /// have the same. After a start the lane's log says of each event when it was due by itself.
    pub fn line_up(&mut self, by_key: bool) {
        let mut latest: HashMap<u64, Duration> = HashMap::new();
        let all = self.take_oldest(usize::MAX);
        self.heap.extend(all.into_iter().map(|waiting| {
            let due = latest.entry(if by_key { waiting.key } else { 0 }).or_default();
            *due = waiting.due.max(*due);
            Waiting { due: *due, ..waiting }
        }));
    }

    /// Takes the `most` oldest, whenever they are due.
    pub fn take_oldest(&mut self, most: usize) -> Vec<Waiting> {
        let mut all = std::mem::take(&mut self.heap).into_vec();
        all.sort_unstable_by_key(|waiting| waiting.seq);
        self.heap.extend(all.drain(most.min(all.len())..));
        all
    }

    /// Takes at most `most` that have waited too long.
    ///
    /// Where the receipt is not known, which is so after a restart, the first attempt counts, for it came later;
    /// `attempted_before_ms` is on the clock of [`Tries`].
    pub fn take_older(&mut self, expiry: &Expiry, attempted_before_ms: i64, most: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let old = |waiting: &Waiting| match waiting.received_ms {
            0 => waiting.tries.attempts > 0 && waiting.tries.first_ms < attempted_before_ms,
            received_ms => expiry.corrections.receipt(waiting.seq, received_ms) < expiry.before_ms,
        };
        if self.heap.iter().any(old) {
            let (mut gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.heap).into_vec().into_iter().partition(old);
            self.heap = kept.into();
            gone.sort_unstable_by_key(|waiting| waiting.seq);
            self.heap.extend(gone.drain(most.min(gone.len())..));
            taken = gone;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
