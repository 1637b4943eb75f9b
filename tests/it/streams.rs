//! Streams, datagrams and WebSocket through the real binary: a guest of the tests' own speaks to servers
//! that know nothing of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use bulkhead_tests::{port, wait};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::pki::{self, Authority};
use crate::story::{PATIENCE, Story, copybook, ids};

/// What peers heard, a line or message each.
type Heard = Arc<Mutex<Vec<String>>>;

/// An instance of the guest. Its component imports all of `tcp`, `udp` and `credentials`, so each must
/// be granted: destinations beside `primary` lead nowhere.
fn instance(config: &str, primary: &str) -> String {
    format!(
        "instances:\n  bus:\n    connector: streams\n    config: {config}\n    concurrency: 1\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations:\n      primary: {primary}\n      udp: \"udp://127.0.0.1:9\"\n      \
         bound: {{url: \"tls://127.0.0.1:9\", credential: nobody}}\ncredentials:\n  nobody: {{type: bearer, token: nobody-needs-this}}\n  \
         bus: {{type: basic, username: ada, password: pass-word-1}}\ndefault_route: [{{instance: bus, format: jsonl}}]\n"
    )
}

/// Takes lines and answers `OK` to each; the first of a connection may be an `AUTH`.
fn serve(heard: &Heard, mut stream: impl std::io::Read + std::io::Write) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    while let Ok(n) = stream.read(&mut chunk) {
        if n == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..n]);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            heard.lock().expect("lock").push(String::from_utf8_lossy(&line[..end]).into_owned());
            if stream.write_all(b"OK\n").and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

fn tcp_server() -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, heard) = (listener.local_addr().expect("bound").port(), Heard::default());
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || serve(&kept, stream));
        }
    });
    (port, heard)
}

fn tls_server(config: Arc<ServerConfig>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, heard) = (listener.local_addr().expect("bound").port(), Heard::default());
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (kept, session) = (Arc::clone(&kept), ServerConnection::new(Arc::clone(&config)).expect("a session"));
            std::thread::spawn(move || serve(&kept, StreamOwned::new(session, stream)));
        }
    });
    (port, heard)
}

#[track_caller]
fn all_arrived(story: &Story, heard: &Heard, n: usize) {
    story.settled();
    let text = heard.lock().expect("lock").join("\n");
    assert_eq!(ids(text.as_bytes(), "e", n).len(), n, "{text}\n{}", story.host.log());
}

#[test]
fn events_go_over_tcp_and_the_connection_is_kept() {
    let (port, heard) = tcp_server();
    let story = Story::start(&instance("{mode: lines}", &format!("\"tcp://127.0.0.1:{port}\"")));
    for part in 0..3 {
        story.accept("application/x-ndjson", &copybook("e", 10 * (part + 1)));
        story.settled();
    }
    all_arrived(&story, &heard, 30);
    let scrape = story.settled();
    let connections = scrape.sum("bulkhead_egress_connections_total", &[("instance", "bus"), ("destination", "primary"), ("result", "connected")]);
    assert_eq!(connections, 1.0, "one connection for all deliveries");
    assert_eq!(scrape.sum("bulkhead_egress_open_connections", &[("instance", "bus")]), 1.0);
}

#[test]
fn a_peer_that_comes_back_gets_everything() {
    // Nobody there at first.
    let port = port::free().expect("a port").port();
    let story = Story::start(&instance("{mode: lines}", &format!("\"tcp://127.0.0.1:{port}\"")));
    story.accept("application/x-ndjson", &copybook("e", 5));
    story.when("an attempt fails", |scrape| {
        scrape.sum("bulkhead_egress_connections_total", &[("instance", "bus"), ("destination", "primary"), ("result", "connect")]) >= 1.0
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("binds again");
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        // The first connection breaks off after a line.
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("clones")).read_line(&mut line).expect("reads");
        let _ = stream.write_all(b"OK");
        drop(stream);
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || serve(&kept, stream));
        }
    });
    all_arrived(&story, &heard, 5);
}

