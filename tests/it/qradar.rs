//! QRadar: offenses come in once for each change, over crashes and outages; searches are asked.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, binary, file};
use crate::vendor::{Broken, Vendor, broken, rule};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// What the console keeps.
#[derive(Default)]
struct Console {
    /// By number: time of the last change, magnitude.
    offenses: BTreeMap<i64, (i64, i64)>,
    searches: u32,
}

fn error(status: u16, code: u32, message: &str) -> Step {
    Step::answer(
        status,
        json!({"http_response": {"code": status, "message": "x"}, "code": code, "description": "", "details": {}, "message": message}).to_string(),
    )
}

fn percent_decoded(text: &str) -> String {
    let (mut out, bytes, mut at) = (Vec::new(), text.as_bytes(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).expect("hex"));
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

fn parameter(path: &str, name: &str) -> Option<String> {
    let query = path.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name)).map(|(_, value)| percent_decoded(value))
}

fn console(down: Arc<AtomicBool>) -> Vendor<Console> {
    Vendor::start("", move |head, _, console: &mut Console, _| {
        if down.load(Ordering::SeqCst) {
            return Ok(error(503, 1020, "the console restarts"));
        }
        let header = |name: &str| head.headers.get(name).unwrap_or_default().to_owned();
        rule(header("sec") == TOKEN, "SEC is the token", || error(401, 1, "no"))?;
        rule(header("version") == "20.0", "Version is named", || error(422, 1005, "version"))?;
        rule(header("accept") == "application/json", "Accept is JSON", || error(422, 1005, "accept"))?;
        let path = head.path.split('?').next().unwrap_or_default();
        match (head.method.as_str(), path) {
            ("GET", "/api/system/about") => Ok(Step::answer(200, r#"{"release_name":"7.5.0","external_version":"7.5.0","build_version":"1"}"#)),
            ("GET", "/api/siem/offenses") => offenses(head, console),
            ("POST", "/api/ariel/searches") => {
                let aql = parameter(&head.path, "query_expression").unwrap_or_default();
                rule(aql.starts_with("SELECT ") && aql.contains(" LAST "), "the AQL says its time", || error(422, 2000, "bad AQL"))?;
                console.searches += 1;
                Ok(Step::answer(201, r#"{"search_id":"s-1","status":"WAIT","progress":0}"#))
            }
            ("GET", "/api/ariel/searches/s-1") => {
                rule(header("prefer") == "wait=5", "it waits at the console", || error(422, 1005, "prefer"))?;
                Ok(Step::answer(200, r#"{"search_id":"s-1","status":"COMPLETED","progress":100}"#))
            }
            ("GET", "/api/ariel/searches/s-1/results") => Ok(Step::answer(200, r#"{"events":[{"sourceip":"10.0.0.1","eventcount":1.0}]}"#)),
            _ => Err(broken(format!("{} {path} is none of the API", head.method), error(404, 1002, "no such path"))),
        }
    })
}

fn offenses(head: &Head, console: &Console) -> Result<Step, Broken> {
    let filter = parameter(&head.path, "filter").unwrap_or_default();
    let since = filter.strip_prefix("last_persisted_time>=").and_then(|rest| rest.split(' ').next()?.parse::<i64>().ok());
    rule(since.is_some(), format!("the filter begins with a time: {filter}"), || error(422, 1010, "filter"))?;
    rule(parameter(&head.path, "sort").as_deref() == Some("+last_persisted_time"), "it is sorted by the change", || error(422, 1030, "sort"))?;
    let range = head.headers.get("range").and_then(|range| range.strip_prefix("items=")?.split_once('-'));
    let bounds = range.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
    rule(bounds.is_some(), "the range counts items", || error(422, 1005, "range"))?;
    let (first, last) = bounds.unwrap_or_default();
    let mut found: Vec<(i64, i64, i64)> =
        console.offenses.iter().filter(|(_, (time, _))| *time >= since.unwrap_or_default()).map(|(id, (time, magnitude))| (*time, *id, *magnitude)).collect();
    // The order of equals is the console's affair.
    found.sort_by_key(|(time, id, _)| (*time, std::cmp::Reverse(*id)));
    let page: Vec<Value> = found
        .iter()
        .skip(first)
        .take(last + 1 - first)
        .map(
            |(time, id, magnitude)| json!({"id": id, "status": "OPEN", "magnitude": magnitude, "last_persisted_time": time, "description": "Multiple\nlogins"}),
        )
        .collect();
    Ok(Step::answer(200, Value::Array(page).to_string()))
}

fn start(console: &Vendor<Console>) -> Story {
    let url = console.receiver.url();
    Story::start(&format!(
        "own_events: {{enabled: true}}\ninstances:\n  siem:\n    connector: qradar\n    config: {{filter: \"status=OPEN\"}}\n    pull: {{interval: 1s}}\n    query_cache: {{operations: [search], ttl: 3s}}\n    destinations: {{primary: {{url: \"{url}\", methods: [GET, POST], credential: qradar}}}}\n{}{}credentials:\n  qradar: {{type: header, name: SEC, value: \"{TOKEN}\"}}\nroutes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}], exclusive: true}}\ndefault_route: [{{instance: all, format: json}}]\n",
        file("all"),
        file("news"),
    ))
}

fn ids(story: &Story) -> Vec<String> {
    story.records("all.ndjson").iter().map(|record| record["id"].as_str().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn until(story: &Story, what: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    let found = wait::until(what, PATIENCE, || Ok(Some(ids(story)).filter(|ids| holds(ids))));
    found.unwrap_or_else(|error| panic!("{error:#}\n{} records\n{}", ids(story).len(), story.host.log()))
}

fn change(console: &Vendor<Console>, id: i64, time: i64, magnitude: i64) {
    console.change(|state| _ = state.offenses.insert(id, (time, magnitude)));
}

fn bulkhead(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(args).args(["--api", &api]).output().expect("runs")
}

#[test]
fn offenses_come_in_once_for_each_change_whatever_happens() {
    let down = Arc::new(AtomicBool::new(false));
    let console = console(Arc::clone(&down));
    // Three pages; 150 of one millisecond lie across the end of the first.
    for id in 1..=250 {
        change(
            &console,
            id,
            1_767_323_045_000
                + if id <= 60 {
                    id
                } else if id <= 210 {
                    100
                } else {
                    id
                },
            id % 11,
        );
    }
    let story = start(&console);
    let mut all = until(&story, "all offenses are here", |ids| ids.len() >= 250);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 250, "each once");
    let record = story.records("all.ndjson").into_iter().find(|record| record["subject"] == "20").expect("there");
    assert_eq!(
        (record["type"].as_str(), record["severity"].as_str(), record["time"].as_str()),
        (Some("record.offense"), Some("critical"), Some("2026-01-02T03:04:05.020Z"))
    );
    assert_eq!((record["data"]["id"].as_i64(), record["data"]["description"].as_str()), (Some(20), Some("Multiple\nlogins")));

    // A change is an event of its own, and a crash repeats nothing whose cursor was kept.
    change(&console, 7, 1_767_323_050_000, 9);
    until(&story, "the change is here", |ids| ids.contains(&"offense-7-1767323050000".to_owned()));
    let taken = |story: &Story, pages: f64| story.when("it is asked", |scrape| scrape.sum("bulkhead_pulls_total", &[("result", "taken")]) >= pages);
    taken(&story, 5.0);
    // What a lane had not settled comes again; this is about the cursor of the pull.
    story.settled();
    let story = story.crash();
    taken(&story, 2.0);
    change(&console, 8, 1_767_323_051_000, 9);
    let after = until(&story, "it goes on", |ids| ids.contains(&"offense-8-1767323051000".to_owned()));
    assert_eq!(after.len(), 252, "{after:?}");

    // An outage is told once, seen in health, and its end told.
    down.store(true, Ordering::SeqCst);
    let health = || story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    wait::until("health says so", PATIENCE, || Ok((health()["status"] == "degraded").then_some(()))).expect("degraded");
    assert!(health()["pulls"][0]["last_error"].as_str().is_some_and(|error| error.contains("the console restarts")), "{}", health());
    down.store(false, Ordering::SeqCst);
    wait::until("it is well again", PATIENCE, || Ok((health()["status"] == "healthy").then_some(()))).expect("healthy");
    let news = || {
        story
            .records("news.ndjson")
            .iter()
            .filter_map(|news| Some(news["type"].as_str()?.to_owned()))
            .filter(|kind| kind.contains(".sync."))
            .collect::<Vec<_>>()
    };
    wait::until("the news are here", PATIENCE, || Ok((news() == ["bulkhead.sync.failed", "bulkhead.sync.recovered"]).then_some(()))).expect("told");

    // From the beginning, by hand.
    assert!(bulkhead(&story, &["pull", "siem", "--anew"]).status.success());
    until(&story, "all come again", |ids| ids.len() == 502);
    assert!(!story.host.log().contains(TOKEN));
    console.kept_the_rules();
}

#[test]
fn questions_are_put_to_the_console() {
    let console = console(Arc::default());
    let story = start(&console);
    let output = bulkhead(&story, &["query", "siem", "search", r#"{"aql": "SELECT sourceip FROM events LAST 10 MINUTES"}"#]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(answer, json!({"search_id": "s-1", "status": "COMPLETED", "results": {"events": [{"sourceip": "10.0.0.1", "eventcount": 1.0}]}}));
    // Digits stay as the console wrote them.
    assert!(String::from_utf8_lossy(&output.stdout).contains("1.0"));
    for (args, code, part) in [
        (&["query", "siem", "drop"][..], 1, "there is no operation `drop`"),
        (&["query", "siem", "offense", "{\"id\": \"x\"}"], 1, "`id` must be"),
        (&["query", "siem", "search", "[]"], 1, "`parameters` is an object"),
        (&["query", "siem", "search", "{"], 2, "no JSON"),
        (&["query", "nobody", "search"], 5, "there is no instance `nobody`"),
        (&["query", "all", "search"], 1, "answers no queries"),
        (&["pull", "all"], 5, "nothing is pulled from `all`"),
    ] {
        let output = bulkhead(&story, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(part), "{args:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    }
    console.kept_the_rules();
}

/// What was answered is given again while it is young; when it is not, as long as the console is down, and marked so.
#[test]
fn a_kept_answer_stands_in_for_a_console_that_is_down() {
    let down = Arc::new(AtomicBool::new(false));
    let console = console(Arc::clone(&down));
    let story = start(&console);
    let ask = |query: &str| {
        let body = json!({"operation": "search", "parameters": {"aql": query}}).to_string();
        let headers = [("Content-Type", "application/json")];
        let response = bulkhead_tests::http::Client::new(story.host.api).send("POST", "/api/integration/instances/siem/query", &headers, body.as_bytes());
        let response = response.expect("answers");
        (response.status, response.json().expect("JSON"))
    };
    let searches = || console.state(|state| state.searches);
    let query = "SELECT sourceip FROM events LAST 10 MINUTES";
    let (_, first) = ask(query);
    assert_eq!((&first["from_cache"], &first["stale"], searches()), (&json!(false), &json!(false), 1), "{first}");
    let kept = wait::until("a kept answer", PATIENCE, || Ok(Some(ask(query).1).filter(|answer| answer["from_cache"] == true))).expect("is given");
    assert_eq!((&kept["data"], &kept["stale"]), (&first["data"], &json!(false)), "{kept}");
    assert!(ask("SELECT username FROM events LAST 10 MINUTES").1["from_cache"] == false, "another question is another answer");

    down.store(true, Ordering::Relaxed);
    let stale = wait::until("a stale answer", PATIENCE, || Ok(Some(ask(query).1).filter(|answer| answer["stale"] == true))).expect("is given");
    assert_eq!(stale["data"], first["data"]);
    assert!(stale["age_ms"].as_u64().is_some_and(|age| age >= 3_000), "{stale}");
    assert_eq!(ask("SELECT magnitude FROM events LAST 10 MINUTES").0, 503, "what was never answered is not made up");
    down.store(false, Ordering::Relaxed);
    let before = searches();
    let fresh = wait::until("a fresh answer", PATIENCE, || Ok(Some(ask(query).1).filter(|answer| answer["from_cache"] == false))).expect("is given");
    assert_eq!((&fresh["data"], searches() > before), (&first["data"], true));
}

#[test]
fn a_connection_test_tells_a_refused_token_from_a_console_that_is_not_there() {
    let down = Arc::new(AtomicBool::new(false));
    let console = console(Arc::clone(&down));
    let url = console.receiver.url();
    let instance = |name: &str, url: &str, credential: &str| {
        format!("  {name}:\n    connector: qradar\n    destinations: {{primary: {{url: \"{url}\", methods: [GET, POST], credential: {credential}}}}}\n")
    };
    let story = Story::start(&format!(
        "instances:\n{}{}{}{}credentials:\n  right: {{type: header, name: SEC, value: \"{TOKEN}\"}}\n  wrong: {{type: header, name: SEC, value: \"another-token-1\"}}\ndefault_route: [{{instance: all, format: json}}]\n",
        instance("siem", &url, "right"),
        instance("locked", &url, "wrong"),
        instance("nowhere", "http://127.0.0.1:9", "right"),
        file("all"),
    ));
    for (name, code, part) in [
        ("siem", 0, "siem: connection passed, authentication passed, "),
        ("siem", 0, "QRadar 7.5.0 answers and takes the token"),
        ("locked", 1, "connection passed, authentication failed, "),
        ("nowhere", 1, "connection failed, authentication unknown, "),
        ("all", 0, "all.ndjson holds 0 bytes"),
    ] {
        let output = bulkhead(&story, &["instance", "test", name]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.code() == Some(code) && said.contains(part), "{name}: {said}");
    }
    down.store(true, Ordering::SeqCst);
    let output = bulkhead(&story, &["instance", "test", "siem", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer["status"], &answer["cause"], &answer["connection"]), (&json!("failed"), &json!("unavailable"), &json!("failed")), "{answer}");
    for (verb, text) in [("pause", "siem paused"), ("resume", "siem resumed")] {
        let output = bulkhead(&story, &["instance", verb, "siem"]);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text), "{verb}");
    }
    assert_eq!(bulkhead(&story, &["instance", "test", "nobody"]).status.code(), Some(5));
    let log = story.host.log();
    assert!(!log.contains(TOKEN) && !log.contains("another-token-1"), "{log}");
}

#[test]
fn addresses_become_entries_of_a_reference_set() {
    let console: Vendor<Vec<Value>> = Vendor::start("", |head, body, entries: &mut Vec<Value>, _| {
        let header = |name: &str| head.headers.get(name).unwrap_or_default().to_owned();
        rule(header("sec") == TOKEN && header("version") == "20.0", "SEC and Version are there", || error(401, 1, "no"))?;
        if head.method == "GET" {
            rule(parameter(&head.path, "filter").as_deref() == Some("id=12"), "the set is asked for", || error(422, 1010, "filter"))?;
            return Ok(Step::answer(200, r#"[{"id":12,"name":"Watched"}]"#));
        }
        rule(head.path == "/api/reference_data_collections/set_entries", "entries are posted", || error(404, 1002, "path"))?;
        let entry = crate::vendor::json(body, || error(400, 1001, "bad body"))?;
        let keys: Vec<&str> = entry.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        rule(keys == ["collection_id", "value", "source"] && entry["collection_id"] == 12, "an entry has its keys", || error(422, 1005, "keys"))?;
        if entry["value"].as_str().is_some_and(|value| value.contains(':')) {
            return Ok(error(422, 1005, "not an IPv4 address"));
        }
        let there = entries.contains(&entry);
        if !there {
            entries.push(entry);
        }
        Ok(Step::answer(if there { 200 } else { 201 }, "{}"))
    });
    let url = console.receiver.url();
    let story = Story::start(&format!(
        "instances:\n  watched:\n    connector: qradar-reference\n    config: {{collection_id: 12, value: /srcip}}\n    destinations: {{primary: {{url: \"{url}\", methods: [GET, POST], credential: qradar}}}}\ncredentials:\n  qradar: {{type: header, name: SEC, value: \"{TOKEN}\"}}\ndefault_route: [{{instance: watched, format: json}}]\n"
    ));
    let event = |i: usize, address: &str| json!({"specversion": "1.0", "id": format!("e-{i}"), "source": "ids", "type": "scan", "srcip": address}).to_string();
    let mut lines: Vec<String> = (0..60).map(|i| event(i, &format!("10.0.0.{}", i % 7))).collect();
    lines.push(event(60, "fe80::1"));
    lines.push(json!({"specversion": "1.0", "id": "none", "source": "ids", "type": "scan"}).to_string());
    story.accept("application/x-ndjson", &lines.join("\n"));
    let scrape = story.settled();
    assert_eq!((console.state(Vec::len), scrape.sum("bulkhead_lane_rejected_total", &[])), (7, 1.0));
    assert!(bulkhead(&story, &["instance", "test", "watched"]).status.success());
    console.kept_the_rules();
}
