//! The whole host with hostile guests in it, through its sockets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bulkhead_tests::receiver::{Receiver, Script};
use bulkhead_tests::{receiver, wait};
use serde_json::Value;

use crate::toolkit::story::{PATIENCE, Story, copybook, hec, ids};

/// An instance of the evil guest. It is granted `primary` because the component asks for HTTP.
fn evil(name: &str, behaviour: &str, sink: &Receiver, more: &str) -> String {
    format!(
        "  {name}:\n    connector: evil\n    config: {{behaviour: {behaviour}{}}}\n    destinations: {{primary: {{url: \"{}\"}}}}\n    concurrency: 1\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n{more}",
        if more.contains("# marked") { ", marker: POISON" } else { "" },
        sink.url()
    )
}

fn quiet() -> Receiver {
    Receiver::start(receiver::Options { keep: 10_000, ..receiver::Options::default() }, Script::default()).expect("starts")
}

fn dead_letters(story: &Story) -> Vec<Value> {
    story.host.get("/api/integration/dead-letters?limit=1000").expect("answers").json().expect("JSON")["data"].as_array().expect("a list").clone()
}

/// While guests beside it spin, allocate, recurse, flood the log, flood their receiver and panic, a
/// well-behaved one loses nothing and its events arrive in time. (The figure is row P15 of the bench.)
#[test]
fn h17_a_hostile_neighbour_costs_nothing() {
    let (good, sink) = (quiet(), quiet());
    let bad = ["spin", "allocate", "recurse", "panic", "flood", "print", "send", "exit"];
    let mut config = format!("instances:\n{}", hec("siem", &good, ""));
    for behaviour in bad {
        config.push_str(&evil(&format!("bad-{behaviour}"), behaviour, &sink, "    limits: {cpu: 300ms, fuel: 20G, deadline: 30s}\n"));
    }
    let lanes: Vec<String> = bad.iter().map(|behaviour| format!("{{instance: bad-{behaviour}, format: json}}")).collect();
    let story = Story::start(&format!("{config}default_route: [{{instance: siem, format: cef}}, {}]\n", lanes.join(", ")));
    let mut slowest = Duration::ZERO;
    for round in 0..30 {
        let started = Instant::now();
        story.accept("application/x-ndjson", &copybook(&format!("r{round}"), 20));
        let prefix = format!("r{round}");
        wait::until_every(Duration::from_millis(5), "the neighbour's events arrive", PATIENCE, || {
            let here: BTreeSet<usize> = good.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, &prefix, 20)).collect();
            Ok((here.len() == 20).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(20), "{slowest:?} from acceptance to delivery");
    let by = [("bad-spin", "cpu"), ("bad-allocate", "memory"), ("bad-recurse", "trap"), ("bad-panic", "trap"), ("bad-exit", "trap")];
    let scrape = story.when("the hostile ones broke, each by what it did", |scrape| {
        let faults = |labels: &[(&str, &str)]| scrape.sum("bulkhead_guest_faults_total", labels);
        scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]) >= 600.0
            && bad.iter().filter(|behaviour| **behaviour != "send").all(|behaviour| faults(&[("instance", &format!("bad-{behaviour}"))]) >= 1.0)
            && by.iter().all(|(instance, fault)| faults(&[("instance", instance), ("fault", fault)]) >= 1.0)
    });
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]), 600.0);
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem")]), 0.0);
    assert_eq!(scrape.sum("bulkhead_guest_faults_total", &[("instance", "siem")]), 0.0);
    // What a hostile connector did not deliver is where people see it, or still waits.
    for behaviour in bad {
        let lane = story.lane(&format!("bad-{behaviour}"));
        let waiting = lane["backlog"].as_u64().expect("a number");
        let dead = dead_letters(&story).iter().filter(|letter| letter["instance"] == format!("bad-{behaviour}")).count() as u64;
        let done = scrape.sum("bulkhead_lane_delivered_total", &[("instance", &format!("bad-{behaviour}"))]);
        assert_eq!(done, 0.0, "{behaviour} delivers nothing");
        assert!(waiting + dead >= 600 || behaviour == "send", "{behaviour}: {waiting} wait, {dead} are dead");
    }
    let resident = story.host.memory().expect("read").now;
    assert!(resident < 600 << 20, "{} MiB resident", resident >> 20);
}

