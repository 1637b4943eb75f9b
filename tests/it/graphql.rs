//! The `graphql` connector against servers that others wrote: graphql-http on Node.js, which speaks
//! `application/graphql-response+json`, and Ariadne for Python, which speaks `application/json`.

use std::collections::BTreeSet;

use bulkhead_tests::host;
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::independent::python;
use crate::service::{Service, node_modules};
use crate::story::{PATIENCE, Story, file};

const ADD: &str = "mutation Add($event: AuditEvent!) {\n  add(event: $event) { id }\n}";
const EVENT: &str = r#"{"id":"{{ /id }}","severity":"{{ /metadata/level }}","user":{{ /user }},"record":"{{ record }}"}"#;

fn graphql_http(test: &str) -> Option<Service> {
    let script = host::root().join("tests/independent/serve_graphql.cjs").display().to_string();
    let service =
        node_modules("graphql-http").and_then(|modules| Service::start("node", |_, port| vec![script, modules.display().to_string(), port.to_string()]));
    if service.is_none() {
        skip(test, "no Node.js with graphql and graphql-http in target/node; .ci/run brings them");
    }
    service
}

fn ariadne(test: &str) -> Option<Service> {
    let script = host::root().join("tests/independent/serve_graphql.py").display().to_string();
    let service = python("ariadne").and_then(|python| Service::start(&python.display().to_string(), |_, port| vec![script, port.to_string()]));
    if service.is_none() {
        skip(test, "no Python with ariadne; `pip install -r tests/requirements.txt` brings it");
    }
    service
}

fn story(server: &Service, config: &Value, token: &str, format: &str) -> Story {
    Story::start(&format!(
        "instances:\n  api:\n    connector: graphql\n    config: {config}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations: {{primary: {{url: \"{}\", methods: [POST], credential: token}}}}\n{}credentials:\n  \
         token: {{type: bearer, token: {token}}}\ndefault_route: [{{instance: api, format: {format}}}, {{instance: archive, format: {format}}}]\n",
        server.url(),
        file("archive")
    ))
}

fn event(id: &str, user: &str, level: &str) -> String {
    json!({"id": id, "type": "login", "time": "2026-11-02T08:00:00Z", "user": user, "metadata": {"level": level}}).to_string()
}

/// What the server keeps.
fn kept(server: &Service) -> Vec<Value> {
    let answer = server.post("/", r#"{"query":"{ events { id severity user record } }"}"#).json().expect("JSON");
    answer["data"]["events"].as_array().expect("a list").clone()
}

fn ids(kept: &[Value]) -> Vec<&str> {
    let mut ids: Vec<_> = kept.iter().filter_map(|event| event["id"].as_str()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn graphql_http_keeps_events_and_what_it_refuses_costs_itself() {
    let Some(server) = graphql_http("graphql::graphql_http_keeps_events_and_what_it_refuses_costs_itself") else { return };
    let config = json!({"query": ADD, "operation": "Add", "variables": {"event": EVENT}, "receipt": "/data/add/id"});
    let story = story(&server, &config, "graphql-story-token", "cef");
    let strange = "A \"b\"\\\n\u{e9}\u{1f980}{{ /id }}";
    let lines = [
        event("1", "ada", "high"),
        event("2", strange, "low"),
        // An error beside `data: {add: null}`.
        event("3", "broken", "low"),
        // Twice an error whose code asks for patience.
        event("4", "busy", "critical"),
        // A variable that does not coerce: an error without data.
        event("5", "ada", "loud"),
        event("6", "ada", "info"),
    ];
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    let kept = kept(&server);
    assert_eq!(ids(&kept), ["1", "2", "4", "6"], "{}", story.host.log());
    assert!(kept.iter().any(|event| event["user"] == strange && event["severity"] == "low"), "{kept:#?}");
    let archived: BTreeSet<String> = story.lines("archive.ndjson").into_iter().collect();
    assert!(kept.iter().all(|event| archived.contains(event["record"].as_str().expect("a text"))), "{kept:#?} {archived:#?}");
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "api")]), 2.0);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").text();
    assert!(letters.contains("the store has no such user") && letters.contains("got invalid value"), "{letters}");
    assert!(!story.host.log().contains("graphql-story-token"), "the secret is in the log");
}

#[test]
fn a_token_that_the_server_refuses_in_a_200_holds_the_instance() {
    let Some(server) = graphql_http("graphql::a_token_that_the_server_refuses_in_a_200_holds_the_instance") else { return };
    let config = json!({"query": ADD, "variables": {"event": EVENT}});
    let story = story(&server, &config, "another-token", "json");
    story.accept("application/json", &event("1", "ada", "high"));
    wait::until("the instance is held", PATIENCE, || Ok((story.lane("api")["held"] == "unauthorized").then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("api")));
    assert!(kept(&server).is_empty());
}

#[test]
fn the_document_of_the_check_is_validated_and_not_executed() {
    let Some(server) = graphql_http("graphql::the_document_of_the_check_is_validated_and_not_executed") else { return };
    // As the connector writes it; its own test holds the text.
    let check = |document: &str| {
        let document = format!("{document}\nquery BulkheadCheck {{ __typename }}");
        server.post("/", &json!({"query": document, "operationName": "BulkheadCheck"}).to_string()).json().expect("JSON")
    };
    assert_eq!(check(ADD)["data"]["__typename"], "Query");
    let error = check(&ADD.replace("AuditEvent", "Event"))["errors"][0]["message"].as_str().expect("an error").to_owned();
    assert!(error.contains("Event"), "{error}");
    assert!(kept(&server).is_empty());
}

#[test]
fn ariadne_takes_a_batch_as_a_list_and_the_event_at_fault_stands_alone() {
    let Some(server) = ariadne("graphql::ariadne_takes_a_batch_as_a_list_and_the_event_at_fault_stands_alone") else { return };
    let config = json!({"query": "mutation($events: [AuditEvent!]!) { addAll(events: $events) }", "list": "events", "variables": {"events": EVENT}});
    let story = story(&server, &config, "nobody-asks-for-it", "json");
    // A level that is none of the schema's, in the midst of a batch.
    let lines: Vec<String> = (10..40).map(|i| event(&i.to_string(), "ada", if i == 23 { "loud" } else { "high" })).collect();
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    let kept = kept(&server);
    let want: Vec<String> = (10..40).filter(|i| *i != 23).map(|i| i.to_string()).collect();
    assert_eq!(ids(&kept), want, "each once: what is refused as a whole is not executed");
    let archived: BTreeSet<String> = story.lines("archive.ndjson").into_iter().collect();
    assert!(kept.iter().all(|event| archived.contains(event["record"].as_str().expect("a text"))));
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "api")]), 1.0);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").text();
    assert!(letters.contains("the receiver answered 400"), "{letters}");
}
