//! A worker hands jobs to its own pair of guests, one at a time: format, deliver, judge, bury. What a guest
//! breaks on is halved until the event is alone. It decides nothing about the lane; it reports.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_core::receipt::About;
use bulkhead_core::{DeliverError, Delivery, Failure, FormatterSource, OpenError, Outcome};
use bulkhead_format::{BatchBuilder, FormatFault, FormatterSlot, without};
use bulkhead_seal::SealedBatch;
use bulkhead_store::Cause;
use tokio::sync::mpsc;

use crate::bury::bury;
use crate::context::Context;
use crate::guest::{CallError, ConnectorSlot};
use crate::hold::HoldCause;
use crate::instance::{CallEnd, Effort, Instance, Pass};
use crate::job::Job;
use crate::judge::{Judge, Letter, Verdict};
use crate::onlooker::seen;
use crate::ordering::Ordering as Order;
use crate::pending::Unconfirmed;
use crate::schedule::Tries;
use crate::slots::Slot;
use crate::status::LaneShared;
use crate::upkeep::Upkeep;
use crate::worklist::{AfterFault, Worklist};

/// What a worker is asked to do.
pub(crate) enum Work {
    Deliver(Job, Pass),
    /// Events that go to the dead letters without another attempt.
    Bury(Job, Vec<Letter>),
    /// Deliveries to ask about.
    Confirm(Vec<Unconfirmed>, Pass),
}

/// What came of it.
pub(crate) enum Report {
    /// Every event is settled.
    Settled(Job),
    /// What was to be buried is.
    Buried(Job),
    /// One verdict for each event.
    Each(Job, Vec<Verdict>),
    /// One outcome for each delivery asked about; none where the call failed, so that it is asked again.
    Confirmed(Vec<Unconfirmed>, Vec<Outcome>),
}

pub(crate) struct Done {
    pub worker: usize,
    pub report: Report,
}

pub(crate) struct Worker {
    context: Arc<Context>,
    instance: Arc<Instance>,
    lane: Arc<LaneShared>,
    formatter: FormatterSlot,
    connector: ConnectorSlot,
    /// The events as the formatter sees them, and as the connector does.
    formatted: BatchBuilder,
    /// Those whose fields are sealed or redacted.
    sealed: SealedBatch,
    seen: BatchBuilder,
    work: Worklist,
    /// What the calls of the job in hand took.
    effort: Effort,
    upkeep: Upkeep,
}

