use std::io;
use std::path::PathBuf;

use bulkhead_core::FailureClass;

use super::*;
use crate::LaneStart;
use crate::sim::Crash;

/// Fills the current segment so that the next append of `bytes` needs a new one.
fn fill_segment(rig: &mut Rig) -> u64 {
    let mut last = 0;
    for _ in 0..6 {
        last = rig.event("fill", 10_000).unwrap().last.0;
    }
    last
}

/// Bytes of segment files without a name.
fn spares(sim: &SimFs) -> u64 {
    sim.list(Path::new(DIR)).unwrap().iter().filter(|entry| entry.name.ends_with(".tmp")).map(|entry| entry.bytes).sum()
}

#[test]
fn a_batch_is_numbered_in_order_and_read_back() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    let done = rig.append(&[b"a".to_vec(), b"b".to_vec()]).unwrap();
    assert_eq!(done, Appended { first: Seq(1), last: Seq(2) });
    assert_eq!(rig.event("c", 1).unwrap(), Appended { first: Seq(3), last: Seq(3) });
    assert_eq!(brief(&rig.journal, 0), ["1:a", "2:b", "3:c"]);
    let stats = rig.journal.stats();
    assert_eq!((stats.head, stats.oldest, stats.appends, stats.events, stats.segments, stats.bytes), (Seq(3), Seq(1), 2, 3, 1, SEGMENT));
}

#[test]
fn one_sync_serves_all_who_wait() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.event("first", 1).unwrap();
    let before = rig.journal.stats().syncs;
    let mut asked: Vec<_> = (0..100).map(|index| rig.ask(&[padded(&index.to_string(), 100)], Durability::Fsync)).collect();
    assert!(asked.iter_mut().all(|asked| asked.poll().is_none()));
    rig.committer.turn();
    assert_eq!(rig.journal.stats().syncs, before + 1);
    let firsts: Vec<u64> = asked.iter_mut().map(|asked| asked.poll().unwrap().unwrap().first.0).collect();
    assert_eq!(firsts, (2..102).collect::<Vec<_>>());
}

#[test]
fn what_no_segment_takes_is_refused_at_once() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    let refused = |rig: &mut Rig, originals: &[Vec<u8>]| rig.ask(originals, Durability::Fsync).poll().unwrap().unwrap_err();
    let error = refused(&mut rig, &[vec![b'x'; SEGMENT as usize]]);
    assert!(matches!(error, AppendError::TooLarge { limit, .. } if limit == SEGMENT - 4096), "{error}");
    assert_eq!(error.class(), FailureClass::Permanent);
    assert!(matches!(refused(&mut rig, &[]), AppendError::Empty));
    let fits = SEGMENT as usize - 4096 - 48 - 16 - 4;
    rig.append(&[vec![b'x'; fits - fits % 8]]).unwrap();
    assert_eq!(rig.journal.head(), Seq(1));
}

#[test]
fn durability_says_when_the_answer_comes_and_when_readers_see_it() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.event("first", 1).unwrap();
    let syncs = rig.journal.stats().syncs;
    for (durability, text) in [(Durability::Os, "os"), (Durability::Memory, "memory")] {
        let mut asked = rig.ask(&[text.into()], durability);
        rig.committer.turn();
        asked.poll().unwrap().unwrap();
    }
    assert_eq!((rig.journal.stats().syncs, rig.journal.head()), (syncs, Seq(3)), "nobody asked for a sync");
    rig.committer.sync_idle();
    rig.committer.sync_idle();
    assert_eq!(rig.journal.stats().syncs, syncs + 1, "one on the timer, none where nothing is to do");
    // A reader must not see an event before one in front of it that waits for its sync.
    sim.fail_sync_after(0);
    let mut asked = [rig.ask(&["fsync".into()], Durability::Fsync), rig.ask(&["os".into()], Durability::Os)];
    rig.committer.turn();
    let answers = asked.each_mut().map(|asked| asked.poll().unwrap());
    assert!(matches!(&answers, [Err(AppendError::Sync { .. }), Ok(_)]), "{answers:?}");
    assert_eq!(brief(&rig.journal, 0), ["1:first", "2:os", "3:memory"]);
}

