//! Hosts whose control store is a PostgreSQL server: one without its database, and two on the same one.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::receiver::Step;
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pki::Authority;
use crate::postgres_server::{PostgresServer, installed};
use crate::story::{PATIENCE, Story, binary, copybook, file, receiver, spec};
use crate::vendor::{Vendor, rule};

/// 32 bytes that look random, and a pepper; of these tests, and the same on all hosts of one store.
const KEYS: &str = "encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}\n";
const PEPPER: &str = "a pepper of these tests, 32 bytes of it";

/// A server of this story's own.
fn server(test: &str) -> Option<PostgresServer> {
    match installed() {
        Ok(_) => Some(PostgresServer::start().expect("PostgreSQL starts")),
        Err(reason) => {
            skip(&format!("postgres::{test}"), &reason);
            None
        }
    }
}

fn store(url: &str) -> String {
    format!("store: {{url: \"{url}\", timeout: 1s, lease: 3s}}\n")
}

fn call(story: &Story, method: &str, path: &str, key: Option<&str>, body: &Value) -> Response {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    Client::new(story.host.api).limit(Duration::from_secs(30)).send(method, &format!("/api/integration/{path}"), &headers, &body).expect("answers")
}

#[track_caller]
fn ask(story: &Story, method: &str, path: &str, body: &Value, want: u16) -> Value {
    let response = call(story, method, path, None, body);
    assert_eq!(response.status, want, "{method} {path}: {}\n{}", response.text(), story.host.log());
    serde_json::from_str(&response.text()).unwrap_or_default()
}

