use proptest::prelude::*;

use super::*;

fn waiting(seq: u64, due: u64, received_ms: i64) -> Waiting {
    Waiting { seq: Seq(seq), due: Duration::from_secs(due), tries: Tries::default(), key: 0, received_ms }
}

fn schedule(entries: &[(u64, u64, i64)]) -> Schedule {
    let mut schedule = Schedule::default();
    for (seq, due, received) in entries {
        schedule.add(waiting(*seq, *due, *received));
    }
    schedule
}

fn seqs(taken: &[Waiting]) -> Vec<u64> {
    taken.iter().map(|waiting| waiting.seq.0).collect()
}

#[test]
fn the_earliest_due_first_and_a_batch_in_the_order_of_the_journal() {
    let mut schedule = schedule(&[(5, 30, 0), (9, 10, 0), (2, 20, 0), (7, 10, 0)]);
    let at = Duration::from_secs;
    assert_eq!((schedule.due(at(9), 10), schedule.next_due()), (0, Some(at(10))));
    assert_eq!(schedule.due(at(20), 10), 3);
    assert_eq!(seqs(&schedule.take_due(at(20), 2)), [7, 9]);
    assert_eq!(seqs(&schedule.take_due(at(20), 2)), [2]);
    assert_eq!(seqs(&schedule.take_due(at(20), 2)), [0; 0]);
    assert_eq!(schedule.len(), 1);
}

#[test]
fn takes_what_is_too_old_whatever_its_due_time() {
    let mut schedule = schedule(&[(1, 99, 500), (2, 1, 2_000), (3, 50, 600), (4, 1, 0)]);
    let until = Expiry { before_ms: 1_000, ..Expiry::default() };
    assert_eq!(seqs(&schedule.take_older(&until, 0, 1)), [1]);
    assert_eq!(seqs(&schedule.take_older(&until, 0, 9)), [3]);
    assert_eq!(schedule.len(), 2);
    // After a restart only the attempts are known.
    let tried =
        |seq, first_ms| Waiting { seq: Seq(seq), due: Duration::ZERO, tries: Tries { attempts: 1, first_ms, ..Tries::default() }, key: 0, received_ms: 0 };
    schedule.add(tried(7, -50));
    schedule.add(tried(8, 10));
    assert_eq!(seqs(&schedule.take_older(&until, 0, 9)), [7]);
    assert_eq!(schedule.len(), 3);
}

#[test]
fn holding_back_and_taking_the_oldest() {
    let mut schedule = schedule(&[(5, 30, 0), (9, 10, 0), (2, 20, 0)]);
    schedule.hold_back(Some(&HashSet::from([1])), Duration::from_secs(50));
    schedule.hold_back(Some(&HashSet::from([0])), Duration::from_secs(25));
    assert_eq!(schedule.due(Duration::from_secs(24), 9), 0);
    assert_eq!(seqs(&schedule.take_oldest(2)), [2, 5]);
    assert_eq!(schedule.next_due(), Some(Duration::from_secs(25)));
    assert_eq!(seqs(&schedule.take_oldest(2)), [9]);
}

#[test]
fn lined_up_nothing_is_due_before_what_is_earlier() {
    let mut schedule = schedule(&[(1, 10, 0), (2, 30, 0), (3, 20, 0), (4, 40, 0)]);
    schedule.line_up(true);
    assert_eq!([10, 29, 30, 39].map(|now| schedule.due(Duration::from_secs(now), 9)), [1, 1, 3, 3]);
    schedule.hold_back(None, Duration::from_secs(35));
    assert_eq!(seqs(&schedule.take_due(Duration::from_secs(35), 9)), [1, 2, 3]);
}

#[test]
fn tries_count_from_the_first_attempt_and_share_their_log() {
    let attempt = |at_ms| Attempt { at_ms, code: "unavailable".into() };
    let (mut last, fresh) = (None, Tries::default());
    let one = fresh.failed(1_000, &attempt(1), &mut last);
    let two = fresh.failed(1_000, &attempt(1), &mut last);
    assert!(same(one.log.as_ref(), two.log.as_ref()));
    let again = one.failed(5_000, &attempt(2), &mut None);
    assert_eq!((again.attempts, again.first_ms, again.elapsed(6_000)), (2, 1_000, Duration::from_secs(5)));
    let mut tries = fresh;
    for n in 0..100 {
        tries = tries.failed(n, &attempt(n), &mut None);
    }
    let listed: Vec<i64> = tries.log.unwrap().iter().map(|attempt| attempt.at_ms).collect();
    assert_eq!(listed, [0, 1, 2, 3, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
    assert_eq!(tries.attempts, 100);
}

proptest! {
    #[test]
    fn everything_comes_out_once_and_never_early(entries in proptest::collection::vec((0u64..50, 0i64..3), 0..100), most in 1usize..10) {
        let mut schedule = Schedule::default();
        for (seq, (due, received)) in entries.iter().enumerate() {
            schedule.add(waiting(seq as u64, *due, *received));
        }
        let mut out = Vec::new();
        for now in 0..50 {
            let now = Duration::from_secs(now);
            loop {
                let due = schedule.due(now, most);
                let taken = schedule.take_due(now, most);
                prop_assert_eq!(due, taken.len());
                prop_assert!(taken.iter().all(|waiting| waiting.due <= now));
                if taken.is_empty() { break }
                out.extend(seqs(&taken));
            }
        }
        out.sort_unstable();
        prop_assert_eq!(out, (0..entries.len() as u64).collect::<Vec<_>>());
    }
}
