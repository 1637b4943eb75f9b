//! The index of events: looked up with all that is known of their deliveries, posted one by one, over restarts, and
//! without holding up anything while its store is gone.

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::problem;
use crate::postgres_server::{PostgresServer, installed};
use crate::story::{PATIENCE, Story, copybook, file, hec, receiver};

const PATH: &str = "/api/v2/events";

fn post(story: &Story, content_type: &str, body: &str) -> Response {
    Client::new(story.host.api).send("POST", PATH, &[("Content-Type", content_type)], body.as_bytes()).expect("answers")
}

#[track_caller]
fn events(story: &Story, query: &str) -> Value {
    let answer = story.host.get(&format!("{PATH}{query}")).expect("answers");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json().expect("JSON")
}

/// A CloudEvent; where it names an address it is an extension.
fn event(id: &str, kind: &str, severity: &str, time: &str, ip: &str) -> String {
    let ip = if ip.is_empty() { String::new() } else { format!(r#""srcip":"{ip}","#) };
    format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"{kind}","severity":"{severity}","source":"/s","time":"2026-11-02T{time}:00Z",{ip}"data":{{"n":1.50}}}}"#
    )
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().expect("a list").iter().map(|event| event["id"].as_str().expect("an id")).collect()
}

/// Once the index has looked at everything.
#[track_caller]
fn caught_up(story: &Story, total: u64) {
    let mut last = Value::Null;
    let found = wait::until("the index has caught up", PATIENCE, || {
        last = events(story, "?limit=1");
        Ok((last["meta"]["index"]["behind"] == 0 && last["meta"]["total"] == total).then_some(()))
    });
    found.unwrap_or_else(|error| panic!("{error:#}\n{last:#}\n{}", story.host.log()));
}

