use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use bulkhead_core::{BoxFuture, SystemClock};
use bulkhead_observe::Metrics;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

use super::pki::{self, Authority, Pair};
use super::*;
use crate::egress::client::{Egress, Request, SendError};
use crate::egress::places::Places;
use crate::egress::redact::Redactor;
use crate::egress::{Destination, DestinationError, DestinationSettings, Resolve};
use crate::limits::{Limits, Watch};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Every name is this machine.
pub(crate) struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Ok(vec![IpAddr::from([127, 0, 0, 1])])))
    }
}

/// Answers every request of every connection with 204; keeps the certificates that clients showed.
async fn serve(config: Arc<ServerConfig>) -> (u16, Arc<Mutex<Vec<Option<Vec<u8>>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (port, seen) = (listener.local_addr().expect("bound").port(), Arc::new(Mutex::new(Vec::new())));
    let (acceptor, kept) = (TlsAcceptor::from(config), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
                kept.lock().expect("lock").push(shown);
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|n| n > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                        let _ = stream.flush().await;
                    }
                }
            });
        }
    });
    (port, seen)
}

fn settings(port: u16, tls: TlsSettings) -> DestinationSettings {
    DestinationSettings { url: format!("https://siem.example:{port}"), addresses: vec!["127.0.0.0/8".into()], tls, ..DestinationSettings::default() }
}

/// A way out that counts in these metrics.
pub(crate) fn way_out(
    destinations: BTreeMap<String, Destination>,
    resolver: Arc<dyn Resolve>,
    redactor: Redactor,
    limits: Limits,
    metrics: &Metrics,
) -> Egress {
    let watch = Watch::new(limits.into(), metrics.guest("siem", "evil"), Arc::new(SystemClock::default()));
    Egress::new("siem", destinations, resolver, Arc::new(redactor), watch.into(), Places::default(), metrics.clone())
}

fn egress(settings: DestinationSettings) -> Egress {
    let destination = Destination::new("primary", settings).unwrap_or_else(|error| panic!("{error}"));
    let destinations = BTreeMap::from([("primary".to_owned(), destination)]);
    way_out(destinations, Arc::new(Here), Redactor::default(), Limits::default(), &Metrics::new())
}

async fn ask(egress: &Egress) -> Result<u16, String> {
    let request = Request { destination: "primary".into(), method: "GET".into(), path: "/".into(), ..Request::default() };
    match egress.send(request, Instant::now() + Duration::from_secs(20)).await {
        Ok(response) => Ok(response.status),
        // With TLS 1.3 a server refuses a client's certificate after the client has begun to send.
        Err(SendError::Broken(text)) => Err(format!("broken: {text}")),
        Err(error) => Err(error.to_string()),
    }
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    fn trusting(&self, authority: &Authority) -> TlsSettings {
        TlsSettings { ca: Some(pki::write(self.dir.path(), "ca.pem", authority.pem())), ..TlsSettings::default() }
    }

    fn showing(&self, pair: &Pair, name: &str, trusting: TlsSettings) -> TlsSettings {
        let (cert, key) = pair.write(self.dir.path(), name);
        TlsSettings { client_cert: Some(cert), client_key: Some(key), ..trusting }
    }
}

