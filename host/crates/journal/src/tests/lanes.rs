use super::*;
use crate::sim::Crash;
use crate::{LaneError, LaneStart, RetryEntry};

fn with_events(sim: &SimFs, events: u64) -> Rig {
    let mut rig = Rig::open(sim);
    (0..events).for_each(|_| assert!(rig.event("x", 10_000).unwrap().first.0 > 0));
    rig
}

#[test]
fn a_lane_starts_where_it_is_told_once() {
    let sim = SimFs::new(1);
    let rig = with_events(&sim, 20);
    for (name, start, cursor) in [
        ("now", LaneStart::Now, 20),
        ("first", LaneStart::From(Seq(1)), 0),
        ("zero", LaneStart::From(Seq(0)), 0),
        ("tenth", LaneStart::From(Seq(10)), 9),
        ("future", LaneStart::From(Seq(500)), 20),
    ] {
        assert_eq!(rig.journal.lane(name, start).unwrap().cursor().0, cursor, "{name}");
        // It exists now, so it goes on instead of starting.
        assert_eq!(rig.journal.lane(name, LaneStart::From(Seq(3))).unwrap().cursor().0, cursor, "{name}");
        assert_eq!(rig.journal.lane_backlog(name), Some(20 - cursor));
    }
    drop(rig);
    sim.restart(Crash::Power);
    let rig = Rig::open(&sim);
    assert_eq!(rig.journal.lane("tenth", LaneStart::Now).unwrap().cursor(), Seq(9), "a new lane is on disk at once");
    assert_eq!(rig.journal.lane_names(), ["first", "future", "now", "tenth", "zero"]);
    assert_eq!(rig.recovery.lanes, 5);
}

#[test]
fn a_lane_is_open_once_and_removed_when_it_is_not() {
    let sim = SimFs::new(1);
    let mut rig = with_events(&sim, 20);
    let lane = rig.journal.lane("a/b", LaneStart::From(Seq(1))).unwrap();
    assert!(matches!(rig.journal.lane("a/b", LaneStart::Now), Err(LaneError::InUse { .. })));
    assert!(matches!(rig.journal.remove_lane("a/b"), Err(LaneError::InUse { .. })));
    drop(lane);
    assert!(matches!(rig.journal.remove_lane("other"), Err(LaneError::Missing { .. })));
    assert!(matches!(rig.journal.lane("", LaneStart::Now), Err(LaneError::Name { .. })));
    rig.journal.lanes_ready();
    rig.keeper.turn();
    assert_eq!(rig.journal.stats().oldest, Seq(1), "a lane that is not open still keeps its events");
    rig.journal.remove_lane("a/b").unwrap();
    rig.keeper.turn();
    assert_eq!(rig.journal.stats().oldest, Seq(19));
    assert!(rig.journal.lane_names().is_empty());
    assert_eq!(rig.journal.lane_backlog("a/b"), None);
}

#[test]
fn the_slowest_lane_keeps_segments_and_only_once_all_lanes_are_there() {
    let sim = SimFs::new(1);
    let mut rig = with_events(&sim, 30);
    let mut fast = rig.journal.lane("fast", LaneStart::From(Seq(1))).unwrap();
    let mut slow = rig.journal.lane("slow", LaneStart::From(Seq(1))).unwrap();
    fast.settle(Seq(1), Seq(30));
    slow.settle_many([(Seq(1), Seq(8)), (Seq(12), Seq(30))]);
    fast.flush().unwrap();
    slow.flush().unwrap();
    rig.keeper.turn();
    assert_eq!(rig.journal.stats().segments, 5, "before lanes_ready nothing goes");
    rig.journal.lanes_ready();
    rig.keeper.turn();
    assert_eq!((rig.journal.stats().oldest, rig.journal.stats().deleted_segments), (Seq(7), 1));
    assert_eq!(slow.backlog(), 3);
    // What an earlier start deleted and what not comes to the same.
    drop((fast, slow, rig));
    sim.restart(Crash::Power);
    let mut rig = Rig::open(&sim);
    assert_eq!(rig.journal.lane_backlog("slow"), Some(3));
    let mut slow = rig.journal.lane("slow", LaneStart::Now).unwrap();
    slow.settle(Seq(9), Seq(11));
    slow.flush().unwrap();
    rig.journal.lanes_ready();
    rig.keeper.turn();
    assert_eq!((rig.journal.stats().oldest, slow.cursor()), (Seq(25), Seq(30)), "the last segment stays");
    assert_eq!(rig.event("next", 1).unwrap().first, Seq(31));
}

