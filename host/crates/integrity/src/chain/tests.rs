use proptest::prelude::*;

use super::*;

const PATIENCE: Patience = Patience { reorder: 4, late: Duration::from_secs(30), remember: 64 };

fn id(n: u64) -> Id {
    Id::of(&[&n.to_le_bytes()])
}

/// The `n`th event of a chain that begins with 1.
fn link(n: u64) -> Link {
    Link { id: id(n), previous: (n > 1).then(|| id(n - 1)), sequence: Some(n) }
}

fn second(n: u64) -> u64 {
    n * 1_000_000_000
}

#[derive(Default)]
struct Heard {
    chain: Chain,
    told: Vec<Told>,
}

impl Heard {
    fn event(&mut self, link: Link) -> &mut Self {
        self.chain.event(link, 0, 0, PATIENCE, &mut self.told);
        self
    }

    fn events(&mut self, numbers: impl IntoIterator<Item = u64>) -> &mut Self {
        for n in numbers {
            self.event(link(n));
        }
        self
    }

    /// What was told, as words; what was only counted in brackets.
    #[track_caller]
    fn says(&mut self, want: &[&str]) -> &mut Self {
        assert_eq!(words(&self.told), want);
        self.told.clear();
        self
    }
}

fn words(told: &[Told]) -> Vec<String> {
    let word = |told: &Told| match told {
        Told::Found { finding, first: true } => finding.kind.name().to_owned(),
        Told::Found { finding, first: false } => format!("({})", finding.kind.name()),
        Told::Resolved(Resolved { complete: true, .. }) => "complete".into(),
        Told::Resolved(_) => "whole".into(),
    };
    told.iter().map(word).collect()
}

#[test]
fn a_whole_chain_says_nothing_wherever_it_is_met_first() {
    for start in [1, 7] {
        let mut chain = Heard::default();
        chain.events(start..start + 100).says(&[]);
    }
}

#[test]
fn what_is_late_or_comes_twice_is_no_loss() {
    let mut chain = Heard::default();
    chain.events([2, 1, 3, 5, 6, 4, 4, 3, 9, 8, 7, 7, 10, 11, 12, 10, 11, 12, 13]).says(&[]);
    assert!(!chain.chain.waits());
    // Old ones again, as after a lost answer.
    chain.events(14..60).events(14..60).events(60..70).says(&[]);
}

#[test]
fn a_gap_is_told_once_and_the_chain_goes_on_behind_it() {
    let mut chain = Heard::default();
    chain.events(1..=5).events(7..=10).says(&[]);
    chain.events([11]).says(&["gap"]);
    // The five that waited count.
    chain.events(12..=11 + 27 - 1).says(&[]);
    chain.events([38, 39]).says(&["whole"]);
    chain.events(40..50).says(&[]);
}

#[test]
fn a_gap_is_told_after_a_time_too() {
    let mut chain = Heard::default();
    chain.events([1, 3]);
    chain.chain.tick(second(29), PATIENCE, &mut chain.told);
    chain.says(&[]);
    chain.chain.tick(second(30), PATIENCE, &mut chain.told);
    chain.says(&["gap"]);
    chain.events([4]).says(&[]);
}

#[test]
fn what_was_missing_may_come_after_all() {
    for order in [[6, 7, 8], [8, 7, 6], [7, 8, 6], [8, 6, 7]] {
        let mut chain = Heard::default();
        chain.events(1..=5).events(9..=13).says(&["gap"]);
        chain.events([order[0], order[1]]).says(&[]);
        chain.events([order[2]]).says(&["complete"]);
        chain.events(14..60).says(&[]);
    }
}

#[test]
fn more_of_the_same_is_counted() {
    let mut chain = Heard::default();
    chain.events(1..=5).events(7..=11).events(13..=17).says(&["gap", "(gap)"]);
    chain.chain.fault(Kind::Tampered, Reason::Mismatch, 0, &mut chain.told);
    chain.chain.fault(Kind::Tampered, Reason::Mismatch, 0, &mut chain.told);
    chain.says(&["tampered", "(tampered)"]);
    chain.events(18..18 + 31).says(&[]);
    chain.events([49]);
    let Some(Told::Resolved(resolved)) = chain.told.first() else { panic!("{:?}", chain.told) };
    assert_eq!(resolved.counts, Counts { gap: 2, tampered: 2, ..Counts::default() });
    assert!(!resolved.complete);
}

#[test]
fn two_that_follow_on_the_same_are_a_fork() {
    let mut chain = Heard::default();
    chain.events(1..=5);
    let other = |n: u64, previous| Link { id: id(1_000 + n), previous: Some(previous), sequence: Some(n) };
    chain.event(other(5, id(4))).says(&["fork"]);
    // What follows on the other branch is part of the same story.
    chain.event(other(6, id(1_005))).event(other(7, id(1_006))).says(&[]);
    chain.events(6..40).says(&["whole"]);
}