#[track_caller]
fn until(story: &Story, what: &str, mut holds: impl FnMut() -> bool) {
    wait::until(what, PATIENCE, || Ok(holds().then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
}

fn sink(url: &str) -> Value {
    json!({"connector": "splunk-hec", "destinations": {"primary": {"url": url}}, "retry": {"initial": "10ms", "max": "50ms"}})
}

#[test]
fn a_lost_database_is_answered_503_while_events_are_taken_in_and_delivered() {
    let Some(server) = server("a_lost_database_is_answered_503_while_events_are_taken_in_and_delivered") else { return };
    let url = server.database().expect("a database");
    let target = receiver("");
    let story = Story::start(&format!("{KEYS}{}", store(&url)));
    ask(&story, "POST", "instances", &json!({"name": "siem", "definition": sink(&target.url())}), 201);
    ask(&story, "POST", "routes", &json!({"name": "all", "definition": {"when": {"always": true}, "to": [{"instance": "siem", "format": "cef"}]}}), 201);
    story.accept("application/x-ndjson", &copybook("before", 5));
    story.settled();
    let health = ask(&story, "GET", "health", &Value::Null, 200);
    assert_eq!(health["store"], json!({"status": "healthy", "engine": "postgresql", "message": null}));

    server.stop().expect("stops");
    for (method, path, body) in [
        ("GET", "sync-executions", Value::Null),
        ("PUT", "instances/siem", json!({"definition": sink("http://127.0.0.1:9/")})),
        ("POST", "instances", json!({"name": "other", "definition": sink(&target.url())})),
        ("POST", "instances/siem/deactivate", Value::Null),
    ] {
        let response = call(&story, method, path, None, &body);
        let problem: Value = response.json().expect("JSON");
        assert_eq!((response.status, &problem["code"]), (503, &json!("store_unavailable")), "{method} {path}: {problem}");
        assert!(response.headers.get("retry-after").is_some(), "{method} {path}");
    }
    // What is known is shown, and events go their way.
    assert_eq!(ask(&story, "GET", "instances", &Value::Null, 200)["meta"]["total"], 1);
    story.accept("application/x-ndjson", &copybook("while", 20));
    story.settled();
    assert_eq!(story.host.get("/readyz").expect("answers").status, 200);
    story.when("the metric tells", |scrape| scrape.sum("bulkhead_store_up", &[]) == 0.0);
    let health = ask(&story, "GET", "health", &Value::Null, 200);
    assert_eq!((&health["status"], &health["store"]["status"]), (&json!("degraded"), &json!("degraded")));

    server.go_on().expect("starts again");
    story.when("the store is back", |scrape| scrape.sum("bulkhead_store_up", &[]) == 1.0);
    ask(&story, "POST", "instances/siem/deactivate", &Value::Null, 200);
    ask(&story, "POST", "instances/siem/activate", &Value::Null, 200);
    assert!(!story.host.log().contains("panicked"), "{}", story.host.log());
}

#[test]
fn a_database_that_answers_nothing_holds_nobody_up_for_long() {
    let Some(server) = server("a_database_that_answers_nothing_holds_nobody_up_for_long") else { return };
    let url = server.database().expect("a database");
    let story = Story::start(&format!("{KEYS}{}instances:\n{}default_route: [{{instance: all, format: json}}]\n", store(&url), file("all")));
    server.freeze().expect("stands still");
    let begun = std::time::Instant::now();
    let response = call(&story, "GET", "sync-executions", None, &Value::Null);
    assert_eq!((response.status, begun.elapsed() < Duration::from_secs(25)), (503, true), "{} {:?}", response.text(), begun.elapsed());
    story.accept("application/x-ndjson", &copybook("while", 20));
    story.settled();
    server.thaw().expect("goes on");
    until(&story, "the store answers again", || call(&story, "GET", "sync-executions", None, &Value::Null).status == 200);
}

#[test]
fn a_start_without_the_database_is_refused_and_says_no_password() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let config = "store: {url: \"postgres://bulkhead:very-secret-word@127.0.0.1:9/bulkhead\", timeout: 500ms, start_timeout: 1s}\n";
    let spec = spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, config);
    let output = std::process::Command::new(binary()).args(["serve", "--config"]).arg(&spec.config).current_dir(dir.path()).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && said.contains("store.url") && said.contains("127.0.0.1:9/bulkhead"), "{said}");
    assert!(!said.contains("very-secret-word"), "{said}");
    let shown = std::process::Command::new(binary()).args(["config", "show", "--effective", "--config"]).arg(&spec.config).output().expect("runs");
    assert!(shown.status.success() && !String::from_utf8_lossy(&shown.stdout).contains("very-secret-word"), "{shown:?}");
}

