use bulkhead_core::Tenant;

use super::*;
use crate::dead_letters::letter::Attempt;
use crate::{Cause, DeadLetterFilter, DeadLetterSettings, Store};

const CEF: &str = "cef";

struct Rig {
    _dir: tempfile::TempDir,
    letters: DeadLetters,
}

impl Rig {
    async fn new() -> Self {
        Self::with(DeadLetterSettings::default()).await
    }

    async fn with(settings: DeadLetterSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let letters = Store::open(dir.path()).await.unwrap().dead_letters(settings).await.unwrap();
        Self { _dir: dir, letters }
    }

    /// The event `id-<n>` of `siem/cef` dies at this place.
    async fn die(&self, n: u64, seq: u64, letter: Option<i64>) {
        let (lane, tenant, id) = (LaneId::new("siem", CEF), Tenant::default(), format!("id-{n}"));
        let attempt = Attempt { at_ms: seq.cast_signed(), code: "retry".into() };
        let new = NewDeadLetter {
            lane: &lane,
            tenant: &tenant,
            owner: "",
            event_id: &id,
            event_type: "a.b",
            seq: Seq(seq),
            cause: if letter.is_some() { Cause::Rejected } else { Cause::RetriesExhausted },
            reason: if letter.is_some() { "é no" } else { "yes" },
            attempts: 3,
            attempt_log: vec![attempt; 3],
            received_ms: 1,
            first_ms: 5,
            last_ms: seq.cast_signed(),
            added_ms: seq.cast_signed(),
            connector: "sha256:abc",
            event: &[7; 100],
            letter,
        };
        self.letters.add_many(&[new]).await.unwrap();
    }

    async fn states(&self) -> Vec<(i64, State, Option<u64>)> {
        let all = self.letters.list(&DeadLetterFilter::default(), None, 100).await.unwrap();
        all.into_iter().map(|letter| (letter.id, letter.state, letter.replay_seq.map(|seq| seq.0))).collect()
    }

    /// The sum of the rows is what the totals say.
    async fn check_totals(&self) {
        let all = self.letters.list(&DeadLetterFilter::default(), None, 100).await.unwrap();
        let totals = self.letters.totals();
        assert_eq!((totals.letters, totals.bytes), (all.len() as u64, all.iter().map(|letter| letter.size).sum()));
    }
}

#[tokio::test]
async fn a_letter_stays_until_its_lane_is_done() {
    let rig = Rig::new().await;
    rig.die(1, 10, None).await;
    rig.die(2, 11, None).await;
    assert_eq!(rig.letters.mark(&[1, 2, 99], By::Manual).await.unwrap(), [1, 2]);
    assert_eq!(rig.letters.mark(&[1, 2], By::Automatic).await.unwrap(), [] as [i64; 0], "only once at a time");
    assert_eq!(rig.letters.replaying(0, 10).await.unwrap(), [], "no place yet");
    rig.letters.placed(&[(1, Seq(20)), (2, Seq(21))]).await.unwrap();
    let replaying = rig.letters.replaying(1, 10).await.unwrap();
    assert_eq!(replaying, [Replaying { id: 2, lane: LaneId::new("siem", CEF), seq: Seq(21) }]);
    let mut freed = rig.letters.freed();
    assert_eq!(rig.letters.close_delivered(&[2]).await.unwrap(), 1);
    assert!(freed.has_changed().unwrap());
    freed.mark_unchanged();
    rig.letters.reopen(&[1]).await.unwrap();
    assert_eq!(rig.states().await, [(1, State::Open, Some(20))]);
    assert_eq!(rig.letters.close_delivered(&[1]).await.unwrap(), 0, "an open letter never goes by itself");
    rig.check_totals().await;
}

#[tokio::test]
async fn what_dies_again_keeps_its_number_and_its_attempts() {
    let rig = Rig::new().await;
    rig.die(1, 10, None).await;
    for (round, seq) in [(1, 20), (2, 30)] {
        rig.letters.mark(&[1], By::Automatic).await.unwrap();
        rig.letters.placed(&[(1, Seq(seq))]).await.unwrap();
        rig.die(1, seq, Some(1)).await;
        // The same again, after a crash between the letter and its settlement.
        rig.die(1, seq, Some(1)).await;
        let letter = rig.letters.get(1).await.unwrap().unwrap();
        assert_eq!((letter.state, letter.attempts, letter.retries, letter.replays), (State::Open, 3 + 3 * round, round, 0));
        assert_eq!((letter.cause, letter.seq, letter.first_ms, letter.added_ms), (Cause::Rejected, Seq(10), 5, seq.cast_signed()));
        assert_eq!(letter.attempt_log.len(), 3 + 3 * round as usize);
        assert_eq!(rig.states().await.len(), 1);
        rig.check_totals().await;
    }
}

