//! Secrets against receivers that echo them, configurations that cannot protect them, guests and events
//! that reach for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bulkhead_core::SystemClock;
use bulkhead_observe::Metrics;
use bulkhead_sandbox::egress::SystemResolver;
use bulkhead_sandbox::egress::client::{Egress, Request, Response, SendError};
use bulkhead_sandbox::egress::redact::{MARK, Redactor};
use bulkhead_sandbox::limits::Watch;
use bulkhead_sandbox::{
    ClientAuth, ConnectorGrants, Credential, Destination, DestinationSettings, Grant, Limits, OAuth2Settings, Places, Scheme, SharedKeyScheme, Value,
};
use bulkhead_tests::host::{self, Host, Spec};
use bulkhead_tests::receiver::{Receiver, Script, Step};
use bulkhead_tests::tokens::{Options, TokenServer};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::toolkit::guests::{Connector, HTTP, LOG};
use crate::toolkit::receiver::{Answer, Receiver as ScriptedReceiver};
use crate::toolkit::{self, NOW, SECONDS, bounded};

fn secret(text: &str) -> Value {
    SecretString::from(text.to_owned()).into()
}

/// Answers every request with these pieces, each in a packet of its own; keeps the heads it got.
async fn raw(pieces: Vec<Vec<u8>>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (pieces, kept) = (pieces.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut got = Vec::new();
                while memchr::memmem::find(&got, b"\r\n\r\n").is_none() {
                    if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(&got).into_owned());
                let _ = stream.set_nodelay(true);
                for piece in pieces {
                    // The guest's side is what is looked at.
                    let _ = stream.write_all(&piece).await;
                    let _ = stream.flush().await;
                    tokio::task::yield_now().await;
                }
            });
        }
    });
    (port, heads)
}

/// One clock for all, as in a host: tokens are kept by its time.
static CLOCK: LazyLock<Arc<SystemClock>> = LazyLock::new(Arc::default);

fn egress(destinations: Vec<Destination>) -> Egress {
    let redactor = destinations.iter().filter_map(Destination::credential).fold(Redactor::default(), |redactor, credential| credential.guard(redactor));
    let destinations: BTreeMap<String, Destination> = destinations.into_iter().map(|destination| (destination.name().to_owned(), destination)).collect();
    let metrics = Metrics::new();
    let watch = Arc::new(Watch::new(Arc::new(Limits::default()), metrics.guest("siem", "evil"), Arc::clone(&CLOCK) as _));
    Egress::new("siem", destinations, Arc::new(SystemResolver), Arc::new(redactor), watch, Places::default(), metrics)
}

fn destination(name: &str, port: u16, credential: &Arc<Credential>) -> Destination {
    let settings =
        DestinationSettings { url: format!("http://127.0.0.1:{port}/base"), credential: Some(Arc::clone(credential)), ..DestinationSettings::default() };
    Destination::new(name, settings).expect("valid")
}

fn post(destination: &str) -> Request {
    Request {
        destination: destination.into(),
        method: "POST".into(),
        path: "/in".into(),
        body: b"{}".to_vec(),
        message_id: "id-1".into(),
        ..Request::default()
    }
}

async fn send(egress: &Egress, request: Request) -> Result<Response, SendError> {
    let started = Instant::now();
    let answer = egress.send(request, tokio::time::Instant::now() + SECONDS).await;
    assert!(started.elapsed() < SECONDS, "it hung");
    answer
}

/// How a receiver may write what it echoes: without neighbours, so that all of it must go.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent = |upper: bool, keep: &dyn Fn(u8) -> bool| -> String {
        secret
            .bytes()
            .map(|byte| match (keep(byte), upper) {
                (true, _) => char::from(byte).to_string(),
                (false, true) => format!("%{byte:02X}"),
                (false, false) => format!("%{byte:02x}"),
            })
            .collect()
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let json = serde_json::to_string(secret).expect("text");
    let json = json[1..json.len() - 1].to_owned();
    let escaped = |character: char| character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let ascii: String = json.chars().map(|character| if character.is_ascii() { character.to_string() } else { escaped(character) }).collect();
    let mut forms = vec![
        secret.to_owned(),
        hex.to_ascii_uppercase(),
        hex,
        percent(true, &unreserved),
        percent(false, &unreserved),
        percent(true, &|_| false),
        json.replace('/', "\\/"),
        json,
        ascii,
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    forms.sort();
    forms.dedup();
    forms
}

