//! Restarts, full stores, old backlogs, and everything at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_core::Outcome;
use bulkhead_store::{Cause, DeadLetterFilter, DeadLetterSettings};

use super::rig::*;
use crate::*;

#[tokio::test(start_paused = true)]
async fn a_crash_between_delivery_and_settlement_repeats_and_loses_nothing() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| if call.ids.iter().any(|id| id == "e25") { Reply::Hang } else { Reply::ok() });
    let batch = BatchSettings { max_events: 10, ..BatchSettings::default() };
    let instance = |receiver: &Arc<Receiver>| receiver.instance("siem", |settings| settings.batch = batch);
    let delivery = rig.start(vec![instance(&receiver)]);
    rig.append(ids(0..60)).await;
    until("the receiver has all", || receiver.accepted().len() == 60).await;
    until("what was answered is settled", || backlog(&rig) == 10).await;
    let rig = rig.crash(delivery).await;
    assert_eq!(backlog(&rig), 10);
    receiver.script(|_| Reply::ok());
    let _delivery = rig.start(vec![instance(&receiver)]);
    until("the batch under way comes again", || receiver.accepted().len() == 70).await;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for id in receiver.accepted() {
        *counts.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count == 2).map(|(id, _)| id.clone()).collect();
    assert_eq!(counts.len(), 60);
    assert_eq!(twice, ids(20..30).collect::<Vec<_>>(), "nothing but what was under way");
    until("all is settled", || backlog(&rig) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_restores_the_retry_schedule() {
    let rig = Rig::new().await;
    let script = |call: &Call| match call.attempt {
        1 => Reply::each(call, |id| if id == "e3" { Outcome::Retry { after: Some(seconds(40)) } } else { accepted() }),
        2 => Reply::each(call, |_| retry()),
        _ => Reply::ok(),
    };
    let receiver = Receiver::new(&rig, script);
    let retry = RetryPolicy { max_attempts: Some(3), jitter: Jitter::None, ..RetryPolicy::default() };
    let instance = |receiver: &Arc<Receiver>| receiver.instance("siem", |settings| settings.retry = retry);
    let delivery = rig.start(vec![instance(&receiver)]);
    rig.append(ids(0..5)).await;
    until("the others are settled", || backlog(&rig) == 1).await;
    pass(seconds(15)).await;
    let rig = rig.crash(delivery).await;
    let delivery = rig.start(vec![instance(&receiver)]);
    pass(Duration::from_millis(24_500)).await;
    assert_eq!((receiver.calls(), delivery.status()[0].retrying), (1, 1));
    pass(Duration::from_millis(500)).await;
    until("the second attempt is made on time", || receiver.calls() == 2).await;
    let second = receiver.calls.lock().unwrap()[1].clone();
    assert_eq!((second.ids.as_slice(), second.attempt, second.at), (&["e3".to_owned()][..], 2, seconds(40)));
    // The third is the last that the budget allows, counted over the restart.
    pass(seconds(2)).await;
    until("it is accepted", || backlog(&rig) == 0).await;
    assert_eq!(receiver.calls.lock().unwrap()[2].attempt, 3);
}

#[tokio::test(start_paused = true)]
async fn attempts_before_a_restart_count_against_the_budget() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| Reply::each(call, |id| if id == "e0" { accepted() } else { Outcome::Retry { after: Some(seconds(40)) } }));
    let retry = RetryPolicy { max_elapsed: seconds(100), jitter: Jitter::None, ..RetryPolicy::default() };
    let instance = |receiver: &Arc<Receiver>| receiver.instance("siem", |settings| settings.retry = retry);
    let delivery = rig.start(vec![instance(&receiver)]);
    rig.append(ids(0..2)).await;
    until("e0 is settled", || backlog(&rig) == 1).await;
    pass(seconds(30)).await;
    let rig = rig.crash(delivery).await;
    let _delivery = rig.start(vec![instance(&receiver)]);
    for (calls, wait) in [(1, 10), (2, 40), (3, 40)] {
        assert_eq!(receiver.calls(), calls);
        pass(seconds(wait)).await;
        until("the next attempt is made", || receiver.calls() > calls).await;
        quiet().await;
    }
    // Its budget ended at 100 s, but the receiver had asked the instance to rest until 120 s.
    until("e1 is buried", || rig.letters.totals().letters == 1).await;
    let letter = &rig.letters().await[0];
    assert_eq!((letter.cause, letter.attempts, letter.last_ms - letter.first_ms), (Cause::RetriesExhausted, 4, 120_000));
    assert!(letter.reason.contains("retry.max_elapsed"), "{}", letter.reason);
}

