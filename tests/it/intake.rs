//! What may be posted, and that it arrives without losing a field or a digit.

use std::io::Write;

use serde_json::{Value, json};

use crate::story::{Story, copybook, file};

fn archive() -> Story {
    Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")))
}

/// Posts in one way and answers the records that arrived.
#[track_caller]
fn arrive(headers: &[(&str, &str)], body: &[u8], count: u64) -> Vec<Value> {
    let story = archive();
    let response = story.host.post_with("/events", headers, body).expect("answers");
    assert_eq!(response.status, 202, "{}", response.text());
    assert_eq!(response.json().expect("JSON")["accepted"].as_u64(), Some(count));
    story.settled();
    let records = story.records("archive.ndjson");
    assert_eq!(records.len() as u64, count);
    records
}

fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["id"].as_str().expect("an id")).collect()
}

#[test]
fn one_object() {
    let records = arrive(&[("Content-Type", "application/json")], br#"{"id":"a1","severity":"High","message":"x"}"#, 1);
    assert_eq!(ids(&records), ["a1"]);
    assert_eq!(records[0]["severity"], "high");
    assert_eq!(records[0]["data"], json!({"id": "a1", "severity": "High", "message": "x"}));
}

#[test]
fn an_array() {
    let records = arrive(&[("Content-Type", "application/json; charset=utf-8")], br#" [ {"id":"a1"} , {"id":"a2"} ] "#, 2);
    assert_eq!(ids(&records), ["a1", "a2"]);
}

#[test]
fn lines_with_and_without_a_last_break() {
    for body in ["{\"id\":\"a1\"}\n{\"id\":\"a2\"}\n", "{\"id\":\"a1\"}\r\n\r\n{\"id\":\"a2\"}"] {
        let records = arrive(&[("Content-Type", "application/x-ndjson")], body.as_bytes(), 2);
        assert_eq!(ids(&records), ["a1", "a2"]);
    }
}

#[test]
fn a_gzipped_body() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(copybook("zip", 100).as_bytes()).expect("deflates");
    let body = gzip.finish().expect("deflates");
    let records = arrive(&[("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip")], &body, 100);
    assert_eq!(records[99]["id"], "zip-99");
}

/// A frame of one raw block (RFC 8878), small enough to write by hand.
#[test]
fn a_body_in_zstd() {
    let text = b"{\"id\":\"z1\"}\n{\"id\":\"z2\"}\n";
    let length = u8::try_from(text.len()).expect("short");
    // Magic, single segment with a size of one byte, last raw block.
    let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length, length << 3 | 1, length >> 5, 0];
    body.extend_from_slice(text);
    let records = arrive(&[("Content-Type", "application/x-ndjson"), ("Content-Encoding", "zstd")], &body, 2);
    assert_eq!(ids(&records), ["z1", "z2"]);
}

#[test]
fn a_structured_cloudevent() {
    let body =
        br#"{"specversion":"1.0","id":"c1","source":"/s","type":"t.x","time":"2026-11-02T08:00:00.123456789Z","subject":"sub","myext":"v","data":{"n":1.10}}"#;
    let records = arrive(&[("Content-Type", "application/cloudevents+json")], body, 1);
    let record = &records[0];
    assert_eq!((&record["id"], &record["source"], &record["type"], &record["subject"]), (&json!("c1"), &json!("/s"), &json!("t.x"), &json!("sub")));
    assert_eq!(record["time"], "2026-11-02T08:00:00.123456789Z");
    assert!(record.to_string().contains("myext"), "{record}");
}

#[test]
fn a_batch_of_cloudevents() {
    let one = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": [1, 2]});
    let body = json!([one("c1"), one("c2"), one("c3")]).to_string();
    let records = arrive(&[("Content-Type", "application/cloudevents-batch+json")], body.as_bytes(), 3);
    assert_eq!(ids(&records), ["c1", "c2", "c3"]);
    assert_eq!(records[0]["data"], json!([1, 2]));
}

