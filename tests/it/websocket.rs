//! The `websocket` connector against a server that others wrote: the library `websockets` for Python.

use std::collections::BTreeSet;

use bulkhead_tests::host;
use bulkhead_tests::prom::Scrape;
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::independent::python;
use crate::pki::{self, Authority};
use crate::service::Service;
use crate::story::{PATIENCE, Story, file};

fn server(test: &str, mode: &str, tls: &[String]) -> Option<Service> {
    let script = host::root().join("tests/independent/serve_websocket.py").display().to_string();
    let service = python("websockets")
        .and_then(|python| Service::start(&python.display().to_string(), |_, port| [&[script, port.to_string(), mode.to_owned()], tls].concat()));
    if service.is_none() {
        skip(test, "no Python with websockets; `pip install -r tests/requirements.txt` brings it");
    }
    service
}

fn story(primary: &str, config: &Value, format: &str, credentials: &str) -> Story {
    Story::start(&format!(
        "instances:\n  ws:\n    connector: websocket\n    config: {config}\n    concurrency: 1\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations: {{primary: {primary}}}\n{}{credentials}\
         default_route: [{{instance: ws, format: {format}}}, {{instance: archive, format: {format}}}]\n",
        file("archive")
    ))
}

fn tcp(server: &Service) -> String {
    format!("\"tcp://{}\"", server.addr)
}

fn event(id: &str, user: &str) -> String {
    json!({"id": id, "type": "login", "time": "2026-11-02T08:00:00Z", "user": user}).to_string()
}

fn heard(server: &Service) -> Vec<String> {
    std::fs::read_to_string(server.path("heard")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[track_caller]
fn as_archived(story: &Story, heard: &[String]) {
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(heard.to_vec()), sorted(story.lines("archive.ndjson")), "{}", story.host.log());
}

#[test]
fn every_record_is_a_message_and_the_connection_is_kept() {
    let Some(server) = server("websocket::every_record_is_a_message_and_the_connection_is_kept", "plain", &[]) else { return };
    let config = json!({"host": server.addr.to_string(), "path": "/in?tenant=1", "protocols": ["v2.events", "v1.events"], "keepalive": 1});
    let story = story(&tcp(&server), &config, "jsonl", "");
    for part in 0..4 {
        let lines: Vec<String> = (0..200).map(|i| event(&format!("{part}-{i}"), "A \"b\"\\\n\u{e9}\u{1f980}")).collect();
        story.accept("application/x-ndjson", &lines.join("\n"));
        // Delivered means that the server has read it: nothing needs to be waited for. The server's own pings come
        // in between, five a second.
        story.settled();
        assert_eq!(heard(&server).len(), 200 * (part + 1));
    }
    as_archived(&story, &heard(&server));
    let scrape = story.settled();
    let connections = scrape.sum("bulkhead_egress_connections_total", &[("instance", "ws"), ("result", "connected")]);
    assert_eq!(connections, 1.0, "one connection for all deliveries");
    // Idle it still is: the server lets go of clients that do not answer its pings for five seconds.
    let maintained = |scrape: &Scrape| scrape.sum("bulkhead_guest_calls_total", &[("instance", "ws"), ("call", "maintain")]);
    let before = maintained(&scrape);
    story.when("it is maintained", |scrape| maintained(scrape) >= before + 6.0);
    story.accept("application/json", &event("last", "ada"));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_egress_connections_total", &[("instance", "ws"), ("result", "connected")]), 1.0);
    assert_eq!(heard(&server).len(), 801);
}

#[test]
fn answers_settle_their_own_events() {
    let Some(server) = server("websocket::answers_settle_their_own_events", "ack", &[]) else { return };
    let config = json!({
        "host": server.addr.to_string(),
        "body": r#"{"key":"{{ message_id }}","user":{{ /user }},"id":"{{ /id }}","event":{{ record }}}"#,
        "ack": {"id": "/re", "key": "{{ message_id }}", "pointer": "/status", "equals": ["ok"], "again": ["busy"]},
    });
    let story = story(&tcp(&server), &config, "json", "");
    let user = |i: usize| match i {
        7 => "bad",
        11 | 12 => "busy",
        _ => "ada",
    };
    let lines: Vec<String> = (0..101).map(|i| event(&format!("e-{i}"), user(i))).collect();
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    let messages: Vec<Value> = heard(&server).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: BTreeSet<&str> = messages.iter().filter_map(|message| message["id"].as_str()).collect();
    let want: Vec<String> = (0..101).filter(|i| *i != 7).map(|i| format!("e-{i}")).collect();
    assert_eq!(ids, want.iter().map(String::as_str).collect());
    assert_eq!(messages.len(), 100, "none twice: what was acknowledged is not sent again");
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "ws")]), 1.0);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").text();
    assert!(letters.contains("no such user"), "{letters}");
}

