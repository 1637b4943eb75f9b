//! CloudWatch Logs: moto stores what comes, botocore judges each signature and reads it back; what the service
//! does not store costs that event alone.

use std::process::Command;
use std::time::{Duration, SystemTime};

use bulkhead_tests::host;
use bulkhead_tests::receiver::{Script, Step};
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::independent::python;
use crate::served::Counterpart;
use crate::story::{PATIENCE, Story, receiver};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

fn config(url: &str, more: &str, secret: &str) -> String {
    format!(
        "instances:\n  logs:\n    connector: cloudwatch-logs\n    config: {{group: app/audit, stream: s1{more}}}\n    destinations: {{primary: {{url: \"{url}\", methods: [POST], credential: aws}}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    circuit_breaker: {{failure_threshold: 1000}}\ncredentials:\n  aws: {{type: sigv4, region: eu-central-1, service: logs, access_key: AKIDEXAMPLE, secret_key: {secret}}}\ndefault_route: [{{instance: logs, format: jsonl}}]\n"
    )
}

/// An event of this many seconds ago.
fn event(id: &str, ago: i64) -> String {
    let time = OffsetDateTime::from(SystemTime::now()) - Duration::from_millis(500) - time::Duration::seconds(ago);
    format!("{{\"id\":\"{id}\",\"time\":\"{}\",\"message\":\"n \\\"{id}\\\" é\"}}\n", time.format(&Rfc3339).expect("a time"))
}

#[test]
fn events_are_read_back_by_botocore() {
    let modules = "moto.server, botocore, flask_cors";
    let Some(python) = python(modules) else {
        let why = format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings them");
        return skip("cloudwatch_logs::events_are_read_back_by_botocore", &why);
    };
    let script = host::root().join("tests/independent/aws_logs.py");
    let moto = Counterpart::that_prints_its_port(Command::new(&python).arg(&script).arg("serve"));
    let read = |story: &Story| -> Vec<Value> {
        let output = Command::new(&python).arg(&script).args(["read", &moto.url(), "app/audit", "s1"]).output().expect("runs");
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), story.host.log());
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    // A signature by another key is refused: the events wait, and nothing is made.
    let story = Story::start(&config(&moto.url(), ", create: true", "another-secret-key"));
    story.accept("application/x-ndjson", &event("lost", 0));
    wait::until("the instance is held", PATIENCE, || Ok((story.lane("logs")["held"] == "unauthorized").then_some(()))).expect("held");
    drop(story);

    let story = Story::start(&config(&moto.url(), ", create: true", SECRET));
    // The newest first, over three days, in one request.
    let events: String = (0..700).map(|n| event(&format!("e{n}"), n * 370)).collect();
    story.accept("application/x-ndjson", &events);
    // Too far ahead: the service does not store it.
    story.accept("application/x-ndjson", &event("ahead", -3 * 3600));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 1.0, "{}", story.host.log());
    let letters = story.host.get("/api/integration/dead-letters?limit=10").expect("answers").text();
    assert!(letters.contains("CloudWatch Logs did not store the event: it is more than 2 hours in the future"), "{letters}");
    let found = read(&story);
    let mut ids = Vec::new();
    for stored in &found {
        let message: Value = serde_json::from_str(stored["message"].as_str().expect("a text")).expect("the record is JSON");
        let time = OffsetDateTime::parse(message["time"].as_str().expect("a time"), &Rfc3339).expect("a time");
        assert_eq!(stored["timestamp"], (time.unix_timestamp_nanos() / 1_000_000) as i64);
        assert_eq!(message["data"]["message"], format!("n \"{}\" é", message["id"].as_str().expect("an id")));
        ids.push(message["id"].as_str().expect("an id").to_owned());
    }
    ids.sort();
    let mut want: Vec<String> = (0..700).map(|n| format!("e{n}")).collect();
    want.sort();
    assert_eq!(ids, want);
}

#[test]
fn a_throttled_request_comes_again_and_ranges_are_rejected() {
    let receiver = receiver("");
    let answer = |status, body: &str| Step::Answer {
        status,
        headers: vec![("Content-Type".to_owned(), "application/x-amz-json-1.1".to_owned())],
        body: body.to_owned(),
    };
    receiver.play(Script::new([
        answer(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
        answer(400, r#"{"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#),
        answer(400, r#"{"__type":"ResourceAlreadyExistsException","message":"The specified log stream already exists"}"#),
        answer(200, r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":2,"tooNewLogEventStartIndex":4}}"#),
    ]));
    let story = Story::start(&config(&receiver.url(), ", create: true", SECRET));
    story.accept("application/x-ndjson", &(0..5).rev().map(|n| event(&format!("e{n}"), 60 - n)).collect::<String>());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 3.0, "{}", story.host.log());
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[]), 2.0);
    let letters = story.host.get("/api/integration/dead-letters?limit=10").expect("answers").text();
    for (id, words) in [("e0", "older than 14 days"), ("e1", "older than 14 days"), ("e4", "more than 2 hours in the future")] {
        let letter = format!("\"event_id\":\"{id}\"");
        assert!(letters.contains(&letter) && letters.contains(words), "{id} {words}: {letters}");
    }
    let targets: Vec<_> = receiver.kept().iter().map(|kept| kept.head.headers.get("x-amz-target").unwrap_or_default().to_owned()).collect();
    assert_eq!(targets, ["Logs_20140328.PutLogEvents", "Logs_20140328.PutLogEvents", "Logs_20140328.CreateLogStream", "Logs_20140328.PutLogEvents"]);
}
