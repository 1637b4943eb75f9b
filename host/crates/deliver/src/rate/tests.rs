use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_burst_then_the_rate_in_tenths_of_a_second() {
    let mut rate = Rate::new(RateSettings { events_per_second: 100, burst: 50 });
    assert_eq!(rate.take(30, false, ms(0)), Ok(30));
    assert_eq!(rate.take(30, false, ms(0)), Ok(20), "what is left goes");
    assert_eq!(rate.take(30, false, ms(0)), Err(ms(100)), "ten events are worth a call");
    assert_eq!(rate.take(30, false, ms(99)), Err(ms(100)));
    assert_eq!(rate.take(30, false, ms(100)), Ok(10));
    assert_eq!(rate.take(1, false, ms(100)), Err(ms(110)), "one event waits for one");
    assert_eq!(rate.take(20, true, ms(100)), Err(ms(300)), "all or nothing");
    assert_eq!(rate.take(20, true, ms(300)), Ok(20));
    assert_eq!(rate.take(500, false, ms(100_000)), Ok(50), "a long rest fills the bucket, not more");
}

proptest! {
    /// In any time `t` no more than `burst + rate · t`, and waiting as told always helps.
    #[test]
    fn bounded_and_never_stuck(per_second in 1u32..100_000, burst in 0u32..100_000, asks in proptest::collection::vec((0u32..5_000, 0u64..2_000), 1..100)) {
        let mut rate = Rate::new(RateSettings { events_per_second: per_second, burst });
        let (mut now, mut taken) = (Duration::ZERO, 0u64);
        for (wanted, pause) in asks {
            now += ms(pause);
            let got = match rate.take(wanted, false, now) {
                Ok(got) => got,
                Err(until) => {
                    prop_assert!(until > now);
                    now = until;
                    let again = rate.take(wanted, false, now);
                    prop_assert!(again.is_ok(), "told to wait until {until:?}, then {again:?}");
                    again.unwrap()
                }
            };
            prop_assert!(got >= 1 && got <= wanted.max(1));
            taken += u64::from(got);
            prop_assert!(u128::from(taken) <= u128::from(burst.max(1)) + now.as_nanos() * u128::from(per_second) / 1_000_000_000);
        }
    }
}
