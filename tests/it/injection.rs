//! Texts that mean something to a database, a shell, a template, a browser, a terminal, a log reader or a spreadsheet, put
//! wherever the API takes a text: they stay texts. Nothing is run, cut, made up or broken by them; what is refused is
//! refused with a problem document.

use std::collections::BTreeSet;
use std::fs;

use bulkhead_tests::http::Response;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::{Guarded, PATH as KEYS};
use crate::story::PATIENCE;

const EVENTS: &str = "/api/v2/events";

/// Each with a word of its own, by which it is found again.
const HOSTILE: &[&str] = &[
    "h00' OR '1'='1' --",
    "h01'); DROP TABLE users; DELETE FROM api_keys; --",
    "h02\" UNION SELECT password FROM users --",
    "../../../../etc/passwd?h03",
    "..\\..\\h04",
    "%2e%2e%2fh05%00",
    "h06\r\nSet-Cookie: owned=1\r\n\r\n<html>",
    "{{7*7}}h07",
    "${7*7}${PATH}h08",
    "${jndi:ldap://127.0.0.1/h09}",
    "<%= 7*7 %>#{7*7}h10",
    "\u{1b}[2J\u{1b}]0;h11\u{7}",
    "h12\n{\"level\":\"ERROR\",\"forged\":true}",
    "=cmd|' /C calc'!A0,h13",
    "@SUM(1+1)*h14",
    "<script>alert('h15')</script>",
    "h16\0after",
    "\u{202e}gpj\u{2028}.h17",
    "%s%n%xh18",
    "$(touch h19)`touch h19`",
];

fn percent(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Whatever was asked: an answer, never a fault of ours, and no header that a text brought along.
#[track_caller]
fn sane(answer: &Response, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text());
    assert!(answer.headers.get("set-cookie").is_none(), "{what}: a header was split");
    if answer.status >= 400 {
        let problem = answer.json().unwrap_or_else(|error| panic!("{what}: {error}: {}", answer.text()));
        assert!(problem["code"].is_string() && answer.headers.get("content-type") == Some("application/problem+json"), "{what}: {problem}");
    }
}

