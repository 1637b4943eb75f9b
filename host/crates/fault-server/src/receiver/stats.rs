//! What a receiver saw of generated events: how many were taken, which, how often, how late.

use std::collections::BTreeMap;

use crate::histogram::Histogram;
use crate::marker::Marker;

/// Each is a bit an event.
const MAX_RUNS: usize = 1 << 16;

#[derive(Debug, Default)]
pub struct Stats {
    /// Requests by the status they were answered with; 0 where there was no answer.
    pub answers: BTreeMap<u16, u64>,
    pub bytes: u64,
    pub events: Events,
}

#[derive(Debug, Default)]
pub struct Events {
    /// Taken, duplicates included.
    pub taken: u64,
    pub duplicates: u64,
    /// In requests that were not taken.
    pub refused: u64,
    /// Taken in requests that got no answer on purpose: each may come once more.
    pub unanswered: u64,
    pub first_sent: Option<u64>,
    pub first_taken: Option<u64>,
    pub last_taken: Option<u64>,
    /// From being sent by the generator to being taken here, first time only.
    pub latency: Histogram,
    seen: BTreeMap<u32, Vec<u64>>,
}

impl Events {
    /// Notes events of an accepted request. Numbers beyond `max` are counted, not remembered.
    pub fn take(&mut self, markers: &[Marker], now: u64, max: u64) {
        if markers.is_empty() {
            return;
        }
        self.first_taken.get_or_insert(now);
        self.last_taken = Some(now);
        for marker in markers {
            self.taken += 1;
            if self.mark(*marker, max) {
                self.latency.record(now.saturating_sub(marker.nanos));
                self.first_sent = Some(self.first_sent.map_or(marker.nanos, |first| first.min(marker.nanos)));
            } else {
                self.duplicates += 1;
            }
        }
    }

    /// True the first time.
    fn mark(&mut self, marker: Marker, max: u64) -> bool {
        if marker.number >= max || (self.seen.len() >= MAX_RUNS && !self.seen.contains_key(&marker.run)) {
            return true;
        }
        let words = self.seen.entry(marker.run).or_default();
        let (word, bit) = ((marker.number / 64) as usize, 1 << (marker.number % 64));
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        let fresh = words[word] & bit == 0;
        words[word] |= bit;
        fresh
    }

    pub fn unique(&self) -> u64 {
        self.taken - self.duplicates
    }

    pub fn has(&self, run: u32, number: u64) -> bool {
        self.seen.get(&run).and_then(|words| words.get((number / 64) as usize)).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many events of a run were taken, each once.
    pub fn count(&self, run: u32) -> u64 {
        self.seen.get(&run).map_or(0, |words| words.iter().map(|word| u64::from(word.count_ones())).sum())
    }

    /// The numbers of a run that were taken, as `first-last` lines.
    pub fn ranges(&self, run: u32) -> String {
        let mut out = String::new();
        let end = self.seen.get(&run).map_or(0, |words| words.len() as u64 * 64);
        let mut start = None;
        for number in 0..=end {
            match (start, number < end && self.has(run, number)) {
                (None, true) => start = Some(number),
                (Some(first), false) => {
                    out.push_str(&format!("{first}-{}\n", number - 1));
                    start = None;
                }
                _ => {}
            }
        }
        out
    }
}

impl Stats {
    pub fn json(&self) -> serde_json::Value {
        let events = &self.events;
        let span = match (events.first_sent, events.last_taken) {
            (Some(first), Some(last)) => last.saturating_sub(first) as f64 / 1e9,
            _ => 0.0,
        };
        serde_json::json!({
            "answers": self.answers.iter().map(|(status, count)| (status.to_string(), (*count).into())).collect::<serde_json::Map<_, _>>(),
            "bytes": self.bytes,
            "events": events.unique(), "duplicates": events.duplicates, "refused": events.refused,
            "seconds": span, "events_per_second": if span > 0.0 { events.unique() as f64 / span } else { 0.0 },
            "latency": events.latency.summary(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_event_once() {
        let mut events = Events::default();
        let marker = |number| Marker { run: 1, number, nanos: 1_000 };
        events.take(&[marker(0), marker(1), marker(2), marker(64), marker(200)], 3_000, 1_000);
        events.take(&[marker(1), Marker { run: 2, ..marker(1) }], 4_000, 1_000);
        assert_eq!((events.taken, events.duplicates, events.unique()), (7, 1, 6));
        assert_eq!(events.ranges(1), "0-2\n64-64\n200-200\n");
        assert_eq!((events.count(1), events.count(2), events.count(3)), (5, 1, 0));
        assert!(events.has(2, 1) && !events.has(2, 0) && !events.has(3, 0));
        assert_eq!((events.first_sent, events.last_taken), (Some(1_000), Some(4_000)));
    }

    #[test]
    fn a_run_that_ends_on_a_word_is_closed() {
        let mut events = Events::default();
        events.take(&(0..64).map(|number| Marker { run: 1, number, nanos: 0 }).collect::<Vec<_>>(), 1, 1_000);
        assert_eq!(events.ranges(1), "0-63\n");
    }
}