#[test]
fn a_lane_keeps_its_schedule_over_restarts() {
    let sim = SimFs::new(1);
    let rig = with_events(&sim, 10);
    let mut lane = rig.journal.lane("a", LaneStart::From(Seq(1))).unwrap();
    let entry = |attempts| RetryEntry { attempts, first_ms: 5, due_ms: 1000 * u64::from(attempts) };
    lane.settle_many([(Seq(1), Seq(2)), (Seq(5), Seq(6))]);
    lane.retry(Seq(3), entry(1));
    lane.retry(Seq(4), entry(1));
    lane.retry(Seq(3), entry(2));
    lane.retry(Seq(5), entry(9));
    lane.flush().unwrap();
    let state = lane.state();
    lane.settle(Seq(10), Seq(10));
    // Killed: what was flushed is there, what was not is not.
    sim.restart(Crash::Kill);
    drop((lane, rig));
    let rig = Rig::open(&sim);
    let lane = rig.journal.lane("a", LaneStart::Now).unwrap();
    assert_eq!(lane.state(), state);
    assert_eq!(state.retries().collect::<Vec<_>>(), [(Seq(3), entry(2)), (Seq(4), entry(1))]);
    assert!(lane.is_settled(Seq(6)) && !lane.is_settled(Seq(10)));
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_still_lets_lanes_settle_and_frees_itself() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    let mut lane = rig.journal.lane("a", LaneStart::Now).unwrap();
    rig.journal.lanes_ready();
    rig.keeper.turn();
    (0..20).for_each(|_| assert!(rig.event("x", 10_000).unwrap().first.0 > 0));
    sim.set_capacity(Some(sim.used()));
    let error = loop {
        if let Err(error) = rig.event("x", 10_000) {
            break error;
        }
    };
    assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
    lane.settle(Seq(1), rig.journal.head());
    let error = lane.flush().unwrap_err();
    assert!(matches!(&error, LaneError::Io { source, .. } if crate::fs::no_room(source)), "{error}");
    rig.keeper.turn();
    rig.event("there is room again", 10_000).unwrap();
    lane.flush().unwrap();
    sim.restart(Crash::Power);
    drop((lane, rig));
    assert_eq!(Rig::open(&sim).journal.lane_backlog("a"), Some(1));
}

/// What a lane does not want costs no sync and pins no segment; what it settled before waits for one.
#[test]
fn what_a_lane_passes_frees_segments_without_a_sync() {
    let sim = SimFs::new(1);
    let mut rig = with_events(&sim, 30);
    let mut lane = rig.journal.lane("idle", LaneStart::From(Seq(1))).unwrap();
    rig.journal.lanes_ready();
    rig.keeper.turn();
    lane.pass(Seq(1), Seq(30));
    lane.flush().unwrap();
    let inner = rig.journal.lane_for_tests("idle").unwrap();
    assert!(!inner.is_dirty());
    rig.keeper.turn();
    assert_eq!((rig.journal.stats().oldest, lane.backlog()), (Seq(25), 0));
    // A kill keeps it; a power cut may not, and then the lane hears that they are gone.
    drop((lane, rig));
    sim.restart(Crash::Power);
    let mut rig = Rig::open(&sim);
    let mut lane = rig.journal.lane("idle", LaneStart::Now).unwrap();
    let cursor = lane.cursor().0;
    assert!(cursor == 0 || cursor == 30, "{cursor}");
    assert_eq!(rig.recovery.last, Seq(30));
    if cursor == 0 {
        assert_eq!(brief(&rig.journal, 0)[0], "gone 1-24");
    }
    // Behind an event that is not settled nothing is let go.
    rig.journal.lanes_ready();
    rig.keeper.turn();
    (0..20).for_each(|_| assert!(rig.event("y", 10_000).unwrap().first.0 > 30));
    lane.pass(Seq(32), Seq(50));
    lane.flush().unwrap();
    rig.keeper.turn();
    assert!(rig.journal.stats().oldest <= Seq(31));
    lane.settle(Seq(1), Seq(31));
    lane.flush().unwrap();
    assert!(inner_dirty(&rig));
    rig.keeper.turn();
    assert!(rig.journal.stats().oldest > Seq(31), "{:?}", rig.journal.stats());
}

fn inner_dirty(rig: &Rig) -> bool {
    rig.journal.lane_for_tests("idle").unwrap().is_dirty()
}

#[test]
fn a_crash_at_any_step_of_making_or_removing_a_lane_leaves_it_whole_or_away() {
    for crash in [Crash::Kill, Crash::Power] {
        let mut steps = 0;
        loop {
            let sim = SimFs::new(steps);
            let rig = with_events(&sim, 5);
            drop(rig.journal.lane("old", LaneStart::From(Seq(3))).unwrap());
            sim.crash_after(steps);
            let made = rig.journal.lane("new", LaneStart::Now).map(drop).is_ok();
            let removed = rig.journal.remove_lane("old").is_ok();
            let crashed = sim.is_down();
            drop(rig);
            sim.restart(crash);
            let rig = Rig::open(&sim);
            let names = rig.journal.lane_names();
            let there = |name: &str| names.iter().any(|known| known == name);
            assert!((!made || there("new")) && (!removed || !there("old")), "{crash:?} after {steps} steps: {names:?}");
            for (name, cursor) in [("new", 5), ("old", 2)] {
                if there(name) {
                    assert_eq!(rig.journal.lane(name, LaneStart::From(Seq(1))).unwrap().cursor(), Seq(cursor), "{name}, {crash:?} after {steps} steps");
                }
            }
            if !crashed {
                break;
            }
            steps += 1;
        }
        assert!(steps >= 5, "only {steps} steps");
    }
}
