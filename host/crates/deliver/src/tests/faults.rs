//! Receivers that fail and guests that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};
use std::time::Duration;

use bulkhead_core::{Failure, GuestFault, OpenError, Refusal};
use bulkhead_store::Cause;

use super::rig::*;
use crate::*;

fn buried_ids(letters: &[bulkhead_store::DeadLetter]) -> Vec<(String, Cause)> {
    let mut ids: Vec<_> = letters.iter().map(|letter| (letter.event_id.clone(), letter.cause)).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn one_poisoned_event_in_500_is_found_and_the_rest_delivered() {
    let rig = Rig::new().await;
    rig.append(ids(0..500)).await;
    let receiver = Receiver::new(&rig, |call| if call.ids.iter().any(|id| id == "e321") { Reply::Fault } else { Reply::ok() });
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    until("all is settled", || backlog(&rig) == 0).await;
    assert_eq!(buried_ids(&rig.letters().await), [("e321".into(), Cause::GuestFault)]);
    let accepted = receiver.accepted();
    assert_eq!((accepted.len(), set_of(accepted).len()), (499, 499));
    assert!(receiver.calls() <= 22, "{} calls", receiver.calls());
    assert_eq!(delivery.status()[0].held, None, "one event's fault is no quarantine");
    assert!(rig.letters().await[0].reason.contains("trapped"), "{}", rig.letters().await[0].reason);
}

#[tokio::test(start_paused = true)]
async fn events_that_break_the_formatter_are_found_too_and_refused_ones_buried() {
    let rig = Rig::new().await;
    rig.append(ids(0..100)).await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    receiver.format(|ids| {
        if ids.iter().any(|id| id == "e50" || id == "e51") {
            return Err(GuestFault::Trap("unreachable".into()));
        }
        let refused = ids.iter().enumerate().filter(|(_, id)| id.ends_with('9'));
        Ok(refused.map(|(i, _)| Refusal { event: i as u32, reason: "no severity".into() }).collect())
    });
    let _delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    until("all is settled", || backlog(&rig) == 0).await;
    let buried = buried_ids(&rig.letters().await);
    assert_eq!(buried.iter().filter(|(_, cause)| *cause == Cause::GuestFault).map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["e50", "e51"]);
    assert_eq!(buried.iter().filter(|(_, cause)| *cause == Cause::FormatRefused).count(), 10);
    assert_eq!((receiver.accepted().len(), set_of(receiver.accepted()).len()), (88, 88));
    // Who looks on sees each event once, as what it became.
    let seen = rig.seen.lock().unwrap();
    let of = |became: &str| seen.iter().filter(|(_, attempts, what)| what == became && *attempts == 1).map(|(id, ..)| id.clone()).collect::<Vec<_>>();
    assert_eq!(set_of(of("delivered")), set_of(receiver.accepted()));
    assert_eq!((of("delivered").len(), of("guest-fault").len(), of("format-refused").len()), (88, 2, 10), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_breaks_on_everything_is_quarantined_and_nothing_is_buried() {
    let rig = Rig::new().await;
    rig.append(ids(0..100)).await;
    let broken = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&broken);
    let receiver = Receiver::new(&rig, move |_| if switch.load(Atomic::Relaxed) { Reply::Fault } else { Reply::ok() });
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.concurrency = 1.into())]);
    until("it is quarantined", || delivery.status()[0].held == Some(HoldCause::Quarantine)).await;
    pass(seconds(9)).await;
    let calls = receiver.calls();
    assert!(calls <= 30, "{calls} calls before it is left alone");
    pass(seconds(1)).await;
    until("a probe is made", || receiver.calls() > calls).await;
    quiet().await;
    assert_eq!(delivery.status()[0].held, Some(HoldCause::Quarantine));
    broken.store(false, Atomic::Relaxed);
    assert!(delivery.resume("siem"), "by hand");
    for _ in 0..30 {
        pass(seconds(10)).await;
    }
    until_within("all is delivered", seconds(30), || backlog(&rig) == 0).await;
    assert_eq!((set_of(receiver.accepted()).len(), rig.letters.totals().letters), (100, 0));
    let held: Vec<_> = rig.notices().into_iter().filter(|notice| matches!(notice, Notice::Held { .. } | Notice::Released { .. })).collect();
    assert_eq!(held.len(), 2, "told once each: {held:?}");
    assert_eq!(delivery.status()[0].held, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_poison_does_not_keep_good_events_back_for_good() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| if call.ids.iter().any(|id| id.starts_with("bad")) { Reply::Fault } else { Reply::ok() });
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.concurrency = 1.into())]);
    rig.append((0..20).map(|i| format!("bad{i}"))).await;
    until("it is quarantined", || delivery.status()[0].held.is_some()).await;
    // What else comes in shows that the guest is well.
    let end = std::time::Instant::now() + seconds(60);
    let mut good = 0;
    while rig.letters.totals().letters < 20 {
        assert!(std::time::Instant::now() < end, "{:?}", delivery.status());
        rig.append(ids(good..good + 1)).await;
        good += 1;
        pass(seconds(10)).await;
    }
    delivery.resume("siem");
    until("the good are accepted and the bad buried", || backlog(&rig) == 0).await;
    assert_eq!(receiver.accepted().len(), good);
    assert_eq!(rig.letters.totals().letters, 20);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_cannot_be_opened_keeps_its_events() {
    let rig = Rig::new().await;
    rig.append(ids(0..10)).await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    for (error, cause) in
        [(OpenError::Refused("`index` is missing".into()), HoldCause::Configuration), (OpenError::Unfit("another world".into()), HoldCause::Quarantine)]
    {
        receiver.refuse_to_open(Some(error));
        let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
        until("it is held", || delivery.status()[0].held == Some(cause)).await;
        let error = delivery.status()[0].last_error.clone().unwrap();
        assert!(error.text.starts_with("connector: "), "{error:?}");
        let left = delivery.drain(seconds(5)).await;
        assert_eq!((left.unsettled[0].1, left.cut_off), (10, 0), "a blocked lane does not use up the drain");
    }
    receiver.refuse_to_open(None);
    let _delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    until("all is accepted", || receiver.accepted().len() == 10).await;
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_and_half_opens_and_closes() {
    let rig = Rig::new().await;
    let down = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&down);
    let receiver = Receiver::new(&rig, move |_| if switch.load(Atomic::Relaxed) { Reply::unavailable(None) } else { Reply::ok() });
    let breaker = BreakerSettings { failure_threshold: 3, open_for: seconds(60), half_open_calls: 2 };
    let instance = receiver.instance("siem", |settings| {
        (settings.breaker, settings.concurrency, settings.batch.max_events) = (breaker, 1.into(), 10);
    });
    let delivery = rig.start(vec![instance]);
    rig.append(ids(0..200)).await;
    until("it opens", || delivery.status()[0].breaker == BreakerState::Open).await;
    assert_eq!(receiver.calls(), 3);
    pass(seconds(59)).await;
    assert_eq!(receiver.calls(), 3, "the receiver is left alone");
    pass(seconds(1)).await;
    until("a probe fails", || receiver.calls() == 4).await;
    quiet().await;
    assert_eq!(delivery.status()[0].breaker, BreakerState::Open);
    down.store(false, Atomic::Relaxed);
    pass(seconds(60)).await;
    until("all is accepted", || backlog(&rig) == 0).await;
    assert_eq!(set_of(receiver.accepted()).len(), 200);
    assert_eq!(delivery.status()[0].breaker, BreakerState::Closed);
    assert_eq!(rig.metrics.instance("siem").breaker.get(), 0);
    assert_eq!(rig.letters.totals().letters, 0);
}

