//! Credentials as receivers see them: tokens that are fetched and change, signatures that others verify,
//! values from commands and files, and nothing of it where people look.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_tests::host;
use bulkhead_tests::http::Client;
use bulkhead_tests::receiver::{Kept, Script, Step};
use bulkhead_tests::skip::skip;
use bulkhead_tests::tokens::{Options, TokenServer};
use bulkhead_tests::wait;
use rustix::process::Signal;
use rustls::version::TLS13;
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::pki::{self, Authority};
use crate::story::{PATIENCE, Story, binary, copybook, ids, receiver};

const TO_HOOK: &str = "default_route: [{instance: hook, format: json}]\n";

fn tokens(options: Options) -> TokenServer {
    TokenServer::start(options).expect("starts")
}

fn options() -> Options {
    Options { prefix: "hunter2-token".into(), life: 3600, delay: Duration::ZERO, refusals: Vec::new() }
}

/// A webhook with the credential `c` on its destination.
fn hook(name: &str, url: &str, more: &str) -> String {
    format!(
        "  {name}:\n    connector: webhook\n    destinations: {{primary: {{url: \"{url}\", methods: [POST], credential: c}}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    circuit_breaker: {{failure_threshold: 1000}}\n{more}"
    )
}

fn oauth2(server: &TokenServer) -> String {
    format!("credentials:\n  c: {{type: oauth2, token_url: \"{}\", client_id: bulkhead, client_secret: hunter2-client, scope: audit.write}}\n", server.url())
}

fn authorization(kept: &Kept) -> String {
    kept.head.headers.get("authorization").unwrap_or_default().to_owned()
}

/// Everything that people and programs can see of a host, and every file it keeps.
fn seen(story: &Story) -> String {
    let mut all = story.host.log();
    for path in ["/api/integration/dead-letters?limit=1000", "/api/integration/health", "/metrics"] {
        all.push_str(&story.host.get(path).expect("answers").text());
    }
    files(&story.host.spec.data_dir, &mut all);
    all
}

fn files(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        // The host goes on writing and removing.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            files(&entry.path(), all);
        } else if let Ok(bytes) = fs::read(entry.path()) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn config_show(story: &Story) -> Output {
    Command::new(binary()).args(["config", "show", "--effective", "--config"]).arg(&story.host.spec.config).stdin(Stdio::null()).output().expect("runs")
}

/// Eight instances with sixteen deliveries at once each, and a slow token endpoint: one token request.
#[test]
fn a_hundred_deliveries_at_once_ask_for_one_token() {
    let server = tokens(Options { delay: Duration::from_millis(300), ..options() });
    let receiver = receiver("");
    let names: Vec<String> = (0..8).map(|number| format!("hook{number}")).collect();
    let instances: String = names.iter().map(|name| hook(name, &receiver.url(), "    concurrency: 16\n")).collect();
    let targets: Vec<String> = names.iter().map(|name| format!("{{instance: {name}, format: json}}")).collect();
    let story = Story::start(&format!("instances:\n{instances}{}default_route: [{}]\n", oauth2(&server), targets.join(", ")));
    story.accept("application/x-ndjson", &copybook("e", 30));
    let scrape = story.settled();
    let asked = [("instance", "credentials.c"), ("destination", "token"), ("result", "2xx")];
    assert_eq!(scrape.sum("bulkhead_egress_requests_total", &asked), 1.0);
    let kept = receiver.kept();
    assert_eq!(kept.len(), 240);
    assert!(kept.iter().all(|kept| authorization(kept) == "Bearer hunter2-token-1"));
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "one token for all");
    assert_eq!(asked[0].form, "grant_type=client_credentials&scope=audit.write");
    assert_eq!(asked[0].head.headers.get("authorization"), Some("Basic YnVsa2hlYWQ6aHVudGVyMi1jbGllbnQ="));
    assert!(!seen(&story).contains("hunter2"), "{}", story.host.log());
    let shown = config_show(&story);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.contains("(hidden)") && !text.contains("hunter2"), "{text}");
}

