//! The `rest` connector against APIs that others wrote: the key-value store etcd by its JSON gateway, and Alertmanager.
//! What neither of them does (rate limits in a 200, keys that make a repeat harmless) a scripted receiver does.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::host;
use bulkhead_tests::port;
use bulkhead_tests::receiver::{Script, Step};
use bulkhead_tests::skip::skip;
use serde_json::{Value, json};

use crate::service::Service;
use crate::story::{Story, file, receiver};

/// An instance with quick retries; the configuration is JSON, so that templates need no second kind of quotes.
fn instance(name: &str, url: &str, config: &Value, more: &str) -> String {
    format!(
        "  {name}:\n    connector: rest\n    config: {config}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations: {{primary: {{url: \"{url}\", methods: [POST, PUT, GET]{more}}}}}\n"
    )
}

fn etcd(test: &str) -> Option<Service> {
    let service = Service::start("etcd", |dir, port| {
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://{}", port::free().expect("a port")));
        let dir = dir.join("data").display().to_string();
        let args = ["--data-dir", &dir, "--listen-client-urls", &client, "--advertise-client-urls", &client, "--listen-peer-urls", &peer];
        let args = args.into_iter().map(str::to_owned);
        args.chain([format!("--initial-advertise-peer-urls={peer}"), format!("--initial-cluster=default={peer}")]).collect()
    });
    if service.is_none() {
        skip(test, "no etcd; Debian's package etcd-server brings it");
    }
    service
}

pub fn alertmanager(test: &str) -> Option<Service> {
    let started = Service::start("prometheus-alertmanager", |dir, port| {
        fs::write(dir.join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("written");
        let address = format!("--web.listen-address=127.0.0.1:{port}");
        ["--config.file=am.yml", "--storage.path=data", "--cluster.listen-address=", address.as_str()].map(str::to_owned).to_vec()
    });
    if started.is_none() {
        skip(test, "no Alertmanager; Debian's package prometheus-alertmanager brings it");
    }
    started
}

/// Keys and values of the whole store.
fn contents(store: &Service) -> Vec<(Vec<u8>, Vec<u8>)> {
    // One NUL as both ends of the range stands for all keys.
    let answer = store.post("/v3/kv/range", r#"{"key":"AA==","range_end":"AA=="}"#).json().expect("JSON");
    let decoded = |value: &Value| STANDARD.decode(value.as_str().expect("a text")).expect("base64");
    answer["kvs"].as_array().map(|kvs| kvs.iter().map(|kv| (decoded(&kv["key"]), decoded(&kv["value"]))).collect()).unwrap_or_default()
}

fn samples() -> String {
    let all = ["copybook", "intelliguard", "datavault", "cloudevents", "plain"];
    let read = |name| fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
    all.map(read).concat()
}

#[test]
fn etcd_keeps_every_record_byte_for_byte() {
    let Some(store) = etcd("rest::etcd_keeps_every_record_byte_for_byte") else { return };
    let config = json!({
        "path": "/v3/kv/put",
        "body": r#"{"key":"{{ base64 message_id }}","value":"{{ base64 record }}"}"#,
        "success": {"pointer": "/header/revision"},
        "receipt": "/header/revision",
    });
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: kv, format: jsonl}}, {{instance: archive, format: jsonl}}]\n",
        instance("kv", &store.url(), &config, ""),
        file("archive")
    ));
    let posted = samples();
    story.accept("application/x-ndjson", &posted);
    let scrape = story.settled();
    let mut kept: Vec<Vec<u8>> = contents(&store).into_iter().map(|(_, value)| value).collect();
    let mut archived: Vec<Vec<u8>> = story.lines("archive.ndjson").into_iter().map(|line| format!("{line}\n").into_bytes()).collect();
    kept.sort();
    archived.sort();
    assert_eq!(kept.len(), posted.lines().count());
    assert_eq!(kept, archived);
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "kv")]), 0.0);
}