#[tokio::test(start_paused = true)]
async fn single_refusals_do_not_open_the_breaker() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| Reply::each(call, |id| if id.ends_with('0') { accepted() } else { retry() }));
    let breaker = BreakerSettings { failure_threshold: 1, ..BreakerSettings::default() };
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.breaker = breaker)]);
    rig.append(ids(0..50)).await;
    until("the first is over", || receiver.accepted().len() == 5).await;
    quiet().await;
    assert_eq!(delivery.status()[0].breaker, BreakerState::Closed);
    // The next attempt has no event that is taken: now the call says nothing but "again".
    pass(seconds(1)).await;
    until("it opens", || delivery.status()[0].breaker == BreakerState::Open).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_by_the_whole_instance_and_capped() {
    let rig = Rig::new().await;
    let calls = AtomicU64::new(0);
    let receiver = Receiver::new(&rig, move |_| match calls.fetch_add(1, Atomic::Relaxed) {
        0 => Reply::unavailable(Some(7)),
        1 => Reply::unavailable(Some(1_000_000)),
        _ => Reply::ok(),
    });
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.concurrency = 1.into())]);
    rig.append(ids(0..5)).await;
    until("the first call fails", || receiver.calls() == 1).await;
    rig.append(ids(5..10)).await;
    pass(Duration::from_millis(6_999)).await;
    assert_eq!(receiver.calls(), 1, "new events wait too");
    pass(Duration::from_millis(1)).await;
    until("the second call fails", || receiver.calls() == 2).await;
    pass(Duration::from_millis(59_999)).await;
    assert_eq!(receiver.calls(), 2, "capped at retry.max, not sooner");
    pass(Duration::from_millis(1)).await;
    until("all is accepted", || receiver.accepted().len() == 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_blames_no_event() {
    let rig = Rig::new().await;
    let calls = AtomicU64::new(0);
    let receiver = Receiver::new(&rig, move |_| if calls.fetch_add(1, Atomic::Relaxed) == 0 { Reply::Deadline } else { Reply::ok() });
    let _delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    rig.append(ids(0..5)).await;
    until("the call fails", || receiver.calls() == 1).await;
    pass(seconds(1)).await;
    until("all is accepted", || receiver.accepted().len() == 5).await;
    assert_eq!((receiver.calls(), receiver.opened.load(Atomic::Relaxed)), (2, 2), "as one batch, by a fresh guest");
}

#[tokio::test(start_paused = true)]
async fn where_people_must_act_the_events_wait() {
    let rig = Rig::new().await;
    let failure = Arc::new(std::sync::Mutex::new(Some(Failure::Unauthorized("401".into()))));
    let asked = Arc::clone(&failure);
    let receiver = Receiver::new(&rig, move |_| asked.lock().unwrap().clone().map_or_else(Reply::ok, Reply::Fail));
    let retry = RetryPolicy { max_attempts: Some(1), jitter: Jitter::None, ..RetryPolicy::default() };
    let delivery = rig.start(vec![receiver.instance("siem", |settings| (settings.retry, settings.concurrency) = (retry, 1.into()))]);
    rig.append(ids(0..5)).await;
    until("it is held", || delivery.status()[0].held == Some(HoldCause::Unauthorized)).await;
    assert_eq!(delivery.status()[0].last_error.as_ref().map(|error| (error.code, error.text.as_str())), Some(("unauthorized", "401")));
    rig.append(ids(5..10)).await;
    for calls in 1..5 {
        assert_eq!(receiver.calls(), calls, "longer each time");
        pass(seconds(10 << (calls - 1))).await;
        until("a probe is made", || receiver.calls() > calls).await;
        quiet().await;
    }
    *failure.lock().unwrap() = None;
    for _ in 0..40 {
        pass(seconds(10)).await;
    }
    until_within("all is accepted", seconds(30), || receiver.accepted().len() == 10).await;
    assert_eq!((rig.letters.totals().letters, delivery.status()[0].held), (0, None));
}

#[tokio::test(start_paused = true)]
async fn the_retry_budget_ends_in_the_dead_letters() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| Reply::each(call, |id| if id == "e0" { accepted() } else { retry() }));
    let retry = RetryPolicy { max_attempts: Some(3), jitter: Jitter::None, ..RetryPolicy::default() };
    let _delivery = rig.start(vec![receiver.instance("siem", |settings| settings.retry = retry)]);
    rig.append(ids(0..3)).await;
    for _ in 0..4 {
        pass(seconds(2)).await;
    }
    until_within("they are buried", seconds(30), || backlog(&rig) == 0).await;
    let letters = rig.letters().await;
    assert_eq!(buried_ids(&letters), [("e1".into(), Cause::RetriesExhausted), ("e2".into(), Cause::RetriesExhausted)]);
    assert_eq!((letters[0].attempts, letters[0].attempt_log.len()), (3, 3));
    assert!(letters[0].reason.contains("retry.max_attempts"), "{}", letters[0].reason);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_failures_ends_in_the_dead_letters() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::unavailable(None));
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.batch.max_events = 1)]);
    rig.append(ids(0..3)).await;
    until("the first attempt fails", || delivery.status()[0].retrying > 0).await;
    // The breaker opens for a minute after each attempt, and something is due by then. No more time passes
    // until the disk has answered: a minute is longer than the store waits for its connection.
    let minute = async || {
        let calls = receiver.calls();
        pass(seconds(60)).await;
        let worked_in = || receiver.calls() > calls && delivery.status()[0].in_flight == 0;
        until("an attempt is made", || worked_in() || backlog(&rig) == 0).await;
    };
    for _ in 0..24 * 60 - 1 {
        minute().await;
    }
    assert_eq!((rig.letters.totals().letters, backlog(&rig)), (0, 3), "not before the day is over");
    for _ in 0..10 {
        minute().await;
    }
    until("they are buried", || backlog(&rig) == 0).await;
    let letters = rig.letters().await;
    assert!(letters.iter().all(|letter| letter.cause == Cause::RetriesExhausted && letter.reason.contains("retry.max_elapsed")), "{letters:?}");
    assert!(letters[0].attempts > 100, "the breaker lets attempts through all day: {}", letters[0].attempts);
    assert!(letters[0].attempt_log.len() <= 16, "the first and the latest of them");
}

#[tokio::test(start_paused = true)]
async fn a_host_bug_in_a_worker_costs_no_event() {
    let rig = Rig::new().await;
    let calls = AtomicU64::new(0);
    let receiver = Receiver::new(&rig, move |_| if calls.fetch_add(1, Atomic::Relaxed) == 0 { Reply::Panic } else { Reply::ok() });
    let _delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    rig.append(ids(0..5)).await;
    until("the worker dies", || receiver.calls() == 1).await;
    pass(seconds(1)).await;
    until("all is accepted", || receiver.accepted().len() == 5).await;
    until("all is settled", || backlog(&rig) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_instance_sends_nothing_until_resumed() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let delivery = rig.start(vec![receiver.instance("siem", |_| {})]);
    assert!(delivery.pause("siem") && !delivery.pause("other"));
    rig.append(ids(0..5)).await;
    pass(seconds(3600)).await;
    assert_eq!((receiver.calls(), delivery.status()[0].held), (0, Some(HoldCause::Paused)));
    delivery.resume("siem");
    until("all is accepted", || receiver.accepted().len() == 5).await;
}
