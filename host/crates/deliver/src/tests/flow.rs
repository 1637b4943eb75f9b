//! The ordinary way: batches, retries, limits, filters, confirmations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::time::Duration;

use bulkhead_core::{BatchLimits, Failure, Outcome, Severity};
use bulkhead_route::{Condition, Filter, FilterSettings, LaneIndex, OnExcess, RateLimit, Route, Router};
use bulkhead_store::Cause;
use tokio::sync::Notify;

use super::rig::*;
use crate::*;

#[tokio::test(start_paused = true)]
async fn everything_is_delivered_once_and_settled() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    for request in 0..20 {
        rig.append(ids(request * 100..request * 100 + 100)).await;
    }
    until("all are accepted", || receiver.accepted().len() == 2_000).await;
    assert_eq!(set_of(receiver.accepted()), set_of(ids(0..2_000)));
    pass(seconds(1)).await;
    let status = &delivery.status()[0];
    assert_eq!((status.delivered, status.backlog, status.cursor, status.in_flight), (2_000, 0, rig.journal.head(), 0));
    assert_eq!(delivery.drain(seconds(5)).await, DrainReport { unsettled: vec![(status.lane.clone(), 0)], cut_off: 0 });
    let text = String::from_utf8(rig.metrics.encode().unwrap()).unwrap();
    assert!(text.contains("bulkhead_lane_delivery_seconds_count{format=\"id\",instance=\"siem\"} 2000"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn only_the_events_that_failed_are_tried_again() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| {
        let again = call.attempt == 1;
        Reply::each(call, move |id| if again && id.ends_with('7') { retry() } else { accepted() })
    });
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    rig.append(ids(0..50)).await;
    until("the others are accepted", || receiver.accepted().len() == 45).await;
    pass(Duration::from_millis(999)).await;
    assert_eq!(receiver.calls(), 1);
    assert_eq!(delivery.status()[0].retrying, 5);
    pass(Duration::from_millis(1)).await;
    until("the rest is accepted", || receiver.accepted().len() == 50).await;
    let calls = receiver.calls.lock().unwrap().clone();
    assert_eq!(calls[1].ids, ["e7", "e17", "e27", "e37", "e47"]);
    assert_eq!((calls.len(), calls[1].attempt), (2, 2));
    quiet().await;
    assert_eq!((delivery.status()[0].retried, delivery.status()[0].delivered), (5, 50));
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_what_is_there_and_no_more_than_its_limits() {
    let rig = Rig::new().await;
    let gate = Arc::new(Notify::new());
    let (first, held) = (AtomicBool::new(true), Arc::clone(&gate));
    let receiver = Receiver::new(&rig, move |_| if first.swap(false, Atomic::Relaxed) { Reply::Later(Arc::clone(&held)) } else { Reply::ok() });
    let batch = BatchSettings { max_events: 30, ..BatchSettings::default() };
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| (settings.batch, settings.concurrency) = (batch, 1.into()))]);
    rig.append(ids(0..1)).await;
    until("the first is under way", || receiver.calls() == 1).await;
    rig.append(ids(1..71)).await;
    quiet().await;
    assert_eq!(receiver.calls(), 1, "one slot");
    gate.notify_one();
    until("all are accepted", || receiver.accepted().len() == 71).await;
    let sizes: Vec<usize> = receiver.calls.lock().unwrap().iter().map(|call| call.ids.len()).collect();
    assert_eq!(sizes, [1, 30, 30, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_linger_waits_for_company() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let batch = BatchSettings { max_age: Duration::from_millis(200), ..BatchSettings::default() };
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.batch = batch)]);
    rig.append(ids(0..1)).await;
    pass(Duration::from_millis(150)).await;
    rig.append(ids(1..3)).await;
    pass(Duration::from_millis(49)).await;
    assert_eq!(receiver.calls(), 0);
    pass(Duration::from_millis(1)).await;
    until("they go together", || receiver.accepted().len() == 3).await;
    assert_eq!(receiver.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_connectors_own_limits_hold_from_the_first_batch() {
    let rig = Rig::new().await;
    rig.append(ids(0..100)).await;
    let limits = BatchLimits { max_events: Some(8), max_bytes: Some(20) };
    let receiver = Receiver::limited(&rig, limits, |_| Reply::ok());
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.concurrency = 1.into())]);
    until("all are accepted", || receiver.accepted().len() == 100).await;
    for call in receiver.calls.lock().unwrap().iter() {
        assert!(call.ids.len() <= 8 && call.ids.iter().map(String::len).sum::<usize>() <= 20, "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unwanted_and_filtered_events_settle_without_delivery() {
    let rig = Rig::new().await;
    let (loud, all) = (Receiver::new(&rig, |_| Reply::ok()), Receiver::new(&rig, |_| Reply::ok()));
    let instances = vec![
        loud.instance("loud", |settings| settings.filters = vec![FilterSettings::Plain(Filter::SeverityThreshold(Severity::Medium))]),
        all.instance("all", |_| {}),
    ];
    let never =
        Route { id: "r".into(), name: "".into(), when: Condition::Never, to: vec![LaneIndex(1)], tenant: None, exclusive: false, beside: false, priority: 1 };
    let delivery = rig.start_routed(instances, Router::new(vec![never], &[LaneIndex(0)], Vec::new(), 2).unwrap());
    rig.append((0..100).map(|i| if i % 10 == 0 { format!("high{i}") } else { format!("low{i}") })).await;
    until("the grave ones are accepted", || loud.accepted().len() == 10).await;
    pass(seconds(1)).await;
    let status = delivery.status();
    for lane in &status {
        assert_eq!((lane.backlog, lane.cursor), (0, rig.journal.head()), "{}", lane.lane);
    }
    let filtered: Vec<(String, u64)> = status.iter().map(|lane| (lane.lane.to_string(), lane.filtered)).collect();
    assert_eq!(filtered, [("all/id".into(), 0), ("loud/id".into(), 90)]);
    assert_eq!(all.calls(), 0);
    assert_eq!(rig.metrics.lane("loud", "id").filtered("severity_threshold").get(), 90);
}

#[tokio::test(start_paused = true)]
async fn events_without_a_lane_are_counted_once() {
    let rig = Rig::new().await;
    let (one, two) = (Receiver::new(&rig, |_| Reply::ok()), Receiver::new(&rig, |_| Reply::ok()));
    let instances = vec![one.instance("one", |_| {}), two.instance("two", |_| {})];
    let _delivery = rig.start_routed(instances, Router::new(Vec::new(), &[], Vec::new(), 2).unwrap());
    rig.append(ids(0..10)).await;
    rig.append(ids(10..15)).await;
    // Nothing is for them, so nothing wakes them before their next look.
    for _ in 0..3 {
        pass(seconds(1)).await;
    }
    until_within("both lanes are past them", seconds(30), || backlog(&rig) == 0).await;
    assert_eq!(rig.metrics.unrouted.get(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_paces_all_lanes_of_the_instance() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let rate = RateSettings { events_per_second: 100, burst: 50 };
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.rate_limit = Some(rate))]);
    rig.append(ids(0..120)).await;
    until("the burst is through", || receiver.accepted().len() == 50).await;
    pass(Duration::from_millis(99)).await;
    assert_eq!(receiver.accepted().len(), 50);
    for tenth in 1..=7 {
        pass(Duration::from_millis(if tenth == 1 { 1 } else { 100 })).await;
        until("a tenth of a second's worth is through", || receiver.accepted().len() == 50 + tenth * 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_filter_delays_or_drops() {
    let rig = Rig::new().await;
    let limit = |on_excess| FilterSettings::RateLimiting(RateLimit { max_events_per_second: 10, burst_capacity: 10, on_excess });
    let (delays, drops) = (Receiver::new(&rig, |_| Reply::ok()), Receiver::new(&rig, |_| Reply::ok()));
    let delivery = rig.start(vec![
        delays.instance("delays", |settings| settings.filters = vec![limit(OnExcess::Delay)]),
        drops.instance("drops", |settings| settings.filters = vec![limit(OnExcess::Drop)]),
    ]);
    rig.append(ids(0..25)).await;
    until("the burst is through", || delays.accepted().len() == 10 && drops.accepted().len() == 10).await;
    for more in 11..=25 {
        pass(Duration::from_millis(100)).await;
        until("one more goes", || delays.accepted().len() == more).await;
    }
    pass(seconds(1)).await;
    let filtered: Vec<u64> = delivery.status().iter().map(|lane| lane.filtered).collect();
    assert_eq!((filtered, drops.accepted().len(), backlog(&rig)), (vec![0, 15], 10, 0));
}

#[tokio::test(start_paused = true)]
async fn too_large_is_halved_and_alone_a_dead_letter() {
    let rig = Rig::new().await;
    rig.append(ids(0..40)).await;
    let receiver = Receiver::new(&rig, |call| {
        let large = call.ids.len() > 8 || call.ids.iter().any(|id| id == "e13");
        if large { Reply::Fail(Failure::TooLarge("413".into())) } else { Reply::ok() }
    });
    let _delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    until("the small ones are accepted", || receiver.accepted().len() == 39).await;
    until("the large one is buried", || rig.letters.totals().letters == 1).await;
    let letter = &rig.letters().await[0];
    assert_eq!((letter.event_id.as_str(), letter.cause, letter.reason.as_str(), letter.attempts), ("e13", Cause::TooLarge, "413", 1));
    assert_eq!(set_of(receiver.accepted()).len(), 39, "none was sent twice");
}

#[tokio::test(start_paused = true)]
async fn rejected_events_are_dead_letters_with_everything_needed() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| match call.attempt {
        1 => Reply::each(call, |_| retry()),
        _ => Reply::each(call, |id| if id == "e2" { Outcome::Rejected { reason: "no such index".into() } } else { accepted() }),
    });
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    rig.append(ids(0..5)).await;
    until("the first attempt is over", || delivery.status()[0].retried == 5).await;
    pass(seconds(1)).await;
    until("it is buried", || rig.letters.totals().letters == 1).await;
    let id = rig.letters().await[0].id;
    let letter = rig.letters.get(id).await.unwrap().unwrap();
    assert_eq!((letter.lane.to_string().as_str(), letter.seq.0, letter.cause), ("siem/id", 3, Cause::Rejected));
    assert_eq!(
        (letter.reason.as_str(), letter.attempts, letter.connector.as_str(), letter.event_type.as_str()),
        ("no such index", 2, "sha256:test", "test.event")
    );
    let codes: Vec<&str> = letter.attempt_log.iter().map(|attempt| attempt.code.as_str()).collect();
    assert_eq!(codes, ["retry", "rejected"]);
    assert_eq!(letter.last_ms - letter.first_ms, 1_000);
    let event = letter.event.unwrap();
    assert_eq!(bulkhead_core::EventRef::new(&event).unwrap().id(), "e2");
    until("all is settled", || backlog(&rig) == 0).await;
    assert_eq!(rig.metrics.lane("siem", "id").rejected("rejected").get(), 1);
    assert_eq!(rig.metrics.dead_letters.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn pending_deliveries_settle_when_confirmed() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| match call.attempt {
        1 => Reply::each(call, |id| Outcome::Pending { token: id.into(), poll_after: seconds(30) }),
        _ => Reply::ok(),
    });
    receiver.confirm(|token| match token {
        "e0" => accepted(),
        "e1" => Outcome::Rejected { reason: "virus".into() },
        "e2" => retry(),
        token => Outcome::Pending { token: token.into(), poll_after: seconds(100) },
    });
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    rig.append(ids(0..4)).await;
    until("they are pending", || receiver.calls() == 1).await;
    quiet().await;
    pass(seconds(1)).await;
    assert_eq!((delivery.status()[0].unconfirmed, delivery.status()[0].backlog), (4, 4));
    pass(seconds(29)).await;
    until("the rejected one is buried", || rig.letters.totals().letters == 1).await;
    assert_eq!((rig.letters().await[0].event_id.as_str(), rig.letters().await[0].cause), ("e1", Cause::Rejected));
    assert_eq!(delivery.status()[0].delivered, 1);
    pass(seconds(2)).await;
    until("the one to be tried again is accepted", || receiver.accepted() == ["e2"]).await;
    // Nobody ever confirms e3: after ten minutes it is sent again.
    for _ in 0..5 {
        pass(seconds(99)).await;
        assert_eq!(receiver.accepted(), ["e2"]);
    }
    pass(seconds(80)).await;
    until("the unconfirmed one is sent again", || receiver.accepted() == ["e2", "e3"]).await;
    until("all is settled", || backlog(&rig) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_lane_does_not_stop_another() {
    let rig = Rig::new().await;
    let (slow, quick) = (Receiver::new(&rig, |_| Reply::Hang), Receiver::new(&rig, |_| Reply::ok()));
    let delivery = rig.start(vec![slow.instance("slow", |settings| settings.batch.max_events = 10), quick.instance("quick", |_| {})]);
    for request in 0..50 {
        rig.append(ids(request * 100..request * 100 + 100)).await;
    }
    until("the quick one has all", || quick.accepted().len() == 5_000).await;
    pass(seconds(1)).await;
    let status = delivery.status();
    assert_eq!((status[0].backlog, status[1].backlog, status[1].in_flight), (0, 5_000, 40));
    assert_eq!(slow.calls(), 4, "its slots are taken, nothing else");
}

#[tokio::test(start_paused = true)]
async fn removing_and_adding_an_instance_leaves_the_others_alone() {
    let rig = Rig::new().await;
    let (one, two) = (Receiver::new(&rig, |_| Reply::ok()), Receiver::new(&rig, |_| Reply::ok()));
    let delivery = rig.start(vec![one.instance("one", |_| {}), two.instance("two", |_| {})]);
    rig.append(ids(0..10)).await;
    until("both have them", || one.accepted().len() + two.accepted().len() == 20).await;
    let left = delivery.remove("one", seconds(5)).await.unwrap();
    assert_eq!((left.cut_off, left.unsettled[0].1), (0, 0));
    assert!(delivery.remove("one", seconds(5)).await.is_none());
    rig.append(ids(10..20)).await;
    until("the other goes on", || two.accepted().len() == 20).await;
    assert_eq!(one.accepted().len(), 10);
    delivery.add(one.instance("one", |_| {})).unwrap();
    until("it goes on where it was", || one.accepted().len() == 20).await;
    assert!(matches!(delivery.add(one.instance("one", |_| {})), Err(StartError::Running(_))));
}

/// Many lanes and few events: only the lanes that want something are woken; the others follow at their
/// next look, at a drain at once, and the journal lets go of what nobody needs.
#[tokio::test(start_paused = true)]
async fn lanes_that_want_nothing_are_left_alone_and_follow_all_the_same() {
    let rig = Rig::new().await;
    let receivers: Vec<_> = (0..40).map(|_| Receiver::new(&rig, |_| Reply::ok())).collect();
    let instances: Vec<_> = receivers.iter().enumerate().map(|(i, receiver)| receiver.instance(&format!("lane{i}"), |_| {})).collect();
    let delivery = rig.start_routed(instances, Router::new(Vec::new(), &[LaneIndex(7)], Vec::new(), 40).unwrap());
    quiet().await;
    rig.append(ids(0..10)).await;
    until("its lane has them", || receivers[7].accepted().len() == 10).await;
    quiet().await;
    let behind = || delivery.status().iter().filter(|lane| lane.backlog > 0).count();
    assert_eq!(behind(), 39, "nobody else was woken");
    until_within("nothing is behind", seconds(30), || behind() == 0).await;
    rig.append(ids(10..20)).await;
    until("its lane has them", || receivers[7].accepted().len() == 20).await;
    let report = delivery.drain(seconds(5)).await;
    assert_eq!(report.unsettled.iter().filter(|(_, left)| *left > 0).count(), 0, "a drain leaves nothing that nobody wants");
    assert_eq!(receivers.iter().map(|receiver| receiver.calls()).sum::<usize>(), receivers[7].calls());
}
