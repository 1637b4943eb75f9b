//! The real threads: many producers, readers and lanes at once.

use super::*;
use crate::sim::Crash;
use crate::{LaneStart, RealFs, Stats};

async fn produce(journal: &Journal, producer: usize, batches: usize) -> Vec<(u64, Vec<u8>)> {
    let mut kept = Vec::new();
    for index in 0..batches {
        let originals: Vec<Vec<u8>> = (0..1 + index % 3).map(|event| padded(&format!("p{producer}b{index}e{event}"), 300)).collect();
        match journal.append(batch(&originals), Durability::Fsync).await {
            Ok(appended) => {
                assert_eq!(appended.last.0 - appended.first.0 + 1, originals.len() as u64);
                kept.extend((appended.first.0..).zip(originals));
            }
            Err(error) => {
                assert!(matches!(error, AppendError::Sync { .. } | AppendError::Io { .. }), "{error}");
                break;
            }
        }
    }
    kept
}

async fn all_kept(producers: usize, batches: usize, journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let journal = journal.clone();
            tokio::spawn(async move { produce(&journal, producer, batches).await })
        })
        .collect();
    let mut kept = Vec::new();
    for task in tasks {
        kept.extend(task.await.unwrap());
    }
    kept.sort();
    kept
}

fn stored_in(journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    read_all(journal, 0)
        .into_iter()
        .flat_map(|frame| frame.unwrap().events().map(|(seq, event)| (seq.0, event.original().to_vec())).collect::<Vec<_>>())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_and_lanes_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Journal::open(JournalSettings { segment_bytes: SEGMENT, tail_bytes: 50_000, ..JournalSettings::new(dir.path().join("j"), 1 << 30) }, Arc::new(RealFs))
            .unwrap()
    };
    let (journal, _) = open();
    let lanes: Vec<_> = (0..3)
        .map(|index| {
            let mut lane = journal.lane(&format!("lane/{index}"), LaneStart::Now).unwrap();
            let mut reader = journal.reader(lane.cursor());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Ok(frame) = reader.next().await {
                    seen.extend(frame.events().map(|(seq, event)| (seq.0, event.original().to_vec())));
                    lane.settle(frame.first(), frame.last());
                    lane.flush().unwrap();
                }
                seen
            })
        })
        .collect();
    let kept = all_kept(100, 30, &journal).await;
    assert_eq!(kept.len(), 100 * 60);
    assert_eq!(kept.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=6000).collect::<Vec<_>>());
    let Stats { head, appends, syncs, .. } = journal.stats();
    assert_eq!((head, appends), (Seq(6000), 3000));
    assert!(syncs < 3000, "syncs are shared: {syncs}");
    assert_eq!(stored_in(&journal), kept);
    journal.close().await;
    assert!(matches!(journal.append(batch(&["late".into()]), Durability::Fsync).await, Err(AppendError::Closed)));
    for lane in lanes {
        assert_eq!(lane.await.unwrap(), kept, "each lane saw all, in order");
    }
    let (journal, recovery) = open();
    assert_eq!((recovery.last, recovery.torn_bytes, recovery.lanes), (Seq(6000), 0, 3));
    assert_eq!(stored_in(&journal), kept);
    journal.lanes_ready();
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_a_real_disk_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = || JournalSettings::new(dir.path(), 1 << 20);
    let (journal, _) = Journal::open(settings(), Arc::new(RealFs)).unwrap();
    let second = Journal::open(settings(), Arc::new(RealFs)).err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    let mut reader = journal.reader(Seq(0));
    journal.close().await;
    assert!(matches!(reader.next().await, Err(ReadError::Closed)));
    assert!(matches!(journal.lane("a", LaneStart::Now), Err(crate::LaneError::Closed)));
    Journal::open(settings(), Arc::new(RealFs)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_under_load_lose_nothing_that_was_answered() {
    for seed in 0..25 {
        let sim = SimFs::new(seed);
        let mut kept = Vec::new();
        for round in 0..3 {
            let (journal, _) = Journal::open(settings(1 << 30), sim.mount()).unwrap();
            assert_eq!(stored_in(&journal).into_iter().filter(|event| kept.binary_search(event).is_ok()).count(), kept.len(), "seed {seed}, round {round}");
            sim.crash_after(10 + seed * 7);
            kept.extend(all_kept(8, 100, &journal).await);
            kept.sort();
            assert!(sim.is_down());
            drop(journal);
            sim.restart(Crash::Power);
        }
    }
}

#[tokio::test]
async fn the_observer_hears_of_groups_and_sizes() {
    #[derive(Default)]
    struct Heard(std::sync::Mutex<(u64, u64, u64, u64)>);
    impl crate::Observer for Heard {
        fn committed(&self, appends: u64, events: u64, bytes: u64, seconds: f64) {
            assert!(seconds >= 0.0);
            let mut heard = self.0.lock().unwrap();
            (heard.0, heard.1, heard.2) = (heard.0 + appends, heard.1 + events, heard.2 + bytes);
        }
        fn stored(&self, bytes: u64) {
            self.0.lock().unwrap().3 = bytes;
        }
    }
    let heard = Arc::new(Heard::default());
    let (journal, _) = Journal::open(JournalSettings { observer: Some(heard.clone()), ..settings(1 << 30) }, Arc::new(SimFs::new(1))).unwrap();
    let kept = all_kept(2, 3, &journal).await;
    let stats = journal.stats();
    journal.close().await;
    assert_eq!(*heard.0.lock().unwrap(), (6, kept.len() as u64, stats.appended_bytes, SEGMENT));
}
