//! H48 and H49 as they are in the field: names that change their mind and peers that go away, over TLS, the
//! second of them in HTTP/2 frames written by hand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings, TlsSettings};
use rustls::ServerConfig;
use rustls::version::TLS13;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::streams::pki::{self, Authority};
use crate::toolkit::probe::Ask;
use crate::toolkit::{Host, NOW, Rebinding, SECONDS, bounded, lock};

/// An authority with a folder that its certificate lies in.
fn authority() -> (Authority, TempDir, TlsSettings) {
    // For the HTTP client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (authority, dir) = (Authority::new("ours"), tempfile::tempdir().expect("a folder"));
    let tls = TlsSettings { ca: Some(pki::write(dir.path(), "ca.pem", authority.pem())), ..TlsSettings::default() };
    (authority, dir, tls)
}

fn grants(url: String, addresses: &[&str], tls: &TlsSettings) -> ConnectorGrants {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    let settings = DestinationSettings { url, addresses, tls: tls.clone(), ..DestinationSettings::default() };
    ConnectorGrants { destinations: vec![Destination::new("primary", settings).expect("valid")], ..ConnectorGrants::default() }
}

/// Names that clients asked for, one for each handshake that came about.
type Names = Arc<Mutex<Vec<String>>>;

/// Answers one request of each connection and closes it.
async fn closing(address: &str, port: u16, config: Arc<ServerConfig>) -> (u16, Names) {
    let listener = TcpListener::bind((address, port)).await.expect("binds");
    let (port, names, acceptor) = (listener.local_addr().expect("bound").port(), Names::default(), TlsAcceptor::from(config));
    let seen = Arc::clone(&names);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            lock(&seen).push(stream.get_ref().1.server_name().unwrap_or_default().to_owned());
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\nx") && stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine").await;
            let _ = stream.shutdown().await;
        }
    });
    (port, names)
}

/// The check is made for each connection before a byte of TLS is spoken, and the certificate is held against
/// the operator's name, whatever address the name has by now.
#[tokio::test]
async fn h48_over_tls_address_and_name_are_checked_for_each_connection() {
    let (authority, _dir, tls) = authority();
    let right = pki::server(&authority.server(&["siem.example"]), None, &[&TLS13], &[]);
    let wrong = pki::server(&authority.server(&["other.example"]), None, &[&TLS13], &[]);
    let (port, names) = closing("127.0.0.1", 0, right).await;
    let (_, elsewhere) = closing("127.0.0.2", port, wrong).await;
    let twice = [Ask::default(), Ask::default()];
    for (granted, second, want) in [
        (&["127.0.0.1/32"][..], &["127.0.0.2"][..], "denied: destination `primary` leads to 127.0.0.2, which is in none of its `addresses` (rule 7)"),
        (
            &["127.0.0.1/32"],
            &["127.0.0.1", "169.254.169.254"],
            "denied: destination `primary` leads to 169.254.169.254, a cloud metadata address; `allow_metadata` would allow it (rule 7)",
        ),
        // Granted, and somebody else's: it gets nothing, since it cannot show the name's certificate.
        (&["127.0.0.0/8"], &["127.0.0.2"], "connect: TLS: the receiver's certificate is for another name"),
    ] {
        lock(&names).clear();
        let resolver = Rebinding::new(&[&["127.0.0.1"], second]);
        let host = Host::with(|settings| settings.resolver = Arc::clone(&resolver) as _);
        let told = bounded(NOW, SECONDS, host.sends(grants(format!("https://siem.example:{port}"), granted, &tls), &twice)).await;
        assert_eq!(told, ["200 w fine", want]);
        assert_eq!((lock(&names).as_slice(), resolver.asked()), (&["siem.example".to_owned()][..], 2), "asked by name, once for each connection");
    }
    assert!(lock(&elsewhere).is_empty(), "no handshake with the other one came about");
}

/// What the peer does with a request that it has read to its end (frames: RFC 9113 §6).
#[derive(Debug, Clone, Copy)]
enum Turn {
    Answer,
    /// GOAWAY with this last stream and code, then the connection closes.
    GoAway {
        last: u32,
        code: u32,
    },
    /// GOAWAY that leaves the request in, then its answer.
    GoAwayAndAnswer,
    /// RST_STREAM with this code.
    Reset(u32),
}