#[test]
fn events_go_over_tls_with_an_authority_a_certificate_and_a_password() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let (port, heard) = tls_server(pki::server(&ours.server(&["127.0.0.1"]), Some(&ours), &[&TLS13], &[]));
    let (cert, key) = ours.client("bulkhead").write(dir.path(), "client");
    let ca = pki::write(dir.path(), "ca.pem", ours.pem());
    let primary = format!(
        "{{url: \"tls://127.0.0.1:{port}\", credential: bus, tls: {{min_version: 1.3, ca: {}, client_cert: {}, client_key: {}}}}}",
        ca.display(),
        cert.display(),
        key.display()
    );
    // printf '\0ada\0pass-word-1' | base64; printf 'before-pass-word-1-after' | sha256sum;
    // printf 'challenge' | openssl dgst -sha512 -hmac pass-word-1
    for (how, want) in [
        ("plain", "AUTH pass-word-1"),
        ("base64", "AUTH cGFzcy13b3JkLTE="),
        ("sasl", "AUTH {24} AGFkYQBwYXNzLXdvcmQtMQ=="),
        ("hash", "AUTH 267abf31961a67125a665afde2c23692743bedfb2a0a67edcace6b09ff31c343"),
        ("hmac", "AUTH 647e7a324bbcdd76d71f3ff57b1180d85b9ff00f01193932956097a431b87b32c562e8b5c1e66625edebf7d444a70d32f110b090291d105c60657f12b68cbb14"),
    ] {
        heard.lock().expect("lock").clear();
        let story = Story::start(&instance(&format!("{{mode: lines, credential: bus, how: {how}}}"), &primary));
        story.accept("application/x-ndjson", &copybook("e", 10));
        all_arrived(&story, &heard, 10);
        let first = heard.lock().expect("lock")[0].clone();
        assert_eq!(first, want, "{how}");
        let (log, metrics) = (story.host.log(), story.host.get("/metrics").expect("answers").text());
        assert!(!log.contains("pass-word-1") && !metrics.contains("pass-word-1"), "the secret is in sight");
    }
}

#[test]
fn renewed_certificates_count_after_a_reload() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (port, heard) = tls_server(pki::server(&ours.server(&["localhost"]), None, &[&TLS13, &TLS12], &[]));
    let ca = pki::write(dir.path(), "ca.pem", others.pem());
    let primary = format!("{{url: \"tls://localhost:{port}\", tls: {{ca: {}}}}}", ca.display());
    let story = Story::start(&instance("{mode: lines}", &primary));
    story.accept("application/x-ndjson", &copybook("e", 3));
    wait::until("the lane says why", PATIENCE, || {
        let error = story.lane("bus")["last_error"]["text"].as_str().unwrap_or_default().to_owned();
        Ok(error.contains("TLS: the receiver's certificate is from an authority that is not trusted here").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert!(heard.lock().expect("lock").is_empty());
    // The same path, the right authority.
    pki::write(dir.path(), "ca.pem", ours.pem());
    story.host.signal(rustix::process::Signal::HUP).expect("sent");
    all_arrived(&story, &heard, 3);
}

#[test]
fn events_go_out_as_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let port = socket.local_addr().expect("bound").port();
    let story = Story::start(&instance("{mode: datagrams}", &format!("\"udp://127.0.0.1:{port}\"")));
    story.accept("application/x-ndjson", &copybook("e", 20));
    let mut found = BTreeSet::new();
    let mut buffer = vec![0; 65_536];
    while found.len() < 20 {
        let (length, _) = socket.recv_from(&mut buffer).expect("comes");
        let numbers = ids(&buffer[..length], "e", 20);
        assert_eq!(numbers.len(), 1, "an event each");
        found.extend(numbers);
    }
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_egress_datagrams_total", &[("instance", "bus"), ("destination", "primary"), ("result", "sent")]), 20.0);
}

/// An echo server by a library that knows nothing of ours.
fn websocket_server(config: Option<Arc<ServerConfig>>, token: Option<&'static str>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, heard) = (listener.local_addr().expect("bound").port(), Heard::default());
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (kept, config) = (Arc::clone(&kept), config.clone());
            std::thread::spawn(move || match config {
                Some(config) => echo(StreamOwned::new(ServerConnection::new(config).expect("a session"), stream), &kept, token),
                None => echo(stream, &kept, token),
            });
        }
    });
    (port, heard)
}

fn echo(stream: impl std::io::Read + std::io::Write, heard: &Heard, token: Option<&'static str>) {
    use tungstenite::handshake::server::{Request, Response};
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let check = |request: &Request, response: Response| {
        let given = request.headers().get("authorization").map(|value| value.as_bytes().to_vec());
        if given == token.map(|token| format!("Bearer {token}").into_bytes()) {
            Ok(response)
        } else {
            Err(tungstenite::http::Response::builder().status(401).body(None).expect("a response"))
        }
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, check) else { return };
    let mut count = 0;
    while let Ok(message) = socket.read() {
        if let tungstenite::Message::Text(text) = &message {
            heard.lock().expect("lock").push(text.as_str().to_owned());
            // In the middle of things, a question.
            if socket.send(tungstenite::Message::Ping(vec![1].into())).and_then(|()| socket.send(message)).is_err() {
                return;
            }
            count += 1;
            if count == 7 {
                // Hangs up: the rest goes over another one.
                let _ = socket.close(None);
            }
        }
    }
}