/// Status line, headers, redirect, body in two chunks cut within the echo, trailer.
fn answer(form: &str) -> Vec<Vec<u8>> {
    let line = form.replace(['\r', '\n'], " ");
    let body = format!("a={form};b");
    let (first, second) = body.as_bytes().split_at(2 + form.len() / 2);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let head = format!(
        "HTTP/1.1 302 {line}\r\nlocation: https://elsewhere.example/?t={line}\r\nx-echo: {line}\r\ntransfer-encoding: chunked\r\ntrailer: x-trail\r\n\r\n"
    );
    vec![head.into_bytes(), chunk(first), chunk(second), format!("0\r\nx-trail: {line}\r\n\r\n").into_bytes()]
}

async fn echoed(credential: &Arc<Credential>, form: &str) {
    let (port, _) = raw(answer(form)).await;
    let response = send(&egress(vec![destination("primary", port, credential)]), post("primary")).await.unwrap_or_else(|error| panic!("{form}: {error}"));
    assert_eq!(response.status, 302, "no redirect is followed");
    assert_eq!(String::from_utf8_lossy(&response.body), format!("a={MARK};b"), "{form}");
    let header = |name: &str| response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    if !form.contains(['\r', '\n']) {
        assert_eq!(header("x-echo").as_deref(), Some(MARK), "{form}");
        assert_eq!(header("location").as_deref(), Some("https://elsewhere.example/?t=[redacted]"), "{form}");
    }
    // Trailers and the words of the status line never reach a guest.
    assert_eq!(header("x-trail"), None);
    assert!(!format!("{response:?}").contains(form), "{form}");
}

#[tokio::test]
async fn h60_echoes_are_redacted_in_every_place_and_form() {
    let tricky = "hunter2/+\"k\u{e9}y&=%";
    let base64_key = STANDARD.encode((0..64).collect::<Vec<u8>>());
    let sas = |ttl| Credential::sas("c", "https://acme.servicebus.windows.net/alerts", "SendPolicy", secret(tricky), Duration::from_secs(ttl));
    for (credential, secrets) in [
        (Credential::bearer("c", secret(tricky)), vec![tricky.to_owned()]),
        (Credential::header("c", "x-api-key", "Key ", secret(tricky)), vec![tricky.to_owned()]),
        (Credential::query("c", "sig", secret(tricky)), vec![tricky.to_owned(), "hunter2%2F%2B%22k%C3%A9y%26%3D%25".to_owned()]),
        (Credential::basic("c", "ada", secret(tricky)), vec![tricky.to_owned(), STANDARD.encode(format!("ada:{tricky}"))]),
        (Credential::hmac("c", Scheme::Datavault, vec![secret(tricky), secret("other-secret")]), vec![tricky.to_owned(), "other-secret".to_owned()]),
        (
            Credential::sigv4("c", "eu", "logs", "AKID", secret("hunter2-key/+"), Some(secret("hunter2-session=="))),
            vec!["hunter2-key/+".to_owned(), "hunter2-session==".to_owned()],
        ),
        (sas(3600), vec![tricky.to_owned()]),
        (Credential::shared_key("c", SharedKeyScheme::Storage, "acme", secret(&base64_key)), vec![base64_key.clone()]),
    ] {
        let credential = Arc::new(credential.expect("valid"));
        for secret in &secrets {
            for form in forms(secret) {
                echoed(&credential, &form).await;
            }
        }
    }
}

