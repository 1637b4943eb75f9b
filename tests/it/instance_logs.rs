//! The log of each instance: what failed and came through again, what people did, what guests say; filtered, bounded,
//! and without anything that is sealed.

use std::fs;
use std::path::Path;

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::{Guarded, problem};
use crate::story::{PATIENCE, Story, copybook, file, hec, receiver};
use crate::tap::Listener;

/// Entries of a list, once they fit.
#[track_caller]
fn logs(story: &Story, query: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut last = Value::Null;
    let found = wait::until(query, PATIENCE, || {
        let answer = story.host.get(&format!("/api/integration/logs{query}"))?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        last = answer.json()?;
        let entries = last["data"].as_array().expect("a list").clone();
        Ok(Some(entries).filter(|entries| fits(entries)))
    });
    found.unwrap_or_else(|error| panic!("{error:#}\n{last:#}\n{}", story.host.log()))
}

#[test]
fn the_log_says_what_failed_and_what_came_through_again() {
    let receiver = receiver("503x3;400;ok");
    let breaker = "    circuit_breaker: {failure_threshold: 2, open_for: 100ms}\n";
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &receiver, breaker),
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    // As many successes as close the breaker.
    for n in 0..4 {
        story.accept("application/x-ndjson", &copybook(&format!("more{n}"), 1));
        story.settled();
    }
    let has = |entries: &[Value], log_type: &str, operation: &str| entries.iter().any(|entry| entry["log_type"] == log_type && entry["operation"] == operation);
    let entries = logs(&story, "/siem", |entries| has(entries, "success", "deliver") && has(entries, "error", "dead_letters"));
    assert!(has(&entries, "error", "deliver") && has(&entries, "warning", "breaker") && has(&entries, "success", "breaker"), "{entries:#?}");
    let failed = entries.iter().find(|entry| entry["log_type"] == "error" && entry["operation"] == "deliver").expect("one");
    assert_eq!((failed["instance"].as_str(), failed["details"]["format"].as_str()), (Some("siem"), Some("cef")), "{failed}");
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("unavailable")) && failed["id"].is_string(), "{failed}");
    // Newest first, and nothing of others.
    let times: Vec<&str> = entries.iter().map(|entry| &entry["timestamp"].as_str().expect("a time")[..19]).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");
    assert!(entries.iter().all(|entry| entry["instance"] == "siem"));
    assert!(logs(&story, "/archive", |_| true).is_empty());

    // Filters and pages.
    let errors = logs(&story, "?type=error&instance=siem", |entries| !entries.is_empty());
    assert!(errors.iter().all(|entry| entry["log_type"] == "error"), "{errors:#?}");
    assert_eq!(logs(&story, "?type=error,success&operation=breaker", |_| true).len(), 1);
    let said = logs(&story, "?text=DEAD%20letters", |_| true);
    assert!(!said.is_empty() && said.iter().all(|entry| entry["message"].as_str().is_some_and(|text| text.contains("dead letters"))), "{said:#?}");
    assert!(logs(&story, "?until=2020-01-01T00:00:00Z", |_| true).is_empty());
    let page = story.host.get("/api/integration/logs/siem?limit=2&since=2020-01-01T00:00:00Z").expect("answers").json().expect("JSON");
    assert_eq!((page["data"].as_array().map(Vec::len), page["meta"]["total"].as_u64()), (Some(2), Some(entries.len() as u64)), "{page:#}");
    let next = page["links"]["next"].as_str().expect("more");
    let following = story.host.get(next).expect("answers").json().expect("JSON");
    assert_eq!(following["data"][0]["id"], entries[2]["id"], "{following:#}");

    // What is no filter, and what would be SQL.
    let get = |query: &str| story.host.get(&format!("/api/integration/logs{query}")).expect("answers");
    problem(&get("?type=grave"), 400, "bad_field");
    problem(&get("?since=yesterday"), 400, "bad_time");
    problem(&get("?limit=0"), 400, "bad_limit");
    problem(&get("?offset=-1"), 400, "bad_field");
    problem(&get("?sync_id=1"), 400, "bad_field");
    problem(&get(&format!("?text={}", "x".repeat(257))), 400, "bad_field");
    problem(&get("?text=%00"), 400, "bad_field");
    problem(&get("/nobody"), 404, "not_found");
    for hostile in ["%27%20OR%20%271%27=%271", "%25%27%3B%20DROP%20TABLE%20logs%3B--", "%5C"] {
        assert!(logs(&story, &format!("?text={hostile}"), |_| true).is_empty(), "{hostile}");
        assert!(logs(&story, &format!("?instance={hostile}&operation={hostile}"), |_| true).is_empty(), "{hostile}");
    }
    assert!(logs(&story, "/siem", |_| true).len() >= entries.len());
}

