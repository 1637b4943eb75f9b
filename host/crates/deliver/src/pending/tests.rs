use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn add(pending: &mut Pending, seq: u64, poll_after: u64, expires: u64) {
    let entry =
        Unconfirmed { seq: Seq(seq), token: format!("t{seq}"), poll_at: Duration::ZERO, expires: at(expires), tries: Tries::default(), key: 0, received_ms: 0 };
    pending.add(entry, at(poll_after), at(0));
}

fn seqs(entries: &[Unconfirmed]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq.0).collect()
}

#[test]
fn asks_when_due_and_sends_again_at_expiry() {
    let mut pending = Pending::default();
    add(&mut pending, 1, 30, 600);
    add(&mut pending, 2, 10, 600);
    add(&mut pending, 3, 9_999, 20);
    add(&mut pending, 4, 0, 600);
    assert_eq!(pending.next_due(), Some(LEAST_WAIT));
    let (ask, expired) = pending.take_due(at(10));
    assert_eq!((seqs(&ask), seqs(&expired)), (vec![4, 2], vec![]));
    let (ask, expired) = pending.take_due(at(20));
    assert_eq!((seqs(&ask), seqs(&expired)), (vec![], vec![3]));
    assert_eq!((pending.len(), pending.next_due()), (1, Some(at(30))));
}

#[test]
fn one_call_asks_for_a_bounded_number() {
    let mut pending = Pending::default();
    for seq in 0..250 {
        add(&mut pending, seq, 1, 600);
    }
    let sizes: Vec<usize> = (0..3).map(|_| pending.take_due(at(1)).0.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    add(&mut pending, 9, 1, 600);
    assert_eq!(pending.slots.len(), 250, "slots are used again");
}
