//! The `rest-pull` connector: records of Alertmanager, which others wrote, and of an API that pages by token.

use std::collections::BTreeSet;
use std::process::Command;

use bulkhead_tests::receiver::Step;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::rest::alertmanager;
use crate::story::{PATIENCE, Story, binary, file};
use crate::vendor::{Vendor, rule};

fn start(url: &str, config: &str) -> Story {
    Story::start(&format!(
        "journal: {{dedup_window: 1h}}\ninstances:\n  api:\n    connector: rest-pull\n    config: {config}\n    pull: {{interval: 1s}}\n    destinations: {{primary: {{url: \"{url}\", methods: [GET]}}}}\n{}default_route: [{{instance: all, format: json}}]\n",
        file("all")
    ))
}

#[track_caller]
fn until(story: &Story, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let found = wait::until(what, PATIENCE, || Ok(Some(story.records("all.ndjson")).filter(|records| holds(records))));
    found.unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", story.lines("all.ndjson"), story.host.log()))
}

#[test]
fn alerts_come_in_with_each_of_their_changes() {
    let Some(alerts) = alertmanager("rest_pull::alerts_come_in_with_each_of_their_changes") else { return };
    let raise = |name: &str, note: &str| {
        let body = json!([{"labels": {"alertname": name}, "annotations": {"note": note}, "startsAt": "2026-01-02T03:04:05Z"}]);
        assert_eq!(alerts.post("/api/v2/alerts", &body.to_string()).status, 200);
    };
    ["a", "b", "c"].into_iter().for_each(|name| raise(name, "first"));
    let story = start(&alerts.url(), "{path: /api/v2/alerts, kind: alert, id: /fingerprint, time: /updatedAt}");
    let records = until(&story, "three alerts", |records| records.len() >= 3);
    let names: BTreeSet<&str> = records.iter().filter_map(|record| record["data"]["labels"]["alertname"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["a", "b", "c"]));
    for record in &records {
        assert_eq!((record["type"].as_str(), &record["subject"]), (Some("record.alert"), &record["data"]["fingerprint"]));
        // Ours has the digits of theirs, in UTC.
        assert_eq!(record["time"].as_str().map(|time| &time[..19]), record["data"]["updatedAt"].as_str().map(|time| &time[..19]));
    }
    // The list comes whole each time; what is known is dropped, a change is not.
    story.when("the list was read again", |scrape| scrape.sum("bulkhead_pulls_total", &[("result", "taken")]) >= 3.0);
    raise("b", "second");
    let records = until(&story, "the change is here", |records| records.iter().any(|record| record["data"]["annotations"]["note"] == "second"));
    assert_eq!(records.len(), 4, "{records:?}");

    let output = Command::new(binary())
        .args(["query", "api", "get", r#"{"path": "/api/v2/status"}"#, "--api", &format!("http://{}", story.host.api)])
        .output()
        .expect("runs");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(status["versionInfo"]["version"].is_string(), "{status}");
}

/// Tickets by number: when they last changed.
type Tickets = std::collections::BTreeMap<u32, u64>;

/// Two tickets a page, the newest first, the same list for all its pages.
fn tickets() -> Vendor<Tickets> {
    Vendor::start("", |head, _, tickets: &mut Tickets, _| {
        let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
        rule(path == "/tickets", "the path is that of the list", || Step::status(404))?;
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name)).map(|(_, value)| value.to_owned());
        let since: u64 = parameter("from").map_or(Ok(0), |from| from.parse()).unwrap_or(u64::MAX);
        let skip: usize = parameter("cursor").map_or(Ok(0), |cursor| cursor.parse()).unwrap_or(usize::MAX);
        let mut list: Vec<_> = tickets.iter().filter(|(_, at)| **at >= since).collect();
        list.sort_by_key(|(number, at)| std::cmp::Reverse((**at, **number)));
        let page: Vec<Value> = list.iter().skip(skip).take(2).map(|(number, at)| json!({"id": number, "at": at})).collect();
        let next = (list.len() > skip + 2).then(|| (skip + 2).to_string());
        Ok(Step::answer(200, json!({"data": page, "meta": {"next": next}}).to_string()))
    })
}

#[test]
fn pages_by_token_lose_nothing_over_a_crash() {
    let api = tickets();
    let change = |number: u32, at: u64| api.change(|tickets| _ = tickets.insert(number, at));
    // Several share a moment.
    (1..=9).for_each(|number| change(number, 1_767_323_045_000 + u64::from(number / 4)));
    let config = "{path: /tickets, items: /data, kind: ticket, time: /at, time_unit: millis, since: from, token: /meta/next, token_parameter: cursor}";
    let story = start(&api.receiver.url(), config);
    let numbers = |records: &[Value]| records.iter().map(|record| record["subject"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    let first = until(&story, "all tickets", |records| records.len() >= 9);
    assert_eq!(numbers(&first).iter().collect::<BTreeSet<_>>().len(), 9);
    // What a lane had not settled comes again; this is about the cursor of the pull.
    story.settled();
    let story = story.crash();
    change(10, 1_767_323_045_002);
    change(3, 1_767_323_046_000);
    let second = until(&story, "what changed", |records| records.len() >= 11);
    let mut new = numbers(&second[9..]);
    new.sort();
    assert_eq!(new, ["10", "3"]);
    story.when("it was asked again", |scrape| scrape.sum("bulkhead_pulls_total", &[("result", "taken")]) >= 3.0);
    assert_eq!(story.lines("all.ndjson").len(), 11);
    api.kept_the_rules();
}

/// Some servers write what is no JSON: such a record holds the others up for a while, never for good.
#[test]
fn a_record_that_is_no_event_is_left_out_and_a_pause_shows() {
    let api: Vendor<()> = Vendor::start("", |_, _, (), _| {
        let record = |number: u32, more: &str| format!(r#"{{"id":{number},"at":{number}{more}}}"#);
        Ok(Step::answer(200, format!("[{},{},{}]", record(1, ""), record(2, r#","score":NaN"#), record(3, ""))))
    });
    let url = api.receiver.url();
    let story = Story::start(&format!(
        "own_events: {{enabled: true}}\ninstances:\n  api:\n    connector: rest-pull\n    config: {{path: /tickets, time: /at, time_unit: seconds, since: from}}\n    pull: {{interval: 1s}}\n    destinations: {{primary: {{url: \"{url}\", methods: [GET]}}}}\n{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}], exclusive: true}}\ndefault_route: [{{instance: all, format: json}}]\n",
        file("all"),
        file("news"),
    ));
    let records = until(&story, "the others are here", |records| records.len() >= 2);
    assert_eq!(records.iter().map(|record| record["subject"].as_str().unwrap_or_default()).collect::<Vec<_>>(), ["1", "3"]);
    let told = wait::until("it is told", PATIENCE, || Ok(story.records("news.ndjson").into_iter().find(|news| news["type"] == "bulkhead.sync.left_out")));
    let told = told.unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert_eq!((&told["subject"], &told["data"]["records"]), (&json!("api"), &json!(1)), "{told}");
    assert!(told["data"]["reason"].as_str().is_some_and(|reason| reason.starts_with("pull: event 1 is none: ")), "{told}");

    let paused = Command::new(binary()).args(["instance", "pause", "api", "--api", &format!("http://{}", story.host.api)]).output().expect("runs");
    assert!(paused.status.success());
    let idle = || story.host.get("/api/integration/health").expect("answers").json().expect("JSON")["pulls"][0]["idle"].clone();
    wait::until("health says that it is held", PATIENCE, || Ok((idle() == "held").then_some(()))).expect("held");
}
