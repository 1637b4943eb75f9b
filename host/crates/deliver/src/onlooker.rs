//! Who looks on while events are delivered: the live view, and the log of an instance. Nobody, as a rule, so that
//! asking whether anybody does must cost next to nothing.

use bulkhead_core::{EventRef, LaneId};
use bulkhead_store::Cause;

use crate::job::Job;
use crate::judge::{Letter, Verdict};

/// Called on delivery's tasks; must not block.
pub trait Onlooker: Send + Sync {
    /// Whether anybody wants to see what becomes of this instance's events. Asked once for each job: where nobody
    /// looks at anything, one relaxed load.
    fn looks(&self, instance: &str) -> bool;
    /// What became of some events of a lane, where somebody looks. They are as they came in: what guests do not see is
    /// to be hidden by who shows them.
    fn became(&self, lane: &LaneId, seen: &mut dyn Iterator<Item = Seen<'_>>);
    /// A call failed as a whole. The text is partly the guest's or the receiver's: for people who may see the instance.
    fn failed(&self, lane: &LaneId, code: &'static str, text: &str);
    /// The first call that reached the receiver after some that failed.
    fn recovered(&self, lane: &LaneId);
}

/// One event, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub event: EventRef<'a>,
    pub seq: u64,
    /// Attempts made, this one included.
    pub attempts: u32,
    pub became: Became<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became<'a> {
    Delivered,
    /// Tried again, at this time in milliseconds since 1970; `code` says how the attempt ended.
    Retried {
        code: &'a str,
        next_ms: i64,
    },
    /// The receiver has it and has not confirmed it.
    Unconfirmed,
    DeadLetter {
        cause: Cause,
        reason: &'a str,
    },
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Onlooker for Nobody {
    fn looks(&self, _instance: &str) -> bool {
        false
    }

    fn became(&self, _lane: &LaneId, _seen: &mut dyn Iterator<Item = Seen<'_>>) {}

    fn failed(&self, _lane: &LaneId, _code: &'static str, _text: &str) {}

    fn recovered(&self, _lane: &LaneId) {}
}

/// A job's events with what became of them. `verdicts` is empty where all were delivered; a letter speaks for its
/// event whatever the verdict.
pub(crate) fn seen<'a>(
    job: &'a Job,
    verdicts: &'a [Verdict],
    letters: &'a [Letter],
    now: std::time::Duration,
    unix_ms: i64,
) -> impl Iterator<Item = Seen<'a>> + 'a {
    let mut at = 0;
    // Letters come in the order in which events were judged, which is theirs but for halved batches.
    let mut letter_of = move |item: usize| {
        if letters.get(at).is_some_and(|letter| letter.item == item) {
            at += 1;
            return letters.get(at - 1);
        }
        letters.iter().find(|letter| letter.item == item)
    };
    (0..job.len()).filter_map(move |item| {
        let letter = if letters.is_empty() { None } else { letter_of(item) };
        let (attempts, became) = match (letter, verdicts.get(item)) {
            (Some(letter), _) => (letter.tries.attempts, Became::DeadLetter { cause: letter.cause, reason: &letter.reason }),
            (None, None | Some(Verdict::Settled)) => (job.tries(item).attempts.saturating_add(1), Became::Delivered),
            (None, Some(Verdict::Retry { due, tries })) => {
                let code = tries.log.as_deref().and_then(|log| log.last()).map_or("", |attempt| &*attempt.code);
                (tries.attempts, Became::Retried { code, next_ms: unix_ms.saturating_add(crate::judge::millis(due.saturating_sub(now))) })
            }
            (None, Some(Verdict::Pending { tries, .. })) => (tries.attempts, Became::Unconfirmed),
            (None, Some(Verdict::Untouched | Verdict::Bury)) => return None,
        };
        Some(Seen { event: job.event(item), seq: job.seq(item).0, attempts, became })
    })
}