/// The endpoint is trusted by an authority of the operator's own, and asks for a certificate; a renewed one
/// counts after a reload.
#[test]
fn a_token_endpoint_has_tls_of_its_own() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let authority = Authority::new("tokens");
    let config = pki::server(&authority.server(&["localhost"]), Some(&authority), &[&TLS13], &[b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).expect("a connection"), stream);
            let mut request = Vec::new();
            let mut chunk = [0; 4_096];
            while !String::from_utf8_lossy(&request).contains("scope=audit.write") {
                match stream.read(&mut chunk) {
                    Ok(length) if length > 0 => request.extend_from_slice(&chunk[..length]),
                    _ => break,
                }
            }
            let body = format!(r#"{{"access_token":"hunter2-token-{}","expires_in":3600}}"#, number + 1);
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            // One that did not trust us hears nothing.
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
        }
    });
    let ca = pki::write(dir.path(), "ca.pem", authority.pem());
    let (cert, key) = authority.client("bulkhead").write(dir.path(), "client");
    let endpoint =
        format!("{{url: \"https://localhost:{port}/token\", tls: {{ca: {}, client_cert: {}, client_key: {}}}}}", ca.display(), cert.display(), key.display());
    let credential =
        format!("credentials:\n  c: {{type: oauth2, token_url: {endpoint}, client_id: bulkhead, client_secret: hunter2-client, scope: audit.write}}\n");
    let receiver = receiver("");
    let story = Story::start(&format!("instances:\n{}{credential}{TO_HOOK}", hook("hook", &receiver.url(), "")));
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let first = authorization(&receiver.kept()[0]);
    assert!(first.starts_with("Bearer hunter2-token-"), "{first}");
    authority.client("bulkhead").write(dir.path(), "client");
    story.host.signal(Signal::HUP).expect("signalled");
    wait::until("it is reloaded", PATIENCE, || Ok(story.host.log().contains(r#""changed":"hook""#).then_some(()))).expect("reloads");
    story.accept("application/x-ndjson", &copybook("f", 1));
    story.settled();
    assert_ne!(authorization(&receiver.kept()[1]), first, "a token for the new certificate");
}

/// Tokens that live for two seconds change while events flow; nothing is lost, and no request waits for more
/// than its token.
#[test]
fn a_token_changes_in_the_middle_of_the_stream() {
    let server = tokens(Options { life: 2, ..options() });
    let receiver = receiver("");
    let story = Story::start(&format!("instances:\n{}{}{TO_HOOK}", hook("hook", &receiver.url(), ""), oauth2(&server)));
    let mut posted = 0;
    let used = || receiver.kept().iter().map(authorization).collect::<BTreeSet<_>>();
    wait::until("three tokens are used", PATIENCE, || {
        story.accept("application/x-ndjson", &copybook(&format!("e{posted}"), 5));
        posted += 1;
        Ok((used().len() >= 3).then_some(()))
    })
    .expect("they change");
    let scrape = story.settled();
    let delivered = f64::from(posted) * 5.0;
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "hook")]), delivered);
    assert_eq!(scrape.sum("bulkhead_lane_retried_total", &[("instance", "hook")]), 0.0);
    assert!(used().iter().all(|header| header.starts_with("Bearer hunter2-token-")));
    // One a second at most: half of the life.
    let (asked, took) = (server.asked().len(), receiver.kept().last().map_or(0, |kept| kept.at) - receiver.kept()[0].at);
    assert!(asked as u64 <= took / 900_000_000 + 2, "{asked} tokens in {took} ns");
}

/// A receiver's 401 drops the token; the probe that `resume` sends has another.
#[test]
fn a_refused_token_is_replaced() {
    let server = tokens(options());
    let receiver = receiver("401");
    let story = Story::start(&format!("instances:\n{}{}{TO_HOOK}", hook("hook", &receiver.url(), ""), oauth2(&server)));
    story.accept("application/x-ndjson", &copybook("e", 1));
    wait::until("it is held", PATIENCE, || Ok(story.lane("hook")["held"].as_str().map(|_| ()).or_else(|| (receiver.kept().len() == 1).then_some(()))))
        .expect("held");
    wait::until("it goes on", PATIENCE, || {
        let _ = Client::new(story.host.api).send("POST", "/api/integration/instances/hook/resume", &[], b"")?;
        Ok((receiver.kept().len() == 2).then_some(()))
    })
    .expect("goes on");
    story.settled();
    assert_eq!(receiver.kept().iter().map(authorization).collect::<Vec<_>>(), ["Bearer hunter2-token-1", "Bearer hunter2-token-2"]);
    assert_eq!(server.asked().len(), 2);
}

