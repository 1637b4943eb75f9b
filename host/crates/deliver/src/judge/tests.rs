use std::sync::Arc;

use super::*;
use crate::retry::{Jitter, Strategy};

const NOW: Duration = Duration::from_secs(1_000);

fn policy() -> RetryPolicy {
    RetryPolicy { strategy: Strategy::Fixed, jitter: Jitter::None, max_attempts: Some(3), max_elapsed: Duration::from_secs(100), ..RetryPolicy::default() }
}

fn tries(attempts: u32, seconds_ago: i64) -> Tries {
    Tries { attempts, first_ms: millis(NOW) - seconds_ago * 1_000, ..Tries::default() }
}

#[track_caller]
fn check(outcome: Outcome, before: Tries, want: &str) {
    let policy = policy();
    let (verdict, letter) = Judge::new(&policy, NOW, 77, 0.5).outcome(4, outcome, &before);
    let got = match (verdict, letter) {
        (Verdict::Settled, None) => "settled".into(),
        (Verdict::Retry { due, tries }, None) => format!("attempt {} in {:?}", tries.attempts + 1, due - NOW),
        (Verdict::Pending { poll_after, tries, .. }, None) => format!("poll in {poll_after:?} after {}", tries.attempts),
        (Verdict::Bury, Some(letter)) => format!("{} {} after {}: {}", letter.item, letter.cause, letter.tries.attempts, letter.reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(got, want);
}

#[test]
fn outcomes_by_what_was_before() {
    let retry = |after: Option<u64>| Outcome::Retry { after: after.map(Duration::from_secs) };
    check(Outcome::Accepted { receipt: None }, tries(2, 9), "settled");
    check(retry(None), Tries::default(), "attempt 2 in 1s");
    check(retry(Some(7)), tries(1, 5), "attempt 3 in 7s");
    check(retry(Some(7_000)), tries(1, 5), "attempt 3 in 60s");
    check(retry(None), tries(2, 5), "4 retries-exhausted after 3: retry.max_attempts reached after 3 attempts, the last one ended with retry");
    check(retry(None), tries(1, 100), "4 retries-exhausted after 2: retry.max_elapsed reached after 2 attempts, the last one ended with retry");
    check(Outcome::Rejected { reason: "no index".into() }, Tries::default(), "4 rejected after 1: no index");
    check(Outcome::Pending { token: "t".into(), poll_after: Duration::from_secs(3) }, Tries::default(), "poll in 3s after 1");
}

#[test]
fn where_people_must_act_attempts_are_no_bound() {
    let policy = policy();
    let mut judge = Judge::new(&policy, NOW, 77, 0.5);
    let later = NOW + Duration::from_secs(30);
    let (verdict, _) = judge.again(0, "unauthorized", None, Some(later), false, &tries(50, 5));
    assert!(matches!(verdict, Verdict::Retry { due, .. } if due == later), "{verdict:?}");
    let (_, letter) = judge.again(0, "unauthorized", None, Some(later), false, &tries(50, 101));
    assert_eq!(letter.map(|letter| letter.cause), Some(Cause::RetriesExhausted));
}

#[test]
fn events_that_fail_together_share_their_log() {
    let policy = policy();
    let mut judge = Judge::new(&policy, NOW, 77, 0.5);
    let logs: Vec<_> = (0..2)
        .map(|item| match judge.again(item, "unavailable", None, None, true, &Tries::default()) {
            (Verdict::Retry { tries, .. }, None) => tries.log.expect("has a log"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(Arc::ptr_eq(&logs[0], &logs[1]));
    assert_eq!(*logs[0], [Attempt { at_ms: 77, code: "unavailable".into() }]);
}