/// In base64 of a longer text the digits at the edges hold neighbours, too; the rest must go.
#[tokio::test]
async fn h60_base64_of_what_is_around_it_is_redacted() {
    let value = "hunter2-hunter2-hunter2";
    let credential = Arc::new(Credential::bearer("c", secret(value)).expect("valid"));
    for before in ["", "a", "ab", "Bearer ", "{\"t\":\""] {
        for after in ["", "z", "zz", "\"}"] {
            let encoded = STANDARD.encode(format!("{before}{value}{after}"));
            let (port, _) = raw(answer(&encoded)).await;
            let response = send(&egress(vec![destination("primary", port, &credential)]), post("primary")).await.expect("answers");
            let body = String::from_utf8_lossy(&response.body).into_owned();
            assert!(body.contains(MARK), "{encoded}: {body}");
            assert!(body.len() <= 4 + encoded.len() - value.len() + MARK.len(), "{encoded}: {body}");
        }
    }
}

/// A token that came up a moment ago, and the one before it that a request is still under way with.
#[tokio::test]
async fn h60_tokens_that_nobody_configured_are_redacted() {
    let server = TokenServer::start(Options { prefix: "hunter2/+token".into(), life: 1, delay: Duration::ZERO, refusals: Vec::new() }).expect("starts");
    let settings = OAuth2Settings {
        tenant: None,
        endpoint: DestinationSettings { url: server.url(), ..DestinationSettings::default() },
        grant: Grant::ClientCredentials,
        client_id: "bulkhead".into(),
        client_secret: Some(secret("hunter2-client")),
        client_auth: ClientAuth::Basic,
        scope: None,
        audience: None,
        parameters: BTreeMap::new(),
    };
    let credential = Arc::new(Credential::oauth2("c", settings).expect("valid"));
    let started = Instant::now();
    // Until a second token is in use; each form of the first goes all the same.
    while server.asked().len() < 2 {
        assert!(started.elapsed() < SECONDS, "no second token");
        for form in forms("hunter2/+token-1") {
            echoed(&credential, &form).await;
        }
    }
    for form in forms("hunter2/+token-2").iter().chain(&forms("hunter2/+token-1")).chain(&forms("hunter2-client")) {
        echoed(&credential, form).await;
    }
}