/// What a receiver echoes of a token that nobody configured is taken out of everything.
#[test]
fn an_echoed_token_is_nowhere() {
    let server = tokens(options());
    let receiver = receiver("");
    let echo = format!("bad token {0}; aHVudGVyMi10b2tlbi0x; {1}", server.token(1), "68756e746572322d746f6b656e2d31");
    receiver.play(Script::always(Step::Answer { status: 400, headers: vec![("X-Echo".into(), server.token(1))], body: echo }));
    let story = Story::start(&format!("instances:\n{}{}{TO_HOOK}", hook("hook", &receiver.url(), ""), oauth2(&server)));
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").json().expect("JSON");
    let reason = letters["data"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("bad token [redacted]; [redacted]; [redacted]"), "{reason}");
    let seen = seen(&story);
    for form in ["hunter2", "aHVudGVyMi10b2tlbi0x", "68756e746572322d746f6b656e2d31"] {
        assert!(!seen.contains(form), "{form}");
    }
}

/// A token endpoint that refuses the client holds the instance with its reason; one that is down is tried
/// again. Either way the event waits, and the reason tells nothing.
#[test]
fn a_token_that_cannot_be_had_loses_nothing() {
    let refusals = vec![(503, "hunter2".to_owned()), (429, String::new())];
    let server = tokens(Options { refusals, ..options() });
    let receiver = self::receiver("");
    let story = Story::start(&format!("instances:\n{}{}{TO_HOOK}", hook("hook", &receiver.url(), ""), oauth2(&server)));
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.settled();
    assert_eq!(server.asked().len(), 3);
    assert_eq!(receiver.kept().len(), 2);
    assert!(story.host.log().contains("credential `c`: the token endpoint answered 503"), "{}", story.host.log());

    let refusals = vec![(401, r#"{"error":"invalid_client","error_description":"hunter2-client is wrong"}"#.to_owned()); 100];
    let server = tokens(Options { refusals, ..options() });
    let story = Story::start(&format!("instances:\n{}{}{TO_HOOK}", hook("hook", &receiver.url(), ""), oauth2(&server)));
    story.accept("application/x-ndjson", &copybook("f", 2));
    wait::until("it is held", PATIENCE, || Ok(story.host.log().contains("the token endpoint answered 401 invalid_client").then_some(()))).expect("said");
    let lane = story.lane("hook");
    assert_eq!(lane["backlog"], 2, "{lane}");
    assert!(!seen(&story).contains("hunter2"), "{}", story.host.log());
}

/// A program's output is the secret: read again when it is old, never shown, never run by `validate`.
#[test]
fn a_command_prints_the_secret() {
    let receiver = receiver("");
    let dir = tempfile::TempDir::new().expect("a folder");
    let (program, secret, runs) = (dir.path().join("print"), dir.path().join("secret"), dir.path().join("runs"));
    fs::write(&secret, "hunter2-first\n").expect("written");
    let script = format!("#!/bin/sh\necho \"$SECRET_OF_THE_SERVICE run\" >> {}\necho hunter2-noise >&2\ncat {}\n", runs.display(), secret.display());
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("set");
    let credential = format!(
        "credentials:\n  c: {{type: header, name: X-Api-Key, prefix: \"key \", value: {{command: [\"{}\"], refresh: 1s, timeout: 20s}}}}\n",
        program.display()
    );
    let config = format!("instances:\n{}{credential}{TO_HOOK}", hook("hook", &receiver.url(), ""));
    // The check runs nothing, and says so.
    let path = dir.path().join("check.yaml");
    fs::write(&path, &config).expect("written");
    let checked = Command::new(binary()).args(["validate", "--config"]).arg(&path).stdin(Stdio::null()).output().expect("runs");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.contains("note: commands of credentials are not run here: c"), "{said}");
    assert!(!runs.exists(), "validate ran it");

    let mut spec = crate::story::spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, &config);
    spec.env.push(("SECRET_OF_THE_SERVICE".into(), "hunter2-service".into()));
    let story = Story { host: host::Host::start(spec).expect("starts"), dir };
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let key = |kept: &Kept| kept.head.headers.get("x-api-key").unwrap_or_default().to_owned();
    assert_eq!(key(&receiver.kept()[0]), "key hunter2-first");
    fs::write(&secret, "hunter2-second\n").expect("written");
    let mut posted = 0;
    wait::until("the new secret is used", PATIENCE, || {
        story.accept("application/x-ndjson", &copybook(&format!("f{posted}"), 1));
        posted += 1;
        Ok(receiver.kept().iter().any(|kept| key(kept) == "key hunter2-second").then_some(()))
    })
    .expect("used");
    story.settled();
    // What is echoed of both, the replaced one too, is hidden.
    receiver.play(Script::always(Step::answer(400, "no hunter2-first, no hunter2-second")));
    story.accept("application/x-ndjson", &copybook("g", 1));
    story.settled();
    let letters = story.host.get("/api/integration/dead-letters?limit=1000").expect("answers").json().expect("JSON");
    let newest = letters["data"].as_array().and_then(|letters| letters.iter().max_by_key(|letter| letter["id"].as_i64())).expect("a letter").clone();
    assert!(newest["reason"].as_str().is_some_and(|reason| reason.contains("no [redacted], no [redacted]")), "{newest}");
    assert!(!seen(&story).contains("hunter2"), "{}", story.host.log());
    let runs = fs::read_to_string(runs).expect("it ran");
    assert!(runs.lines().all(|line| line == " run"), "the service's variables are not the command's: {runs}");
    let shown = config_show(&story);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("print") && !text.contains("hunter2"), "{text}");
}

