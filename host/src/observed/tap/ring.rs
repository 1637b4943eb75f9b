//! The last things that were seen, under numbers without a gap. Bounded by number and by bytes; the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use bulkhead_core::{LaneId, Severity};

use super::{Facts, Kind};

/// Things that are kept to be seen again.
const ENTRIES: usize = 4_096;
/// Bytes of their texts.
const BYTES: usize = 8 << 20;

/// An event that was accepted, or what became of one.
#[derive(Debug)]
pub struct Entry {
    pub kind: Kind,
    /// Whose the event is; nothing: the host's own.
    pub tenant: Option<Box<str>>,
    pub event_type: Box<str>,
    pub severity: Severity,
    pub lanes: Box<[LaneId]>,
    pub routes: Box<[Box<str>]>,
    pub outcome: Option<&'static str>,
    /// Members of a JSON object.
    pub text: String,
    /// One more, with a comma before it.
    pub body: Option<String>,
}

impl Entry {
    /// Asks a question about it.
    pub fn matches(&self, wants: impl FnOnce(&Facts<'_>) -> bool) -> bool {
        let lanes: Vec<&LaneId> = self.lanes.iter().collect();
        let Self { tenant, event_type, severity, routes, outcome, .. } = self;
        wants(&Facts { tenant: tenant.as_deref(), event_type, severity: *severity, lanes: &lanes, routes, outcome: *outcome })
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.body.as_ref().map_or(0, String::len) + self.event_type.len()
    }
}

enum Item {
    Entry(Arc<Entry>),
    LeftOut { missed: Option<u64>, reason: &'static str },
}

/// What stands under a number.
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// It is forgotten; the oldest that is known.
    Gone {
        oldest: u64,
    },
    LeftOut {
        missed: Option<u64>,
        reason: &'static str,
    },
    Entry(Arc<Entry>),
}

pub struct Ring {
    items: VecDeque<Item>,
    bytes: usize,
    /// Number of the first that is kept.
    oldest: u64,
    listeners: u64,
}

impl Default for Ring {
    /// Numbers begin with 1: who has seen nothing has seen 0.
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0, oldest: 1, listeners: 0 }
    }
}

impl Ring {
    /// A name for a listener.
    pub fn listener(&mut self) -> u64 {
        self.listeners += 1;
        self.listeners
    }

    /// The number that comes next.
    pub fn next(&self) -> u64 {
        self.oldest + self.items.len() as u64
    }

    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.items.push_back(Item::Entry(Arc::new(entry)));
        self.shrink();
    }

    /// So many things stand nowhere, since the last that does.
    pub fn left_out(&mut self, missed: u64, reason: &'static str) {
        if missed > 0 {
            self.items.push_back(Item::LeftOut { missed: Some(missed), reason });
            self.shrink();
        }
    }

    /// From here on nobody looks.
    pub fn unwatched(&mut self) {
        self.items.push_back(Item::LeftOut { missed: None, reason: "unwatched" });
        self.shrink();
    }

    pub fn get(&self, number: u64) -> Found {
        let Some(at) = number.checked_sub(self.oldest) else { return Found::Gone { oldest: self.oldest } };
        match usize::try_from(at).ok().and_then(|at| self.items.get(at)) {
            None => Found::Nothing,
            Some(Item::Entry(entry)) => Found::Entry(Arc::clone(entry)),
            Some(Item::LeftOut { missed, reason }) => Found::LeftOut { missed: *missed, reason },
        }
    }

    fn shrink(&mut self) {
        while self.items.len() > ENTRIES || (self.bytes > BYTES && self.items.len() > 1) {
            if let Some(Item::Entry(entry)) = self.items.pop_front() {
                self.bytes -= entry.bytes();
            }
            self.oldest += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        let text = "x".repeat(bytes);
        Entry {
            kind: Kind::Accepted,
            tenant: None,
            event_type: "t".into(),
            severity: Severity::Info,
            lanes: [].into(),
            routes: [].into(),
            outcome: None,
            text,
            body: None,
        }
    }

    #[test]
    fn numbers_have_no_gap_and_say_what_is_forgotten() {
        let mut ring = Ring::default();
        (0..ENTRIES + 10).for_each(|_| ring.push(entry(10)));
        assert_eq!(ring.next(), ENTRIES as u64 + 11);
        assert!(matches!(ring.get(3), Found::Gone { oldest: 11 }));
        assert!(matches!(ring.get(11), Found::Entry(_)));
        assert!(matches!(ring.get(ring.next()), Found::Nothing));
        ring.left_out(7, "rate");
        assert!(matches!(ring.get(ENTRIES as u64 + 11), Found::LeftOut { missed: Some(7), reason: "rate" }));
    }

    #[test]
    fn bytes_have_a_bound_and_the_newest_stays() {
        let mut ring = Ring::default();
        (0..20).for_each(|_| ring.push(entry(1 << 20)));
        assert!(ring.bytes <= BYTES, "{}", ring.bytes);
        ring.push(entry(BYTES * 2));
        assert!(matches!(ring.get(21), Found::Entry(_)));
        assert!(matches!(ring.get(20), Found::Gone { oldest: 21 }));
    }
}
