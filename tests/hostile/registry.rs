//! Components that are hostile before they run, uploads that are, and versions that misbehave: through the
//! real binary and its API.

#[allow(dead_code, reason = "stories use more of it")]
#[path = "../it/made.rs"]
mod made;

mod bombs;
mod taking;
mod versions;

use std::time::{Duration, Instant};

use crate::toolkit::story::{PATIENCE, Story};
use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::wait;
use serde_json::Value;

const CONNECTORS: &str = "/api/integration/connectors";

/// Uploads; the answer must come within `limit`.
#[track_caller]
fn upload_within(story: &Story, query: &str, bytes: &[u8], limit: Duration) -> Response {
    let start = Instant::now();
    let mut client = Client::new(story.host.api).limit(limit);
    let answer = client.send("POST", &format!("{CONNECTORS}{query}"), &[("Content-Type", "application/wasm")], bytes).expect("answers in time");
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    answer
}

#[track_caller]
fn upload(story: &Story, query: &str, bytes: &[u8]) -> Response {
    upload_within(story, query, bytes, PATIENCE)
}

/// An upload that is refused with these words.
#[track_caller]
fn refused(story: &Story, query: &str, bytes: &[u8], status: u16, detail: &str) {
    let answer = upload(story, query, bytes);
    let problem = answer.json().expect("a problem document");
    assert_eq!((answer.status, problem["detail"].as_str().unwrap_or_default()), (status, detail));
}

/// An upload that is taken.
#[track_caller]
fn taken(story: &Story, query: &str, bytes: &[u8]) -> Value {
    let answer = upload(story, query, bytes);
    assert_eq!(answer.status, 201, "{}\n{}", answer.text(), story.host.log());
    answer.json().expect("JSON")["data"].clone()
}

/// Does something to a version.
fn act(story: &Story, name: &str, digest: &str, verb: &str) -> (u16, Value) {
    let answer = Client::new(story.host.api).send("POST", &format!("{CONNECTORS}/{name}/versions/{digest}/{verb}"), &[], b"").expect("answers");
    (answer.status, answer.json().unwrap_or_default())
}

fn shown(story: &Story, name: &str) -> Value {
    story.host.get(&format!("{CONNECTORS}/{name}")).expect("answers").json().expect("JSON")["data"].clone()
}

#[track_caller]
fn logged(story: &Story, words: &str) {
    wait::until(words, PATIENCE, || Ok(story.host.log().contains(words).then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
}

/// Waits until the lane of an instance is held for this cause, and answers it.
#[track_caller]
fn held(story: &Story, instance: &str, cause: &str) -> Value {
    wait::until(cause, PATIENCE, || Ok(Some(story.lane(instance)).filter(|lane| lane["held"] == cause)))
        .unwrap_or_else(|error| panic!("{error:#}: {:#}\n{}", story.lane(instance), story.host.log()))
}
