use std::sync::Mutex as StdMutex;

use bulkhead_core::{BoxFuture, Connector, ConnectorSource, OpenError, RecordFormat};

use super::*;
use crate::breaker::BreakerSettings;

struct NoSource;
impl ConnectorSource for NoSource {
    fn open<'a>(&'a self, _: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        Box::pin(async { Err(OpenError::Unfit("never opened".into())) })
    }
}

type Heard = Arc<StdMutex<Vec<Notice>>>;

fn instance(change: impl FnOnce(&mut InstanceSettings)) -> (Arc<Instance>, Heard) {
    instance_of(1, change)
}

fn instance_of(places: usize, change: impl FnOnce(&mut InstanceSettings)) -> (Arc<Instance>, Heard) {
    let mut settings = InstanceSettings::new("siem", Arc::new(NoSource));
    settings.breaker = BreakerSettings { failure_threshold: 1, open_for: Duration::from_secs(60), half_open_calls: 1 };
    change(&mut settings);
    let heard = Heard::default();
    let sink = Arc::clone(&heard);
    let notices: NoticeSink = Arc::new(move |notice| sink.lock().unwrap().push(notice));
    (Instance::new(settings, Arc::new(Semaphore::new(places)), &Metrics::new(), notices), heard)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn go(instance: &Arc<Instance>, now: u64) -> Pass {
    match instance.ask(at(now), 10, true) {
        Answer::Go(pass) => pass,
        other => panic!("{other:?} at {now} s"),
    }
}

#[test]
fn a_lost_pass_gives_its_probe_back() {
    let (instance, heard) = instance(|_| {});
    go(&instance, 0).end(&CallEnd::Failed { rest: None }, &Effort::default(), at(0));
    assert!(matches!(instance.ask(at(59), 1, true), Answer::Until(until) if until == at(60)));
    let probe = go(&instance, 60);
    assert!(matches!(instance.ask(at(60), 1, true), Answer::Wait));
    drop(probe);
    go(&instance, 60).end(&CallEnd::Reached, &Effort::default(), at(60));
    assert_eq!(instance.state().0, BreakerState::Closed);
    let states: Vec<_> =
        heard.lock().unwrap().iter().map(|notice| if let Notice::Breaker { state, .. } = notice { *state } else { panic!("{notice:?}") }).collect();
    assert_eq!(states, [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
}

#[test]
fn the_receivers_rest_is_kept_by_all_and_capped() {
    let (instance, _) = instance(|settings| settings.breaker.failure_threshold = 9);
    go(&instance, 0).end(&CallEnd::Failed { rest: Some(at(7)) }, &Effort::default(), at(0));
    assert!(matches!(instance.ask(at(6), 1, true), Answer::Until(until) if until == at(7)));
    go(&instance, 7).end(&CallEnd::Failed { rest: Some(at(1_000_000)) }, &Effort::default(), at(7));
    assert!(matches!(instance.ask(at(8), 1, true), Answer::Until(until) if until == at(67)));
}

#[test]
fn a_hold_goes_before_breaker_and_rate_and_ends_with_a_served_call() {
    let (instance, heard) = instance(|settings| settings.rate_limit = Some(bulkhead_core::RateSettings { events_per_second: 1, burst: 10 }));
    let pass = go(&instance, 0);
    assert_eq!(pass.events, 10);
    assert_eq!(instance.hold(HoldCause::Unauthorized, "401", at(0)), at(10));
    pass.end(&CallEnd::Held, &Effort::default(), at(0));
    assert!(matches!(instance.ask(at(9), 1, true), Answer::Until(until) if until == at(10)));
    let probe = go(&instance, 10);
    assert!(matches!(instance.ask(at(10), 1, true), Answer::Wait));
    instance.served();
    probe.end(&CallEnd::Reached, &Effort::default(), at(11));
    assert!(matches!(instance.ask(at(11), 5, true), Answer::Go(pass) if pass.events == 1), "the rate limit is asked last");
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[test]
fn pause_and_resume_by_hand() {
    let (instance, _) = instance(|_| {});
    go(&instance, 0).end(&CallEnd::Failed { rest: None }, &Effort::default(), at(0));
    instance.pause();
    assert!(matches!(instance.ask(at(100), 1, true), Answer::Wait));
    let changes = instance.changes();
    instance.resume(at(1));
    assert!(changes.has_changed().unwrap());
    go(&instance, 1);
}

/// A job of 10 events that took so long.
fn effort(milliseconds: u64) -> Effort {
    Effort { events: 10, took: Duration::from_millis(milliseconds), pressed: false }
}

#[test]
fn slots_follow_the_receiver_within_their_bounds() {
    let (instance, _) = instance_of(100, |settings| {
        settings.breaker.failure_threshold = 100;
        settings.concurrency = crate::ConcurrencySettings { min: 1, max: 5 };
    });
    let free = || std::iter::from_fn(|| instance.slots.try_take()).collect::<Vec<_>>().len();
    let round = |effort: Effort| {
        for _ in 0..2 {
            let passes: Vec<_> = (0..instance.concurrency()).map(|_| go(&instance, 0)).collect();
            passes.into_iter().for_each(|pass| pass.end(&CallEnd::Reached, &effort, at(0)));
        }
    };
    assert_eq!(free(), 4);
    round(effort(30));
    round(effort(30));
    assert_eq!((free(), instance.concurrency()), (5, 5), "no more than its most");
    round(effort(500));
    assert_eq!((free(), instance.concurrency()), (2, 2), "latency well over the baseline");
    go(&instance, 0).end(&CallEnd::Reached, &Effort { pressed: true, ..effort(30) }, at(0));
    assert_eq!(free(), 1, "events that are to be tried again");
    let gauge = instance.metrics.concurrency.get();
    assert_eq!(gauge, 1);
}

#[test]
fn an_open_breaker_leaves_the_least_and_a_half_open_one_lets_one_through() {
    let (instance, _) = instance_of(100, |settings| {
        settings.breaker = BreakerSettings { failure_threshold: 1, open_for: Duration::from_secs(60), half_open_calls: 3 };
        settings.concurrency = 16.into();
        settings.rate_limit = Some(bulkhead_core::RateSettings { events_per_second: 1, burst: 1_000 });
    });
    let running = [go(&instance, 0), go(&instance, 0), go(&instance, 0)];
    for pass in running {
        pass.end(&CallEnd::Failed { rest: None }, &Effort::default(), at(0));
    }
    assert_eq!((instance.state().0, instance.concurrency()), (BreakerState::Open, 1));
    // Without waiting for anything: a thousand answers take less than a thousand milliseconds.
    let begun = std::time::Instant::now();
    for _ in 0..1_000 {
        assert!(matches!(instance.ask(at(59), 1, true), Answer::Until(until) if until == at(60)));
    }
    assert!(begun.elapsed() < at(1));
    for _ in 0..3 {
        let probe = go(&instance, 60);
        assert!(matches!(instance.ask(at(60), 1, true), Answer::Wait), "one at a time");
        probe.end(&CallEnd::Reached, &effort(30), at(60));
    }
    assert_eq!((instance.state().0, instance.concurrency()), (BreakerState::Closed, 1));
    // The breaker's probes were three; five calls more are a round.
    for _ in 0..5 {
        go(&instance, 61).end(&CallEnd::Reached, &effort(30), at(61));
    }
    assert_eq!(instance.concurrency(), 2);
}