#[test]
fn two_hosts_on_one_store_follow_each_others_changes_and_overwrite_none() {
    let Some(server) = server("two_hosts_on_one_store_follow_each_others_changes_and_overwrite_none") else { return };
    let url = server.database().expect("a database");
    let target = receiver("");
    let config = format!("{KEYS}{}", store(&url));
    let (one, two) = (Story::start(&config), Story::start(&config));
    ask(&one, "POST", "instances", &json!({"name": "siem", "definition": sink(&target.url())}), 201);
    ask(&one, "POST", "routes", &json!({"name": "all", "definition": {"when": {"always": true}, "to": [{"instance": "siem", "format": "cef"}]}}), 201);
    until(&two, "the other host has the route", || call(&two, "GET", "routes/all", None, &Value::Null).status == 200);
    two.accept("application/x-ndjson", &copybook("two", 5));
    two.settled();

    // Both change the same entry at the same time, many times over: each version is made once.
    let url = target.url();
    let change = |story: &Story, mark: &str| -> Vec<i64> {
        let mut made = Vec::new();
        for n in 0..10 {
            let mut definition = sink(&url);
            definition["retry"]["max"] = json!(format!("{}ms", 60 + n + if mark == "one" { 100 } else { 0 }));
            let response = call(story, "PUT", "instances/siem", None, &json!({"definition": definition}));
            match response.status {
                200 => made.push(response.json().expect("JSON")["data"]["version"].as_i64().expect("a version")),
                // Another host was first; what it made is not here yet.
                409 | 412 => std::thread::sleep(Duration::from_millis(300)),
                other => panic!("{other} {}", response.text()),
            }
        }
        made
    };
    let versions: Vec<i64> = std::thread::scope(|scope| {
        let change = &change;
        let (first, second) = (scope.spawn(|| change(&one, "one")), scope.spawn(|| change(&two, "two")));
        [first.join().expect("ends"), second.join().expect("ends")].concat()
    });
    let once: std::collections::BTreeSet<i64> = versions.iter().copied().collect();
    assert!(!versions.is_empty() && once.len() == versions.len(), "{versions:?}");
    let shown = |story: &Story| ask(story, "GET", "instances/siem", &Value::Null, 200)["data"]["definition"].clone();
    until(&two, "both have the last version", || shown(&one) == shown(&two));

    // Switched off through one, it is off on the other, and on again.
    ask(&two, "POST", "instances/siem/deactivate", &Value::Null, 200);
    let status = |story: &Story| ask(story, "GET", "instances/siem", &Value::Null, 200)["data"]["status"].clone();
    until(&one, "it is off", || status(&one) == "inactive");
    ask(&one, "POST", "instances/siem/activate", &Value::Null, 200);
    until(&two, "it is on", || status(&two) == "active");

    // Gone through one, it is gone on the other.
    ask(&one, "DELETE", "routes/all", &Value::Null, 200);
    until(&two, "the route is gone", || call(&two, "GET", "routes/all", None, &Value::Null).status == 404);
}

#[test]
fn a_key_made_or_revoked_through_one_host_counts_on_the_other() {
    let Some(server) = server("a_key_made_or_revoked_through_one_host_counts_on_the_other") else { return };
    let url = server.database().expect("a database");
    let listen = format!("{{api: {{addr: \"127.0.0.1:0\", auth: keys, pepper: \"{PEPPER}\"}}, http: \"127.0.0.1:0\"}}");
    let one = Story::listening(&listen, &store(&url));
    let log = one.host.log();
    let first = log.split_once("shown once: ").and_then(|(_, rest)| rest.split_whitespace().next()).expect("the first key").to_owned();
    let two = Story::listening(&listen, &store(&url));
    assert_eq!(call(&two, "GET", "instances", Some(&first), &Value::Null).status, 200, "it is there when the second host starts");
    let made = call(&one, "POST", "api-keys", Some(&first), &json!({"name": "pipeline", "roles": ["security_viewer"]}));
    let made = made.json().expect("JSON");
    let (id, key) = (made["data"]["id"].as_str().expect("an id").to_owned(), made["data"]["key"].as_str().expect("a key").to_owned());
    until(&two, "the new key lets in", || call(&two, "GET", "instances", Some(&key), &Value::Null).status == 200);
    let revoked = call(&two, "DELETE", &format!("api-keys/{id}"), Some(&first), &Value::Null);
    assert!(revoked.status < 300, "{}", revoked.text());
    until(&one, "the key lets in no more", || call(&one, "GET", "instances", Some(&key), &Value::Null).status == 401);
}

