use proptest::prelude::*;

use super::*;

/// Runs a batch against a guest that breaks on the poisoned events; returns who was blamed and the calls.
fn run(events: usize, most: usize, poison: &[usize]) -> (Vec<usize>, Vec<usize>, usize) {
    let (mut work, mut blamed, mut served, mut calls, mut fresh) = (Worklist::default(), Vec::new(), Vec::new(), 0, false);
    work.fill(events, most);
    while let Some(range) = work.next() {
        calls += 1;
        assert!(range.len() <= most);
        if poison.iter().any(|bad| range.contains(bad)) {
            if work.fault(&range, fresh) == AfterFault::Blame {
                blamed.push(range.start);
            }
            fresh = true;
        } else {
            served.extend(range);
            work.done();
            fresh = false;
        }
    }
    (blamed, served, calls)
}

#[test]
fn one_poisoned_event_in_500_is_found_in_few_calls() {
    let (blamed, served, calls) = run(500, 500, &[321]);
    assert_eq!(blamed, [321]);
    assert_eq!(served.len(), 499);
    assert!(calls <= 22, "{calls} calls");
}

#[test]
fn the_fault_of_a_used_guest_does_not_count() {
    let mut work = Worklist::default();
    work.fill(1, 10);
    let range = work.next().unwrap();
    assert_eq!(work.fault(&range, false), AfterFault::Again);
    let range = work.next().unwrap();
    assert_eq!(work.fault(&range, true), AfterFault::Again);
    let range = work.next().unwrap();
    assert_eq!(work.fault(&range, true), AfterFault::Blame);
    assert_eq!(work.next(), None);
}

#[test]
fn halves_until_one_and_keeps_the_rest() {
    let mut work = Worklist::default();
    work.fill(5, 4);
    let range = work.next().unwrap();
    assert_eq!(range, 0..4);
    assert!(work.halve(&range));
    assert_eq!(work.next(), Some(0..2));
    assert_eq!(work.rest().collect::<Vec<_>>(), [4, 2, 3]);
    assert!(!work.halve(&(7..8)));
}

proptest! {
    #[test]
    fn blames_exactly_the_poisoned(events in 1usize..300, most in 1usize..300, poison in proptest::collection::btree_set(0usize..300, 0..8)) {
        let poison: Vec<usize> = poison.into_iter().filter(|bad| *bad < events).collect();
        let (blamed, mut served, _) = run(events, most, &poison);
        prop_assert_eq!(&blamed, &poison);
        served.extend(blamed);
        served.sort_unstable();
        prop_assert_eq!(served, (0..events).collect::<Vec<_>>());
    }
}
