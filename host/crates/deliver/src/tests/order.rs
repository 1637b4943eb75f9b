//! What may be under way together.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_core::Outcome;

use super::rig::*;
use crate::*;

#[tokio::test(start_paused = true)]
async fn strict_order_survives_failures() {
    let rig = Rig::new().await;
    let calls = AtomicU64::new(0);
    // Every second call fails, as a whole or for the tail of its batch.
    let receiver = Receiver::new(&rig, move |call| match calls.fetch_add(1, Atomic::Relaxed) % 4 {
        1 => Reply::unavailable(None),
        3 => {
            let half = call.ids[call.ids.len() / 2..].to_vec();
            Reply::each(call, move |id| if half.iter().any(|late| late == id) { retry() } else { accepted() })
        }
        _ => Reply::ok(),
    });
    let delivery = rig.start(vec![receiver.instance("siem", |settings| {
        (settings.ordering, settings.batch.max_events, settings.concurrency) = (Ordering::Strict, 10, 4.into());
    })]);
    for request in 0..10 {
        rig.append(ids(request * 10..request * 10 + 10)).await;
    }
    for _ in 0..60 {
        assert!(delivery.status()[0].in_flight <= 10, "one batch at a time");
        pass(seconds(1)).await;
    }
    until_within("all is settled", seconds(30), || backlog(&rig) == 0).await;
    assert_eq!(receiver.accepted(), ids(0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_retry_blocks_strict_order() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| if call.attempt == 1 && call.ids[0] == "e0" { Reply::unavailable(Some(30)) } else { Reply::ok() });
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.ordering = Ordering::Strict)]);
    rig.append(ids(0..1)).await;
    until("the first fails", || receiver.calls() == 1).await;
    rig.append(ids(1..5)).await;
    pass(Duration::from_millis(29_999)).await;
    assert_eq!(receiver.calls(), 1);
    pass(Duration::from_millis(1)).await;
    until("all are accepted", || receiver.accepted().len() == 5).await;
    assert_eq!(receiver.accepted(), ids(0..5).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn by_key_each_key_is_in_order_and_others_go_on() {
    let rig = Rig::new().await;
    let tries: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let receiver = Receiver::new(&rig, move |call| {
        let mut tries = tries.lock().unwrap();
        let mut failed = HashSet::new();
        for id in &call.ids {
            let count = tries.entry(id.clone()).or_default();
            *count += 1;
            // Every seventh event fails twice, and so does the rest of its key in the batch.
            let (key, number) = id.split_once('-').unwrap();
            if number.parse::<u32>().unwrap().is_multiple_of(7) && *count <= 2 {
                failed.insert(key.to_owned());
            }
        }
        Reply::each(call, move |id| if failed.contains(id.split_once('-').unwrap().0) { retry() } else { accepted() })
    });
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| {
        (settings.ordering, settings.batch.max_events, settings.concurrency) = (Ordering::Key, 8, 4.into());
        settings.breaker.failure_threshold = 1_000;
    })]);
    for request in 0..30 {
        rig.append_with((request * 10..request * 10 + 10).map(|i| (format!("k{}-{i}", i % 5), format!("k{}", i % 5)))).await;
    }
    for _ in 0..400 {
        pass(seconds(1)).await;
    }
    until_within("all is settled", seconds(30), || backlog(&rig) == 0).await;
    let mut seen: HashMap<String, Vec<u32>> = HashMap::new();
    for id in receiver.accepted() {
        let (key, number) = id.split_once('-').unwrap();
        seen.entry(key.into()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(seen.len(), 5);
    for (key, order) in &seen {
        assert_eq!(order.len(), 60, "{key}");
        assert!(order.is_sorted(), "{key}: {order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_keeps_only_its_own_back_even_after_a_restart() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| {
        let first = call.attempt == 1;
        Reply::each(call, move |id| if first && id == "a1" { Outcome::Retry { after: Some(seconds(60)) } } else { accepted() })
    });
    let instance = |receiver: &Arc<Receiver>| receiver.instance("siem", |settings| settings.ordering = Ordering::Key);
    let delivery = rig.start(vec![instance(&receiver)]);
    rig.append_with([("a1".into(), "a".into()), ("b1".into(), "b".into())]).await;
    until("b1 is accepted", || receiver.accepted() == ["b1"]).await;
    rig.append_with([("a2".into(), "a".into()), ("b2".into(), "b".into())]).await;
    until("b2 is accepted", || receiver.accepted() == ["b1", "b2"]).await;
    quiet().await;
    let rig = rig.crash(delivery).await;
    let _delivery = rig.start(vec![instance(&receiver)]);
    pass(seconds(59)).await;
    assert_eq!(receiver.accepted(), ["b1", "b2"], "a2 waits for a1");
    pass(seconds(1)).await;
    until("a1, then a2", || receiver.accepted().len() == 4).await;
    assert_eq!(receiver.accepted(), ["b1", "b2", "a1", "a2"]);
}