/// A session goes on through either host, one pair after the other; who is disabled through one is out on both.
#[test]
fn people_signed_in_through_one_host_are_known_on_the_other() {
    let Some(server) = server("people_signed_in_through_one_host_are_known_on_the_other") else { return };
    let url = server.database().expect("a database");
    let listen = format!("{{api: {{addr: \"127.0.0.1:0\", auth: [keys, users], pepper: \"{PEPPER}\"}}, http: \"127.0.0.1:0\"}}");
    let one = Story::listening(&listen, &store(&url));
    let log = one.host.log();
    let first = log.split_once("shown once: ").and_then(|(_, rest)| rest.split_whitespace().next()).expect("the first key").to_owned();
    let two = Story::listening(&listen, &store(&url));
    let made = call(&one, "POST", "users", Some(&first), &json!({"name": "ada", "roles": ["security_viewer"], "password": "seven oak trees"}));
    assert_eq!(made.status, 201, "{}", made.text());
    let auth = |story: &Story, path: &str, body: &Value| {
        let headers = [("Content-Type", "application/json")];
        let answer = Client::new(story.host.api).send("POST", &format!("/api/v2/auth/{path}"), &headers, body.to_string().as_bytes()).expect("answers");
        let said = answer.json().unwrap_or_default();
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        (answer.status, text("access_token"), text("refresh_token"))
    };
    let login = json!({"username": "ada", "password": "seven oak trees"});
    until(&two, "ada is known at the other host", || call(&two, "GET", "users/ada", Some(&first), &Value::Null).status == 200);
    let mut pair = auth(&two, "login", &login);
    assert_eq!(pair.0, 200, "{}", two.host.log());
    until(&one, "and is known on this one", || call(&one, "GET", "instances", Some(&pair.1), &Value::Null).status == 200);
    // Each host gives out the next pair of what the other gave out a moment ago.
    for story in [&one, &two, &one, &two] {
        pair = auth(story, "refresh", &json!({"refresh_token": pair.2}));
        assert_eq!(pair.0, 200, "{}", story.host.log());
    }
    let disabled = call(&one, "POST", "users/ada/disable", Some(&first), &Value::Null);
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    until(&two, "ada is out", || call(&two, "GET", "instances", Some(&pair.1), &Value::Null).status == 401);
    assert_eq!(auth(&two, "refresh", &json!({"refresh_token": pair.2})).0, 401);
}

/// Tickets, two a page, asked for by the id of the last one.
#[derive(Default)]
struct Desk {
    count: u64,
    /// How often each page with something on it was given out, by its first ticket.
    pages: BTreeMap<u64, u32>,
}

fn desk() -> Vendor<Desk> {
    Vendor::start("", |head, _, desk: &mut Desk, _| {
        let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
        rule(path == "/tickets", "the path is that of the list", || Step::status(404))?;
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        let after: u64 = after.map_or(Ok(0), str::parse).unwrap_or(u64::MAX);
        let page: Vec<u64> = (after + 1..=desk.count).take(2).collect();
        if let Some(first) = page.first() {
            *desk.pages.entry(*first).or_default() += 1;
        }
        Ok(Step::answer(200, Value::from(page.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()).to_string()))
    })
}

fn pulling(url: &str, desk: &Vendor<Desk>, pull: &str) -> String {
    let source = desk.receiver.url();
    format!(
        "{}journal: {{dedup_window: 1h}}\ninstances:\n  api:\n    connector: rest-pull\n    config: {{path: /tickets, after: after, page_size: 2, source: api}}\n    pull: {pull}\n    destinations: {{primary: {{url: \"{source}\", methods: [GET]}}}}\n{}default_route: [{{instance: all, format: json}}]\n",
        store(url),
        file("all"),
    )
}

fn tickets(stories: &[&Story]) -> Vec<u64> {
    let mut all: Vec<u64> = stories
        .iter()
        .flat_map(|story| story.records("all.ndjson"))
        .map(|record| record["subject"].as_str().expect("a name").parse().expect("a number"))
        .collect();
    all.sort_unstable();
    all
}

/// The host that pulls instead of this one.
fn elsewhere(story: &Story) -> Option<String> {
    ask(story, "GET", "schedules", &Value::Null, 200)["data"][0]["elsewhere"].as_str().map(str::to_owned)
}

#[track_caller]
fn all_here(stories: &[&Story], desk: &Vendor<Desk>, count: u64) {
    desk.change(|desk| desk.count = count);
    let want: Vec<u64> = (1..=count).collect();
    let found = wait::until("all tickets are here, each once", PATIENCE, || Ok((tickets(stories) == want).then_some(())));
    found.unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", tickets(stories), stories.iter().map(|story| story.host.log()).collect::<String>()));
}