#[tokio::test]
async fn receivers_are_believed_only_with_the_right_certificate() {
    let files = Files::new();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let good = ours.server(&["siem.example"]);
    let trusting = files.trusting(&ours);
    let only_13 = TlsSettings { min_version: Some("1.3".into()), ..trusting.clone() };
    let anybody = TlsSettings { unverified: true, ..TlsSettings::default() };
    let untrusted = "no connection: TLS: the receiver's certificate is from an authority that is not trusted here";
    for (name, server, tls, want) in [
        ("its own authority", pki::server(&good, None, BOTH, &[]), &trusting, Ok(204)),
        ("TLS 1.3", pki::server(&good, None, &[&TLS13], &[]), &only_13, Ok(204)),
        ("TLS 1.2", pki::server(&good, None, &[&TLS12], &[]), &trusting, Ok(204)),
        ("too old", pki::server(&good, None, &[&TLS12], &[]), &only_13, Err("no connection: TLS: received fatal alert: ProtocolVersion")),
        ("the machine's authorities", pki::server(&good, None, BOTH, &[]), &TlsSettings::default(), Err(untrusted)),
        ("not in the list", pki::server(&others.server(&["siem.example"]), None, BOTH, &[]), &trusting, Err(untrusted)),
        ("self-signed", pki::server(&pki::self_signed(&["siem.example"]), None, BOTH, &[]), &trusting, Err(untrusted)),
        (
            "expired",
            pki::server(&ours.expired(&["siem.example"]), None, BOTH, &[]),
            &trusting,
            Err("no connection: TLS: the receiver's certificate has expired"),
        ),
        (
            "another name",
            pki::server(&ours.server(&["other.example"]), None, BOTH, &[]),
            &trusting,
            Err("no connection: TLS: the receiver's certificate is for another name"),
        ),
        (
            "its address",
            pki::server(&ours.server(&["127.0.0.1"]), None, BOTH, &[]),
            &trusting,
            Err("no connection: TLS: the receiver's certificate is for another name"),
        ),
        ("bad ALPN", pki::server(&good, None, BOTH, &[b"acme-tls/1"]), &trusting, Err("no connection: TLS: received fatal alert: NoApplicationProtocol")),
        ("anybody", pki::server(&pki::self_signed(&["evil.example"]), None, BOTH, &[]), &anybody, Ok(204)),
        ("anybody, expired, TLS 1.2", pki::server(&ours.expired(&["evil.example"]), None, &[&TLS12], &[]), &anybody, Ok(204)),
    ] {
        let (port, _) = serve(server).await;
        assert_eq!(ask(&egress(settings(port, tls.clone()))).await, want.map_err(str::to_owned), "{name}");
    }
}

#[tokio::test]
async fn versions_before_1_2_are_never_spoken() {
    for version in [0x0301, 0x0302] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut hello = [0; 4_096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(&pki::old_hello(version)).await;
            let _ = stream.read(&mut hello).await;
        });
        // Not even where anybody would do.
        let egress = egress(settings(port, TlsSettings { unverified: true, ..TlsSettings::default() }));
        let want = "no connection: TLS: peer is incompatible: ServerDoesNotSupportTls12Or13";
        assert_eq!(ask(&egress).await, Err(want.to_owned()), "{version:x}");
    }
}

#[tokio::test]
async fn each_destination_shows_its_own_certificate_and_no_other() {
    let files = Files::new();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (port, seen) = serve(pki::server(&ours.server(&["siem.example"]), Some(&ours), BOTH, &[])).await;
    let trusting = files.trusting(&ours);
    let (a, b) = (ours.client("a.example"), ours.client("b.example"));
    let with_a = files.showing(&a, "a", trusting.clone());
    let destinations = [("a", with_a.clone()), ("b", files.showing(&b, "b", trusting.clone())), ("none", trusting.clone())];
    let destinations: BTreeMap<_, _> =
        destinations.into_iter().map(|(name, tls)| (name.to_owned(), Destination::new(name, settings(port, tls)).expect("valid"))).collect();
    let egress = way_out(destinations, Arc::new(Here), Redactor::default(), Limits::default(), &Metrics::new());
    let soon = || Instant::now() + Duration::from_secs(20);
    let to = |name: &str| Request { destination: name.into(), method: "GET".into(), path: "/".into(), ..Request::default() };
    // Twice, so that sessions and kept connections could serve the wrong one.
    for _ in 0..2 {
        for name in ["a", "b"] {
            assert_eq!(egress.send(to(name), soon()).await.expect("answers").status, 204);
        }
        assert!(egress.send(to("none"), soon()).await.is_err());
    }
    let der = |pair: &Pair| Some(CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("PEM").to_vec());
    assert_eq!(*seen.lock().expect("lock"), [der(&a), der(&b)], "one connection each, kept for its own destination");
    let stranger = egress_of(port, files.showing(&others.client("a.example"), "stranger", trusting));
    assert!(ask(&stranger).await.expect_err("a stranger").contains("UnknownCA"), "{:?}", ask(&stranger).await);
}

fn egress_of(port: u16, tls: TlsSettings) -> Egress {
    egress(settings(port, tls))
}

