//! Events and requests that are sent again: journalled once, answered each time, across kill -9.

use std::sync::Barrier;

use bulkhead_tests::http::Response;
use serde_json::{Value, json};

use crate::story::{Story, copybook, file};

fn config(journal: &str) -> String {
    format!("journal: {journal}\ninstances:\n{}default_route: [{{instance: out, format: jsonl}}]\n", file("out"))
}

fn delivered(story: &Story) -> usize {
    story.settled();
    story.lines("out.ndjson").len()
}

#[track_caller]
fn keyed(story: &Story, key: &str, body: &str) -> Response {
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
    story.host.post_with("/events", &headers, body.as_bytes()).expect("answers")
}

#[track_caller]
fn problem(response: &Response, status: u16, code: &str) {
    let body: Value = response.json().expect("JSON");
    assert_eq!((response.status, body["code"].as_str()), (status, Some(code)), "{body}");
}

#[test]
fn a_repeated_event_is_delivered_once_before_and_after_kill_9() {
    let story = Story::start(&config("{dedup_window: 1h}"));
    let send = |story: &Story, prefix: &str, n| story.accept("application/x-ndjson", &copybook(prefix, n));
    assert_eq!(send(&story, "a", 3), json!({"accepted": 3}));
    assert_eq!(send(&story, "a", 5), json!({"accepted": 5, "duplicates": 3}));
    let scrape = story.when("counted", |scrape| scrape.sum("bulkhead_events_duplicate_total", &[]) == 3.0);
    assert_eq!(scrape.sum("bulkhead_events_accepted_total", &[]), 5.0);
    assert_eq!(scrape.sum("bulkhead_window_keys", &[("window", "events")]), 5.0);
    assert_eq!(delivered(&story), 5);
    let mut story = story.crash();
    assert_eq!(send(&story, "a", 6), json!({"accepted": 6, "duplicates": 5}));
    // And after an end in order, with what came in between.
    story.host.terminate(crate::story::PATIENCE).expect("stops");
    let story = story.crash();
    assert_eq!(send(&story, "a", 6), json!({"accepted": 6, "duplicates": 6}));
    assert_eq!(delivered(&story), 6);
    // Its own events know no duplicates, and an event without an id is never one.
    for _ in 0..2 {
        assert_eq!(story.accept("application/json", r#"{"n":1}"#)["accepted"], 1);
    }
    assert_eq!(delivered(&story), 8);
}

#[test]
fn of_the_same_event_at_once_one_is_journalled() {
    let story = Story::start(&config("{dedup_window: 1h}"));
    let (senders, rounds) = (8, 10);
    let barrier = Barrier::new(senders);
    let duplicates: u64 = std::thread::scope(|scope| {
        let send = || {
            let mut duplicates = 0;
            for round in 0..rounds {
                barrier.wait();
                let answer = story.accept("application/x-ndjson", &copybook(&format!("r{round}"), 4));
                assert_eq!(answer["accepted"], 4);
                duplicates += answer["duplicates"].as_u64().unwrap_or(0);
            }
            duplicates
        };
        let all: Vec<_> = (0..senders).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().expect("ends")).sum()
    });
    assert_eq!(duplicates, (senders as u64 - 1) * 4 * rounds);
    assert_eq!(delivered(&story), 4 * rounds as usize);
}

#[test]
fn without_a_window_every_event_counts_and_switching_off_leaves_nothing() {
    let story = Story::start(&config("{dedup_window: 1h}"));
    story.accept("application/x-ndjson", &copybook("a", 2));
    assert_eq!(delivered(&story), 2);
    let path = story.host.spec.config.clone();
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replace("1h", "0s")).expect("written");
    let story = story.crash();
    assert_eq!(story.accept("application/x-ndjson", &copybook("a", 2)), json!({"accepted": 2}));
    assert_eq!(delivered(&story), 4);
    let lanes = story.host.spec.data_dir.join("journal/lanes").read_dir().expect("lanes");
    let names: Vec<String> = lanes.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("dedup")), "{names:?}");
}

#[test]
fn an_idempotency_key_gives_the_first_answer_again_before_and_after_kill_9() {
    let story = Story::start(&config("{}"));
    // Without ids: the ids that were given are part of the answer.
    let body = "{\"n\":1}\n{\"n\":2}\n";
    let first = keyed(&story, "k-1", body);
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (202, None), "{}", first.text());
    assert_eq!(first.json().expect("JSON")["ids"].as_array().map(Vec::len), Some(2));
    let again = keyed(&story, "\"k-1\"", body);
    assert_eq!((again.status, again.text(), again.headers.get("idempotent-replayed")), (202, first.text(), Some("true")));
    problem(&keyed(&story, "k-1", "{\"n\":3}\n"), 422, "idempotency_key_reused");
    problem(&keyed(&story, &"k".repeat(256), body), 400, "invalid_idempotency_key");
    // What was refused may be corrected under its key.
    problem(&keyed(&story, "k-2", "{\"n\":}\n"), 400, "invalid_events");
    assert_eq!(keyed(&story, "k-2", "{\"n\":3}\n").status, 202);
    assert_eq!(delivered(&story), 3);
    let story = story.crash();
    let after = keyed(&story, "k-1", body);
    assert_eq!((after.status, after.text()), (202, first.text()));
    problem(&keyed(&story, "k-1", "{\"n\":3}\n"), 422, "idempotency_key_reused");
    assert_eq!(keyed(&story, "k-3", body).status, 202);
    assert_eq!(delivered(&story), 5);
    assert_eq!(
        story.when("counted", |scrape| scrape.sum("bulkhead_window_keys", &[("window", "answers")]) == 3.0).sum("bulkhead_events_accepted_total", &[]),
        2.0
    );
}

#[test]
fn an_idempotency_key_belongs_to_its_token() {
    let story = Story::listening(r#"{api: "127.0.0.1:0", http: {addr: "127.0.0.1:0", tokens: [first-token-1, second-token-2]}}"#, &config("{}"));
    let send = |token: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k"), ("authorization", &format!("Bearer {token}")[..])];
        story.host.post_with("/events", &headers, body.as_bytes()).expect("answers")
    };
    assert_eq!(send("first-token-1", r#"{"n":1}"#).status, 202);
    assert_eq!(send("second-token-2", r#"{"n":2}"#).status, 202);
    problem(&send("second-token-2", r#"{"n":1}"#), 422, "idempotency_key_reused");
    assert_eq!(delivered(&story), 2);
}

#[test]
fn of_the_same_key_at_once_one_is_appended() {
    let story = Story::start(&config("{}"));
    let barrier = Barrier::new(8);
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let send = || {
            barrier.wait();
            keyed(&story, "k", "{\"n\":1}\n")
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().expect("ends")).collect()
    });
    let taken: Vec<_> = answers.iter().filter(|answer| answer.status == 202).map(Response::text).collect();
    assert!(!taken.is_empty() && taken.iter().all(|text| *text == taken[0]), "{taken:?}");
    for other in answers.iter().filter(|answer| answer.status != 202) {
        problem(other, 409, "idempotency_key_in_use");
        assert_eq!(other.headers.get("retry-after"), Some("1"));
    }
    assert_eq!(delivered(&story), 1);
}