fn pages_were_given_once(desk: &Vendor<Desk>) {
    let mut pages = BTreeMap::new();
    desk.change(|desk| pages.clone_from(&desk.pages));
    assert!(pages.values().all(|times| *times == 1), "{pages:?}");
}

#[test]
fn a_schedule_runs_on_one_host_and_goes_to_another_when_that_one_dies() {
    let Some(server) = server("a_schedule_runs_on_one_host_and_goes_to_another_when_that_one_dies") else { return };
    let url = server.database().expect("a database");
    let desk = desk();
    for pull in ["{interval: 1s}", "{cron: \"* * * * * *\", timezone: UTC}"] {
        let url = if pull.contains("cron") { server.database().expect("a database") } else { url.clone() };
        desk.change(|desk| (desk.count, desk.pages) = (0, BTreeMap::new()));
        let config = pulling(&url, &desk, pull);
        let (one, two) = (Story::start(&config), Story::start(&config));
        all_here(&[&one, &two], &desk, 7);
        until(&two, "one of both pulls", || elsewhere(&one).is_some() != elsewhere(&two).is_some());
        pages_were_given_once(&desk);
        let (mut holder, other) = if elsewhere(&one).is_none() { (one, two) } else { (two, one) };

        // By hand only where it runs.
        let refused = call(&other, "POST", "instances/api/sync", None, &Value::Null);
        assert_eq!((refused.status, &refused.json().expect("JSON")["code"]), (409, &json!("elsewhere")));

        // Whatever was written is delivered; the one that dies brings nothing more.
        holder.host.kill().expect("dies");
        desk.change(|desk| desk.count = 12);
        until(&other, "the other one takes over", || elsewhere(&other).is_none() && tickets(&[&holder, &other]).len() == 12);
        all_here(&[&holder, &other], &desk, 12);
        // What a run by the dead host left is closed.
        let running = ask(&other, "GET", "sync-executions?status=running", &Value::Null, 200);
        assert!(running["data"].as_array().expect("runs").len() <= 1, "{running}");
    }
}

#[test]
fn a_host_that_stood_still_ends_nothing_that_is_anothers_by_now() {
    let Some(server) = server("a_host_that_stood_still_ends_nothing_that_is_anothers_by_now") else { return };
    let url = server.database().expect("a database");
    let desk = desk();
    let config = pulling(&url, &desk, "{interval: 1s}");
    let (one, two) = (Story::start(&config), Story::start(&config));
    all_here(&[&one, &two], &desk, 5);
    let (holder, other) = if elsewhere(&one).is_none() { (one, two) } else { (two, one) };
    holder.host.signal(Signal::STOP).expect("stands still");
    desk.change(|desk| desk.count = 10);
    until(&other, "the other one takes over", || elsewhere(&other).is_none() && tickets(&[&holder, &other]).len() == 10);
    holder.host.signal(Signal::CONT).expect("goes on");
    until(&holder, "it knows", || elsewhere(&holder).is_some());
    all_here(&[&holder, &other], &desk, 15);
    assert_eq!(elsewhere(&other), None);
    // An end in peace hands over at once.
    let mut other = other;
    other.host.terminate(PATIENCE).expect("ends");
    until(&holder, "it has the schedule again", || elsewhere(&holder).is_none());
    all_here(&[&holder, &other], &desk, 20);
}