#[test]
fn events_are_looked_up_and_posted() {
    let (refusing, down) = (receiver("400*"), receiver("503*"));
    let story = Story::start(&format!(
        "event_index: {{enabled: true, body: true}}\ninstances:\n{}{}{}default_route: [{{instance: archive, format: jsonl}}, {{instance: siem, format: cef}}, {{instance: slow, format: cef}}]\n",
        file("archive"),
        hec("siem", &refusing, ""),
        hec("slow", &down, "    retry: {initial: 1h, max: 1h, jitter: none}\n"),
    ));
    const CLOUD: &str = "application/cloudevents+json";
    let first = post(&story, CLOUD, &event("a/1", "login", "high", "08:00", "2001:DB8:0::1"));
    assert_eq!((first.status, first.headers.get("location")), (201, Some("/api/v2/events/a%2F1")), "{}", first.text());
    let made = first.json().expect("JSON");
    assert_eq!((&made["data"]["id"], &made["data"]["attributes"]["type"]), (&json!("a/1"), &json!("login")), "{made}");
    assert!(first.text().contains("1.50"), "digits stay: {}", first.text());
    let second = post(&story, CLOUD, &event("b", "login", "info", "09:00", "192.0.2.7"));
    assert_eq!(second.status, 201);
    story.accept(CLOUD, &event("c", "logout", "low", "10:00", ""));
    // One that names no id is given one.
    let given = post(&story, "application/json", r#"{"type":"note","source":"/s","time":"2026-11-02T11:00:00Z"}"#).json().expect("JSON");
    assert!(given["data"]["id"].as_str().is_some_and(|id| !id.is_empty()), "{given}");
    caught_up(&story, 4);

    for (query, want) in [
        ("?event_type=login", vec!["b", "a/1"]),
        ("?severity=high,low", vec!["c", "a/1"]),
        ("?severity=high&severity=low", vec!["c", "a/1"]),
        ("?severity=info&event_type=login", vec!["b"]),
        ("?source_ip=2001:db8::1", vec!["a/1"]),
        ("?source_ip=192.0.2.7", vec!["b"]),
        ("?source_ip=::ffff:192.0.2.7", vec!["b"]),
        ("?start_time=2026-11-02T09:00:00Z&end_time=2026-11-02T10:30:00%2B00:00", vec!["c", "b"]),
        ("?start_time=2026-11-02T09:00:00Z&limit=1&offset=2", vec!["b"]),
        ("?event_type=%27%20OR%201=1%20--", vec![]),
        ("?event_type=login%00", vec![]),
    ] {
        assert_eq!(ids(&events(&story, query)), want, "{query}");
    }
    let page = events(&story, "?limit=2");
    assert_eq!((page["meta"]["total"].as_u64(), page["meta"]["count"].as_u64(), &page["meta"]["total_is_at_least"]), (Some(4), Some(2), &json!(false)));
    assert_eq!(ids(&events(&story, page["links"]["next"].as_str().expect("more").trim_start_matches(PATH))), ["b", "a/1"]);

    // An event with what became of it in each lane.
    let found = wait::until("each lane has tried", PATIENCE, || {
        let one = story.host.get(&format!("{PATH}/a%2F1"))?.json()?;
        let state = |instance: &str| {
            let deliveries = one["data"]["deliveries"].as_array().expect("a list");
            deliveries.iter().find(|delivery| delivery["instance"] == instance).map(|delivery| delivery["state"].clone())
        };
        let states = [state("archive"), state("siem"), state("slow")];
        Ok((states == [Some(json!("delivered")), Some(json!("rejected")), Some(json!("retrying"))]).then_some(one.clone()))
    });
    let one = found.unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.get(&format!("{PATH}/a%2F1")).expect("answers").text()));
    assert_eq!((&one["data"]["severity"], &one["data"]["body"]["type"], &one["data"]["source_ip"]), (&json!("high"), &json!("login"), &json!("2001:db8::1")));
    let delivery =
        |instance: &str| one["data"]["deliveries"].as_array().expect("a list").iter().find(|delivery| delivery["instance"] == instance).expect("one").clone();
    assert!(delivery("siem")["dead_letter"].is_number() && delivery("siem")["attempts"] == 1, "{one:#}");
    assert!(delivery("slow")["next_attempt"].is_string() && delivery("slow")["attempts"] == 1, "{one:#}");
    // The same id again is the same event, as it is now.
    assert_eq!(post(&story, CLOUD, &event("b", "login", "critical", "09:00", "")).status, 201);
    wait::until("it is replaced", PATIENCE, || Ok((ids(&events(&story, "?severity=critical")) == ["b"]).then_some(()))).expect("replaced");
    caught_up(&story, 4);

    // Over a crash nothing is lost and nothing comes twice.
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("after", 3));
    caught_up(&story, 7);

    for (query, status, code) in [
        ("?severity=grave", 400, "bad_field"),
        ("?source_ip=1.2.3", 400, "bad_field"),
        ("?start_time=soon", 400, "bad_time"),
        ("?limit=9999", 400, "bad_limit"),
        ("?sql=1", 400, "unknown_field"),
        ("/nobody", 404, "not_found"),
        ("/%27%20OR%201=1", 404, "not_found"),
    ] {
        problem(&story.host.get(&format!("{PATH}{query}")).expect("answers"), status, code);
    }
    problem(&post(&story, "application/json", "[]"), 400, "no_event");
    problem(&post(&story, "application/json", r#"[{"id":"x","type":"t"},{"id":"y","type":"t"}]"#), 400, "one_event");
    problem(&post(&story, "application/cloudevents+json", r#"{"id":"x"}"#), 400, "invalid_event");
    problem(&post(&story, "application/json", "nonsense"), 400, "invalid_event");
    problem(&post(&story, "text/csv", "a,b"), 415, "content_type");
}

#[test]
fn without_an_index_it_says_so_and_takes_events_all_the_same() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    for path in [PATH.to_owned(), format!("{PATH}/x")] {
        let told = problem(&story.host.get(&path).expect("answers"), 404, "event_index_off");
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("event_index: {enabled: true}")), "{told}");
    }
    assert_eq!(post(&story, "application/json", r#"{"id":"x","type":"t","source":"/s"}"#).status, 201);
    story.settled();
    assert_eq!(story.lines("archive.ndjson").len(), 1);
}

#[test]
fn the_index_keeps_what_it_was_told_to() {
    let story = Story::start(&format!(
        "event_index: {{enabled: true, retention: 10s}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 3));
    wait::until("they are indexed", PATIENCE, || Ok((events(&story, "")["meta"]["total"] == 3).then_some(()))).expect("indexed");
    wait::until("they are too old", PATIENCE, || Ok((events(&story, "")["meta"]["total"] == 0).then_some(()))).expect("gone");
    let few = Story::start(&format!(
        "event_index: {{enabled: true, max_events: 100}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive")
    ));
    few.accept("application/x-ndjson", &copybook("e", 350));
    wait::until("the oldest are gone", PATIENCE, || Ok((events(&few, "")["meta"]["total"] == 100).then_some(()))).expect("bounded");
}

/// The database of the index is lost: events are taken and delivered all the same, the index says how far behind it is,
/// and once the journal has moved on past it how much it missed.
#[test]
fn an_index_whose_store_is_gone_holds_up_nothing() {
    const NAME: &str = "event_index::an_index_whose_store_is_gone_holds_up_nothing";
    if let Err(reason) = installed() {
        return skip(NAME, &reason);
    }
    let server = PostgresServer::start().expect("starts");
    let url = server.database().expect("a database");
    let story = Story::start(&format!(
        "store: {{url: \"{url}\", timeout: 1s}}\njournal: {{max_bytes: 4MiB, segment_bytes: 1MiB}}\nevent_index: {{enabled: true}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("before", 5));
    caught_up(&story, 5);
    server.stop().expect("stops");
    // More than the journal holds, on disk and in memory.
    let mut sent = 5;
    for chunk in 0..40 {
        story.accept("application/x-ndjson", &copybook(&format!("c{chunk}"), 1_000));
        sent += 1_000;
        story.settled();
    }
    assert_eq!(story.lines("archive.ndjson").len(), sent);
    let health = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert!(health["event_index"]["behind"].as_u64().is_some_and(|behind| behind > 0), "{}", health["event_index"]);
    let unavailable = story.host.get(PATH).expect("answers");
    assert_eq!(unavailable.status, 503, "{}", unavailable.text());
    server.go_on().expect("starts again");
    let mut last = Value::Null;
    let found = wait::until("the index has caught up", PATIENCE, || {
        let answer = story.host.get(&format!("{PATH}?limit=1"))?;
        if answer.status != 200 {
            return Ok(None);
        }
        last = answer.json()?;
        Ok((last["meta"]["index"]["behind"] == 0).then_some(()))
    });
    found.unwrap_or_else(|error| panic!("{error:#}\n{last:#}\n{}", story.host.log()));
    let (missed, total) = (last["meta"]["index"]["missed"].as_u64().expect("a number"), last["meta"]["total"].as_u64().expect("a number"));
    assert!(missed > 0, "{last:#}");
    assert_eq!(missed + total, sent as u64, "{last:#}");
}
