use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn burst_then_rate() {
    let mut bucket = TokenBucket::new(10, 3);
    assert_eq!([bucket.take(ms(0)), bucket.take(ms(0)), bucket.take(ms(0))], [Ok(()); 3]);
    assert_eq!(bucket.take(ms(0)), Err(ms(100)));
    assert_eq!(bucket.take(ms(40)), Err(ms(60)));
    assert_eq!(bucket.take(ms(100)), Ok(()));
    assert_eq!(bucket.wait(2, ms(100)), ms(200));
    // A quiet hour brings no more than the burst, and nobody waits for more than that.
    assert_eq!(bucket.wait(100, ms(3_600_000)), Duration::ZERO);
    assert_eq!([bucket.take_up_to(100, ms(3_600_000)), bucket.take_up_to(100, ms(3_600_000)), bucket.take_up_to(100, ms(3_600_250))], [3, 0, 2]);
}

#[test]
fn debt_is_paid_before_anything_is_let_in() {
    let mut bucket = TokenBucket::new(10, 20);
    bucket.pay(50);
    // 30 in debt: 3 s, and one more for the next.
    assert_eq!(bucket.wait(1, ms(0)), ms(3_100));
    assert_eq!(bucket.take_up_to(5, ms(3_000)), 0);
    assert_eq!(bucket.take(ms(3_099)), Err(ms(1)));
    assert_eq!(bucket.take(ms(3_100)), Ok(()));
    bucket.pay(1_000_000);
    assert_eq!(bucket.wait(1, ms(3_100)), ms(100_000_100));
}

#[test]
fn the_announced_wait_is_not_a_nanosecond_too_long() {
    let mut bucket = TokenBucket::new(3, 1);
    assert_eq!(bucket.take(ms(0)), Ok(()));
    let wait = bucket.wait(1, ms(0));
    assert_eq!(wait, Duration::from_nanos(333_333_334));
    assert!(bucket.clone().take(wait - Duration::from_nanos(1)).is_err());
    assert_eq!(bucket.take(wait), Ok(()));
}

#[test]
fn readings_out_of_order_bring_nothing() {
    let mut bucket = TokenBucket::new(1, 1);
    assert_eq!(bucket.take(ms(10_000)), Ok(()));
    assert_eq!(bucket.take(ms(9_900)), Err(ms(1_100)), "one second after the later of the two");
    assert_eq!(bucket.take(ms(10_999)), Err(ms(1)));
    assert_eq!(bucket.take(ms(11_000)), Ok(()));
}

#[test]
fn extremes_do_not_overflow() {
    let mut bucket = TokenBucket::new(u64::MAX, u64::MAX);
    assert_eq!(bucket.take_up_to(u64::MAX, Duration::ZERO), u64::MAX);
    assert_eq!(bucket.take_up_to(u64::MAX, Duration::MAX), u64::MAX);
    assert_eq!(TokenBucket::new(0, 0).take_up_to(9, ms(5)), 1);
}

proptest! {
    /// In every window between two asks: never more than burst + rate · t, whatever debts are made but the last.
    #[test]
    fn never_more_than_burst_plus_rate(rate in 1u64..5000, burst in 1u64..200, asks in prop::collection::vec((0u64..400_000_000, 1u64..50), 1..60)) {
        let mut bucket = TokenBucket::new(rate, burst);
        let mut now = 0_u64;
        let mut taken = Vec::new();
        for (gap, wanted) in asks {
            now += gap;
            let at = Duration::from_nanos(now);
            let got = if wanted == 1 { u64::from(bucket.take(at).is_ok()) } else { bucket.take_up_to(wanted, at) };
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

    /// Who waits as told finds what was asked for, with debts and with readings out of order.
    #[test]
    fn waiting_as_told_gets_through(rate in 1u64..100_000, burst in 1u64..50, steps in prop::collection::vec((-1_000_000i64..5_000_000, 0u64..60, 1u64..80), 1..50)) {
        let mut bucket = TokenBucket::new(rate, burst);
        let mut now = 1_000_000_000_i64;
        for (gap, debt, wanted) in steps {
            now = (now + gap).max(0);
            bucket.pay(debt);
            let wait = bucket.wait(wanted, Duration::from_nanos(now.cast_unsigned()));
            let then = Duration::from_nanos(now.cast_unsigned()) + wait;
            prop_assert_eq!(bucket.wait(wanted, then), Duration::ZERO);
            if wait > Duration::ZERO {
                prop_assert!(bucket.clone().take_up_to(wanted, then) >= wanted.min(burst));
                now = then.as_nanos() as i64;
            }
        }
    }
}
