//! The trail of the API: who did what, who was not let through; in the chain of receipts.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::{Guarded, PATH, err, out};
use crate::made::versioned;
use crate::story::{PATIENCE, Story, binary};

/// Every change with who, from where, before and after; without secrets; whole by the check of the files alone, and
/// tampering is found.
#[test]
fn the_trail_says_who_did_what_and_holds_against_tampering() {
    let guarded = Guarded::start();
    let first = format!("key:{}", &guarded.first[4..20]);
    let (operator, id) = guarded.make(json!({"name": "operator", "roles": ["integration_admin"]}));
    let actor = format!("key:{id}");
    for verb in ["pause", "resume"] {
        assert_eq!(guarded.with(&operator, "POST", &format!("/api/integration/instances/archive/{verb}"), "").status, 200);
    }
    assert_eq!(guarded.with(&operator, "POST", "/api/integration/instances/nobody/pause", "").status, 404);
    assert_eq!(guarded.with(&operator, "POST", PATH, "{}").status, 403);
    let rotated = guarded.with(&guarded.first, "POST", &format!("{PATH}/{id}/rotate"), r#"{"overlap_seconds": 60}"#);
    let fresh = rotated.json().expect("JSON")["data"]["key"].as_str().expect("a key").to_owned();

    let changes = guarded.trail(&format!("kind=change&actor={actor}"), 3);
    let told: Vec<(&str, &str, u64)> = changes
        .iter()
        .map(|change| (change["action"].as_str().expect("text"), change["object"].as_str().expect("text"), change["status"].as_u64().expect("a status")))
        .collect();
    assert_eq!(
        told,
        [("instances.pause", "instances/nobody", 404), ("instances.resume", "instances/archive", 200), ("instances.pause", "instances/archive", 200)]
    );
    assert_eq!((changes[2]["from"].as_str(), &changes[2]["after"]), (Some("127.0.0.1"), &json!({"paused": true})), "{}", changes[2]);
    let refused = &guarded.trail(&format!("kind=refusal&actor={actor}"), 1)[0];
    assert_eq!(
        (refused["permission"].as_str(), refused["action"].as_str(), refused["status"].as_u64()),
        (Some("system:admin"), Some("api_keys.create"), Some(403))
    );
    let signed_in = &guarded.trail(&format!("kind=sign_in&actor={actor}"), 1)[0];
    assert_eq!((signed_in["name"].as_str(), signed_in["from"].as_str()), (Some("operator"), Some("127.0.0.1")), "{signed_in}");
    let rotation = &guarded.trail("action=api_keys.rotate", 1)[0];
    assert_eq!((rotation["actor"].as_str(), rotation["object"].as_str()), (Some(first.as_str()), Some(format!("api-keys/{id}").as_str())));
    assert!(
        rotation["before"]["rotated_at"].is_null() && rotation["after"]["rotated_at"].is_string() && rotation["after"]["previous_until"].is_string(),
        "{rotation}"
    );
    let made = &guarded.trail("action=api_keys.create&kind=change", 1)[0];
    assert_eq!((made["after"]["name"].as_str(), &made["before"]), (Some("operator"), &Value::Null), "{made}");

    // Pages, times, and what is no filter.
    let page = guarded.with(&guarded.first, "GET", "/api/integration/audit/trail?kind=change&limit=2", "").json().expect("JSON");
    let next = page["links"]["next"].as_str().expect("more").to_owned();
    assert!(next.contains("kind=change"), "{next}");
    let second = guarded.with(&guarded.first, "GET", &next, "").json().expect("JSON");
    assert!(second["data"][0]["n"].as_u64() < page["data"][1]["n"].as_u64() && second["data"][0]["kind"] == "change", "{second:#}");
    let until = guarded.with(&guarded.first, "GET", "/api/integration/audit/trail?until=2020-01-01T00:00:00Z", "").json().expect("JSON");
    assert_eq!(until["meta"]["count"], 0);
    for bad in ["kind=deliver", "since=yesterday", "limit=0", "before=-1", "who=me"] {
        assert_eq!(guarded.with(&guarded.first, "GET", &format!("/api/integration/audit/trail?{bad}"), "").status, 400, "{bad}");
    }

    let mut story = guarded.story;
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
    let audit = |args: &[&str]| Command::new(binary()).arg("audit").args(args).current_dir(story.dir.path()).stdin(Stdio::null()).output().expect("runs");
    let report: Value = serde_json::from_slice(&audit(&["verify", "--json"]).stdout).expect("JSON");
    assert!(report["valid"] == true && report["counts"]["trail"].as_u64() >= Some(8), "{report:#}");
    let listed = out(&audit(&["list", "--trail", "--actor", &actor, "--action", "instances.pause"]));
    assert_eq!((listed.lines().count(), listed.contains("instances/archive")), (2, true), "{listed}");
    assert_eq!(audit(&["list", "--actor", &actor]).status.code(), Some(2), "goes with --trail");
    let path: PathBuf = fs::read_dir(story.path("data/audit"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .expect("a file");
    let text = fs::read_to_string(&path).expect("UTF-8");
    for secret in [&guarded.first, &operator, &fresh] {
        assert!(!text.contains(&secret[21..]), "a secret is on record");
        // The first key was shown on standard error, which goes to the same file here.
        assert_eq!(story.host.log().contains(&secret[21..]), secret == &guarded.first, "a secret is in the log");
    }
    // Somebody who may write the file makes it another one's doing.
    let at = text.find("\"action\":\"instances.pause\"").expect("on record");
    let (head, tail) = text.split_at(at);
    fs::write(&path, format!("{head}{}", tail.replacen(&id, "someoneelse00000", 1))).expect("written");
    let output = audit(&["verify"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("the record was changed"), "{}", err(&output));
}

/// A client that sends an upload and goes away at once: what it began is ended and on record.
#[test]
fn a_change_is_on_record_though_its_client_has_gone() {
    let guarded = Guarded::start();
    let component = versioned("webhook", "9.9.9");
    let mut stream = TcpStream::connect(guarded.story.host.api).expect("connects");
    let head = format!(
        "POST /api/integration/connectors HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\n\r\n",
        guarded.first,
        component.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&component)).expect("sent");
    // Nobody waits for the answer: compiling takes far longer than this.
    drop(stream);
    let change = &guarded.trail("kind=change&action=connectors.upload", 1)[0];
    assert_eq!(
        (change["object"].as_str(), change["status"].as_u64(), change["after"]["version"].as_str()),
        (Some("connectors/webhook"), Some(201), Some("9.9.9")),
        "{change}"
    );
    assert_eq!(change["actor"], format!("key:{}", &guarded.first[4..20]));
}

/// A reload is on record, too; and where no receipts are kept, the log alone says what was done.
#[test]
fn reloads_are_on_record_and_without_receipts_the_log_says_it() {
    let story = Story::start("");
    fs::write(&story.host.spec.config, "data_dir: ./data\nlisten: {api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\ndrain: 5s\n").expect("written");
    story.host.signal(rustix::process::Signal::HUP).expect("told");
    let trail = |story: &Story| story.host.get("/api/integration/audit/trail?action=configuration.reload").expect("answers");
    let reload = wait::until("the reload is on record", PATIENCE, || Ok(trail(&story).json()?["data"][0].as_object().cloned())).expect("on record");
    assert_eq!((reload["kind"].as_str(), reload["by"].as_str(), &reload["added"]["count"]), (Some("act"), Some("SIGHUP"), &json!(0)), "{reload:?}");

    let story = Story::start("audit: {receipts: false}\n");
    assert_eq!(Client::new(story.host.api).send("POST", "/api/integration/instances/nobody/pause", &[], b"").expect("answers").status, 404);
    assert_eq!(trail(&story).status, 404);
    wait::until("the log says it", PATIENCE, || Ok(story.host.log().contains("instances.pause").then_some(()))).expect("says it");
}
