//! How far behind the lane is, and what becomes of events that have waited too long or are too many: with
//! `on_full: dead_letter` they go to the dead letters, so that a dead receiver pins no journal segments.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bulkhead_core::Seq;
use bulkhead_journal::{ReadError, Reader};
use bulkhead_store::Cause;

use super::Driver;
use super::dispatch::Doomed;
use crate::job::Job;
use crate::judge::{Judge, millis};
use crate::jumps::{Corrections, Expiry};
use crate::settings::OnBacklogFull;

/// Events on their way to the dead letters at a time, beside those being written.
const BURYING: usize = 2;
/// Scheduled events taken at a time.
const TAKE: usize = 1000;

/// Finds the receipt of the oldest unsettled event, without waiting for the disk.
pub(super) struct Oldest {
    reader: Reader,
    known: Option<Seq>,
    /// Milliseconds since 1970, as stamped; 0 where nothing is unsettled.
    received_ms: i64,
    /// The same on today's clock.
    pub receipt_ms: i64,
}

impl Oldest {
    pub fn new(reader: Reader) -> Self {
        Self { reader, known: None, received_ms: 0, receipt_ms: 0 }
    }

    fn look(&mut self, cursor: Seq, backlog: u64, corrections: &Corrections) {
        self.find(cursor, backlog);
        self.receipt_ms = corrections.receipt(self.known.unwrap_or(cursor.next()), self.received_ms);
    }

    /// Where it has to read the disk, the answer is the one before until the next look.
    fn find(&mut self, cursor: Seq, backlog: u64) {
        if backlog == 0 {
            (self.known, self.received_ms) = (None, 0);
            return;
        }
        let oldest = cursor.next();
        if self.known == Some(oldest) {
            return;
        }
        if self.reader.position() != oldest {
            self.reader.seek(cursor);
        }
        match pin!(self.reader.next()).poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(Ok(frame)) => {
                let index = oldest.0.saturating_sub(frame.first().0) as usize;
                if index < frame.len() {
                    self.received_ms = i64::try_from(frame.event(index).received() / 1_000_000).unwrap_or(i64::MAX);
                    self.known = Some(oldest);
                }
            }
            Poll::Ready(Err(ReadError::Lost { .. } | ReadError::Gone { .. } | ReadError::Io { .. } | ReadError::Closed)) | Poll::Pending => {}
        }
    }
}

impl Driver<'_> {
    /// Looks at depth and age, and finds what is too old or too much.
    pub(super) fn tick(&mut self, now: Duration) {
        let backlog = self.log.backlog();
        let corrections = self.context.corrections();
        self.oldest.look(self.log.cursor(), backlog, &corrections);
        self.metrics.depth.set(backlog.cast_signed());
        let unix_ms = self.context.unix_ms();
        let age_ms = if self.oldest.receipt_ms == 0 { 0 } else { (unix_ms - self.oldest.receipt_ms).max(0) };
        self.metrics.oldest.set(age_ms / 1000);
        self.show();

        let settings = self.instance.settings.backlog;
        if settings.on_full == OnBacklogFull::Block {
            return;
        }
        if let Some(max_age) = settings.max_age {
            let expiry = Expiry { before_ms: unix_ms.saturating_sub(millis(max_age)), corrections };
            if self.oldest.receipt_ms != 0 && self.oldest.receipt_ms < expiry.before_ms && self.doomed.is_empty() {
                let attempted_before_ms = millis(now).saturating_sub(millis(max_age));
                for waiting in self.schedule.take_older(&expiry, attempted_before_ms, TAKE) {
                    self.doomed.push_back(Doomed { waiting, cause: Cause::BacklogAge, reason: reason(Cause::BacklogAge).into() });
                }
                self.bury_older(&expiry, now);
            }
        }
        if let Some(max_bytes) = settings.max_bytes {
            // By the average event: of this process, or of the segments before it has taken any.
            let stats = self.context.parts.journal.stats();
            let stored = stats.head.0.saturating_sub(stats.oldest.0.saturating_sub(1)).max(1);
            let average = stats.appended_bytes.checked_div(stats.events).unwrap_or(stats.bytes / stored).max(1);
            let leaving = self.burying_in_flight + (self.doomed.len() + self.burying.iter().map(|(job, _)| job.len()).sum::<usize>()) as u64;
            self.excess = backlog.saturating_sub(max_bytes / average).saturating_sub(leaving);
        }
    }

    /// Events that are read and past it go to the dead letters at once.
    pub(super) fn expiry(&self) -> Expiry {
        let settings = &self.instance.settings.backlog;
        match settings.max_age {
            Some(max_age) if settings.on_full == OnBacklogFull::DeadLetter => {
                Expiry { before_ms: self.context.unix_ms().saturating_sub(millis(max_age)), corrections: self.context.corrections() }
            }
            _ => Expiry::default(),
        }
    }

    /// Takes what is too much, oldest first, as fast as it can be written.
    pub(super) fn shed(&mut self, now: Duration) {
        if self.excess == 0 || self.burying.len() >= BURYING || !self.doomed.is_empty() {
            return;
        }
        let most = usize::try_from(self.excess).unwrap_or(usize::MAX).min(TAKE);
        let scheduled = self.schedule.take_oldest(most);
        if !scheduled.is_empty() {
            self.excess -= scheduled.len() as u64;
            for waiting in scheduled {
                self.doomed.push_back(Doomed { waiting, cause: Cause::BacklogSize, reason: reason(Cause::BacklogSize).into() });
            }
        } else if let Some(mut job) = self.returned.pop_front() {
            let oldest = job.split_to(most);
            if !job.is_empty() {
                self.returned.push_front(job);
            }
            self.excess -= oldest.len() as u64;
            self.bury_unsent(oldest, Cause::BacklogSize);
        } else if self.feed.len() > 0 {
            let job = self.feed.take(most, now);
            self.excess -= job.len() as u64;
            self.bury_unsent(job, Cause::BacklogSize);
        }
    }

    /// What is in hand and has waited too long.
    fn bury_older(&mut self, expiry: &Expiry, now: Duration) {
        for _ in 0..self.returned.len() {
            let Some(mut job) = self.returned.pop_front() else { break };
            let old = job.count_older(expiry);
            if old > 0 {
                let oldest = job.split_to(old);
                self.bury_unsent(oldest, Cause::BacklogAge);
            }
            if !job.is_empty() {
                self.returned.push_back(job);
            }
        }
        let old = self.feed.count_older(expiry);
        if old > 0 {
            let job = self.feed.take(old, now);
            self.bury_unsent(job, Cause::BacklogAge);
        }
    }

    pub(super) fn bury_unsent(&mut self, job: Job, cause: Cause) {
        let policy = self.instance.settings.retry;
        let judge = Judge::new(&policy, self.context.now(), self.context.unix_ms(), 0.0);
        let letters = (0..job.len()).map(|item| judge.letter(item, cause, reason(cause).into(), &job.tries(item))).collect();
        self.burying.push_back((job, letters));
    }
}

fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::BacklogAge => "older than the lane's `backlog.max_age`",
        _ => "beyond the lane's `backlog.max_bytes`",
    }
}
