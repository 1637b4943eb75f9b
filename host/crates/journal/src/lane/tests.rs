use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::sim::{Crash, SimFs};

const ENTRY: RetryEntry = RetryEntry { attempts: 3, first_ms: 1_000, due_ms: 2_000 };

fn settled(ranges: &[(u64, u64)]) -> LaneState {
    let mut state = LaneState::at(Seq(10));
    ranges.iter().for_each(|(first, last)| state.settle(Seq(*first), Seq(*last)));
    state
}

#[track_caller]
fn check(ranges: &[(u64, u64)], cursor: u64, above: &[(u64, u64)]) {
    let state = settled(ranges);
    let got: Vec<_> = state.settled_above().map(|(first, last)| (first.0, last.0)).collect();
    assert_eq!((state.cursor().0, &got[..]), (cursor, above), "{ranges:?}");
}

#[test]
fn settled_ranges_join_and_move_the_cursor() {
    check(&[], 10, &[]);
    check(&[(11, 11)], 11, &[]);
    check(&[(12, 15)], 10, &[(12, 15)]);
    check(&[(12, 15), (11, 11)], 15, &[]);
    check(&[(12, 13), (15, 16), (14, 14)], 10, &[(12, 16)]);
    check(&[(20, 30), (15, 40)], 10, &[(15, 40)]);
    check(&[(15, 40), (20, 30)], 10, &[(15, 40)]);
    check(&[(12, 13), (20, 21), (30, 31), (5, 25)], 25, &[(30, 31)]);
    check(&[(1, 10), (3, 5)], 10, &[]);
    check(&[(20, 19), (0, 0)], 10, &[]);
    check(&[(13, u64::MAX), (11, 12)], u64::MAX, &[]);
}

#[test]
fn backlog_counts_what_is_not_settled() {
    let state = settled(&[(15, 20), (30, 40)]);
    for (head, want) in [(10, 0), (5, 0), (14, 4), (17, 4), (20, 4), (25, 9), (35, 13), (50, 23)] {
        assert_eq!(state.backlog(Seq(head)), want, "head {head}");
    }
}

#[test]
fn retries_end_with_settling() {
    let mut state = settled(&[(12, 12)]);
    for seq in [9, 11, 12, 13, 14] {
        state.retry(Seq(seq), ENTRY);
    }
    assert_eq!(state.retries().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [11, 13, 14]);
    state.settle(Seq(11), Seq(13));
    assert_eq!(state.retries().collect::<Vec<_>>(), [(Seq(14), ENTRY)]);
}

proptest! {
    #[test]
    fn the_state_is_the_set_of_what_was_settled_and_a_log_keeps_it(ranges in prop::collection::vec((1_u64..80, 0_u64..12), 0..30)) {
        let mut set: BTreeSet<u64> = (1..=10).collect();
        let mut state = LaneState::at(Seq(10));
        let mut log = log::snapshot(&state);
        for (first, more) in ranges {
            set.extend(first..=first + more);
            state.settle(Seq(first), Seq(first + more));
            log::put_settled(&mut log, Seq(first), Seq(first + more));
        }
        let cursor = (1..).find(|seq| !set.contains(seq)).unwrap() - 1;
        prop_assert_eq!(state.cursor().0, cursor);
        prop_assert_eq!(state.backlog(Seq(100)), (1..=100).filter(|seq| !set.contains(seq)).count() as u64);
        for seq in 1..100 {
            prop_assert_eq!(state.is_settled(Seq(seq)), set.contains(&seq));
        }
        prop_assert_eq!(&log::load(&log).unwrap().state, &state);
        prop_assert_eq!(log::load(&log::snapshot(&state)).unwrap().state, state);
    }
}

