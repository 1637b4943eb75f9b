//! Presets for SOAR platforms: the configurations of `docs/operators/soar.md` as they stand there, each against a
//! receiver in the place of its platform.

use std::fs;

use bulkhead_tests::host::root;
use serde_json::{Value, json};

use crate::story::{Story, receiver};

const SECRET: &str = "soar-secret-value";

/// The configuration with an instance of this name; addresses and secrets filled in, the story brings its own folders.
fn preset(instance: &str, url: &str) -> String {
    let page = fs::read_to_string(root().join("docs/operators/soar.md")).expect("the page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let block = blocks.into_iter().find(|block| block.contains(&format!("instances:\n  {instance}:\n"))).expect("a preset");
    let mut text = String::new();
    for line in block.lines().filter(|line| !line.starts_with("data_dir:") && !line.starts_with("listen:")) {
        text.push_str(line);
        text.push('\n');
    }
    while let Some((before, rest)) = text.split_once("${") {
        let (name, after) = rest.split_once('}').expect("a name");
        text = format!("{before}{}{after}", if name.ends_with("_URL") { url } else { SECRET });
    }
    text
}

/// What the platform is sent for one event of high severity: path, headers, body. One of low severity is not sent.
fn sent(instance: &str, base: &str) -> (String, Vec<(String, String)>, Value) {
    let receiver = receiver("");
    let story = Story::start(&preset(instance, &format!("{}{base}", receiver.url())));
    let event = |id: &str, severity: &str| json!({"specversion": "1.0", "id": id, "source": "/app", "type": "login.failed", "time": "2026-01-02T03:04:05Z", "severity": severity, "user": "ada", "data": {"n": 12}});
    story.accept("application/cloudevents-batch+json", &json!([event("s-1", "high"), event("s-2", "low")]).to_string());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
    assert!(!story.host.log().contains(SECRET), "a secret is in the log");
    let kept = receiver.kept();
    assert_eq!(kept.len(), 1, "{instance}");
    assert_eq!(kept[0].head.method, "POST");
    (kept[0].head.path.clone(), kept[0].head.headers.0.clone(), serde_json::from_slice(&kept[0].body).expect("JSON"))
}

#[track_caller]
fn has(headers: &[(String, String)], name: &str, value: &str) {
    assert!(headers.iter().any(|(own, is)| own == name && is == value), "{name}: {value} is not in {headers:?}");
}

#[test]
fn xsoar_is_sent_an_incident() {
    let (path, headers, mut body) = sent("xsoar", "");
    assert_eq!(path, "/xsoar/public/v1/incident");
    has(&headers, "authorization", SECRET);
    has(&headers, "x-xdr-auth-id", "7");
    has(&headers, "content-type", "application/json");
    let raw: Value = serde_json::from_str(body["rawJSON"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&raw["id"], &raw["data"]["n"]), (&json!("s-1"), &json!(12)));
    body["rawJSON"] = Value::Null;
    assert_eq!(
        body,
        json!({"name": "login.failed", "type": "Unclassified", "severity": 3, "occurred": "2026-01-02T03:04:05Z", "createInvestigation": true, "labels": [{"type": "bulkhead_id", "value": "s-1"}], "rawJSON": null})
    );
}

#[test]
fn splunk_soar_is_sent_a_container_with_its_artifact() {
    let (path, headers, body) = sent("splunk-soar", "");
    assert_eq!(path, "/rest/container");
    has(&headers, "ph-auth-token", SECRET);
    assert_eq!(
        body,
        json!({"name": "login.failed", "label": "events", "severity": "high", "source_data_identifier": "s-1", "start_time": "2026-01-02T03:04:05Z", "data": {"n": 12},
            "artifacts": [{"name": "login.failed", "label": "event", "source_data_identifier": "s-1", "cef": {"n": 12}}]})
    );
}

/// A container that is there already is no success, whatever the status.
#[test]
fn splunk_soar_refuses_what_it_knows() {
    let answer = r#"{"failed": true, "message": "duplicate with SDI", "existing_container_id": 5}"#;
    for status in [200, 400] {
        let receiver = bulkhead_tests::receiver::Receiver::start(
            bulkhead_tests::receiver::Options { keep: 10, ..Default::default() },
            bulkhead_tests::receiver::Script::always(bulkhead_tests::receiver::Step::answer(status, answer)),
        )
        .expect("starts");
        let story = Story::start(&preset("splunk-soar", &receiver.url()));
        story.accept("application/cloudevents+json", r#"{"specversion":"1.0","id":"s-1","source":"/app","type":"t","severity":"critical"}"#);
        story.settled();
        let reasons = crate::vendor::reasons(&story);
        assert!(reasons.len() == 1 && reasons[0].1.contains("existing_container_id"), "{status}: {reasons:?}");
    }
}

#[test]
fn tines_and_torq_are_sent_the_event() {
    let (path, headers, body) = sent("tines", "/webhook/abc/def");
    assert_eq!((path.as_str(), &body["id"], &body["data"]), ("/webhook/abc/def", &json!("s-1"), &json!({"n": 12})));
    has(&headers, "x-event-id", "s-1");
    let (path, headers, body) = sent("torq", "/v1/webhooks/abc");
    assert_eq!((path.as_str(), &body["type"]), ("/v1/webhooks/abc", &json!("login.failed")));
    has(&headers, "x-torq-token", SECRET);
}