/// What a host knows of itself, before and after.
fn known(guarded: &Guarded) -> Value {
    let of = |path: &str| {
        let answer = guarded.with(&guarded.first, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        // What is there and what it is, not how it fares.
        let rows = answer.json().expect("JSON")["data"].as_array().expect("a list").clone();
        rows.iter().map(|row| json!([row["id"], row["name"], row["roles"], row["enabled"], row["updated_at"], row["definition"]])).collect::<Value>()
    };
    json!([of("/api/integration/users"), of("/api/integration/instances"), of("/api/integration/routes"), of("/api/integration/auth-configs")])
}

fn files(guarded: &Guarded) -> BTreeSet<String> {
    let names = |dir: &std::path::Path| fs::read_dir(dir).expect("there").flatten().map(|entry| entry.path().display().to_string()).collect::<Vec<_>>();
    let dir = guarded.story.dir.path();
    let mut all: BTreeSet<String> = names(dir).into_iter().chain(names(&dir.join("out"))).collect();
    all.remove(&dir.join("out/archive.ndjson").display().to_string());
    all
}

#[test]
fn hostile_texts_stay_texts() {
    for format in ["json", "compact"] {
        let more = format!("telemetry: {{log: {{format: {format}}}}}\nevent_index: {{enabled: true, body: true}}\n");
        let mut guarded = Guarded::configured(r#"{api: {addr: "127.0.0.1:0", auth: [keys, users], tokens: [a-static-token]}, http: "127.0.0.1:0"}"#, &more);
        // A key has a rate; these are many requests.
        guarded.first = "a-static-token".into();
        walk(guarded, format);
    }
}

fn walk(mut guarded: Guarded, format: &str) {
    let user = json!({"name": "ada", "roles": ["security_viewer"], "password": "seven oak trees"}).to_string();
    assert_eq!(guarded.with(&guarded.first, "POST", "/api/integration/users", &user).status, 201);
    let (before, lying) = (known(&guarded), files(&guarded));
    let mut made = Vec::new();
    for text in HOSTILE {
        names(&guarded, text, &mut made);
        queries(&guarded, text);
        headers(&guarded, text);
    }
    events(&guarded);

    // After a crash too: what is on disk is what was there, and the keys whose names were taken have them to the letter.
    for crashed in [false, true] {
        if crashed {
            guarded.story = guarded.story.crash();
        }
        assert_eq!(known(&guarded), before, "crashed: {crashed}");
        assert_eq!(files(&guarded), lying, "crashed: {crashed}");
        let keys = guarded.with(&guarded.first, "GET", &format!("{KEYS}?limit=1000"), "").json().expect("JSON")["data"].clone();
        let names: BTreeSet<&str> = keys.as_array().expect("a list").iter().filter_map(|key| key["name"].as_str()).collect();
        assert_eq!(names, made.iter().copied().chain(["first"]).collect(), "crashed: {crashed}");
    }
    let trail = guarded.trail("action=api_keys.create&limit=1000", made.len());
    for text in &made {
        assert!(trail.iter().any(|entry| entry["after"]["name"] == *text), "{text:?} is not on record as it was: {trail:#?}");
    }
    log_lines(&guarded.story.host.log(), format);
}

/// Names that are made, and names that are asked for.
fn names(guarded: &Guarded, text: &'static str, made: &mut Vec<&'static str>) {
    let key = &guarded.first;
    let answer = guarded.with(key, "POST", KEYS, &json!({"name": text, "roles": ["security_viewer"]}).to_string());
    sane(&answer, text);
    if answer.status == 201 {
        assert_eq!(answer.json().expect("JSON")["data"]["name"], *text, "a name is kept as it is or refused");
        made.push(text);
    }
    let user = json!({"name": text, "roles": ["security_viewer"], "password": "seven oak trees"});
    assert_eq!(guarded.with(key, "POST", "/api/integration/users", &user.to_string()).status, 400, "{text}");
    for section in ["instances", "routes", "formatters", "auth-configs", "webhooks", "event-subscriptions"] {
        let answer = guarded.with(key, "POST", &format!("/api/integration/{section}"), &json!({"name": text, "definition": {}}).to_string());
        sane(&answer, text);
        assert!(answer.status >= 400, "{section} {text:?}: {}", answer.text());
    }
    for path in
        ["users/", "instances/", "routes/", "connectors/", "webhooks/", "logs/", "metrics/", "api-keys/", "sync-executions/", "dead-letters/", "replays/"]
    {
        for method in ["GET", "DELETE"] {
            let answer = guarded.with(key, method, &format!("/api/integration/{path}{}", percent(text)), "");
            sane(&answer, &format!("{method} {path}{text}"));
            if path == "logs/" && answer.status == 200 {
                // That it was refused is in the log of what would have had this name, and nothing else is.
                let said = answer.json().expect("JSON")["data"].clone();
                assert!(
                    said.as_array()
                        .expect("a list")
                        .iter()
                        .all(|entry| entry["instance"] == *text && entry["message"].as_str().is_some_and(|said| said.ends_with(": refused"))),
                    "{said}"
                );
                continue;
            }
            assert!(answer.status >= 400, "{method} {path}{text:?}: {}", answer.text());
        }
    }
    let answer = guarded.with(key, "GET", &format!("{EVENTS}/{}", percent(text)), "");
    sane(&answer, text);
    assert_eq!(answer.status, 404, "{text}");
}

/// Whatever a list can be asked for: nothing is found by it, and nothing more than was asked for.
fn queries(guarded: &Guarded, text: &str) {
    let q = percent(text);
    for (path, field) in [
        (EVENTS, "event_type"),
        (EVENTS, "severity"),
        (EVENTS, "source_ip"),
        (EVENTS, "start_time"),
        ("/api/integration/audit/trail", "actor"),
        ("/api/integration/audit/trail", "action"),
        ("/api/integration/audit/receipts", "instance"),
        ("/api/integration/dead-letters", "instance"),
        ("/api/integration/logs", "log_type"),
        ("/api/integration/sync-executions", "instance"),
        ("/api/integration/users", "limit"),
    ] {
        let answer = guarded.with(&guarded.first, "GET", &format!("{path}?{field}={q}"), "");
        sane(&answer, &format!("{path}?{field}={text}"));
        if answer.status == 200 {
            assert_eq!(answer.json().expect("JSON")["data"], json!([]), "{path}?{field}={text:?} finds something");
        }
    }
}

/// Header fields take no line ends: a client that puts one there sends two fields. The rest of each text goes as it is.
fn headers(guarded: &Guarded, text: &str) {
    let value: String = text.chars().filter(|c| !c.is_control()).collect();
    let bearer = format!("Bearer {}", guarded.first);
    for name in ["Idempotency-Key", "API-Version", "If-Match", "Content-Type", "X-Forwarded-For", "Origin", "Traceparent"] {
        let answer = guarded.send("POST", "/api/integration/routes", &[("Authorization", &bearer), (name, &value)], r#"{"name": "../x", "definition": {}}"#);
        sane(&answer, &format!("{name}: {value}"));
        assert!(answer.status >= 400 && answer.headers.0.iter().all(|(_, said)| !said.contains(value.as_str())), "{name}: {value}: {}", answer.text());
    }
}

/// Through the intake, the index and a file: the very texts come out, none of them worked out.
fn events(guarded: &Guarded) {
    let key = &guarded.first;
    let event = |at: usize, text: &str| json!({"specversion": "1.0", "id": format!("e{at}"), "type": "note", "source": "/s", "subject": text, "data": {"text": text, "nested": {(text): [text]}}});
    for (at, text) in HOSTILE.iter().enumerate() {
        let headers = [("Authorization", format!("Bearer {key}")), ("Content-Type", "application/cloudevents+json".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = guarded.send("POST", EVENTS, &headers, &event(at, text).to_string());
        assert_eq!(answer.status, 201, "{text:?}: {}", answer.text());
    }
    let written = wait::until("all are written", PATIENCE, || {
        let records = guarded.story.records("archive.ndjson");
        let notes: Vec<Value> = records.into_iter().filter(|record| record["type"] == "note").collect();
        Ok((notes.len() == HOSTILE.len()).then_some(notes))
    });
    let written = written.unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
    for (at, text) in HOSTILE.iter().enumerate() {
        let of = |id: &str| written.iter().find(|record| record["id"] == id).expect("is written").clone();
        let (sent, found) = (event(at, text), of(&format!("e{at}")));
        assert_eq!((&found["subject"], &found["data"]), (&sent["subject"], &sent["data"]));
        let shown = wait::until("it is in the index", PATIENCE, || {
            let answer = guarded.with(key, "GET", &format!("{EVENTS}/e{at}"), "");
            (answer.status == 200).then(|| answer.json()).transpose()
        });
        assert_eq!(shown.expect("is there")["data"]["body"]["data"], sent["data"]);
    }
}

/// One line each that a reader of logs understands; nothing that a terminal obeys but the host's own colours.
fn log_lines(log: &str, format: &str) {
    for line in log.lines().filter(|line| !line.starts_with("first API key")) {
        let plain = without_colours(line);
        assert!(!plain.chars().any(|c| c.is_control() && c != '\t'), "a line of the log has control characters: {line:?}");
        if format == "json" {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("a line of the log is none: {error}: {line:?}"));
            assert!(line["forged"].is_null() && line["timestamp"].is_string(), "a line of the log was made up: {line}");
        } else {
            assert!(plain.starts_with("20"), "a line of the log was made up: {line:?}");
        }
    }
}

/// Without `ESC [ … m`, which is how the host itself colours lines.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let codes = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        match part[codes..].strip_prefix('m') {
            Some(rest) => out + rest,
            None => out + "\u{1b}[" + part,
        }
    })
}