#[test]
fn etcd_says_in_a_200_that_it_did_not_store() {
    let Some(store) = etcd("rest::etcd_says_in_a_200_that_it_did_not_store") else { return };
    // Stored only where the key is not there yet: otherwise the answer is a 200 without `succeeded`.
    let config = json!({
        "path": "/v3/kv/txn",
        "body": r#"{"compare":[{"key":"{{ base64 /user }}","target":"VERSION","result":"EQUAL","version":"0"}],"success":[{"requestPut":{"key":"{{ base64 /user }}","value":"{{ base64 /id }}"}}]}"#,
        "success": {"pointer": "/succeeded", "equals": [true], "otherwise": "refused"},
        // etcd's own code for a request that it cannot read; it comes with 400.
        "refused": {"pointer": "/code", "equals": [3]},
    });
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: kv, format: json}}]\n", instance("kv", &store.url(), &config, "")));
    for (id, user) in [("1", "ada"), ("2", "bob \u{e9}\u{1f980}"), ("3", "ada"), ("4", "")] {
        story.accept("application/json", &json!({"id": id, "user": user}).to_string());
        story.settled();
    }
    let want = BTreeSet::from([(b"ada".to_vec(), b"1".to_vec()), ("bob \u{e9}\u{1f980}".as_bytes().to_vec(), b"2".to_vec())]);
    assert_eq!(contents(&store).into_iter().collect::<BTreeSet<_>>(), want);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").json().expect("JSON");
    let reasons: Vec<String> = letters["data"].as_array().expect("a list").iter().map(Value::to_string).collect();
    assert_eq!(reasons.len(), 2, "{letters:#}");
    assert!(reasons.iter().any(|reason| reason.contains("the receiver answered 200:") && reason.contains("raft_term")), "{letters:#}");
    assert!(reasons.iter().any(|reason| reason.contains("the receiver answered 400:") && reason.contains("key is not provided")), "{letters:#}");
}

#[test]
fn a_store_that_comes_back_gets_everything() {
    let Some(mut store) = etcd("rest::a_store_that_comes_back_gets_everything") else { return };
    let config = json!({"path": "/v3/kv/put", "body": r#"{"key":"{{ base64 /id }}","value":"{{ base64 record }}"}"#});
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: kv, format: json}}]\n", instance("kv", &store.url(), &config, "")));
    story.accept("application/json", r#"{"id":"before"}"#);
    story.settled();
    assert_eq!(contents(&store).len(), 1);
    store.kill();
    story.accept("application/x-ndjson", "{\"id\":\"during-1\"}\n{\"id\":\"during-2\"}\n");
    story.when("an attempt fails", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "kv")]) >= 1.0);
    store.start_again();
    story.settled();
    let keys: BTreeSet<Vec<u8>> = contents(&store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, BTreeSet::from([b"before".to_vec(), b"during-1".to_vec(), b"during-2".to_vec()]));
}

#[test]
fn alertmanager_takes_batches_and_the_event_at_fault_stands_alone() {
    let Some(alerts) = alertmanager("rest::alertmanager_takes_batches_and_the_event_at_fault_stands_alone") else { return };
    let config = json!({
        "mode": "array", "path": "/api/v2/alerts",
        "body": r#"{"labels":{"alertname":"{{ /type }}","id":"{{ /id }}","{{ /metadata/label }}":"x"},"annotations":{"user":"{{ /user }}","event":"{{ record }}"}}"#,
    });
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: am, format: cef}}]\n", instance("am", &alerts.url(), &config, "")));
    // A label's name that Alertmanager refuses, in the midst of a batch.
    let event =
        |i: usize| json!({"id": format!("e-{i}"), "type": "login", "user": "A \"b\"\\\n\u{e9}", "metadata": {"label": if i == 5 { "a b" } else { "team" }}});
    let lines: Vec<String> = (0..12).map(|i| event(i).to_string()).collect();
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    let there = alerts.get("/api/v2/alerts").json().expect("JSON");
    let ids: BTreeSet<&str> = there.as_array().expect("a list").iter().filter_map(|alert| alert["labels"]["id"].as_str()).collect();
    let names: Vec<String> = (0..12).filter(|i| *i != 5).map(|i| format!("e-{i}")).collect();
    assert_eq!(ids, names.iter().map(String::as_str).collect());
    for alert in there.as_array().expect("a list") {
        assert_eq!(alert["annotations"]["user"], "A \"b\"\\\n\u{e9}");
        assert!(alert["annotations"]["event"].as_str().is_some_and(|text| text.starts_with("CEF:0|")), "{alert:#}");
    }
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "am")]), 1.0);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").text();
    assert!(letters.contains("invalid label set"), "{letters}");
}

