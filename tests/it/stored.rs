//! Parts of the configuration made through the API of a running host: they act at once, outlive a kill, follow
//! the same rules as the file, and say no secret.

use std::fs;
use std::process::{Command, Output};

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, binary, copybook, envelopes, receiver};

/// 32 bytes that look random; of these tests.
const KEY: &str = "encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}\n";

fn request(story: &Story, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Client::new(story.host.api).send(method, &format!("/api/integration/{path}"), headers, &body).expect("answers")
}

#[track_caller]
fn ask(story: &Story, method: &str, path: &str, body: &Value, want: u16) -> Value {
    let response = request(story, method, path, &[], body);
    assert_eq!(response.status, want, "{method} {path}: {}", response.text());
    response.json().expect("JSON")
}

fn siem(url: &str) -> Value {
    json!({
        "connector": "splunk-hec", "config": {"index": "audit"},
        "destinations": {"primary": {"url": url, "credential": "hec"}}, "circuit_breaker": {"open_for": "10ms"}, "retry": {"initial": "10ms", "max": "50ms"},
    })
}

/// Credential, instance and route, in the order in which they need each other.
#[track_caller]
fn connect(story: &Story, url: &str) {
    ask(
        story,
        "POST",
        "auth-configs",
        &json!({"name": "hec", "definition": {"type": "header", "name": "Authorization", "prefix": "Splunk ", "value": "very-secret-token"}}),
        201,
    );
    let made = ask(story, "POST", "instances", &json!({"name": "siem", "definition": siem(url)}), 201);
    assert_eq!((&made["data"]["version"], &made["instances"]["added"]), (&json!(1), &json!(["siem"])), "{made}");
    ask(story, "POST", "routes", &json!({"name": "all", "definition": {"when": {"always": true}, "to": [{"instance": "siem", "format": "cef"}]}}), 201);
}

fn taken(receiver: &bulkhead_tests::receiver::Receiver) -> usize {
    receiver.kept().iter().filter(|kept| kept.status == 200).map(|kept| envelopes(kept).len()).sum()
}

fn bulkhead(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(args).args(["--api", &api]).env("IMPORTED_TOKEN", "from-the-environment").output().expect("runs")
}

