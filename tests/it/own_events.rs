//! Bulkhead's own events: routed like any other, told once, never caused by their own delivery.

use bulkhead_tests::http::Client;
use bulkhead_tests::receiver::Script;
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::Value;

use crate::made::{digest, versioned};
use crate::story::{PATIENCE, Story, copybook, file, hec, receiver};

const OWN_TO_NEWS: &str = "routes:\n  - {id: news, when: {source: bulkhead}, to: [{instance: news, format: cloudevents}]}\n";

fn types(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["type"].as_str().unwrap_or_default().trim_start_matches("bulkhead.")).collect()
}

/// Waits until an own event of this type is in `out/news.ndjson`.
#[track_caller]
fn told(story: &Story, kind: &str) -> Value {
    let of_kind = || story.records("news.ndjson").into_iter().find(|record| record["type"] == format!("bulkhead.{kind}"));
    wait::until(kind, PATIENCE, || Ok(of_kind())).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()))
}

#[test]
fn starts_stops_and_dead_letters_are_told_and_floods_are_summed_up() {
    let refusing = receiver("400*");
    let config = format!(
        "own_events: {{enabled: true}}\ninstances:\n{}{}{OWN_TO_NEWS}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &refusing, ""),
        file("news")
    );
    let mut story = Story::start(&config);
    assert_eq!(told(&story, "started")["data"]["lanes"], 2);
    for n in 0..4 {
        story.accept("application/x-ndjson", &copybook(&format!("e{n}"), 1));
        story.when("it is dead", |scrape| scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem")]) == f64::from(n + 1));
    }
    let first = told(&story, "dead_letter.added");
    assert_eq!((first["subject"].as_str(), first["severity"].as_str()), (Some("siem/cef"), Some("high")), "{first}");
    assert_eq!(first["data"], serde_json::json!({"cause": "rejected", "count": 1}));
    story.host.terminate(PATIENCE).expect("stops");
    let story = story.crash();
    let records = wait::until("the rest is told", PATIENCE, || {
        let records = story.records("news.ndjson");
        Ok((types(&records).iter().filter(|kind| **kind == "started").count() == 2).then_some(records))
    })
    .expect("told");
    assert_eq!(types(&records), ["started", "dead_letter.added", "dead_letter.added", "stopped", "started"]);
    assert_eq!(records[2]["data"]["count"], 3, "{records:?}");
}

#[test]
fn own_events_cause_none_of_their_kind() {
    let refusing = receiver("400*");
    let config = format!("own_events: {{enabled: true}}\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &refusing, ""));
    let mut story = Story::start(&config);
    let dead = |n: f64| story.when("they are dead", |scrape| scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem")]) == n);
    dead(1.0);
    // One of theirs and the news about it, which is refused as well and is no news.
    story.accept("application/x-ndjson", &copybook("e", 1));
    dead(3.0);
    story.accept("application/x-ndjson", &copybook("f", 1));
    dead(4.0);
    story.host.terminate(PATIENCE).expect("stops");
    let dir = story.host.spec.data_dir.join("journal");
    let output = std::process::Command::new(crate::story::binary()).args(["--json", "journal", "verify", "--dir"]).arg(dir).output().expect("runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // started, theirs, the first letter, theirs, the sum, stopped.
    assert_eq!(report["last"], 6, "{report}");
}

#[test]
fn a_breaker_is_told_once_however_often_its_probes_fail() {
    let down = receiver("503*");
    let breaker = "    circuit_breaker: {failure_threshold: 2, open_for: 50ms, half_open_calls: 1}\n";
    let config = format!(
        "own_events: {{enabled: true}}\ninstances:\n{}{}{OWN_TO_NEWS}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &down, breaker),
        file("news")
    );
    let story = Story::start(&config);
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.when("probes failed", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) >= 15.0);
    down.play(Script::default());
    let closed = told(&story, "breaker.closed");
    assert_eq!((closed["subject"].as_str(), closed["severity"].as_str()), (Some("siem"), Some("info")), "{closed}");
    story.settled();
    assert_eq!(types(&story.records("news.ndjson")), ["started", "breaker.opened", "breaker.closed"]);
}

#[test]
fn reloads_are_told_and_so_are_refused_ones() {
    let config = format!("own_events: {{enabled: true}}\ninstances:\n{}{OWN_TO_NEWS}", file("news"));
    let story = Story::start(&config);
    let head = std::fs::read_to_string(&story.host.spec.config).expect("a configuration");
    let write = |text: String| {
        std::fs::write(&story.host.spec.config, text).expect("written");
        story.host.signal(Signal::HUP).expect("signalled");
    };
    write(head.replace("{source: bulkhead}", "{source: }"));
    assert!(told(&story, "reload_failed")["data"]["reason"].as_str().is_some_and(|reason| reason.contains("faults")));
    write(head.replace("out, access", "out/, access"));
    assert_eq!(told(&story, "reloaded")["data"]["changed"], serde_json::json!(["news"]));
}

#[test]
fn a_rollback_is_told_with_what_it_went_from_and_to() {
    const CONNECTORS: &str = "/api/integration/connectors";
    let config = format!("own_events: {{enabled: true}}\ninstances:\n{}{OWN_TO_NEWS}", file("news"));
    let story = Story::start(&config);
    let post = |path: &str, body: &[u8]| {
        let answer = Client::new(story.host.api).send("POST", &format!("{CONNECTORS}{path}"), &[("Content-Type", "application/wasm")], body).expect("answers");
        assert!(answer.status / 100 == 2, "{}", answer.text());
    };
    let fresh = versioned("file", "7.1.0");
    post("", &fresh);
    post("/file/rollback", b"");
    let told = told(&story, "component.rolled_back");
    assert_eq!((told["subject"].as_str(), told["severity"].as_str()), (Some("file"), Some("medium")), "{told}");
    let want = serde_json::json!({"cause": "manual", "by": told["data"]["by"], "from": digest(&fresh), "to": null, "instances": ["news"]});
    assert_eq!(told["data"], want);
    assert!(told["data"]["by"].as_str().is_some_and(|by| !by.is_empty()), "{told}");
}