#[test]
fn a_failed_sync_ends_acceptance_and_a_restart_mends_it() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.event("kept", 1).unwrap();
    sim.fail_sync_after(0);
    let error = rig.event("unknown", 1).unwrap_err();
    assert!(matches!(error, AppendError::Sync { .. }), "{error}");
    assert_eq!(error.class(), FailureClass::Operator);
    assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("simulated")));
    assert!(matches!(rig.ask(&["no".into()], Durability::Fsync).poll(), Some(Err(AppendError::Sync { .. }))), "even though the disk works again");
    assert_eq!(brief(&rig.journal, 0), ["1:kept"]);
    assert!(rig.journal.stats().fault.is_some_and(|fault| fault.contains("cannot sync segment")));
    drop(rig);
    sim.restart(Crash::Power);
    let mut rig = Rig::open(&sim);
    rig.event("after", 1).unwrap();
    assert_eq!(brief(&rig.journal, 0)[0], "1:kept");
}

#[test]
fn the_quota_refuses_and_ends_when_lanes_have_settled() {
    let sim = SimFs::new(1);
    let mut rig = Rig::try_open(&sim, settings(4 * SEGMENT)).unwrap();
    let mut lane = rig.journal.lane("slow", LaneStart::Now).unwrap();
    rig.journal.lanes_ready();
    let mut last = 0;
    let error = loop {
        rig.keeper.turn();
        match rig.event("x", 10_000) {
            Ok(appended) => last = appended.last.0,
            Err(error) => break error,
        }
    };
    let AppendError::Full { used, limit } = error else { panic!("{error}") };
    assert_eq!((limit, error.class()), (4 * SEGMENT, FailureClass::Retry));
    assert!(used <= limit && used + SEGMENT > limit, "{used}");
    assert!((18..=24).contains(&last), "{last}");
    assert!(rig.event("again", 10_000).is_err_and(|error| matches!(error, AppendError::Full { .. })));
    // What is settled is not deleted before that is on disk.
    lane.settle(Seq(1), Seq(12));
    lane.flush().unwrap();
    assert!(rig.event("again", 10_000).is_err_and(|error| matches!(error, AppendError::Full { .. })));
    rig.keeper.turn();
    assert_eq!(rig.event("again", 10_000).unwrap().first.0, last + 1, "no number was lost to those refused");
    assert!(rig.journal.stats().deleted_segments > 0);
    let sum: u64 = segment_files(&sim).iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(rig.journal.stats().bytes, sum + spares(&sim), "the count is what is on disk");
}

#[test]
fn a_patient_append_goes_on_by_itself_with_the_same_frame() {
    let sim = SimFs::new(1);
    let mut rig = Rig::try_open(&sim, settings(4 * SEGMENT)).unwrap();
    let mut lane = rig.journal.lane("slow", LaneStart::Now).unwrap();
    rig.journal.lanes_ready();
    while rig.event("x", 10_000).is_ok() {
        rig.keeper.turn();
    }
    let refused = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (journal, heard) = (rig.journal.clone(), Arc::clone(&refused));
    let events = batch(&[padded("patient", 10_000), b"and".to_vec()]);
    let mut asked = crate::tests::Asked(Box::pin(async move {
        let again = |error| {
            assert!(matches!(error, AppendError::Full { .. }), "{error}");
            heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(true)
        };
        journal.append_patiently(events, Durability::Fsync, again).await
    }));
    for round in 0..3 {
        assert!(asked.poll().is_none(), "queued, or queued again");
        assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), round);
        rig.committer.turn();
    }
    assert!(asked.poll().is_none());
    lane.settle(Seq(1), Seq(12));
    lane.flush().unwrap();
    rig.keeper.turn();
    rig.committer.turn();
    let appended = asked.poll().expect("there is room").unwrap();
    let frames = read_all(&rig.journal, appended.first.0 - 1);
    let frame = frames[0].as_ref().unwrap();
    assert_eq!((frame.len(), frame.event(0).original(), frame.event(1).original()), (2, &padded("patient", 10_000)[..], &b"and"[..]));
}

#[test]
fn a_quota_is_large_enough_for_some_segments_or_refused() {
    let error = settings(3 * SEGMENT).segment_size().unwrap_err();
    assert!(matches!(error, OpenError::TooSmall { least, .. } if least == 4 * SEGMENT), "{error}");
    let size = |max_bytes, segment_bytes| JournalSettings { segment_bytes, ..settings(max_bytes) }.segment_size().unwrap();
    assert_eq!(size(10 << 30, 64 << 20), 64 << 20);
    assert_eq!(size(100 << 20, 64 << 20), 25 << 20, "a quarter of a small quota");
    assert_eq!(size(1 << 40, 1 << 40), 1 << 30, "offsets fit 32 bits");
    assert_eq!(size(1 << 30, 0), 64 << 10);
}