#[tokio::test]
async fn h60_an_error_tells_nothing_of_a_broken_echo() {
    let value = "hunter2-hunter2";
    let credential = Arc::new(Credential::bearer("c", secret(value)).expect("valid"));
    for bytes in [
        format!("{value}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{value}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {value}\r\n\r\n"),
        format!("HTTP/1.1 {value} OK\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{value}\r\n"),
    ] {
        let (port, _) = raw(vec![bytes.clone().into_bytes()]).await;
        let error = send(&egress(vec![destination("primary", port, &credential)]), post("primary")).await.expect_err("no HTTP");
        assert!(matches!(error, SendError::Broken(_)), "{bytes:?}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

/// A guest that writes what it got into the log, again and again, and then traps: what it got is redacted,
/// so neither its lines nor its fault can tell anything.
#[tokio::test]
async fn h60_a_guest_that_floods_the_log_with_an_echo_tells_nothing() {
    let value = "hunter2/+\"k\u{e9}y";
    let receiver = ScriptedReceiver::start(Answer::ok(&forms(value).join(" "))).await;
    let credential = Arc::new(Credential::bearer("c", secret(value)).expect("valid"));
    let grants = ConnectorGrants { destinations: vec![destination("primary", receiver.port, &credential)], ..ConnectorGrants::default() };
    let imports = format!("{HTTP}{LOG}");
    let deliver = "(call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 0) (i32.const 0)
            (local.get 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000))
        (loop $again
            (call $log (i32.const 1) (i32.load (i32.const 5020)) (i32.load (i32.const 5024)))
            (local.set $c (i32.add (local.get $c) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $c) (i32.const 1000))))
        unreachable";
    let host = toolkit::Host::default();
    let wasm = Connector { imports: &imports, deliver, ..Connector::default() }.build();
    let error = bounded(NOW, SECONDS, host.deliver(&wasm, grants, &[b"x"])).await.expect_err("it traps").to_string();
    assert!(error.starts_with("the guest trapped: wasm trap: wasm `unreachable` instruction executed"), "{error}");
    let lines = host.lines.all();
    assert_eq!(lines[0], format!("siem info {}", vec![MARK; forms(value).len()].join(" ")));
    // A hundred lines a second, and one that counts the rest.
    assert!(lines.len() >= 2 && lines.len() <= 201, "{} lines", lines.len());
    for form in forms(value) {
        assert!(!error.contains(&form) && !lines.iter().any(|line| line.contains(&form)), "{form}");
    }
    assert_eq!(receiver.got()[0].fields("authorization").len(), 1);
}

/// The whole way: receiver, guest, lane, dead letter, log, metrics, and every file of the host.
#[test]
fn h60_nothing_of_an_echo_reaches_people_or_the_disk() {
    let value = "hunter2/+k\u{e9}y";
    let echo: String = forms(value).join(" | ");
    let receiver = receiver(Script::always(Step::Answer { status: 400, headers: Vec::new(), body: echo }));
    let story = Story::start(
        &format!(
            "instances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {{url: \"{}\", credential: c}}}}\ncredentials:\n  c: {{type: bearer, token: \"${{TOKEN}}\"}}\n{TO_HOOK}",
            receiver.url()
        ),
        value,
    );
    story.deliver(r#"{"id":"e-1","message":"hello"}"#);
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").json().expect("JSON");
    let reason = letters["data"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("[redacted] | [redacted] | [redacted]"), "{reason}");
    let sent = receiver.kept()[0].head.headers.get("authorization").map(str::to_owned);
    assert_eq!(sent.as_deref(), Some("Bearer hunter2/+k\u{e9}y"));
    story.shows_none_of(&forms(value));
}

/// Which secrets can be protected is decided where they are written, with these words.
#[test]
fn h60b_secrets_that_cannot_be_protected_are_refused_by_name() {
    let refused = |credential: &str| {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("bulkhead.yaml");
        fs::write(&path, format!("data_dir: {}/data\ncredentials:\n  c: {{{credential}}}\n", dir.path().display())).expect("written");
        let output = Command::new(binary()).args(["validate", "--json", "--config"]).arg(&path).stdin(Stdio::null()).output().expect("runs");
        let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(!report.to_string().contains("hunter2"), "{report}");
        let faults = report["faults"].as_array().expect("a list").clone();
        assert!(faults.len() <= 1, "{report}");
        faults.first().map(|fault| format!("{}: {} ({})", text(&fault["key"]), text(&fault["message"]), text(&fault["hint"])))
    };
    const HINT: &str = "(use at least 6 bytes, so that it can be hidden in what a receiver echoes)";
    for (credential, want) in [
        ("type: bearer, token: ''", format!("credentials.c.token: the secret is empty {HINT}")),
        ("type: bearer, token: x", format!("credentials.c.token: the secret is shorter than 6 bytes {HINT}")),
        ("type: query, name: sig, value: abcde", format!("credentials.c.value: the secret is shorter than 6 bytes {HINT}")),
        (
            "type: bearer, token: \"hunter2\\r\\nx-evil: 1\"",
            "credentials.c: the value has a character that a header cannot carry (a line break?) ()".to_owned(),
        ),
        ("type: basic, username: a, password: \"hunter2\\nhunter2\"", "credentials.c: user name or password has a control character ()".to_owned()),
        ("type: basic, username: \"a:b\", password: hunter2", "credentials.c: the user name has a `:`, which basic authentication cannot carry ()".to_owned()),
        ("type: header, name: host, value: hunter2", "credentials.c: the header `host` belongs to the host ()".to_owned()),
        ("type: hmac, scheme: standard-webhooks, secret: hunter2", "credentials.c: a Standard Webhooks secret begins with `whsec_` ()".to_owned()),
        ("type: shared_key, scheme: storage, account: a, key: \"hunter2!\"", "credentials.c: the key is not base64 ()".to_owned()),
        (
            "type: sigv4, region: eu, service: s3, access_key: A, secret_key: \"hunter2 hunter2\"",
            "credentials.c: secret key or session token has a character that is none of base64 ()".to_owned(),
        ),
        (
            "type: oauth2, token_url: \"https://login.example.com/t\", client_id: a",
            "credentials.c.client_secret: `client_secret` is missing: `grant: client_credentials` needs it ()".to_owned(),
        ),
    ] {
        assert_eq!(refused(credential), Some(want), "{credential}");
    }
    for fine in ["type: bearer, token: sixsix", "type: bearer, token: \"(a.*b)+$[\"", "type: hmac, scheme: datavault, secret: \"line\\nbreak\""] {
        assert_eq!(refused(fine), None, "{fine}");
    }
}

#[tokio::test]
async fn h60b_secrets_with_strange_characters_are_found_as_they_are() {
    for value in [
        "(a.*b)+$[",
        "{0}%s%n{}\\x",
        "$1\\1\\k<x>",
        "[redacted]",
        "line\nbreak\ttab",
        "p\u{e4}ssw\u{f6}rt-\u{1f511}",
        "aaaaaaaa",
        "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}",
    ] {
        let credential = Arc::new(Credential::hmac("c", Scheme::Datavault, vec![secret(value)]).expect("valid"));
        for form in forms(value).iter().filter(|form| !form.contains('\0')) {
            echoed(&credential, form).await;
        }
        // Text without it stays as it is.
        let (port, _) = raw(answer("nothing (aab) {1} to see")).await;
        let response = send(&egress(vec![destination("primary", port, &credential)]), post("primary")).await.expect("answers");
        assert_eq!(response.body, b"a=nothing (aab) {1} to see;b", "{value:?}");
    }
}

/// Each destination has its own credential, and a guest cannot name, set or move one.
#[tokio::test]
async fn h60c_a_credential_goes_to_its_own_destination_only() {
    let ok = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()];
    let ((port_a, heads_a), (port_b, heads_b)) = (raw(ok.clone()).await, raw(ok).await);
    let a = Arc::new(Credential::header("key-of-a", "x-api-key", "", secret("hunter2-of-a")).expect("valid"));
    let b = Arc::new(Credential::bearer("key-of-b", secret("hunter2-of-b")).expect("valid"));
    let egress = egress(vec![destination("a", port_a, &a), destination("b", port_b, &b)]);
    for name in ["a", "b"] {
        send(&egress, post(name)).await.expect("answers");
    }
    let head = |heads: &Arc<Mutex<Vec<String>>>| heads.lock().unwrap_or_else(PoisonError::into_inner).join("");
    assert!(head(&heads_a).contains("x-api-key: hunter2-of-a\r\n") && !head(&heads_a).contains("of-b"), "{}", head(&heads_a));
    assert!(head(&heads_b).contains("authorization: Bearer hunter2-of-b\r\n") && !head(&heads_b).contains("of-a"), "{}", head(&heads_b));

    let with = |destination: &str, name: &str| Request { headers: vec![(name.into(), b"{{key-of-b}}".to_vec())], ..post(destination) };
    for (request, want) in [
        (post("key-of-b"), "no destination `key-of-b`; granted: a, b (rule 1)"),
        (with("a", "x-api-key"), "header 0 `x-api-key` is set by the destination's credential (rule 5)"),
        (with("a", "authorization"), "header 0 `authorization` belongs to the host (rule 5)"),
        (with("b", "authorization"), "header 0 `authorization` belongs to the host (rule 5)"),
        (with("b", "proxy-authorization"), "header 0 `proxy-authorization` belongs to the host (rule 5)"),
        (with("b", "cookie"), "header 0 `cookie` belongs to the host (rule 5)"),
    ] {
        assert_eq!(send(&egress, request).await.expect_err("refused").to_string(), want);
    }
    // What B's receiver says of A's secret is redacted as well: both are the instance's.
    let (port, _) = raw(answer("hunter2-of-a")).await;
    let egress = self::egress(vec![destination("a", port_a, &a), destination("b", port, &b)]);
    assert_eq!(send(&egress, post("b")).await.expect("answers").body, b"a=[redacted];b");
}

/// Events are data: nothing in them is filled in, on any way into the request.
#[test]
fn h60c_placeholders_in_events_stay_as_they_are() {
    let receiver = receiver(Script::default());
    let story = Story::start(
        &format!(
            "instances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {{url: \"{}\", credential: c}}}}\ncredentials:\n  c: {{type: bearer, token: \"${{TOKEN}}\"}}\n{TO_HOOK}",
            receiver.url()
        ),
        "hunter2-hunter2",
    );
    let text = "${TOKEN} ${file:/etc/passwd} {{c}} {{credentials.c}} <c> %TOKEN% $TOKEN {c.token} secret:c #{TOKEN} <%= c %>";
    story.deliver(&json!({"id": "${TOKEN}", "message": text, "metadata": {"${TOKEN}": "{{c}}"}}).to_string());
    let kept = receiver.kept();
    assert_eq!(kept.len(), 1);
    let body = String::from_utf8_lossy(&kept[0].body).into_owned();
    assert!(body.contains(text), "{body}");
    let (fields, authorization): (Vec<_>, Vec<_>) = kept[0].head.headers.0.iter().partition(|(name, _)| name != "authorization");
    assert_eq!(authorization, [&("authorization".to_owned(), "Bearer hunter2-hunter2".to_owned())]);
    assert!(!format!("{body}{fields:?}{}", kept[0].head.path).contains("hunter2"), "{fields:?}");
    story.shows_none_of(&forms("hunter2-hunter2"));
}

/// Decided, sent and signed are one and the same bytes.
#[tokio::test]
async fn h60d_what_is_sent_is_what_was_decided() {
    let ok = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()];
    let (port, heads) = raw(ok).await;
    let credential = Arc::new(Credential::query("c", "sig", secret("hunter2/hunter2")).expect("valid"));
    let settings = DestinationSettings {
        url: format!("http://127.0.0.1:{port}/base"),
        methods: vec!["PUT".into()],
        paths: vec!["/in".into()],
        credential: Some(credential),
        ..DestinationSettings::default()
    };
    let egress = egress(vec![Destination::new("primary", settings).expect("valid")]);
    let ask = |method: &str, path: &str| Request { method: method.into(), path: path.into(), ..post("primary") };
    send(&egress, ask("PUT", "/in/a%20b;v=1?x=%C3%BC&y")).await.expect("answers");
    let line = heads.lock().unwrap_or_else(PoisonError::into_inner)[0].lines().next().unwrap_or_default().to_owned();
    assert_eq!(line, "PUT /base/in/a%20b;v=1?x=%C3%BC&y&sig=hunter2%2Fhunter2 HTTP/1.1");
    for (method, path, want) in [
        ("POST", "/in", "method POST is not among PUT, the `methods` of destination `primary` (rule 2)"),
        ("PUT", "/inner", "path `/inner` is not below /in, the `paths` of destination `primary` (rule 4)"),
        ("PUT", "/in/../admin", "path `/in/../admin` has a `.` or `..` segment (rule 3)"),
        ("PUT", "/in?sig=mine#x", "path `/in?sig=mine#x` has a fragment at byte 12 (rule 3)"),
    ] {
        assert_eq!(send(&egress, ask(method, path)).await.expect_err("refused").to_string(), want);
    }
    assert_eq!(heads.lock().unwrap_or_else(PoisonError::into_inner).len(), 1, "what was refused never left");
}

