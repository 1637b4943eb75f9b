//! What stays after every lane has settled it, and what makes room.

use std::sync::atomic::Ordering;

use super::*;
use crate::settings::Keep;
use crate::{LaneLog, LaneStart};

const MINUTE: u64 = 60_000_000_000;

struct Kept {
    rig: Rig,
    clock: Arc<TestClock>,
    lane: LaneLog,
    next: u64,
}

impl Kept {
    fn open(sim: &SimFs, segments: u64, keep: Keep) -> Self {
        let clock = Arc::new(TestClock::default());
        let rig = Rig::try_open(sim, JournalSettings { clock: clock.clone(), keep, ..settings(segments * SEGMENT) }).unwrap();
        let lane = rig.journal.lane("a", LaneStart::From(Seq(1))).unwrap();
        rig.journal.lanes_ready();
        Self { rig, clock, lane, next: 0 }
    }

    /// A minute passes, and one segment's worth of events comes and is settled.
    fn segment(&mut self) -> Result<(), AppendError> {
        self.next += 1;
        self.clock.0.store(self.next * MINUTE, Ordering::Relaxed);
        for _ in 0..6 {
            self.rig.event("x", 10_000)?;
        }
        self.lane.settle(Seq(1), self.rig.journal.head());
        // On a full disk it is written with the next one.
        let _ = self.lane.flush();
        self.rig.keeper.turn();
        Ok(())
    }

    fn oldest(&self) -> u64 {
        self.rig.journal.stats().oldest.0
    }
}

#[test]
fn settled_events_stay_within_their_bytes() {
    let mut kept = Kept::open(&SimFs::new(1), 16, Keep { max_bytes: Some(3 * SEGMENT), max_age: None });
    for _ in 0..3 {
        kept.segment().unwrap();
    }
    assert_eq!(kept.oldest(), 1);
    for _ in 0..5 {
        kept.segment().unwrap();
    }
    // Eight came, the last one is written to, three are kept.
    assert_eq!(kept.oldest(), 4 * 6 + 1);
    assert_eq!(kept.rig.journal.oldest_time(), Some(5 * MINUTE));
    assert_eq!(brief(&kept.rig.journal, 24).len(), 24, "and can be read");
}

#[test]
fn settled_events_go_when_they_are_old() {
    let mut kept = Kept::open(&SimFs::new(1), 16, Keep { max_bytes: None, max_age: Some(Duration::from_secs(150)) });
    for _ in 0..8 {
        kept.segment().unwrap();
    }
    // Of minute 8: the segment behind the fifth was begun at minute 6, within the 150 s.
    assert_eq!(kept.oldest(), 4 * 6 + 1);
    kept.clock.0.store(60 * MINUTE, Ordering::Relaxed);
    kept.rig.keeper.turn();
    assert_eq!(kept.oldest(), 7 * 6 + 1, "the segment that is written to stays");
}

/// What is kept never costs a producer an answer.
#[test]
fn kept_events_make_room_for_new_ones() {
    let mut kept = Kept::open(&SimFs::new(1), 4, Keep { max_bytes: None, max_age: Some(Duration::from_secs(1 << 30)) });
    for n in 0..20 {
        kept.segment().unwrap_or_else(|error| panic!("segment {n}: {error}"));
        assert!(kept.rig.journal.stats().bytes <= 4 * SEGMENT);
    }
    assert!(kept.oldest() < 19 * 6 + 1, "something is kept: {}", kept.oldest());
    // Unsettled events are not: then producers hear of it.
    let refused = (0..40).find_map(|_| kept.rig.event("unsettled", 10_000).err()).expect("full");
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
}

#[test]
fn a_full_disk_takes_what_is_kept_first() {
    let sim = SimFs::new(1);
    let mut kept = Kept::open(&sim, 16, Keep { max_bytes: None, max_age: Some(Duration::from_secs(1 << 30)) });
    for _ in 0..4 {
        kept.segment().unwrap();
    }
    assert_eq!(kept.oldest(), 1);
    sim.set_capacity(Some(sim.used()));
    // An answer may say that the disk is full; the ones behind it find room.
    let taken = (0..24).filter(|_| kept.segment().is_ok()).count();
    assert!(taken > 6 && kept.oldest() > 1, "{taken} taken, oldest {}", kept.oldest());
}

#[test]
fn what_is_held_stays_until_it_is_let_go_or_room_is_needed() {
    let mut kept = Kept::open(&SimFs::new(1), 8, Keep::default());
    let mut hold = kept.rig.journal.hold(Seq(0));
    let all = kept.rig.journal.hold(Seq(20));
    for _ in 0..5 {
        kept.segment().unwrap();
    }
    assert_eq!(kept.oldest(), 1);
    hold.advance(Seq(13));
    kept.rig.keeper.turn();
    assert_eq!(kept.oldest(), 13, "the segment of 13 to 18 is still needed");
    hold.advance(Seq(30));
    kept.rig.keeper.turn();
    assert_eq!(kept.oldest(), 19, "another one holds on");
    drop(all);
    drop(hold);
    kept.rig.keeper.turn();
    assert_eq!(kept.oldest(), 25);
    let _hold = kept.rig.journal.hold(Seq(24));
    for _ in 0..20 {
        kept.segment().unwrap();
    }
    assert!(kept.oldest() > 25, "new events have precedence");
}

#[test]
fn a_new_lane_starts_at_a_time() {
    let mut kept = Kept::open(&SimFs::new(1), 16, Keep { max_bytes: Some(2 * SEGMENT), max_age: None });
    for _ in 0..5 {
        kept.segment().unwrap();
    }
    for (name, time, cursor) in [("gone", MINUTE, 12), ("there", 4 * MINUTE, 18), ("between", 4 * MINUTE + 1, 24), ("later", 9 * MINUTE, 30)] {
        assert_eq!(kept.rig.journal.lane(name, LaneStart::Since(time)).unwrap().cursor(), Seq(cursor), "{name}");
    }
}
