use proptest::prelude::{prop_assert, proptest};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(strategy: Strategy) -> RetryPolicy {
    RetryPolicy { strategy, ..RetryPolicy::default() }
}

#[track_caller]
fn check(strategy: Strategy, n: u32, jitter: f64, retry_after: Option<u64>, want_ms: u64) {
    let got = policy(strategy).delay(n, jitter, retry_after.map(Duration::from_secs));
    assert_eq!(got, Duration::from_millis(want_ms), "{strategy:?} retry {n}, jitter {jitter}, Retry-After {retry_after:?}");
}

#[test]
fn delays_by_strategy() {
    let doubling = Strategy::Exponential { multiplier: 2.0 };
    check(doubling, 1, 1.0, None, 1_000);
    check(doubling, 1, 0.5, None, 500);
    check(doubling, 4, 1.0, None, 8_000);
    check(doubling, 7, 1.0, None, 60_000);
    check(doubling, u32::MAX, 1.0, None, 60_000);
    check(doubling, 0, 1.0, None, 1_000);
    check(Strategy::Linear, 5, 1.0, None, 5_000);
    check(Strategy::Linear, u32::MAX, 1.0, None, 60_000);
    check(Strategy::Fixed, 9, 1.0, None, 1_000);
    check(Strategy::Fixed, 9, 0.0, None, 0);
}

#[test]
fn retry_after_wins_where_longer_and_is_capped() {
    check(Strategy::Fixed, 1, 1.0, Some(7), 7_000);
    check(Strategy::Fixed, 1, 0.0, Some(0), 0);
    check(Strategy::Exponential { multiplier: 2.0 }, 6, 1.0, Some(7), 32_000);
    check(Strategy::Fixed, 1, 1.0, Some(1_000_000), 60_000);
}

#[test]
fn the_first_bound_reached_ends_it() {
    let policy = RetryPolicy { max_attempts: Some(3), max_elapsed: 100 * SECOND, ..policy(Strategy::Fixed) };
    assert_eq!(policy.next(2, SECOND, 1.0, None), Next::Again(SECOND));
    assert_eq!(policy.next(3, SECOND, 1.0, None), Next::Exhausted("retry.max_attempts"));
    assert_eq!(policy.next(1, 100 * SECOND, 1.0, None), Next::Exhausted("retry.max_elapsed"));
    assert_eq!(policy.next(1, Duration::from_millis(99_700), 1.0, None), Next::Again(Duration::from_millis(300)), "the last attempt is at the bound");
}

proptest! {
    #[test]
    fn never_beyond_the_cap_nor_the_budget(
        n in 0u32..=u32::MAX, jitter in 0.0f64..1.0, after in proptest::option::of(0u64..1 << 40), multiplier in -1.0f64..1e9,
        initial in 0u64..1 << 40, max in 1u64..1 << 40, elapsed in 0u64..1 << 40,
    ) {
        let policy = RetryPolicy {
            strategy: Strategy::Exponential { multiplier }, initial: Duration::from_millis(initial), max: Duration::from_millis(max), ..RetryPolicy::default()
        };
        let after = after.map(Duration::from_millis);
        let delay = policy.delay(n, jitter, after);
        prop_assert!(delay <= policy.max);
        prop_assert!(delay >= after.unwrap_or_default().min(policy.max));
        let elapsed = Duration::from_millis(elapsed);
        match policy.next(n, elapsed, jitter, after) {
            Next::Again(delay) => prop_assert!(elapsed + delay <= policy.max_elapsed),
            Next::Exhausted(_) => prop_assert!(elapsed >= policy.max_elapsed),
        }
    }

    #[test]
    fn grows_with_the_attempts(n in 1u32..60, jitter in 0.0f64..1.0) {
        for strategy in [Strategy::Exponential { multiplier: 1.7 }, Strategy::Linear, Strategy::Fixed] {
            prop_assert!(policy(strategy).delay(n, jitter, None) <= policy(strategy).delay(n + 1, jitter, None));
        }
    }
}
