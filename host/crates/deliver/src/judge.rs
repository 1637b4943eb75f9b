//! What an outcome means for one event: delivered, another attempt, a dead letter, or still open. Pure.

use std::time::Duration;

use bulkhead_core::Outcome;
use bulkhead_store::{Attempt, Cause};

use crate::retry::{Next, RetryPolicy};
use crate::schedule::{LastLog, Log, Tries};

/// What becomes of an event of a job.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Delivered, or in the dead letters.
    Settled,
    Retry {
        due: Duration,
        tries: Tries,
    },
    Pending {
        token: String,
        poll_after: Duration,
        tries: Tries,
    },
    /// No attempt was made: it goes back as it was.
    Untouched,
    /// Becomes `Settled` once the letter is on disk.
    Bury,
}

/// A dead letter to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub item: usize,
    pub cause: Cause,
    pub reason: String,
    pub tries: LetterTries,
}

/// Attempts as a letter lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LetterTries {
    pub attempts: u32,
    pub log: Option<Log>,
    /// Milliseconds between the first attempt and now.
    pub elapsed_ms: i64,
}

/// The moment and the rules by which the events of one call are judged. One draw of jitter for the call:
/// events that failed together come back together, as one batch.
pub(crate) struct Judge<'a> {
    pub policy: &'a RetryPolicy,
    pub now: Duration,
    pub unix_ms: i64,
    pub jitter: f64,
    log: LastLog,
    code: &'static str,
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl<'a> Judge<'a> {
    pub fn new(policy: &'a RetryPolicy, now: Duration, unix_ms: i64, jitter: f64) -> Self {
        Self { policy, now, unix_ms, jitter, log: None, code: "" }
    }

    pub fn outcome(&mut self, item: usize, outcome: Outcome, before: &Tries) -> (Verdict, Option<Letter>) {
        match outcome {
            Outcome::Accepted { .. } => (Verdict::Settled, None),
            Outcome::Retry { after } => self.again(item, "retry", after, None, true, before),
            Outcome::Rejected { reason } => self.bury(item, Cause::Rejected, reason, "rejected", before),
            Outcome::Pending { token, poll_after } => (Verdict::Pending { token, poll_after, tries: self.tried("pending", before) }, None),
        }
    }

    /// The attempt failed and is worth another, not before `not_before`. `counts` is false where people
    /// must act: then only the elapsed time is a bound.
    pub fn again(
        &mut self,
        item: usize,
        code: &'static str,
        after: Option<Duration>,
        not_before: Option<Duration>,
        counts: bool,
        before: &Tries,
    ) -> (Verdict, Option<Letter>) {
        let tries = self.tried(code, before);
        let unlimited = RetryPolicy { max_attempts: None, ..*self.policy };
        let policy = if counts { self.policy } else { &unlimited };
        match policy.next(tries.attempts, tries.elapsed(millis(self.now)), self.jitter, after) {
            Next::Again(delay) => (Verdict::Retry { due: (self.now + delay).max(not_before.unwrap_or_default()), tries }, None),
            Next::Exhausted(bound) => {
                let reason = format!("{bound} reached after {} attempts, the last one ended with {code}", tries.attempts);
                (Verdict::Bury, Some(self.letter(item, Cause::RetriesExhausted, reason, &tries)))
            }
        }
    }

    pub fn bury(&mut self, item: usize, cause: Cause, reason: String, code: &'static str, before: &Tries) -> (Verdict, Option<Letter>) {
        let tries = self.tried(code, before);
        (Verdict::Bury, Some(self.letter(item, cause, reason, &tries)))
    }

    /// A letter without another attempt.
    pub fn letter(&self, item: usize, cause: Cause, reason: String, tries: &Tries) -> Letter {
        let elapsed_ms = millis(tries.elapsed(millis(self.now)));
        Letter { item, cause, reason, tries: LetterTries { attempts: tries.attempts, log: tries.log.clone(), elapsed_ms } }
    }

    fn tried(&mut self, code: &'static str, before: &Tries) -> Tries {
        if self.code != code {
            self.code = code;
            self.log = None;
        }
        before.failed(millis(self.now), &Attempt { at_ms: self.unix_ms, code: code.into() }, &mut self.log)
    }
}

#[cfg(test)]
mod tests;
