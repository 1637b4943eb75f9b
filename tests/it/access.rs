//! Who may do what at the API: keys and roles, and what lets nobody in.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use bulkhead_tests::host::{self, Host};
use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, binary, file, spec};

const KEYS: &str = r#"{api: {addr: "127.0.0.1:0", auth: keys}, http: "127.0.0.1:0"}"#;
pub const PATH: &str = "/api/integration/api-keys";
pub const HEALTH: &str = "/api/integration/health";

fn config() -> String {
    format!("own_events: {{enabled: true}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive"))
}

/// A host that wants keys, with the first one.
pub struct Guarded {
    pub story: Story,
    pub first: String,
}

impl Guarded {
    pub fn start() -> Self {
        Self::listening(KEYS)
    }

    pub fn listening(listen: &str) -> Self {
        Self::configured(listen, "")
    }

    /// `more` is YAML beside what is there.
    pub fn configured(listen: &str, more: &str) -> Self {
        Self::of(Story::listening(listen, &format!("{more}{}", config())))
    }

    /// A host that was started for the first time.
    pub fn of(story: Story) -> Self {
        let first = first_keys(&story).pop().expect("a first key is shown");
        Self { story, first }
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        Client::new(self.story.host.api).send(method, path, headers, body.as_bytes()).expect("answers")
    }

    pub fn with(&self, key: &str, method: &str, path: &str, body: &str) -> Response {
        self.send(method, path, &[("Authorization", &format!("Bearer {key}"))], body)
    }

    pub fn status(&self, key: &str) -> u16 {
        self.with(key, "GET", HEALTH, "").status
    }

    /// The key's text and its id.
    #[track_caller]
    pub fn make(&self, more: Value) -> (String, String) {
        let mut body = json!({"name": "made by a test", "roles": ["security_viewer"]});
        body.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        let answer = self.with(&self.first, "POST", PATH, &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.headers.get("cache-control"), Some("no-store"));
        let data = answer.json().expect("JSON")["data"].clone();
        let (key, id) = (data["key"].as_str().expect("a key").to_owned(), data["id"].as_str().expect("an id").to_owned());
        assert_eq!(answer.headers.get("location"), Some(format!("{PATH}/{id}").as_str()));
        assert!(key.starts_with(&format!("bhk_{id}_")) && key.len() == 85, "{key}");
        (key, id)
    }

    #[track_caller]
    pub fn shown(&self, id: &str) -> Value {
        let answer = self.with(&self.first, "GET", &format!("{PATH}/{id}"), "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().expect("JSON")["data"].clone()
    }

    /// Entries of the trail, once there are as many as wanted.
    #[track_caller]
    pub fn trail(&self, query: &str, want: usize) -> Vec<Value> {
        let found = wait::until(query, PATIENCE, || {
            let answer = self.with(&self.first, "GET", &format!("/api/integration/audit/trail?{query}"), "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json()?["data"].as_array().expect("a list").clone();
            Ok((page.len() >= want).then_some(page))
        });
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.story.host.log()))
    }

    pub fn cli(&self, key: &str, args: &[&str]) -> Output {
        let api = format!("http://{}", self.story.host.api);
        let mut command = Command::new(binary());
        command.args(args).env("BULKHEAD_API_URL", api).env("BULKHEAD_API_TOKEN", key).current_dir(self.story.dir.path()).stdin(Stdio::null());
        command.output().expect("runs")
    }
}

/// What the host has shown on standard error, which its log file holds as well.
fn first_keys(story: &Story) -> Vec<String> {
    let log = story.host.log();
    log.lines().filter_map(|line| line.strip_prefix("first API key, shown once: ")).map(str::to_owned).collect()
}

#[track_caller]
pub fn problem(answer: &Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    let problem = answer.json().expect("JSON");
    assert_eq!((answer.headers.get("content-type"), problem["code"].as_str()), (Some("application/problem+json"), Some(code)), "{problem}");
    problem
}

pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows of a table of the page, which a test of the host holds against the code.
pub fn rows(table: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(host::root().join("docs/operators/access.md")).expect("the page");
    let begin = page.find(&format!("<!-- {table}, ")).expect("the table");
    let rows = page[begin..].lines().skip(1).take_while(|line| line.starts_with('|')).skip(2);
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let rows: Vec<Vec<String>> = rows.map(|row| row.trim_matches('|').split(" | ").map(cell).collect()).collect();
    assert!(rows.len() > 5, "{table}: {rows:?}");
    rows
}

/// Every endpoint: without credentials 401, with wrong ones 401, with roles that lack the permission 403 which names
/// it, with each role that has it neither.
#[test]
fn every_endpoint_asks_for_its_permission() {
    let guarded = Guarded::listening(r#"{api: {addr: "127.0.0.1:0", auth: keys, tokens: [a-static-token]}, http: "127.0.0.1:0"}"#);
    let roles: Vec<(String, BTreeSet<String>, String)> = rows("roles")
        .into_iter()
        .map(|row| {
            let may = row[1].split(", ").map(|permission| permission.trim_matches('`').to_owned()).collect();
            (row[0].clone(), may, guarded.make(json!({"roles": [row[0]], "rate": 10_000})).0)
        })
        .collect();
    let mut asked = 0;
    for row in rows("endpoints") {
        let (method, permission) = (row[0].as_str(), row[2].as_str());
        // Nothing of these names is there: what is let through finds nothing, or lacks a body.
        let path = row[1]
            .replace("{digest}", &format!("sha256:{}", "0".repeat(64)))
            .replace("{id}", "999")
            .replace("{instance}", "nobody")
            .replace("{name}", "nobody")
            // A stream has no end that could be waited for.
            .replace("/tap", "/tap?instance=nobody");
        let ask = |headers: &[(&str, &str)]| guarded.send(method, &path, headers, "");
        if permission == "open to everybody" {
            assert_eq!(ask(&[]).status, 200, "{method} {path}");
            continue;
        }
        if permission == "checks what it is given" {
            assert!([400, 401].contains(&ask(&[]).status), "{method} {path}");
            continue;
        }
        problem(&ask(&[]), 401, "unauthorized");
        problem(&ask(&[("Authorization", "Basic YTpi")]), 401, "unauthorized");
        assert_eq!(ask(&[]).headers.get("www-authenticate"), Some("Bearer"));
        for (role, may, key) in &roles {
            let bearer = format!("Bearer {key}");
            // Either header.
            for header in [("Authorization", bearer.as_str()), ("X-API-Key", key.as_str())] {
                let answer = ask(&[header]);
                if may.contains(permission) {
                    assert!(![401, 403, 405, 429, 500].contains(&answer.status), "{role} {method} {path}: {} {}", answer.status, answer.text());
                } else {
                    let problem = problem(&answer, 403, "forbidden");
                    assert_eq!(problem["errors"][0]["permission"], permission, "{role} {method} {path}");
                }
                asked += 1;
            }
        }
        let answer = ask(&[("Authorization", "Bearer a-static-token")]);
        assert!(![401, 403].contains(&answer.status), "{method} {path}: {}", answer.text());
    }
    assert!(asked > 400, "{asked}");
    // What is not there is not told to strangers.
    assert_eq!(guarded.send("GET", "/api/integration/nonsense", &[], "").status, 401);
    assert_eq!(guarded.send("PUT", HEALTH, &[], "").status, 401);
    assert_eq!(guarded.with(&guarded.first, "GET", "/api/integration/nonsense", "").status, 404);
    assert_eq!(guarded.with(&guarded.first, "PUT", HEALTH, "").status, 405);
    let key = format!("Bearer {}", guarded.first);
    problem(&guarded.send("GET", HEALTH, &[("Authorization", &key), ("X-API-Key", &guarded.first)], ""), 400, "two_credentials");
    // Bringing a component in and granting it what it asks for are two things.
    let installer = guarded.make(json!({"roles": ["security_admin"]})).0;
    let answer = guarded.send("POST", "/api/integration/connectors?approve=true", &[("X-API-Key", &installer), ("Content-Type", "application/wasm")], "x");
    assert_eq!(problem(&answer, 403, "forbidden")["errors"][0]["permission"], "connectors:grant");
    let answer = guarded.send("POST", "/api/integration/connectors", &[("X-API-Key", &installer), ("Content-Type", "application/wasm")], "x");
    problem(&answer, 422, "unfit");
}

/// A key's way from the command line: made, used, rotated with both secrets for a while, revoked; over a crash.
#[test]
fn keys_live_and_die_by_the_command_line() {
    let mut guarded = Guarded::start();
    let log = guarded.story.host.log();
    assert_eq!(log.matches(&guarded.first).count(), 1, "shown once, and not in a line of the log");
    assert!(log.contains("the first API key was made"), "{log}");
    let made =
        guarded.cli(&guarded.first, &["key", "create", "prometheus", "--role", "api_service,auditor", "--from", "127.0.0.0/8,10.1.0.0/16", "--days", "90"]);
    assert!(made.status.success(), "{}", err(&made));
    let key = out(&made).trim().to_owned();
    let id = key[4..20].to_owned();
    assert!(!err(&made).contains(&key) && err(&made).contains(&id), "the secret is on standard output alone: {}", err(&made));
    assert_eq!(guarded.status(&key), 200);
    let shown = guarded.shown(&id);
    assert_eq!((shown["name"].as_str(), shown["state"].as_str(), shown["rate"].as_u64()), (Some("prometheus"), Some("active"), Some(100)), "{shown}");
    assert_eq!((&shown["roles"], &shown["ip_allow"]), (&json!(["auditor", "api_service"]), &json!(["127.0.0.0/8", "10.1.0.0/16"])));
    assert_eq!((shown["last_used_from"].as_str(), shown["last_used_at"].is_string()), (Some("127.0.0.1"), true), "{shown}");
    assert!(shown["created_by"].as_str().is_some_and(|by| by == format!("key:{}", &guarded.first[4..20])), "{shown}");
    assert!(!shown.to_string().contains(&key[21..]), "{shown}");

    let rotated = guarded.cli(&guarded.first, &["key", "rotate", &id, "--overlap", "3", "--json"]);
    let rotated: Value = serde_json::from_str(&out(&rotated)).expect("JSON");
    let fresh = rotated["data"]["key"].as_str().expect("a key").to_owned();
    assert_eq!((rotated["schema_version"].as_u64(), fresh[4..20].to_owned()), (Some(1), id.clone()));
    assert_eq!((guarded.status(&fresh), guarded.status(&key)), (200, 200), "both, for a while");
    wait::until("the overlap is over", PATIENCE, || Ok((guarded.status(&key) == 401).then_some(()))).expect("ends");
    problem(&guarded.with(&key, "GET", HEALTH, ""), 401, "key_replaced");

    // kill -9: keys are as they were, the last use from before the stop among them.
    assert!(guarded.story.host.terminate(PATIENCE).expect("ends").success());
    guarded.story = guarded.story.crash().crash();
    assert_eq!(first_keys(&guarded.story).len(), 1, "no second first key");
    assert!(guarded.shown(&id)["last_used_at"].is_string(), "kept at the stop");
    assert_eq!((guarded.status(&fresh), guarded.status(&guarded.first)), (200, 200));

    let revoked = guarded.cli(&guarded.first, &["key", "revoke", &id]);
    assert!(revoked.status.success() && out(&revoked).contains("revoked"), "{}{}", out(&revoked), err(&revoked));
    problem(&guarded.with(&fresh, "GET", HEALTH, ""), 401, "key_revoked");
    let listed = out(&guarded.cli(&guarded.first, &["key", "list"]));
    assert!(listed.contains("prometheus") && listed.contains("first") && listed.contains("revoked"), "{listed}");
    // Not allowed, not there, not reached: exit codes of their own.
    let (viewer, _) = guarded.make(json!({}));
    for (key, args, exit) in [
        (viewer.as_str(), &["key", "list"][..], 4),
        ("", &["key", "list"], 4),
        (guarded.first.as_str(), &["key", "show", "0000000000000000"], 5),
        (guarded.first.as_str(), &["key", "rotate", &id], 1),
        (guarded.first.as_str(), &["key", "create", "x"], 2),
        (guarded.first.as_str(), &["key", "list", "--api", "http://127.0.0.1:1"], 6),
    ] {
        let output = guarded.cli(key, args);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", err(&output));
    }
    let output = guarded.cli(&viewer, &["instance", "pause", "archive"]);
    assert!(output.status.code() == Some(4) && err(&output).contains("integrations:write"), "{}", err(&output));
    // The only key that may give keys out stays.
    problem(&guarded.with(&guarded.first, "DELETE", &format!("{PATH}/{}", &guarded.first[4..20]), ""), 409, "last_admin");
    let (admin, _) = guarded.make(json!({"roles": ["security_admin"]}));
    assert_eq!(guarded.with(&admin, "DELETE", &format!("{PATH}/{}", &guarded.first[4..20]), "").status, 200);
    assert_eq!(guarded.status(&guarded.first), 401);
    let database: Vec<u8> =
        ["bulkhead.db", "bulkhead.db-wal"].iter().flat_map(|name| fs::read(guarded.story.path("data").join(name)).unwrap_or_default()).collect();
    for secret in [&key, &fresh, &guarded.first] {
        let secret = &secret.as_bytes()[21..];
        assert!(!database.windows(secret.len()).any(|bytes| bytes == secret), "a secret is in the store");
    }
}

#[test]
fn expiry_networks_and_rate_hold() {
    let guarded = Guarded::start();
    let soon = |seconds: i64| {
        let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        at.format(&time::format_description::well_known::Rfc3339).expect("a time")
    };
    let (short, id) = guarded.make(json!({"expires_at": soon(2)}));
    assert_eq!(guarded.status(&short), 200);
    wait::until("the key ends", PATIENCE, || Ok((guarded.status(&short) == 401).then_some(()))).expect("ends");
    problem(&guarded.with(&short, "GET", HEALTH, ""), 401, "key_expired");
    assert_eq!(guarded.shown(&id)["state"], "expired");
    // A rotation gives it a life again, and does not bring the old secret back.
    let rotated = guarded.with(&guarded.first, "POST", &format!("{PATH}/{id}/rotate"), &json!({"overlap_seconds": 600, "expires_at": soon(600)}).to_string());
    let rotated = rotated.json().expect("JSON")["data"].clone();
    assert_eq!((guarded.status(rotated["key"].as_str().expect("a key")), guarded.status(&short)), (200, 401), "{rotated}");

    let (elsewhere, _) = guarded.make(json!({"ip_allow": ["10.0.0.0/8", "::1"]}));
    let answer = guarded.send("GET", HEALTH, &[("X-API-Key", &elsewhere), ("X-Forwarded-For", "10.1.1.1"), ("Forwarded", "for=10.1.1.1")], "");
    problem(&answer, 403, "address_not_allowed");

    let (slow, _) = guarded.make(json!({"rate": 1}));
    let answers: Vec<Response> = (0..5).map(|_| guarded.with(&slow, "GET", HEALTH, "")).collect();
    let limited: Vec<&Response> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers[0].status == 200 && !limited.is_empty(), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    problem(limited[0], 429, "rate_limited");
    assert_eq!(limited[0].headers.get("retry-after"), Some("1"));
    wait::until("a second brings one more", PATIENCE, || Ok((guarded.status(&slow) == 200).then_some(()))).expect("comes");

    // A key that was made for more than a month and ends within one.
    let (_, month) = guarded.make(json!({"name": "for a month", "expires_at": soon(30 * 86_400 + 1)}));
    let told =
        wait::until("the reminder", PATIENCE, || Ok(guarded.story.records("archive.ndjson").into_iter().find(|event| event["type"] == "bulkhead.key.expires")));
    let told = told.unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
    assert_eq!((told["subject"].as_str(), told["data"]["name"].as_str()), (Some(month.as_str()), Some("for a month")), "{told}");
}

/// Guessing closes the address for a while, to right keys as well; the record does not grow with the guesses.
#[test]
fn guessing_is_slowed_and_summed_up() {
    let guarded = Guarded::start();
    let (victim, _) = guarded.make(json!({}));
    let wrong = format!("{}{}", &victim[..21], "A".repeat(64));
    let statuses: Vec<u16> = (0..200).map(|_| guarded.status(&wrong)).collect();
    assert_eq!((statuses[..10].to_vec(), statuses[10]), (vec![401; 10], 429), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 401).count() <= 12, "{statuses:?}");
    let answer = guarded.with(&victim, "GET", HEALTH, "");
    problem(&answer, 429, "too_many_attempts");
    let wait: u64 = answer.headers.get("retry-after").and_then(|seconds| seconds.parse().ok()).expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(guarded.send("GET", "/readyz", &[], "").status, 200);
    // No credentials at all are no guess, and no way around either.
    assert_eq!(guarded.send("GET", HEALTH, &[], "").status, 401);

    let mut story = guarded.story;
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
    let output = Command::new(binary()).args(["audit", "list", "--call", "refusal", "--json"]).current_dir(story.dir.path()).output().expect("runs");
    let records: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let records = records["data"].as_array().expect("a list");
    let of = |code: &str| records.iter().filter(|record| record["code"] == code).collect::<Vec<_>>();
    assert!(records.len() <= 6, "{records:#?}");
    let (guesses, locked) = (of("unauthorized"), of("too_many_attempts"));
    let count = |records: &[&Value]| records.iter().map(|record| record["count"].as_u64().unwrap_or(1)).sum::<u64>();
    assert_eq!(count(&guesses) + count(&locked), 202, "{records:#?}");
    assert_eq!((guesses[0]["from"].as_str(), guesses[0]["actor"].is_null()), (Some("127.0.0.1"), true), "{}", guesses[0]);
    assert!(!story.host.log().contains(&"A".repeat(64)), "a guess is in the log");
}