#[test]
fn what_people_do_and_ask_is_said_with_who_it_was() {
    let guarded = Guarded::start();
    let (operator, id) = guarded.make(json!({"name": "operator", "roles": ["integration_admin"]}));
    for verb in ["pause", "resume"] {
        assert_eq!(guarded.with(&operator, "POST", &format!("/api/integration/instances/archive/{verb}"), "").status, 200);
    }
    let hostile = "{\"operation\": \"no\\u001b[2J\\nsuch\", \"parameters\": {}}";
    let refused = guarded.with(&operator, "POST", "/api/integration/instances/archive/query", hostile);
    assert!(refused.status >= 400);
    let found = wait::until("three entries", PATIENCE, || {
        let entries = guarded.with(&operator, "GET", "/api/integration/logs/archive", "").json()?["data"].as_array().expect("a list").clone();
        Ok(Some(entries).filter(|entries| entries.len() >= 3))
    });
    let entries = found.expect("written");
    let of = |operation: &str| entries.iter().find(|entry| entry["operation"] == operation).unwrap_or_else(|| panic!("{operation}: {entries:#?}"));
    for operation in ["instances.pause", "instances.resume", "query"] {
        assert_eq!(of(operation)["user"], format!("key:{id}"), "{entries:#?}");
    }
    assert_eq!((&of("instances.pause")["log_type"], &of("query")["log_type"]), (&json!("info"), &json!("warning")));
    let message = of("query")["message"].as_str().expect("text");
    assert!(!message.contains(['\u{1b}', '\n']), "{message}");
}

#[test]
fn what_is_too_old_goes() {
    let down = receiver("503*");
    let story = Story::start(&format!("logs: {{retention: 3s}}\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &down, "")));
    story.accept("application/x-ndjson", &copybook("e", 1));
    logs(&story, "/siem", |entries| !entries.is_empty());
    // A lane that fails on and on is said once a minute, so that nothing follows.
    logs(&story, "/siem", |entries| entries.is_empty());
}

const CLEAR: &str = "clear-text-of-a-secret-4711";
/// Of ids and types, by which dead letters are told apart: the table of letters has them in the clear.
const NAME: &str = "hidden-name-4712";

/// Files below a folder that hold the clear text.
fn holding(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(CLEAR.len()).any(|window| window == CLEAR.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Fields that are sealed or redacted, by the rules of all or by those of one instance, show up nowhere: not in the
/// live view, not in logs, not in the index, not in its file. To ask for a hidden value finds nothing.
#[test]
fn what_is_sealed_is_shown_nowhere() {
    let key = "02xyblv7Lm1dG9GFXRtnaLu5TeOJmr8Xjjhshe06AYk=";
    let refusing = receiver("400*");
    let story = Story::start(&format!(
        "encryption: {{key: \"{key}\", at_rest: true, fields: [/user, /data/token, /data/id], redact: [/data/pin, /data/type]}}\nevent_index: {{enabled: true, body: true}}\ninstances:\n{}    encryption: {{fields: [/data/own]}}\n{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &refusing, ""),
        file("archive")
    ));
    let mut all = Listener::start(&story, "body=true", None);
    let mut oracle = Listener::start(&story, &format!("type={NAME}-type,plain&outcome=accepted"), None);
    let event = json!({
        "id": format!("{NAME}-id"), "type": format!("{NAME}-type"), "source": "/s", "user": format!("{CLEAR}-user"),
        "token": CLEAR, "pin": CLEAR, "own": CLEAR, "open": "seen",
    });
    story.accept("application/json", &event.to_string());
    story.accept("application/json", r#"{"id":"after","type":"plain","source":"/s"}"#);
    story.settled();
    // Both accepted, delivered by one and refused by the other.
    let shown = all.until(6, |_, _| true);
    let text = json!(shown).to_string();
    assert!(!text.contains(CLEAR) && !text.contains(NAME), "{text}");
    assert!(text.contains("seen") && text.contains("bhs1:") && text.contains("[redacted]"), "{text}");
    // What was asked for in the clear went by in silence.
    assert!(oracle.is_silent());

    let events = wait::until("both events are indexed", PATIENCE, || {
        let page = story.host.get("/api/v2/events")?.json()?;
        Ok(Some(page).filter(|page| page["data"].as_array().is_some_and(|events| events.len() == 2)))
    });
    let events = events.unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let text = events.to_string();
    assert!(!text.contains(CLEAR) && !text.contains(NAME) && text.contains("bhs1:") && text.contains("seen"), "{text}");
    let none = story.host.get(&format!("/api/v2/events?event_type={NAME}-type")).expect("answers").json().expect("JSON");
    assert_eq!(none["meta"]["total"], 0, "{none}");
    // By the id that is shown, with what became of it.
    let sealed = events["data"].as_array().expect("a list").iter().find(|event| event.to_string().contains("seen")).expect("one").clone();
    let id = sealed["id"].as_str().expect("text").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let one = story.host.get(&format!("/api/v2/events/{id}")).expect("answers").json().expect("JSON");
    let siem = one["data"]["deliveries"].as_array().expect("a list").iter().find(|delivery| delivery["instance"] == "siem").expect("one").clone();
    assert_eq!(siem["state"], "rejected", "{one:#}");
    assert!(!one.to_string().contains(CLEAR) && !one.to_string().contains(NAME), "{one}");

    logs(&story, "/siem", |entries| entries.iter().any(|entry| entry["operation"] == "dead_letters"));
    let mut client = Client::new(story.host.api);
    let posted = client.send("POST", "/api/v2/events", &[("Content-Type", "application/json")], event.to_string().replace("-id", "-other").as_bytes());
    let posted = posted.expect("answers");
    assert_eq!(posted.status, 201, "{}", posted.text());
    assert!(!posted.text().contains(CLEAR) && !posted.text().contains(NAME), "{}", posted.text());
    let everything = logs(&story, "", |_| true);
    let everything = json!(everything).to_string();
    assert!(!everything.contains(CLEAR) && !everything.contains(NAME), "{everything}");
    assert!(!story.host.log().contains(CLEAR));
    story.settled();
    assert_eq!(holding(&story.dir.path().join("data")), Vec::<String>::new());
}