#[test]
fn settings_that_cannot_work_name_their_key() {
    let files = Files::new();
    let dir = files.dir.path();
    let ours = Authority::new("ours");
    let (pair, other) = (ours.client("a.example"), ours.client("b.example"));
    let (cert, key) = pair.write(dir, "a");
    let (_, other_key) = other.write(dir, "b");
    let (empty, garbage, nowhere) =
        (pki::write(dir, "empty.pem", ""), pki::write(dir, "garbage.pem", "-----BEGIN CERTIFICATE-----\n!\n"), dir.join("none.pem"));
    let with = |change: &dyn Fn(&mut TlsSettings)| {
        let mut tls = TlsSettings::default();
        change(&mut tls);
        Destination::new("primary", settings(443, tls))
    };
    let check = |change: &dyn Fn(&mut TlsSettings), key: &str, want: &str| {
        let DestinationError { key: found, problem, .. } = with(change).expect_err(want);
        assert_eq!(found, key, "{problem}");
        assert!(problem.contains(want), "{problem}; want {want}");
    };
    check(&|tls| tls.min_version = Some("1.1".into()), "tls.min_version", "is neither \"1.2\" nor \"1.3\"");
    check(&|tls| tls.ca = Some(nowhere.clone()), "tls.ca", "none.pem, which cannot be read: No such file");
    check(&|tls| tls.ca = Some(empty.clone()), "tls.ca", "has no certificate in PEM form");
    check(&|tls| tls.ca = Some(garbage.clone()), "tls.ca", "damaged PEM section");
    check(&|tls| tls.ca = Some(key.clone()), "tls.ca", "has no certificate in PEM form");
    check(&|tls| tls.client_cert = Some(cert.clone()), "tls.client_cert", "has no `tls.client_key` beside it");
    check(&|tls| tls.client_key = Some(key.clone()), "tls.client_key", "has no `tls.client_cert` beside it");
    let both = |tls: &mut TlsSettings, cert: &PathBuf, key: &PathBuf| (tls.client_cert, tls.client_key) = (Some(cert.clone()), Some(key.clone()));
    check(&|tls| both(tls, &cert, &other_key), "tls.client_key", "is not the key of the certificate");
    check(&|tls| both(tls, &cert, &cert), "tls.client_key", "no private key in PEM form");
    check(&|tls| both(tls, &key, &key), "tls.client_cert", "no certificate in PEM form");
    check(&|tls| both(tls, &nowhere, &key), "tls.client_cert", "cannot be read");
    let ca = pki::write(dir, "ca.pem", ours.pem());
    check(&|tls| (tls.ca, tls.unverified) = (Some(ca.clone()), true), "verify", "never be looked at");
    let plain = |tls: TlsSettings| Destination::new("primary", DestinationSettings { url: "http://h.example".into(), tls, ..DestinationSettings::default() });
    let error = plain(TlsSettings { unverified: true, ..TlsSettings::default() }).expect_err("no TLS");
    assert_eq!(error.to_string(), "destination `primary`: `verify` has no meaning for http://; it is for https and tls");
    let error = plain(TlsSettings { ca: Some(ca.clone()), ..TlsSettings::default() }).expect_err("no TLS");
    assert_eq!(error.to_string(), "destination `primary`: `tls` has no meaning for http://; it is for https and tls");
    let good = with(&|tls| both(tls, &cert, &key)).expect("valid");
    // Nothing of the key is ever shown.
    assert!(!format!("{good:?} {:?}", good.tls()).contains("PRIVATE"));
}

#[test]
fn a_new_file_under_the_same_name_is_another_identity() {
    let files = Files::new();
    let ours = Authority::new("ours");
    let digest = |tls: &TlsSettings| Destination::new("primary", settings(443, tls.clone())).expect("valid").tls().digest();
    let tls = files.showing(&ours.client("a.example"), "a", files.trusting(&ours));
    let first = digest(&tls);
    assert_eq!(first, digest(&tls));
    assert_ne!(first, digest(&files.showing(&ours.client("a.example"), "a", tls.clone())), "another certificate");
    let renewed = digest(&tls);
    files.trusting(&Authority::new("ours"));
    assert_ne!(renewed, digest(&tls), "another authority of the same name");
    assert_ne!(digest(&tls), digest(&TlsSettings { min_version: Some("1.3".into()), ..tls.clone() }));
}
