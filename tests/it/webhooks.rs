//! Managed webhooks: signed with secrets that the host makes and exchanges, with a log of deliveries, given up where
//! the receiver is, tested and repeated. The library of Standard Webhooks for Python verifies what arrives.

use std::fs;
use std::process::Command;

use bulkhead_tests::host;
use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::receiver::{Kept, Script};
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::independent::python;
use crate::story::{PATIENCE, Story, binary, copybook, file, receiver};

/// 32 bytes that look random; of these tests. Webhooks may come to this machine.
pub const CONFIG: &str =
    "encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}\nstored: {webhooks: {http: true, allow: [127.0.0.0/8]}}\nown_events: {enabled: true}\n";

pub fn request(story: &Story, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Client::new(story.host.api).limit(PATIENCE).send(method, &format!("/api/integration/{path}"), headers, &body).expect("answers")
}

#[track_caller]
pub fn ask(story: &Story, method: &str, path: &str, body: &Value, want: u16) -> Value {
    let response = request(story, method, path, &[], body);
    assert_eq!(response.status, want, "{method} {path}: {}\n{}", response.text(), story.host.log());
    response.json().expect("JSON")
}

pub fn definition(url: &str) -> Value {
    json!({"url": url, "events": ["SecurityEvent"], "retry": {"initial": "20ms", "max": "100ms", "jitter": "none"}})
}

/// Makes a webhook and answers its secret.
#[track_caller]
pub fn make(story: &Story, name: &str, definition: &Value) -> String {
    let made = ask(story, "POST", "webhooks", &json!({"name": name, "definition": definition}), 201);
    made["data"]["secret"].as_str().expect("the secret, this once").to_owned()
}

#[track_caller]
pub fn until(story: &Story, what: &str, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let found = wait::until(what, PATIENCE, || Ok(Some(ask(story, "GET", path, &Value::Null, 200)).filter(|answer| holds(answer))));
    found.unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", ask(story, "GET", path, &Value::Null, 200), story.host.log()))
}

fn count(answer: &Value, status: &str) -> usize {
    answer["data"].as_array().expect("deliveries").iter().filter(|delivery| delivery["status"] == status).count()
}

/// What the library makes of requests: they verify with the first secrets and not with the others.
fn verified(story: &Story, python: &std::path::Path, requests: &[(&Kept, &[&str], &[&str])]) {
    let lines = requests.iter().map(|(kept, verifies, refuses)| {
        let headers: serde_json::Map<_, _> = kept.head.headers.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().into())).collect();
        json!({"headers": headers, "body": String::from_utf8_lossy(&kept.body), "verifies": verifies, "refuses": refuses}).to_string()
    });
    let path = story.path("requests.ndjson");
    fs::write(&path, lines.collect::<Vec<_>>().join("\n")).expect("written");
    let output = Command::new(python).arg(host::root().join("tests/independent/check_webhooks.py")).arg(path).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("read {} ", requests.len())), "{said}");
}

#[test]
fn the_library_of_the_standard_verifies_before_during_and_after_a_rotation() {
    let Some(python) = python("standardwebhooks") else {
        let test = "webhooks::the_library_of_the_standard_verifies_before_during_and_after_a_rotation";
        return skip(test, "no Python with standardwebhooks; `pip install -r tests/requirements.txt` brings it");
    };
    let target = receiver("");
    let story = Story::start(CONFIG);
    let first = make(&story, "orders", &definition(&target.url()));
    story.accept("application/x-ndjson", &copybook("a", 3));
    story.settled();

    let rotated = ask(&story, "POST", "webhooks/orders/rotate-secret", &json!({"overlap_seconds": 3_600}), 200);
    let second = rotated["data"]["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(first, second);
    assert!(rotated["data"]["definition"]["previous_until"].is_string(), "{rotated}");
    // Over a kill both are still there, and nowhere in the clear.
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("b", 2));
    story.settled();

    // With no overlap the second is gone at once; with a short one it goes by itself.
    let rotated = ask(&story, "POST", "webhooks/orders/rotate-secret", &json!({"overlap_seconds": 1}), 200);
    let third = rotated["data"]["secret"].as_str().expect("a secret").to_owned();
    until(&story, "the former secret goes", "webhooks/orders", |shown| shown["data"]["definition"]["previous_until"].is_null());
    story.accept("application/x-ndjson", &copybook("c", 1));
    story.settled();

    let kept = target.kept();
    assert_eq!(kept.len(), 6);
    let mut requests: Vec<(&Kept, &[&str], &[&str])> = Vec::new();
    let (one, both, last, others) = ([first.as_str()], [second.as_str(), first.as_str()], [third.as_str()], [first.as_str(), second.as_str()]);
    requests.extend(kept[..3].iter().map(|kept| (kept, &one[..], &both[..1])));
    requests.extend(kept[3..5].iter().map(|kept| (kept, &both[..], &last[..])));
    requests.push((&kept[5], &last, &others));
    verified(&story, &python, &requests);
    for secret in [&first, &second, &third] {
        let shown = [
            ask(&story, "GET", "webhooks", &Value::Null, 200),
            ask(&story, "GET", "export", &Value::Null, 200),
            ask(&story, "GET", "auth-configs", &Value::Null, 200),
        ];
        assert!(shown.iter().all(|shown| !shown.to_string().contains(secret.as_str())));
        assert!(!story.host.log().contains(secret.as_str()));
        let trail = ask(&story, "GET", "audit/trail?limit=1000", &Value::Null, 200).to_string();
        assert!(!trail.contains(secret.as_str()) && trail.contains("webhooks.rotate_secret"), "{trail}");
    }
}

