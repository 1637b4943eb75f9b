//! Inbound webhooks through the binary: published vectors, what is tampered with, what comes again, and
//! secrets that change.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::http::Response;
use bulkhead_tests::wait;
use ring::hmac;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, file};

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const JSON: (&str, &str) = ("content-type", "application/json");

fn story(inbound: &str) -> Story {
    Story::start(&config(inbound))
}

fn config(inbound: &str) -> String {
    format!("inbound:\n{inbound}instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive"))
}

fn post(story: &Story, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    story.host.post_with(&format!("/api/integration/webhook/{key}"), headers, body).expect("answers")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tag(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &parts.concat()).as_ref().to_vec()
}

/// Headers of Standard Webhooks.
fn standard(secret: &str, id: &str, at: u64, body: &[u8]) -> Vec<(&'static str, String)> {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let at = at.to_string();
    let signature = STANDARD.encode(tag(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", body]));
    vec![("webhook-id", id.into()), ("webhook-timestamp", at), ("webhook-signature", format!("v1,{signature}")), ("content-type", "application/json".into())]
}

fn send(story: &Story, key: &str, headers: &[(&'static str, String)], body: &[u8]) -> Response {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    post(story, key, &headers, body)
}

/// What the operator sees of an address.
#[track_caller]
fn state(story: &Story, name: &str) -> Value {
    story.host.get(&format!("/api/integration/inbound/{name}")).expect("answers").json().expect("JSON")["data"].clone()
}

#[track_caller]
fn refused(story: &Story, name: &str, reason: &str) -> u64 {
    let state = state(story, name);
    let all = state["refused"].as_array().expect("a list").clone();
    all.iter().find(|entry| entry["reason"] == reason).map_or(0, |entry| entry["count"].as_u64().expect("a number"))
}

#[track_caller]
fn check(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.json().expect("JSON")["code"].as_str()), (status, Some(code)), "{}", response.text());
}

/// GitHub Docs, "Validating webhook deliveries".
#[test]
fn github_as_documented() {
    let story = story(
        "  gh:\n    key: gh-address-1\n    verify: {type: github, secret: \"It's a Secret to Everybody\"}\n    source: https://github.com/acme\n    type: github.event\n    headers: [X-GitHub-Event]\n",
    );
    let signature = ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    let text = ("content-type", "text/plain");
    let body = b"Hello, World!";
    let delivery = ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    let response = post(&story, "gh-address-1", &[signature, text, delivery, ("x-github-event", "ping")], body);
    assert_eq!((response.status, response.json().expect("JSON")), (202, json!({"accepted": 1})));
    // The same delivery again: heard, and not taken.
    let response = post(&story, "gh-address-1", &[signature, text, delivery], body);
    assert_eq!((response.status, response.json().expect("JSON")), (200, json!({"accepted": 0, "repeated": true})));

    for (headers, body, reason) in [
        (&[signature, text][..], &b"Hello, World?"[..], "signature_wrong"),
        (&[text, delivery], body, "signature_missing"),
        (&[("x-hub-signature", "sha1=f22b345e"), text], body, "signature_missing"),
        (&[("x-hub-signature-256", "757107ea"), text], body, "signature_malformed"),
        (&[signature, signature, text], body, "signature_malformed"),
    ] {
        let before = refused(&story, "gh", reason);
        let response = post(&story, "gh-address-1", headers, body);
        check(&response, 401, "unverified");
        assert!(!response.text().contains(reason), "the sender does not hear why");
        assert_eq!(refused(&story, "gh", reason), before + 1, "{reason}");
    }
    // An address that is not known looks like any other path.
    let unknown = post(&story, "gh-address-2", &[signature, text], body);
    let nowhere = story.host.post_with("/nowhere", &[text], body).expect("answers");
    assert_eq!((unknown.status, unknown.text()), (404, nowhere.text()));
    assert_eq!(post(&story, "gh-address-1/more", &[signature, text], body).text(), nowhere.text());

    story.settled();
    let records = story.records("archive.ndjson");
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((&record["id"], &record["source"], &record["type"]), (&json!(delivery.1), &json!("https://github.com/acme"), &json!("github.event")));
    assert_eq!((&record["data"], &record["datacontenttype"]), (&json!("Hello, World!"), &json!("text/plain")));
    assert_eq!(record["metadata"], json!({"inbound": "gh", "inbound_id": delivery.1, "x-github-event": "ping"}));

    let state = state(&story, "gh");
    assert_eq!((&state["accepted"], &state["repeated"], &state["events"]), (&json!(1), &json!(1), &json!(1)));
    assert!(state["last_received"].is_string() && state["secrets"][0]["last_used"].is_string(), "{state}");
    let health = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert_eq!((&health["inbound"][0]["name"], &health["inbound"][0]["refused"]), (&json!("gh"), &json!(5)));
    let scrape = story.host.metrics().expect("metrics");
    assert_eq!(scrape.sum("bulkhead_inbound_requests_total", &[("inbound", "gh"), ("result", "signature_malformed")]), 2.0);
    let log = story.host.log();
    assert!(log.contains("inbound requests refused") && !log.contains("gh-address") && !log.contains("Hello"), "{log}");
    assert_eq!(log.matches("signature_malformed").count(), 1, "once a minute for each reason");
}

#[test]
fn standard_webhooks_as_published() {
    let published = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    let story = story(&format!("  std:\n    key: std-address\n    verify: {{type: standard-webhooks, secret: [\"{WHSEC}\", \"{published}\"]}}\n"));
    // What is published was signed in 2021: the signature holds, and the time is over.
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    for (n, signature) in
        ["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="]
            .into_iter()
            .enumerate()
    {
        let headers = [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", signature), JSON];
        check(&post(&story, "std-address", &headers, br#"{"test": 2432232314}"#), 401, "unverified");
        assert_eq!(refused(&story, "std", "timestamp_old"), n as u64 + 1, "well signed, too long ago");
        check(&post(&story, "std-address", &headers, br#"{"test": 2432232315}"#), 401, "unverified");
        assert_eq!(refused(&story, "std", "signature_wrong"), n as u64 + 1);
    }
    let body = br#"{"type":"alert.created","timestamp":"2026-11-20T08:42:58Z","data":{"n":1}}"#;
    for (at, status) in [(now() - 290, 202), (now() - 310, 401), (now() + 290, 202), (now() + 320, 401)] {
        let id = format!("msg_{at}");
        assert_eq!(send(&story, "std-address", &standard(WHSEC, &id, at, body), body).status, status, "{at}");
    }
    story.settled();
    let records = story.records("archive.ndjson");
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0]["type"], &records[0]["source"], &records[0]["time"]),
        (&json!("alert.created"), &json!("inbound:std"), &json!("2026-11-20T08:42:58Z"))
    );
    assert_eq!(records[0]["data"]["data"], json!({"n": 1}));
}

/// What was accepted is known after kill -9, within seconds of it or at once; what was refused may come again.
#[test]
fn a_repetition_is_known_after_a_kill() {
    let mut story = story(&format!("  std:\n    key: std-address\n    verify: {{type: standard-webhooks, secret: \"{WHSEC}\"}}\n"));
    let body = br#"[{"a":1},{"a":2},{"id":"own","a":3}]"#;
    let sent: Vec<_> = (0..20).map(|n| standard(WHSEC, &format!("msg_{n}"), now(), body)).collect();
    let broken = standard(WHSEC, "msg_broken", now(), b"{");
    check(&send(&story, "std-address", &broken, b"{"), 400, "invalid_events");
    for headers in &sent {
        assert_eq!(send(&story, "std-address", headers, body).status, 202);
    }
    story = story.crash();
    for headers in &sent {
        let response = send(&story, "std-address", headers, body);
        assert_eq!((response.status, response.json().expect("JSON")["accepted"].as_u64()), (200, Some(0)));
        // Signed anew by its sender, it is the same message.
        let again = standard(WHSEC, &headers[0].1, now() + 1, body);
        assert_eq!(send(&story, "std-address", &again, body).status, 200);
    }
    // A refused one did not count.
    let mended = standard(WHSEC, "msg_broken", now(), body);
    assert_eq!(send(&story, "std-address", &mended, body).status, 202);
    story.settled();
    // Its lane may have delivered the last batch before the kill a second time; the journal has each event once.
    let health = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert_eq!(health["journal"]["head"], json!(63), "three events for each of 21 messages");
    let records = story.records("archive.ndjson");
    let ids: Vec<_> = records[..3].iter().map(|record| record["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["msg_0", "msg_0-1", "own"], "ids follow the message, unless an event has its own");
    assert_eq!(state(&story, "std")["remembered"], json!(21));
}

/// A new secret and a new address come first, the old ones go when nobody uses them any more. No restart.
#[test]
fn secrets_and_addresses_rotate_with_overlap() {
    let inbound = |keys: &str, secrets: &str| format!("  std:\n    key: {keys}\n    verify: {{type: standard-webhooks, secret: {secrets}}}\n");
    let story = story(&inbound("old-address", &format!("\"{WHSEC}\"")));
    let mut n = 0;
    let mut attempt = |story: &Story, key: &str, secret: &str| {
        n += 1;
        send(story, key, &standard(secret, &format!("msg_{n}"), now(), b"{}"), b"{}").status
    };
    assert_eq!((attempt(&story, "old-address", WHSEC), attempt(&story, "old-address", OTHER), attempt(&story, "new-address", OTHER)), (202, 401, 404));
    let reload = |inbound: &str, reloads: f64| {
        let listen = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;
        std::fs::write(story.path("bulkhead.yaml"), format!("data_dir: ./data\nlisten: {listen}\n{}", config(inbound))).expect("written");
        story.host.signal(Signal::HUP).expect("sent");
        wait::until("the reload is done", PATIENCE, || Ok((story.host.log().matches("configuration reloaded").count() as f64 >= reloads).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    };
    reload(&inbound("[new-address, old-address]", &format!("[\"{OTHER}\", \"{WHSEC}\"]")), 1.0);
    for key in ["old-address", "new-address"] {
        assert_eq!((attempt(&story, key, WHSEC), attempt(&story, key, OTHER)), (202, 202), "{key}");
    }
    // What was accepted before the change is known after it.
    let first = send(&story, "new-address", &standard(WHSEC, "msg_1", now(), b"{}"), b"{}");
    assert_eq!(first.status, 200);
    let seen = state(&story, "std");
    assert!(seen["keys"][1]["last_used"].is_string() && seen["secrets"][1]["last_used"].is_string(), "{seen}");
    reload(&inbound("new-address", &format!("\"{OTHER}\"")), 2.0);
    assert_eq!((attempt(&story, "new-address", OTHER), attempt(&story, "new-address", WHSEC), attempt(&story, "old-address", OTHER)), (202, 401, 404));
}

#[test]
fn slack_questions_commands_and_repeated_events() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let story = story(&format!("  slack:\n    key: slack-address\n    verify: {{type: slack, secret: {secret}}}\n"));
    let signed = |body: &str, at: u64, content_type: &str| {
        let at = at.to_string();
        let signature = format!("v0={}", hex(&tag(secret.as_bytes(), &[b"v0:", at.as_bytes(), b":", body.as_bytes()])));
        let headers = [("x-slack-request-timestamp", at.as_str()), ("x-slack-signature", &signature), ("content-type", content_type)];
        let response = post(&story, "slack-address", &headers, body.as_bytes());
        (response.status, response.text())
    };
    // Slack, "Verifying requests from Slack": of 2018.
    let documented = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [("x-slack-request-timestamp", "1531420618"), ("x-slack-signature", signature)];
    check(&post(&story, "slack-address", &headers, documented.as_bytes()), 401, "unverified");
    assert_eq!(refused(&story, "slack", "timestamp_old"), 1, "well signed, too long ago");

    let question = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    assert_eq!(signed(question, now(), JSON.1), (200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".into()));
    let headers = [("x-slack-request-timestamp", "1"), ("x-slack-signature", "v0=00"), JSON];
    check(&post(&story, "slack-address", &headers, question.as_bytes()), 401, "unverified");
    assert_eq!(signed(documented, now(), "application/x-www-form-urlencoded"), (200, String::new()), "an answer would be shown to people");
    let event = r#"{"type":"event_callback","event_id":"Ev0PV52K25","event":{"type":"message","text":"hi"}}"#;
    // Three seconds later Slack sends it again, signed anew.
    for at in [now(), now() + 3] {
        assert_eq!(signed(event, at, JSON.1), (200, String::new()));
    }
    story.settled();
    let records = story.records("archive.ndjson");
    assert_eq!(records.len(), 2, "the question is no event, the repetition no second one");
    assert_eq!((&records[0]["data"], &records[0]["type"]), (&json!(documented), &json!("inbound.message")));
    assert_eq!((&records[1]["id"], &records[1]["data"]["event"]["text"]), (&json!("Ev0PV52K25"), &json!("hi")));
}

#[test]
fn a_vendors_own_scheme() {
    let story = story(
        "  own:\n    key: own-address\n    verify: {type: hmac, secret: vendor-secret, header: X-Sig, algorithm: sha512, encoding: base64, prefix: \"v2=\", signs: \"v2:{timestamp}:{id}:{body}\", timestamp_header: X-Time, id_header: X-Id, tolerance: 1m}\n",
    );
    let attempt = |id: &str, at: u64, body: &[u8]| {
        let at = at.to_string();
        let signed = [b"v2:", at.as_bytes(), b":", id.as_bytes(), b":", body].concat();
        let signature = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, b"vendor-secret"), &signed));
        post(
            &story,
            "own-address",
            &[("x-sig", &format!("v2={signature}")), ("x-time", &at), ("x-id", id), ("content-type", "application/vnd.acme+json")],
            body,
        )
    };
    assert_eq!(attempt("m1", now(), br#"{"n":1}"#).status, 202);
    assert_eq!(attempt("m2", now() * 1_000, br#"{"n":2}"#).status, 202, "milliseconds by their digits");
    check(&attempt("m3", now() - 70, br#"{"n":3}"#), 401, "unverified");
    assert_eq!(attempt("m1", now(), br#"{"n":1}"#).status, 200);
    story.settled();
    let numbers: Vec<_> = story.records("archive.ndjson").iter().map(|record| record["data"]["n"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
}

/// Shapes, encodings and bounds are those of `/events`.
#[test]
fn bodies_come_by_the_way_of_events() {
    let story = story("  open:\n    key: an-address-that-nobody-guesses\n    verify: {type: none}\n    max_body: 2KiB\n    tenant: acme\n");
    let key = "an-address-that-nobody-guesses";
    let structured = br#"{"specversion":"1.0","id":"c1","source":"/s","type":"t.x","metadata":{"team":"a","inbound":"forged"},"data":7}"#;
    assert_eq!(post(&story, key, &[("content-type", "application/cloudevents+json")], structured).status, 202);
    let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", "b1"), ("ce-source", "/b"), ("ce-type", "t.b")];
    assert_eq!(post(&story, key, &binary, br#"{"n":1}"#).status, 202);
    assert_eq!(post(&story, key, &[JSON], crate::story::copybook("book", 1).as_bytes()).status, 202);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"id":"z1"}"#).expect("deflates");
    assert_eq!(post(&story, key, &[JSON, ("content-encoding", "gzip")], &gzip.finish().expect("deflates")).status, 202);
    assert_eq!(post(&story, key, &[("content-type", "application/octet-stream")], &[0, 159, 146, 150]).status, 202);
    // Nothing says which message it is, so it is taken as often as it comes.
    assert_eq!(post(&story, key, &[], b"just text").status, 202);
    assert_eq!(post(&story, key, &[], b"just text").status, 202);

    check(&post(&story, key, &[JSON], &vec![b' '; 2_049]), 413, "body_too_large");
    check(&post(&story, key, &[JSON], b"[1]"), 400, "invalid_events");
    check(&post(&story, key, &[JSON], b"{\"a\":1,\"a\":2}"), 400, "invalid_events");
    check(&post(&story, key, &[], b""), 400, "empty_batch");
    check(&post(&story, key, &[JSON, ("content-encoding", "br")], b"{}"), 415, "unsupported_encoding");
    let got = bulkhead_tests::http::Client::new(story.host.intake).get(&format!("/api/integration/webhook/{key}")).expect("answers");
    check(&got, 405, "method_not_allowed");
    assert_eq!(refused(&story, "open", "invalid_events"), 2);

    story.settled();
    let records = story.records("archive.ndjson");
    let ids: Vec<_> = records[..4].iter().map(|record| record["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["c1", "b1", "book-0", "z1"]);
    assert_eq!((&records[0]["source"], &records[0]["metadata"]), (&json!("/s"), &json!({"inbound": "open", "team": "a"})));
    assert_eq!(records[2]["type"], "copybook.security_event");
    assert_eq!(records[4]["data_base64"], "AJ+Slg==");
    assert_eq!((&records[5]["data"], &records[5]["tenant"]), (&json!("just text"), &json!("acme")));
    assert_eq!(records.len(), 7);
    assert!(story.host.log().contains("whoever knows the address may send"));
}

#[test]
fn more_than_the_rate_hears_429() {
    let story = story("  slow:\n    key: an-address-that-nobody-guesses\n    verify: {type: none}\n    rate_limit: {events_per_second: 1, burst: 1}\n");
    // So many that the next one is too early, however long the first took.
    let body = format!("[{}{{}}]", "{},".repeat(99));
    let attempt = || post(&story, "an-address-that-nobody-guesses", &[JSON], body.as_bytes());
    assert_eq!(attempt().status, 202);
    let response = attempt();
    check(&response, 429, "rate");
    let wait: u64 = response.headers.get("retry-after").and_then(|value| value.parse().ok()).expect("seconds");
    assert!((1..=100).contains(&wait), "{wait}");
    // Others are not concerned.
    story.accept("application/json", "{}");
}

/// An instance of the evil guest, which answers requests as its behaviour says, and its address.
fn answering(behaviours: &[&str]) -> Story {
    let mut inbound = String::new();
    let mut instances = file("archive");
    for behaviour in behaviours {
        let verify = format!("{{type: standard-webhooks, secret: \"{WHSEC}\"}}");
        inbound.push_str(&format!("  to-{behaviour}:\n    key: key-of-{behaviour}\n    verify: {verify}\n    headers: [X-Team]\n    instance: {behaviour}\n"));
        instances.push_str(&format!(
            "  {behaviour}:\n    connector: evil\n    config: {{behaviour: {behaviour}}}\n    destinations: {{primary: \"http://127.0.0.1:9\"}}\n    limits: {{cpu: 300ms, fuel: 20G, deadline: 30s}}\n    concurrency: 2\n"
        ));
    }
    Story::start(&format!("inbound:\n{inbound}instances:\n{instances}default_route: [{{instance: archive, format: jsonl}}]\n"))
}

/// Verified by the host, answered by a guest: it sees what the operator allows and no more, and its events
/// are in the journal before its answer is out.
#[test]
fn a_connector_answers_and_its_events_are_kept() {
    let story = answering(&["accept"]);
    let body = b"{\"id\":\"own\",\"n\":1}\n{\"n\":2}";
    let at = now();
    let mut sent = standard(WHSEC, "msg_a", at, body);
    sent.extend([("x-team", "blue".to_owned()), ("authorization", "Bearer hidden-token".to_owned()), ("cookie", "hidden=1".to_owned())]);
    let response = send(&story, "key-of-accept/orders/7?x=1", &sent, body);
    assert_eq!((response.status, response.headers.get("content-type"), response.headers.get("x-calls")), (201, Some("text/plain"), Some("1")));
    // Neither the key nor a signature, a token or any header that is not listed.
    assert_eq!(response.text(), "POST /orders/7?x=1\nx-team: blue\ncontent-type: application/json\n");
    let head = story.host.get("/api/integration/health").expect("answers").json().expect("JSON")["journal"]["head"].clone();
    assert_eq!(head, json!(2), "journalled before the answer");

    // The same guest answers on; a repetition never reaches it.
    assert_eq!(send(&story, "key-of-accept/orders/7", &standard(WHSEC, "msg_a", now(), body), body).status, 200);
    let response = send(&story, "key-of-accept", &standard(WHSEC, "msg_b", at, b""), b"");
    assert_eq!((response.status, response.headers.get("x-calls")), (201, Some("2")), "{}", response.text());
    // What it refuses or puts off may come again; what is not verified never gets there.
    for path in ["/refuse", "/refuse", "/later", "/later"] {
        let response = send(&story, &format!("key-of-accept{path}"), &standard(WHSEC, &format!("msg_{path}").replace('/', ""), now(), body), body);
        if path == "/later" {
            check(&response, 503, "connector_unavailable");
            assert_eq!(response.headers.get("retry-after"), Some("7"));
        } else {
            assert_eq!(response.status, 422);
        }
    }
    check(&send(&story, "key-of-accept", &standard(OTHER, "msg_c", now(), body), body), 401, "unverified");

    story.settled();
    let records = story.records("archive.ndjson");
    let ids: Vec<_> = records.iter().map(|record| record["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["own", "msg_a-1"]);
    assert_eq!(records[1]["metadata"], json!({"inbound": "to-accept", "inbound_id": "msg_a", "x-team": "blue"}));
    assert_eq!(records[1]["source"], "inbound:to-accept");
    let scrape = story.host.metrics().expect("metrics");
    assert_eq!(scrape.sum("bulkhead_guest_calls_total", &[("instance", "accept"), ("call", "receive")]), 6.0);
    assert_eq!(scrape.sum("bulkhead_inbound_events_total", &[("inbound", "to-accept")]), 2.0);
    // Receipts are written behind the calls.
    let calls = || -> anyhow::Result<Option<Vec<Value>>> {
        let receipts = story.host.get("/api/integration/audit/receipts?instance=accept&limit=100")?.json()?;
        let calls: Vec<_> = receipts["data"].as_array().expect("a list").iter().filter(|receipt| receipt["kind"] == "receive").cloned().collect();
        Ok((calls.len() >= 6).then_some(calls))
    };
    let calls = wait::until("each call has its receipt", PATIENCE, calls).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert_eq!(calls.len(), 6, "{calls:#?}");
    assert!(calls.iter().all(|receipt| receipt["fuel"].as_u64().is_some_and(|fuel| fuel > 0)), "{calls:#?}");
    let state = state(&story, "to-accept");
    assert_eq!((&state["instance"], &state["accepted"], &state["repeated"]), (&json!("accept"), &json!(2), &json!(1)), "{state}");
    assert_eq!((refused(&story, "to-accept", "connector_refused"), refused(&story, "to-accept", "connector_unavailable")), (2, 2));
}

/// Guests that spin, panic, answer too much, forge a length or hand over what is no event: an error for the
/// sender, nothing in the journal, and the message may come again.
#[test]
fn a_connector_that_breaks_costs_no_event_and_no_neighbour() {
    let broken = [
        ("spin", 502, "connector_fault", "cpu of 300ms reached"),
        ("panic", 502, "connector_fault", "the guest trapped"),
        ("allocate", 502, "connector_fault", "hostcall_data"),
        ("length", 502, "connector_fault", "the header `content-length` belongs to the host"),
        ("invent", 502, "connector_events", "event 0 is none"),
    ];
    let mut names: Vec<&str> = broken.iter().map(|(name, ..)| *name).collect();
    names.push("accept");
    let story = answering(&names);
    for round in 0..2 {
        for (name, status, reason, said) in broken {
            let headers = standard(WHSEC, "msg_same", now(), b"{}");
            let response = send(&story, &format!("key-of-{name}"), &headers, b"{}");
            check(&response, status, "connector_failed");
            let state = state(&story, &format!("to-{name}"));
            assert_eq!(refused(&story, &format!("to-{name}"), reason), round + 1, "{state}");
            assert!(state["last_error"].as_str().is_some_and(|text| text.contains(said)), "{name}: {state}");
            assert!(!response.text().contains(said), "the sender does not hear what broke");
        }
        let response = send(&story, "key-of-accept", &standard(WHSEC, &format!("msg_{round}"), now(), b"{}"), b"{}");
        assert_eq!(response.status, 201);
    }
    // By hand, an instance answers nobody.
    let pause = |verb: &str| {
        bulkhead_tests::http::Client::new(story.host.api).send("POST", &format!("/api/integration/instances/accept/{verb}"), &[], b"").expect("answers")
    };
    assert_eq!(pause("pause").status, 200);
    let response = send(&story, "key-of-accept", &standard(WHSEC, "msg_9", now(), b"{}"), b"{}");
    check(&response, 503, "connector_unavailable");
    assert_eq!((response.headers.get("retry-after"), refused(&story, "to-accept", "connector_held")), (Some("60"), 1));
    assert_eq!(pause("resume").status, 200);
    assert_eq!(send(&story, "key-of-accept", &standard(WHSEC, "msg_9", now(), b"{}"), b"{}").status, 201);
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 3);
}

#[test]
fn a_connector_that_answers_nothing_is_refused_at_start() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    let check = |inbound: &str, want: &[&str]| {
        let config = config(inbound).replace("dir: ./out", &format!("dir: {}", dir.path().display()));
        std::fs::write(&path, format!("data_dir: {}\n{config}", dir.path().join("data").display())).expect("written");
        let output = std::process::Command::new(crate::story::binary()).args(["validate", "--config"]).arg(&path).output().expect("runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(78), "{text}");
        for part in want {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("hidden"), "no secret in a fault\n{text}");
    };
    let verify = "verify: {type: github, secret: hidden-secret}";
    check(&format!("  a: {{key: hidden-key, {verify}, instance: archive}}\n"), &["`file` answers no requests", "it does deliver, check"]);
    check(&format!("  a: {{key: hidden-key, {verify}, instance: archives}}\n"), &["there is no instance `archives`", "archive"]);
    check(&format!("  a: {{key: hidden-key, {verify}}}\n  b: {{key: hidden-key, {verify}}}\n"), &["the same key as of inbound.a"]);
    check(&format!("  a: {{key: \"hidden/key\", {verify}, headers: [X-Hub-Signature-256]}}\n"), &["not a key of an address", "it is not passed on"]);
    check("  a: {key: hidden-key, verify: {type: none}}\n", &["at least 24 characters"]);
    check("  a: {key: hidden-key, verify: {type: standard-webhooks, secret: whsk_hidden}}\n", &["the sender's private key"]);
    check("  a: {key: hidden-key, verify: {type: hmac, secret: hidden-secret, header: x, timestamp_header: y}}\n", &["a timestamp that is not signed"]);
    check("  a: {key: hidden-key, verify: {type: hmac, secret: hidden-secret, header: x, signs: id.timestamp.body}}\n", &["id_header", "timestamp_header"]);
}