#[test]
fn a_full_disk_leaves_nothing_half_written_and_ends_by_itself() {
    // The room that is left when the disk runs full: none, less than a header, part of a frame.
    for room in [0, 100, 4096, 5000, 12_000] {
        let sim = SimFs::new(room);
        let mut rig = Rig::open(&sim);
        rig.journal.lane("a", LaneStart::Now).unwrap();
        let last = fill_segment(&mut rig);
        sim.set_capacity(Some(sim.used() + room));
        let error = rig.event("lost", 10_000).unwrap_err();
        assert!(matches!(error, AppendError::DiskFull { .. }), "{room}: {error}");
        assert_eq!(error.class(), FailureClass::Retry);
        assert_eq!((rig.journal.head().0, segment_files(&sim).len()), (last, 1));
        assert_eq!(rig.journal.stats().bytes, SEGMENT, "room {room}: what failed is not counted");
        // A crash now does not bring it back.
        let seen = brief(&rig.journal, 0);
        drop(rig);
        sim.restart(Crash::Power);
        let mut rig = Rig::open(&sim);
        assert_eq!(brief(&rig.journal, 0), seen);
        assert!(rig.event("lost", 10_000).is_err_and(|error| matches!(error, AppendError::DiskFull { .. })));
        sim.set_capacity(None);
        assert_eq!(rig.event("there", 10_000).unwrap().first.0, last + 1);
    }
}

#[test]
fn a_disk_that_fills_up_within_a_segment_is_cut_back() {
    for seed in 0..40 {
        let sim = SimFs::new(seed);
        sim.make_dir(Path::new(DIR)).unwrap();
        // No room to reserve a segment: it is written without.
        sim.set_capacity(Some(20_000));
        let mut rig = Rig::open(&sim);
        rig.event("one", 5_000).unwrap();
        assert!(segment_files(&sim)[0].1 < 10_000);
        let mut asked = [rig.ask(&[padded("two", 5_000)], Durability::Fsync), rig.ask(&[padded("three", 9_000)], Durability::Fsync)];
        rig.committer.turn();
        for asked in &mut asked {
            assert!(matches!(asked.poll(), Some(Err(AppendError::DiskFull { .. }))), "one write, one fate");
        }
        assert!(segment_files(&sim)[0].1 < 10_000, "cut");
        drop(rig);
        sim.restart(Crash::Power);
        let mut rig = Rig::open(&sim);
        assert_eq!((brief(&rig.journal, 0), rig.recovery.torn_bytes), (vec!["1:one".to_string()], 0), "seed {seed}");
        rig.event("small", 100).unwrap();
        sim.set_capacity(None);
        rig.event("large", 9_000).unwrap();
        assert_eq!(brief(&rig.journal, 0), ["1:one", "2:small", "3:large"]);
    }
}

#[test]
fn what_was_written_without_a_sync_gets_one_when_its_segment_is_full() {
    for seed in 0..20 {
        let sim = SimFs::new(seed);
        let mut rig = Rig::open(&sim);
        for durability in [Durability::Fsync, Durability::Os, Durability::Os, Durability::Fsync] {
            let mut asked = rig.ask(&[padded("x", 20_000)], durability);
            rig.committer.turn();
            asked.poll().unwrap().unwrap();
        }
        assert_eq!(segment_files(&sim).len(), 2);
        drop(rig);
        sim.restart(Crash::Power);
        assert_eq!(brief(&Rig::open(&sim).journal, 0).len(), 4, "seed {seed}");
    }
}

#[test]
fn a_disk_that_is_read_only_for_a_while_takes_up_again() {
    let sim = SimFs::new(2);
    let mut rig = Rig::open(&sim);
    rig.event("one", 1).unwrap();
    sim.set_read_only(true);
    for _ in 0..3 {
        let error = rig.event("no", 1).unwrap_err();
        assert!(matches!(&error, AppendError::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem), "{error}");
        assert_eq!(error.class(), FailureClass::Operator);
    }
    sim.set_read_only(false);
    assert_eq!(rig.event("two", 1).unwrap().first, Seq(2));
    assert_eq!(brief(&rig.journal, 0), ["1:one", "2:two"]);
}

