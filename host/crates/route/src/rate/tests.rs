use std::time::Duration;

use proptest::prelude::*;

use super::RateLimiter;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn burst_then_rate() {
    let mut limiter = RateLimiter::new(10, 3);
    for _ in 0..3 {
        assert_eq!(limiter.take(ms(0)), Ok(()));
    }
    assert_eq!(limiter.take(ms(0)), Err(ms(100)));
    assert_eq!(limiter.take(ms(40)), Err(ms(60)));
    assert_eq!(limiter.take(ms(100)), Ok(()));
    assert_eq!(limiter.take(ms(100)), Err(ms(100)));
    // A quiet hour brings no more than the burst.
    assert_eq!(limiter.take_up_to(ms(3_600_000), 100), 3);
    assert_eq!(limiter.take_up_to(ms(3_600_000), 100), 0);
    assert_eq!(limiter.take_up_to(ms(3_600_250), 100), 2);
}

#[test]
fn the_announced_wait_is_enough_and_not_a_nanosecond_too_long() {
    let mut limiter = RateLimiter::new(3, 1);
    assert_eq!(limiter.take(ms(0)), Ok(()));
    let wait = limiter.wait(ms(0));
    assert_eq!(wait, Duration::from_nanos(333_333_334));
    assert!(limiter.clone().take(wait - Duration::from_nanos(1)).is_err());
    assert_eq!(limiter.take(wait), Ok(()));
}

#[test]
fn a_clock_going_back_is_harmless() {
    let mut limiter = RateLimiter::new(1, 1);
    assert_eq!(limiter.take(ms(10_000)), Ok(()));
    assert_eq!(limiter.take(ms(0)), Err(ms(1000)));
    assert_eq!(limiter.take(ms(1000)), Ok(()), "it counts on from the new time");
    assert_eq!(limiter.take(Duration::MAX), Ok(()));
    assert_eq!(limiter.take(Duration::ZERO), Err(ms(1000)));
}

#[test]
fn extremes_do_not_overflow() {
    let mut limiter = RateLimiter::new(u32::MAX, u32::MAX);
    assert_eq!(limiter.take_up_to(Duration::ZERO, u32::MAX), u32::MAX);
    assert_eq!(limiter.take_up_to(Duration::MAX, u32::MAX), u32::MAX);
    assert_eq!(RateLimiter::new(0, 0).take_up_to(ms(5), 9), 1);
}

proptest! {
    /// In every window between two asks: never more than burst + rate · t.
    #[test]
    fn never_more_than_burst_plus_rate(rate in 1u32..5000, burst in 1u32..200, asks in prop::collection::vec((0u64..400_000_000, 1u32..50), 1..60)) {
        let mut limiter = RateLimiter::new(rate, burst);
        let mut now = 0_u64;
        let mut taken = Vec::new();
        for (gap, wanted) in asks {
            now += gap;
            let got = if wanted == 1 { u32::from(limiter.take(Duration::from_nanos(now)).is_ok()) } else { limiter.take_up_to(Duration::from_nanos(now), wanted) };
            taken.push((now, u128::from(got)));
        }
        for from in 0..taken.len() {
            let mut sum = 0;
            for to in from..taken.len() {
                sum += taken[to].1;
                let window = u128::from(taken[to].0 - taken[from].0);
                prop_assert!(sum * 1_000_000_000 <= u128::from(burst) * 1_000_000_000 + u128::from(rate) * window);
            }
        }
    }

    /// Who waits as told gets through, and nobody waits for longer than one event takes.
    #[test]
    fn waiting_as_told_gets_through(rate in 1u32..100_000, burst in 1u32..10, gaps in prop::collection::vec(0u64..1_000_000, 1..50)) {
        let mut limiter = RateLimiter::new(rate, burst);
        let mut now = Duration::ZERO;
        for gap in gaps {
            now += Duration::from_nanos(gap);
            if let Err(wait) = limiter.take(now) {
                prop_assert!(wait.as_nanos() <= 1_000_000_000_u128.div_ceil(u128::from(rate)));
                now += wait;
                prop_assert_eq!(limiter.take(now), Ok(()));
            }
        }
    }
}
