use std::io::Write as _;
use std::time::Duration;

use bulkhead_core::{EventRef, Seq, Tenant};
use bulkhead_journal::{AppendError, Journal, JournalSettings, RealFs};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::request::not_durable;
use super::*;

const RECEIVED: u64 = 1_763_628_178_000_000_000;

struct Still;

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        RECEIVED
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct Fixture {
    addr: SocketAddr,
    journal: Journal,
    metrics: Metrics,
    cancel: CancellationToken,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn serving(change: impl FnOnce(&mut HttpIntakeSettings)) -> Fixture {
    serving_with(64 << 20, change).await
}

async fn serving_with(journal_bytes: u64, change: impl FnOnce(&mut HttpIntakeSettings)) -> Fixture {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = Journal::open(JournalSettings::new(dir.path().join("journal"), journal_bytes), Arc::new(RealFs)).expect("a journal");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let mut settings = HttpIntakeSettings { durability: Durability::Os, ..HttpIntakeSettings::new(addr) };
    change(&mut settings);
    let (metrics, cancel) = (Metrics::new(), CancellationToken::new());
    let serving = tokio::spawn(serve(listener, settings, journal.clone(), metrics.clone(), Arc::new(Still), cancel.clone()));
    Fixture { addr, journal, metrics, cancel, serving, _dir: dir }
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }
}

/// One connection, spoken to in plain bytes.
struct Client(TcpStream);

impl Client {
    async fn new(fixture: &Fixture) -> Self {
        Self(TcpStream::connect(fixture.addr).await.expect("connects"))
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The server may close while we write: what counts is the answer.
        let _ = self.0.write_all(bytes).await;
    }

