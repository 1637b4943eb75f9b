//! What a lane has settled and what it has to try again. Pure.

use std::collections::BTreeMap;

use bulkhead_core::Seq;

/// When an event is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryEntry {
    /// Attempts made.
    pub attempts: u32,
    /// Wall time of the first attempt, milliseconds since 1970.
    pub first_ms: u64,
    /// Wall time of the next attempt.
    pub due_ms: u64,
}

/// Where a lane stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneState {
    cursor: u64,
    /// Settled ranges above the cursor, first to last, apart from each other and from the cursor.
    settled: BTreeMap<u64, u64>,
    /// Events in those ranges.
    above: u64,
    retries: BTreeMap<u64, RetryEntry>,
}

impl LaneState {
    /// A lane that has settled everything up to here.
    pub fn at(cursor: Seq) -> Self {
        Self { cursor: cursor.0, ..Self::default() }
    }

    /// Everything up to and with this one is settled.
    pub fn cursor(&self) -> Seq {
        Seq(self.cursor)
    }

    pub fn is_settled(&self, seq: Seq) -> bool {
        seq.0 <= self.cursor || self.settled.range(..=seq.0).next_back().is_some_and(|(_, last)| *last >= seq.0)
    }

    /// The settled ranges above the cursor, first and last of each, rising.
    pub fn settled_above(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.settled.iter().map(|(first, last)| (Seq(*first), Seq(*last)))
    }

    /// What waits for another attempt, by sequence number.
    pub fn retries(&self) -> impl Iterator<Item = (Seq, RetryEntry)> + '_ {
        self.retries.iter().map(|(seq, entry)| (Seq(*seq), *entry))
    }

    pub fn retry_of(&self, seq: Seq) -> Option<RetryEntry> {
        self.retries.get(&seq.0).copied()
    }

    /// The highest sequence number that is settled.
    pub fn highest(&self) -> Seq {
        Seq(self.settled.last_key_value().map_or(self.cursor, |(_, last)| *last))
    }

    /// Events up to `head` that are not settled; costs nothing as long as nothing behind it is settled.
    pub fn backlog(&self, head: Seq) -> u64 {
        let above = if self.highest() <= head {
            self.above
        } else {
            self.settled.iter().filter(|(first, _)| **first <= head.0).map(|(first, last)| (*last).min(head.0) - first + 1).sum()
        };
        head.0.saturating_sub(self.cursor).saturating_sub(above)
    }

    /// Settles `first` to `last`; an empty range settles nothing.
    pub fn settle(&mut self, first: Seq, last: Seq) {
        let (mut first, mut last) = (first.0.max(1), last.0);
        if last < first {
            return;
        }
        if !self.retries.is_empty() {
            while let Some(seq) = self.retries.range(first..=last).next().map(|(seq, _)| *seq) {
                self.retries.remove(&seq);
            }
        }
        if last <= self.cursor {
            return;
        }
        // Take in every range that overlaps or touches.
        while let Some((&from, &to)) = self.settled.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.settled.remove(&from);
            self.above -= to - from + 1;
            first = first.min(from);
            last = last.max(to);
        }
        if first <= self.cursor.saturating_add(1) {
            self.cursor = last;
        } else {
            self.settled.insert(first, last);
            self.above += last - first + 1;
        }
    }

    /// Notes the next attempt of an event that is not settled.
    pub fn retry(&mut self, seq: Seq, entry: RetryEntry) {
        if !self.is_settled(seq) {
            self.retries.insert(seq.0, entry);
        }
    }
}
