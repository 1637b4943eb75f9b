//! Bad input: refused with problem details that name each fault, nothing of the batch accepted, nothing
//! of the body in the log.

use std::io::Write;

use bulkhead_tests::http::Client;
use serde_json::Value;

use crate::story::{PATIENCE, Story, file};

/// Stands in every refused body; must never show up in the log.
const CANARY: &str = "canary-5f3b9c";

struct Case {
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    /// Index and pointer of the first fault, where the answer lists faults.
    fault: Option<(u64, Option<&'static str>)>,
}

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const LINES: &[(&str, &str)] = &[("Content-Type", "application/x-ndjson")];
const CLOUD: &[(&str, &str)] = &[("Content-Type", "application/cloudevents+json")];
const CLOUDS: &[(&str, &str)] = &[("Content-Type", "application/cloudevents-batch+json")];
const GZIP: &[(&str, &str)] = &[("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip")];

fn case(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: impl Into<Vec<u8>>,
    status: u16,
    fault: Option<(u64, Option<&'static str>)>,
) -> Case {
    Case { name, headers, body: body.into(), status, fault }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).expect("deflates");
    gzip.finish().expect("deflates")
}

fn cases() -> Vec<Case> {
    let good = format!("{{\"id\":\"ok\",\"note\":\"{CANARY}\"}}");
    let lines = |bad: &str| format!("{good}\n{good}\n{bad}\n");
    let bytes = |before: &str, raw: &[u8], after: &str| [before.as_bytes(), raw, after.as_bytes()].concat();
    let deep = |open: &str, close: &str| format!("{{\"id\":\"deep\",\"x\":\"{CANARY}\",\"a\":{}1{}}}", open.repeat(10_000), close.repeat(10_000));
    vec![
        case("not JSON", JSON, format!("hello {CANARY}"), 400, Some((0, None))),
        case("cut short", JSON, format!("{{\"id\":\"{CANARY}"), 400, Some((0, None))),
        case("text behind the end", JSON, format!("{good} {good}"), 400, None),
        case("a bad line names its index", LINES, lines(&format!("{{\"id\":{CANARY}}}")), 400, Some((2, None))),
        case("an array with a bad element", JSON, format!("[{good},{good},[\"{CANARY}\"]]"), 400, Some((2, None))),
        case("a number", JSON, "42", 400, None),
        case("a string", JSON, format!("\"{CANARY}\""), 400, None),
        case("empty body", JSON, "", 400, None),
        case("empty batch", JSON, "[]", 400, None),
        case("only blank lines", LINES, "\n\n\n", 400, None),
        case("duplicate key at the top", JSON, format!("{{\"id\":\"a\",\"id\":\"{CANARY}\"}}"), 400, Some((0, Some("/id")))),
        case("duplicate key far below", JSON, format!("{{\"id\":\"a\",\"b\":{{\"c\":[{{\"d\":1,\"d\":\"{CANARY}\"}}]}}}}"), 400, Some((0, Some("/b/c/0/d")))),
        case("a duplicate that hides in an escape", JSON, format!("{{\"key\":\"{CANARY}\",\"k\\u0065y\":2}}"), 400, Some((0, Some("/key")))),
        case("invalid UTF-8", JSON, bytes(&format!("{{\"id\":\"a\",\"x\":\"{CANARY}"), &[0xff, 0xfe], "\"}"), 400, Some((0, None))),
        case("overlong UTF-8", JSON, bytes(&format!("{{\"id\":\"a\",\"x\":\"{CANARY}"), &[0xc0, 0xaf], "\"}"), 400, Some((0, None))),
        case("a lone surrogate", JSON, format!("{{\"id\":\"a\",\"x\":\"{CANARY} \\ud800\"}}"), 400, Some((0, None))),
        case("surrogates in the wrong order", JSON, format!("{{\"id\":\"a\",\"x\":\"{CANARY} \\ude00\\ud83d\"}}"), 400, Some((0, None))),
        case("a control character in a string", JSON, format!("{{\"id\":\"a\",\"x\":\"{CANARY}\u{1}\"}}"), 400, Some((0, None))),
        case("arrays 10,000 deep", JSON, deep("[", "]"), 400, Some((0, None))),
        case("objects 10,000 deep", JSON, deep("{\"a\":", "}"), 400, Some((0, None))),
        case("a number that is none", JSON, format!("{{\"id\":\"{CANARY}\",\"n\":01}}"), 400, Some((0, None))),
        case("NaN", JSON, format!("{{\"id\":\"{CANARY}\",\"n\":NaN}}"), 400, Some((0, None))),
        case("a CloudEvent without id", CLOUD, format!("{{\"specversion\":\"1.0\",\"source\":\"/{CANARY}\",\"type\":\"t\"}}"), 400, Some((0, Some("/id")))),
        case("a CloudEvent without source", CLOUD, format!("{{\"specversion\":\"1.0\",\"id\":\"{CANARY}\",\"type\":\"t\"}}"), 400, Some((0, Some("/source")))),
        case("a CloudEvent without type", CLOUD, format!("{{\"specversion\":\"1.0\",\"id\":\"{CANARY}\",\"source\":\"/s\"}}"), 400, Some((0, Some("/type")))),
        case(
            "a CloudEvent without specversion",
            CLOUD,
            format!("{{\"id\":\"{CANARY}\",\"source\":\"/s\",\"type\":\"t\"}}"),
            400,
            Some((0, Some("/specversion"))),
        ),
        case(
            "a CloudEvent of another version",
            CLOUD,
            format!("{{\"specversion\":\"0.3\",\"id\":\"{CANARY}\",\"source\":\"/s\",\"type\":\"t\"}}"),
            400,
            Some((0, Some("/specversion"))),
        ),
        case(
            "an id that is a number",
            CLOUD,
            format!("{{\"specversion\":\"1.0\",\"id\":1,\"source\":\"/{CANARY}\",\"type\":\"t\"}}"),
            400,
            Some((0, Some("/id"))),
        ),
        case(
            "data twice",
            CLOUD,
            format!("{{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\",\"data\":\"{CANARY}\",\"data_base64\":\"AA==\"}}"),
            400,
            Some((0, None)),
        ),
        case(
            "data that is not base64",
            CLOUD,
            format!("{{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\",\"data_base64\":\"{CANARY}!\"}}"),
            400,
            Some((0, Some("/data_base64"))),
        ),
        case(
            "a batch with one bad event",
            CLOUDS,
            format!("[{{\"specversion\":\"1.0\",\"id\":\"{CANARY}\",\"source\":\"/s\",\"type\":\"t\"}},{{\"specversion\":\"1.0\"}}]"),
            400,
            Some((1, None)),
        ),
        case("another content type", &[("Content-Type", "text/csv")], CANARY, 415, None),
        case("another content encoding", &[("Content-Type", "application/json"), ("Content-Encoding", "br")], CANARY, 415, None),
        case("what is not gzip", GZIP, CANARY, 400, None),
        case(
            "gzip cut short",
            GZIP,
            {
                let mut all = gzip(lines("{}").as_bytes());
                all.truncate(all.len() - 9);
                all
            },
            400,
            None,
        ),
        case("a gzip bomb", GZIP, gzip(&vec![b' '; 200 << 20]), 413, None),
        case("a body of 20 MB", JSON, format!("{{\"id\":\"{CANARY}\",\"x\":\"{}\"}}", "y".repeat(20_000_000)), 413, None),
    ]
}

#[test]
fn everything_bad_is_refused_and_nothing_of_it_kept() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let mut wrong = Vec::new();
    for case in cases() {
        let response = match Client::new(story.host.intake).limit(PATIENCE).send("POST", "/events", case.headers, &case.body) {
            Ok(response) => response,
            Err(error) => {
                wrong.push(format!("{}: {error:#}", case.name));
                continue;
            }
        };
        let text = response.text();
        let mut complain = |what: String| wrong.push(format!("{}: {what}; answered {} {text}", case.name, response.status));
        if response.status != case.status {
            complain(format!("wanted {}", case.status));
            continue;
        }
        if response.headers.get("content-type") != Some("application/problem+json") {
            complain("no problem details (RFC 9457)".to_owned());
        }
        let Ok(problem) = serde_json::from_str::<Value>(&text) else {
            complain("not JSON".to_owned());
            continue;
        };
        if problem["status"] != case.status || !problem["type"].is_string() || !problem["title"].is_string() {
            complain("not all members of a problem".to_owned());
        }
        if text.contains(CANARY) {
            complain("the answer repeats the body".to_owned());
        }
        if let Some((index, pointer)) = case.fault {
            let fault = &problem["errors"][0];
            let known = fault["pointer"].as_str();
            if fault["index"].as_u64() != Some(index) || (pointer.is_some() && known != pointer) {
                complain(format!("wanted the fault at {index} {pointer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases().len(), wrong.join("\n"));
    // The host is well, accepted nothing, and its log is clean.
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_events_accepted_total", &[]), 0.0);
    assert!(scrape.sum("bulkhead_requests_refused_total", &[]) >= cases().len() as f64, "refusals are counted");
    assert!(!story.host.log().contains(CANARY), "the log carries a body");
    story.accept("application/json", r#"{"id":"afterwards"}"#);
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 1);
}

#[test]
fn a_strict_listener_wants_the_fields_of_its_shape() {
    let listen = r#"{api: "127.0.0.1:0", http: {addr: "127.0.0.1:0", shape: copybook, strict: true}}"#;
    let story = Story::listening(listen, &format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let response = story.host.post("application/json", br#"{"event_id":"x","context":{}}"#).expect("answers");
    assert_eq!(response.status, 400, "{}", response.text());
    let problem = response.json().expect("JSON");
    let pointers: Vec<&str> = problem["errors"].as_array().expect("errors").iter().filter_map(|fault| fault["pointer"].as_str()).collect();
    assert!(pointers.iter().any(|pointer| pointer.starts_with("/timestamp") || pointer.starts_with("/event_type")), "{problem}");
    story.accept("application/x-ndjson", &crate::story::copybook("strict", 2));
}

/// Requests that are not even HTTP do not harm anyone.
#[test]
fn wire_noise_is_survived() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    for noise in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"POST /events HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\r\n\r\n\r\n",
    ] {
        let mut client = Client::new(story.host.intake).limit(std::time::Duration::from_millis(500));
        // Whatever the answer, or none: what counts is that the next request works.
        let answer = client.send_raw("POST", noise);
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 400));
    }
    story.accept("application/json", r#"{"id":"fine"}"#);
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 1);
}
