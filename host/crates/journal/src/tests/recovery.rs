use super::*;
use crate::layout::HEADER_BLOCK;
use crate::sim::Crash;
use crate::{LaneError, LaneStart};

const FIRST: &str = "/data/journal/seg-00000000000000000001.bhj";

/// A journal of two batches, and where the frames start and end.
fn two_batches() -> (Vec<u8>, usize, usize) {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.append(&["a".into(), "b".into()]).unwrap();
    let start = rig.journal.bytes_after(Seq(0)) as usize + HEADER_BLOCK;
    rig.append(&["c".into(), padded("d", 700)]).unwrap();
    let end = rig.journal.bytes_after(Seq(0)) as usize + HEADER_BLOCK;
    (sim.contents(FIRST).unwrap(), start, end)
}

fn open_with(bytes: &[u8]) -> (SimFs, Rig) {
    let sim = SimFs::new(2);
    sim.make_dir(Path::new("/data/journal/lanes")).unwrap();
    sim.put(FIRST, bytes);
    let rig = Rig::open(&sim);
    (sim, rig)
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_frame_is_cut() {
    let (whole, start, end) = two_batches();
    assert_eq!((end - start) % 8, 0);
    for torn in start..=end {
        // The rest never arrived: it is zero, or the file ends there.
        let mut zeroed = whole.clone();
        zeroed[torn..].fill(0);
        for bytes in [&zeroed[..], &whole[..torn]] {
            let (sim, mut rig) = open_with(bytes);
            // The last bytes of a frame may be zero anyway.
            let complete = bytes.get(start..end).is_some_and(|frame| frame == &whole[start..end]);
            let want: &[&str] = if complete { &["1:a", "2:b", "3:c", "4:d"] } else { &["1:a", "2:b"] };
            assert_eq!(brief(&rig.journal, 0), want, "cut at {torn}");
            // At least what is not zero, at most the frame.
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            let left = if complete { 0 } else { last.saturating_sub(start) };
            let most = if complete { 0 } else { end - start };
            assert!((left..=most).contains(&(rig.recovery.torn_bytes as usize)), "{:?}, {left} left at {torn}", rig.recovery);
            assert_eq!((rig.recovery.damaged, rig.recovery.segments), (0, 1));
            let next = want.len() as u64 + 1;
            assert_eq!(rig.recovery.last.0, next - 1);
            // Writing goes on where the tail was cut, and nothing of it shows.
            assert_eq!(rig.append(&["new".into()]).unwrap().first.0, next);
            drop(rig);
            sim.restart(Crash::Power);
            let rig = Rig::open(&sim);
            assert_eq!(brief(&rig.journal, next - 1), [format!("{next}:new")]);
            assert_eq!(rig.recovery.torn_bytes, 0);
        }
    }
}

#[test]
fn a_tail_with_any_byte_wrong_is_cut() {
    let (whole, start, end) = two_batches();
    for at in start..end {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        let (_, rig) = open_with(&bytes);
        let got = brief(&rig.journal, 0);
        // Only padding is covered by no checksum.
        let padding = at >= end - 8 && got.len() == 4;
        assert!(padding || got == ["1:a", "2:b"], "byte {at}: {got:?}");
    }
}

#[test]
fn a_whole_frame_behind_a_torn_one_is_cut_with_it() {
    // One group of three appends, none acknowledged; the disk kept the second and third.
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.event("kept", 1).unwrap();
    let start = rig.journal.bytes_after(Seq(0)) as usize + HEADER_BLOCK;
    let _asked: Vec<_> = ["one", "two", "three"].map(|text| rig.ask(&[text.into()], Durability::Fsync)).into();
    rig.committer.turn();
    let mut bytes = sim.contents(FIRST).unwrap();
    bytes[start..start + 8].fill(0);
    let (sim, mut rig) = open_with(&bytes);
    assert_eq!(brief(&rig.journal, 0), ["1:kept"]);
    assert!(rig.recovery.torn_bytes > 100, "{:?}", rig.recovery);
    // A new frame of the same size in the same place must not bring back what followed the torn one.
    rig.append(&["ONE".into()]).unwrap();
    drop(rig);
    sim.restart(Crash::Kill);
    assert_eq!(brief(&Rig::open(&sim).journal, 0), ["1:kept", "2:ONE"]);
}

#[test]
fn damage_in_front_of_acknowledged_frames_is_reported_and_never_cut() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    for text in ["one", "two", "three", "four"] {
        rig.event(text, 1).unwrap();
    }
    let frame = (rig.journal.bytes_after(Seq(0)) / 4) as usize;
    drop(rig);
    // The header of the second frame: its number is not known any more, its neighbours tell.
    for at in [3, 60] {
        let sim = sim.contents(FIRST).map(|mut bytes| {
            bytes[HEADER_BLOCK + frame + at] ^= 1;
            open_with(&bytes)
        });
        let (_, mut rig) = sim.unwrap();
        assert_eq!((rig.recovery.torn_bytes, rig.recovery.damaged), (0, 1));
        assert_eq!(brief(&rig.journal, 0), ["1:one", "lost 2-2", "3:three", "4:four"]);
        assert_eq!(rig.event("five", 1).unwrap().first, Seq(5));
        assert_eq!(rig.journal.stats().lost_ranges, 1);
    }
}

