//! What goes to a worker next.

use std::sync::atomic::Ordering as Atomic;
use std::time::Duration;

use bulkhead_core::Seq;
use bulkhead_journal::{Frame, ReadError};
use bulkhead_store::Cause;
use std::sync::Arc;

use super::{Driver, WAITING, pending};
use crate::batch::Ready;
use crate::hold::HoldCause;
use crate::instance::{Answer, Pass};
use crate::job::Job;
use crate::judge::{Judge, Letter};
use crate::ordering::Ordering;
use crate::schedule::Waiting;
use crate::slots::Slot;
use crate::worker::Work;

/// An event that becomes a dead letter without being in hand.
pub(super) struct Doomed {
    pub waiting: Waiting,
    pub cause: Cause,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bury,
    Doomed,
    Confirm,
    Retry,
    Returned,
    Fresh,
}

impl Driver<'_> {
    /// Hands out what may go now. The only waits are for reading events again.
    pub(super) async fn dispatch(&mut self, now: Duration) {
        self.gate_until = None;
        self.blocked = self.shared.full.load(Atomic::Relaxed) > 0;
        while !self.blocked
            && let Some(kind) = self.next_kind(now)
        {
            if self.idle.is_empty() && self.workers.len() >= self.instance.settings.concurrency.max as usize {
                break;
            }
            let Some(slot) = self.slot.take().or_else(|| self.instance.slots.try_take()) else {
                if self.waiting.is_none() {
                    self.waiting = Some(Box::pin(self.instance.slots.clone().take()));
                }
                return;
            };
            self.hand_out(kind, slot, now).await;
            // Reads on between two batches; a closed journal is found out in the next round.
            if kind == Kind::Fresh && !self.fill(now) {
                break;
            }
        }
        // A place that nothing here needs must not be kept from others.
        self.slot = None;
        self.waiting = None;
    }

    async fn hand_out(&mut self, kind: Kind, slot: Slot, now: Duration) {
        match kind {
            Kind::Bury => {
                if let Some((job, letters)) = self.burying.pop_front() {
                    self.send(Work::Bury(job, letters), slot);
                }
            }
            Kind::Doomed => {
                if let Some((job, letters)) = self.read_doomed(now).await {
                    self.send(Work::Bury(job, letters), slot);
                }
            }
            Kind::Confirm => {
                let Some(pass) = self.ask(now, 0, false) else { return };
                let (ask, expired) = self.pending.take_due(now);
                for entry in expired {
                    self.expired(entry, now);
                }
                if !ask.is_empty() {
                    self.send(Work::Confirm(ask, pass), slot);
                }
            }
            Kind::Retry => {
                let due = self.schedule.due(now, self.instance.settings.batch.max_events.max(1) as usize);
                let Some(pass) = self.ask(now, due as u32, true) else { return };
                let waiting = self.schedule.take_due(now, pass.events as usize);
                let job = self.read_again(waiting, now).await;
                if !job.is_empty() {
                    self.retries_in_flight = true;
                    self.send(Work::Deliver(job, pass), slot);
                }
            }
            Kind::Returned => {
                let Some(mut job) = self.returned.pop_front() else { return };
                match self.ask(now, job.len() as u32, true) {
                    Some(pass) => {
                        let first = job.split_to(pass.events as usize);
                        if !job.is_empty() {
                            self.returned.push_front(job);
                        }
                        self.send(Work::Deliver(first, pass), slot);
                    }
                    None => self.returned.push_front(job),
                }
            }
            Kind::Fresh => {
                let Some(pass) = self.ask(now, self.feed.len() as u32, true) else { return };
                let job = self.feed.take(pass.events as usize, now);
                self.send(Work::Deliver(job, pass), slot);
            }
        }
    }

    fn next_kind(&self, now: Duration) -> Option<Kind> {
        if !self.burying.is_empty() {
            return Some(Kind::Bury);
        }
        if !self.doomed.is_empty() {
            return Some(Kind::Doomed);
        }
        if self.pending.next_due().is_some_and(|at| at <= now) {
            return Some(Kind::Confirm);
        }
        let retry_due = self.schedule.next_due().is_some_and(|at| at <= now);
        let fresh = self.feed.ready(now, self.draining) == Ready::Now;
        let ordering = self.instance.settings.ordering;
        if ordering == Ordering::Strict {
            // One batch under way; what failed goes before anything later.
            if self.jobs_in_flight > 0 || self.pending.len() > 0 {
                return None;
            }
            if !self.schedule.is_empty() {
                return retry_due.then_some(Kind::Retry);
            }
        }
        let retry = retry_due && (ordering != Ordering::Key || !self.retries_in_flight);
        // What broke the guests comes last: something else may show that they are well.
        let suspicious = self.instance.state().1 == Some(HoldCause::Quarantine);
        if retry && !suspicious {
            return Some(Kind::Retry);
        }
        // A receiver that takes nothing must not fill the memory with what it did not take.
        let room = self.schedule.len() < WAITING && self.pending.len() < pending::MOST;
        // In strict order what was not attempted goes before what was not even taken.
        if room && fresh && suspicious && ordering != Ordering::Strict {
            return Some(Kind::Fresh);
        }
        if room && !self.returned.is_empty() {
            return Some(Kind::Returned);
        }
        if room && fresh {
            return Some(Kind::Fresh);
        }
        retry.then_some(Kind::Retry)
    }

    fn ask(&mut self, now: Duration, events: u32, paced: bool) -> Option<Pass> {
        match self.instance.ask(now, events, paced) {
            Answer::Go(pass) => return Some(pass),
            Answer::Until(until) => self.gate_until = Some(until),
            Answer::Wait => {}
        }
        self.blocked = true;
        None
    }

    fn send(&mut self, work: Work, slot: Slot) {
        let events = match &work {
            Work::Deliver(job, _) | Work::Bury(job, _) => job.len(),
            Work::Confirm(entries, _) => entries.len(),
        };
        let Some(worker) = self.worker() else { return };
        if let Work::Bury(job, _) = &work {
            self.burying_in_flight += job.len() as u64;
        }
        self.jobs_in_flight += 1;
        self.events_in_flight += events as u64;
        // Its channel has room for one and an idle worker has none, so only a dead worker refuses; that
        // ends this driver, and the events are read again.
        if self.workers[worker].try_send((work, slot)).is_err() {
            tracing::debug!(lane = %self.shared.id, worker, "worker is gone");
        }
    }

    /// The events from the journal, in order, as one job. What cannot be read now waits on, and in order all
    /// that is later with it.
    pub(super) async fn read_again(&mut self, waiting: Vec<Waiting>, now: Duration) -> Job {
        let mut job = Job::default();
        let mut frame: Option<Arc<Frame>> = None;
        let ordering = self.instance.settings.ordering;
        let by_key = ordering == Ordering::Key;
        let mut waiting = waiting.into_iter();
        while let Some(entry) = waiting.next() {
            match self.frame_of(entry.seq, &mut frame).await {
                Ok(Some(frame)) => {
                    let index = (entry.seq.0 - frame.first().0) as usize;
                    job.push_tried(frame, index, by_key.then_some(entry.key), entry.tries);
                }
                Ok(None) => {
                    if by_key && let Some(keys) = self.feed.keys() {
                        keys.release(entry.key);
                    }
                    self.lost(entry.seq, entry.seq);
                }
                Err(error) => {
                    self.read_failed(&error, now);
                    let due = now + super::AFTER_ERROR;
                    for entry in std::iter::once(entry).chain(waiting.by_ref()) {
                        self.schedule.add(Waiting { due, ..entry });
                    }
                    if ordering != Ordering::None {
                        self.schedule.hold_back(None, due);
                    }
                }
            }
        }
        job
    }

    /// The frame that holds this event, read where it is not the last one; none where it is lost.
    async fn frame_of<'f>(&mut self, seq: Seq, last: &'f mut Option<Arc<Frame>>) -> Result<Option<&'f Arc<Frame>>, ReadError> {
        let holds = |frame: &Arc<Frame>| frame.first() <= seq && seq <= frame.last();
        if !last.as_ref().is_some_and(holds) {
            if self.again.position() != seq {
                self.again.seek(Seq(seq.0.saturating_sub(1)));
            }
            *last = match self.again.next().await {
                Ok(frame) => Some(frame),
                Err(ReadError::Lost { .. } | ReadError::Gone { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(last.as_ref().filter(|frame| holds(frame)))
    }

    /// Reads the next events that are to be buried.
    async fn read_doomed(&mut self, now: Duration) -> Option<(Job, Vec<Letter>)> {
        let most = self.instance.settings.batch.max_events.max(1) as usize;
        let doomed: Vec<Doomed> = self.doomed.drain(..most.min(self.doomed.len())).collect();
        let settings = self.instance.settings.retry;
        let judge = Judge::new(&settings, now, self.context.unix_ms(), 0.0);
        let mut whole = Job::default();
        let mut letters = Vec::with_capacity(doomed.len());
        for Doomed { waiting, cause, reason } in doomed {
            let tries = waiting.tries.clone();
            let read = self.read_again(vec![waiting], now).await;
            if !read.is_empty() {
                letters.push(judge.letter(whole.len(), cause, reason, &tries));
                whole.append(read);
            }
        }
        (!whole.is_empty()).then_some((whole, letters))
    }
}
