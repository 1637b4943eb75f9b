//! What a connector sees of the machine: nothing, and what was granted. `wasi:http` goes the same way out
//! as `http`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::wasi::MachineGrants;

const IMPORTS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))
    (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
"#;

/// Answers a number: `ok(all(pending("t", number)))`, the number being on the stack.
fn answering(number: &str) -> &'static str {
    format!(
        "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 3)) \
         (i32.store (i32.const 4120) (i32.const 1024)) (i32.store (i32.const 4124) (i32.const 1)) (i64.store (i32.const 4128) {number}) (i32.const 4096)"
    )
    .leak()
}

/// Goes on by a millisecond whenever it is asked, and the wall clock backwards.
#[derive(Default)]
struct Restless(AtomicU64);

impl Clock for Restless {
    fn unix_nanos(&self) -> u64 {
        1_800_000_000_000_000_000 - self.0.fetch_add(1_000_000, Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.fetch_add(1_000_000, Ordering::SeqCst))
    }
}

async fn number(host: &Host, number: &str, machine: MachineGrants, values: &[(&str, &str)]) -> Result<u64, String> {
    let guest = Connector { imports: IMPORTS, deliver: answering(number), ..Connector::default() };
    match host.deliver(guest, ConnectorGrants { machine, limits: limits(values), ..ConnectorGrants::default() }, b"x").await {
        Ok(Delivery::All(Outcome::Pending { poll_after, .. })) => Ok(u64::try_from(poll_after.as_millis()).expect("short")),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn clocks_stand_still_unless_granted() {
    let settings = SandboxSettings { clock: Arc::new(Restless::default()), ..SandboxSettings::default() };
    let metrics = Metrics::new();
    let host = Host { sandbox: Sandbox::new(settings, metrics.clone()).expect("starts"), metrics, lines: Arc::default() };
    let passed = "(i64.sub (i64.sub (i64.const 0) (call $monotonic)) (i64.sub (i64.const 0) (call $monotonic)))";
    assert_eq!(number(&host, passed, MachineGrants::default(), &[]).await, Ok(0));
    let granted = MachineGrants { clocks: true, ..MachineGrants::default() };
    // The first is taken away from the second: it went on.
    assert_eq!(number(&host, passed, granted.clone(), &[]).await, Ok(1_000_000));
    let wall = "(block (result i64) (call $wall (i32.const 7000)) (call $wall (i32.const 7016)) \
                (i64.extend_i32_s (i32.sub (i32.load (i32.const 7008)) (i32.load (i32.const 7024)))))";
    assert_eq!(number(&host, wall, MachineGrants::default(), &[]).await, Ok(0));
    assert_eq!(number(&host, wall, granted, &[]).await.map(|nanos| nanos % 1_000_000_000), Ok(1_000_000), "backwards, as the machine's own may");
}

#[tokio::test]
async fn random_numbers_repeat_unless_granted() {
    let host = host();
    // The seed has 32 bytes: the fifth number is the first again.
    let repeats = "(block (result i64) (i64.store (i32.const 7000) (call $random)) (drop (call $random)) (drop (call $random)) (drop (call $random)) \
                   (i64.extend_i32_u (i64.eq (i64.load (i32.const 7000)) (call $random))))";
    assert_eq!(number(&host, repeats, MachineGrants::default(), &[]).await, Ok(1));
    assert_eq!(number(&host, repeats, MachineGrants { random: true, ..MachineGrants::default() }, &[]).await, Ok(0));
    let much = "(block (result i64) (call $bytes (i64.const 1073741824) (i32.const 7000)) (i64.const 0))";
    for random in [false, true] {
        let error = number(&host, much, MachineGrants { random, ..MachineGrants::default() }, &[]).await.expect_err("too much");
        assert_eq!(error, "the guest broke the contract: it asked for 1073741824 random bytes at once; at most 65536 are given");
    }
}

#[tokio::test]
async fn the_environment_is_what_was_granted_and_never_the_hosts() {
    let host = host();
    let count = "(block (result i64) (call $environment (i32.const 7000)) (i64.extend_i32_u (i32.load (i32.const 7004))))";
    assert_eq!(number(&host, count, MachineGrants::default(), &[]).await, Ok(0));
    let env = vec![("TZ".to_owned(), "UTC".to_owned())];
    let granted = MachineGrants { env, ..MachineGrants::default() };
    assert_eq!(number(&host, count, granted.clone(), &[]).await, Ok(1));
    // The first letters of name and value.
    let letters = "(block (result i64) (call $environment (i32.const 7000)) (i64.extend_i32_u (i32.add \
        (i32.mul (i32.const 256) (i32.load8_u (i32.load (i32.load (i32.const 7000))))) (i32.load8_u (i32.load offset=8 (i32.load (i32.const 7000)))))))";
    assert_eq!(number(&host, letters, granted, &[]).await, Ok(u64::from(b'T') << 8 | u64::from(b'U')));
}

#[tokio::test]
async fn sleep_is_no_processor_time_and_ends_with_the_call() {
    let host = host();
    let sleep = |nanos: &str| format!("(block (result i64) (call $block (call $sleep (i64.const {nanos}))) (i64.const 7))");
    let limits = &[("cpu", "100ms"), ("deadline", "30s")];
    let slept = within(Duration::from_millis(150), SECONDS, number(&host, &sleep("150000000"), MachineGrants::default(), limits)).await;
    assert_eq!(slept, Ok(7));
    let limits = &[("cpu", "100ms"), ("deadline", "400ms")];
    let endless = within(Duration::from_millis(400), SECONDS, number(&host, &sleep("-1"), MachineGrants::default(), limits)).await;
    assert_eq!(endless, Err("deadline of 400ms reached; raise `limits.deadline` to allow more".to_owned()));
}

const WASI_HTTP: &str = r#"
    (import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.6" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.6" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-method" (func $method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-scheme" (func $scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-authority" (func $authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-path-with-query" (func $path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.body" (func $body (param i32 i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-body.write" (func $write (param i32 i32)))
    (import "wasi:http/types@0.2.6" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $print (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $done (param i32)))
    (import "wasi:http/outgoing-handler@0.2.6" "handle" (func $handle (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.6" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]future-incoming-response.get" (func $get (param i32 i32)))
    (import "wasi:http/types@0.2.6" "[method]incoming-response.status" (func $status (param i32) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
"#;

/// Posts the text `ttext/plain` to `/in` of the authority that the records name, over HTTP. Answers the
/// status, 1000 and the error code, 3000 and the header error, or the numbers of steps that may not fail.
fn post(header: &str) -> &'static str {
    let number = format!(
        "(block $out (result i64)
            (local.set 4 (call $fields)) {header}
            (local.set 5 (call $request (local.get 4)))
            (if (call $method (local.get 5) (i32.const 2) (i32.const 0) (i32.const 0)) (then (br $out (i64.const 2001))))
            (if (call $scheme (local.get 5) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)) (then (br $out (i64.const 2002))))
            (if (call $authority (local.get 5) (i32.const 1) (local.get 0) (local.get 1)) (then (br $out (i64.const 2003))))
            (if (call $path (local.get 5) (i32.const 1) (i32.const 1120) (i32.const 3)) (then (br $out (i64.const 2004))))
            (call $body (local.get 5) (i32.const 7000))
            (if (i32.load8_u (i32.const 7000)) (then (br $out (i64.const 2005))))
            (local.set 6 (i32.load (i32.const 7004)))
            (call $handle (local.get 5) (i32.const 0) (i32.const 0) (i32.const 7016))
            (if (i32.load8_u (i32.const 7016)) (then (br $out (i64.extend_i32_u (i32.add (i32.const 1000) (i32.load8_u (i32.const 7024)))))))
            (local.set 7 (i32.load (i32.const 7024)))
            (call $write (local.get 6) (i32.const 7000))
            (if (i32.load8_u (i32.const 7000)) (then (br $out (i64.const 2006))))
            (local.set 8 (i32.load (i32.const 7004)))
            (call $print (local.get 8) (i32.const 1024) (i32.const 11) (i32.const 7100))
            (call $done (local.get 8))
            (call $finish (local.get 6) (i32.const 0) (i32.const 0) (i32.const 7200))
            (call $block (call $subscribe (local.get 7)))
            (call $get (local.get 7) (i32.const 7304))
            (if (i32.eqz (i32.load8_u (i32.const 7304))) (then (br $out (i64.const 2007))))
            (if (i32.load8_u (i32.const 7312)) (then (br $out (i64.const 2008))))
            (if (i32.load8_u (i32.const 7320)) (then (br $out (i64.extend_i32_u (i32.add (i32.const 1000) (i32.load8_u (i32.const 7328)))))))
            (i64.extend_i32_u (call $status (i32.load (i32.const 7328)))))"
    );
    answering(&number)
}

/// Codes of `wasi:http` in the order of its variant.
const DENIED: u64 = 1015;
const URI_INVALID: u64 = 1019;
const BODY_SIZE: u64 = 1017;

#[tokio::test]
async fn wasi_http_is_absent_unless_granted_and_goes_where_http_goes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut got = Vec::new();
            while !got.ends_with(b"ttext/plain") && stream.read_buf(&mut got).await.is_ok_and(|read| read > 0) {}
            seen.lock().expect("lock").push(String::from_utf8_lossy(&got).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
        }
    });
    let host = host();
    let grants = |wasi_http: bool, values: &[(&str, &str)]| {
        let credential = Credential::bearer("token", secrecy::SecretString::from("hunter2-secret".to_owned())).expect("valid");
        let (url, methods) = (format!("http://127.0.0.1:{port}"), vec!["POST".to_owned()]);
        let settings =
            DestinationSettings { url, methods, credential: Some(Arc::new(credential)), paths: vec!["/in".into()], ..DestinationSettings::default() };
        ConnectorGrants {
            destinations: vec![Destination::new("primary", settings).expect("valid")],
            machine: MachineGrants { wasi_http, ..MachineGrants::default() },
            limits: limits(values),
            ..ConnectorGrants::default()
        }
    };
    let guest = |header: &str| Connector { imports: WASI_HTTP, deliver: post(header), ..Connector::default() };
    let send =
        async |header: &str, authority: &str, values: &[(&str, &str)]| match host.deliver(guest(header), grants(true, values), authority.as_bytes()).await {
            Ok(Delivery::All(Outcome::Pending { poll_after, .. })) => u64::try_from(poll_after.as_millis()).expect("short"),
            other => panic!("{other:?}"),
        };

    let error = host.connector(guest(""), grants(false, &[])).map(|_| ()).expect_err("not granted");
    assert_eq!(
        error.to_string(),
        "component `evil` needs what instance `siem` does not grant: wasi-http (write `grants: {wasi_http: true}` at the instance; its requests go to the instance's destinations only)"
    );

    let here = format!("127.0.0.1:{port}");
    assert_eq!(within(Duration::ZERO, SECONDS, send("", &here, &[])).await, 201);
    let request = requests.lock().expect("lock").pop().expect("one");
    assert!(request.starts_with("POST /in HTTP/1.1\r\n") && request.ends_with("\r\n\r\nttext/plain"), "{request}");
    assert!(request.contains("authorization: Bearer hunter2-secret\r\n") && request.contains(&format!("host: {here}\r\n")), "{request}");
    assert!(request.contains("content-length: 11\r\n"), "{request}");

    // Nothing of these leaves the host.
    assert_eq!(send("", "127.0.0.1:1", &[]).await, DENIED);
    assert_eq!(send("", "169.254.169.254", &[]).await, DENIED);
    assert_eq!(send("", &format!("someone@{here}"), &[]).await, URI_INVALID);
    assert_eq!(send("", &here, &[("http_request", "10")]).await, BODY_SIZE);
    // fields.append("t", …) passes; "host" is forbidden: the header error is 1.
    let forbidden = "(i32.store (i32.const 7400) (i32.const 0x74736f68)) (call $append (local.get 4) (i32.const 7400) (i32.const 4) (i32.const 1024) (i32.const 4) (i32.const 7500)) \
                     (if (i32.load8_u (i32.const 7500)) (then (br $out (i64.extend_i32_u (i32.add (i32.const 3000) (i32.load8_u (i32.const 7501)))))))";
    assert_eq!(send(forbidden, &here, &[]).await, 3001);
    assert!(requests.lock().expect("lock").is_empty());
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_requests_total{destination=\"primary\",instance=\"siem\",result=\"2xx\"} 1"), "{text}");
    assert!(text.contains("bulkhead_egress_requests_total{destination=\"none\",instance=\"siem\",result=\"denied\"} 2"), "{text}");
    assert!(text.contains("bulkhead_guest_limit_reached_total{component=\"evil\",instance=\"siem\",limit=\"http_request\"} 1"), "{text}");
}
