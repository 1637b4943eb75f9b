use std::io::Read as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_core::{BoxFuture, SystemClock};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::credentials::Credential;
use crate::egress::DestinationSettings;
use crate::egress::redact::MARK;

/// A receiver that answers with raw bytes and keeps what it got.
struct Receiver {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// How it answers.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    /// Closes without a word.
    Close,
    /// These bytes again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte every 10 ms.
    Drip(Vec<u8>),
    /// These pieces, each in a packet of its own.
    Pieces(Vec<Vec<u8>>),
    Silence,
}

async fn receiver(answer: Answer) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let receiver = Receiver { port, connections: Arc::default(), requests: Arc::default(), bodies: Arc::default() };
    let (connections, requests, bodies) = (Arc::clone(&receiver.connections), Arc::clone(&receiver.requests), Arc::clone(&receiver.bodies));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, answer.clone(), Arc::clone(&requests), Arc::clone(&bodies)));
        }
    });
    receiver
}

async fn serve(mut stream: TcpStream, answer: Answer, requests: Arc<Mutex<Vec<String>>>, bodies: Arc<Mutex<Vec<Vec<u8>>>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        requests.lock().expect("lock").push(head);
        bodies.lock().expect("lock").push(bytes[end..end + length].to_vec());
        bytes.drain(..end + length);
        match &answer {
            Answer::Bytes(bytes) => stream.write_all(bytes).await?,
            Answer::Close => return Ok(()),
            Answer::Endless(first, again) => {
                stream.write_all(first).await?;
                loop {
                    stream.write_all(again).await?;
                }
            }
            Answer::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Answer::Pieces(pieces) => {
                stream.set_nodelay(true)?;
                for piece in pieces {
                    stream.write_all(piece).await?;
                    stream.flush().await?;
                    tokio::task::yield_now().await;
                }
            }
            Answer::Silence => std::future::pending().await,
        }
    }
}

/// Answers that change from one question to the next.
struct Rebinding(Mutex<Vec<Vec<&'static str>>>);

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().expect("lock");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(std::future::ready(Ok(answer.iter().map(|text| text.parse().expect("an address")).collect())))
    }
}

fn egress_with(settings: DestinationSettings, resolver: Arc<dyn Resolve>, change: impl FnOnce(&mut Limits)) -> Egress {
    let mut limits = Limits::default();
    change(&mut limits);
    let destination = Destination::new("primary", settings).expect("valid");
    let redactor = Arc::new(destination.credential().into_iter().fold(Redactor::default(), |redactor, credential| credential.guard(redactor)));
    let destinations = BTreeMap::from([("primary".to_owned(), destination)]);
    let metrics = Metrics::new();
    let watch = Watch::new(limits.into(), metrics.guest("siem", "evil"), Arc::new(SystemClock::default()));
    Egress::new("siem", destinations, resolver, redactor, watch.into(), Places::default(), metrics)
}

fn to(receiver: &Receiver) -> DestinationSettings {
    DestinationSettings { url: format!("http://127.0.0.1:{}/base", receiver.port), ..DestinationSettings::default() }
}

fn egress(receiver: &Receiver) -> Egress {
    egress_with(to(receiver), Arc::new(crate::egress::SystemResolver), |_| {})
}

