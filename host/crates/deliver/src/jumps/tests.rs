use super::*;

const DAY: i64 = 86_400_000;
const NOW: i64 = 1_800_000_000_000;

#[test]
fn ages_are_true_whichever_way_the_clock_was_set() {
    for by in [DAY, -DAY, 30 * DAY] {
        let mut jumps = Jumps::default();
        // Event 5 comes in at second 1, the clock is set at second 10, event 9 comes in at second 20.
        jumps.look(NOW, 0, Seq(1));
        jumps.look(NOW + 9_000, 9_000, Seq(5));
        let corrections = jumps.look(NOW + by + 11_000, 11_000, Seq(5));
        assert_eq!(corrections.receipt(Seq(5), NOW + 1_000), NOW + by + 1_000);
        let today = jumps.look(NOW + by + 21_000, 21_000, Seq(9));
        assert_eq!(today.receipt(Seq(9), NOW + by + 20_000), NOW + by + 20_000);
        let expiry = Expiry { before_ms: NOW + by + 21_000 - 15_000, corrections: today };
        assert!(expiry.is_past(Seq(5), (NOW + 1_000) as u64 * 1_000_000), "20 s old, jump {by}");
        assert!(!expiry.is_past(Seq(9), (NOW + by + 20_000) as u64 * 1_000_000), "1 s old, jump {by}");
        assert_eq!(expiry.corrections.receipt(Seq(5), 0), 0, "unknown stays unknown");
    }
}

#[test]
fn what_came_in_between_two_looks_is_kept_longer_and_never_given_up_early() {
    // Event 6 came in between two looks with a jump in between: before or after it, nobody knows.
    for (by, stamps) in [(DAY, [NOW, NOW + DAY]), (-DAY, [NOW, NOW - DAY])] {
        let mut jumps = Jumps::default();
        jumps.look(NOW - 1_000, 0, Seq(5));
        let corrections = jumps.look(NOW + by + 1_000, 2_000, Seq(6));
        for stamp in stamps {
            assert!(corrections.receipt(Seq(6), stamp) >= NOW + by, "jump {by}, stamped {stamp}: older than it is");
        }
    }
}

#[test]
fn drift_is_no_jump_until_it_comes_to_one_and_few_are_remembered() {
    let mut jumps = Jumps::default();
    for second in 0..1_000 {
        // A clock that runs a thousandth too fast.
        jumps.look(NOW + second * 1_001, second * 1_000, Seq(second as u64));
    }
    assert!(jumps.corrections.is_empty());
    let corrections = jumps.look(NOW + 2_002_000, 2_000_000, Seq(2_000));
    assert_eq!(corrections.receipt(Seq(1), NOW), NOW + 2_000);
    for jump in 0..1_000 {
        jumps.look(NOW + jump % 2 * DAY, 0, Seq(3_000));
    }
    assert_eq!(jumps.corrections.0.len(), MOST);
}

#[test]
fn a_clock_that_stands_changes_nothing() {
    let mut jumps = Jumps::default();
    jumps.look(NOW, 0, Seq(0));
    let corrections = jumps.look(NOW + 5_000, 5_000, Seq(9));
    assert_eq!((corrections.is_empty(), corrections.receipt(Seq(3), 77)), (true, 77));
    assert!(Expiry::default().is_never() && !Expiry::default().is_past(Seq(1), 5));
}
