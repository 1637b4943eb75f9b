//! What guests are called for beside events: upkeep between deliveries, and their leave.

use std::sync::atomic::Ordering as Atomic;
use std::time::Duration;

use bulkhead_core::GuestFault;

use super::rig::*;
use crate::*;

fn one(settings: &mut InstanceSettings) {
    settings.concurrency = 1.into();
}

#[tokio::test(start_paused = true)]
async fn an_idle_guest_is_maintained_as_often_as_it_asks_for() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    receiver.maintain(|| Ok(Some(seconds(10))));
    let _delivery = rig.start(vec![receiver.instance("siem", one)]);
    pass(seconds(100)).await;
    assert!(receiver.maintained.lock().unwrap().is_empty(), "there is no guest before the first event");
    rig.append(ids(0..3)).await;
    until("all is settled", || backlog(&rig) == 0).await;
    let start = receiver.calls.lock().unwrap()[0].at;
    for _ in 0..25 {
        pass(seconds(1)).await;
    }
    let times: Vec<Duration> = receiver.maintained.lock().unwrap().iter().map(|at| *at - start).collect();
    assert_eq!(times, [seconds(1), seconds(11), seconds(21)]);
    assert_eq!(receiver.opened.load(Atomic::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guest_without_upkeep_is_asked_once() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let _delivery = rig.start(vec![receiver.instance("siem", one)]);
    for round in 0..3 {
        rig.append(ids(round * 10..round * 10 + 1)).await;
        until("it is settled", || backlog(&rig) == 0).await;
        pass(seconds(5)).await;
    }
    assert_eq!(receiver.maintained.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_breaks_in_upkeep_costs_no_event() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    receiver.maintain(|| Err(GuestFault::Trap("unreachable".into()).into()));
    let delivery = rig.start(vec![receiver.instance("siem", one)]);
    for round in 0..3 {
        rig.append(ids(round * 10..round * 10 + 1)).await;
        until("it is settled", || backlog(&rig) == 0).await;
        pass(seconds(5)).await;
    }
    assert_eq!((receiver.maintained.lock().unwrap().len(), receiver.opened.load(Atomic::Relaxed), receiver.calls()), (3, 3, 3));
    let status = &delivery.status()[0];
    let error = status.last_error.as_ref().expect("it is shown");
    assert_eq!((error.code, &*error.text), ("guest-fault", "connector: maintain: the guest trapped: unreachable"));
}

#[tokio::test(start_paused = true)]
async fn guests_take_leave_at_retirement_and_at_drain() {
    let rig = Rig::new().await;
    let receiver = Receiver::new(&rig, |_| Reply::ok());
    let delivery = rig.start(vec![receiver.instance("siem", |settings| {
        one(settings);
        settings.max_calls = 2;
    })]);
    for round in 0..5 {
        rig.append(ids(round..round + 1)).await;
        until("it is settled", || backlog(&rig) == 0).await;
    }
    assert_eq!((receiver.opened.load(Atomic::Relaxed), receiver.closed.load(Atomic::Relaxed)), (3, 2), "two served their two calls");
    delivery.remove("siem", seconds(30)).await.expect("it runs");
    assert_eq!(receiver.closed.load(Atomic::Relaxed), 3, "the last goes with its instance");
}