/// Appended, delivered and dead again before the place was noted: the letter is open and stays so.
#[tokio::test]
async fn dying_before_the_place_is_noted_is_not_lost() {
    let rig = Rig::new().await;
    rig.die(1, 10, None).await;
    rig.letters.mark(&[1], By::Manual).await.unwrap();
    rig.die(1, 20, Some(1)).await;
    rig.letters.placed(&[(1, Seq(20))]).await.unwrap();
    assert_eq!(rig.letters.close_delivered(&[1]).await.unwrap(), 0);
    assert_eq!(rig.states().await, [(1, State::Open, Some(20))]);
    // A letter that was purged meanwhile comes as a new one.
    rig.letters.delete(&DeadLetterFilter::default()).await.unwrap();
    rig.die(1, 20, Some(1)).await;
    assert_eq!(rig.states().await.len(), 1);
}

#[tokio::test]
async fn a_crash_between_mark_and_append_opens_the_letter() {
    let rig = Rig::new().await;
    rig.die(1, 10, None).await;
    rig.die(2, 11, None).await;
    rig.letters.mark(&[1, 2], By::Manual).await.unwrap();
    rig.letters.placed(&[(2, Seq(20))]).await.unwrap();
    assert_eq!(rig.letters.reopen_unplaced().await.unwrap(), 1);
    assert_eq!(rig.states().await, [(1, State::Open, None), (2, State::Replaying, Some(20))]);
    rig.letters.mark(&[1], By::Manual).await.unwrap();
    rig.letters.unmark(&[1, 2], By::Manual).await.unwrap();
    let letters = rig.letters.list(&DeadLetterFilter { states: vec![State::Open], ..DeadLetterFilter::default() }, None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| (letter.id, letter.replays)).collect::<Vec<_>>(), [(1, 1)]);
}

#[tokio::test]
async fn an_edit_keeps_both_versions() {
    let rig = Rig::new().await;
    rig.die(1, 10, None).await;
    let size = rig.letters.get(1).await.unwrap().unwrap().size;
    for (event, kept) in [(&[1_u8; 30][..], 30), (&[2; 50], 50)] {
        assert_eq!(rig.letters.edit(1, event, "c.d", 77).await.unwrap(), Edited::Done);
        let letter = rig.letters.get(1).await.unwrap().unwrap();
        assert_eq!((letter.event.as_deref(), letter.received.as_deref()), (Some(event), Some(&[7; 100][..])));
        assert_eq!((letter.size, letter.edited_ms, letter.event_type.as_str()), (size + kept, Some(77), "c.d"));
        rig.check_totals().await;
    }
    rig.letters.mark(&[1], By::Manual).await.unwrap();
    assert_eq!(rig.letters.edit(1, &[3], "c.d", 78).await.unwrap(), Edited::Is(State::Replaying));
    rig.letters.placed(&[(1, Seq(20))]).await.unwrap();
    assert_eq!(rig.letters.close_delivered(&[1]).await.unwrap(), 1);
    assert_eq!(rig.states().await, [(1, State::Delivered, Some(20))], "the evidence stays");
    assert_eq!(rig.letters.edit(1, &[3], "c.d", 78).await.unwrap(), Edited::Is(State::Delivered));
    assert_eq!(rig.letters.edit(9, &[3], "c.d", 78).await.unwrap(), Edited::Missing);
}

#[tokio::test]
async fn an_edit_keeps_to_the_bound_and_drops_nobody() {
    let settings = DeadLetterSettings { max_bytes: 700, on_full: crate::OnFull::DropOldest, ..DeadLetterSettings::default() };
    let rig = Rig::with(settings).await;
    rig.die(1, 10, None).await;
    let error = rig.letters.edit(1, &[1; 400], "c.d", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::StoreFull { limit: 700, .. }), "{error}");
    let letter = rig.letters.get(1).await.unwrap().unwrap();
    assert_eq!((letter.received, letter.edited_ms), (None, None), "nothing of it");
}

#[test]
fn a_long_log_keeps_its_ends() {
    let log = |range: std::ops::Range<i64>| range.map(|at_ms| Attempt { at_ms, code: String::new() }).collect::<Vec<_>>();
    let times = |log: Vec<Attempt>| log.into_iter().map(|attempt| attempt.at_ms).collect::<Vec<_>>();
    assert_eq!(times(merged(log(0..3), &log(3..5))), [0, 1, 2, 3, 4]);
    assert_eq!(times(merged(log(0..16), &log(16..20))), [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(times(merged(log(0..2), &[])), [0, 1]);
}