#[test]
fn a_cloudevent_in_binary_mode() {
    let headers = [
        ("Content-Type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "b1"),
        ("ce-source", "/s"),
        ("ce-type", "t.binary"),
        ("ce-subject", "Euro%20%E2%82%AC"),
        ("ce-myext", "v"),
    ];
    let records = arrive(&headers, br#"{"n":12345678901234567890.5}"#, 1);
    let record = &records[0];
    assert_eq!((&record["id"], &record["type"], &record["subject"]), (&json!("b1"), &json!("t.binary"), &json!("Euro \u{20ac}")));
}

#[test]
fn a_cloudevent_in_binary_mode_that_is_not_json() {
    let headers = [("Content-Type", "application/octet-stream"), ("ce-specversion", "1.0"), ("ce-id", "b2"), ("ce-source", "/s"), ("ce-type", "t.bytes")];
    let records = arrive(&headers, &[0, 1, 2, 255], 1);
    assert_eq!(records[0]["data_base64"], "AAEC/w==");
}

/// Digits, escapes and order of keys inside `data` come out byte for byte.
#[test]
fn data_is_kept_byte_for_byte() {
    let data = r#"{"z":1,"big":123456789012345678901234567890.50,"exp":1E400,"neg":-0,"s":"caf\u00e9 \/ \ud83d\ude80","a":[ 1 , 2 ]}"#;
    let story = archive();
    story.accept("application/cloudevents+json", &format!(r#"{{"specversion":"1.0","id":"c1","source":"/s","type":"t","data":{data}}}"#));
    story.settled();
    let line = story.lines("archive.ndjson").concat();
    assert!(line.contains(data), "{line}");
}

#[test]
fn an_event_without_id_and_time_gets_both() {
    let story = archive();
    let answer = story.accept("application/json", r#"{"message":"anonymous"}"#);
    story.settled();
    let record = story.records("archive.ndjson").remove(0);
    let id = record["id"].as_str().expect("an id");
    // UUIDv7 (RFC 9562).
    assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "{id}");
    assert!(answer.to_string().contains(id), "the id is returned: {answer}");
    assert!(record["time"].is_string(), "{record}");
    assert_eq!(record["timesource"], "receipt", "{record}");
}

/// Every sample of every shape is accepted and arrives under its own id.
#[test]
fn the_samples_arrive() {
    let story = archive();
    let folder = bulkhead_tests::host::root().join("examples/events");
    let mut want = Vec::new();
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = std::fs::read_to_string(folder.join(name).with_extension("ndjson")).expect("samples are committed");
        let accepted = story.accept("application/x-ndjson", &text)["accepted"].as_u64();
        assert_eq!(accepted, Some(text.lines().count() as u64), "{name}");
        want.extend(text.lines().filter_map(|line| {
            let event: Value = serde_json::from_str(line).expect("a sample");
            event.get("event_id").or(event.get("id")).and_then(Value::as_str).map(str::to_owned)
        }));
    }
    story.settled();
    let records = story.records("archive.ndjson");
    assert_eq!(records.len(), 584);
    let have: std::collections::BTreeSet<&str> = ids(&records).into_iter().collect();
    let missing: Vec<&String> = want.iter().filter(|id| !have.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(have.len(), records.len(), "ids are unique");
    let copybook = records.iter().find(|record| record["type"] == "copybook.security_event").expect("a security event");
    assert!(copybook["integrityhash"].as_str().is_some_and(|hash| hash.len() == 64) && copybook["previoushash"].is_string(), "{copybook}");
    assert_eq!(copybook["compliance"].as_array().map(Vec::is_empty), Some(copybook["data"]["context"]["compliance_profiles"] == json!([])));
}

#[test]
fn tokens_guard_the_intake_where_they_are_set() {
    let listen = r#"{api: "127.0.0.1:0", http: {addr: "127.0.0.1:0", tokens: ["s3cret-token-one"]}}"#;
    let story = Story::listening(listen, &format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let post = |headers: &[(&str, &str)]| {
        story.host.post_with("/events", &[headers, &[("Content-Type", "application/json")]].concat(), b"{\"id\":\"x\"}").expect("answers").status
    };
    assert_eq!(post(&[]), 401);
    assert_eq!(post(&[("Authorization", "Bearer wrong-token")]), 401);
    assert_eq!(post(&[("Authorization", "Bearer s3cret-token-one")]), 202);
    assert!(!story.host.log().contains("s3cret-token-one"));
}

#[test]
fn the_good_part_is_accepted_on_request() {
    let story = archive();
    let body = "{\"id\":\"a1\"}\n{\"id\":\n{\"id\":\"a3\"}\n";
    let response = story.host.post_with("/events?partial=true", &[("Content-Type", "application/x-ndjson")], body.as_bytes()).expect("answers");
    assert_eq!(response.status, 202, "{}", response.text());
    let answer = response.json().expect("JSON");
    assert_eq!(answer["accepted"], 2, "{answer}");
    assert!(answer.to_string().contains("\"index\":1"), "{answer}");
    story.settled();
    assert_eq!(ids(&story.records("archive.ndjson")), ["a1", "a3"]);
}

#[test]
fn beyond_the_rate_senders_wait_and_other_tokens_do_not() {
    let listen =
        r#"{api: "127.0.0.1:0", http: {addr: "127.0.0.1:0", tokens: ["first-token-1", "second-token-2"], token_rate_limit: {events_per_second: 1, burst: 5}}}"#;
    let story = Story::listening(listen, &format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let post = |token: &str, events: usize| {
        let bearer = format!("Bearer {token}");
        let headers = [("Content-Type", "application/x-ndjson"), ("Authorization", bearer.as_str())];
        story.host.post_with("/events", &headers, copybook(token, events).as_bytes()).expect("answers")
    };
    // Larger than the burst: taken, and 15 s to pay.
    assert_eq!(post("first-token-1", 20).status, 202);
    let refused = post("first-token-1", 1);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json().expect("JSON")["type"], "urn:bulkhead:problem:rate");
    let wait: u64 = refused.headers.get("retry-after").and_then(|wait| wait.parse().ok()).expect("Retry-After in seconds");
    assert!((10..=16).contains(&wait), "{wait}");
    assert_eq!(post("second-token-2", 3).status, 202);
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 23, "nothing of what was refused");
}