#[test]
fn a_log_cut_at_any_byte_keeps_what_is_whole() {
    let mut bytes = log::snapshot(&LaneState::at(Seq(10)));
    let start = bytes.len();
    log::put_settled(&mut bytes, Seq(11), Seq(12));
    log::put_retry(&mut bytes, Seq(20), &ENTRY);
    log::put_settled(&mut bytes, Seq(30), Seq(30));
    for cut in start..=bytes.len() {
        let loaded = log::load(&bytes[..cut]).unwrap();
        let whole = (cut - start) / log::SLOT;
        assert_eq!(loaded.state.cursor().0, if whole >= 1 { 12 } else { 10 });
        assert_eq!(loaded.state.retry_of(Seq(20)), (whole >= 2).then_some(ENTRY));
        assert_eq!(loaded.state.is_settled(Seq(30)), whole >= 3);
        assert_eq!(loaded.damaged as usize, cut % log::SLOT);
    }
}

#[test]
fn damage_inside_a_log_costs_one_entry_and_damage_of_its_start_is_an_error() {
    let mut bytes = log::snapshot(&LaneState::at(Seq(10)));
    log::put_settled(&mut bytes, Seq(20), Seq(21));
    log::put_settled(&mut bytes, Seq(30), Seq(31));
    let load = |at: usize| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        log::load(&damaged).map(|loaded| (loaded.state.highest().0, loaded.state.is_settled(Seq(20)), loaded.damaged))
    };
    assert_eq!(load(2 * log::SLOT + 9), Ok((31, false, 40)));
    assert_eq!(load(3 * log::SLOT), Ok((21, true, 40)));
    // The header only tells versions apart.
    assert_eq!(load(5), Ok((31, true, 40)));
    assert_eq!(load(log::SLOT + 9).map_err(|why| why.contains("where the lane stands")), Err(true));
    assert_eq!(log::load(&[]).map(|_| ()), Err("the file is empty"));
    assert!(log::load(&[0; 4096]).is_err_and(|why| why.contains("no intact entry")));
    let mut other = Vec::new();
    log::put_settled(&mut other, Seq(1), Seq(1));
    other[4] = 77;
    let checksum = crc32c::crc32c(&other[4..]);
    other[..4].copy_from_slice(&checksum.to_le_bytes());
    assert!(log::load(&[bytes.clone(), other].concat()).is_err_and(|why| why.contains("another version")));
}

#[test]
fn names_become_file_names_and_back() {
    for (name, file) in [("splunk/cef", "splunk%2Fcef.log"), ("a.b_c-1", "a.b_c-1.log"), ("..", "%2E..log"), ("ü", "%C3%BC.log"), ("%2F", "%252F.log")] {
        assert_eq!(format!("{}{SUFFIX}", escape(name).unwrap()), file);
        assert_eq!(unescape(file).as_deref(), Some(name));
    }
    assert_eq!(escape(""), None);
    assert_eq!(escape(&"x".repeat(MAX_NAME + 1)), None);
    for other in ["x.new", "a%2.log", "a%zz.log", "a%2fb.log", ".log", "a b.log", "%FF.log"] {
        assert_eq!(unescape(other), None, "{other}");
    }
}

/// A lane on a simulated disk.
fn lane(sim: &SimFs) -> Lane {
    sim.make_dir(Path::new("/j/lanes")).unwrap();
    Lane::create(sim, Path::new("/j"), "a/b", Seq(10)).unwrap()
}

fn settle(lane: &Lane, first: u64, last: u64) {
    let mut inner = lane.lock();
    inner.state.as_mut().unwrap().settle(Seq(first), Seq(last));
    log::put_settled(&mut inner.pending, Seq(first), Seq(last));
}

fn reload(sim: &SimFs) -> LaneState {
    let entry = sim.list(Path::new("/j/lanes")).unwrap().remove(0);
    let lane = Lane::load(sim, Path::new("/j"), "a/b".into(), &entry.name, entry.bytes).unwrap();
    lane.readable().unwrap();
    lane.look(Clone::clone).unwrap()
}