/// Guests that break, and what they say of it: no secret was theirs to tell.
#[test]
fn h62_faults_and_what_people_see_of_them_hold_no_secret() {
    let receiver = receiver(Script::default());
    let config = |limits: &str| {
        format!(
            "instances:\n  hook:\n    connector: webhook\n    config: {{mode: ndjson}}\n    limits: {{{limits}}}\n    destinations: {{primary: {{url: \"{}?key=${{TOKEN}}\", credential: c}}}}\ncredentials:\n  c: {{type: basic, username: ada, password: \"${{TOKEN}}\"}}\n{TO_HOOK}",
            receiver.url()
        )
    };
    let value = "hunter2/+hunter2";
    // A guest that cannot even be configured: the start says why.
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(&path, format!("data_dir: {}/data\n{}", dir.path().display(), config("fuel: 10"))).expect("written");
    for verb in [&["validate"][..], &["validate", "--json"], &["config", "show", "--effective"], &["serve"]] {
        let output = Command::new(binary()).args(verb).arg("--config").arg(&path).env("TOKEN", value).stdin(Stdio::null()).output().expect("runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if verb[0] == "config" {
            assert!(said.contains("(hidden)"), "{said}");
        } else {
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains("`limits.fuel`"), "{said}");
        }
        for form in forms(value) {
            assert!(!said.contains(&form), "{verb:?}: {said}");
        }
    }
    // One that traps on an event: its dead letter carries the trap.
    let story = Story::start(&config("memory: 4MiB"), value);
    story.deliver(&json!({"id": "large", "message": "x".repeat(3 << 20)}).to_string());
    let letters = story.host.get("/api/integration/dead-letters").expect("answers").json().expect("JSON");
    let letter = &letters["data"][0];
    assert_eq!(letter["cause"], "guest-fault", "{letters}");
    assert!(text(&letter["reason"]).contains("`limits.memory`"), "{letter}");
    assert!(receiver.kept().is_empty());
    story.shows_none_of(&forms(value));
}

