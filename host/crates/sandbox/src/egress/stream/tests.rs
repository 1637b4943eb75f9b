use std::collections::BTreeMap;
use std::sync::Mutex;

use bulkhead_observe::Metrics;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::egress::client::{Request, SendError};
use crate::egress::redact::MARK;
use crate::egress::tls::TlsSettings;
use crate::egress::tls::pki::{self, Authority};
use crate::egress::tls::tests::{Here, way_out};
use crate::egress::{DestinationSettings, SystemResolver};
use crate::limits::Limits;

/// What a peer does with each connection.
type Peer = fn(TcpStream) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

async fn peer(peer: Peer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(peer(stream));
        }
    });
    port
}

/// Sends back what comes, to the end.
fn echo(mut stream: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> {
    Box::pin(async move {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.map(drop)
    })
}

fn silent(stream: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> {
    Box::pin(async move {
        let _stream = stream;
        std::future::pending().await
    })
}

/// A port where nobody listens.
async fn dead() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound").port()
}

fn to(url: String) -> DestinationSettings {
    DestinationSettings { url, ..DestinationSettings::default() }
}

struct Host {
    egress: Egress,
    bill: Bill,
    metrics: Metrics,
}

fn host(destinations: Vec<(&str, DestinationSettings)>, change: impl FnOnce(&mut Limits)) -> Host {
    let mut limits = Limits::default();
    change(&mut limits);
    let destinations: BTreeMap<String, Destination> = destinations
        .into_iter()
        .map(|(name, settings)| (name.to_owned(), Destination::new(name, settings).unwrap_or_else(|error| panic!("{error}"))))
        .collect();
    let credentials = destinations.values().filter_map(Destination::credential);
    let redactor = credentials.fold(Redactor::default(), |redactor, credential| credential.guard(redactor));
    let metrics = Metrics::new();
    let resolver: Arc<dyn crate::egress::Resolve> =
        if destinations.values().any(|d| matches!(d.host(), HostRule::Name(_))) { Arc::new(Here) } else { Arc::new(SystemResolver) };
    let egress = way_out(destinations, resolver, redactor, limits, &metrics);
    Host { egress, bill: Bill::default(), metrics }
}

const LONG: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + LONG
}

impl Host {
    async fn connect(&self, destination: &str, member: &str) -> Result<Stream, StreamError> {
        self.egress.connect(&self.bill, destination, member, LONG, soon()).await
    }

