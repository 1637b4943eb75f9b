use std::time::Duration;

use bulkhead_core::{EventRef, Severity};

use super::{Filter, FilterChain, FilterSettings, OnExcess, RateLimit, Verdict};
use crate::condition::tests::Sample;
use crate::{Name, TypeName};

#[track_caller]
fn check(filter: &Filter, sample: &Sample, want: bool) {
    let stored = sample.stored();
    let event = EventRef::new(&stored).expect("stored event");
    assert_eq!(filter.passes(&event), want, "{filter:?} on {sample:?}");
    let verdict = FilterChain::new(&[FilterSettings::Plain(filter.clone())]).check(&event, Duration::ZERO);
    assert_eq!(verdict, if want { Verdict::Pass } else { Verdict::Drop(filter.name()) });
}

#[test]
fn plain_filters() {
    let low = Sample::of("copybook.access_event", Severity::Low);
    check(&Filter::SeverityThreshold(Severity::Low), &low, true);
    check(&Filter::SeverityThreshold(Severity::Medium), &low, false);
    check(&Filter::SeverityThreshold(Severity::Info), &Sample::default(), true);
    check(&Filter::EventType(vec![TypeName::new("AccessEvent")]), &low, true);
    check(&Filter::EventType(vec![TypeName::new("ErrorEvent")]), &low, false);
    let classified = Sample { classification: Some("material_transaction".into()), compliance: vec!["sox".into()], ..Sample::default() };
    check(&Filter::DataClassification(vec![Name::new("MaterialTransaction")]), &classified, true);
    check(&Filter::DataClassification(vec![Name::new("public")]), &classified, false);
    check(&Filter::DataClassification(vec![Name::new("public")]), &low, false);
    check(&Filter::ComplianceRequired, &classified, true);
    check(&Filter::ComplianceRequired, &low, false);
    check(&Filter::ExcludePerformanceMetrics, &low, true);
    check(&Filter::ExcludePerformanceMetrics, &Sample::of("copybook.performance_measurement", Severity::Info), false);
    check(&Filter::ExcludePerformanceMetrics, &Sample::of("PerformanceMeasurement", Severity::Info), false);
}

fn limit(max_events_per_second: u32, burst_capacity: u32, on_excess: OnExcess) -> FilterSettings {
    FilterSettings::RateLimiting(RateLimit { max_events_per_second, burst_capacity, on_excess })
}

#[track_caller]
fn run(chain: &mut FilterChain, steps: &[(&Sample, u64, Verdict)]) {
    for (at, (sample, ms, want)) in steps.iter().enumerate() {
        let stored = sample.stored();
        let verdict = chain.check(&EventRef::new(&stored).expect("stored event"), Duration::from_millis(*ms));
        assert_eq!(verdict, *want, "step {at}");
    }
}

#[test]
fn excess_is_delayed_or_dropped() {
    let event = Sample::of("x", Severity::Low);
    let delay = Verdict::Delay(Duration::from_millis(100));
    run(&mut FilterChain::new(&[limit(10, 1, OnExcess::Delay)]), &[(&event, 0, Verdict::Pass), (&event, 0, delay), (&event, 100, Verdict::Pass)]);
    let dropped = Verdict::Drop("rate_limiting");
    run(&mut FilterChain::new(&[limit(10, 1, OnExcess::Drop)]), &[(&event, 0, Verdict::Pass), (&event, 99, dropped), (&event, 100, Verdict::Pass)]);
}

#[test]
fn what_another_filter_drops_does_not_use_up_the_rate() {
    let (noise, event) = (Sample::of("x", Severity::Info), Sample::of("x", Severity::High));
    let mut chain = FilterChain::new(&[limit(1, 1, OnExcess::Drop), FilterSettings::Plain(Filter::SeverityThreshold(Severity::High))]);
    run(&mut chain, &[(&noise, 0, Verdict::Drop("severity_threshold")), (&event, 0, Verdict::Pass), (&event, 0, Verdict::Drop("rate_limiting"))]);
}

#[test]
fn of_two_limits_neither_is_charged_for_a_delay() {
    let event = Sample::of("x", Severity::Low);
    let mut chain = FilterChain::new(&[limit(1000, 1, OnExcess::Delay), limit(1, 2, OnExcess::Delay)]);
    let second = Verdict::Delay(Duration::from_secs(1));
    run(&mut chain, &[(&event, 0, Verdict::Pass), (&event, 1, Verdict::Pass), (&event, 1, Verdict::Delay(Duration::from_millis(999)))]);
    run(&mut chain, &[(&event, 1000, Verdict::Pass), (&event, 1000, second)]);
}

#[test]
fn an_empty_chain_passes() {
    let mut chain = FilterChain::new([]);
    assert!(chain.is_empty());
    run(&mut chain, &[(&Sample::default(), 0, Verdict::Pass)]);
}