#[test]
fn a_server_that_restarts_and_one_that_finds_a_message_too_long() {
    let Some(server) = server("websocket::a_server_that_restarts_and_one_that_finds_a_message_too_long", "picky", &[]) else { return };
    let story = story(&tcp(&server), &json!({"host": server.addr.to_string()}), "json", "");
    let lines: Vec<String> = (0..20).map(|i| event(&format!("e-{i}"), if i == 13 { "x".repeat(3_000) } else { "ada".to_owned() }.as_str())).collect();
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    let messages: Vec<Value> = heard(&server).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // Some came more than once: without acknowledgements nobody knows what was read before a close.
    let ids: BTreeSet<String> = messages.iter().filter_map(|message| message["id"].as_str()).map(str::to_owned).collect();
    assert_eq!(ids, (0..20).filter(|i| *i != 13).map(|i| format!("e-{i}")).collect());
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "ws")]), 1.0);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").text();
    assert!(letters.contains("the receiver closed the WebSocket: 1009 "), "{letters}");
}

#[test]
fn a_server_that_is_killed_gets_the_rest_when_it_is_back() {
    let Some(mut server) = server("websocket::a_server_that_is_killed_gets_the_rest_when_it_is_back", "plain", &[]) else { return };
    let story = story(&tcp(&server), &json!({"host": server.addr.to_string(), "frame": "binary"}), "json", "");
    story.accept("application/json", &event("before", "ada"));
    story.settled();
    server.kill();
    story.accept("application/x-ndjson", &[event("during-1", "ada"), event("during-2", "ada")].join("\n"));
    story.when("an attempt fails", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "ws")]) >= 1.0);
    server.start_again();
    story.settled();
    as_archived(&story, &heard(&server));
}

#[test]
fn the_token_goes_into_the_handshake_under_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let (cert, key) = ours.server(&["localhost"]).write(dir.path(), "server");
    let tls = [cert.display().to_string(), key.display().to_string()];
    let Some(server) = server("websocket::the_token_goes_into_the_handshake_under_tls", "plain", &tls) else { return };
    let ca = pki::write(dir.path(), "ca.pem", ours.pem());
    let primary = format!("{{url: \"tls://localhost:{}\", credential: token, tls: {{ca: {}}}}}", server.addr.port(), ca.display());
    let token = |token: &str| format!("credentials:\n  token: {{type: bearer, token: {token}}}\n");
    let config = json!({"host": format!("localhost:{}", server.addr.port()), "credential": "token"});
    let right = story(&primary, &config, "json", &token("websocket-story-token"));
    right.accept("application/x-ndjson", &[event("1", "ada"), event("2", "bob")].join("\n"));
    right.settled();
    as_archived(&right, &heard(&server));
    assert!(!right.host.log().contains("websocket-story-token"), "the secret is in the log");
    // Another token, and none.
    for (config, token) in [(config.clone(), token("another-token")), (json!({"host": "localhost"}), token("websocket-story-token"))] {
        let wrong = story(&primary, &config, "json", &token);
        wrong.accept("application/json", &event("3", "ada"));
        wait::until("the instance is held", PATIENCE, || Ok((wrong.lane("ws")["held"] == "unauthorized").then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{:#}", wrong.lane("ws")));
    }
    assert_eq!(heard(&server).len(), 2);
}
