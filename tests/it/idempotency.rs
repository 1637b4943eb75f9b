//! `Idempotency-Key` on changes through the API.

use serde_json::{Value, json};

use crate::story::Story;
use crate::webhooks::{CONFIG, ask, request};

fn keyed(story: &Story, key: &str, path: &str, body: &Value) -> (u16, Option<String>, Value) {
    let response = request(story, "POST", path, &[("idempotency-key", key)], body);
    (response.status, response.headers.get("idempotency-replayed").map(str::to_owned), response.json().expect("JSON"))
}

#[test]
fn a_change_is_made_once_and_answered_the_same_over_a_kill() {
    let story = Story::start(CONFIG);
    let mine = json!({"name": "mine", "definition": {"formatter": "cef", "config": {"device_vendor": "me"}}});
    let (status, again, first) = keyed(&story, "k-1", "formatters", &mine);
    assert_eq!((status, again), (201, None), "{first}");
    assert_eq!(keyed(&story, "\"k-1\"", "formatters", &mine), (201, Some("true".into()), first.clone()), "in quotes it is the same key");
    let story = story.crash();
    assert_eq!(keyed(&story, "k-1", "formatters", &mine), (201, Some("true".into()), first));
    assert_eq!(ask(&story, "GET", "formatters/mine/versions", &Value::Null, 200)["meta"]["total"], 1);
    // What was replayed is on record once.
    let trail = ask(&story, "GET", "audit/trail?action=formatters.make", &Value::Null, 200);
    assert_eq!(trail["data"].as_array().map(Vec::len), Some(1), "{trail}");

    let other = json!({"name": "other", "definition": {"formatter": "cef"}});
    let (status, _, problem) = keyed(&story, "k-1", "formatters", &other);
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")), "{problem}");
    // What was refused leaves its key free.
    let wrong = json!({"name": "other", "definition": {"formatter": "no-such"}});
    assert_eq!(keyed(&story, "k-2", "formatters", &wrong).0, 422);
    assert_eq!(keyed(&story, "k-2", "formatters", &other).0, 201);
    let (status, _, problem) = keyed(&story, "two words", "formatters", &other);
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_idempotency_key")), "{problem}");
}

#[test]
fn a_secret_is_in_one_answer_only() {
    let story = Story::start(CONFIG);
    let hook = json!({"name": "x", "definition": {"url": "https://hooks.example.com/in"}});
    let (status, _, made) = keyed(&story, "k", "webhooks", &hook);
    assert_eq!(status, 201, "{made}");
    let secret = made["data"]["secret"].as_str().expect("a secret").to_owned();
    let response = request(&story, "POST", "webhooks", &[("idempotency-key", "k")], &hook);
    assert_eq!((response.status, response.headers.get("location")), (409, Some("/api/integration/webhooks/x")), "{}", response.text());
    let problem = response.json().expect("JSON");
    assert_eq!(problem["code"], "idempotency_not_kept", "{problem}");
    assert!(!problem.to_string().contains(&secret));
    assert_eq!(ask(&story, "GET", "webhooks", &Value::Null, 200)["meta"]["total"], 1);
}

/// Several at once under one key: one is made, the others hear so or that it is under way.
#[test]
fn at_the_same_time_one_is_made() {
    let story = Story::start(CONFIG);
    let mine = json!({"name": "mine", "definition": {"formatter": "cef"}});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| keyed(&story, "k", "formatters", &mine))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("ends"))
            .map(|(status, _, answer)| {
                assert!(status == 201 || answer["code"] == "idempotency_under_way", "{answer}");
                status
            })
            .collect()
    });
    assert!(statuses.contains(&201), "{statuses:?}");
    assert_eq!(ask(&story, "GET", "formatters/mine/versions", &Value::Null, 200)["meta"]["total"], 1);
}

/// A hash of a body with a password in it would be a way to guess the password: such changes take no key, and can be
/// sent again as they are.
#[test]
fn what_may_hold_a_password_takes_no_key() {
    let story = Story::start(CONFIG);
    let bearer = json!({"name": "c", "definition": {"type": "bearer", "token": "hunter2-hunter2"}});
    let entries = json!({"entries": []});
    let user = json!({"name": "ada", "roles": ["security_viewer"], "password": "seven oak trees"});
    for (path, body) in [("auth-configs", &bearer), ("import", &entries), ("users", &user), ("users/ada/password", &user)] {
        let (status, _, problem) = keyed(&story, "k", path, body);
        assert_eq!((status, &problem["code"]), (400, &json!("idempotency_key_unsupported")), "{path}: {problem}");
    }
    assert_eq!(ask(&story, "POST", "auth-configs", &bearer, 201)["data"]["name"], "c");
    assert_eq!(ask(&story, "POST", "auth-configs", &bearer, 409)["code"], "exists");
}