#[test]
fn a_last_segment_without_a_header_is_refused_not_forgotten() {
    let (mut bytes, ..) = two_batches();
    bytes[..HEADER_BLOCK].fill(0);
    let sim = SimFs::new(2);
    sim.make_dir(Path::new("/data/journal/lanes")).unwrap();
    sim.put(FIRST, &bytes);
    let error = Rig::try_open(&sim, settings(16 * SEGMENT)).err().unwrap();
    assert!(matches!(&error, OpenError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("journal repair"));
    assert_eq!(sim.contents(FIRST).unwrap(), bytes, "nothing was changed");
}

#[test]
fn numbers_that_a_lane_has_settled_are_not_given_again() {
    // Acknowledged without a sync, delivered, settled durably; then the power goes.
    let mut lost = 0;
    for seed in 0..40 {
        let sim = SimFs::new(seed);
        let mut rig = Rig::open(&sim);
        let mut lane = rig.journal.lane("fast", LaneStart::Now).unwrap();
        rig.journal.lane("slow", LaneStart::Now).unwrap();
        rig.event("one", 600).unwrap();
        let mut asked = rig.ask(&[padded("two", 600), padded("three", 600)], Durability::Os);
        rig.committer.turn();
        asked.poll().unwrap().unwrap();
        lane.settle(Seq(1), Seq(3));
        lane.flush().unwrap();
        rig.keeper.turn();
        drop(lane);
        drop(rig);
        sim.restart(Crash::Power);
        let mut rig = Rig::open(&sim);
        assert_eq!((rig.recovery.last, rig.event("four", 1).unwrap().first), (Seq(3), Seq(4)));
        // The other lane hears what is missing.
        match brief(&rig.journal, 0).iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["1:one", "2:two", "3:three", "4:four"] => {}
            ["1:one", "lost 2-3", "4:four"] => lost += 1,
            ref other => panic!("{other:?}"),
        }
        assert!(rig.journal.lane("fast", LaneStart::Now).unwrap().is_settled(Seq(3)));
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn two_processes_cannot_open_one_journal() {
    let sim = SimFs::new(1);
    let rig = Rig::open(&sim);
    let error = Rig::try_open(&sim, settings(16 * SEGMENT)).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(rig);
    Rig::open(&sim);
}

#[test]
fn what_an_earlier_process_left_half_made_goes() {
    let sim = SimFs::new(1);
    drop(Rig::open(&sim));
    for name in ["segment-0.tmp", "segment-7.tmp", "lanes/a.new"] {
        sim.put(format!("{DIR}/{name}"), b"half");
    }
    let rig = Rig::open(&sim);
    for name in ["segment-0.tmp", "segment-7.tmp", "lanes/a.new"] {
        assert_eq!(sim.contents(format!("{DIR}/{name}")), None, "{name}");
    }
    assert!(rig.journal.lane_names().is_empty());
}

#[test]
fn opening_reads_only_the_last_segment() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    (0..30).for_each(|_| assert!(rig.event("x", 10_000).unwrap().first.0 > 0));
    drop(rig);
    // Whatever is in the others: it shows when it is read.
    for (name, bytes) in segment_files(&sim).iter().rev().skip(1) {
        sim.put(format!("{DIR}/{name}"), &vec![0xAA; *bytes as usize]);
    }
    let mut rig = Rig::open(&sim);
    assert_eq!((rig.recovery.last, rig.recovery.segments), (Seq(30), 5));
    rig.event("y", 1).unwrap();
    assert_eq!(brief(&rig.journal, 0), ["lost 1-6", "lost 7-12", "lost 13-18", "lost 19-24", "25:x", "26:x", "27:x", "28:x", "29:x", "30:x", "31:y"]);
}

#[test]
fn a_crash_at_any_step_of_opening_loses_nothing() {
    for steps in 0..40 {
        let sim = SimFs::new(steps);
        let mut rig = Rig::open(&sim);
        let lane = rig.journal.lane("a", LaneStart::Now).unwrap();
        rig.append(&["a".into(), "b".into()]).unwrap();
        drop(lane);
        let _unanswered = rig.ask(&[padded("torn", 3_000)], Durability::Fsync);
        sim.crash_after(0);
        rig.committer.turn();
        drop(rig);
        sim.restart(Crash::Power);
        sim.crash_after(steps);
        if let Ok(mut rig) = Rig::try_open(&sim, settings(16 * SEGMENT)) {
            rig.keeper.turn();
        }
        sim.restart(Crash::Power);
        let mut rig = Rig::open(&sim);
        let got = brief(&rig.journal, 0);
        assert_eq!(&got[..2], ["1:a", "2:b"]);
        assert_eq!(rig.event("new", 1).unwrap().first.0, got.len() as u64 + 1);
        assert_eq!(rig.journal.lane("a", LaneStart::Now).unwrap().cursor(), Seq(0));
    }
}

#[test]
fn a_lane_log_that_cannot_be_read_keeps_its_events_and_says_what_to_do() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.journal.lane("a", LaneStart::Now).unwrap();
    rig.event("x", 1).unwrap();
    drop(rig);
    sim.put(format!("{DIR}/lanes/a.log"), &[0; 80]);
    let mut rig = Rig::open(&sim);
    assert_eq!(rig.recovery.unreadable_lanes, ["a"]);
    let error = rig.journal.lane("a", LaneStart::Now).err().unwrap();
    assert!(matches!(&error, LaneError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("move it away"));
    rig.journal.lanes_ready();
    (0..20).for_each(|_| assert!(rig.event("y", 10_000).unwrap().first.0 > 0));
    rig.keeper.turn();
    assert_eq!(rig.journal.stats().oldest, Seq(1));
    assert_eq!(sim.contents(format!("{DIR}/lanes/a.log")).unwrap(), [0; 80], "left for people");
    // An operator may also forget the lane.
    rig.journal.remove_lane("a").unwrap();
    rig.keeper.turn();
    assert!(rig.journal.stats().oldest > Seq(1));
}
