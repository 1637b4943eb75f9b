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
    let mut settings = InstanceSettings::new("siem", Arc::new(NoSource));
    settings.breaker = BreakerSettings { failure_threshold: 1, open_for: Duration::from_secs(60), half_open_calls: 1 };
    change(&mut settings);
    let heard = Heard::default();
    let sink = Arc::clone(&heard);
    let notices: NoticeSink = Arc::new(move |notice| sink.lock().unwrap().push(notice));
    (Instance::new(settings, Arc::new(Semaphore::new(1)), &Metrics::new(), notices), heard)
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
    go(&instance, 0).end(&CallEnd::Failed { rest: None }, at(0));
    assert!(matches!(instance.ask(at(59), 1, true), Answer::Until(until) if until == at(60)));
    let probe = go(&instance, 60);
    assert!(matches!(instance.ask(at(60), 1, true), Answer::Wait));
    drop(probe);
    go(&instance, 60).end(&CallEnd::Reached, at(60));
    assert_eq!(instance.state().0, BreakerState::Closed);
    let states: Vec<_> =
        heard.lock().unwrap().iter().map(|notice| if let Notice::Breaker { state, .. } = notice { *state } else { panic!("{notice:?}") }).collect();
    assert_eq!(states, [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
}

#[test]
fn the_receivers_rest_is_kept_by_all_and_capped() {
    let (instance, _) = instance(|settings| settings.breaker.failure_threshold = 9);
    go(&instance, 0).end(&CallEnd::Failed { rest: Some(at(7)) }, at(0));
    assert!(matches!(instance.ask(at(6), 1, true), Answer::Until(until) if until == at(7)));
    go(&instance, 7).end(&CallEnd::Failed { rest: Some(at(1_000_000)) }, at(7));
    assert!(matches!(instance.ask(at(8), 1, true), Answer::Until(until) if until == at(67)));
}

#[test]
fn a_hold_goes_before_breaker_and_rate_and_ends_with_a_served_call() {
    let (instance, heard) = instance(|settings| settings.rate_limit = Some(crate::rate::RateSettings { events_per_second: 1, burst: 10 }));
    let pass = go(&instance, 0);
    assert_eq!(pass.events, 10);
    assert_eq!(instance.hold(HoldCause::Unauthorized, "401", at(0)), at(10));
    pass.end(&CallEnd::Held, at(0));
    assert!(matches!(instance.ask(at(9), 1, true), Answer::Until(until) if until == at(10)));
    let probe = go(&instance, 10);
    assert!(matches!(instance.ask(at(10), 1, true), Answer::Wait));
    instance.served();
    probe.end(&CallEnd::Reached, at(11));
    assert!(matches!(instance.ask(at(11), 5, true), Answer::Go(pass) if pass.events == 1), "the rate limit is asked last");
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[test]
fn pause_and_resume_by_hand() {
    let (instance, _) = instance(|_| {});
    go(&instance, 0).end(&CallEnd::Failed { rest: None }, at(0));
    instance.pause();
    assert!(matches!(instance.ask(at(100), 1, true), Answer::Wait));
    let changes = instance.changes();
    instance.resume(at(1));
    assert!(changes.has_changed().unwrap());
    go(&instance, 1);
}