/// What became of one call.
enum Call {
    /// One outcome per event that was not refused; `refused` are places in the range, rising, with reasons.
    Answered { delivery: Option<Delivery>, refused: Vec<(usize, String)> },
    /// A guest broke; whether it was fresh, and how.
    Fault { fresh: bool, text: String },
    /// The receiver finds it too large.
    TooLarge(String),
    /// More than the connector wants at once; it was not called.
    Split,
    /// The call failed as a whole and the receiver may be well later.
    Failed { code: &'static str, text: String, after: Option<Duration> },
    /// People must act.
    Held { cause: HoldCause, code: &'static str, text: String },
    /// A guest cannot be opened: nothing was attempted.
    Closed { cause: HoldCause, text: String },
}

/// A job while it is handed over.
struct Progress {
    /// Verdicts by event, once one is not `Settled`.
    verdicts: Vec<Verdict>,
    letters: Vec<Letter>,
    /// Events that broke fresh guests, until it is clear who is to blame.
    suspects: Vec<(usize, String)>,
    accepted: u64,
    retried: u64,
    served: bool,
    end: CallEnd,
}

impl Worker {
    pub fn new(context: Arc<Context>, instance: Arc<Instance>, lane: Arc<LaneShared>, formatter: Arc<dyn FormatterSource>) -> Self {
        let formatter = FormatterSlot::new(formatter, instance.settings.max_calls);
        let connector = ConnectorSlot::new(Arc::clone(&instance));
        Self {
            context,
            instance,
            lane,
            formatter,
            connector,
            formatted: BatchBuilder::default(),
            sealed: SealedBatch::default(),
            seen: BatchBuilder::default(),
            work: Worklist::default(),
            effort: Effort::default(),
            upkeep: Upkeep::default(),
        }
    }

    /// Works until its lane lets it go; then its connector takes leave. Dropped in the middle, its events
    /// are unsettled and come again.
    pub async fn run(mut self, worker: usize, mut work: mpsc::Receiver<(Work, Slot)>, done: mpsc::Sender<Done>) {
        loop {
            let due = self.upkeep.due().filter(|_| self.connector.is_open());
            // Both are cancel safe. Upkeep that is due goes first: a busy worker has connections, too.
            let next = tokio::select! {
                biased;
                () = self.context.at(due) => None,
                next = work.recv() => match next {
                    Some(next) => Some(next),
                    None => break,
                },
            };
            let Some((work, slot)) = next else {
                self.maintain().await;
                continue;
            };
            let report = match work {
                Work::Deliver(job, pass) => self.deliver(job, pass, slot).await,
                Work::Bury(job, letters) => {
                    drop(slot);
                    bury(&self.context, &self.instance, &self.lane, &job, &letters).await;
                    self.show(&job, &[], &letters);
                    Report::Buried(job)
                }
                Work::Confirm(entries, pass) => self.confirm(entries, pass).await,
            };
            self.upkeep.served(self.context.now());
            if done.send(Done { worker, report }).await.is_err() {
                break;
            }
        }
        self.connector.close().await;
    }

    async fn maintain(&mut self) {
        let answer = self.connector.maintain().await;
        if let Some(Err(error)) = &answer
            && !matches!(error, DeliverError::Failure(Failure::Unsupported))
        {
            if matches!(error, DeliverError::Fault(_)) {
                self.fail("guest-fault", &format!("connector: maintain: {error}"));
            }
            tracing::debug!(lane = %self.lane.id, %error, "maintain");
        }
        self.upkeep.answered(answer.as_ref(), self.context.now());
    }

    async fn deliver(&mut self, job: Job, pass: Pass, slot: Slot) -> Report {
        let mut progress =
            Progress { verdicts: Vec::new(), letters: Vec::new(), suspects: Vec::new(), accepted: 0, retried: 0, served: false, end: CallEnd::Nothing };
        self.effort = Effort::default();
        let most = self.lane.max_events.load(Ordering::Relaxed);
        self.work.fill(job.len(), most as usize);
        while let Some(range) = self.work.next() {
            let call = self.call(&job, range.clone()).await;
            if !self.take(&job, range, call, &mut progress) {
                break;
            }
        }
        let rest: Vec<usize> = self.work.rest().collect();
        for item in rest {
            set(&mut progress.verdicts, job.len(), item, Verdict::Untouched);
        }
        self.judge_suspects(&job, &mut progress);
        self.effort.pressed = progress.retried > 0;
        pass.end(&progress.end, &self.effort, self.context.now());
        self.lane.metrics.delivered.inc_by(progress.accepted);
        self.lane.metrics.retried.inc_by(progress.retried);
        if progress.end == CallEnd::Reached && self.lane.recovers() {
            self.context.parts.onlooker.recovered(&self.lane.id);
        }
        if !progress.letters.is_empty() {
            // Others may use the slot while the disk, or an operator, is waited for.
            drop(slot);
            bury(&self.context, &self.instance, &self.lane, &job, &progress.letters).await;
            self.show(&job, &progress.verdicts, &progress.letters);
            for letter in &progress.letters {
                set(&mut progress.verdicts, job.len(), letter.item, Verdict::Settled);
            }
        } else {
            self.show(&job, &progress.verdicts, &[]);
        }
        if progress.verdicts.is_empty() { Report::Settled(job) } else { Report::Each(job, progress.verdicts) }
    }

    /// One call for a part of the job.
    async fn call(&mut self, job: &Job, range: Range<usize>) -> Call {
        let count = range.len();
        let (projection, format) = match self.formatter.ready().await {
            Ok(guest) => (Arc::clone(guest.projection()), guest.record_format().clone()),
            Err(error) => return closed("formatter", error),
        };
        // Guests see these and no others.
        self.sealed.fill(self.instance.settings.fields.as_deref(), job.events(range.clone()));
        let sealed = &self.sealed;
        let events = || job.events(range.clone()).enumerate().map(|(place, event)| sealed.event(place, event));
        let formatted = match self.formatter.format(self.formatted.fill(&projection, events())).await {
            Ok(formatted) => formatted,
            Err(FormatFault::Open(error)) => return closed("formatter", error),
            Err(FormatFault::Guest { fault, fresh }) => return Call::Fault { fresh, text: format!("formatter: {fault}") },
        };
        let refused: Vec<(usize, String)> = formatted.refused.into_iter().map(|refusal| (refusal.event as usize, refusal.reason)).collect();
        if refused.len() == count {
            return Call::Answered { delivery: None, refused };
        }
        let attempt = job.attempt(range.clone());
        let (projection, limits) = match self.connector.ready(&format).await {
            Ok(guest) => (Arc::clone(guest.projection()), guest.limits()),
            Err(error) => return closed("connector", error),
        };
        // The lane cuts its next batches by what the connector asked for; this one is cut here.
        let (max_events, max_bytes) = (limits.max_events.unwrap_or(u32::MAX).max(1), limits.max_bytes.unwrap_or(u32::MAX).max(1));
        self.lane.max_events.store(max_events, Ordering::Relaxed);
        self.lane.max_bytes.store(max_bytes, Ordering::Relaxed);
        if count > 1 && (count > max_events as usize || formatted.records.block.len() > max_bytes as usize) {
            return Call::Split;
        }
        self.lane.metrics.batches.inc();
        // Of the whole range: what a formatter refused is part of the attempt.
        let (first, last, replayed) = (job.seq(range.start), job.seq(range.end - 1), job.replayed(range.clone()));
        self.connector.about(About { lane: self.lane.id.clone(), first, last, replayed });
        let begun = self.context.now();
        let delivered = if refused.is_empty() {
            let events = self.seen.fill(&projection, events());
            self.connector.deliver(&format, &formatted.records, events, attempt).await
        } else {
            let places: Vec<usize> = refused.iter().map(|(place, _)| *place).collect();
            let kept: Vec<_> = events().enumerate().filter(|(place, _)| places.binary_search(place).is_err()).map(|(_, event)| event).collect();
            let events = self.seen.fill(&projection, kept.into_iter());
            self.connector.deliver(&format, &without(&formatted.records, &places), events, attempt).await
        };
        self.effort.took += self.context.now().saturating_sub(begun);
        self.effort.events += count - refused.len();
        match delivered {
            Ok(Delivery::Each(outcomes)) if outcomes.len() != count - refused.len() => {
                let text = format!("connector: {} outcomes for {} events", outcomes.len(), count - refused.len());
                Call::Fault { fresh: self.connector.was_fresh(), text }
            }
            Ok(delivery) => Call::Answered { delivery: Some(delivery), refused },
            Err(error) => self.failed(error),
        }
    }

    fn failed(&self, error: CallError) -> Call {
        match error {
            CallError::Open(error) => closed("connector", error),
            CallError::Deadline(text) => Call::Failed { code: "timeout", text, after: None },
            CallError::Deliver(DeliverError::Fault(fault)) => Call::Fault { fresh: self.connector.was_fresh(), text: format!("connector: {fault}") },
            CallError::Deliver(DeliverError::Failure(failure)) => match failure {
                Failure::Unavailable { reason, after } => Call::Failed { code: "unavailable", text: reason, after },
                Failure::Other(text) => Call::Failed { code: "other", text, after: None },
                Failure::TooLarge(text) => Call::TooLarge(text),
                Failure::Unauthorized(text) => Call::Held { cause: HoldCause::Unauthorized, code: "unauthorized", text },
                Failure::Configuration(text) => Call::Held { cause: HoldCause::Configuration, code: "configuration", text },
                Failure::Unsupported => {
                    Call::Held { cause: HoldCause::Configuration, code: "configuration", text: "the connector does not deliver events".into() }
                }
            },
        }
    }

    /// Works one call's answer in; false where the rest of the job is better left alone.
    fn take(&mut self, job: &Job, range: Range<usize>, call: Call, progress: &mut Progress) -> bool {
        let (now, unix_ms) = (self.context.now(), self.context.unix_ms());
        let context = Arc::clone(&self.context);
        let instance = Arc::clone(&self.instance);
        let mut judge = Judge::new(&instance.settings.retry, now, unix_ms, context.draw());
        match call {
            Call::Answered { delivery, refused } => {
                self.work.done();
                // A formatter that refuses everything says nothing about the connector.
                if delivery.is_some() {
                    progress.served = true;
                    self.instance.served();
                }
                let before = progress.retried;
                self.answered(job, range, delivery, refused, &mut judge, progress);
                // In order nothing of the job goes ahead of what is to be tried again.
                self.instance.settings.ordering == Order::None || progress.retried == before
            }
            Call::Split => self.work.halve(&range),
            Call::TooLarge(text) => {
                progress.served = true;
                self.instance.served();
                if !self.work.halve(&range) {
                    progress.reach(CallEnd::Reached);
                    progress.put(job, range.start, judge.bury(range.start, Cause::TooLarge, text, "too-large", &job.tries(range.start)));
                }
                true
            }
            Call::Fault { fresh, text } => {
                self.fail("guest-fault", &text);
                if self.work.fault(&range, fresh) == AfterFault::Again {
                    return true;
                }
                // It did so before, and guests have served others since.
                let before = job.tries(range.start);
                if before.blamed_at.is_some_and(|served| self.instance.count_served() > served) {
                    progress.put(job, range.start, judge.bury(range.start, Cause::GuestFault, text, "guest-fault", &before));
                    return true;
                }
                progress.suspects.push((range.start, text));
                if !self.instance.blame() {
                    return true;
                }
                false
            }
            Call::Failed { code, text, after } => {
                self.fail(code, &text);
                tracing::debug!(lane = %self.lane.id, code, events = range.len(), "delivery failed as a whole");
                if code != "timeout" {
                    progress.served = true;
                    self.instance.served();
                }
                progress.end = CallEnd::Failed { rest: after };
                for item in range {
                    progress.put(job, item, judge.again(item, code, after, None, true, &job.tries(item)));
                }
                false
            }
            Call::Held { cause, code, text } => {
                self.fail(code, &text);
                let until = self.instance.hold(cause, &text, now);
                progress.end = CallEnd::Held;
                for item in range {
                    progress.put(job, item, judge.again(item, code, None, Some(until), false, &job.tries(item)));
                }
                false
            }
            Call::Closed { cause, text } => {
                self.fail(cause.name(), &text);
                self.instance.hold(cause, &text, now);
                progress.end = CallEnd::Held;
                for item in range {
                    set(&mut progress.verdicts, job.len(), item, Verdict::Untouched);
                }
                false
            }
        }
    }

    fn answered(
        &self,
        job: &Job,
        range: Range<usize>,
        delivery: Option<Delivery>,
        refused: Vec<(usize, String)>,
        judge: &mut Judge<'_>,
        progress: &mut Progress,
    ) {
        let count = range.len() - refused.len();
        match delivery {
            None => {}
            Some(Delivery::All(Outcome::Accepted { .. })) if refused.is_empty() => {
                progress.reach(CallEnd::Reached);
                progress.accepted += count as u64;
                self.observe(job, range.clone());
            }
            Some(delivery) => {
                let mut outcomes = match delivery {
                    Delivery::All(outcome) => vec![outcome; count],
                    Delivery::Each(outcomes) => outcomes,
                };
                let retry_all = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. }));
                let rest = outcomes.iter().filter_map(|outcome| if let Outcome::Retry { after } = outcome { *after } else { None }).max();
                progress.reach(if retry_all { CallEnd::Failed { rest } } else { CallEnd::Reached });
                let mut outcomes = outcomes.drain(..);
                let mut refused = refused.iter().map(|(place, _)| *place).peekable();
                for (place, item) in range.clone().enumerate() {
                    if refused.next_if_eq(&place).is_some() {
                        continue;
                    }
                    let Some(outcome) = outcomes.next() else { break };
                    if matches!(outcome, Outcome::Accepted { .. }) {
                        progress.accepted += 1;
                        self.observe(job, item..item + 1);
                        if progress.verdicts.is_empty() {
                            continue;
                        }
                    }
                    progress.put(job, item, judge.outcome(item, outcome, &job.tries(item)));
                }
            }
        }
        for (place, reason) in refused {
            let item = range.start + place;
            progress.put(job, item, judge.bury(item, Cause::FormatRefused, reason, "format-refused", &job.tries(item)));
        }
    }

    /// Who is to blame for the faults of this job? Where a guest served anything, the events; where it
    /// served nothing and has broken on too many different ones, the guest.
    fn judge_suspects(&self, job: &Job, progress: &mut Progress) {
        if progress.suspects.is_empty() {
            return;
        }
        let (now, unix_ms) = (self.context.now(), self.context.unix_ms());
        let mut judge = Judge::new(&self.instance.settings.retry, now, unix_ms, self.context.draw());
        let suspects = std::mem::take(&mut progress.suspects);
        if progress.served || !self.instance.blamed() {
            for (item, text) in suspects {
                progress.put(job, item, judge.bury(item, Cause::GuestFault, text, "guest-fault", &job.tries(item)));
            }
            return;
        }
        let reason = suspects.last().map(|(_, text)| text.clone()).unwrap_or_default();
        let until = self.instance.hold(HoldCause::Quarantine, &reason, now);
        let served = self.instance.count_served();
        for (item, _) in suspects {
            // Behind the probe: if the guest serves other events by then, these are to blame after all.
            let later = Some(until + Duration::from_secs(1));
            let tries = Tries { blamed_at: Some(served), ..job.tries(item) };
            progress.put(job, item, judge.again(item, "guest-fault", None, later, false, &tries));
        }
        progress.end = CallEnd::Held;
    }

    async fn confirm(&mut self, entries: Vec<Unconfirmed>, pass: Pass) -> Report {
        let tokens: Vec<String> = entries.iter().map(|entry| entry.token.clone()).collect();
        let format = match self.formatter.ready().await {
            Ok(guest) => guest.record_format().clone(),
            Err(error) => {
                let now = self.context.now();
                self.instance.hold(HoldCause::Quarantine, &error.to_string(), now);
                pass.end(&CallEnd::Nothing, &Effort::default(), now);
                return Report::Confirmed(entries, Vec::new());
            }
        };
        if let (Some(first), Some(last)) = (entries.iter().map(|entry| entry.seq).min(), entries.iter().map(|entry| entry.seq).max()) {
            self.connector.about(About { lane: self.lane.id.clone(), first, last, replayed: 0 });
        }
        let answered = self.connector.settle(&format, &tokens).await;
        let now = self.context.now();
        let (outcomes, end) = match answered {
            Ok(outcomes) if outcomes.len() == entries.len() => {
                self.instance.served();
                (outcomes, CallEnd::Reached)
            }
            Ok(outcomes) => {
                self.fail("guest-fault", &format!("connector: {} outcomes for {} tokens", outcomes.len(), entries.len()));
                (Vec::new(), CallEnd::Nothing)
            }
            // It cannot confirm what it called pending: sent again, it may answer otherwise.
            Err(CallError::Deliver(DeliverError::Failure(Failure::Unsupported))) => (vec![Outcome::Retry { after: None }; entries.len()], CallEnd::Nothing),
            Err(error) => match self.failed(error) {
                Call::Failed { code, text, after } => {
                    self.fail(code, &text);
                    (Vec::new(), CallEnd::Failed { rest: after })
                }
                Call::Held { cause, code, text } => {
                    self.fail(code, &text);
                    self.instance.hold(cause, &text, now);
                    (Vec::new(), CallEnd::Held)
                }
                Call::Closed { cause, text } => {
                    self.fail(cause.name(), &text);
                    self.instance.hold(cause, &text, now);
                    (Vec::new(), CallEnd::Held)
                }
                Call::Fault { text, .. } | Call::TooLarge(text) => {
                    self.fail("guest-fault", &text);
                    (Vec::new(), CallEnd::Nothing)
                }
                Call::Answered { .. } | Call::Split => (Vec::new(), CallEnd::Nothing),
            },
        };
        pass.end(&end, &Effort::default(), now);
        Report::Confirmed(entries, outcomes)
    }

    /// A call failed as a whole, or a guest broke.
    fn fail(&self, code: &'static str, text: &str) {
        self.lane.fail(self.context.unix_ms(), code, text);
        self.context.parts.onlooker.failed(&self.lane.id, code, text);
    }

    /// To those who look on, where somebody does.
    fn show(&self, job: &Job, verdicts: &[Verdict], letters: &[Letter]) {
        let onlooker = &self.context.parts.onlooker;
        if onlooker.looks(self.instance.name()) {
            let mut seen = seen(job, verdicts, letters, self.context.now(), self.context.unix_ms());
            onlooker.became(&self.lane.id, &mut seen);
        }
    }

    /// Time from receipt to now, for every event of the range.
    fn observe(&self, job: &Job, range: Range<usize>) {
        let now = self.context.parts.clock.unix_nanos();
        // Counted up first and added in one go: the histogram is shared by all workers.
        let local = self.lane.metrics.seconds.local();
        for (received, events) in job.receipts(range) {
            let seconds = now.saturating_sub(received) as f64 / 1e9;
            for _ in 0..events {
                local.observe(seconds);
            }
        }
        local.flush();
    }
}

impl Progress {
    fn put(&mut self, job: &Job, item: usize, (verdict, letter): (Verdict, Option<Letter>)) {
        self.retried += u64::from(matches!(verdict, Verdict::Retry { .. }));
        set(&mut self.verdicts, job.len(), item, verdict);
        self.letters.extend(letter);
    }

    /// What a part of the job told; a failure outweighs.
    fn reach(&mut self, end: CallEnd) {
        if matches!(self.end, CallEnd::Nothing | CallEnd::Reached) {
            self.end = end;
        }
    }
}

fn set(verdicts: &mut Vec<Verdict>, events: usize, item: usize, verdict: Verdict) {
    if verdicts.is_empty() {
        verdicts.resize(events, Verdict::Settled);
    }
    verdicts[item] = verdict;
}

fn closed(which: &str, error: OpenError) -> Call {
    let cause = match &error {
        OpenError::Refused(_) => HoldCause::Configuration,
        OpenError::Revoked(_) => HoldCause::Revoked,
        OpenError::Fault(_) | OpenError::Unfit(_) => HoldCause::Quarantine,
    };
    Call::Closed { cause, text: format!("{which}: {error}") }
}