const TO_HOOK: &str = "default_route: [{instance: hook, format: json}]\n";

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn binary() -> std::path::PathBuf {
    host::binary("release").expect("the host is built before its cases run")
}

fn receiver(script: Script) -> Receiver {
    let options = bulkhead_tests::receiver::Options { keep: 100, ..bulkhead_tests::receiver::Options::default() };
    Receiver::start(options, script).expect("starts")
}

/// The real binary with `TOKEN` in its environment.
struct Story {
    host: Host,
    dir: tempfile::TempDir,
}

impl Story {
    fn start(config: &str, token: &str) -> Self {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("bulkhead.yaml");
        let retry = "retry: {initial: 20ms, max: 200ms, jitter: none}";
        let config = config.replace("    destinations:", &format!("    {retry}\n    destinations:"));
        fs::write(&path, format!("data_dir: ./data\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{config}")).expect("written");
        let spec = Spec {
            binary: binary(),
            config: path,
            data_dir: dir.path().join("data"),
            log: dir.path().join("host.log"),
            env: vec![("TOKEN".into(), token.into())],
            dir: dir.path().to_owned(),
            args: Vec::new(),
            through: Vec::new(),
        };
        Self { host: Host::start(spec).unwrap_or_else(|error| panic!("{error:#}")), dir }
    }

    /// Posts one event and waits until its lane is done with it.
    fn deliver(&self, event: &str) {
        let response = self.host.post("application/json", event.as_bytes()).expect("answers");
        assert_eq!(response.status, 202, "{}", response.text());
        self.host.settled(SECONDS).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Neither the log, nor the API, nor any file that the host wrote.
    fn shows_none_of(&self, forms: &[String]) {
        let mut all = vec![("the log".to_owned(), self.host.log())];
        for path in ["/api/integration/dead-letters?limit=1000", "/api/integration/health", "/metrics"] {
            all.push((path.to_owned(), self.host.get(path).expect("answers").text()));
        }
        files(&self.dir.path().join("data"), &mut all);
        assert!(all.iter().any(|(name, _)| name.contains("data/")), "the host writes somewhere");
        for (name, content) in &all {
            for form in forms {
                assert!(!content.contains(form.as_str()), "{name} has {form}");
            }
        }
    }
}

fn files(dir: &Path, all: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), all),
            // The host goes on writing and removing.
            _ => all.extend(fs::read(entry.path()).ok().map(|bytes| (entry.path().display().to_string(), String::from_utf8_lossy(&bytes).into_owned()))),
        }
    }
}