#[test]
fn what_was_delivered_is_in_the_log_and_outlives_a_kill() {
    let target = receiver("ok;503");
    let story = Story::start(&format!("{CONFIG}instances:\n{}default_route: [{{instance: rest, format: json}}]\n", file("rest")));
    make(&story, "orders", &definition(&target.url()));
    story.accept("application/x-ndjson", &copybook("e", 1));
    until(&story, "the first is delivered", "webhooks/orders/deliveries", |answer| count(answer, "delivered") == 1);
    story.accept("application/x-ndjson", &copybook("f", 1));
    let log = until(&story, "the second is delivered", "webhooks/orders/deliveries", |answer| count(answer, "delivered") == 2);
    let second = &log["data"][0];
    assert_eq!((&second["event"]["id"], &second["attempts"], &second["response"]["code"]), (&json!("f-0"), &json!(2), &json!(200)), "{log}");
    assert!(second["event"]["type"].as_str().is_some_and(|name| !name.is_empty()) && second["last_attempt_at"].is_string(), "{log}");
    // The default route has them as well: a webhook takes nothing from anybody.
    wait::until("the others have them", PATIENCE, || Ok((story.lines("rest.ndjson").len() >= 2).then_some(()))).expect("are there");

    let story = story.crash();
    let page = ask(&story, "GET", "webhooks/orders/deliveries?limit=1", &Value::Null, 200);
    assert_eq!(page["data"][0]["event"]["id"], "f-0", "{page}");
    let next = page["links"]["next"].as_str().expect("another page").trim_start_matches("/api/integration/").to_owned();
    assert_eq!(ask(&story, "GET", &next, &Value::Null, 200)["data"][0]["event"]["id"], "e-0");
    let shown = ask(&story, "GET", "webhooks/orders", &Value::Null, 200);
    assert_eq!((&shown["data"]["status"], &shown["data"]["failing_since"]), (&json!("active"), &Value::Null), "{shown}");
    assert!(shown["data"]["last_success_at"].is_string(), "{shown}");

    // Once more, the same event.
    let id = second["id"].as_i64().expect("an id");
    let again = ask(&story, "POST", &format!("webhooks/orders/deliveries/{id}/replay"), &Value::Null, 202);
    assert_eq!((&again["data"]["replay_of"], &again["data"]["event"]["id"]), (&json!(id), &json!("f-0")), "{again}");
    let path = format!("webhooks/orders/deliveries/{}", again["data"]["id"]);
    until(&story, "it is delivered again", &path, |answer| answer["data"]["status"] == "delivered");
    let ids: Vec<String> = target.kept().iter().filter_map(|kept| kept.head.headers.get("webhook-id").map(str::to_owned)).collect();
    assert_eq!(ids.last(), ids.get(1), "the same message: {ids:?}");
    assert_eq!(ask(&story, "POST", "webhooks/orders/deliveries/999999/replay", &Value::Null, 404)["code"], "not_found");
}

