//! Answers to questions that connectors put to their systems, kept for operations that only read
//! (`instances.*.query_cache`).
//!
//! Promises: an answer is given again only for the same question to the same instance with the same
//! configuration, marked as kept; one that is older than its time only where none can be had, marked as stale.
//! Bounded over all instances by number and bytes: the oldest answer goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::Fingerprint;

/// Most answers, and most bytes of them.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 64 << 20;

/// A question, by what it is asked of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuestionId([u8; 32]);

impl QuestionId {
    /// `fingerprint` is of all that the instance runs on: after a change it is asked anew.
    pub fn new(instance: &str, fingerprint: &Fingerprint, operation: &str, parameters: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(fingerprint);
        for part in [instance, operation, parameters] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        Self(digest.finalize().into())
    }
}

#[derive(Debug, Clone)]
struct Kept {
    answer: Arc<str>,
    /// On the monotonic clock.
    at: Duration,
    /// Which one in the order, so that an older place of it there is told from the last.
    number: u64,
}

/// The answers.
#[derive(Debug, Default)]
pub struct Answers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<QuestionId, Kept>,
    /// Oldest first.
    order: VecDeque<(QuestionId, u64)>,
    bytes: usize,
    number: u64,
}

impl Answers {
    /// The answer and its age, if it is no older than this.
    pub fn get(&self, question: &QuestionId, now: Duration, most: Duration) -> Option<(Arc<str>, Duration)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = inner.kept.get(question)?;
        let age = now.saturating_sub(kept.at);
        (age <= most).then(|| (Arc::clone(&kept.answer), age))
    }

    pub fn put(&self, question: QuestionId, answer: &str, now: Duration) {
        if answer.len() > MOST_BYTES {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.number += 1;
        let number = inner.number;
        if let Some(old) = inner.kept.insert(question, Kept { answer: answer.into(), at: now, number }) {
            inner.bytes -= old.answer.len();
        }
        inner.bytes += answer.len();
        inner.order.push_back((question, number));
        while inner.kept.len() > MOST || inner.bytes > MOST_BYTES || inner.order.len() > 2 * MOST {
            let Some((oldest, number)) = inner.order.pop_front() else { break };
            if inner.kept.get(&oldest).is_some_and(|kept| kept.number == number)
                && let Some(gone) = inner.kept.remove(&oldest)
            {
                inner.bytes -= gone.answer.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_answer_is_for_its_question_and_its_time() {
        let answers = Answers::default();
        let question = |instance, fingerprint: u8, operation, parameters| QuestionId::new(instance, &[fingerprint; 32], operation, parameters);
        let asked = question("siem", 1, "search", "{}");
        answers.put(asked, "[1]", seconds(10));
        assert_eq!(answers.get(&asked, seconds(70), seconds(60)).map(|(answer, age)| (answer.to_string(), age)), Some(("[1]".into(), seconds(60))));
        assert_eq!(answers.get(&asked, seconds(71), seconds(60)), None);
        for other in [
            question("siem2", 1, "search", "{}"),
            question("siem", 2, "search", "{}"),
            question("siem", 1, "searc", "h{}"),
            question("siem", 1, "search", "{ }"),
        ] {
            assert_eq!(answers.get(&other, seconds(10), seconds(60)), None);
        }
        answers.put(asked, "[2]", seconds(80));
        assert_eq!(answers.get(&asked, seconds(80), seconds(0)).map(|(answer, _)| answer.to_string()), Some("[2]".into()));
    }

    #[test]
    fn the_oldest_goes_first_by_number_and_by_bytes() {
        let answers = Answers::default();
        let question = |n: usize| QuestionId::new("siem", &[0; 32], "search", &n.to_string());
        let there = |n| answers.get(&question(n), seconds(0), seconds(9)).is_some();
        for n in 0..=MOST {
            answers.put(question(n), "x", seconds(0));
        }
        assert!(!there(0) && there(1) && there(MOST));
        // Asked again it is among the youngest, however often.
        for _ in 0..5 * MOST {
            answers.put(question(1), "x", seconds(0));
        }
        assert!(there(1));
        let large = "x".repeat(MOST_BYTES / 2);
        for n in 2_000..2_003 {
            answers.put(question(n), &large, seconds(0));
        }
        assert!(!there(1) && !there(2_000) && there(2_001) && there(2_002));
        assert!(answers.inner.lock().expect("unbroken").bytes <= MOST_BYTES);
        answers.put(question(9_999), &"x".repeat(MOST_BYTES + 1), seconds(0));
        assert!(!there(9_999) && there(2_002));
    }
}