/// An HTTP/2 peer: connections, and requests that it has read whole.
struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

async fn peer(config: Arc<ServerConfig>, turns: &'static [Turn]) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let peer = Peer { port: listener.local_addr().expect("bound").port(), connections: Arc::default(), requests: Arc::default() };
    let (connections, requests, acceptor) = (Arc::clone(&peer.connections), Arc::clone(&peer.requests), TlsAcceptor::from(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (requests, acceptor) = (Arc::clone(&requests), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                // The guest's side is what is looked at.
                let _ = speak(stream, turns, &requests).await;
            });
        }
    });
    peer
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// `:status: 200` is entry 8 of the static table (RFC 7541, appendix A); headers and stream end here.
fn answer(stream: u32) -> Vec<u8> {
    frame(1, 0x5, stream, &[0x88])
}

async fn speak(mut stream: TlsStream<TcpStream>, turns: &[Turn], requests: &AtomicUsize) -> std::io::Result<()> {
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        match (head[3], head[4] & 1) {
            // Settings are acknowledged, pings answered.
            (4, 0) => stream.write_all(&frame(4, 1, 0, &[])).await?,
            (6, 0) => stream.write_all(&frame(6, 1, 0, &payload)).await?,
            // Headers or data with the end of the request.
            (0 | 1, 1) => {
                let turn = turns[requests.fetch_add(1, Ordering::SeqCst).min(turns.len() - 1)];
                match turn {
                    Turn::Answer => stream.write_all(&answer(id)).await?,
                    Turn::GoAway { last, code } => {
                        stream.write_all(&go_away(last, code)).await?;
                        return stream.shutdown().await;
                    }
                    Turn::GoAwayAndAnswer => stream.write_all(&[go_away(id, 0), answer(id)].concat()).await?,
                    Turn::Reset(code) => stream.write_all(&frame(3, 0, id, &code.to_be_bytes())).await?,
                }
                stream.flush().await?;
            }
            _ => {}
        }
    }
}

/// A peer may say that it has not looked at a request, which a client could take as leave to send it again.
/// Ours does not: the connector hears of it and decides.
#[tokio::test]
async fn h49_a_peer_that_goes_away_in_http_2_gets_nothing_twice() {
    let (authority, _dir, tls) = authority();
    let server = pki::server(&authority.server(&["localhost"]), None, &[&TLS13], &[b"h2"]);
    let host = Host::default();
    let to = |peer: &Peer| grants(format!("https://localhost:{}", peer.port), &[], &tls);
    let cases: [(&'static [Turn], &str); 4] = [
        (&[Turn::GoAway { last: 0, code: 0 }], "broken: "),
        (&[Turn::GoAway { last: 1, code: 2 }], "broken: "),
        (&[Turn::Reset(7)], "broken: stream error received: refused stream before processing any application logic"),
        (&[Turn::Reset(11)], "broken: stream error received: detected excessive load generating behavior"),
    ];
    for (turns, want) in cases {
        let peer = peer(Arc::clone(&server), turns).await;
        let told = bounded(NOW, SECONDS, host.send(to(&peer), &Ask::default())).await;
        assert!(told.starts_with(want), "{turns:?}: {told}");
        assert_eq!((peer.connections.load(Ordering::SeqCst), peer.requests.load(Ordering::SeqCst)), (1, 1), "{turns:?}: {told}");
    }
    // It takes the request and no more: the answer counts, and the next request finds another connection.
    let last = peer(Arc::clone(&server), &[Turn::GoAwayAndAnswer, Turn::Answer]).await;
    let told = bounded(NOW, SECONDS, host.sends(to(&last), &[Ask::default(), Ask::default()])).await;
    assert_eq!(told, ["200 w ", "200 w "]);
    assert_eq!((last.connections.load(Ordering::SeqCst), last.requests.load(Ordering::SeqCst)), (2, 2));
    // Refused once, and the connection goes on for the next one.
    let refusing = peer(server, &[Turn::Reset(7), Turn::Answer]).await;
    let told = bounded(NOW, SECONDS, host.sends(to(&refusing), &[Ask::default(), Ask::default()])).await;
    assert!(told[0].starts_with("broken: ") && told[1] == "200 w ", "{told:?}");
    assert_eq!((refusing.connections.load(Ordering::SeqCst), refusing.requests.load(Ordering::SeqCst)), (1, 2));
}
