//! Streams, datagrams, TLS and secrets inside streams: guests that take what is not theirs, peers that
//! are not who they should be.

#[path = "../it/pki.rs"]
pub mod pki;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bulkhead_core::{ConnectorSource, DeliverError, Delivery, EventBatch, Failure, GuestFault, Outcome, RecordBatch, RecordFormat};
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{
    ConnectorGrants, Credential, Destination, DestinationSettings, InspectError, Inspection, Limits, Sandbox, SandboxSettings, TlsSettings,
};
use bulkhead_tests::host::root;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::pki::Authority;

/// What a call may take at most on a busy machine.
const SOON: Duration = Duration::from_secs(20);

struct Host {
    sandbox: Sandbox,
    metrics: Metrics,
}

fn host() -> Host {
    // For the HTTP client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = Metrics::new();
    Host { sandbox: Sandbox::new(SandboxSettings::default(), metrics.clone()).expect("starts"), metrics }
}

fn guest(name: &str) -> Vec<u8> {
    let path = root().join("target/guests").join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build-guests` makes it", path.display()))
}

fn destination(name: &str, settings: DestinationSettings) -> Destination {
    Destination::new(name, settings).unwrap_or_else(|error| panic!("{error}"))
}

fn to(url: String) -> DestinationSettings {
    DestinationSettings { url, ..DestinationSettings::default() }
}

fn bearer(name: &str, token: &str) -> Option<Arc<Credential>> {
    Some(Arc::new(Credential::bearer(name, secrecy::SecretString::from(token.to_owned())).expect("valid")))
}

impl Host {
    /// The guest of the tests with these destinations, and those that its imports need.
    fn streams(&self, config: &str, mut destinations: Vec<Destination>, values: &[(&str, &str)]) -> Arc<dyn ConnectorSource> {
        destinations.push(destination("udp-unused", to("udp://127.0.0.1:9".into())));
        let unused = DestinationSettings { credential: bearer("unused", "nobody-needs-this"), ..to("tls://127.0.0.1:9".into()) };
        destinations.push(destination("tls-unused", unused));
        self.connector("streams", config, destinations, values)
    }

    fn connector(&self, name: &str, config: &str, destinations: Vec<Destination>, values: &[(&str, &str)]) -> Arc<dyn ConnectorSource> {
        let component = self.sandbox.load(name, &guest(name)).expect("loads");
        let mut limits = Limits::default();
        for (limit, value) in values {
            limits.set_text(limit, value).expect("within");
        }
        let grants = ConnectorGrants { instance: "siem".into(), destinations, limits, ..ConnectorGrants::default() };
        self.sandbox.connector(&component, config.into(), grants).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// One record through a fresh guest, neither hanging nor over before `least`.
async fn deliver(source: &Arc<dyn ConnectorSource>, record: &str, least: Duration) -> Result<Delivery, DeliverError> {
    let started = Instant::now();
    let format = RecordFormat { name: "json".into(), content_type: "application/json".into() };
    let mut connector = source.open(&format).await.unwrap_or_else(|error| panic!("{error}"));
    let (block, end) = (record.as_bytes().to_vec(), u32::try_from(record.len()).expect("short"));
    let records = RecordBatch { block, offsets: vec![0, end] };
    let fields = connector.projection().len();
    let events = EventBatch { count: 1, block: Vec::new(), spans: vec![0; 3 * fields] };
    let result = tokio::time::timeout(SOON, connector.deliver(&records, &events, 1)).await.unwrap_or_else(|_| panic!("still running after {SOON:?}"));
    assert!(started.elapsed() >= least, "over after {:?}: {result:?}", started.elapsed());
    result
}

#[track_caller]
fn fails(result: Result<Delivery, DeliverError>, want: &str) {
    let text = match result {
        Err(DeliverError::Failure(
            Failure::Configuration(text)
            | Failure::Unauthorized(text)
            | Failure::Unavailable { reason: text, .. }
            | Failure::TooLarge(text)
            | Failure::Other(text),
        )) => text,
        other => panic!("{other:?}; want {want}"),
    };
    assert_eq!(text, want);
}

/// A TLS server that says `OK` to each line, or 204 to each request; counts handshakes that came about.
async fn tls_server(config: Arc<ServerConfig>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (port, count) = (listener.local_addr().expect("bound").port(), Arc::new(AtomicUsize::new(0)));
    let (acceptor, counted) = (TlsAcceptor::from(config), Arc::clone(&count));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let mut bytes = [0; 8_192];
                while let Ok(n) = stream.read(&mut bytes).await {
                    if n == 0 {
                        return;
                    }
                    let answer: &[u8] = if bytes[..n].starts_with(b"POST") { b"HTTP/1.1 204 No Content\r\n\r\n" } else { b"OK\n" };
                    let _ = stream.write_all(answer).await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    (port, count)
}

fn trusting(dir: &Path, authority: &Authority) -> TlsSettings {
    TlsSettings { ca: Some(pki::write(dir, "ca.pem", authority.pem())), ..TlsSettings::default() }
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Over HTTP by a connector that ships, over a stream by the guest of the tests: the same words.
#[tokio::test]
async fn h53_receivers_that_are_not_who_they_should_be_get_nothing() {
    let (host, dir) = (host(), tempfile::tempdir().expect("a folder"));
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let good = ours.server(&["localhost"]);
    let tls = trusting(dir.path(), &ours);
    let only_13 = TlsSettings { min_version: Some("1.3".into()), ..tls.clone() };
    let untrusted = "TLS: the receiver's certificate is from an authority that is not trusted here";
    for (name, server, tls, want) in [
        ("expired", pki::server(&ours.expired(&["localhost"]), None, BOTH, &[]), &tls, "TLS: the receiver's certificate has expired"),
        ("wrong name", pki::server(&ours.server(&["other.example"]), None, BOTH, &[]), &tls, "TLS: the receiver's certificate is for another name"),
        ("self-signed", pki::server(&pki::self_signed(&["localhost"]), None, BOTH, &[]), &tls, untrusted),
        ("not in the list", pki::server(&others.server(&["localhost"]), None, BOTH, &[]), &tls, untrusted),
        ("the machine's list", pki::server(&good, None, BOTH, &[]), &TlsSettings::default(), untrusted),
        ("below min_version", pki::server(&good, None, &[&TLS12], &[]), &only_13, "TLS: received fatal alert: ProtocolVersion"),
    ] {
        let (port, count) = tls_server(server).await;
        let https = destination("primary", DestinationSettings { tls: tls.clone(), ..to(format!("https://localhost:{port}")) });
        let result = deliver(&host.connector("webhook", "{}", vec![https], &[]), "{}", Duration::ZERO).await;
        fails(result, &format!("cannot connect: {want}"));
        let stream = destination("primary", DestinationSettings { tls: tls.clone(), ..to(format!("tls://localhost:{port}")) });
        let result = deliver(&host.streams(r#"{"mode":"lines"}"#, vec![stream], &[]), "{}", Duration::ZERO).await;
        fails(result, &format!("cannot connect: {want}"));
        assert_eq!(count.load(Ordering::SeqCst), 0, "{name}: no handshake came about");
    }
    // The same server under a certificate that fits.
    let (port, _) = tls_server(pki::server(&good, None, BOTH, &[])).await;
    let stream = destination("primary", DestinationSettings { tls: tls.clone(), ..to(format!("tls://localhost:{port}")) });
    let result = deliver(&host.streams(r#"{"mode":"lines"}"#, vec![stream], &[]), "{}", Duration::ZERO).await.expect("delivers");
    assert_eq!(result, Delivery::Each(vec![Outcome::Accepted { receipt: None }]));
    // A server of another protocol.
    let (port, _) = tls_server(pki::server(&good, None, BOTH, &[b"acme-tls/1"])).await;
    let https = destination("primary", DestinationSettings { tls, ..to(format!("https://localhost:{port}")) });
    let result = deliver(&host.connector("webhook", "{}", vec![https], &[]), "{}", Duration::ZERO).await;
    fails(result, "cannot connect: TLS: received fatal alert: NoApplicationProtocol");
}

#[tokio::test]
async fn h53_tls_1_0_and_1_1_are_never_spoken() {
    let host = host();
    for version in [0x0301, 0x0302] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut hello = [0; 4_096];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(&pki::old_hello(version)).await;
                let _ = stream.read(&mut hello).await;
            }
        });
        let anybody = TlsSettings { unverified: true, ..TlsSettings::default() };
        let want = "cannot connect: TLS: peer is incompatible: ServerDoesNotSupportTls12Or13";
        let https = destination("primary", DestinationSettings { tls: anybody.clone(), ..to(format!("https://127.0.0.1:{port}")) });
        fails(deliver(&host.connector("webhook", "{}", vec![https], &[]), "{}", Duration::ZERO).await, want);
        let stream = destination("primary", DestinationSettings { tls: anybody, ..to(format!("tls://127.0.0.1:{port}")) });
        fails(deliver(&host.streams(r#"{"mode":"lines"}"#, vec![stream], &[]), "{}", Duration::ZERO).await, want);
    }
}

#[test]
fn h55_streams_that_were_not_granted_are_absent() {
    let host = host();
    let component = host.sandbox.load("streams", &guest("streams")).expect("loads");
    let set_up = |destinations: Vec<Destination>| {
        let grants = ConnectorGrants { instance: "siem".into(), destinations, ..ConnectorGrants::default() };
        host.sandbox.connector(&component, r#"{"mode":"lines"}"#.into(), grants).map(drop).map_err(|error| error.to_string())
    };
    let tcp = "tcp (name a destination with a tcp:// or tls:// URL under `destinations` of the instance)";
    let udp = "udp (name a destination with a udp:// URL under `destinations` of the instance)";
    let credentials = "credentials (name a destination with a tcp:// or tls:// URL, whose `credential` it may use)";
    let refused = |missing: &[&str]| Err(format!("component `streams` needs what instance `siem` does not grant: {}", missing.join("; ")));
    let web = || destination("web", DestinationSettings { credential: bearer("c", "web-token"), ..to("https://h.example".into()) });
    let stream = || destination("stream", to("tcp://127.0.0.1:9".into()));
    let datagram = || destination("datagram", to("udp://127.0.0.1:9".into()));
    let bound = || destination("bound", DestinationSettings { credential: bearer("c", "bus-token"), ..to("tls://127.0.0.1:9".into()) });
    assert_eq!(set_up(vec![]), refused(&[credentials, tcp, udp]));
    // A credential for HTTP opens no streams.
    assert_eq!(set_up(vec![web()]), refused(&[credentials, tcp, udp]));
    // Without a credential of its own the functions are there and every one is denied, see h56.
    assert_eq!(set_up(vec![stream()]), refused(&[udp]));
    assert_eq!(set_up(vec![datagram()]), refused(&[credentials, tcp]));
    assert_eq!(set_up(vec![bound()]), refused(&[udp]));
    assert_eq!(set_up(vec![bound(), datagram()]), Ok(()));
    // And streams open no HTTP.
    let webhook = host.sandbox.load("webhook", &guest("webhook")).expect("loads");
    let grants = ConnectorGrants { instance: "siem".into(), destinations: vec![stream(), datagram(), bound()], ..ConnectorGrants::default() };
    let error = host.sandbox.connector(&webhook, "{}".into(), grants).map(drop).expect_err("no HTTP").to_string();
    assert_eq!(
        error,
        "component `webhook` needs what instance `siem` does not grant: http (name a destination with an http:// or https:// URL under `destinations` of the instance)"
    );
}

#[test]
fn h55_listening_looking_up_names_and_sockets_do_not_exist() {
    let import = |name: &str| {
        let text = format!(
            r#"(component (import "{name}" (instance))
                (core module $m (func (export "f"))) (core instance $m (instantiate $m)) (func $f (canon lift (core func $m "f")))
                (instance $i (export "deliver" (func $f))) (export "bulkhead:connector/delivering@0.1.0" (instance $i)))"#
        );
        Inspection::read(&wat::parse_str(&text).expect("text"), 1 << 20).map(drop)
    };
    for name in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:sockets/tcp-create-socket@0.2.6",
        "wasi:sockets/udp@0.2.6",
        "wasi:sockets/udp-create-socket@0.2.6",
        "wasi:sockets/ip-name-lookup@0.2.6",
        "wasi:sockets/instance-network@0.2.6",
        "wasi:sockets/network@0.2.6",
    ] {
        let hint = format!("{name} (sockets are never offered; use bulkhead:connector/tcp, or build with --stub-wasi)");
        assert_eq!(import(name), Err(InspectError::UnknownImports { names: vec![hint] }));
    }
    for name in ["bulkhead:connector/listen@0.1.0", "bulkhead:connector/dns@0.1.0"] {
        assert_eq!(import(name), Err(InspectError::UnknownImports { names: vec![name.to_owned()] }));
    }
    // The interface has one way to make a connection.
    let wit = std::fs::read_to_string(root().join("wit/tcp.wit")).expect("reads");
    let functions: Vec<_> = wit.lines().filter_map(|line| line.trim().split_once(": func").map(|(name, _)| name.to_owned())).collect();
    assert_eq!(functions, ["write", "read", "finish", "secure", "connect"]);
}

#[tokio::test]
async fn h35_a_connection_to_one_destination_takes_no_secret_of_another() {
    let (host, dir) = (host(), tempfile::tempdir().expect("a folder"));
    let ours = Authority::new("ours");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let (acceptor, kept) = (TlsAcceptor::from(pki::server(&ours.server(&["localhost"]), None, BOTH, &[])), Arc::clone(&heard));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            kept.lock().expect("lock").push(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    let tls = trusting(dir.path(), &ours);
    let with =
        |name: &str, credential: Option<Arc<Credential>>, tls: TlsSettings, url: String| destination(name, DestinationSettings { credential, tls, ..to(url) });
    let url = format!("tls://localhost:{port}");
    let (tcp_port, _) = silent().await;
    let source = |destination_name: &str| {
        let destinations = vec![
            with("a", bearer("key-a", "secret-of-a"), tls.clone(), url.clone()),
            with("b", bearer("key-b", "secret-of-b"), tls.clone(), url.clone()),
            with("none", None, tls.clone(), url.clone()),
            with("plain", bearer("key-p", "secret-of-p"), TlsSettings::default(), format!("tcp://127.0.0.1:{tcp_port}")),
        ];
        host.streams(&format!(r#"{{"mode":"lines","evil":"borrow","destination":"{destination_name}"}}"#), destinations, &[])
    };
    for (destination, record, want) in [
        ("a", "key-b", "the credential was not used: credential `key-b` is not the `credential` of destination `a`, to which this connection leads (rule 5)"),
        ("b", "key-a", "the credential was not used: credential `key-a` is not the `credential` of destination `b`, to which this connection leads (rule 5)"),
        (
            "none",
            "key-a",
            "the credential was not used: credential `key-a` is not the `credential` of destination `none`, to which this connection leads (rule 5)",
        ),
        ("a", "", "the credential was not used: credential `` is not the `credential` of destination `a`, to which this connection leads (rule 5)"),
        ("plain", "key-p", "the credential was not used: the secret itself is written only under TLS; use a tls:// destination (rule 5)"),
    ] {
        fails(deliver(&source(destination), record, Duration::ZERO).await, want);
    }
    assert_eq!(deliver(&source("a"), "key-a", Duration::ZERO).await.expect("delivers"), Delivery::All(Outcome::Accepted { receipt: None }));
    // The guest is gone, and with it the connection: what was written has arrived.
    until("the secret arrives", || heard.lock().expect("lock").iter().any(|text| text == "secret-of-a")).await;
    assert!(heard.lock().expect("lock").iter().all(|text| !text.contains("secret-of-b")));
}

/// Accepts, keeps, reads nothing and says nothing; counts those whose other end is there. An end behind
/// bytes that were never read is not seen.
async fn silent() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (port, open) = (listener.local_addr().expect("bound").port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                if stream.peek(&mut [0]).await.is_ok_and(|n| n > 0) {
                    std::future::pending::<()>().await;
                }
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, open)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn h54_connections_beyond_the_quota_are_refused_and_permits_come_back_after_a_trap() {
    let host = host();
    let (port, open) = silent().await;
    let primary = || vec![destination("primary", to(format!("tcp://127.0.0.1:{port}")))];
    let source = host.streams(r#"{"mode":"lines","evil":"hoard"}"#, primary(), &[("tcp_connections", "3")]);
    let limit = "tcp_connections of 3 reached: 4 asked for; raise `limits.tcp_connections` to allow more (rule 6)";
    fails(deliver(&source, "stop", Duration::ZERO).await, &format!("3 held, then {limit}"));
    until("the connections of the guest are closed with it", || open.load(Ordering::SeqCst) == 0).await;
    for _ in 0..5 {
        // All three are there again, whatever became of the guest before.
        let fault = deliver(&source, "trap", Duration::ZERO).await.expect_err("a trap");
        assert!(matches!(&fault, DeliverError::Fault(GuestFault::Trap(_))), "{fault}");
        until("the connections of a trapped guest are closed", || open.load(Ordering::SeqCst) == 0).await;
    }
    fails(deliver(&source, "stop", Duration::ZERO).await, &format!("3 held, then {limit}"));
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_connections_total{destination=\"primary\",instance=\"siem\",result=\"limit\"} 7"), "{text}");
    until("none is counted as open", || {
        String::from_utf8_lossy(&host.metrics.encode().expect("encodes")).contains("bulkhead_egress_open_connections{instance=\"siem\"} 0")
    })
    .await;
}

/// Many guests of one instance at once: the quota is the instance's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h54_five_hundred_sends_at_once_share_one_quota() {
    let host = host();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, count) = (Arc::clone(&most), Arc::clone(&now));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, count) = (Arc::clone(&seen), Arc::clone(&count));
            tokio::spawn(async move {
                let mut bytes = [0; 8_192];
                while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {
                    seen.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    // Before the answer, or the next request could be counted beside this one.
                    count.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            });
        }
    });
    let primary = destination("primary", to(format!("http://127.0.0.1:{port}")));
    let source = host.connector("webhook", "{}", vec![primary], &[("http_concurrent", "8")]);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let source = Arc::clone(&source);
        all.spawn(async move { deliver(&source, "{}", Duration::ZERO).await });
    }
    while let Some(done) = all.join_next().await {
        assert!(done.expect("no panic").is_ok(), "they wait for a permit, none is refused");
    }
    assert!(most.load(Ordering::SeqCst) <= 8, "{} at once", most.load(Ordering::SeqCst));
}

#[tokio::test]
async fn h51_the_certificate_of_one_destination_never_serves_another() {
    let (host, dir) = (host(), tempfile::tempdir().expect("a folder"));
    let ours = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let (acceptor, kept) = (TlsAcceptor::from(pki::server(&ours.server(&["localhost"]), Some(&ours), BOTH, &[])), Arc::clone(&shown));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let der = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
            kept.lock().expect("lock").push(der);
            tokio::spawn(async move {
                let mut bytes = [0; 8_192];
                while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {
                    let answer: &[u8] = if bytes.starts_with(b"POST") { b"HTTP/1.1 204 No Content\r\n\r\n" } else { b"OK\n" };
                    let _ = stream.write_all(answer).await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    let with = |pair: Option<&pki::Pair>, name: &str| {
        let mut tls = trusting(dir.path(), &ours);
        if let Some(pair) = pair {
            let (cert, key) = pair.write(dir.path(), name);
            (tls.client_cert, tls.client_key) = (Some(cert), Some(key));
        }
        tls
    };
    let (a, b) = (ours.client("a.example"), ours.client("b.example"));
    let https = |tls: &TlsSettings| vec![destination("primary", DestinationSettings { tls: tls.clone(), ..to(format!("https://localhost:{port}")) })];
    let stream = |tls: &TlsSettings| vec![destination("primary", DestinationSettings { tls: tls.clone(), ..to(format!("tls://localhost:{port}")) })];
    let (tls_a, tls_b, tls_none) = (with(Some(&a), "a"), with(Some(&b), "b"), with(None, ""));
    // Instances one after the other and again, to the same receiver: kept connections and sessions of
    // one are at hand while another asks.
    let lines = r#"{"mode":"lines"}"#;
    let web: Vec<_> = [&tls_a, &tls_b, &tls_none].map(|tls| host.connector("webhook", "{}", https(tls), &[])).into();
    let streams: Vec<_> = [&tls_a, &tls_b, &tls_none].map(|tls| host.streams(lines, stream(tls), &[])).into();
    for _ in 0..2 {
        for sources in [&web, &streams] {
            deliver(&sources[0], "{}", Duration::ZERO).await.expect("a delivers");
            deliver(&sources[1], "{}", Duration::ZERO).await.expect("b delivers");
            let error = deliver(&sources[2], "{}", Duration::ZERO).await.expect_err("without a certificate nothing goes");
            // A stream that meets the receiver's alert says so; one whose write came first finds it broken.
            assert!(matches!(&error, DeliverError::Failure(Failure::Unavailable { .. } | Failure::Unauthorized(_))), "{error:?}");
        }
    }
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let der = |pair: &pki::Pair| Some(CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("PEM").to_vec());
    let (a, b) = (der(&a), der(&b));
    // HTTP keeps its connection, streams belong to the guest and go with it.
    assert_eq!(*shown.lock().expect("lock"), [a.clone(), b.clone(), a.clone(), b.clone(), a, b]);
}

#[tokio::test]
async fn h27_peers_that_never_read_or_trickle_end_with_their_time() {
    let host = host();
    let (port, open) = silent().await;
    let primary = || vec![destination("primary", to(format!("tcp://127.0.0.1:{port}")))];
    let values = &[("deadline", "60s"), ("fuel", "20G"), ("cpu", "60s"), ("memory", "64MiB")];
    // Never reads: the flood stops at the timeout of one write.
    let (never_reads, _) = silent().await;
    let flooded = vec![destination("primary", to(format!("tcp://127.0.0.1:{never_reads}")))];
    let source = host.streams(r#"{"mode":"lines","evil":"flood","timeout":300}"#, flooded, values);
    fails(deliver(&source, "x", Duration::from_millis(300)).await, "the receiver did not answer in time");
    // Never answers.
    let source = host.streams(r#"{"mode":"lines","evil":"wait"}"#, primary(), values);
    fails(deliver(&source, "200", Duration::from_millis(200)).await, "0 bytes, then the receiver did not answer in time");
    fails(
        deliver(&source, "0", Duration::ZERO).await,
        "0 bytes, then the connection was denied: a timeout of 0 leaves no time; the call's own deadline bounds a longer one (rule 6)",
    );
    // Waits as long as it may: the call's deadline comes first, and leaves time to say so.
    let source = host.streams(r#"{"mode":"lines","evil":"wait"}"#, primary(), &[("deadline", "1s"), ("cpu", "100ms")]);
    fails(deliver(&source, "4294967295", Duration::from_millis(700)).await, "0 bytes, then the receiver did not answer in time");
    until("all are closed", || open.load(Ordering::SeqCst) == 0).await;
    // A byte at a time keeps a guest that reads on busy until its deadline, and no longer.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.write_all(b".").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
    });
    let trickle = vec![destination("primary", to(format!("tcp://127.0.0.1:{port}")))];
    let source = host.streams(r#"{"mode":"lines","evil":"wait"}"#, trickle, &[("deadline", "1s")]);
    let result = deliver(&source, "1000", Duration::from_millis(700)).await;
    let Err(DeliverError::Failure(Failure::Other(text))) = &result else { panic!("{result:?}") };
    assert!(text.ends_with(" bytes, then the receiver did not answer in time") && !text.starts_with("0 "), "{text}");
}