    async fn answer(&mut self) -> Answer {
        let mut seen = Vec::new();
        let end = loop {
            if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.0.read_buf(&mut seen).await.expect("reads") > 0, "closed after {}", String::from_utf8_lossy(&seen));
        };
        let head = String::from_utf8(seen[..end].to_vec()).expect("ascii");
        let mut answer = Answer { status: head[9..12].parse().expect("a status"), head, body: Value::Null };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while seen.len() < end + 4 + length {
            assert!(self.0.read_buf(&mut seen).await.expect("reads") > 0, "closed within the body");
        }
        if length > 0 {
            answer.body = serde_json::from_slice(&seen[end + 4..]).expect("JSON");
        }
        answer
    }

    async fn post(&mut self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request("POST", target, headers, body).await
    }

    async fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.send(&[head.as_bytes(), b"\r\n", body].concat()).await;
        self.answer().await
    }

    async fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.0.read_to_end(&mut rest).await, Ok(0) | Err(_))
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// Waits for the first `count` events of the journal; there must be no more of them. An answer may
/// come before readers see what it speaks of.
async fn kept(journal: &Journal, count: usize) -> Vec<String> {
    let mut reader = journal.reader(Seq(0));
    let mut out = Vec::new();
    while out.len() < count {
        let frame = reader.next().await.expect("reads");
        out.extend(frame.events().map(|(_, event)| String::from_utf8(event.original().to_vec()).expect("utf-8")));
    }
    assert_eq!((out.len(), journal.head()), (count, Seq(count as u64)));
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

#[tokio::test]
async fn every_form_is_taken_on_one_connection() {
    let fixture = serving(|_| {}).await;
    let mut client = Client::new(&fixture).await;
    let ce = r#"{"specversion":"1.0","id":"c","source":"s","type":"t"}"#;
    let many = format!("[{}{{\"id\":\"z\"}}]", "{\"id\":\"z\",\"pad\":\"0123456789\"},".repeat(20_000));
    let zstd = ruzstd::encoding::compress_to_vec(&br#"{"id":"zstd"}"#[..], ruzstd::encoding::CompressionLevel::Fastest);
    let binary = [("ce-specversion", "1.0"), ("ce-id", "b"), ("ce-source", "s"), ("ce-type", "t"), JSON];
    for (headers, body, count) in [
        (&[JSON][..], &br#"{"id":"1"}"#[..], 1),
        (&[("Content-Type", "application/json; charset=utf-8")], br#"[{"id":"2"},{"id":"3"}]"#, 2),
        (&[NDJSON], b"{\"id\":\"4\"}\n\n{\"id\":\"5\"}\n", 2),
        (&[("content-type", "application/cloudevents+json")], ce.as_bytes(), 1),
        (&[("content-type", "application/cloudevents-batch+json")], format!("[{ce},{ce}]").as_bytes(), 2),
        (&binary, br#"{"x":1}"#, 1),
        (&[JSON, ("content-encoding", "gzip")], &gzip(br#"{"id":"6"}"#), 1),
        (&[JSON, ("content-encoding", "zstd")], &zstd, 1),
        (&[JSON], many.as_bytes(), 20_001),
        (&[JSON, ("content-encoding", "gzip")], &gzip(many.as_bytes()), 20_001),
    ] {
        let answer = client.post("/events", headers, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")), "{}", answer.body);
        assert_eq!(answer.body, serde_json::json!({"accepted": count}), "{headers:?}");
    }
    let kept = kept(&fixture.journal, 11 + 2 * 20_001).await;
    assert_eq!(
        kept[..9],
        [
            r#"{"id":"1"}"#,
            r#"{"id":"2"}"#,
            r#"{"id":"3"}"#,
            r#"{"id":"4"}"#,
            r#"{"id":"5"}"#,
            ce,
            ce,
            ce,
            r#"{"specversion":"1.0","id":"b","source":"s","type":"t","datacontenttype":"application/json","data":{"x":1}}"#
        ]
    );
    assert_eq!(fixture.metrics.accepted("http").get(), kept.len() as u64);
}

#[tokio::test]
async fn chunked_bodies_are_gathered() {
    let fixture = serving(|_| {}).await;
    let mut client = Client::new(&fixture).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for piece in [&b"{\"id\":"[..], b"\"ch", b"unked\"}"] {
        client.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 202);
    assert_eq!(kept(&fixture.journal, 1).await, [r#"{"id":"chunked"}"#]);
}

#[tokio::test]
async fn assigned_ids_are_told_in_order() {
    let fixture = serving(|_| {}).await;
    let mut client = Client::new(&fixture).await;
    let answer = client.post("/events", &[JSON], br#"[{"id":"mine \u0041"},{"n":1}]"#).await;
    assert_eq!((answer.status, &answer.body["accepted"], &answer.body["ids"][0]), (202, &2.into(), &"mine A".into()));
    let mut reader = fixture.journal.reader(Seq(0));
    let frame = reader.next().await.expect("reads");
    assert_eq!(frame.event(1).id(), answer.body["ids"][1].as_str().expect("an id"));
    assert_eq!(frame.event(1).received(), RECEIVED);
}

#[tokio::test]
async fn a_bad_event_refuses_all_unless_asked_otherwise() {
    let fixture = serving(|_| {}).await;
    let mut client = Client::new(&fixture).await;
    let body = br#"[{"id":"1"},{"a":1,"a":"SECRET"},{"id":"3"}]"#;
    let answer = client.post("/events", &[JSON], body).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")));
    assert_eq!(answer.body["code"], "invalid_events");
    assert_eq!(answer.body["type"], "urn:bulkhead:problem:invalid_events");
    assert_eq!((&answer.body["status"], &answer.body["count"]), (&400.into(), &1.into()));
    let error = serde_json::json!({"index": 1, "pointer": "/a", "reason": "the key occurs twice in its object", "byte": 20});
    assert_eq!(answer.body["errors"], Value::Array(vec![error.clone()]));
    assert!(!answer.body.to_string().contains("SECRET"));
    assert_eq!(fixture.journal.head(), Seq(0));
    for target in ["/events?partial=true", "/events?x=y&partial=1", "/events?partial"] {
        let answer = client.post(target, &[JSON], body).await;
        assert_eq!((answer.status, answer.body), (202, serde_json::json!({"accepted": 2, "rejected": 1, "errors": [error]})), "{target}");
    }
    let answer = client.post("/events?partial=false", &[JSON], body).await;
    assert_eq!(answer.status, 400);
    // What cannot be read to its end is refused whatever was asked.
    let answer = client.post("/events?partial=true", &[JSON], br#"[{"id":"1"},{"id":"#).await;
    assert_eq!((answer.status, &answer.body["errors"][0]["index"]), (400, &1.into()));
    // Nothing good in it: nothing accepted.
    let answer = client.post("/events?partial=true", &[JSON], br"[1,2]").await;
    assert_eq!((answer.status, &answer.body["count"]), (400, &2.into()));
    assert_eq!(kept(&fixture.journal, 6).await[..2], [r#"{"id":"1"}"#, r#"{"id":"3"}"#]);
    assert_eq!(fixture.metrics.refused("http", "invalid_events").get(), 4);
}

#[tokio::test]
async fn refusals_say_what_and_how() {
    let fixture = serving(|settings| settings.max_body = 1_000).await;
    let ok = &br#"{"id":"1"}"#[..];
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(1_000));
    let bomb = gzip(&vec![b' '; 50 << 20]);
    for (method, target, headers, body, status, code, header) in [
        ("GET", "/events", &[][..], &b""[..], 405, "method_not_allowed", Some(("allow", "POST"))),
        ("PUT", "/events", &[JSON], ok, 405, "method_not_allowed", Some(("allow", "POST"))),
        ("OPTIONS", "/events", &[], b"", 405, "method_not_allowed", None),
        ("POST", "/event", &[JSON], ok, 404, "not_found", None),
        ("POST", "/", &[JSON], ok, 404, "not_found", None),
        ("POST", "/events?partial=maybe", &[JSON], ok, 400, "invalid_query", None),
        (
            "POST",
            "/events",
            &[],
            ok,
            415,
            "unsupported_media_type",
            Some(("accept-post", "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json")),
        ),
        ("POST", "/events", &[("content-type", "text/plain")], ok, 415, "unsupported_media_type", None),
        ("POST", "/events", &[JSON, ("content-encoding", "br")], ok, 415, "unsupported_encoding", Some(("accept-encoding", "gzip, zstd"))),
        ("POST", "/events", &[JSON, ("content-encoding", "gzip")], ok, 400, "malformed_encoding", None),
        ("POST", "/events", &[JSON, ("content-encoding", "zstd")], ok, 400, "malformed_encoding", None),
        ("POST", "/events", &[JSON], b"", 400, "empty_batch", None),
        ("POST", "/events", &[JSON], b"[]", 400, "empty_batch", None),
        ("POST", "/events", &[JSON], long.as_bytes(), 413, "body_too_large", None),
        ("POST", "/events", &[JSON, ("content-encoding", "gzip")], &gzip(long.as_bytes()), 413, "body_too_large", None),
        ("POST", "/events", &[JSON, ("content-encoding", "gzip")], &bomb[..900], 413, "body_too_large", None),
        ("POST", "/events", &[JSON], b"{\"a\":\"\xff\"}", 400, "invalid_events", None),
        ("POST", "/events", &[JSON], b"{\"a\":\"\\udc00\"}", 400, "invalid_events", None),
        ("POST", "/events", &[("ce-specversion", "1.0")], b"", 400, "invalid_events", None),
    ] {
        let mut client = Client::new(&fixture).await;
        let answer = client.request(method, target, headers, body).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{method} {target} {headers:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        if let Some((name, value)) = header {
            assert_eq!(answer.header(name), Some(value), "{code}");
        }
        // The connection goes on after an ordinary refusal.
        assert_eq!(client.post("/events", &[JSON], ok).await.status, 202, "after {code}");
    }
}

#[tokio::test]
async fn a_body_of_20_mb_hears_413_however_it_is_sent() {
    let fixture = serving(|_| {}).await;
    let body = vec![b' '; 20 << 20];
    let answer = Client::new(&fixture).await.post("/events", &[JSON], &body).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (413, Some("body_too_large")));
    let mut client = Client::new(&fixture).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let piece = [b"10000\r\n", &body[..0x10000], b"\r\n"].concat();
    for _ in 0..320 {
        client.send(&piece).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    // Asked first, a sender is told not to send.
    let mut client = Client::new(&fixture).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 20000000\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(client.closed().await);
    assert_eq!(fixture.journal.head(), Seq(0));
}

#[tokio::test]
async fn tokens_let_in_nobody_else() {
    let fixture = serving(|settings| {
        settings.tokens = ["first-token", "second-token"].iter().filter_map(|token| IntakeToken::new(token)).collect();
        settings.rules.tenant = Tenant::new("acme").expect("a name");
    })
    .await;
    let mut client = Client::new(&fixture).await;
    for (value, status) in [
        (None, 401),
        (Some("Basic first-token"), 401),
        (Some("Bearer"), 401),
        (Some("Bearer "), 401),
        (Some("Bearer first-toke"), 401),
        (Some("Bearer first-token-"), 401),
        (Some("Bearer first-token"), 202),
        (Some("bearer second-token"), 202),
    ] {
        let headers: Vec<_> = std::iter::once(JSON).chain(value.map(|value| ("authorization", value))).collect();
        let answer = client.post("/events", &headers, br#"{"id":"1"}"#).await;
        assert_eq!(answer.status, status, "{value:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    let frame = fixture.journal.reader(Seq(0)).next().await.expect("reads");
    assert_eq!(frame.event(0).attr(bulkhead_core::Attr::Tenant).and_then(|value| value.plain()), Some("acme"));
    assert!(!format!("{:?}", IntakeToken::new("first-token")).contains("first"));
    assert!(IntakeToken::new("").is_none() && IntakeToken::new("two words").is_none());
}

#[tokio::test]
async fn a_full_journal_answers_429() {
    let fixture = serving_with(256 << 10, |_| {}).await;
    let mut client = Client::new(&fixture).await;
    let body = format!("{{\"id\":\"1\",\"pad\":\"{}\"}}", "x".repeat(20_000));
    let mut accepted = 0;
    let answer = loop {
        let answer = client.post("/events", &[JSON], body.as_bytes()).await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 100, "256 KiB hold no 2 MB");
    };
    assert_eq!((answer.status, answer.body["code"].as_str(), answer.header("retry-after")), (429, Some("quota"), Some("5")));
    kept(&fixture.journal, accepted).await;
}

#[test]
fn each_failure_of_the_journal_has_its_status() {
    let source = || Arc::new(std::io::Error::other("disk on fire"));
    for (error, status, code, retry) in [
        (AppendError::Full { used: 1, limit: 1 }, 429, "quota", true),
        (AppendError::DiskFull { available: 0 }, 503, "disk", true),
        (AppendError::Sync { segment: "/secret/path".into(), source: source() }, 503, "disk", true),
        (AppendError::Io { segment: "/secret/path".into(), source: source() }, 503, "disk", true),
        (AppendError::Closed, 503, "draining", true),
        (AppendError::TooLarge { bytes: 2, limit: 1 }, 413, "body_too_large", false),
        (AppendError::Empty, 400, "empty_batch", false),
    ] {
        let problem = not_durable(&error);
        let response = problem.response();
        assert_eq!((response.status().as_u16(), problem.code.name, response.headers().contains_key("retry-after")), (status, code, retry), "{error}");
        assert!(!format!("{problem:?}").contains("secret"));
    }
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let fixture = serving(|settings| (settings.header_timeout, settings.body_timeout) = (Duration::from_millis(50), Duration::from_millis(50))).await;
    let mut client = Client::new(&fixture).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: x\r\n").await;
    let mut seen = Vec::new();
    let _ = client.0.read_to_end(&mut seen).await;
    assert!(!seen.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&seen));
    let mut client = Client::new(&fixture).await;
    client.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body["code"].as_str(), answer.header("connection")), (408, Some("request_timeout"), Some("close")));
    assert!(client.closed().await);
}

#[tokio::test]
async fn memory_of_large_bodies_is_bounded() {
    let fixture = serving(|settings| settings.body_memory = 1 << 20).await;
    // A body that takes all of it and does not go on.
    let mut holder = Client::new(&fixture).await;
    holder.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n{").await;
    let large = format!("{{\"id\":\"1\",\"pad\":\"{}\"}}", "x".repeat(100_000));
    let mut answer = Client::new(&fixture).await.post("/events", &[JSON], large.as_bytes()).await;
    // The holder may come second: then both are let in, one after the other.
    if answer.status == 202 {
        answer = Client::new(&fixture).await.post("/events", &[JSON], large.as_bytes()).await;
    }
    assert_eq!((answer.status, answer.body["code"].as_str(), answer.header("retry-after")), (503, Some("busy"), Some("1")));
    // Small ones pass.
    assert_eq!(Client::new(&fixture).await.post("/events", &[JSON], br#"{"id":"1"}"#).await.status, 202);
}

#[tokio::test]
async fn connections_are_bounded() {
    let fixture = serving(|settings| settings.max_connections = 1).await;
    let mut first = Client::new(&fixture).await;
    assert_eq!(first.post("/events", &[JSON], b"{}").await.status, 202);
    let mut second = Client::new(&fixture).await;
    second.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    // The first one is still served, the second one waits for its place.
    assert_eq!(first.post("/events", &[JSON], b"{}").await.status, 202);
    kept(&fixture.journal, 2).await;
    drop(first);
    assert_eq!(second.answer().await.status, 202);
    kept(&fixture.journal, 3).await;
}

#[tokio::test]
async fn draining_answers_what_has_begun() {
    let fixture = serving(|_| {}).await;
    let mut idle = Client::new(&fixture).await;
    assert_eq!(idle.post("/events", &[JSON], b"{}").await.status, 202);
    let mut begun = Client::new(&fixture).await;
    begun.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n").await;
    // The server has asked for the body, so the request has begun.
    let mut asked = vec![0; 25];
    begun.0.read_exact(&mut asked).await.expect("reads");
    assert_eq!(asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    fixture.cancel.cancel();
    assert!(idle.closed().await);
    begun.send(br#"{"id":"2"}"#).await;
    let answer = begun.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (202, Some("close")));
    fixture.serving.await.expect("no panic");
    assert!(TcpStream::connect(fixture.addr).await.is_err(), "the port is free");
    kept(&fixture.journal, 2).await;
}

#[tokio::test]
async fn a_closed_journal_answers_503() {
    let fixture = serving(|_| {}).await;
    fixture.journal.close().await;
    let answer = Client::new(&fixture).await.post("/events", &[JSON], b"{}").await;
    assert_eq!((answer.status, answer.body["code"].as_str(), answer.header("retry-after")), (503, Some("draining"), Some("5")));
}

#[test]
fn stored_events_of_the_tests_are_well_formed() {
    // `EventRef` is what lanes read by: a smoke check that this room and that one agree.
    let mut out = Vec::new();
    Normaliser::new(Rules::default()).event(b"{}", 0, crate::Form::Json, RECEIVED, &mut out).expect("taken");
    assert_eq!(EventRef::new(&out).expect("well formed").original(), b"{}");
}
