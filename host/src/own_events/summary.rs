//! Dead letters come in floods: the first of a lane and cause is told at once, those of the minute after
//! it in one sum. Pure; time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Described;

/// Letters of one lane and cause are told once in this time.
const WINDOW: Duration = Duration::from_secs(60);

/// What waits to be summed up.
#[derive(Debug, Default)]
pub struct Summary {
    open: BTreeMap<(String, String), Open>,
}

#[derive(Debug)]
struct Open {
    until: Duration,
    /// With the letters that came since the last that was told.
    waiting: Option<Described>,
}

impl Summary {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What is to be told now.
    pub fn take(&mut self, described: Described, now: Duration) -> Option<Described> {
        let Some(letters) = described.letters else { return Some(described) };
        let key = (described.subject.clone(), described.data["cause"].to_string());
        match self.open.get_mut(&key) {
            Some(open) => {
                let waiting = open.waiting.get_or_insert(Described { letters: Some(0), ..described });
                waiting.letters = waiting.letters.map(|sum| sum.saturating_add(letters));
                None
            }
            None => {
                self.open.insert(key, Open { until: now + WINDOW, waiting: None });
                Some(described)
            }
        }
    }

    /// Sums whose time has come. A window with nothing in it closes.
    pub fn due(&mut self, now: Duration) -> Vec<Described> {
        let mut due = Vec::new();
        self.open.retain(|_, open| {
            if now < open.until {
                return true;
            }
            open.until = now + WINDOW;
            let waiting = open.waiting.take();
            let keep = waiting.is_some();
            due.extend(waiting);
            keep
        });
        due
    }

    /// All sums, at the end.
    pub fn rest(&mut self) -> Vec<Described> {
        std::mem::take(&mut self.open).into_values().filter_map(|open| open.waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_events::describe::Level;

    fn letters(subject: &str, count: u64) -> Described {
        let data = serde_json::json!({"cause": "rejected"});
        Described { kind: "dead_letter.added", level: Level::High, subject: subject.into(), data, letters: Some(count), id: None }
    }

    fn counts(told: &[Described]) -> Vec<(String, u64)> {
        told.iter().map(|one| (one.subject.clone(), one.letters.unwrap_or(0))).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_a_flood_in_sums() {
        let (mut summary, at) = (Summary::default(), Duration::from_secs);
        assert_eq!(counts(summary.take(letters("a", 2), at(0)).as_slice()), [("a".into(), 2)]);
        assert_eq!(summary.take(letters("a", 3), at(1)), None);
        assert_eq!(summary.take(letters("a", 4), at(59)), None);
        assert_eq!(counts(summary.take(letters("b", 1), at(59)).as_slice()), [("b".into(), 1)]);
        assert_eq!(counts(&summary.due(at(59))), []);
        assert_eq!(counts(&summary.due(at(60))), [("a".into(), 7)]);
        assert_eq!(summary.take(letters("a", 1), at(61)), None);
        assert_eq!(counts(&summary.due(at(120))), [("a".into(), 1)]);
        assert_eq!(counts(&summary.due(at(180))), []);
        assert!(summary.is_empty());
    }

    #[test]
    fn nothing_is_forgotten_at_the_end() {
        let mut summary = Summary::default();
        assert!(summary.take(letters("a", 1), Duration::ZERO).is_some());
        assert_eq!(summary.take(letters("a", 5), Duration::ZERO), None);
        assert_eq!(counts(&summary.rest()), [("a".into(), 5)]);
    }
}
