//! What a worker reported becomes the lane's state: settled ranges, scheduled retries, open confirmations.

use std::collections::HashSet;
use std::time::Duration;

use bulkhead_core::{Outcome, Seq};
use bulkhead_journal::RetryEntry;

use super::Driver;
use super::dispatch::Doomed;
use crate::job::Job;
use crate::judge::{Judge, Verdict, millis};
use crate::ordering::Ordering;
use crate::pending::Unconfirmed;
use crate::schedule::{Tries, Waiting};
use crate::worker::{Done, Report};
use bulkhead_store::Cause;

/// Until the next question after one that got no answer.
const ASK_AGAIN: Duration = Duration::from_secs(10);
const UNCONFIRMED: &str = "unconfirmed";

impl Driver<'_> {
    pub(super) fn finish(&mut self, done: Done) {
        self.idle.push(done.worker);
        self.jobs_in_flight -= 1;
        if matches!(&done.report, Report::Settled(job) | Report::Each(job, _) if job.is_retry()) {
            self.retries_in_flight = false;
        }
        match done.report {
            Report::Settled(job) => {
                self.events_in_flight -= job.len() as u64;
                self.settle_all(&job);
                self.feed.reuse(job);
            }
            Report::Buried(job) => {
                self.events_in_flight -= job.len() as u64;
                self.burying_in_flight -= job.len() as u64;
                self.settle_all(&job);
            }
            Report::Each(job, verdicts) => {
                self.events_in_flight -= job.len() as u64;
                self.settle_each(job, verdicts);
            }
            Report::Confirmed(entries, outcomes) => {
                self.events_in_flight -= entries.len() as u64;
                self.confirmed(entries, outcomes);
            }
        }
    }

    fn settle_all(&mut self, job: &Job) {
        let mut run: Option<(Seq, Seq)> = None;
        for i in 0..job.len() {
            self.extend(&mut run, job.covers(i));
        }
        self.settle(run);
        if let Some(keys) = self.feed.keys() {
            for key in job.keys() {
                keys.release(*key);
            }
        }
    }

    fn settle_each(&mut self, mut job: Job, verdicts: Vec<Verdict>) {
        let now = self.context.now();
        let in_order = self.instance.settings.ordering != Ordering::None;
        // In order, what failed comes back together: none of it may overtake another.
        let latest = verdicts.iter().filter_map(|verdict| if let Verdict::Retry { due, .. } = verdict { Some(*due) } else { None }).max();
        let mut run: Option<(Seq, Seq)> = None;
        let mut untouched = Vec::new();
        let mut failed_keys = HashSet::new();
        let retried = job.is_retry();
        for (i, verdict) in verdicts.into_iter().enumerate() {
            let key = job.key(i).unwrap_or_default();
            match verdict {
                Verdict::Settled | Verdict::Bury => {
                    self.extend(&mut run, job.covers(i));
                    if let Some(keys) = self.feed.keys() {
                        keys.release(key);
                    }
                }
                Verdict::Untouched => untouched.push(i),
                Verdict::Retry { due, tries } => {
                    if let Some(lead) = job.take_lead(i) {
                        self.extend(&mut run, lead);
                    }
                    let due = if in_order { latest.unwrap_or(due) } else { due };
                    failed_keys.insert(key);
                    self.schedule_retry(Waiting { seq: job.seq(i), due, tries, key, received_ms: received_ms(&job, i) }, now);
                }
                Verdict::Pending { token, poll_after, tries } => {
                    if let Some(lead) = job.take_lead(i) {
                        self.extend(&mut run, lead);
                    }
                    let expires = now + self.context.parts.settings.pending_expiry;
                    let entry = Unconfirmed { seq: job.seq(i), token, poll_at: now, expires, tries, key, received_ms: received_ms(&job, i) };
                    self.pending.add(entry, poll_after, now);
                }
            }
        }
        self.settle(run);
        if in_order {
            // What was not attempted waits behind what failed, and with what it was scheduled with.
            let by_key = self.instance.settings.ordering == Ordering::Key;
            let behind = |i: &usize| retried || by_key && failed_keys.contains(&job.key(*i).unwrap_or_default());
            let (back, rest): (Vec<usize>, Vec<usize>) = untouched.into_iter().partition(behind);
            untouched = rest;
            let back_keys: HashSet<u64> = back.iter().map(|i| job.key(*i).unwrap_or_default()).collect();
            for i in back {
                if let Some(lead) = job.take_lead(i) {
                    self.settle(Some(lead));
                }
                let waiting =
                    Waiting { seq: job.seq(i), due: now, tries: job.tries(i), key: job.key(i).unwrap_or_default(), received_ms: received_ms(&job, i) };
                self.schedule_retry(waiting, now);
            }
            // What is later may have been due before: it waits at least as long.
            for (keys, due) in [(back_keys, now), (failed_keys, latest.unwrap_or(now))] {
                if !keys.is_empty() {
                    self.schedule.hold_back(by_key.then_some(&keys), due);
                }
            }
        }
        if untouched.len() == job.len() {
            self.returned.push_back(job);
        } else if !untouched.is_empty() {
            self.returned.push_back(job.pick(&untouched));
        }
    }

    fn confirmed(&mut self, entries: Vec<Unconfirmed>, mut outcomes: Vec<Outcome>) {
        let now = self.context.now();
        if outcomes.is_empty() {
            for entry in entries {
                self.pending.add(entry, ASK_AGAIN, now);
            }
            return;
        }
        let unix_ms = self.context.unix_ms();
        for (entry, outcome) in entries.into_iter().zip(outcomes.drain(..)) {
            match outcome {
                Outcome::Accepted { .. } => {
                    self.metrics.delivered.inc();
                    self.metrics.seconds.observe(unix_ms.saturating_sub(entry.received_ms) as f64 / 1e3);
                    self.settle(Some((entry.seq, entry.seq)));
                    if let Some(keys) = self.feed.keys() {
                        keys.release(entry.key);
                    }
                }
                Outcome::Pending { token, poll_after } => self.pending.add(Unconfirmed { token, ..entry }, poll_after, now),
                Outcome::Rejected { reason } => {
                    let waiting = waiting(entry, now);
                    self.doomed.push_back(Doomed { waiting, cause: Cause::Rejected, reason });
                }
                Outcome::Retry { after } => self.send_again(entry, "retry", after, now),
            }
        }
    }

    /// The receiver did not confirm in time.
    pub(super) fn expired(&mut self, entry: Unconfirmed, now: Duration) {
        self.send_again(entry, UNCONFIRMED, None, now);
    }

    fn send_again(&mut self, entry: Unconfirmed, code: &'static str, after: Option<Duration>, now: Duration) {
        let policy = self.instance.settings.retry;
        let mut judge = Judge::new(&policy, now, self.context.unix_ms(), self.context.draw());
        // The attempt was counted when it was made; only its end is new.
        let before = Tries { attempts: entry.tries.attempts.saturating_sub(1), ..entry.tries.clone() };
        let mut waiting = waiting(entry, now);
        match judge.again(0, code, after, None, true, &before) {
            (Verdict::Retry { due, tries }, _) => {
                self.metrics.retried.inc();
                // It has waited long enough for its confirmation.
                waiting.due = if code == UNCONFIRMED { now } else { due };
                // The first attempt may have been this one.
                waiting.tries = Tries { first_ms: waiting.tries.first_ms, ..tries };
                self.schedule_retry(waiting, now);
            }
            (_, Some(letter)) => self.doomed.push_back(Doomed { waiting, cause: letter.cause, reason: letter.reason }),
            (_, None) => {}
        }
    }

    pub(super) fn schedule_retry(&mut self, waiting: Waiting, now: Duration) {
        let unix_ms = self.context.unix_ms();
        let entry = RetryEntry {
            attempts: waiting.tries.attempts,
            first_ms: u64::try_from(unix_ms - millis(waiting.tries.elapsed(millis(now)))).unwrap_or(0),
            due_ms: u64::try_from(unix_ms + millis(waiting.due.saturating_sub(now))).unwrap_or(0),
        };
        self.log.retry(waiting.seq, entry);
        self.dirty = true;
        self.schedule.add(waiting);
    }

    /// Puts a range to the run before it, or settles that one and begins anew.
    fn extend(&mut self, run: &mut Option<(Seq, Seq)>, (first, last): (Seq, Seq)) {
        match run {
            Some((_, end)) if end.next() == first => *end = last,
            _ => {
                let before = run.replace((first, last));
                self.settle(before);
            }
        }
    }

    fn settle(&mut self, run: Option<(Seq, Seq)>) {
        if let Some((first, last)) = run {
            self.log.settle(first, last);
            self.dirty = true;
        }
    }
}

fn waiting(entry: Unconfirmed, now: Duration) -> Waiting {
    Waiting { seq: entry.seq, due: now, tries: entry.tries, key: entry.key, received_ms: entry.received_ms }
}

fn received_ms(job: &Job, i: usize) -> i64 {
    i64::try_from(job.event(i).received() / 1_000_000).unwrap_or(i64::MAX)
}
