//! Requests of inbound webhooks: as many at once as the instance has places, answered to their end at a
//! drain, and by nobody where the instance is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::Duration;

use bulkhead_core::{
    AskError, BatchLimits, BoxFuture, Connector, ConnectorSource, DeliverError, Delivery as Delivered, EventBatch, Failure, GuestFault, Inbound, OpenError,
    Outcome, Projection, Receiver as _, RecordBatch, RecordFormat, Reply as Answer,
};
use tokio::sync::Semaphore;

use super::rig::*;
use crate::*;

/// A connector that only answers, once the test lets it.
struct Desk {
    projection: Arc<Projection>,
    gate: Semaphore,
    opened: AtomicU64,
    closed: AtomicU64,
    at_work: AtomicU64,
    most: AtomicU64,
}

struct Clerk(Arc<Desk>);

struct Desks(Arc<Desk>);

impl ConnectorSource for Desks {
    fn open<'a>(&'a self, _: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        self.0.opened.fetch_add(1, Atomic::Relaxed);
        Box::pin(async { Ok(Box::new(Clerk(Arc::clone(&self.0))) as Box<dyn Connector>) })
    }
}

impl Connector for Clerk {
    fn projection(&self) -> &Arc<Projection> {
        &self.0.projection
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    fn deliver<'a>(&'a mut self, _: &'a RecordBatch, _: &'a EventBatch, _: u32) -> BoxFuture<'a, Result<Delivered, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }

    fn settle<'a>(&'a mut self, _: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }

    fn receive<'a>(&'a mut self, request: &'a Inbound) -> BoxFuture<'a, Result<Answer, DeliverError>> {
        Box::pin(async move {
            let at_work = self.0.at_work.fetch_add(1, Atomic::Relaxed) + 1;
            self.0.most.fetch_max(at_work, Atomic::Relaxed);
            self.0.gate.acquire().await.expect("open").forget();
            self.0.at_work.fetch_sub(1, Atomic::Relaxed);
            match &*request.path {
                "/trap" => Err(GuestFault::Trap("unreachable".into()).into()),
                _ => Ok(Answer { status: 200, ..Answer::default() }),
            }
        })
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        Box::pin(async { Err(Failure::Unsupported.into()) })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        self.0.closed.fetch_add(1, Atomic::Relaxed);
        Box::pin(async { Ok(()) })
    }
}

async fn desk(concurrency: u32) -> (Rig, Arc<Desk>, Arc<Delivery>) {
    let rig = Rig::new().await;
    let desk = Arc::new(Desk {
        projection: Arc::new(Projection::parse(&[]).unwrap()),
        gate: Semaphore::new(0),
        opened: AtomicU64::new(0),
        closed: AtomicU64::new(0),
        at_work: AtomicU64::new(0),
        most: AtomicU64::new(0),
    });
    let mut settings = InstanceSettings::new("desk", Arc::new(Desks(Arc::clone(&desk))));
    settings.concurrency = concurrency.into();
    let delivery = Arc::new(rig.start(vec![settings]));
    (rig, desk, delivery)
}

fn ask(delivery: &Arc<Delivery>, path: &str) -> tokio::task::JoinHandle<Result<u16, AskError>> {
    let (delivery, request) = (Arc::clone(delivery), Inbound { path: path.into(), ..Inbound::default() });
    tokio::spawn(async move { delivery.receive("desk", &request).await.map(|reply| reply.status) })
}

#[tokio::test(start_paused = true)]
async fn as_many_at_once_as_there_are_places_and_the_rest_waits_a_while() {
    let (_rig, desk, delivery) = desk(2).await;
    let asked: Vec<_> = (0..5).map(|_| ask(&delivery, "/")).collect();
    until("both are at work", || desk.at_work.load(Atomic::Relaxed) == 2).await;
    desk.gate.add_permits(1);
    until("another one is", || desk.gate.available_permits() == 0 && desk.at_work.load(Atomic::Relaxed) == 2).await;
    pass(seconds(6)).await;
    desk.gate.add_permits(10);
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap().map_err(|error| error.to_string()));
    }
    let answered = answers.iter().filter(|answer| **answer == Ok(200)).count();
    assert_eq!((answered, answers.len()), (3, 5), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.as_ref().is_err_and(|text| text.contains("raise `concurrency`"))), "{answers:?}");
    assert_eq!((desk.most.load(Atomic::Relaxed), desk.opened.load(Atomic::Relaxed)), (2, 2), "warm guests answer on");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_has_begun_and_guests_take_leave() {
    let (_rig, desk, delivery) = desk(3).await;
    let begun = ask(&delivery, "/");
    until("it is at work", || desk.at_work.load(Atomic::Relaxed) == 1).await;
    let draining = tokio::spawn({
        let delivery = Arc::clone(&delivery);
        async move { delivery.remove("desk", seconds(30)).await.expect("it runs") }
    });
    quiet().await;
    assert!(matches!(ask(&delivery, "/").await.unwrap(), Err(AskError::Gone)), "nobody new");
    desk.gate.add_permits(1);
    assert_eq!(begun.await.unwrap().unwrap(), 200);
    assert_eq!(draining.await.unwrap().cut_off, 0);
    assert_eq!((desk.opened.load(Atomic::Relaxed), desk.closed.load(Atomic::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fault_costs_its_guest_and_a_paused_instance_answers_nobody() {
    let (_rig, desk, delivery) = desk(1).await;
    desk.gate.add_permits(10);
    assert!(matches!(ask(&delivery, "/trap").await.unwrap(), Err(AskError::Fault(GuestFault::Trap(_)))));
    assert_eq!(ask(&delivery, "/").await.unwrap().unwrap(), 200);
    assert_eq!(desk.opened.load(Atomic::Relaxed), 2, "a fresh one answers");
    assert!(delivery.pause("desk"));
    assert!(matches!(ask(&delivery, "/").await.unwrap(), Err(AskError::Held("paused"))));
    assert!(delivery.resume("desk"));
    assert_eq!(ask(&delivery, "/").await.unwrap().unwrap(), 200);
}
