use super::*;
use crate::LaneStart;
use crate::sim::SimFs;
use crate::tests::{DIR, Rig, segment_files};

fn journal() -> (SimFs, Arc<dyn Fs>) {
    let sim = SimFs::new(1);
    let mut rig = Rig::open(&sim);
    let mut lane = rig.journal.lane("a/b", LaneStart::Now).unwrap();
    for index in 1..=50 {
        rig.event(&format!("e{index}"), 3_000).unwrap();
    }
    lane.settle(Seq(1), Seq(10));
    lane.settle(Seq(13), Seq(13));
    lane.flush().unwrap();
    rig.keeper.turn();
    let fs = Arc::new(sim.clone());
    (sim, fs)
}

fn path(name: &str) -> String {
    format!("{DIR}/{name}")
}

const FIRST: &str = "seg-00000000000000000001.bhj";
const SECOND: &str = "seg-00000000000000000021.bhj";
const LAST: &str = "seg-00000000000000000041.bhj";

#[test]
fn a_sound_journal_is_reported_whole() {
    let (_, fs) = journal();
    let outline = inspect(&fs, Path::new(DIR)).unwrap();
    let whole = verify(&fs, Path::new(DIR), None).unwrap();
    for report in [&outline, &whole] {
        assert_eq!((report.first, report.last, report.torn_bytes, &report.faults[..]), (Seq(1), Seq(50), 0, &[][..]));
        assert_eq!(report.segments.iter().map(|segment| (segment.first.0, segment.last.0)).collect::<Vec<_>>(), [(1, 20), (21, 40), (41, 50)]);
        let [lane] = &report.lanes[..] else { panic!("{:?}", report.lanes) };
        assert_eq!((&lane.lane[..], lane.backlog, lane.state.as_ref().unwrap().cursor()), ("a/b", 39, Seq(10)));
    }
    let contents = |report: &Report| report.segments.iter().map(|segment| segment.contents.as_ref().map(|contents| contents.events)).collect::<Vec<_>>();
    assert_eq!(contents(&outline), [None, None, Some(10)]);
    assert_eq!(contents(&whole), [Some(20), Some(20), Some(10)]);
    assert_eq!(whole.segments[0].contents.as_ref().unwrap().event_bytes, 20 * 3_016);
}

#[test]
fn faults_are_found_and_placed() {
    let (sim, fs) = journal();
    let faults =
        || verify(&fs, Path::new(DIR), None).unwrap().faults.into_iter().map(|fault| (fault.file.display().to_string(), fault.lost)).collect::<Vec<_>>();
    sim.flip(path(FIRST), 4096 + 500);
    assert_eq!(faults(), [(path(FIRST), Some((Seq(1), Seq(1))))]);
    // A header of a frame: first the place, then the number, known by the next frame.
    sim.flip(path(SECOND), 4096 + 3072 + 10);
    assert_eq!(faults()[1..], [(path(SECOND), None), (path(SECOND), Some((Seq(22), Seq(22))))]);
    sim.remove(Path::new(&path(SECOND))).unwrap();
    assert_eq!(faults()[1..], [(path(LAST), Some((Seq(21), Seq(40))))]);
    sim.flip(path("lanes/a%2Fb.log"), 2);
    sim.flip(path("lanes/a%2Fb.log"), 42);
    let report = verify(&fs, Path::new(DIR), None).unwrap();
    assert!(report.lanes[0].state.is_none() && report.faults.last().unwrap().what.contains("unreadable"), "{report:?}");
}

#[test]
fn export_hands_out_a_range_in_order_and_stops_when_told() {
    let (sim, fs) = journal();
    let export = |from: u64, to: u64, most: usize| {
        let mut got = Vec::new();
        let report = export(&fs, Path::new(DIR), None, Seq(from)..=Seq(to), |seq, _, event| {
            got.push((seq.0, String::from_utf8_lossy(event.original()).trim_end_matches('.').to_string()));
            if got.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        (got, report.unwrap().faults.len())
    };
    let want = |range: RangeInclusive<u64>| range.map(|seq| (seq, format!("e{seq}"))).collect::<Vec<_>>();
    assert_eq!(export(1, u64::MAX, 1000), (want(1..=50), 0));
    assert_eq!(export(19, 42, 1000), (want(19..=42), 0));
    assert_eq!(export(5, 50, 3), (want(5..=7), 0));
    assert_eq!(export(60, 70, 1000), (vec![], 0));
    sim.flip(path(FIRST), 4096 + 500);
    assert_eq!(export(1, 3, 1000), (want(2..=3), 1));
}

#[test]
fn a_running_journal_is_left_alone() {
    let (sim, fs) = journal();
    let rig = Rig::open(&sim);
    let dir = Path::new(DIR);
    for result in [inspect(&fs, dir).err(), verify(&fs, dir, None).err(), repair(&fs, dir).err()] {
        assert!(matches!(result, Some(OpenError::InUse { .. })));
    }
    drop(rig);
    inspect(&fs, dir).unwrap();
    assert!(matches!(inspect(&fs, Path::new("/data/other")), Err(OpenError::Missing { .. })));
    assert!(matches!(repair(&fs, Path::new("/data/other")), Err(OpenError::Missing { .. })));
}

#[test]
fn repair_makes_a_journal_openable_and_says_what_it_did() {
    let (sim, fs) = journal();
    assert_eq!(repair(&fs, Path::new(DIR)).unwrap(), []);
    // A torn tail, a header lost, a lane's entry lost.
    let mut last = sim.contents(path(LAST)).unwrap();
    let end = last.iter().rposition(|byte| *byte != 0).unwrap();
    last[end - 1000..].fill(0);
    sim.put(path(LAST), &last);
    let mut lane = sim.contents(path("lanes/a%2Fb.log")).unwrap();
    let length = lane.len();
    lane[length - 1] ^= 1;
    sim.put(path("lanes/a%2Fb.log"), &lane);
    sim.flip(path(SECOND), 0);
    sim.flip(path(SECOND), 2048);
    let done = repair(&fs, Path::new(DIR)).unwrap();
    let what: Vec<_> = done.iter().map(|repaired| (repaired.file.display().to_string(), &repaired.action[..12])).collect();
    assert_eq!(what, [(path(SECOND), "the header i"), (path(LAST), "cut 3072 byt"), (path("lanes/a%2Fb.log"), "rewritten wi")], "{done:?}");
    assert_eq!(repair(&fs, Path::new(DIR)).unwrap(), [], "once is enough");
    let report = verify(&fs, Path::new(DIR), None).unwrap();
    assert_eq!((report.last, report.faults.len(), segment_files(&sim).len()), (Seq(49), 1, 3));
    let mut rig = Rig::open(&sim);
    assert_eq!(rig.event("new", 1).unwrap().first, Seq(50));
}

#[test]
fn repair_sets_a_last_segment_without_a_header_aside() {
    let (sim, fs) = journal();
    sim.put(path(LAST), &[0; 10_000]);
    assert!(matches!(Rig::try_open(&sim, crate::tests::settings(1 << 30)).err(), Some(OpenError::Unreadable { .. })));
    let done = repair(&fs, Path::new(DIR)).unwrap();
    assert_eq!(done[0].file.display().to_string(), path(LAST));
    assert!(sim.contents(path(&format!("{LAST}.bad"))).is_some());
    let mut rig = Rig::open(&sim);
    assert_eq!(rig.event("new", 1).unwrap().first, Seq(41));
}
