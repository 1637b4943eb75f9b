//! Jumps of the wall clock while the process runs. Events carry the wall time of their receipt, so a
//! clock that is set by days would make everything that waits too old at once, or young for days. What
//! is known here is how far the wall clock and the monotonic clock have come apart, and which events
//! were stamped before. Where one look does not tell, the event counts as younger: kept longer, never
//! given up early. Pure: both clocks are arguments. Of jumps before its start a process knows nothing.

use std::sync::Arc;

use bulkhead_core::Seq;

/// Less is drift, and comes to this with time.
const LEAST_MS: i64 = 2_000;
/// Jumps remembered; of more, the oldest are forgotten.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Jumps {
    before: Option<Look>,
    corrections: Corrections,
}

#[derive(Debug)]
struct Look {
    /// Wall clock minus monotonic clock.
    apart_ms: i64,
    head: Seq,
}

/// What to put to the receipt of an event to read it on today's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Corrections(Arc<[Jump]>);

#[derive(Debug, Clone, Copy)]
struct Jump {
    /// Events up to here were stamped before.
    until: Seq,
    by_ms: i64,
}

impl Jumps {
    /// Looks at both clocks and at the head of the journal.
    pub fn look(&mut self, unix_ms: i64, monotonic_ms: i64, head: Seq) -> Corrections {
        let apart_ms = unix_ms.saturating_sub(monotonic_ms);
        match &mut self.before {
            None => self.before = Some(Look { apart_ms, head }),
            Some(before) => {
                let by_ms = apart_ms.saturating_sub(before.apart_ms);
                if by_ms.abs() >= LEAST_MS {
                    // It jumped at some moment since the last look. Events of that time count as those that
                    // come out younger.
                    let until = if by_ms > 0 { head } else { before.head };
                    let known = &self.corrections.0;
                    self.corrections = Corrections(known[known.len().saturating_sub(MOST - 1)..].iter().copied().chain([Jump { until, by_ms }]).collect());
                    before.apart_ms = apart_ms;
                }
                before.head = head;
            }
        }
        self.corrections.clone()
    }
}

impl Corrections {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The receipt of an event, in milliseconds since 1970, as the clock would have told it had it stood
    /// as it stands today. 0, which means unknown, stays.
    pub fn receipt(&self, seq: Seq, received_ms: i64) -> i64 {
        if received_ms == 0 {
            return 0;
        }
        self.0.iter().filter(|jump| seq <= jump.until).fold(received_ms, |at, jump| at.saturating_add(jump.by_ms))
    }
}

/// From when on an event has waited too long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expiry {
    /// Milliseconds since 1970, today's clock; 0: never.
    pub before_ms: i64,
    pub corrections: Corrections,
}

impl Expiry {
    pub fn is_never(&self) -> bool {
        self.before_ms == 0
    }

    /// `received` in nanoseconds, as events carry it.
    pub fn is_past(&self, seq: Seq, received: u64) -> bool {
        let received_ms = i64::try_from(received / 1_000_000).unwrap_or(i64::MAX);
        let receipt = if self.corrections.is_empty() { received_ms } else { self.corrections.receipt(seq, received_ms) };
        receipt < self.before_ms
    }
}

#[cfg(test)]
mod tests;