    async fn say(&self, stream: &mut Stream, text: &str) -> String {
        stream.write(&self.egress, &self.bill, text.as_bytes(), soon()).await.expect("writes");
        let mut got = Vec::new();
        while got.len() < text.len() {
            got.extend(stream.read(&self.egress, &self.bill, 1_000, soon()).await.expect("reads"));
        }
        String::from_utf8(got).expect("text")
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_connection_ends_in_order() {
    let port = peer(echo).await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    assert!(!stream.secure());
    assert_eq!(host.say(&mut stream, "hello").await, "hello");
    assert_eq!(host.say(&mut stream, "again").await, "again");
    stream.write(&host.egress, &host.bill, b"last words", soon()).await.expect("writes");
    stream.finish(soon()).await.expect("finishes");
    stream.finish(soon()).await.expect("twice is once");
    assert_eq!(stream.write(&host.egress, &host.bill, b"x", soon()).await, Err(StreamError::Broken("the sending side was closed by `finish`".into())));
    // At most what was asked for, then the rest, then the end, and that again.
    assert_eq!(stream.read(&host.egress, &host.bill, 4, soon()).await, Ok(b"last".to_vec()));
    assert_eq!(stream.read(&host.egress, &host.bill, 100, soon()).await, Ok(b" words".to_vec()));
    assert_eq!(stream.read(&host.egress, &host.bill, 100, soon()).await, Err(StreamError::Closed));
    assert_eq!(stream.read(&host.egress, &host.bill, 100, soon()).await, Err(StreamError::Closed));
    assert_eq!(
        stream.read(&host.egress, &host.bill, 0, soon()).await.map_err(|error| error.to_string()),
        Err("a read of 0 bytes would bring nothing (rule 6)".into())
    );
    let text = |metrics: &Metrics| String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text(&host.metrics).contains("bulkhead_egress_open_connections{instance=\"siem\"} 1"));
    drop(stream);
    assert!(text(&host.metrics).contains("bulkhead_egress_open_connections{instance=\"siem\"} 0"));
    assert!(text(&host.metrics).contains("bulkhead_egress_connections_total{destination=\"primary\",instance=\"siem\",result=\"connected\"} 1"));
    // One exchange on record, with all bytes of the stream.
    let made = host.bill.take_exchanges();
    assert_eq!((made.listed.len(), made.more), (1, 0));
    let exchange = &made.listed[0];
    assert_eq!((exchange.protocol, exchange.destination.as_str(), exchange.sent, exchange.received), ("tcp", "primary", 20, 20));
    assert_eq!(exchange.address.map(|address| address.port()), Some(port));
}

#[tokio::test]
async fn a_stream_that_goes_on_in_the_next_call_is_on_its_record_too() {
    let port = peer(echo).await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    host.say(&mut stream, "first").await;
    assert_eq!(host.bill.take_exchanges().listed[0].sent, 5);
    host.say(&mut stream, "second").await;
    let made = host.bill.take_exchanges();
    assert_eq!((made.listed.len(), made.listed[0].sent, made.listed[0].received), (1, 6, 6));
    assert_eq!(made.listed[0].address.map(|address| address.port()), Some(port));
}

#[tokio::test]
async fn tls_with_an_authority_and_a_certificate_of_the_destinations_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let acceptor = TlsAcceptor::from(pki::server(&ours.server(&["broker.example"]), Some(&ours), &[&TLS13, &TLS12], &[]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            *count.lock().expect("lock") += stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            tokio::spawn(async move {
                let mut bytes = [0; 100];
                while let Ok(n) = stream.read(&mut bytes).await {
                    if n == 0 {
                        let _ = stream.write_all(b"bye").await;
                        return stream.shutdown().await;
                    }
                    stream.write_all(&bytes[..n]).await?;
                    stream.flush().await?;
                }
                Ok(())
            });
        }
    });
    let (cert, key) = ours.client("bulkhead").write(dir.path(), "client");
    let ca = pki::write(dir.path(), "ca.pem", ours.pem());
    let tls = TlsSettings { ca: Some(ca), client_cert: Some(cert), client_key: Some(key), ..TlsSettings::default() };
    let settings = |tls| DestinationSettings { addresses: vec!["127.0.0.1".into()], tls, ..to(format!("tls://broker.example:{port}")) };
    let untrusting = settings(TlsSettings::default());
    let host = host(vec![("primary", settings(tls)), ("other", untrusting)], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    assert!(stream.secure());
    assert_eq!(host.say(&mut stream, "under TLS").await, "under TLS");
    stream.finish(soon()).await.expect("finishes");
    assert_eq!(stream.read(&host.egress, &host.bill, 100, soon()).await, Ok(b"bye".to_vec()), "the other half is open");
    assert_eq!(stream.read(&host.egress, &host.bill, 100, soon()).await, Err(StreamError::Closed));
    assert_eq!(*seen.lock().expect("lock"), 1, "the client's certificate was asked for and shown");
    assert!(host.bill.take_exchanges().listed[0].certificate.is_some());
    let want = StreamError::Connect("TLS: the receiver's certificate is from an authority that is not trusted here".into());
    assert_eq!(host.connect("other", "").await.expect_err("not trusted"), want);
}

#[tokio::test]
async fn connections_at_the_same_time_are_bounded_and_permits_come_back() {
    let port = peer(silent).await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |limits| limits.set(Limit::TcpConnections, 2).expect("within"));
    let first = host.connect("primary", "").await.expect("connects");
    let _second = host.connect("primary", "").await.expect("connects");
    let error = host.connect("primary", "").await.expect_err("one too many");
    assert_eq!(error.to_string(), "tcp_connections of 2 reached: 3 asked for; raise `limits.tcp_connections` to allow more (rule 6)");
    drop(first);
    let _third = host.connect("primary", "").await.expect("connects again");
    assert_eq!(host.egress.connections().available_permits(), 0);
    drop((_second, _third));
    assert_eq!(host.egress.connections().available_permits(), 2);
    // One that does not come about gives its permit back, too.
    let nobody = dead().await;
    let host = self::host(vec![("primary", to(format!("tcp://127.0.0.1:{nobody}")))], |limits| limits.set(Limit::TcpConnections, 1).expect("within"));
    for _ in 0..3 {
        let error = host.connect("primary", "").await.expect_err("nobody there");
        assert!(matches!(&error, StreamError::Connect(text) if text.contains("refused") && !text.contains("127.0.0.1")), "{error}");
    }
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let port = peer(silent).await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    let short = Duration::from_millis(100);
    let started = std::time::Instant::now();
    assert_eq!(stream.read(&host.egress, &host.bill, 10, Instant::now() + short).await, Err(StreamError::Timeout));
    assert_eq!(stream.read(&host.egress, &host.bill, 10, Instant::now() + short).await, Err(StreamError::Timeout), "a read can be tried again");
    // The peer never reads: its window and our buffers fill.
    let flood = vec![b'x'; 16 << 20];
    let mut result = Ok(());
    for _ in 0..8 {
        result = stream.write(&host.egress, &host.bill, &flood, Instant::now() + short).await;
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(StreamError::Timeout));
    assert_eq!(stream.write(&host.egress, &host.bill, b"x", soon()).await, Err(StreamError::Broken("an earlier write did not come to its end".into())));
    assert!((short * 3..LONG).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(
        until(Duration::ZERO, soon()).expect_err("no time").to_string(),
        "a timeout of 0 leaves no time; the call's own deadline bounds a longer one (rule 6)"
    );
    assert!(until(Duration::from_millis(u32::MAX.into()), Instant::now() + short).expect("bounded") <= Instant::now() + short);
    // A TLS handshake that the peer never answers ends, too.
    let settings = DestinationSettings { tls: TlsSettings { unverified: true, ..TlsSettings::default() }, ..to(format!("tls://127.0.0.1:{port}")) };
    let host = self::host(vec![("primary", settings)], |_| {});
    let started = std::time::Instant::now();
    assert_eq!(host.egress.connect(&host.bill, "primary", "", short, soon()).await.expect_err("no answer"), StreamError::Timeout);
    assert!((short..LONG).contains(&started.elapsed()));
}

