use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn key(n: u8) -> Key {
    Key::of(&[&[n]])
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_key_is_new_once_in_its_time() {
    let mut seen = Seen::new(at(10), 100);
    assert_eq!(seen.claim(key(1), at(0)), Claim::New);
    assert_eq!(seen.claim(key(1), at(0)), Claim::UnderWay);
    seen.keep(key(1), "answer", 1, at(1));
    assert_eq!(seen.claim(key(1), at(5)), Claim::Seen(&"answer"));
    // Seeing it did not make it live longer.
    assert_eq!(seen.claim(key(1), at(10)), Claim::Seen(&"answer"));
    assert_eq!(seen.claim(key(1), at(11)), Claim::New);
}

#[test]
fn what_failed_was_not_seen() {
    let mut seen = Seen::new(at(10), 100);
    assert_eq!(seen.claim(key(1), at(0)), Claim::New);
    seen.forget(&key(1));
    assert_eq!(seen.claim(key(1), at(0)), Claim::New);
    seen.keep(key(1), (), 1, at(0));
    seen.forget(&key(1));
    assert_eq!(seen.claim(key(1), at(0)), Claim::Seen(&()), "what is done is not forgotten");
    assert_eq!(seen.claim(key(2), at(1_000)), Claim::New, "a claim has no end of its own");
    assert_eq!(seen.claim(key(2), at(9_000)), Claim::UnderWay);
}

#[test]
fn the_oldest_go_first_when_it_is_full() {
    let mut seen = Seen::new(at(10), 5);
    for n in 0..3 {
        assert_eq!(seen.claim(key(n), at(0)), Claim::New);
        seen.keep(key(n), n, 2, at(0));
    }
    assert_eq!((seen.len(), seen.take_forgotten(), seen.take_forgotten()), (2, 1, 0));
    assert_eq!(seen.claim(key(0), at(0)), Claim::New);
    assert_eq!(seen.claim(key(1), at(0)), Claim::Seen(&1));
    // One that is too heavy for all room leaves nothing.
    seen.keep(key(0), 0, 6, at(0));
    assert!(seen.is_empty());
}

#[test]
fn what_an_earlier_process_saw_has_the_rest_of_its_time() {
    let mut seen = Seen::new(at(10), 100);
    seen.restore(key(1), (), 1, at(10), at(0));
    seen.restore(key(2), (), 1, at(9), at(0));
    // Its clock jumped: this one is kept no shorter than the one before it, and never too long.
    seen.restore(key(3), (), 1, at(9), at(0));
    seen.restore(key(4), (), 1, at(0), at(0));
    assert_eq!(seen.claim(key(1), at(0)), Claim::New);
    assert_eq!(seen.claim(key(2), at(0)), Claim::Seen(&()));
    assert_eq!(seen.claim(key(2), at(1)), Claim::New);
    assert_eq!(seen.claim(key(3), at(1)), Claim::New);
    assert_eq!(seen.claim(key(4), at(9)), Claim::Seen(&()));
    assert_eq!(seen.claim(key(4), at(10)), Claim::New);
}

#[test]
fn parts_do_not_run_together() {
    assert_ne!(Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
    assert_ne!(Key::of(&[b"a", b""]), Key::of(&[b"a"]));
    let long = [b'x'; 300];
    let keys: Vec<Key> = (0..300).map(|at| Key::of(&[&long[..at], &long[at..]])).collect();
    assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
    // It is on disk: it must not change.
    assert_eq!(Key::of(&[b"abc"]).as_bytes()[..4], Sha256::digest(b"\x03\0\0\0abc")[..4]);
}

#[derive(Debug, Clone)]
enum Step {
    Claim(u8),
    Keep(u8),
    Forget(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(0u8..8).prop_map(Step::Claim), (0u8..8).prop_map(Step::Keep), (0u8..8).prop_map(Step::Forget), (0u64..6).prop_map(Step::Wait)]
}

proptest! {
    /// Against a list that says when each key was kept.
    #[test]
    fn it_is_the_list_of_what_was_kept_lately(steps in prop::collection::vec(step(), 0..200)) {
        let (span, most) = (10, 5);
        let mut seen = Seen::new(at(span), most as u64);
        let (mut claimed, mut kept, mut now): (BTreeMap<u8, ()>, Vec<(u8, u64)>, u64) = (BTreeMap::new(), Vec::new(), 0);
        for step in steps {
            kept.retain(|(_, since)| since + span > now);
            match step {
                Step::Claim(n) => {
                    let want = if kept.iter().any(|(other, _)| *other == n) {
                        Claim::Seen(&n)
                    } else if claimed.insert(n, ()).is_some() {
                        Claim::UnderWay
                    } else {
                        Claim::New
                    };
                    prop_assert_eq!(seen.claim(key(n), at(now)), want);
                }
                Step::Keep(n) => if claimed.remove(&n).is_some() {
                    seen.keep(key(n), n, 1, at(now));
                    kept.push((n, now));
                    if kept.len() > most {
                        kept.remove(0);
                    }
                },
                Step::Forget(n) => {
                    seen.forget(&key(n));
                    claimed.remove(&n);
                }
                Step::Wait(seconds) => now += seconds,
            }
            prop_assert!(seen.len() <= most);
        }
    }
}