#[test]
fn a_new_start_is_told_and_the_tail_of_the_old_one_is_not() {
    let mut chain = Heard::default();
    let anew = |n: u64| Link { id: id(500 + n), previous: (n > 1).then(|| id(500 + n - 1)), sequence: Some(n) };
    chain.events(1..=5).event(anew(1)).says(&["restarted"]);
    chain.events([6]).event(anew(2)).event(anew(1)).says(&[]);
    for n in 3..40 {
        chain.event(anew(n));
    }
    chain.says(&["whole"]);
}

#[test]
fn numbers_count_even_where_hashes_follow() {
    let mut chain = Heard::default();
    chain.events(1..=3).event(Link { id: id(4), previous: Some(id(3)), sequence: Some(9) });
    assert!(
        matches!(chain.told[..], [Told::Found { finding: Finding { reason: Reason::Sequence { expected: 4, found: 9 }, .. }, first: true }]),
        "{:?}",
        chain.told
    );
}

#[test]
fn what_is_known_can_be_written_down() {
    let mut chain = Heard::default();
    chain.events(1..=5).events(8..=12).events([14]).says(&["gap"]);
    let text = serde_json::to_string(&chain.chain).expect("JSON");
    let mut again = Heard { chain: serde_json::from_str(&text).expect("reads"), told: Vec::new() };
    assert_eq!(again.chain, chain.chain);
    again.events([13, 12, 6, 7]).says(&["complete"]);
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Delete(u64),
    Delay(u64),
    Twice(u64),
    Tamper,
    Fork,
    Restart,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (1u64..4).prop_map(Fault::Delete),
        (1u64..=4).prop_map(Fault::Delay),
        (1u64..30).prop_map(Fault::Twice),
        Just(Fault::Tamper),
        Just(Fault::Fork),
        Just(Fault::Restart),
    ]
}

proptest! {
    /// Faults far enough from each other: each is found, named once, and over before the next.
    #[test]
    fn exactly_what_was_done_is_found(faults in prop::collection::vec((fault(), 0u64..10), 0..8), start in 1u64..3) {
        let mut chain = Heard::default();
        let mut want = Vec::new();
        let (mut n, mut generation) = (start, 0u64);
        let make = |n: u64, generation: u64, first: u64| Link {
            id: id(n + (generation << 32)),
            previous: (n > first).then(|| id(n - 1 + (generation << 32))),
            sequence: Some(n),
        };
        let mut first = 1;
        let run = |chain: &mut Heard, n: &mut u64, count: u64, generation: u64, first: u64| {
            for _ in 0..count {
                chain.event(make(*n, generation, first));
                *n += 1;
            }
        };
        run(&mut chain, &mut n, 40, generation, first);
        for (fault, more) in faults {
            match fault {
                Fault::Delete(count) => {
                    n += count;
                    want.extend(["gap", "whole"]);
                }
                Fault::Delay(by) => {
                    let late = n;
                    n += 1;
                    run(&mut chain, &mut n, by, generation, first);
                    chain.event(make(late, generation, first));
                }
                Fault::Twice(count) => {
                    let mut again = n - count.min(n - first);
                    let end = n;
                    while again < end {
                        chain.event(make(again, generation, first));
                        again += 1;
                    }
                }
                Fault::Tamper => {
                    chain.chain.fault(Kind::Tampered, Reason::Mismatch, n, &mut chain.told);
                    want.extend(["tampered", "whole"]);
                }
                Fault::Fork => {
                    chain.event(Link { id: id(u64::MAX - n), previous: Some(id(n - 2 + (generation << 32))), sequence: Some(n) });
                    want.extend(["fork", "whole"]);
                }
                Fault::Restart => {
                    generation += 1;
                    first = n;
                    want.extend(["restarted", "whole"]);
                }
            }
            run(&mut chain, &mut n, 45 + more, generation, first);
        }
        prop_assert_eq!(words(&chain.told), want);
        prop_assert!(!chain.chain.waits());
    }

    /// Whatever comes in whatever order: what is kept is bounded, and nothing is said of events that only
    /// came twice or somewhat late.
    #[test]
    fn it_is_bounded_and_patient(moves in prop::collection::vec((0u64..5, 0usize..3), 1..200), wild in prop::collection::vec((0u64..50, 0u64..50), 0..200)) {
        // Each event comes at its number plus a delay below the patience, some more than once.
        let mut order: Vec<(u64, u64)> = Vec::new();
        for (n, (delay, twice)) in moves.iter().enumerate() {
            let n = n as u64 + 1;
            order.push((n + delay, n));
            order.extend((0..*twice).map(|again| (n + delay + again as u64, n)));
        }
        order.sort();
        let mut chain = Heard::default();
        chain.events(order.iter().map(|(_, n)| *n)).says(&[]);
        for (n, previous) in wild {
            chain.event(Link { id: id(n), previous: Some(id(previous)), sequence: None });
            prop_assert!(chain.chain.waiting.len() <= PATIENCE.reorder && chain.chain.recent.len() <= PATIENCE.room());
        }
    }
}