#[test]
fn a_system_is_connected_without_a_file_and_stays_so_after_a_kill() {
    let target = receiver("");
    let story = Story::start(KEY);
    connect(&story, &target.url());
    story.accept("application/x-ndjson", &copybook("e", 20));
    story.settled();
    assert_eq!(taken(&target), 20);
    assert!(target.kept().iter().all(|kept| kept.head.headers.get("authorization") == Some("Splunk very-secret-token")));

    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("after", 5));
    story.settled();
    assert_eq!(taken(&target), 25);
    let all = ask(&story, "GET", "instances", &Value::Null, 200);
    assert_eq!((&all["meta"]["total"], &all["data"][0]["origin"], &all["data"][0]["status"]), (&json!(1), &json!("stored"), &json!("active")), "{all}");

    // Nowhere in the clear: not in an answer, the log, or a file.
    let shown = ask(&story, "GET", "auth-configs/hec", &Value::Null, 200);
    assert_eq!(shown["data"]["definition"]["value"], "(hidden)");
    assert!(!story.host.log().contains("very-secret-token"));
    let mut folders = vec![story.host.spec.data_dir.clone()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).expect("reads") {
            let path = item.expect("an item").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                assert!(!bytes.windows(17).any(|part| part == b"very-secret-token"), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_change_loses_no_event_and_can_be_rolled_back() {
    let (down, up) = (receiver("503*"), receiver(""));
    let story = Story::start(KEY);
    connect(&story, &down.url());
    story.accept("application/x-ndjson", &copybook("e", 20));
    story.when("it was tried", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) > 0.0);

    // For a version that is no longer: refused, and nothing is different.
    let stale = request(&story, "PUT", "instances/siem", &[("if-match", "\"7\"")], &json!({"definition": siem(&up.url())}));
    assert_eq!((stale.status, stale.json().expect("JSON")["code"].clone()), (412, json!("stale")));
    let would = ask(&story, "PUT", "instances/siem?dry_run=true", &json!({"definition": siem(&up.url())}), 200);
    assert_eq!(
        (&would["dry_run"], &would["instances"]["changed"], &would["change"]["pointers"]),
        (&json!(true), &json!(["siem"]), &json!(["/destinations/primary/url"])),
        "{would}"
    );
    assert_eq!(ask(&story, "GET", "instances/siem", &Value::Null, 200)["data"]["version"], 1);

    let changed = request(&story, "PUT", "instances/siem", &[("if-match", "\"1\"")], &json!({"definition": siem(&up.url())}));
    assert_eq!((changed.status, changed.headers.get("etag")), (200, Some("\"2\"")), "{}", changed.text());
    story.settled();
    assert_eq!(taken(&up), 20);
    // The same again is no change.
    assert_eq!(ask(&story, "PUT", "instances/siem", &json!({"definition": siem(&up.url())}), 200)["data"]["version"], 2);

    let versions = ask(&story, "GET", "instances/siem/versions", &Value::Null, 200);
    assert_eq!(versions["data"][1]["definition"]["destinations"]["primary"]["url"], json!(down.url()), "{versions}");
    ask(&story, "POST", "instances/siem/rollback", &json!({"version": 9}), 404);
    let back = ask(&story, "POST", "instances/siem/rollback", &json!({"version": 1}), 200);
    assert_eq!((&back["data"]["version"], &back["data"]["definition"]["destinations"]["primary"]["url"]), (&json!(3), &json!(down.url())));
}

/// A hidden secret that is sent back stays; one that is not there is asked for.
#[test]
fn a_definition_can_be_sent_back_as_it_was_shown() {
    let target = receiver("");
    let story = Story::start(KEY);
    connect(&story, &target.url());
    let mut shown = ask(&story, "GET", "auth-configs/hec", &Value::Null, 200)["data"]["definition"].clone();
    shown["prefix"] = json!("Bearer ");
    ask(&story, "PUT", "auth-configs/hec", &json!({"definition": shown}), 200);
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    assert_eq!(target.kept().last().and_then(|kept| kept.head.headers.get("authorization").map(str::to_owned)).as_deref(), Some("Bearer very-secret-token"));
    let refused = ask(&story, "POST", "auth-configs", &json!({"name": "new", "definition": {"type": "bearer", "token": "(hidden)"}}), 422);
    assert_eq!((&refused["code"], &refused["errors"][0]["pointer"]), (&json!("hidden"), &json!("/definition/token")), "{refused}");
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_changes_nothing() {
    let target = receiver("");
    let story = Story::start(&format!("{KEY}instances:\n{}", crate::story::file("filed")));
    connect(&story, &target.url());
    let refused = |method: &str, path: &str, body: Value, status: u16, code: &str| {
        let problem = ask(&story, method, path, &body, status);
        assert_eq!(problem["code"], code, "{problem}");
        problem
    };
    let wrong = json!({"name": "x", "definition": {"connector": "splunk-hec", "config": {"indx": 1}, "batch": {"max_events": 0}}});
    let problem = refused("POST", "instances", wrong, 422, "invalid");
    assert_eq!(
        (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
        (&json!("/definition/batch/max_events"), &json!("config.out_of_range")),
        "{problem}"
    );
    let wrong = json!({"name": "x", "definition": {"connector": "splunk-hec", "config": {"indx": 1}, "destinations": {"primary": target.url()}}});
    let problem = refused("POST", "instances", wrong, 422, "invalid");
    assert!(problem["errors"][0]["pointer"].as_str().is_some_and(|pointer| pointer.starts_with("/definition/config")), "{problem}");
    refused("POST", "instances", json!({"name": "x", "definition": {"connector": "no-such"}}), 422, "invalid");
    // Also of a formatter that nothing uses yet.
    let problem = refused("POST", "formatters", json!({"name": "x", "definition": {"formatter": "cef", "config": {"device_vendr": "x"}}}), 422, "invalid");
    assert!(problem["errors"][0]["pointer"].as_str().is_some_and(|pointer| pointer.starts_with("/definition/config")), "{problem}");
    refused("POST", "instances", json!({"name": "../x", "definition": {"connector": "splunk-hec"}}), 422, "invalid");
    refused("POST", "instances", json!({"name": "siem", "definition": siem(&target.url())}), 409, "exists");
    refused("PUT", "instances/filed", json!({"definition": siem(&target.url())}), 409, "in_file");
    refused("DELETE", "instances/filed", Value::Null, 409, "in_file");
    refused("DELETE", "instances/nobody", Value::Null, 404, "not_found");
    refused("POST", "instances", json!({"nam": "x"}), 400, "bad_body");
    let large = json!({"name": "x", "definition": {"connector": "webhook", "config": {"x": "y".repeat(257 << 10)}}});
    refused("POST", "instances", large, 413, "too_large");
    // What others need stays, and they are named.
    let problem = refused("DELETE", "auth-configs/hec", Value::Null, 409, "in_use");
    assert_eq!(problem["errors"][0]["key"], "instances.siem.destinations.primary.credential", "{problem}");
    let problem = refused("DELETE", "instances/siem", Value::Null, 409, "in_use");
    assert_eq!(problem["errors"][0]["key"], "routes.all.to[0].instance", "{problem}");
    // Nothing of the machine.
    let reads = json!({"name": "x", "definition": {"connector": "file", "files": {"primary": {"dir": "/etc"}}}});
    refused("POST", "instances", reads, 422, "invalid");
    let runs = json!({"name": "x", "definition": {"type": "bearer", "token": {"command": ["/bin/id"]}}});
    refused("POST", "auth-configs", runs, 422, "invalid");

    assert_eq!(ask(&story, "GET", "export", &Value::Null, 200)["meta"]["total"], 3);
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(taken(&target), 3);
    assert_eq!(ask(&story, "GET", "instances/filed", &Value::Null, 200)["data"]["origin"], "file");
}

#[test]
fn a_lane_with_events_does_not_go() {
    let down = receiver("503*");
    let story = Story::start(KEY);
    connect(&story, &down.url());
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.when("it was tried", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) > 0.0);
    let problem = ask(&story, "DELETE", "routes/all", &Value::Null, 409);
    assert_eq!(problem["code"], "lane_with_backlog", "{problem}");
    down.play(bulkhead_tests::receiver::Script::default());
    story.settled();
    ask(&story, "DELETE", "routes/all", &Value::Null, 200);
    ask(&story, "DELETE", "instances/siem", &Value::Null, 200);
    ask(&story, "DELETE", "auth-configs/hec", &Value::Null, 200);
    let story = story.crash();
    assert_eq!(ask(&story, "GET", "export", &Value::Null, 200)["data"], json!([]));
}

#[test]
fn without_a_key_no_credential_is_stored_and_a_lost_key_is_said() {
    let story = Story::start("");
    let hec = json!({"name": "hec", "definition": {"type": "bearer", "token": "very-secret-token"}});
    let problem = ask(&story, "POST", "auth-configs", &hec, 409);
    assert_eq!(problem["code"], "no_key", "{problem}");
    ask(&story, "POST", "formatters", &json!({"name": "mine", "definition": {"formatter": "cef"}}), 201);

    let mut story = Story::start(KEY);
    ask(&story, "POST", "auth-configs", &hec, 201);
    story.host.kill().expect("killed");
    let text = fs::read_to_string(&story.host.spec.config).expect("a configuration");
    fs::write(&story.host.spec.config, text.replace("qZ3v8mT1", "aaaaaaaa")).expect("written");
    let error = format!("{:#}", bulkhead_tests::host::Host::start(story.host.spec.clone()).expect_err("refused"));
    assert!(error.contains("stored entries of the configuration are sealed with key"), "{error}");
}

/// A switch by hand holds over restarts, reloads and changes.
#[test]
fn an_inactive_instance_stays_so() {
    let target = receiver("");
    let story = Story::start(KEY);
    connect(&story, &target.url());
    ask(&story, "POST", "instances/siem/deactivate", &Value::Null, 200);
    story.accept("application/x-ndjson", &copybook("e", 4));
    let story = story.crash();
    let status = |story: &Story| ask(story, "GET", "instances/siem", &Value::Null, 200)["data"]["status"].clone();
    assert_eq!(status(&story), "inactive");
    let mut definition = siem(&target.url());
    definition["concurrency"] = json!(1);
    ask(&story, "PUT", "instances/siem", &json!({"definition": definition}), 200);
    assert_eq!(status(&story), "inactive");
    assert_eq!(taken(&target), 0);
    ask(&story, "POST", "instances/siem/activate", &Value::Null, 200);
    story.settled();
    assert_eq!((taken(&target), status(&story)), (4, json!("active")));
    ask(&story, "POST", "instances/nobody/deactivate", &Value::Null, 404);
}

#[test]
fn the_file_and_what_is_stored_live_together() {
    let target = receiver("");
    let story = Story::start(KEY);
    connect(&story, &target.url());
    let text = fs::read_to_string(&story.host.spec.config).expect("a configuration");
    let reload = |more: &str, said: &str| {
        let before = story.host.log().matches(said).count();
        fs::write(&story.host.spec.config, format!("{text}\n{more}")).expect("written");
        story.host.signal(Signal::HUP).expect("signalled");
        wait::until(said, PATIENCE, || Ok((story.host.log().matches(said).count() > before).then_some(()))).expect("is said");
    };
    // A reload of the file leaves what is stored.
    reload("drain: 2s", "configuration reloaded");
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.settled();
    assert_eq!(taken(&target), 2);
    // The file alone, and together again.
    reload("stored: {enabled: false}", "configuration reloaded");
    let shown = ask(&story, "GET", "instances", &Value::Null, 200);
    assert_eq!((&shown["meta"]["total"], &shown["data"][0]["in_force"]), (&json!(1), &json!(false)), "shown, without effect: {shown}");
    assert_eq!(ask(&story, "DELETE", "routes/all", &Value::Null, 403)["code"], "stored_disabled");
    reload("", "configuration reloaded");
    story.accept("application/x-ndjson", &copybook("again", 1));
    story.settled();
    assert_eq!(taken(&target), 3);
    // The file goes before an entry of the same name.
    reload(&format!("instances:\n{}", crate::story::file("siem")), "configuration reloaded");
    assert_eq!(ask(&story, "GET", "instances/siem", &Value::Null, 200)["data"]["origin"], "file");
    story.accept("application/x-ndjson", &copybook("filed", 3));
    story.settled();
    assert_eq!((taken(&target), story.lines("siem.ndjson").len()), (3, 3));
}

#[test]
fn a_start_that_an_entry_prevents_names_it_and_can_do_without() {
    let target = receiver("");
    let mut story = Story::start(&format!("{KEY}stored: {{credentials: [shared]}}\ncredentials: {{shared: {{type: bearer, token: a-secret-token}}}}\n"));
    let mut definition = siem(&target.url());
    definition["destinations"]["primary"]["credential"] = json!("shared");
    ask(&story, "POST", "instances", &json!({"name": "siem", "definition": definition}), 201);
    let text = fs::read_to_string(&story.host.spec.config).expect("a configuration");
    fs::write(&story.host.spec.config, text.replace("credentials: [shared]", "credentials: []")).expect("written");
    story.host.signal(Signal::HUP).expect("signalled");
    wait::until("the reload is refused", PATIENCE, || Ok(story.host.log().contains("reload refused").then_some(()))).expect("is said");
    story.host.kill().expect("killed");
    let error = format!("{:#}", bulkhead_tests::host::Host::start(story.host.spec.clone()).expect_err("refused"));
    assert!(error.contains("instances.siem.destinations.primary.credential"), "{error}");
    let mut spec = story.host.spec.clone();
    spec.args = vec!["--discard-entry".into(), "instances/siem".into()];
    story.host = bulkhead_tests::host::Host::start(spec).expect("starts without it");
    ask(&story, "GET", "instances/siem", &Value::Null, 404);
}

#[test]
fn export_import_and_diff_round_trip_as_files() {
    let target = receiver("");
    let story = Story::start(KEY);
    connect(&story, &target.url());
    let dir = story.path("exported");
    let dir = dir.to_str().expect("UTF-8");
    let ok = |output: Output, code: i32| {
        assert_eq!(output.status.code(), Some(code), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    ok(bulkhead(&story, &["export", dir]), 0);
    let exported = fs::read_to_string(story.path("exported/credentials/hec.json")).expect("a file");
    assert!(exported.contains("(hidden)") && !exported.contains("very-secret"), "{exported}");
    assert_eq!(ok(bulkhead(&story, &["diff", dir]), 0), "0 of 3 entries would be different\n");

    let path = story.path("exported/instances/siem.json");
    let changed = fs::read_to_string(&path).expect("a file").replace("\"audit\"", "\"other\"");
    fs::write(&path, changed).expect("written");
    fs::write(story.path("exported/formatters/mine.yaml"), "formatter: cef\nconfig: {device_vendor: me}\n").expect("written");
    fs::write(story.path("exported/credentials/more.yaml"), "type: bearer\ntoken: ${IMPORTED_TOKEN}\n").expect("written");
    fs::remove_file(story.path("exported/routes/all.json")).expect("removed");
    let lines = ok(bulkhead(&story, &["diff", dir]), 10);
    for line in ["+ credentials/more", "+ formatters/mine", "~ instances/siem /config/index", "- routes/all"] {
        assert!(lines.lines().any(|found| found == line), "{line}: {lines}");
    }
    ok(bulkhead(&story, &["import", dir, "--dry-run", "--prune"]), 10);
    ok(bulkhead(&story, &["diff", dir]), 10);
    ok(bulkhead(&story, &["import", dir, "--prune"]), 0);
    assert_eq!(ok(bulkhead(&story, &["diff", dir]), 0), "0 of 4 entries would be different\n");
    assert_eq!(ask(&story, "GET", "instances/siem", &Value::Null, 200)["data"]["definition"]["config"]["index"], "other");
    assert_eq!(ask(&story, "GET", "routes/all", &Value::Null, 404)["code"], "not_found");

    // One file with sections does too; without --prune the others stay.
    let part = story.path("part.yaml");
    fs::write(&part, "routes: [{id: high, when: {min_severity: high}, to: [{instance: siem, format: mine}]}]\n").expect("written");
    ok(bulkhead(&story, &["import", part.to_str().expect("UTF-8")]), 0);
    assert_eq!(ask(&story, "GET", "export", &Value::Null, 200)["meta"]["total"], 5);
    fs::write(&part, "routes: [{id: bad, when: {min_severity: high}, to: [{instance: nobody, format: mine}]}]\n").expect("written");
    let refused = bulkhead(&story, &["import", part.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no instance `nobody`"));
    fs::write(&part, "journal: {max_bytes: 1GiB}\n").expect("written");
    assert_eq!(bulkhead(&story, &["import", part.to_str().expect("UTF-8")]).status.code(), Some(78));
}

/// The preview is the delivery's own formatter: what it shows is what arrives.
#[test]
fn a_formatter_is_tried_on_events_before_it_is_used() {
    let target = receiver("");
    let story = Story::start(KEY);
    let rows = json!([{"to": "who", "from": "/user", "required": true}, {"to": "what", "expr": "type + '!'"}]);
    let definition = json!({"formatter": "mapping", "config": {"fields": rows}});
    let events = json!([{"id": "1", "type": "login", "user": "ann"}, {"id": "2", "type": "login"}]);
    let shown = ask(&story, "POST", "formatters/mine/test", &json!({"definition": definition, "events": events}), 200);
    let record: Value = serde_json::from_str(shown["data"][0]["record"].as_str().expect("text")).expect("JSON");
    assert_eq!(record, json!({"who": "ann", "what": "login!"}));
    assert!(shown["data"][1]["refused"].as_str().is_some_and(|reason| reason.contains("who")), "{shown}");
    // Nothing was kept.
    ask(&story, "POST", "formatters/mine/test", &json!({"events": events}), 404);

    let wrong = json!({"definition": {"formatter": "mapping", "config": {"fields": [{"to": "x", "expr": "1 +"}]}}, "events": events});
    let problem = ask(&story, "POST", "formatters/mine/test", &wrong, 422);
    assert_eq!(
        (&problem["code"], problem["errors"][0]["pointer"].as_str().map(|pointer| pointer.starts_with("/definition/config"))),
        (&json!("invalid"), Some(true)),
        "{problem}"
    );
    let problem = ask(&story, "POST", "formatters/mine/test", &json!({"definition": definition, "events": [events[0], ["no event"]]}), 422);
    assert_eq!(problem["code"], "bad_event", "{problem}");
    ask(&story, "POST", "formatters/mine/test", &json!({"definition": definition, "events": []}), 400);

    ask(&story, "POST", "formatters", &json!({"name": "mine", "definition": definition}), 201);
    ask(&story, "POST", "instances", &json!({"name": "hook", "definition": {"connector": "webhook", "destinations": {"primary": target.url()}}}), 201);
    ask(&story, "POST", "routes", &json!({"name": "all", "definition": {"when": {"always": true}, "to": [{"instance": "hook", "format": "mine"}]}}), 201);
    story.accept("application/json", &events[0].to_string());
    story.settled();
    assert_eq!(serde_json::from_slice::<Value>(&target.kept()[0].body).expect("JSON"), record);
}

/// More than there can be is refused before anything is looked at.
#[test]
fn an_import_of_too_many_entries_is_refused() {
    let story = Story::start(KEY);
    let entries: Vec<Value> = (0..5_001).map(|i| json!({"section": "formatters", "name": format!("f{i}"), "definition": {"formatter": "cef"}})).collect();
    let problem = ask(&story, "POST", "import", &json!({"entries": entries}), 409);
    assert_eq!(problem["code"], "too_many", "{problem}");
    assert_eq!(ask(&story, "GET", "export", &Value::Null, 200)["meta"]["total"], 0);
}
