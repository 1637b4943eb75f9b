use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn names_and_labels_are_checked() {
    let (series, instance) = (GuestSeries::default(), Arc::from("siem"));
    let check = |name: &str, pairs: &[(&str, &str)], want: Result<(), &str>| {
        assert_eq!(series.record(&instance, Names::Prefixed, name, labels(pairs), Number::Count(1), 10), want.map(|()| true), "{name}");
    };
    check("rows", &[("table", "a")], Ok(()));
    check("", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
    check("Rows", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
    check("ro ws{}", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
    check(&"a".repeat(65), &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
    check("rows", &[("Bad", "a")], Err("a name is [a-z][a-z0-9_]{0,63}"));
    check("rows", &[("instance", "other")], Err("a label has a name that is the host's"));
    check("rows", &[("a", "1"), ("a", "2")], Err("a label is named twice"));
    check("rows", &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")], Err("more than 4 labels"));
    check("calls_total", &[], Err("the host has a metric of that name"));
    check("call_seconds_bucket", &[], Err("the host has a metric of that name"));
    assert_eq!(
        series.record(&instance, Names::Prefixed, "rows", labels(&[("table", "a")]), Number::Gauge(1.0), 10),
        Err("a counter, a gauge or a histogram has the same name")
    );
}

#[test]
fn series_are_bounded_and_shown() {
    let metrics = bulkhead_observe::Metrics::new();
    let series = GuestSeries::default();
    metrics.registry().register(Box::new(GuestCollector::new(series.clone()).expect("desc"))).expect("registers");
    let instance: Arc<str> = Arc::from("siem");
    for i in 0..10_000 {
        series.record(&instance, Names::Prefixed, "rows", labels(&[("table", &format!("t{i}\n\"x"))]), Number::Count(2), 5).expect("taken");
        series.record(&instance, Names::Prefixed, &format!("name{i}"), Labels::new(), Number::Count(1), 5).expect("taken");
    }
    series.record(&Arc::from("b"), Names::Prefixed, "level", Labels::new(), Number::Gauge(0.5), 5).expect("taken");
    let text = String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_guest_rows{instance=\"siem\",table=\"t0\\n\\\"x\"} 2"), "{text}");
    assert!(text.contains("bulkhead_guest_rows{instance=\"siem\",table=\"other\"} 19994"), "{text}");
    assert!(text.contains("bulkhead_guest_level{instance=\"b\"} 0.5"), "{text}");
    assert!(text.lines().filter(|line| line.contains("instance=\"siem\"")).count() <= 5 + MAX_FOLDED + 1, "{text}");
}

fn shown(series: &GuestSeries) -> String {
    let metrics = bulkhead_observe::Metrics::new();
    metrics.registry().register(Box::new(GuestCollector::new(series.clone()).expect("desc"))).expect("registers");
    String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8")
}

#[test]
fn histograms_have_the_bounds_of_their_first_observation() {
    let (series, instance) = (GuestSeries::default(), Arc::from("siem"));
    let observe = |name: &str, value: f64, bounds: &[f64]| {
        series.record(&instance, Names::Prefixed, name, labels(&[("kind", "a")]), Number::Observation(value, bounds), 100)
    };
    for value in [0.1, 0.5, 0.51, 7.0] {
        assert_eq!(observe("seconds", value, &[0.5, 1.0]), Ok(true));
    }
    assert_eq!(observe("seconds", 1.0, &[0.5]), Err("the histogram was begun with other bounds"));
    let bad = Err("bounds of a histogram are 1 to 32 finite numbers, each larger than the one before");
    let many: Vec<f64> = (0..33).map(f64::from).collect();
    for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::INFINITY], &[f64::NAN, 1.0], &many] {
        assert_eq!(observe("other_seconds", 1.0, bounds), bad, "{bounds:?}");
    }
    for value in [f64::NAN, f64::INFINITY] {
        assert_eq!(observe("seconds", value, &[0.5, 1.0]), Err("an observation is no finite number"));
    }
    // No name shows lines of another's.
    let count = |name: &str| series.record(&instance, Names::Prefixed, name, Labels::new(), Number::Count(1), 100);
    for name in ["seconds_bucket", "seconds_sum", "seconds_count"] {
        assert_eq!(count(name), Err("a histogram has, or would have, a part of the same name"));
    }
    assert_eq!(count("size_sum"), Ok(true));
    assert_eq!(observe("size", 1.0, &[1.0]), Err("a histogram has, or would have, a part of the same name"));
    assert_eq!(count("seconds"), Err("a counter, a gauge or a histogram has the same name"));
    let text = shown(&series);
    let line = |end: &str, value: &str| format!("bulkhead_guest_seconds_{end}instance=\"siem\",kind=\"a\"{value}\n");
    for want in
        [line("bucket{", ",le=\"0.5\"} 2"), line("bucket{", ",le=\"1\"} 3"), line("bucket{", ",le=\"+Inf\"} 4"), line("sum{", "} 8.11"), line("count{", "} 4")]
    {
        assert!(text.contains(&want), "{want}{text}");
    }
}

#[test]
fn plain_names_are_none_of_the_hosts() {
    let (series, one, two) = (GuestSeries::default(), Arc::from("one"), Arc::from("two"));
    let count = |instance: &Arc<str>, name: &str| series.record(instance, Names::Plain, name, labels(&[("kind", "a")]), Number::Count(1), 100);
    assert_eq!(count(&one, "audit_events_total"), Ok(true));
    // Another instance adds to it.
    assert_eq!(count(&two, "audit_events_total"), Ok(true));
    let refused = Err("a plain name begins with none of bulkhead_, process_ and scrape_, and is not `up`");
    for name in ["bulkhead_events_accepted_total", "bulkhead_guest_audit", "bulkhead_", "process_cpu_seconds_total", "scrape_duration_seconds", "up"] {
        assert_eq!(count(&one, name), refused, "{name}");
    }
    assert_eq!(count(&one, "Audit"), Err("a name is [a-z][a-z0-9_]{0,63}"));
    assert_eq!(
        series.record(&two, Names::Plain, "audit_events_total", Labels::new(), Number::Gauge(1.0), 100),
        Err("a counter, a gauge or a histogram has the same name")
    );
    // The same name with the prefix is another.
    assert_eq!(series.record(&one, Names::Prefixed, "audit_events_total", Labels::new(), Number::Gauge(1.0), 100), Ok(true));
    let text = shown(&series);
    assert!(text.contains("\naudit_events_total{kind=\"a\"} 2\n") && text.contains("\nbulkhead_guest_audit_events_total{instance=\"one\"} 1\n"), "{text}");
}

/// A histogram counts for all that it shows.
#[test]
fn histograms_weigh_what_they_show() {
    let (series, instance) = (GuestSeries::default(), Arc::from("siem"));
    let bounds: Vec<f64> = (0..32).map(f64::from).collect();
    let fitted = (0..1_000).filter(|i| {
        let labels = labels(&[("kind", &i.to_string())]);
        series.record(&instance, Names::Plain, "seconds", labels, Number::Observation(1.0, &bounds), 100).expect("taken")
    });
    assert_eq!(fitted.count(), 2, "35 lines each, 100 at most");
    let text = shown(&series);
    assert!(text.contains("seconds_count{kind=\"other\"} 998\n"), "{text}");
    // Without end in names too: nothing more is kept.
    for i in 0..1_000 {
        series.record(&instance, Names::Plain, &format!("seconds{i}"), Labels::new(), Number::Observation(1.0, &bounds), 100).expect("taken");
    }
    assert!(shown(&series).lines().filter(|line| line.starts_with("seconds")).count() <= 100 + MAX_FOLDED + 2 * 35);
}
