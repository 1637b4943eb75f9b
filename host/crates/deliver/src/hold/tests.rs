use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn waits_longer_each_time_and_probes_with_one_call() {
    let mut hold = Hold::default();
    assert_eq!(hold.ask(at(0)), Leave::Free);
    let mut now = at(0);
    for want in [10, 20, 40, 80, 160, 300, 300] {
        let (until, _) = hold.hold(HoldCause::Unauthorized, now);
        assert_eq!(until - now, at(want));
        assert_eq!(hold.ask(until - at(1)), Leave::Until(until));
        assert_eq!(hold.ask(until), Leave::Probe);
        assert_eq!(hold.ask(until), Leave::Wait, "one probe at a time");
        now = until;
    }
    assert_eq!(hold.served(), Some(HoldCause::Unauthorized));
    assert_eq!(hold.ask(now), Leave::Free);
    assert_eq!(hold.hold(HoldCause::Unauthorized, now), (now + at(10), true), "a success starts anew");
}

#[test]
fn late_failures_do_not_lengthen_the_wait() {
    let mut hold = Hold::default();
    assert_eq!(hold.hold(HoldCause::Configuration, at(0)), (at(10), true));
    assert_eq!(hold.hold(HoldCause::Configuration, at(9)), (at(10), false));
    assert_eq!(hold.ask(at(10)), Leave::Probe);
    assert_eq!(hold.hold(HoldCause::Quarantine, at(11)), (at(31), true), "another cause is news");
}

#[test]
fn an_abandoned_probe_is_made_again() {
    let mut hold = Hold::default();
    hold.hold(HoldCause::Quarantine, at(0));
    assert_eq!(hold.ask(at(10)), Leave::Probe);
    hold.abandon_probe();
    assert_eq!(hold.ask(at(10)), Leave::Probe);
}

#[test]
fn different_events_in_a_row_blame_the_guest() {
    let mut hold = Hold::default();
    for _ in 0..3 {
        for _ in 1..BLAMED_IN_A_ROW {
            assert!(!hold.blame());
        }
        hold.served();
    }
    for _ in 1..BLAMED_IN_A_ROW {
        assert!(!hold.blame());
    }
    assert!(hold.blame());
}

#[test]
fn pause_ends_by_hand_only() {
    let mut hold = Hold::default();
    hold.hold(HoldCause::Quarantine, at(0));
    hold.pause();
    assert_eq!((hold.ask(at(1_000)), hold.cause()), (Leave::Wait, Some(HoldCause::Paused)));
    hold.served();
    assert_eq!(hold.ask(at(1_000)), Leave::Wait);
    hold.resume(at(1_000));
    assert_eq!(hold.ask(at(1_000)), Leave::Free);
    hold.hold(HoldCause::Quarantine, at(1_000));
    hold.resume(at(1_001));
    assert_eq!(hold.ask(at(1_001)), Leave::Probe, "by hand a probe goes at once");
}

#[test]
fn a_version_on_trial_is_blamed_for_the_first_event_until_it_has_served_one() {
    let mut hold = Hold::new(true);
    assert!(hold.blame() && hold.blamed());
    let mut hold = Hold::new(true);
    hold.served();
    assert!(!hold.blame() && !hold.blamed(), "it works: the event is to blame");
    assert!((2..BLAMED_IN_A_ROW).all(|_| !hold.blame()) && hold.blame());
}