#[test]
fn a_store_moves_into_a_database_and_its_keys_are_told_before_they_change() {
    let Some(server) = server("a_store_moves_into_a_database_and_its_keys_are_told_before_they_change") else { return };
    let url = server.database().expect("a database");
    let target = receiver("");
    let mut story = Story::start(KEYS);
    ask(&story, "POST", "instances", &json!({"name": "siem", "definition": sink(&target.url())}), 201);
    ask(&story, "POST", "routes", &json!({"name": "all", "definition": {"when": {"always": true}, "to": [{"instance": "siem", "format": "cef"}]}}), 201);
    let (config, dir) = (story.host.spec.config.clone(), story.host.spec.dir.clone());
    let bulkhead = |args: &[&str]| {
        let output = std::process::Command::new(binary()).args(args).arg("--config").arg(&config).current_dir(&dir).output().expect("runs");
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let (code, said) = bulkhead(&["store", "copy", "--to", &url]);
    assert!(code == Some(1) && said.contains("in use"), "a host runs: {said}");
    story.host.terminate(PATIENCE).expect("ends");
    let (code, said) = bulkhead(&["store", "reseal", "--dry-run", "--json"]);
    assert!(code == Some(0) && said.contains("\"anew\":0"), "{said}");
    let (code, said) = bulkhead(&["store", "copy", "--to", &url]);
    assert!(code == Some(0) && said.contains("2 entries"), "{said}");
    let (code, said) = bulkhead(&["store", "copy", "--to", &url]);
    assert!(code == Some(1) && said.contains("not empty"), "{said}");

    // Another key, without the one before it: told, and nothing is changed.
    let listen = r#"listen: {api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;
    let newer = "encryption: {key: 'mJ4xQ9vT2nB7cK1wR6dF3gH8lP5sYuEoAiZzXtNqW0A='";
    let write = |keys: &str| std::fs::write(&config, format!("data_dir: ./data\n{listen}\n{}{keys}\n", store(&url))).expect("written");
    write(&format!("{newer}}}"));
    let (code, said) = bulkhead(&["store", "reseal", "--dry-run"]);
    assert!(code == Some(1) && said.contains("2 would be sealed anew") && said.contains("missing"), "{said}");
    let (code, said) = bulkhead(&["store", "reseal"]);
    assert!(code == Some(1) && said.contains("sealed with"), "{said}");
    write(&format!("{newer}, older_keys: ['qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM=']}}"));
    let (code, said) = bulkhead(&["store", "reseal"]);
    assert!(code == Some(0) && said.contains("2 sealed anew"), "{said}");
    write(&format!("{newer}}}"));
    let host = bulkhead_tests::host::Host::start(story.host.spec.clone()).expect("starts on the database");
    let story = Story { dir: story.dir, host };
    story.accept("application/x-ndjson", &copybook("moved", 5));
    story.settled();
}

#[test]
fn a_server_is_known_by_its_certificate_before_it_hears_a_password() {
    if server("a_server_is_known_by_its_certificate_before_it_hears_a_password").is_none() {
        return;
    }
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let pair = ours.server(&["localhost"]);
    let port = bulkhead_tests::port::free().expect("a port").port();
    let server = PostgresServer::start_on(Some(port), Some((&pair.cert, &pair.key))).expect("starts");
    let url = server.database().expect("a database");
    let start = |url: &str, authority: &Authority| {
        let dir = tempfile::TempDir::new().expect("a folder");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("written");
        let store = format!("store: {{url: \"{url}\", timeout: 2s, start_timeout: 2s, tls: {{required: true, ca: ./ca.pem}}}}\n");
        let spec = spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, &store);
        (bulkhead_tests::host::Host::start(spec).map(drop).map_err(|error| format!("{error:#}")), dir)
    };
    let by_name = url.replace("127.0.0.1", "localhost");
    start(&by_name, &ours).0.expect("the name and the authority are right");
    for (url, authority, what) in [(&url, &ours, "another name"), (&by_name, &other, "another authority")] {
        let refused = start(url, authority).0.expect_err(what);
        assert!(refused.contains("certificate"), "{what}: {refused}");
    }
    // Where TLS is wanted, a server without it is no server.
    let plain = PostgresServer::start_on(Some(bulkhead_tests::port::free().expect("a port").port()), None).expect("starts");
    let url = plain.database().expect("a database");
    start(&url, &ours).0.expect_err("no TLS");
}