/// A command that fails leaves the event waiting, and its output is in no log.
#[test]
fn a_command_that_fails_says_how_and_nothing_more() {
    let receiver = receiver("");
    let credential = "credentials:\n  c: {type: bearer, token: {command: [/bin/sh, -c, \"echo hunter2-out; echo hunter2-err >&2; exit 3\"]}}\n";
    let story = Story::start(&format!("instances:\n{}{credential}{TO_HOOK}", hook("hook", &receiver.url(), "")));
    story.accept("application/x-ndjson", &copybook("e", 1));
    let want = "credential `c`: its command failed: exit status: 3";
    wait::until(want, PATIENCE, || Ok(story.host.log().contains(want).then_some(()))).expect("said");
    assert_eq!(story.lane("hook")["backlog"], 1);
    assert!(receiver.kept().is_empty());
    // The command's own text is configuration; what it printed is not there.
    assert!(!story.host.log().contains("hunter2"), "{}", story.host.log());
}

#[test]
fn a_file_is_read_again_on_reload() {
    let receiver = receiver("");
    let dir = tempfile::TempDir::new().expect("a folder");
    let file = dir.path().join("token");
    fs::write(&file, "hunter2-old\n").expect("written");
    let credential = format!("credentials:\n  c: {{type: bearer, token: \"${{file:{}}}\"}}\n", file.display());
    let story = Story::start(&format!("instances:\n{}{credential}{TO_HOOK}", hook("hook", &receiver.url(), "")));
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    fs::write(&file, "hunter2-new\n").expect("written");
    story.host.signal(Signal::HUP).expect("signalled");
    wait::until("it is reloaded", PATIENCE, || Ok(story.host.log().contains(r#""changed":"hook""#).then_some(()))).expect("reloads");
    story.accept("application/x-ndjson", &copybook("f", 1));
    story.settled();
    assert_eq!(receiver.kept().iter().map(authorization).collect::<Vec<_>>(), ["Bearer hunter2-old", "Bearer hunter2-new"]);
}

/// A component marks a field of its configuration as secret: no variable may fill it in.
#[test]
fn a_variable_in_a_secret_field_of_a_connector_is_refused() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let wasm = fs::read(host::root().join("target/guests/webhook.wasm")).expect("guests are built before");
    // The same length, so that the section stays whole: the description makes room for the mark.
    let description = br#""description":"Sent as `x-webhook-id`: which registration of the receiver this is.""#;
    let mut marked = wasm.clone();
    // Once in the guest's own data, once in the manifest.
    for at in memchr::memmem::find_iter(&wasm, description) {
        marked[at..at + description.len()].fill(b' ');
        marked[at..at + 16].copy_from_slice(br#""writeOnly":true"#);
    }
    assert_ne!(marked, wasm, "the schema describes webhook_id");
    fs::create_dir(dir.path().join("connectors")).expect("made");
    fs::write(dir.path().join("connectors/marked.wasm"), marked).expect("written");
    let check = |value: &str| {
        let path = dir.path().join("bulkhead.yaml");
        let config = format!(
            "data_dir: {0}/data\nconnectors_dir: {0}/connectors\ninstances:\n  one: {{connector: marked, config: {{webhook_id: {value}}}, destinations: {{primary: \"http://127.0.0.1:9\"}}}}\ndefault_route: [{{instance: one, format: json}}]\n",
            dir.path().display()
        );
        fs::write(&path, config).expect("written");
        let output = Command::new(binary()).args(["validate", "--json", "--config"]).arg(path).env("HOOK_ID", "hunter2-hook").stdin(Stdio::null()).output();
        serde_json::from_slice::<Value>(&output.expect("runs").stdout).expect("JSON")
    };
    assert_eq!(check("plain")["faults"], json!([]));
    let faults = check("\"${HOOK_ID}\"")["faults"].clone();
    assert_eq!(faults.as_array().map(Vec::len), Some(1), "{faults}");
    assert_eq!(faults[0]["key"], "instances.one.config.webhook_id");
    assert_eq!(faults[0]["message"], "a secret of the component's configuration cannot come from `${…}`");
    assert_eq!(faults[0]["hint"], "define it under `credentials` and name it in a destination: the host applies it, and the component never sees it");
    assert!(!faults.to_string().contains("hunter2"));
}

/// Signatures as others compute them: SigV4 by botocore, Azure's and the custom HMAC step by step.
#[test]
fn signatures_are_verified_by_others() {
    const MODULES: &str = "botocore";
    let test = "credentials::signatures_are_verified_by_others";
    let known = [std::env::var_os("BULKHEAD_PYTHON").map(Into::into), Some(host::root().join("target/python/bin/python")), Some("python3".into())];
    let found = known
        .into_iter()
        .flatten()
        .find(|python| Command::new(python).args(["-c", &format!("import {MODULES}")]).output().is_ok_and(|output| output.status.success()));
    let Some(python) = found else {
        return skip(test, &format!("no Python with {MODULES}; `pip install -r tests/requirements.txt` brings it"));
    };
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
    for (scheme, credential, path) in [
        ("sigv4", "type: sigv4, region: eu-central-1, service: logs, access_key: AKIDEXAMPLE, secret_key: wJalrXUtnFEMI/K7MDENG".to_owned(), "/a%20b/c;d=1/e$f?z=1&a=%C3%BC&a=2"),
        (
            "sigv4",
            "type: sigv4, region: us-east-1, service: s3, access_key: AKIDEXAMPLE, secret_key: wJalrXUtnFEMI/K7MDENG, session_token: hunter2-session".to_owned(),
            "/bucket/a%20b",
        ),
        (
            "sigv4",
            r#"type: sigv4, region: us-east-1, service: aoss, process: {command: [/bin/echo, '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG","SessionToken":"hunter2-session"}']}"#.to_owned(),
            "/_bulk",
        ),
        ("sas", "type: sas, resource: \"https://acme.servicebus.windows.net/alerts\", key_name: SendPolicy, key: hunter2-sas-key=".to_owned(), "/alerts/messages?timeout=60"),
        ("storage", format!("type: shared_key, scheme: storage, account: acme, key: \"{key}\""), "/logs/a%20b.ndjson?comp=appendblock&Timeout=20"),
        ("log_analytics", format!("type: shared_key, scheme: log_analytics, account: 01234567-aaaa, key: \"{key}\""), "/api/logs?api-version=2016-04-01"),
        (
            "custom",
            "type: hmac, scheme: custom, secret: hunter2-hmac, header: X-Slack-Signature, prefix: \"v0=\", signs: id.timestamp.body, timestamp_header: X-Slack-Time, id_header: X-Slack-Id".to_owned(),
            "/in",
        ),
        ("custom64", "type: hmac, scheme: custom, secret: hunter2-hmac, header: X-Sig, encoding: base64".to_owned(), "/in"),
    ] {
        let receiver = receiver("");
        let config = format!("instances:\n{}credentials:\n  c: {{{credential}}}\n{TO_HOOK}", hook("hook", &format!("{}{path}", receiver.url()), ""));
        let story = Story::start(&config);
        story.accept("application/x-ndjson", &copybook("e", 2));
        story.settled();
        let kept = receiver.kept();
        assert_eq!(kept.iter().flat_map(|kept| ids(&kept.body, "e", 2)).count(), 2);
        let requests: Vec<Value> = kept
            .iter()
            .map(|kept| json!({"method": kept.head.method, "target": kept.head.path, "headers": kept.head.headers.0, "body": String::from_utf8_lossy(&kept.body)}))
            .collect();
        let file = story.path("requests.json");
        fs::write(&file, json!({"scheme": scheme, "requests": requests}).to_string()).expect("written");
        let output = Command::new(&python).arg(host::root().join("tests/independent/check_signatures.py")).arg(&file).output().expect("runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("verified 2 "), "{credential}\n{said}");
    }
}

/// A refresh token that the server gave in the place of the configured one lives in memory: after a restart
/// the configured one is asked with again. A server that has taken it out of service is heard, and the events
/// wait.
#[test]
fn a_replaced_refresh_token_ends_with_the_process() {
    let given = |number: u32| {
        let body = json!({"access_token": format!("hunter2-token-{number}"), "token_type": "Bearer", "expires_in": 1, "refresh_token": format!("hunter2-refresh-{number}")});
        (200, body.to_string())
    };
    let refused = (400, json!({"error": "invalid_grant"}).to_string());
    let server = tokens(Options { refusals: [vec![given(1), given(2)], vec![refused; 100]].concat(), ..options() });
    let receiver = receiver("");
    let story = Story::start(&format!(
        "instances:\n{}credentials:\n  c: {{type: oauth2, token_url: \"{}\", grant: refresh_token, client_id: bulkhead, client_secret: hunter2-client, refresh_token: hunter2-configured}}\n{TO_HOOK}",
        hook("hook", &receiver.url(), ""),
        server.url()
    ));
    let mut sent = 0;
    wait::until("the token is asked for again", PATIENCE, || {
        story.accept("application/x-ndjson", &copybook(&format!("e{sent}"), 1));
        sent += 1;
        Ok((server.asked().len() >= 2).then_some(()))
    })
    .expect("asked");
    let with = |number: usize| server.asked()[number].form.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).map(str::to_owned);
    assert_eq!((with(0).as_deref(), with(1).as_deref()), (Some("hunter2-configured"), Some("hunter2-refresh-1")));
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("after", 1));
    let configured = || (0..server.asked().len()).filter_map(with).filter(|token| token == "hunter2-configured").count();
    wait::until("the configured one is tried again", PATIENCE, || Ok((configured() >= 2).then_some(()))).expect("tried");
    wait::until("the refusal is in the log", PATIENCE, || Ok(story.host.log().contains("invalid_grant").then_some(()))).expect("said");
    assert!(!receiver.kept().iter().any(|kept| !ids(&kept.body, "after", 1).is_empty()), "the event waits");
    assert!(!seen(&story).contains("hunter2"), "{}", story.host.log());
}