#[test]
fn writes_that_fail_or_come_up_short_are_taken_back_or_finished() {
    let sim = SimFs::new(3);
    sim.set_short_writes(true);
    let mut rig = Rig::open(&sim);
    let mut want = Vec::new();
    for index in 1..=40 {
        if index % 3 == 0 {
            sim.fail_writes(1);
            assert!(rig.event("no", 5_000).is_err_and(|error| matches!(error, AppendError::Io { .. })));
        }
        assert_eq!(rig.event(&format!("e{index}"), 5_000).unwrap().first.0, index);
        want.push(format!("{index}:e{index}"));
    }
    assert_eq!(brief(&rig.journal, 0), want);
    drop(rig);
    sim.restart(Crash::Power);
    assert_eq!(brief(&Rig::open(&sim).journal, 0), want);
}

#[test]
fn segments_roll_with_a_spare_made_ahead_and_are_cut_to_their_contents() {
    let sim = SimFs::new(4);
    let mut rig = Rig::open(&sim);
    fill_segment(&mut rig);
    rig.keeper.turn();
    assert_eq!(spares(&sim), SEGMENT);
    let steps = sim.steps();
    rig.event("next", 10_000).unwrap();
    assert_eq!(sim.steps() - steps, 4, "write, sync, rename, sync of the folder; no creating");
    rig.keeper.turn();
    let files = segment_files(&sim);
    assert_eq!(files.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["seg-00000000000000000001.bhj", "seg-00000000000000000007.bhj"]);
    assert!(files[0].1 < SEGMENT && files[0].1 > 60_000, "{files:?}");
    assert_eq!(rig.journal.stats().bytes, files[0].1 + SEGMENT);
}

#[test]
fn an_append_that_nobody_waits_for_any_more_is_kept() {
    let sim = SimFs::new(5);
    let mut rig = Rig::open(&sim);
    drop(rig.ask(&["alone".into()], Durability::Fsync));
    assert!(rig.committer.turn());
    assert_eq!(brief(&rig.journal, 0), ["1:alone"]);
}

#[test]
fn a_full_queue_makes_producers_wait_in_their_order() {
    let sim = SimFs::new(6);
    let mut rig = Rig::try_open(&sim, JournalSettings { queue_bytes: 64 << 10, ..settings(16 * SEGMENT) }).unwrap();
    let mut asked: Vec<_> = (0..8).map(|index| rig.ask(&[padded(&index.to_string(), 20_000)], Durability::Fsync)).collect();
    assert!(rig.committer.turn());
    let answered = |asked: &mut Vec<Asked>| asked.iter_mut().filter_map(|asked| asked.poll()).map(|answer| answer.unwrap().first.0).collect::<Vec<_>>();
    let first = answered(&mut asked);
    assert_eq!(first, [1, 2, 3], "three fit, the others wait outside");
    asked.drain(..3);
    assert!(answered(&mut asked).is_empty());
    rig.committer.turn();
    assert_eq!(answered(&mut asked), [4, 5, 6]);
    // A batch as large as a segment has the queue for itself.
    asked.clear();
    let mut large = rig.ask(&[padded("large", 60_000)], Durability::Fsync);
    while rig.committer.turn() {}
    large.poll();
    while rig.committer.turn() {}
    assert!(large.poll().unwrap().is_ok());
}

#[test]
fn a_segment_that_cannot_get_its_name_is_tried_again() {
    let sim = SimFs::new(7);
    let mut rig = Rig::open(&sim);
    let last = fill_segment(&mut rig);
    // Each step of rolling over fails once: creating, room, write, sync, rename, sync of the folder.
    sim.set_read_only(true);
    assert!(rig.event("no", 10_000).is_err_and(|error| matches!(error, AppendError::Io { .. })));
    sim.set_read_only(false);
    sim.fail_writes(1);
    assert!(rig.event("no", 10_000).is_err_and(|error| matches!(error, AppendError::Io { .. })));
    assert_eq!(rig.journal.stats().bytes, SEGMENT);
    assert_eq!(rig.event("yes", 10_000).unwrap().first.0, last + 1);
    assert_eq!(PathBuf::from(&segment_files(&sim)[1].0), PathBuf::from(format!("seg-{:020}.bhj", last + 1)));
}
