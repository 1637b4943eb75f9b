//! What a worker still has to hand over of a batch: ranges of events, halved when a guest breaks on them
//! or a receiver finds them too large. Pure.

use std::ops::Range;

/// Faults of one event alone on fresh guests that put the blame on the event.
const ALONE: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFault {
    /// Smaller parts, or the same event on a fresh guest, come next.
    Again,
    /// This event alone broke fresh guests twice.
    Blame,
}

#[derive(Debug, Default)]
pub struct Worklist {
    /// The next range last.
    ranges: Vec<Range<usize>>,
    /// Faults of the single event in front.
    faults: u32,
}

impl Worklist {
    /// Parts of at most `most` events.
    pub fn fill(&mut self, events: usize, most: usize) {
        let most = most.max(1);
        self.faults = 0;
        self.ranges.clear();
        self.ranges.extend((0..events).step_by(most).rev().map(|start| start..(start + most).min(events)));
    }

    pub fn next(&mut self) -> Option<Range<usize>> {
        self.ranges.pop()
    }

    /// Puts the range back in two halves; false where it is one event.
    pub fn halve(&mut self, range: &Range<usize>) -> bool {
        if range.len() <= 1 {
            return false;
        }
        let middle = range.start + range.len() / 2;
        self.ranges.push(middle..range.end);
        self.ranges.push(range.start..middle);
        self.faults = 0;
        true
    }

    /// A guest broke on the range. A guest that had served before may be broken itself, so only `fresh`
    /// ones count.
    pub fn fault(&mut self, range: &Range<usize>, fresh: bool) -> AfterFault {
        if self.halve(range) {
            return AfterFault::Again;
        }
        self.faults += u32::from(fresh);
        if self.faults >= ALONE {
            self.faults = 0;
            return AfterFault::Blame;
        }
        self.ranges.push(range.clone());
        AfterFault::Again
    }

    /// The range in front is done.
    pub fn done(&mut self) {
        self.faults = 0;
    }

    /// What was not handed over.
    pub fn rest(&mut self) -> impl Iterator<Item = usize> + '_ {
        self.ranges.drain(..).flatten()
    }
}

#[cfg(test)]
mod tests;