/// What is no key, in every form, lets nobody in and breaks nothing.
#[test]
fn odd_credentials_are_refused() {
    // Each from an own address, so that guessing does not close the way.
    let guarded = Guarded::listening(r#"{api: {addr: "127.0.0.1:0", auth: keys, tokens: [a-static-token]}, http: "127.0.0.1:0"}"#);
    let raw = |header: &[u8]| {
        let mut wire = format!("GET {HEALTH} HTTP/1.1\r\nHost: x\r\n").into_bytes();
        wire.extend_from_slice(header);
        wire.extend_from_slice(b"\r\n\r\n");
        Client::new(guarded.story.host.api).send_raw("GET", &wire).expect("answers").status
    };
    let first = &guarded.first;
    let huge = format!("X-API-Key: bhk_{}", "x".repeat(32 << 10));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"X-API-Key:".to_vec()),
        ("empty bearer", b"Authorization: Bearer ".to_vec()),
        ("no scheme", format!("Authorization: {first}").into_bytes()),
        ("huge", huge.into_bytes()),
        ("not ASCII", b"X-API-Key: bhk_\xff\xfe\xc3\x28".to_vec()),
        ("SQL in the id", format!("X-API-Key: bhk_' OR 1=1;--____{}", &first[20..]).into_bytes()),
        ("an id that is not there", format!("X-API-Key: bhk_0000000000000000{}", &first[20..]).into_bytes()),
        ("upper case id", format!("X-API-Key: bhk_{}{}", first[4..20].to_uppercase(), &first[20..]).into_bytes()),
        ("one letter less", format!("X-API-Key: {}", &first[..84]).into_bytes()),
        ("the beginning of a token", b"Authorization: Bearer a-static-toke".to_vec()),
    ];
    for (name, header) in &cases {
        assert_eq!(raw(header), 401, "{name}");
    }
    assert_eq!(guarded.send("GET", "/readyz", &[], "").status, 200);
    assert!(!guarded.story.host.log().contains("OR 1=1"), "{}", guarded.story.host.log());
}

