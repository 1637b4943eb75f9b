use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::LaneStart;
use crate::sim::Crash;

/// A journal of many segments: event n is `e<n>`.
fn many(sim: &SimFs, events: u64) -> Rig {
    let mut rig = Rig::open(sim);
    for index in 1..=events {
        rig.event(&format!("e{index}"), 3_000).unwrap();
    }
    rig
}

fn names(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|index| format!("{index}:e{index}")).collect()
}

#[test]
fn a_reader_catches_up_across_segments_from_any_place() {
    let sim = SimFs::new(1);
    let rig = many(&sim, 100);
    assert!(segment_files(&sim).len() >= 5);
    for after in [0, 1, 19, 20, 21, 50, 93, 94, 99, 100] {
        assert_eq!(brief(&rig.journal, after), names(after + 1..=100), "after {after}");
    }
    assert!(brief(&rig.journal, 200).is_empty());
    drop(rig);
    // The same with nothing in memory.
    let rig = Rig::open(&sim);
    for after in [0, 1, 19, 20, 21, 50, 93, 94, 99, 100] {
        assert_eq!(brief(&rig.journal, after), names(after + 1..=100), "after {after}, reopened");
    }
}

#[test]
fn lanes_at_the_tail_share_a_frame_without_reading() {
    let sim = SimFs::new(1);
    let rig = many(&sim, 10);
    let (mut one, mut two) = (rig.journal.reader(Seq(8)), rig.journal.reader(Seq(8)));
    sim.fail_reads(u64::MAX);
    let (one, two) = (one.try_next().unwrap().unwrap(), two.try_next().unwrap().unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(one.memo.get_or_init(|| Arc::new(5_u8)).downcast_ref::<u8>(), Some(&5));
    assert!(two.memo.get().is_some());
    // What is not in memory any more is read, and an error is one that can be tried again.
    let mut old = rig.journal.reader(Seq(0));
    for _ in 0..3 {
        assert!(matches!(old.try_next(), Err(ReadError::Io { .. })));
    }
    sim.fail_reads(0);
    assert_eq!(old.try_next().unwrap().unwrap().first(), Seq(1));
}

#[test]
fn a_reader_set_into_a_request_gets_it_whole() {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    rig.append(&["a".into(), "b".into(), "c".into()]).unwrap();
    for rig in [
        rig,
        Rig::open(&{
            sim.restart(Crash::Kill);
            sim
        }),
    ] {
        let mut reader = rig.journal.reader(Seq(1));
        assert_eq!(reader.position(), Seq(2));
        let frame = reader.try_next().unwrap();
        // The first rig's files are of an earlier process, its memory is not.
        assert_eq!(frame.map(|frame| (frame.first(), frame.last())), Some((Seq(1), Seq(3))));
        assert_eq!(reader.position(), Seq(4));
    }
}

#[test]
fn readers_go_back_and_forth() {
    let sim = SimFs::new(1);
    let rig = many(&sim, 60);
    let mut reader = rig.journal.reader(Seq(0));
    for after in [0, 30, 5, 59, 58, 20] {
        reader.seek(Seq(after));
        assert_eq!(reader.try_next().unwrap().unwrap().first().0, after + 1);
        if after < 59 {
            assert_eq!(reader.try_next().unwrap().unwrap().first().0, after + 2);
        }
    }
    reader.seek(Seq(60));
    assert!(reader.try_next().unwrap().is_none());
}

#[test]
fn what_is_lost_is_said_once_and_reading_goes_on() {
    let sim = SimFs::new(1);
    let rig = many(&sim, 60);
    let files = segment_files(&sim);
    drop(rig);
    assert_eq!(files[1].0, "seg-00000000000000000021.bhj");
    let path = |index: usize| format!("{DIR}/{}", files[index].0);
    // A byte of an event; a whole page; a whole file; a header.
    sim.flip(path(0), 4096 + 3072 + 500);
    let mut second = sim.contents(path(1)).unwrap();
    second[20_000..24_000].fill(0);
    sim.put(path(1), &second);
    let rig = Rig::open(&sim);
    let got = brief(&rig.journal, 0);
    let want: Vec<String> = [names(1..=1), vec!["lost 2-2".into()], names(3..=25), vec!["lost 26-27".into()], names(28..=60)].concat();
    assert_eq!(got, want);
    assert_eq!(rig.journal.stats().lost_ranges, 2);
    drop(rig);
    sim.remove(Path::new(&path(1))).unwrap();
    assert_eq!(brief(&Rig::open(&sim).journal, 3), [names(4..=20), vec!["lost 21-40".into()], names(41..=60)].concat());
    sim.flip(path(0), 3);
    sim.flip(path(0), 2048 + 3);
    assert_eq!(brief(&Rig::open(&sim).journal, 3), [vec!["lost 4-40".into()], names(41..=60)].concat());
}

#[test]
fn damage_at_the_end_of_a_full_segment_is_lost_too() {
    let sim = SimFs::new(1);
    let rig = many(&sim, 30);
    let (name, bytes) = segment_files(&sim)[0].clone();
    drop(rig);
    let mut contents = sim.contents(format!("{DIR}/{name}")).unwrap();
    let used = contents.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(used as u64 <= bytes);
    contents[used - 4_000..].fill(0);
    sim.put(format!("{DIR}/{name}"), &contents);
    assert_eq!(brief(&Rig::open(&sim).journal, 0), [names(1..=18), vec!["lost 19-20".into()], names(21..=30)].concat());
}

#[test]
fn a_reader_behind_deleted_segments_hears_that() {
    let sim = SimFs::new(1);
    let mut rig = many(&sim, 60);
    let mut late = rig.journal.reader(Seq(0));
    let mut running = rig.journal.reader(Seq(0));
    running.try_next().unwrap();
    rig.journal.lanes_ready();
    rig.keeper.turn();
    assert_eq!(rig.journal.stats().oldest, Seq(41), "no lane: all full segments go");
    assert!(matches!(late.try_next(), Err(ReadError::Gone { first: Seq(1), last: Seq(40) })));
    assert_eq!(late.try_next().unwrap().unwrap().first(), Seq(41));
    // One that is in the middle of a file reads it to its end.
    let mut next = 2;
    while let Ok(frame) = running.try_next() {
        assert_eq!(frame.unwrap().first().0, next);
        next += 1;
    }
    assert_eq!((next - 1) % 20, 0);
    assert_eq!(running.try_next().unwrap().unwrap().first(), Seq(41));
}

#[tokio::test]
async fn next_waits_and_loses_nothing_when_it_is_given_up() {
    let sim = SimFs::new(1);
    let mut rig = many(&sim, 60);
    let mut reader = rig.journal.reader(Seq(0));
    let mut got = Vec::new();
    while got.len() < 60 {
        // Given up at its first wait, again and again: the read that it began serves a later call.
        let mut next = std::pin::pin!(reader.next());
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => got.push(frame.unwrap().first().0),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    assert_eq!(got, (1..=60).collect::<Vec<_>>());
    let (reader, event) = tokio::join!(reader.next(), async { rig.event("new", 1).unwrap().first });
    assert_eq!(reader.unwrap().first(), event);
}

#[test]
fn bytes_behind_a_place_and_the_place_of_a_time() {
    let sim = SimFs::new(1);
    let clock = Arc::new(TestClock::default());
    let mut rig = Rig::try_open(&sim, JournalSettings { clock: clock.clone(), ..settings(16 * SEGMENT) }).unwrap();
    assert_eq!((rig.journal.bytes_after(Seq(0)), rig.journal.seq_at(5)), (0, Seq(1)));
    for index in 1..=60 {
        clock.0.store(index * 10, std::sync::atomic::Ordering::Relaxed);
        rig.event("x", 3_000).unwrap();
    }
    rig.keeper.turn();
    let (all, half, none) = (rig.journal.bytes_after(Seq(0)), rig.journal.bytes_after(Seq(40)), rig.journal.bytes_after(Seq(60)));
    assert!((180_000..200_000).contains(&all) && half < all / 2 && half > 60_000 && none == 0, "{all} {half} {none}");
    for (nanos, want) in [(0, 1), (10, 1), (11, 2), (200, 20), (201, 21), (210, 21), (599, 60), (600, 60), (601, 61)] {
        assert_eq!(rig.journal.seq_at(nanos), Seq(want), "at {nanos}");
    }
    let lane = rig.journal.lane("replay", LaneStart::From(rig.journal.seq_at(405))).unwrap();
    assert_eq!(lane.cursor(), Seq(40));
}

/// Damage: which segment, where, how long, and what the bytes become.
type Damage = (usize, usize, usize, Option<u8>);

/// Where the frames of `many` lie: 20 a segment, this far apart.
const STEP: usize = 3_072;

fn damage(sim: &SimFs, (segment, at, length, with): Damage) {
    let path = format!("{DIR}/{}", segment_files(sim)[segment].0);
    let mut bytes = sim.contents(&path).unwrap();
    let end = (at + length).min(bytes.len());
    for byte in bytes.get_mut(at..end).unwrap_or_default() {
        *byte = with.unwrap_or(*byte ^ 0x33);
    }
    sim.put(&path, &bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn damage_costs_what_it_touches_and_nothing_else(
        damages in prop::collection::vec((0..2_usize, 4_096..66_000_usize, 1..5_000_usize, prop::option::of(any::<u8>())), 1..6),
        torn in prop::option::of((0..30_000_usize, 1..5_000_usize, prop::option::of(any::<u8>()))),
    ) {
        let sim = SimFs::new(1);
        drop(many(&sim, 50));
        for one in &damages {
            damage(&sim, *one);
        }
        if let Some((at, length, with)) = torn {
            damage(&sim, (2, at, length, with));
        }
        let touched = |seq: u64| {
            let (segment, start) = ((seq as usize - 1) / 20, 4_096 + (seq as usize - 1) % 20 * STEP);
            damages.iter().any(|(of, at, length, _)| *of == segment && *at < start + STEP && at + length > start)
        };
        let rig = match Rig::try_open(&sim, settings(16 * SEGMENT)) {
            Ok(rig) => rig,
            // Both headers of the last segment are hit.
            Err(OpenError::Unreadable { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let mut seen = BTreeMap::new();
        for item in read_all(&rig.journal, 0) {
            match item {
                Ok(frame) => { seen.insert(frame.first().0, frame.event(0).original().to_vec()); }
                Err(ReadError::Lost { first, last, .. }) => seen.extend((first.0..=last.0).map(|seq| (seq, Vec::new()))),
                Err(error) => panic!("{error}"),
            }
        }
        for seq in 1..=rig.recovery.last.0 {
            let got = seen.get(&seq).unwrap_or_else(|| panic!("nothing was said of event {seq}"));
            let intact = *got == padded(&format!("e{seq}"), 3_000);
            prop_assert!(intact || got.is_empty(), "event {} is something else", seq);
            prop_assert!(intact || seq > 40 || touched(seq), "event {} is lost and was not touched", seq);
        }
        prop_assert!(rig.recovery.last.0 >= 40);
        drop(rig);
        crate::tools::verify(&(Arc::new(sim.clone()) as Arc<dyn Fs>), Path::new(DIR), None).unwrap();
    }
}
