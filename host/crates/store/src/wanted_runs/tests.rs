use super::*;
use crate::testing::{each_engine, fence};

#[tokio::test]
async fn what_was_asked_for_stays_until_a_run_behind_it_is_done() {
    each_engine("what_was_asked_for_stays_until_a_run_behind_it_is_done", async |place| {
        let store = place.open().await;
        let (wanted, fence) = (store.wanted_runs(), fence(&store).await);
        assert_eq!((wanted.begin("a").await.unwrap(), wanted.waiting().await.unwrap()), (None, Vec::new()));
        let first = wanted.ask("a", "subscription:one", 1).await.unwrap();
        let number = store.changes().generations().await.unwrap()[&Topic::WantedRuns];
        // It joins, and nobody is told twice.
        assert_eq!(wanted.ask("a", "subscription:two", 2).await.unwrap(), first);
        assert_eq!(store.changes().generations().await.unwrap()[&Topic::WantedRuns], number);
        assert_eq!(wanted.waiting().await.unwrap(), ["a"]);
        let begun = |begun| WantedRun { id: first, initiated_by: "subscription:one".into(), begun };
        assert_eq!(wanted.begin("a").await.unwrap(), Some(begun(false)));
        store.close().await;

        // Over a restart it is there, and known to have begun.
        let store = place.open().await;
        let wanted = store.wanted_runs();
        assert_eq!((wanted.begin("a").await.unwrap(), wanted.waiting().await.unwrap()), (Some(begun(true)), Vec::new()));
        // Behind its begin it is another one, and the end of the first ends nothing of it.
        let second = wanted.ask("a", "subscription:two", 3).await.unwrap();
        assert_ne!(first, second);
        assert!(wanted.done("a", first, &fence).await.unwrap());
        assert_eq!(wanted.begin("a").await.unwrap().map(|wanted| wanted.id), Some(second));
        // Who had the lease before ends nothing.
        let over = Fence { term: fence.term - 1, ..fence.clone() };
        assert!(!wanted.done("a", second, &over).await.unwrap());
        assert!(wanted.begin("a").await.unwrap().is_some());
        assert!(wanted.done("a", second, &fence).await.unwrap());
        assert_eq!(wanted.begin("a").await.unwrap(), None);
    })
    .await;
}