#[test]
fn odd_keys_are_not_made() {
    let guarded = Guarded::start();
    let make = |body: &str| guarded.with(&guarded.first, "POST", PATH, body);
    for (body, pointer) in [
        (r#"{"roles": ["auditor"]}"#, "/name"),
        (r#"{"name": " ", "roles": ["auditor"]}"#, "/name"),
        (r#"{"name": "a\u0007b", "roles": ["auditor"]}"#, "/name"),
        (r#"{"name": "a"}"#, "/roles"),
        (r#"{"name": "a", "roles": []}"#, "/roles"),
        (r#"{"name": "a", "roles": ["root"]}"#, "/roles"),
        (r#"{"name": "a", "roles": ["auditor"], "ip_allow": ["everywhere"]}"#, "/ip_allow"),
        (r#"{"name": "a", "roles": ["auditor"], "rate": 0}"#, "/rate"),
        (r#"{"name": "a", "roles": ["auditor"], "rate": -1}"#, "/rate"),
        (r#"{"name": "a", "roles": ["auditor"], "expires_at": "2020-01-01T00:00:00Z"}"#, "/expires_at"),
        (r#"{"name": "a", "roles": ["auditor"], "expires_at": "2199-01-01T00:00:00Z"}"#, "/expires_at"),
    ] {
        assert_eq!(problem(&make(body), 400, "bad_field")["errors"][0]["pointer"], pointer, "{body}");
    }
    let long = json!({"name": "x".repeat(129), "roles": ["auditor"]}).to_string();
    assert_eq!(problem(&make(&long), 400, "bad_field")["errors"][0]["pointer"], "/name");
    problem(&make(r#"{"name": "a", "roles": ["auditor"], "secret": "mine"}"#), 400, "unknown_field");
    problem(&make("not JSON"), 400, "bad_body");
    assert_eq!(make(&"x".repeat(1 << 20)).status, 413);
    for id in ["x", "..%2f..%2fetc", "'%20OR%20'1'='1", &"a".repeat(5_000)] {
        problem(&guarded.with(&guarded.first, "GET", &format!("{PATH}/{id}"), ""), 400, "bad_id");
    }
    // An odd name stays what it is: text.
    let (_, id) = guarded.make(json!({"name": "'); DROP TABLE api_keys; -- ${jndi:ldap://x} =cmd|' /C calc'!A0"}));
    assert!(guarded.shown(&id)["name"].as_str().is_some_and(|name| name.starts_with("'); DROP TABLE")));
    let page = guarded.with(&guarded.first, "GET", &format!("{PATH}?limit=1&offset=1"), "").json().expect("JSON");
    assert_eq!((page["meta"]["total"].as_u64(), page["meta"]["count"].as_u64()), (Some(2), Some(1)), "{page}");
    assert_eq!(page["links"]["prev"], format!("{PATH}?limit=1&offset=0"));
}

/// Without the pepper, or with another, no key could be told from another: the host does not start.
#[test]
fn a_lost_pepper_is_a_refusal_and_not_an_open_door() {
    let mut guarded = Guarded::start();
    let pepper = guarded.story.path("data/pepper");
    let kept = fs::read(&pepper).expect("there");
    assert_eq!(kept.len(), 32);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&pepper).expect("there").permissions()) & 0o777, 0o600);
    assert!(guarded.story.host.terminate(PATIENCE).expect("ends").success());
    let start = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["serve"]).args(more).current_dir(guarded.story.dir.path()).stdin(Stdio::null()).output().expect("runs")
    };
    fs::remove_file(&pepper).expect("removed");
    let output = start(&[]);
    assert!(!output.status.success() && err(&output).contains("data/pepper is missing, and 1 API keys cannot be checked without it"), "{}", err(&output));
    assert!(!pepper.exists(), "no other one was made in its place");
    fs::write(&pepper, [7; 32]).expect("written");
    let output = start(&[]);
    assert!(!output.status.success() && err(&output).contains("made with another pepper") && err(&output).contains("--discard-api-keys"), "{}", err(&output));
    fs::write(&pepper, [7; 3]).expect("written");
    assert!(err(&start(&[])).contains("is no pepper"), "{}", err(&start(&[])));
    fs::write(&pepper, kept).expect("written");
    let mut story = guarded.story.crash();
    assert_eq!(first_keys(&story).len(), 1);
    let status = |story: &Story, key: &str| Client::new(story.host.api).send("GET", HEALTH, &[("X-API-Key", key)], b"").expect("answers").status;
    assert_eq!(status(&story, &guarded.first), 200);

    // A pepper of the operator's own: the keys of before go, by word only, and the file is not needed.
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
    let listen = r#"{api: {addr: "127.0.0.1:0", auth: keys, pepper: "a pepper of our own, long enough it is"}, http: "127.0.0.1:0"}"#;
    let changed = spec(story.dir.path(), listen, &config());
    let output = Command::new(binary()).arg("serve").current_dir(story.dir.path()).stdin(Stdio::null()).output().expect("runs");
    assert!(!output.status.success() && err(&output).contains("than the one in listen.api.pepper"), "{}", err(&output));
    let mut discarding = Command::new(binary());
    discarding.args(["serve", "--discard-api-keys", "--stdin"]).current_dir(story.dir.path()).stdin(Stdio::null());
    let output = discarding.output().expect("runs");
    let fresh = err(&output).lines().find_map(|line| line.strip_prefix("first API key, shown once: ").map(str::to_owned)).expect("a new first key");
    let story = Story { host: Host::start(changed).expect("starts"), dir: story.dir };
    assert_eq!((status(&story, &fresh), status(&story, &guarded.first), pepper.exists()), (200, 401, false));
}

/// Lost the only key: open the loopback listener, make another, close it again.
#[test]
fn a_lost_key_is_replaced_on_the_machine_itself() {
    let guarded = Guarded::start();
    let mut story = guarded.story;
    let listen = |auth: &str| format!(r#"{{api: {{addr: "127.0.0.1:0", auth: {auth}}}, http: "127.0.0.1:0"}}"#);
    let restart = |story: Story, auth: &str| {
        let changed = spec(story.dir.path(), &listen(auth), &config());
        let Story { dir, mut host } = story;
        assert!(host.terminate(PATIENCE).expect("ends").success());
        Story { host: Host::start(changed).expect("starts again"), dir }
    };
    story = restart(story, "open");
    let api = format!("http://{}", story.host.api);
    let made = Command::new(binary()).args(["key", "create", "rescue", "--role", "security_admin", "--api", &api]).output().expect("runs");
    assert!(made.status.success(), "{}", err(&made));
    // A page of another site stays outside.
    let from_page = Client::new(story.host.api).send("POST", PATH, &[("Origin", "https://evil.example")], b"{}").expect("answers");
    problem(&from_page, 403, "forbidden");
    story = restart(story, "keys");
    let key = out(&made).trim().to_owned();
    let status = |headers: &[(&str, &str)]| Client::new(story.host.api).send("GET", PATH, headers, b"").expect("answers").status;
    assert_eq!((status(&[]), status(&[("X-API-Key", &key)])), (401, 200));
    // What was done while it was open is on record, as nobody's in particular.
    let page = Client::new(story.host.api)
        .send("GET", "/api/integration/audit/trail?kind=change", &[("X-API-Key", &guarded.first)], b"")
        .expect("answers")
        .json()
        .expect("JSON");
    let made = page["data"].as_array().expect("a list").iter().find(|entry| entry["action"] == "api_keys.create").cloned().expect("on record");
    assert_eq!(made["actor"], "whoever is on this machine");
}

/// A thousand keys, and not one more, until one of them ends.
#[test]
fn the_number_of_keys_has_a_bound() {
    let guarded = Guarded::start();
    let (admin, _) = guarded.make(json!({"roles": ["security_admin"], "rate": 10_000}));
    let mut client = Client::new(guarded.story.host.api);
    let header = [("X-API-Key", admin.as_str())];
    let mut make = || client.send("POST", PATH, &header, br#"{"name": "one of many", "roles": ["api_service"]}"#).expect("answers");
    let ids: Vec<String> = (2..1_000).map(|_| make().json().expect("JSON")["data"]["id"].as_str().expect("an id").to_owned()).collect();
    problem(&make(), 507, "too_many_keys");
    let get = |id: &str| guarded.send("GET", &format!("{PATH}/{id}"), &header, "").status;
    for id in [&ids[700], &ids[5]] {
        assert_eq!(guarded.send("DELETE", &format!("{PATH}/{id}"), &header, "").status, 200);
        assert_eq!((get(id), make().status, get(id), make().status), (200, 201, 404, 507), "what ended makes room for one");
    }
}