#[tokio::test]
async fn a_trickle_is_read_as_it_comes() {
    let port = peer(|mut stream| {
        Box::pin(async move {
            for byte in b"slowly" {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        })
    })
    .await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    let (mut got, mut reads) = (Vec::new(), 0);
    loop {
        match stream.read(&host.egress, &host.bill, 1_000, soon()).await {
            Ok(bytes) => {
                got.extend(bytes);
                reads += 1;
            }
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(got, b"slowly");
    assert!(reads > 1, "a read answers with what is there");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_by_number() {
    let port = peer(echo).await;
    let tcp = DestinationSettings { members: vec!["broker-*.acme.example:9092".into()], ..to(format!("tcp://127.0.0.1:{port}")) };
    let inside = DestinationSettings { addresses: vec!["10.0.0.0/8".into()], ..to(format!("tcp://siem.example:{port}")) };
    let host =
        host(vec![("primary", tcp), ("web", to("https://h.example".into())), ("inside", inside), ("public", to(format!("tcp://siem.example:{port}")))], |_| {});
    for (destination, member, rule, want) in [
        ("nowhere", "", 1, "no destination `nowhere`; granted: inside, primary, public, web"),
        ("web", "", 2, "destination `web` is https://, which `tcp` does not speak"),
        ("primary", "broker-1", 3, "member `broker-1` is in a form that can be misread; its one form is broker-1:80"),
        ("primary", "BROKER-1.acme.example:9092", 3, "its one form is broker-1.acme.example:9092"),
        ("primary", "broker-1.acme.example:9093", 4, "member `broker-1.acme.example:9093` is not among the `members` of destination `primary`"),
        ("primary", "127.0.0.1:22", 4, "member `127.0.0.1:22` is not among"),
        ("inside", "10.0.0.1:9092", 4, "is not among the `members` of destination `inside`"),
        // A member that matches leads to an address that is not granted.
        ("primary", "broker-1.acme.example:9092", 7, "destination `primary` leads to 127.0.0.1, a loopback address"),
        ("inside", "", 7, "destination `inside` leads to 127.0.0.1, which is in none of its `addresses`"),
        ("public", "", 7, "destination `public` leads to 127.0.0.1, a loopback address; add its network to `addresses` to allow it"),
    ] {
        let StreamError::Refused(refusal) = host.connect(destination, member).await.expect_err(want) else { panic!("{want}") };
        assert_eq!(refusal.rule, rule, "{refusal}");
        assert!(refusal.text.contains(want), "{refusal}; want {want}");
    }
    let refused = SendError::Refused(Refusal::denied(2, "destination `primary` is tcp://, which `http` does not speak"));
    let request = Request { destination: "primary".into(), method: "GET".into(), path: "/".into(), ..Request::default() };
    assert_eq!(host.egress.send(request, soon()).await.expect_err("no HTTP"), refused);
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_connections_total{destination=\"none\",instance=\"siem\",result=\"denied\"} 1"), "{text}");
}

#[tokio::test]
async fn members_are_reached_under_their_own_names() {
    let (first, second) = (peer(echo).await, peer(echo).await);
    let settings = DestinationSettings {
        members: vec![format!("broker-*.acme.example:{second}"), format!("localhost:{second}"), format!("127.0.0.1:{second}")],
        addresses: vec!["127.0.0.0/8".into()],
        ..to(format!("tcp://bootstrap.acme.example:{first}"))
    };
    let host = host(vec![("kafka", settings)], |limits| limits.set(Limit::TcpConnections, 8).expect("within"));
    for (member, port) in [
        (String::new(), first),
        (format!("broker-7.acme.example:{second}"), second),
        (format!("localhost:{second}"), second),
        (format!("127.0.0.1:{second}"), second),
    ] {
        let mut stream = host.connect("kafka", &member).await.expect("connects");
        assert_eq!(host.say(&mut stream, "hi").await, "hi");
        assert_eq!(host.bill.take_exchanges().listed[0].address.map(|address| address.port()), Some(port), "{member}");
    }
}

#[tokio::test]
async fn the_next_url_is_tried_only_where_nothing_was_sent() {
    // Streams: the dead one is passed over, the good one remembered.
    let (nobody, port) = (dead().await, peer(echo).await);
    let several = |scheme: &str, ports: &[u16]| DestinationSettings {
        urls: ports.iter().map(|port| format!("{scheme}://127.0.0.1:{port}")).collect(),
        ..DestinationSettings::default()
    };
    let host = host(vec![("primary", several("tcp", &[nobody, port])), ("none", several("tcp", &[nobody, nobody]))], |_| {});
    assert_eq!(host.egress.good("primary"), 0);
    let mut stream = host.connect("primary", "").await.expect("connects");
    assert_eq!(host.say(&mut stream, "here").await, "here");
    assert_eq!(host.egress.good("primary"), 1);
    assert!(matches!(host.connect("none", "").await, Err(StreamError::Connect(_))));
    // HTTP.
    let answering = peer(|mut stream| {
        Box::pin(async move {
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await?;
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await
        })
    })
    .await;
    let hanging_up = peer(|mut stream| {
        Box::pin(async move {
            let mut head = [0; 4_096];
            stream.read(&mut head).await.map(drop)
        })
    })
    .await;
    let host = self::host(vec![("primary", several("http", &[nobody, answering])), ("seen", several("http", &[hanging_up, answering]))], |_| {});
    let post =
        |destination: &str| Request { destination: destination.into(), method: "POST".into(), path: "/in".into(), body: b"{}".to_vec(), ..Request::default() };
    for _ in 0..2 {
        assert_eq!(host.egress.send(post("primary"), soon()).await.expect("answers").status, 204);
        assert_eq!(host.egress.good("primary"), 1);
    }
    // The first place may have seen the request: it is not sent again.
    assert!(matches!(host.egress.send(post("seen"), soon()).await, Err(SendError::Broken(_))));
    assert_eq!(host.egress.good("seen"), 0);
}

#[tokio::test]
async fn a_secret_that_is_echoed_in_pieces_is_not_seen() {
    const SECRET: &str = "hunter2-secret-token";
    let port = peer(|mut stream| {
        Box::pin(async move {
            stream.set_nodelay(true)?;
            stream.write_all(b"you said ").await?;
            for byte in SECRET.as_bytes() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stream.write_all(b" didn't you").await
        })
    })
    .await;
    let credential = Credential::bearer("token", secrecy::SecretString::from(SECRET.to_owned())).expect("valid");
    let settings = DestinationSettings { credential: Some(Arc::new(credential)), ..to(format!("tcp://127.0.0.1:{port}")) };
    let host = host(vec![("primary", settings)], |_| {});
    let mut stream = host.connect("primary", "").await.expect("connects");
    let mut got = Vec::new();
    while let Ok(bytes) = stream.read(&host.egress, &host.bill, 3, soon()).await {
        got.extend(bytes);
    }
    assert_eq!(String::from_utf8_lossy(&got), format!("you said {MARK} didn't you"));
}

#[tokio::test]
async fn bytes_of_a_minute_are_bounded_both_ways() {
    let port = peer(echo).await;
    let host = host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |limits| {
        limits.set(Limit::BytesOut, 100).expect("within");
        limits.set(Limit::BytesIn, 50).expect("within");
    });
    let mut stream = host.connect("primary", "").await.expect("connects");
    assert_eq!(host.say(&mut stream, &"x".repeat(60)).await.len(), 60);
    let Err(StreamError::Busy(text)) = stream.write(&host.egress, &host.bill, b"x", soon()).await else { panic!("it came back too much") };
    assert!(text.starts_with("destination `primary`: bytes_in of 50 bytes reached: 60 bytes asked for; raise `limits.bytes_in`"), "{text}");
    let host = self::host(vec![("primary", to(format!("tcp://127.0.0.1:{port}")))], |limits| limits.set(Limit::BytesOut, 100).expect("within"));
    let mut stream = host.connect("primary", "").await.expect("connects");
    assert_eq!(host.say(&mut stream, &"x".repeat(60)).await.len(), 60);
    let Err(StreamError::Busy(text)) = stream.write(&host.egress, &host.bill, &[b'x'; 41], soon()).await else { panic!("it sent too much") };
    assert!(text.starts_with("destination `primary`: bytes_out of 100 bytes reached: 101 bytes asked for; raise `limits.bytes_out`"), "{text}");
    // Nothing of it was written: the stream is as it was.
    assert_eq!(host.say(&mut stream, &"x".repeat(40)).await.len(), 40);
}