/// One event breaks its guest, alone of a batch: halves find it, it is dead-lettered, the others arrive,
/// and the instance goes on.
#[test]
fn h80_a_poison_event_is_dead_lettered_alone() {
    for (behaviour, limits, want) in [
        ("panic", "", "the guest trapped"),
        ("spin", "    limits: {fuel: 50M}\n", "fuel of 50M reached; raise `limits.fuel` to allow more"),
        ("allocate", "", "memory of 64 MiB reached; raise `limits.memory` to allow more"),
        ("invent", "", "the guest broke the contract: 2 outcomes for 1 events"),
    ] {
        let sink = quiet();
        let story = Story::start(&format!(
            "instances:\n{}default_route: [{{instance: bad, format: json}}]\n",
            evil("bad", behaviour, &sink, &format!("    # marked\n{limits}"))
        ));
        let lines: String = (0..40).map(|i| format!("{{\"id\":\"e-{i}\",\"message\":\"{}\"}}\n", if i == 23 { "POISON" } else { "fine" })).collect();
        story.accept("application/x-ndjson", &lines);
        let scrape = story.settled();
        assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "bad")]), 39.0, "{behaviour}");
        let letters = dead_letters(&story);
        assert_eq!(letters.len(), 1, "{behaviour}: {letters:?}");
        assert_eq!((letters[0]["event_id"].as_str(), letters[0]["cause"].as_str()), (Some("e-23"), Some("guest-fault")), "{behaviour}");
        assert!(letters[0]["reason"].as_str().is_some_and(|reason| reason.starts_with(&format!("connector: {want}"))), "{behaviour}: {letters:?}");
        assert!(story.lane("bad")["held"].is_null(), "{behaviour}: the instance goes on");
        story.accept("application/json", r#"{"id":"later","message":"fine"}"#);
        let scrape = story.settled();
        assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "bad")]), 40.0, "{behaviour}");
    }
}

/// A guest counts under as many labels as it likes: its own series are bounded, and no label of the
/// host's metrics is a text of a guest or of an event.
#[test]
fn h79_labels_of_metrics() {
    let sink = quiet();
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: bad, format: json}}]\n", evil("bad", "series", &sink, "")));
    for i in 0..3 {
        story
            .accept("application/json", &format!("{{\"id\":\"canary-{i}\",\"type\":\"canary-type-{i}\",\"source\":\"canary-source\",\"message\":\"canary\"}}"));
        story.settled();
    }
    let scrape = story.host.metrics().expect("metrics");
    let series: Vec<_> = scrape.of("bulkhead_guest_evil", &[("instance", "bad")]).collect();
    assert_eq!(series.len(), 1_001, "1,000 and one for the rest");
    let rest = series.iter().find(|sample| sample.labels["event"] == "other").expect("the rest");
    assert_eq!(rest.value, 14_000.0, "what is beyond is still counted");
    for sample in scrape.samples.iter().filter(|sample| sample.name != "bulkhead_guest_evil") {
        for (label, value) in &sample.labels {
            assert!(!value.contains("canary") && !value.contains("-4999"), "{}: {label}={value}", sample.name);
        }
    }
}

/// Granted names without a prefix, a guest still writes over none of the host's, and its histograms weigh what
/// they show.
#[test]
fn h79_names_of_metrics() {
    let sink = quiet();
    let story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: bad, format: json}}]\n",
        evil("bad", "names", &sink, "    grants: {plain_metrics: true}\n")
    ));
    for i in 0..3 {
        story.accept("application/json", &format!("{{\"id\":\"e-{i}\"}}"));
        story.settled();
    }
    let scrape = story.host.metrics().expect("metrics");
    assert_eq!(scrape.sum("bulkhead_events_accepted_total", &[]), 3.0);
    assert!(scrape.of("process_cpu_seconds_total", &[]).all(|sample| sample.value < 1_000.0 && sample.labels.is_empty()));
    for name in ["up", "scrape_duration_seconds", "evil_seconds", "evil_seconds_count"] {
        assert_eq!(scrape.of(name, &[]).count(), 0, "{name}");
    }
    let canaries: Vec<_> = scrape.samples.iter().filter(|sample| sample.labels.contains_key("canary")).map(|sample| sample.name.as_str()).collect();
    assert_eq!(canaries, ["evil_seconds_sum"], "a name of its own");
    let sizes: Vec<_> = scrape.samples.iter().filter(|sample| sample.name.starts_with("evil_sizes")).collect();
    assert!(sizes.len() <= 1_000 + 35, "{}", sizes.len());
    assert_eq!(scrape.sum("evil_sizes_count", &[]), 15_000.0, "what is beyond is still counted");
    let log = story.host.log();
    assert!(log.contains("a metric was not taken: a plain name begins with none of bulkhead_"), "{log}");
}

/// Lines that look like somebody else's stay one field of one line of their own.
#[test]
fn h24_forged_lines() {
    let sink = quiet();
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: bad, format: json}}]\n", evil("bad", "forge", &sink, "")));
    story.accept("application/json", r#"{"id":"e-0"}"#);
    story.settled();
    let log = story.host.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not one JSON object: {error}: {line}"))).collect();
    let forged: Vec<&Value> = lines.iter().filter(|line| line.to_string().contains("the journal is lost")).collect();
    assert_eq!(forged.len(), 1, "{forged:?}");
    let text = forged[0].to_string();
    assert!(text.contains("\"bad\"") && text.contains("\"evil\""), "labelled with its instance and component: {text}");
    assert!(lines.iter().all(|line| line["instance"] != "siem" && line["fields"]["instance"] != "siem"), "nothing became a field: {log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\u{202e}'), "nothing that a terminal would obey");
}