#[tokio::test(start_paused = true)]
async fn a_full_dead_letter_store_stops_the_lane_until_there_is_room() {
    let rig = Rig::with(DeadLetterSettings { max_bytes: 3_000, ..DeadLetterSettings::default() }).await;
    let reject = Receiver::new(&rig, |call| Reply::each(call, |_| Outcome::Rejected { reason: "no".into() }));
    let other = Receiver::new(&rig, |_| Reply::ok());
    let batch = BatchSettings { max_events: 2, ..BatchSettings::default() };
    let instances = vec![reject.instance("reject", |settings| (settings.batch, settings.concurrency) = (batch, 1.into())), other.instance("other", |_| {})];
    let delivery = rig.start(instances);
    rig.append(ids(0..10)).await;
    until("the lane stops", || delivery.status()[1].dead_letters_full).await;
    pass(seconds(60)).await;
    let kept = rig.letters.totals().letters;
    assert!((2..10).contains(&kept), "{kept} letters");
    assert_eq!(other.accepted().len(), 10, "no other lane stops");
    let calls = reject.calls();
    rig.append(ids(10..12)).await;
    pass(seconds(60)).await;
    assert_eq!(reject.calls(), calls, "nothing is sent that could not be buried");
    assert!(rig.notices().iter().any(|notice| matches!(notice, Notice::DeadLettersFull { lane } if &*lane.instance == "reject")));

    // Each purge makes room for some; nothing is lost on the way.
    let mut buried = std::collections::BTreeSet::new();
    while buried.len() < 12 {
        let letters = rig.letters().await;
        buried.extend(letters.iter().map(|letter| letter.event_id.clone()));
        if !letters.is_empty() {
            let ids = letters.iter().map(|letter| letter.id).collect();
            rig.letters.delete(&DeadLetterFilter { ids, ..DeadLetterFilter::default() }).await.unwrap();
        }
        pass(seconds(5)).await;
    }
    until("all is settled", || backlog(&rig) == 0).await;
    assert_eq!(buried, set_of(ids(0..12)));
    until("the lane goes on", || !delivery.status()[1].dead_letters_full).await;
    assert!(rig.notices().iter().any(|notice| matches!(notice, Notice::DeadLettersRoom { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_and_a_crash_lose_nothing() {
    let rig = Rig::with(DeadLetterSettings { max_bytes: 3_000, ..DeadLetterSettings::default() }).await;
    let receiver = Receiver::new(&rig, |call| Reply::each(call, |_| Outcome::Rejected { reason: "no".into() }));
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.batch.max_events = 2)]);
    rig.append(ids(0..10)).await;
    until("the lane stops", || delivery.status()[0].dead_letters_full).await;
    let rig = rig.crash(delivery).await;
    assert_eq!(rig.letters.totals().letters + backlog(&rig), 10);
}

#[tokio::test(start_paused = true)]
async fn a_drain_sends_what_it_can_and_counts_the_rest() {
    let rig = Rig::new().await;
    let gate = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&gate);
    let (slow, stuck, down) = (
        Receiver::new(&rig, move |_| Reply::Later(Arc::clone(&held))),
        Receiver::new(&rig, |_| Reply::Hang),
        Receiver::new(&rig, |_| Reply::unavailable(None)),
    );
    let one = |settings: &mut InstanceSettings| (settings.concurrency, settings.batch.max_events) = (1.into(), 10);
    let instances = vec![slow.instance("slow", one), stuck.instance("stuck", one), down.instance("down", one)];
    let delivery = rig.start(instances);
    rig.append(ids(0..30)).await;
    until("all are under way", || slow.calls() == 1 && stuck.calls() == 1 && down.calls() == 3).await;
    let drain = delivery.drain(seconds(30));
    let release = async {
        for _ in 0..3 {
            quiet().await;
            gate.notify_one();
        }
        quiet().await;
        tokio::time::advance(seconds(30)).await;
    };
    let (report, ()) = tokio::join!(drain, release);
    let left: Vec<(String, u64)> = report.unsettled.iter().map(|(lane, left)| (lane.to_string(), *left)).collect();
    assert_eq!(left, [("down/id".into(), 30), ("slow/id".into(), 0), ("stuck/id".into(), 30)]);
    assert_eq!(report.cut_off, 1, "only the one that hangs");
    assert_eq!(slow.accepted().len(), 30);
    assert!(matches!(delivery.add(slow.instance("late", one)), Err(StartError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn events_past_the_backlogs_age_do_not_pin_the_journal() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::unavailable(None));
    let backlog_settings = BacklogSettings { max_age: Some(seconds(3_600)), ..BacklogSettings::default() };
    let delivery = rig.start(vec![receiver.instance("siem", |settings| {
        (settings.backlog, settings.batch.max_events) = (backlog_settings, 50);
    })]);
    rig.append(ids(0..1_000)).await;
    until("the breaker opens", || delivery.status()[0].breaker == BreakerState::Open).await;
    pass(seconds(1_800)).await;
    rig.append(ids(1_000..1_010)).await;
    pass(seconds(1_790)).await;
    assert_eq!((rig.letters.totals().letters, backlog(&rig)), (0, 1_010));
    for _ in 0..60 {
        pass(seconds(1)).await;
    }
    until_within("the old are buried", seconds(30), || rig.letters.totals().letters == 1_000).await;
    assert!(rig.letters().await.iter().all(|letter| letter.cause == Cause::BacklogAge));
    until("only the young are left", || backlog(&rig) == 10).await;
}

/// Set by days, forward or back, the wall clock makes nothing too old, and nothing young for ever.
#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_changes_no_age() {
    for jump in [3 * 86_400, -3 * 86_400] {
        let rig = Rig::new().await;
        let receiver = Receiver::new(&rig, |_| Reply::unavailable(None));
        let backlog_settings = BacklogSettings { max_age: Some(seconds(3_600)), ..BacklogSettings::default() };
        let delivery = rig.start(vec![receiver.instance("siem", |settings| {
            (settings.backlog, settings.batch.max_events) = (backlog_settings, 10);
        })]);
        rig.append(ids(0..100)).await;
        until("the breaker opens", || delivery.status()[0].breaker == BreakerState::Open).await;
        pass(seconds(60)).await;
        rig.clock.jump(jump);
        pass(seconds(60)).await;
        rig.append(ids(100..110)).await;
        for _ in 0..57 {
            pass(seconds(60)).await;
        }
        assert_eq!((rig.letters.totals().letters, backlog(&rig)), (0, 110), "an hour is not over, jump {jump}");
        for _ in 0..60 {
            pass(seconds(2)).await;
        }
        // The young have a minute more.
        until_within("the old are buried", seconds(50), || rig.letters.totals().letters == 100).await;
        assert_eq!(backlog(&rig), 10, "jump {jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_beyond_its_bytes_sheds_the_oldest() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::unavailable(None));
    let backlog_settings = BacklogSettings { max_bytes: Some(100_000), ..BacklogSettings::default() };
    let delivery = rig.start(vec![receiver.instance("siem", |settings| settings.backlog = backlog_settings)]);
    for request in 0..40 {
        rig.append(ids(request * 100..request * 100 + 100)).await;
    }
    until("the breaker opens", || delivery.status()[0].breaker == BreakerState::Open || receiver.calls() > 2).await;
    let stats = rig.journal.stats();
    let fits = 100_000 / (stats.appended_bytes / stats.events);
    assert!((100..2_000).contains(&fits), "{fits}");
    let end = std::time::Instant::now() + seconds(60);
    while backlog(&rig) > fits {
        assert!(std::time::Instant::now() < end, "{:?}", delivery.status());
        pass(seconds(1)).await;
    }
    pass(seconds(5)).await;
    assert_eq!(backlog(&rig), fits, "no more than needed is shed");
    let letters = rig.letters().await;
    assert!(!letters.is_empty() && letters.iter().all(|letter| letter.cause == Cause::BacklogSize));
    assert_eq!(rig.letters.totals().letters + backlog(&rig), 4_000);
    assert!(letters.iter().any(|letter| letter.event_id == "e0"), "the oldest first");
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_with_a_large_backlog_keeps_memory_flat() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |call| Reply::each(call, |id| if id == "e0" { accepted() } else { retry() }));
    let delivery = rig.start(vec![receiver.instance("siem", |settings| {
        settings.breaker.failure_threshold = u32::MAX;
        settings.retry.initial = seconds(60);
    })]);
    for request in 0..40 {
        rig.append(ids(request * 1_000..request * 1_000 + 1_000)).await;
    }
    for _ in 0..20 {
        quiet().await;
    }
    pass(seconds(1)).await;
    let status = &delivery.status()[0];
    assert!(status.retrying >= 16_000 && status.retrying <= 16_384 + 4 * 500, "{} wait", status.retrying);
    assert_eq!(status.backlog, 39_999);
}

/// Receivers at their worst, crashes, and a small rule: in the end every event was accepted or is buried.
async fn chaos(seed: u64, ordering: Ordering) {
    let rig = Rig::new().await;
    let state = Arc::new(Mutex::new(seed));
    let draw = move |below: u64| {
        // Knuth's MMIX generator: enough to be unkind, the same for the same seed.
        let mut state = state.lock().unwrap();
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    };
    let dice = draw.clone();
    let receiver = Receiver::new(&rig, move |call| {
        if call.ids.iter().any(|id| id.ends_with("13")) {
            return Reply::Fault;
        }
        match dice(12) {
            0 => Reply::unavailable(None),
            1 => Reply::unavailable(Some(dice(100))),
            2 => Reply::Deadline,
            3 if call.ids.len() > 3 => Reply::Fail(bulkhead_core::Failure::TooLarge("413".into())),
            4 => Reply::Fail(bulkhead_core::Failure::Other("odd".into())),
            5 => {
                let answers: BTreeMap<String, u64> = call.ids.iter().map(|id| (id.clone(), dice(20))).collect();
                Reply::each(call, move |id| match answers[id] {
                    0 => Outcome::Rejected { reason: "no".into() },
                    1..6 => retry(),
                    6..8 => Outcome::Pending { token: id.into(), poll_after: seconds(5) },
                    _ => accepted(),
                })
            }
            6 if dice(4) == 0 => Reply::Panic,
            7 if dice(4) == 0 => Reply::Fault,
            _ => Reply::ok(),
        }
    });
    let confirmed: Arc<Mutex<Vec<String>>> = Arc::default();
    let (sink, dice) = (Arc::clone(&confirmed), draw.clone());
    receiver.confirm(move |token| match dice(4) {
        0 => retry(),
        1 => Outcome::Pending { token: token.into(), poll_after: seconds(5) },
        2 => Outcome::Rejected { reason: "late no".into() },
        _ => {
            sink.lock().unwrap().push(token.into());
            accepted()
        }
    });
    let settings = |settings: &mut InstanceSettings| {
        settings.ordering = ordering;
        settings.batch.max_events = 16;
        settings.concurrency = 3.into();
        settings.breaker.open_for = seconds(5);
    };
    let mut rig = rig;
    let mut delivery = rig.start(vec![receiver.instance("siem", settings)]);
    let mut sent = 0;
    for round in 0..60 {
        if round < 30 {
            let more = 1 + draw(40) as usize;
            rig.append_with((sent..sent + more).map(|i| (format!("e{i}"), format!("s{}", i % 7)))).await;
            sent += more;
        }
        pass(Duration::from_millis(draw(8_000))).await;
        if draw(8) == 0 {
            rig = rig.crash(delivery).await;
            delivery = rig.start(vec![receiver.instance("siem", settings)]);
        }
    }
    receiver.script(|call| if call.ids.iter().any(|id| id.ends_with("13")) { Reply::Fault } else { Reply::ok() });
    receiver.confirm(|_| retry());
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while backlog(&rig) > 0 {
        assert!(std::time::Instant::now() < end, "seed {seed}: {} are never settled: {:?}", backlog(&rig), delivery.status());
        pass(seconds(10)).await;
    }
    let mut there = set_of(receiver.accepted());
    there.extend(confirmed.lock().unwrap().iter().cloned());
    let letters = rig.letters().await;
    there.extend(letters.iter().map(|letter| letter.event_id.clone()));
    assert_eq!(there, set_of(ids(0..sent)), "seed {seed}");
    for letter in &letters {
        let poisoned = letter.event_id.ends_with("13");
        assert_eq!(letter.cause, if poisoned { Cause::GuestFault } else { Cause::Rejected }, "seed {seed}: {letter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn chaos_loses_nothing() {
    for seed in 0..6 {
        chaos(seed, Ordering::None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn chaos_in_strict_order_loses_nothing() {
    for seed in 100..103 {
        chaos(seed, Ordering::Strict).await;
    }
}

#[tokio::test(start_paused = true)]
async fn chaos_by_key_loses_nothing() {
    for seed in 200..203 {
        chaos(seed, Ordering::Key).await;
    }
}
