use std::sync::Arc;

use super::*;
use crate::testing::{each_engine, fence};

fn run(instance: &str, started_ms: i64) -> SyncRun {
    SyncRun::begin(&Arc::from(instance), SyncTrigger::Scheduled, "schedule", started_ms)
}

async fn ids(executions: &SyncExecutions, filter: &SyncFilter, before: Option<Uuid>, limit: u32) -> Vec<Uuid> {
    executions.list(filter, before, limit).await.unwrap().iter().map(|run| run.id).collect()
}

#[tokio::test]
async fn a_run_is_what_was_kept_last_over_a_restart() {
    each_engine("a_run_is_what_was_kept_last_over_a_restart", async |place| {
        let store = place.open().await;
        let executions = store.sync_executions();
        let fence = fence(&store).await;
        let mut one = run("siem", 7);
        executions.begin(&one).await.unwrap();
        assert_eq!(executions.get(one.id).await.unwrap(), Some(one.clone()));
        (one.pages, one.records, one.left_out, one.attempts) = (3, 250, 1, 2);
        one.end(SyncStatus::Failed, Some("no route".into()), 90);
        assert!(executions.keep(&one, &fence).await.unwrap());
        // One that asks late whether it begins changes nothing.
        executions.begin(&SyncRun { status: SyncStatus::Running, ..one.clone() }).await.unwrap();
        store.close().await;
        let store = place.open().await;
        let executions = store.sync_executions();
        assert_eq!(executions.get(one.id).await.unwrap(), Some(one.clone()));
        assert_eq!(executions.last("siem").await.unwrap(), Some(7));
        executions.forget(one.id).await.unwrap();
        assert_eq!((executions.get(one.id).await.unwrap(), executions.last("siem").await.unwrap()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn what_a_crash_cut_off_is_closed_and_nothing_else() {
    each_engine("what_a_crash_cut_off_is_closed_and_nothing_else", async |place| {
        let store = place.open().await;
        let executions = store.sync_executions();
        let fence = fence(&store).await;
        let (cut, mut whole, held) = (run("c", 1), run("b", 2), run("a", 3));
        executions.begin(&cut).await.unwrap();
        whole.end(SyncStatus::Completed, None, 3);
        assert!(executions.keep(&whole, &fence).await.unwrap());
        assert_eq!(executions.close_cut_off(99).await.unwrap(), 1);
        let closed = executions.get(cut.id).await.unwrap().unwrap();
        assert_eq!((closed.status, closed.error.as_deref(), closed.ended_ms), (SyncStatus::Failed, Some("the host ended"), Some(99)));
        assert_eq!(executions.get(whole.id).await.unwrap(), Some(whole));
        assert_eq!(executions.close_cut_off(100).await.unwrap(), 0);
        // Where hosts share the store, what one holds the lease of may be under way there.
        executions.begin(&held).await.unwrap();
        assert_eq!(executions.close_cut_off(101).await.unwrap(), u64::from(!place.is_server()));
        assert_eq!(executions.close_cut_off_of("a", 102).await.unwrap(), u64::from(place.is_server()));
        // Who held it before ends nothing, and settles nothing.
        let over = Fence { term: fence.term - 1, ..fence };
        assert!(!executions.keep(&SyncRun { status: SyncStatus::Completed, ..held.clone() }, &over).await.unwrap());
        assert!(!executions.settle("a", "0 6 * * * UTC", 5, &over).await.unwrap());
        assert_eq!(executions.get(held.id).await.unwrap().unwrap().status, SyncStatus::Failed);
    })
    .await;
}

#[tokio::test]
async fn lists_are_the_newest_first_by_page_instance_and_status() {
    each_engine("lists_are_the_newest_first_by_page_instance_and_status", async |place| {
        let store = place.open().await;
        let executions = store.sync_executions();
        let fence = fence(&store).await;
        let mut all = Vec::new();
        for n in 0..6 {
            // The clock goes back all the time.
            let mut one = run(if n % 2 == 0 { "even" } else { "odd" }, 100 - n);
            executions.begin(&one).await.unwrap();
            if n > 2 {
                one.end(SyncStatus::Completed, None, 200);
                assert!(executions.keep(&one, &fence).await.unwrap());
            }
            all.insert(0, one.id);
        }
        let everything = SyncFilter::default();
        assert_eq!(ids(&executions, &everything, None, 10).await, all);
        assert_eq!(ids(&executions, &everything, Some(all[1]), 2).await, all[2..4]);
        assert_eq!(ids(&executions, &everything, Some(Uuid::nil()), 2).await, Vec::<Uuid>::new());
        let even = SyncFilter { instance: Some("even".into()), ..SyncFilter::default() };
        assert_eq!(ids(&executions, &even, None, 10).await, [all[1], all[3], all[5]]);
        let running = SyncFilter { status: Some(SyncStatus::Running), ..even };
        assert_eq!(ids(&executions, &running, None, 10).await, [all[3], all[5]]);
    })
    .await;
}

#[tokio::test]
async fn the_table_is_bounded_by_number_and_by_age() {
    each_engine("the_table_is_bounded_by_number_and_by_age", async |place| {
        let store = place.open().await;
        let executions = store.sync_executions();
        let fence = fence(&store).await;
        let (running, mut old) = (run("siem", 0), run("other", 10));
        executions.begin(&running).await.unwrap();
        old.end(SyncStatus::Completed, None, 11);
        assert!(executions.keep(&old, &fence).await.unwrap());
        for n in 0..KEPT + 20 {
            let mut one = run("siem", 20 + n);
            one.end(SyncStatus::Completed, None, 20 + n);
            assert!(executions.keep(&one, &fence).await.unwrap());
        }
        let filter = SyncFilter { instance: Some("siem".into()), ..SyncFilter::default() };
        let kept = executions.list(&filter, None, 10_000).await.unwrap();
        // The one that runs stays, however old.
        assert_eq!((kept.len() as i64, kept.last().unwrap().id, kept[0].started_ms), (KEPT + 1, running.id, 20 + KEPT + 19));
        assert!(executions.get(old.id).await.unwrap().is_some());
        let mut late = run("siem", AGE_MS + 11);
        late.end(SyncStatus::Completed, None, AGE_MS + 11);
        assert!(executions.keep(&late, &fence).await.unwrap());
        assert_eq!(executions.get(old.id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_schedule_is_settled_until_it_is_another() {
    each_engine("a_schedule_is_settled_until_it_is_another", async |place| {
        let store = place.open().await;
        let executions = store.sync_executions();
        let fence = fence(&store).await;
        assert_eq!(executions.settled("siem", "0 6 * * * UTC").await.unwrap(), None);
        assert!(executions.settle("siem", "0 6 * * * UTC", 5, &fence).await.unwrap());
        assert!(executions.settle("siem", "0 6 * * * UTC", 9, &fence).await.unwrap());
        assert_eq!(executions.settled("siem", "0 6 * * * UTC").await.unwrap(), Some(9));
        assert_eq!(executions.settled("siem", "0 7 * * * UTC").await.unwrap(), None);
        assert_eq!(executions.settled("other", "0 6 * * * UTC").await.unwrap(), None);
        assert!(executions.settle("siem", "0 7 * * * UTC", 12, &fence).await.unwrap());
        assert_eq!(executions.settled("siem", "0 6 * * * UTC").await.unwrap(), None);
    })
    .await;
}
