use proptest::prelude::*;

use super::*;

const SETTINGS: BreakerSettings = BreakerSettings { failure_threshold: 3, open_for: Duration::from_secs(60), half_open_calls: 2 };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn go(breaker: &mut Breaker, now: u64) -> Leave {
    match breaker.ask(at(now)) {
        Answer::Go(leave) => leave,
        other => panic!("{other:?} at {now} s"),
    }
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new(SETTINGS);
    for _ in 0..3 {
        let leave = go(&mut breaker, 10);
        breaker.failure(leave, at(10));
    }
    breaker
}

#[test]
fn opens_at_the_threshold_and_not_before() {
    let mut breaker = Breaker::new(SETTINGS);
    for round in 0..10 {
        let leave = go(&mut breaker, round);
        // A success in between starts the count anew.
        if round % 3 == 2 {
            breaker.success(leave)
        } else {
            breaker.failure(leave, at(round))
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    let mut breaker = opened();
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.ask(at(69)), Answer::Until(at(70)));
}

#[test]
fn half_open_lets_calls_through_one_by_one_and_closes_when_all_succeed() {
    let mut breaker = opened();
    let first = go(&mut breaker, 70);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.ask(at(70)), Answer::Probing);
    breaker.success(first);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "two must succeed");
    let second = go(&mut breaker, 70);
    assert_eq!(breaker.ask(at(70)), Answer::Probing);
    breaker.success(second);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn one_failed_probe_opens_again_for_the_full_time() {
    let mut breaker = opened();
    let first = go(&mut breaker, 70);
    breaker.success(first);
    let second = go(&mut breaker, 71);
    breaker.failure(second, at(75));
    assert_eq!(breaker.ask(at(134)), Answer::Until(at(135)));
}

#[test]
fn calls_from_before_say_nothing_about_now() {
    let mut breaker = Breaker::new(SETTINGS);
    let late = go(&mut breaker, 1);
    for _ in 0..3 {
        let leave = go(&mut breaker, 1);
        breaker.failure(leave, at(1));
    }
    breaker.success(late);
    assert_eq!(breaker.state(), BreakerState::Open);
    let probe = go(&mut breaker, 61);
    breaker.failure(late, at(61));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.ask(at(61)), Answer::Probing);
    breaker.abandon(probe);
    go(&mut breaker, 61);
}

#[test]
fn reset_by_hand_closes() {
    let mut breaker = opened();
    breaker.reset();
    go(&mut breaker, 11);
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask),
        2 => (0usize..8).prop_map(Step::Succeed),
        3 => (0usize..8).prop_map(Step::Fail),
        1 => (0usize..8).prop_map(Step::Abandon),
        1 => (0u64..90).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Never passes while tripped, never more probes than allowed, never stuck.
    #[test]
    fn never_passes_while_tripped(steps in steps()) {
        let mut breaker = Breaker::new(SETTINGS);
        let mut now = at(0);
        let mut opened_at: Option<Duration> = None;
        let mut leaves: Vec<Leave> = Vec::new();
        for step in steps {
            match step {
                Step::Ask => match breaker.ask(now) {
                    Answer::Go(leave) => {
                        if let Some(opened) = opened_at {
                            prop_assert!(now >= opened + SETTINGS.open_for, "passed while open");
                        }
                        if breaker.state() == BreakerState::HalfOpen {
                            opened_at = None;
                        }
                        leaves.push(leave);
                        let probes = leaves.iter().filter(|held| held.generation == leave.generation).count();
                        prop_assert!(breaker.state() != BreakerState::HalfOpen || probes <= 1);
                    }
                    Answer::Until(until) => prop_assert!(until > now && breaker.state() == BreakerState::Open),
                    Answer::Probing => prop_assert_eq!(breaker.state(), BreakerState::HalfOpen),
                },
                Step::Succeed(i) | Step::Fail(i) | Step::Abandon(i) if i >= leaves.len() => {}
                Step::Succeed(i) => breaker.success(leaves.swap_remove(i)),
                Step::Abandon(i) => breaker.abandon(leaves.swap_remove(i)),
                Step::Fail(i) => {
                    let was = breaker.state();
                    breaker.failure(leaves.swap_remove(i), now);
                    if was != BreakerState::Open && breaker.state() == BreakerState::Open {
                        opened_at = Some(now);
                    }
                }
                Step::Pass(seconds) => now += at(seconds),
            }
        }
        for leave in leaves {
            breaker.abandon(leave);
        }
        now += SETTINGS.open_for;
        prop_assert!(matches!(breaker.ask(now), Answer::Go(_)), "stuck in {:?}", breaker.state());
    }
}