#[test]
fn events_go_over_websocket_through_pings_and_a_peer_that_hangs_up() {
    let (port, heard) = websocket_server(None, None);
    let story = Story::start(&instance("{mode: websocket}", &format!("\"tcp://127.0.0.1:{port}\"")));
    for part in 1..=4 {
        story.accept("application/x-ndjson", &copybook("e", 5 * part));
    }
    all_arrived(&story, &heard, 20);
}

#[test]
fn events_go_over_websocket_under_tls_with_a_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let (port, heard) = websocket_server(Some(pki::server(&ours.server(&["localhost"]), None, &[&TLS13, &TLS12], &[])), Some("pass-word-1"));
    let ca = pki::write(dir.path(), "ca.pem", ours.pem());
    let primary = format!("{{url: \"tls://localhost:{port}\", credential: bus, tls: {{ca: {}}}}}", ca.display());
    let story = Story::start(&instance(&format!("{{mode: websocket, credential: bus, host: \"localhost:{port}\"}}"), &primary));
    story.accept("application/x-ndjson", &copybook("e", 5));
    all_arrived(&story, &heard, 5);
    // Without the credential the receiver says no, and the instance waits for people.
    let story = Story::start(&instance("{mode: websocket}", &primary));
    story.accept("application/x-ndjson", &copybook("e", 5));
    wait::until("the instance is held", PATIENCE, || Ok((story.lane("bus")["held"] == "unauthorized").then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("bus")));
}

#[test]
fn the_next_place_is_used_while_the_first_is_down() {
    let dead = port::free().expect("a port").port();
    let (port, heard) = tcp_server();
    let story = Story::start(&instance("{mode: lines}", &format!("{{urls: [\"tcp://127.0.0.1:{dead}\", \"tcp://127.0.0.1:{port}\"]}}")));
    story.accept("application/x-ndjson", &copybook("e", 5));
    all_arrived(&story, &heard, 5);
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_retried_total", &[("instance", "bus")]), 0.0, "no retry was needed");
}

#[test]
fn members_are_reached_and_others_are_not() {
    let ((first, _), (second, heard)) = (tcp_server(), tcp_server());
    let primary = format!("{{url: \"tcp://127.0.0.1:{first}\", members: [\"localhost:{second}\"]}}");
    let story = Story::start(&instance(&format!("{{mode: lines, member: \"localhost:{second}\"}}"), &primary));
    story.accept("application/x-ndjson", &copybook("e", 5));
    all_arrived(&story, &heard, 5);
    let story = Story::start(&instance(&format!("{{mode: lines, member: \"127.0.0.1:{second}\"}}"), &primary));
    story.accept("application/x-ndjson", &copybook("e", 5));
    wait::until("the instance is held", PATIENCE, || Ok((story.lane("bus")["held"] == "configuration").then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("bus")));
    let want = format!("member `127.0.0.1:{second}` is not among the `members` of destination `primary` (rule 4)");
    assert!(story.lane("bus")["last_error"]["text"].as_str().is_some_and(|text| text.contains(&want)), "{:#}", story.lane("bus"));
}

#[test]
fn a_destination_that_believes_anybody_is_in_sight() {
    let (port, heard) = tls_server(pki::server(&pki::self_signed(&["evil.example"]), None, &[&TLS13, &TLS12], &[]));
    let story = Story::start(&instance("{mode: lines}", &format!("{{url: \"tls://127.0.0.1:{port}\", verify: false}}")));
    story.accept("application/x-ndjson", &copybook("e", 2));
    all_arrived(&story, &heard, 2);
    let get = |path: &str| -> Value { story.host.get(path).expect("answers").json().expect("JSON") };
    assert_eq!(get("/api/integration/health")["unverified_destinations"]["bus"], serde_json::json!(["primary"]));
    assert_eq!(get("/api/integration/instances")["data"][0]["unverified_destinations"], serde_json::json!(["primary"]));
    assert!(story.host.log().contains("verify is false: this destination takes any certificate"), "{}", story.host.log());
    // And one that does not is not.
    let (port, _) = tcp_server();
    let story = Story::start(&instance("{mode: lines}", &format!("\"tcp://127.0.0.1:{port}\"")));
    let health: Value = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert_eq!(health["unverified_destinations"], serde_json::json!({}));
}

#[test]
fn a_peer_that_never_answers_costs_a_call_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    // Accepts and says nothing.
    let silent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&silent);
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| kept.lock().expect("lock").push(stream)));
    let story = Story::start(&instance("{mode: lines, timeout: 100}", &format!("\"tcp://127.0.0.1:{port}\"")));
    story.accept("application/x-ndjson", &copybook("e", 1));
    wait::until("it tries again, each time on a fresh connection", PATIENCE, || Ok((silent.lock().expect("lock").len() >= 3).then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let text = story.lane("bus")["last_error"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("the receiver did not answer in time"), "{text}");
    story.when("connections are closed again", |scrape| scrape.sum("bulkhead_egress_open_connections", &[("instance", "bus")]) <= 1.0);
}