#[test]
fn a_rewrite_keeps_what_is_settled_meanwhile() {
    let sim = SimFs::new(3);
    let lane = lane(&sim);
    settle(&lane, 11, 11);
    lane.flush(&sim).unwrap();
    // Flushed between the snapshot and the rename of a rewrite.
    lane.lock().since = Some(Vec::new());
    settle(&lane, 12, 12);
    lane.flush(&sim).unwrap();
    let contents = log::snapshot(&settled(&[(11, 11)]));
    lane.replace(&sim, &contents, 11).unwrap();
    assert_eq!(reload(&sim).cursor(), Seq(12));
    assert!(lane.is_dirty(), "the end of it is not synced");
    lane.sync(&sim).unwrap();
    assert_eq!(lane.durable_cursor(), 12);
    sim.restart(Crash::Power);
    assert_eq!(reload(&sim).cursor(), Seq(12));
}

#[test]
fn a_log_that_could_not_be_written_is_rewritten_from_memory() {
    let sim = SimFs::new(4);
    let lane = lane(&sim);
    settle(&lane, 11, 15);
    sim.set_capacity(Some(sim.used() + 10));
    assert!(lane.flush(&sim).is_err_and(|error| crate::fs::no_room(&error)));
    settle(&lane, 16, 16);
    assert!(lane.flush(&sim).is_err_and(|error| crate::fs::no_room(&error)));
    sim.set_capacity(None);
    lane.flush(&sim).unwrap();
    sim.restart(Crash::Power);
    assert_eq!(reload(&sim), settled(&[(11, 16)]));
}

#[test]
fn a_log_whose_sync_failed_is_not_trusted() {
    let sim = SimFs::new(5);
    let lane = lane(&sim);
    settle(&lane, 11, 15);
    lane.flush(&sim).unwrap();
    sim.fail_sync_after(0);
    assert!(lane.sync(&sim).is_err_and(|error| error.to_string().contains("simulated")));
    assert_eq!(lane.durable_cursor(), 10);
    lane.sync(&sim).unwrap();
    assert_eq!(lane.durable_cursor(), 15);
    sim.restart(Crash::Power);
    assert_eq!(reload(&sim), settled(&[(11, 15)]));
}

#[test]
fn a_long_log_is_rewritten() {
    let sim = SimFs::new(6);
    let lane = lane(&sim);
    for seq in 0..30_000 {
        settle(&lane, 11 + seq, 11 + seq);
    }
    lane.flush(&sim).unwrap();
    assert!(lane.wants_rewrite());
    lane.rewrite(&sim).unwrap();
    assert!(!lane.wants_rewrite());
    assert_eq!(sim.list(Path::new("/j/lanes")).unwrap()[0].bytes, 2 * log::SLOT as u64);
    assert_eq!(reload(&sim).cursor(), Seq(30_010));
}

#[test]
fn a_log_of_an_earlier_process_is_proved_before_it_counts() {
    for seed in 0..20 {
        let sim = SimFs::new(seed);
        let first = lane(&sim);
        settle(&first, 11, 15);
        first.flush(&sim).unwrap();
        sim.fail_sync_after(0);
        assert!(first.sync(&sim).is_err_and(|error| error.to_string().contains("simulated")));
        // Killed; the cache shows what the disk may not have, and a sync would call it clean.
        sim.restart(Crash::Kill);
        let entry = sim.list(Path::new("/j/lanes")).unwrap().remove(0);
        let lane = Lane::load(&sim, Path::new("/j"), "a/b".into(), &entry.name, entry.bytes).unwrap();
        assert_eq!((lane.look(Clone::clone), lane.durable_cursor()), (Some(settled(&[(11, 15)])), 0));
        lane.sync(&sim).unwrap();
        assert_eq!(lane.durable_cursor(), 15);
        sim.restart(Crash::Power);
        assert_eq!(reload(&sim), settled(&[(11, 15)]), "seed {seed}");
    }
}
