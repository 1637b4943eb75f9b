//! What an operator types: dead letters, pausing, the offline journal tools.

use std::process::{Command, Output};

use bulkhead_tests::http::Client;
use bulkhead_tests::receiver::Script;
use bulkhead_tests::wait;
use serde_json::Value;

use crate::story::{PATIENCE, Story, binary, copybook, hec, receiver};

fn bulkhead(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().expect("runs")
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let output = bulkhead(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_purged() {
    let target = receiver("400*");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &target, "")));
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.when("both are dead", |scrape| scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem")]) == 2.0);
    let api = format!("http://{}", story.host.api);
    let list = json(&["--json", "dlq", "--api", &api, "list", "--instance", "siem", "--cause", "rejected"]);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
    let id = list["data"][0]["id"].to_string();
    let shown = json(&["--json", "dlq", "--api", &api, "show", &id]);
    assert!(shown["data"]["original"].as_str().is_some_and(|text| text.contains("\"event_id\":\"e-")), "{shown}");

    // Everything must be asked for by name.
    let refused = bulkhead(&["dlq", "--api", &api, "purge"]);
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    target.play(Script::default());
    let replayed = json(&["--json", "dlq", "--api", &api, "replay", "--id", &id]);
    assert_eq!(replayed["replaying"], 1);
    // A letter goes only once its lane has settled the event, which is after the count of deliveries.
    let left = || json(&["--json", "dlq", "--api", &api, "list"])["meta"]["total"].clone();
    wait::until("it is delivered and gone", PATIENCE, || Ok((left() == 1).then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let purged = json(&["--json", "dlq", "--api", &api, "purge", "--all"]);
    assert_eq!(purged["purged"], 1);
    assert_eq!(left(), 0);
}

#[test]
fn a_paused_instance_waits_and_goes_on() {
    let target = receiver("");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &target, "")));
    let post = |path: &str| Client::new(story.host.api).send("POST", path, &[], b"").expect("answers").status;
    assert_eq!(post("/api/integration/instances/siem/pause"), 200);
    assert_eq!(story.lane("siem")["held"], "paused");
    story.accept("application/x-ndjson", &copybook("e", 3));
    assert_eq!(story.lane("siem")["backlog"], 3);
    assert_eq!(post("/api/integration/instances/siem/resume"), 200);
    story.settled();
    assert_eq!(post("/api/integration/instances/nobody/pause"), 404);
}

#[test]
fn the_journal_of_a_stopped_host_is_looked_at_and_exported() {
    let down = receiver("503*");
    let mut story = Story::start(&format!("drain: 100ms\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &down, "")));
    story.accept("application/x-ndjson", &copybook("e", 4));
    let dir = story.host.spec.data_dir.join("journal");
    let dir = dir.to_str().expect("UTF-8");
    assert!(!bulkhead(&["journal", "repair", "--dir", dir]).status.success(), "the host runs");
    story.host.terminate(PATIENCE).expect("stops");
    let report = json(&["--json", "journal", "verify", "--dir", dir]);
    assert_eq!((report["last"].as_u64(), report["faults"].as_array().map(Vec::len)), (Some(4), Some(0)), "{report}");
    assert_eq!(json(&["--json", "journal", "inspect", "--dir", dir])["lanes"][0]["backlog"], 4);
    let exported = bulkhead(&["journal", "export", "--dir", dir, "--from", "2", "--to", "3"]);
    let lines: Vec<Value> = String::from_utf8_lossy(&exported.stdout).lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(lines.iter().map(|line| line["event_id"].as_str().unwrap_or_default()).collect::<Vec<_>>(), ["e-1", "e-2"]);
    assert_eq!(json(&["--json", "journal", "repair", "--dir", dir])["repaired"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_editor_schema_is_a_json_schema() {
    let schema = json(&["config", "schema"]);
    assert_eq!(schema["$ref"], "#/$defs/bulkhead");
    let keys = &schema["$defs"]["bulkhead"]["properties"];
    assert!(keys["instances"].is_object() && keys["listen"].is_object(), "{keys}");
}