#[test]
fn a_test_is_signed_and_shows_the_answer() {
    let target = receiver("");
    let story = Story::start(CONFIG);
    make(&story, "orders", &definition(&target.url()));
    let tested = ask(&story, "POST", "webhooks/orders/test", &Value::Null, 200);
    assert_eq!(
        (&tested["data"]["status"], &tested["data"]["response"]["code"], &tested["data"]["attempts"]),
        (&json!("delivered"), &json!(200), &json!(1)),
        "{tested}"
    );
    let kept = target.kept().pop().expect("it came");
    let event: Value = serde_json::from_slice(&kept.body).expect("a CloudEvent");
    assert_eq!((&event["type"], &event["subject"]), (&json!("bulkhead.webhook.test"), &json!("orders")), "{event}");
    assert!(kept.head.headers.get("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));

    target.play(Script::parse("500*").expect("script"));
    let tested = ask(&story, "POST", "webhooks/orders/test", &Value::Null, 200);
    assert_eq!((&tested["data"]["status"], &tested["data"]["response"]["code"]), (&json!("retrying"), &json!(500)), "{tested}");
    ask(&story, "POST", "webhooks/nobody/test", &Value::Null, 404);
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_more_until_somebody_says_so() {
    let target = receiver("410*");
    let story = Story::start(&format!(
        "{CONFIG}instances:\n{}routes: [{{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}]}}]\n",
        file("news")
    ));
    make(&story, "orders", &definition(&target.url()));
    story.accept("application/x-ndjson", &copybook("e", 3));
    let shown = until(&story, "it is disabled", "webhooks/orders", |shown| shown["data"]["status"] == "disabled");
    assert!(shown["data"]["definition"]["disabled_because"].as_str().is_some_and(|why| why.contains("410")), "{shown}");
    assert_eq!(ask(&story, "POST", "webhooks/orders/test", &Value::Null, 409)["code"], "webhook_disabled");
    let told = wait::until("it is told", PATIENCE, || Ok(story.records("news.ndjson").into_iter().find(|event| event["type"] == "bulkhead.webhook.disabled")));
    assert_eq!(told.expect("is told")["data"]["cause"], "gone");

    // What waited is in the dead letters, and nothing more is wanted; so it could be deleted now.
    until(&story, "it is given up", "webhooks/orders/deliveries", |answer| count(answer, "retrying") == 0 && count(answer, "failed") >= 1);
    wait::until("all are letters", PATIENCE, || {
        let letters = ask(&story, "GET", "dead-letters?instance=webhook.orders", &Value::Null, 200);
        Ok((letters["data"].as_array().map(Vec::len) == Some(3)).then_some(()))
    })
    .expect("are there");
    let before = target.kept().len();
    story.accept("application/x-ndjson", &copybook("f", 2));
    story.settled();
    assert_eq!(target.kept().len(), before);

    // Over a kill, and back again.
    let story = story.crash();
    assert_eq!(ask(&story, "GET", "webhooks/orders", &Value::Null, 200)["data"]["status"], "disabled");
    target.play(Script::default());
    let on = ask(&story, "PUT", "webhooks/orders", &json!({"definition": definition(&target.url())}), 200);
    assert!(on["data"]["definition"]["disabled_because"].is_null(), "{on}");
    let failed = ask(&story, "GET", "webhooks/orders/deliveries?status=failed", &Value::Null, 200);
    let path = format!("webhooks/orders/deliveries/{}", failed["data"][0]["id"]);
    let again = ask(&story, "POST", &format!("{path}/replay"), &Value::Null, 202);
    until(&story, "it is delivered", &format!("webhooks/orders/deliveries/{}", again["data"]["id"]), |answer| answer["data"]["status"] == "delivered");
    story.accept("application/x-ndjson", &copybook("g", 1));
    story.settled();
    assert!(String::from_utf8_lossy(&target.kept().last().expect("it came").body).contains("g-0"));
    ask(&story, "DELETE", "webhooks/orders", &Value::Null, 200);
    ask(&story, "GET", "webhooks/orders/deliveries", &Value::Null, 404);
}

#[test]
fn a_receiver_that_fails_for_long_is_given_up() {
    let target = receiver("503*");
    let story = Story::start(CONFIG);
    let mut slow = definition(&target.url());
    slow["disable_after"] = json!("2s");
    make(&story, "orders", &slow);
    story.accept("application/x-ndjson", &copybook("e", 1));
    let shown = until(&story, "it is disabled", "webhooks/orders", |shown| shown["data"]["status"] == "disabled");
    assert!(shown["data"]["definition"]["disabled_because"].as_str().is_some_and(|why| why.contains("disable_after")), "{shown}");
    until(&story, "its event is given up", "webhooks/orders/deliveries", |answer| count(answer, "failed") == 1);
    // With nothing that waits it can go.
    wait::until("it goes", PATIENCE, || Ok((request(&story, "DELETE", "webhooks/orders", &[], &Value::Null).status == 200).then_some(()))).expect("goes");
}

#[test]
fn a_webhook_goes_nowhere_that_the_file_does_not_lend_and_its_parts_are_its_own() {
    let target = receiver("");
    let story = Story::start("encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}\n");
    for url in [target.url(), "https://127.0.0.1/x".into(), "https://169.254.169.254/latest".into(), "https://10.0.0.1/".into(), "https://localhost/".into()] {
        let refused = ask(&story, "POST", "webhooks", &json!({"name": "x", "definition": {"url": url}}), 422);
        assert_eq!((&refused["code"], &refused["errors"][0]["pointer"]), (&json!("invalid"), &json!("/definition/url")), "{refused}");
    }
    let made = make(&story, "x", &json!({"url": "https://hooks.example.com/in"}));
    assert!(made.starts_with("whsec_"));
    let refused = ask(&story, "POST", "webhooks", &json!({"name": "x", "definition": {"url": "https://hooks.example.com/in"}}), 409);
    assert_eq!(refused["code"], "exists");
    let part = ask(&story, "GET", "instances/webhook.x", &Value::Null, 200);
    assert_eq!(part["data"]["origin"], "webhooks/x", "{part}");
    assert_eq!(ask(&story, "DELETE", "instances/webhook.x", &Value::Null, 409)["code"], "part_of_another");
    // Without a key nothing that signs is written to disk.
    let story = Story::start("");
    let refused = ask(&story, "POST", "webhooks", &json!({"name": "x", "definition": {"url": "https://hooks.example.com/in"}}), 409);
    assert_eq!(refused["code"], "no_key");
}

/// The verbs do what the API does, with the house's exit codes; a secret is alone on standard output, and there once.
#[test]
fn webhooks_and_subscriptions_by_the_command_line() {
    let target = receiver("ok;ok;ok;400*");
    let story = Story::start(&format!("{CONFIG}instances:\n{}", file("pager")));
    let run = |args: &[&str]| {
        let api = format!("http://{}", story.host.api);
        let output = Command::new(binary()).args(args).args(["--api", &api]).output().expect("runs");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, secret, said) = run(&["webhook", "create", "orders", "--url", &target.url(), "--event", "SecurityEvent,login"]);
    assert!(code == 0 && secret.starts_with("whsec_") && secret.lines().count() == 1 && said.contains("shown this once"), "{code} {said}");
    let (code, shown, _) = run(&["webhook", "show", "orders"]);
    assert!(code == 0 && shown.contains("(hidden)") && !shown.contains(secret.trim()), "{shown}");
    let (code, listed, _) = run(&["webhook", "list"]);
    assert!(code == 0 && listed.contains("orders\tactive\t") && listed.contains("SecurityEvent,login"), "{listed}");
    let (code, sent, _) = run(&["webhook", "test", "orders"]);
    assert!(code == 0 && sent.contains("\tdelivered\t200\t1\t"), "{sent}");
    let (code, answer, _) = run(&["--json", "webhook", "deliveries", "orders", "--status", "delivered"]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((code, &answer["schema_version"], answer["data"].as_array().map(Vec::len)), (0, &json!(1), Some(1)), "{answer}");
    let id = answer["data"][0]["id"].to_string();
    let (code, again, _) = run(&["webhook", "replay", "orders", &id]);
    assert_eq!(code, 0, "{again}");
    until(&story, "it is repeated", "webhooks/orders/deliveries?status=delivered", |answer| count(answer, "delivered") == 2);
    let (code, second, said) = run(&["webhook", "rotate-secret", "orders", "--overlap", "60"]);
    assert!(code == 0 && second.starts_with("whsec_") && second != secret && said.contains("signs beside it until"), "{code} {said}");

    let (code, made, said) = run(&["subscription", "create", "tell", "--severity", "high", "--notify", "pager", "--format", "json"]);
    assert!(code == 0 && made.contains("tell\tenabled\tnotification\tpager\t"), "{made} {said}");
    let (code, made, said) = run(&["subscription", "create", "hook", "--event", "logout", "--webhook", "orders"]);
    assert!(code == 0 && made.contains("webhook\torders"), "{made} {said}");
    let (code, listed, _) = run(&["subscription", "list"]);
    assert!(code == 0 && listed.lines().count() == 2, "{listed}");
    assert!(run(&["subscription", "show", "tell"]).1.contains("\"min_severity\": \"high\""));
    let path = story.path("definition.yaml");
    fs::write(&path, "when: {event_type: login}\naction: {type: sync, instance: pager}\n").expect("written");
    let (code, _, said) = run(&["subscription", "create", "pull", "--definition", path.to_str().expect("UTF-8")]);
    assert!(code == 1 && said.contains("nothing is pulled from an instance `pager`"), "{code} {said}");
    assert_eq!(run(&["subscription", "create", "none"]).0, 2);

    // What is used stays, what is not there is not found, and a receiver that refuses is a failure.
    let (code, _, said) = run(&["webhook", "remove", "orders"]);
    assert!(code == 1 && said.contains("others need"), "{code} {said}");
    for name in ["hook", "tell"] {
        assert_eq!(run(&["subscription", "remove", name]).0, 0);
    }
    assert_eq!((run(&["subscription", "show", "tell"]).0, run(&["webhook", "show", "nobody"]).0), (5, 5));
    run(&["webhook", "test", "orders"]);
    let (code, sent, _) = run(&["webhook", "test", "orders"]);
    assert!(code == 1 && sent.contains("\tfailed\t400\t"), "{code} {sent}");
    let (code, gone, said) = run(&["webhook", "remove", "orders"]);
    assert!(code == 0 && gone == "orders is gone\n", "{code} {gone} {said}");
}