#[test]
fn a_repeat_carries_the_same_key_and_a_rate_limit_in_a_200_costs_nothing() {
    let receiver = receiver("");
    receiver.play(Script::new([
        Step::answer(200, r#"{"ok":false,"error":"rate_limited","retry_after":0.01}"#),
        // Taken, but the answer is lost; the repeat is known.
        Step::Lose,
        Step::answer(409, r#"{"ok":true,"error":"duplicate"}"#),
        Step::answer(200, r#"{"ok":false,"error":"bad_event"}"#),
        Step::answer(200, r#"{"ok":true,"id":"r-1"}"#),
    ]));
    let config = json!({
        "method": "PUT", "path": "/v1/{{ /metadata/team }}/events?id={{ /id }}",
        "idempotency_key": "idempotency-key",
        "headers": {"x-severity": "{{ /severity }}"},
        "body": r#"{"user":{{ /user }},"event":{{ record }}}"#,
        "success": {"statuses": ["2xx", 409], "pointer": "/ok", "equals": [true], "otherwise": "refused"},
        "again": {"pointer": "/error", "equals": ["rate_limited"]},
        "wait": {"pointer": "/retry_after"},
        "receipt": "/id",
    });
    let config = instance("api", &receiver.url(), &config, ", credential: token");
    let story = Story::start(&format!(
        "instances:\n{config}credentials:\n  token: {{type: bearer, token: \"rest-story-token\"}}\ndefault_route: [{{instance: api, format: json}}]\n"
    ));
    let event = |id: &str| json!({"id": id, "user": "ada", "severity": "high", "metadata": {"team": "red & blue"}}).to_string();
    for id in ["one", "two", "../three?&#"] {
        story.accept("application/json", &event(id));
        story.settled();
    }
    let scrape = story.settled();
    let kept = receiver.kept();
    let paths: Vec<&str> = kept.iter().map(|kept| kept.head.path.as_str()).collect();
    let path = |id: &str| format!("/v1/red%20%26%20blue/events?id={id}");
    assert_eq!(paths, [path("one"), path("one"), path("one"), path("two"), path("..%2Fthree%3F%26%23")]);
    let keys: Vec<&str> = kept.iter().filter_map(|kept| kept.head.headers.get("idempotency-key")).collect();
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3] && keys[3] != keys[4], "{keys:?}");
    for kept in &kept {
        assert_eq!((kept.head.method.as_str(), kept.head.headers.get("authorization")), ("PUT", Some("Bearer rest-story-token")));
        assert_eq!((kept.head.headers.get("content-type"), kept.head.headers.get("x-severity")), (Some("application/json"), Some("high")));
        let body: Value = serde_json::from_slice(&kept.body).expect("JSON");
        assert_eq!((&body["user"], &body["event"]["data"]["user"]), (&json!("ada"), &json!("ada")));
    }
    // Only the answer that says no; 409 is what this API says of a repeat.
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "api")]), 1.0);
    assert!(!story.host.log().contains("rest-story-token"), "the secret is in the log");
}