fn post(body: &[u8]) -> Request {
    Request { destination: "primary".into(), method: "POST".into(), path: "/in?x=1".into(), body: body.to_vec(), ..Request::default() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn ok(body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-id: 7\r\n\r\n{body}", body.len()).into_bytes())
}

#[tokio::test]
async fn the_wire_carries_what_was_decided_and_nothing_else() {
    let receiver = receiver(ok("fine")).await;
    let mut request = post(b"{}");
    request.headers = vec![("content-type".into(), b"application/json".to_vec()), ("x-request".into(), b"a".to_vec())];
    let response = egress(&receiver).send(request, soon()).await.expect("answers");
    assert_eq!((response.status, response.body.as_slice(), response.truncated), (200, &b"fine"[..], false));
    assert!(response.headers.contains(&("x-id".to_owned(), b"7".to_vec())));
    let head = receiver.requests.lock().expect("lock")[0].clone();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /base/in?x=1 HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", receiver.port);
    let agent = format!("user-agent: {USER_AGENT}");
    assert_eq!(lines, ["accept: */*", "content-length: 2", "content-type: application/json", &host, &agent, "x-request: a"]);
}

#[tokio::test]
async fn connections_are_kept_and_bodies_compressed() {
    let receiver = receiver(ok("")).await;
    let egress = egress(&receiver);
    for body in [b"small".to_vec(), b"long and longer ".repeat(10_000)] {
        let mut request = post(&body);
        request.gzip = true;
        egress.send(request, soon()).await.expect("answers");
        let got = receiver.bodies.lock().expect("lock").pop().expect("a body");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&got[..]).read_to_end(&mut plain).expect("gzip");
        assert_eq!(plain, body);
        assert!(receiver.requests.lock().expect("lock").pop().expect("a head").contains("content-encoding: gzip\r\n"));
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1);
}

#[track_caller]
fn is(result: Result<Response, SendError>, want: &str) {
    let text = match result {
        Ok(response) => format!("{} {:?}", response.status, String::from_utf8_lossy(&response.body[..response.body.len().min(80)])),
        Err(error) => format!("{}: {error}", error.label()),
    };
    assert!(text.starts_with(want), "{text}; want {want}");
}

#[tokio::test]
async fn broken_receivers() {
    let answer = |text: &str| Answer::Bytes(text.as_bytes().to_vec());
    for (name, how, want) in [
        ("close", Answer::Close, "broken: the exchange broke off"),
        ("garbage", answer("SSH-2.0-OpenSSH_9\r\n\r\n"), "broken: the exchange broke off"),
        ("binary", Answer::Bytes(vec![0xff; 100]), "broken: the exchange broke off"),
        ("two lengths", answer("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"), "broken: the exchange broke off"),
        ("bad length", answer("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab"), "broken: the exchange broke off"),
        ("bad chunk", answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n"), "broken: the exchange broke off"),
        ("folded", answer("HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"), "broken: the exchange broke off"),
        ("redirect", answer("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"), "302"),
        ("challenge", answer("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"), "401"),
        ("proxy challenge", answer("HTTP/1.1 407 Proxy\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"), "407"),
        ("unavailable", answer("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"), "503 \"busy\""),
    ] {
        let receiver = receiver(how).await;
        let result = egress(&receiver).send(post(b"x"), soon()).await;
        is(result, want);
        assert_eq!(receiver.connections.load(Ordering::SeqCst), 1, "{name}: no second attempt");
        assert_eq!(receiver.requests.lock().expect("lock").len(), 1, "{name}: sent once");
    }
}

#[tokio::test]
async fn a_cut_body_is_broken_and_a_short_one_is_whole() {
    // Closed in the middle of the announced body.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    });
    let settings = DestinationSettings { url: format!("http://127.0.0.1:{port}"), ..DestinationSettings::default() };
    let egress = egress_with(settings, Arc::new(crate::egress::SystemResolver), |_| {});
    is(egress.send(post(b"x"), soon()).await, "broken: the exchange broke off");
}

#[tokio::test]
async fn nobody_there_is_a_connect_error_without_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let settings = DestinationSettings { url: format!("http://127.0.0.1:{port}"), ..DestinationSettings::default() };
    let error = egress_with(settings, Arc::new(crate::egress::SystemResolver), |_| {}).send(post(b"x"), soon()).await.expect_err("nobody there");
    assert_eq!(error.label(), "connect", "{error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn time_bounds_everything() {
    let slow = Duration::from_millis(150);
    for how in [Answer::Silence, Answer::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".repeat(30))] {
        let receiver = receiver(how).await;
        let egress = egress(&receiver);
        let started = std::time::Instant::now();
        let mut request = post(b"x");
        request.timeout = Some(slow);
        is(egress.send(request, soon()).await, "timeout: the time was up");
        is(egress.send(post(b"x"), Instant::now() + slow).await, "timeout: the time was up");
        let mut request = post(b"x");
        request.timeout = Some(Duration::from_millis(u32::MAX.into()));
        is(egress.send(request, Instant::now() + slow).await, "timeout: the time was up");
        assert!((slow * 3..Duration::from_secs(10)).contains(&started.elapsed()), "{:?}", started.elapsed());
        let mut request = post(b"x");
        request.timeout = Some(Duration::ZERO);
        is(egress.send(request, soon()).await, "denied: a timeout of 0");
    }
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let chunked = Answer::Endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        b"400\r\n".iter().copied().chain(vec![b'a'; 1_024]).chain(*b"\r\n").collect(),
    );
    let huge = Answer::Endless(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999999\r\n\r\n".to_vec(), vec![b'a'; 65_536]);
    for how in [chunked, huge] {
        let receiver = receiver(how).await;
        let response = egress(&receiver).send(post(b"x"), soon()).await.expect("answers");
        assert_eq!((response.body.len(), response.truncated), (1 << 20, true));
    }
    let headers = Answer::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: and more and more and more\r\n".to_vec());
    let receiver = receiver(headers).await;
    is(egress(&receiver).send(post(b"x"), soon()).await, "broken");
    let wide = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(40 << 10));
    let receiver = self::receiver(Answer::Bytes(wide.into_bytes())).await;
    is(egress(&receiver).send(post(b"x"), soon()).await, "limit: the answer's header: http_header_bytes of 32 KiB reached");
}

#[tokio::test]
async fn echoes_of_the_credential_are_redacted() {
    let secret = "hunter2-secret-token";
    let body = format!("you sent {secret} and again {secret}");
    let (first, second) = body.split_at(15);
    let head = format!("HTTP/1.1 200 OK\r\nlocation: /x?token={secret}\r\nx-echo: Bearer {secret}\r\ncontent-length: {}\r\n\r\n", body.len());
    let receiver = receiver(Answer::Pieces(vec![head.into_bytes(), first.into(), second.into()])).await;
    let credential = Credential::bearer("token", SecretString::from(secret.to_owned())).expect("valid");
    let settings = DestinationSettings { credential: Some(Arc::new(credential)), ..to(&receiver) };
    let egress = egress_with(settings, Arc::new(crate::egress::SystemResolver), |_| {});
    let response = egress.send(post(b"x"), soon()).await.expect("answers");
    assert_eq!(String::from_utf8_lossy(&response.body), format!("you sent {MARK} and again {MARK}"));
    for (name, value) in &response.headers {
        assert!(!String::from_utf8_lossy(value).contains("hunter2"), "{name}");
    }
    assert!(receiver.requests.lock().expect("lock")[0].contains(&format!("authorization: Bearer {secret}\r\n")));
    assert!(!format!("{egress:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_secret_on_the_edge_of_the_limit_is_not_cut_into_view() {
    let secret = "hunter2-secret-token";
    for before in 60..101 {
        let body = format!("{}{secret}{}", "x".repeat(before), "y".repeat(200));
        let receiver = receiver(ok(&body)).await;
        let credential = Credential::bearer("token", SecretString::from(secret.to_owned())).expect("valid");
        let settings = DestinationSettings { credential: Some(Arc::new(credential)), ..to(&receiver) };
        let egress = egress_with(settings, Arc::new(crate::egress::SystemResolver), |limits| limits.set(Limit::HttpResponse, 100).expect("within"));
        let response = egress.send(post(b"x"), soon()).await.expect("answers");
        assert!(response.truncated && response.body.len() <= 100);
        assert!(!String::from_utf8_lossy(&response.body).contains("hun"), "{before}");
    }
}

#[tokio::test]
async fn names_lead_only_to_checked_addresses() {
    let receiver = receiver(ok("fine")).await;
    let named = |addresses: &[&str]| DestinationSettings {
        url: format!("http://siem.example:{}", receiver.port),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        ..DestinationSettings::default()
    };
    let resolves = |answers: Vec<Vec<&'static str>>| Arc::new(Rebinding(Mutex::new(answers)));
    // Granted by network: dialled under its name.
    let egress = egress_with(named(&["127.0.0.0/8"]), resolves(vec![vec!["127.0.0.1"]]), |_| {});
    is(egress.send(post(b"x"), soon()).await, "200");
    assert!(receiver.requests.lock().expect("lock")[0].contains(&format!("host: siem.example:{}\r\n", receiver.port)));
    // Without the grant, and in every disguise.
    for answer in [
        vec!["127.0.0.1"],
        vec!["8.8.8.8", "127.0.0.1"],
        vec!["::1"],
        vec!["::ffff:127.0.0.1"],
        vec!["10.0.0.1"],
        vec!["169.254.169.254"],
        vec!["64:ff9b::7f00:1"],
        vec!["0.0.0.0"],
        vec![],
    ] {
        let egress = egress_with(named(&[]), resolves(vec![answer.clone()]), |_| {});
        let error = egress.send(post(b"x"), soon()).await.expect_err("refused");
        let SendError::Refused(refusal) = &error else { panic!("{answer:?}: {error}") };
        assert_eq!(refusal.rule, 7, "{answer:?}: {refusal}");
    }
    // First allowed, then not: the second connection is refused. The first is not kept: it was closed.
    let closing = self::receiver(Answer::Bytes(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec())).await;
    let settings = DestinationSettings { url: format!("http://siem.example:{}", closing.port), ..named(&["127.0.0.1/32"]) };
    let egress = egress_with(settings, resolves(vec![vec!["127.0.0.1"], vec!["127.0.0.2"]]), |_| {});
    is(egress.send(post(b"x"), soon()).await, "200");
    is(egress.send(post(b"x"), soon()).await, "denied: destination `primary` leads to 127.0.0.2, which is in none of its `addresses`");
    assert_eq!(closing.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn localhost_is_this_machine_whatever_a_resolver_says() {
    let receiver = receiver(ok("fine")).await;
    let settings = DestinationSettings { url: format!("http://localhost:{}", receiver.port), ..DestinationSettings::default() };
    let egress = egress_with(settings, Arc::new(Rebinding(Mutex::new(vec![vec!["8.8.8.8"]]))), |_| {});
    is(egress.send(post(b"x"), soon()).await, "200 \"fine\"");
}

#[tokio::test]
async fn requests_at_the_same_time_are_bounded_and_permits_come_back() {
    let receiver = receiver(Answer::Silence).await;
    let egress = egress_with(to(&receiver), Arc::new(crate::egress::SystemResolver), |limits| limits.set(Limit::HttpConcurrent, 1).expect("within"));
    let short = Duration::from_millis(200);
    let (first, second) = tokio::join!(egress.send(post(b"x"), Instant::now() + short * 10), egress.send(post(b"x"), Instant::now() + short));
    is(first, "timeout");
    is(second, "limit: http_concurrent of 1 reached");
    assert_eq!(egress.permits.available_permits(), 1);
    {
        let mut dropped = Box::pin(egress.send(post(b"x"), soon()));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut dropped).await.is_err());
        assert_eq!(egress.permits.available_permits(), 0);
    }
    assert_eq!(egress.permits.available_permits(), 1, "given back when the guest is dropped");
}
