//! Syslog over TLS (RFC 5425, RFC 9662): who gets in, who does not, and what renewed certificates change.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bulkhead_tests::{skip::skip, wait};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::Value;

use crate::pki::{self, Authority, Pair};
use crate::story::{PATIENCE, Story, binary, file};
use crate::syslog::{ARCHIVE, addr, arrived};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A listener that wants certificates of its own authority.
struct Setup {
    story: Story,
    addr: SocketAddr,
    authority: Authority,
    pki: tempfile::TempDir,
}

impl Setup {
    fn new(more: &str) -> Self {
        let pki = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("senders");
        authority.server(&["localhost"]).write(pki.path(), "server");
        pki::write(pki.path(), "ca.pem", authority.pem());
        let dir = pki.path().display();
        let listener = format!("{{proto: tls, addr: 127.0.0.1:0, cert: {dir}/server.pem, key: {dir}/server.key, client_ca: {dir}/ca.pem{more}}}");
        let listen = format!(r#"{{api: "127.0.0.1:0", http: "127.0.0.1:0", syslog: [{listener}]}}"#);
        let story = Story::listening(&listen, &format!("instances:\n{}{ARCHIVE}", file("archive")));
        Self { addr: addr(&story), story, authority, pki }
    }

    /// A sender of this name whom the listener trusts.
    fn sender(&self, name: &str) -> Tls {
        connect(self.addr, &self.authority, Some(&self.authority.client(name)), &[&TLS12, &TLS13]).expect("gets in")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.pki.path().join(name)
    }

    fn refused(&self, cause: &str, count: f64) {
        self.story
            .when("connections are refused", |scrape| scrape.sum("bulkhead_requests_refused_total", &[("listener", "syslog-tls"), ("reason", cause)]) >= count);
    }
}

/// A connection on which one byte was read or the peer said that it is in: in TLS 1.3 a client believes
/// to be in before the server has looked at its certificate.
pub fn connect(addr: SocketAddr, trusts: &Authority, shows: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> std::io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.pem().as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
    let config = match shows {
        Some(pair) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM"),
            )
            .expect("fits"),
        None => builder.with_no_client_auth(),
    };
    let session = ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name")).expect("a session");
    let mut stream = StreamOwned::new(session, TcpStream::connect(addr)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn counted(message: &str) -> String {
    format!("{} {message}", message.len())
}

#[test]
fn a_sender_is_known_by_its_certificate_and_both_framings_are_taken() {
    let setup = Setup::new("");
    let mut stream = setup.sender("fw-1.example");
    let first = "<13>1 - host app - - - first\nline of two";
    writeln!(stream, "{}<13>1 - host app - - - second", counted(first)).expect("writes");
    stream.conn.send_close_notify();
    stream.flush().expect("flushes");
    let records = arrived(&setup.story, 2, "syslog-tls");
    assert_eq!((&records[0]["data"]["message"], &records[0]["data"]["peer_name"]), (&"first\nline of two".into(), &"fw-1.example".into()));
    assert_eq!((&records[1]["data"]["message"], &records[1]["data"]["peer"]), (&"second".into(), &"127.0.0.1".into()));
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    // It says goodbye, too (RFC 5425 §4.4): reading ends without an error.
    assert_eq!(stream.read(&mut [0; 16]).expect("a close_notify"), 0);
}

#[test]
fn strangers_plain_text_old_versions_and_silence_do_not_get_in() {
    let setup = Setup::new(", min_version: 1.3, handshake_timeout: 300ms");
    let write = |stream: std::io::Result<Tls>| stream.and_then(|mut stream| stream.write_all(b"<13>nobody asked\n").and_then(|()| stream.read(&mut [0; 1])));
    let other = Authority::new("others");
    assert!(write(connect(setup.addr, &setup.authority, Some(&other.client("fw-2.example")), &[&TLS13])).is_err(), "of another authority");
    setup.refused("handshake", 1.0);
    assert!(write(connect(setup.addr, &setup.authority, None, &[&TLS13])).is_err(), "no certificate");
    setup.refused("handshake", 2.0);
    assert!(connect(setup.addr, &setup.authority, Some(&setup.authority.client("fw-1.example")), &[&TLS12]).is_err(), "TLS 1.2");
    setup.refused("handshake", 3.0);
    assert!(connect(setup.addr, &other, Some(&setup.authority.client("fw-1.example")), &[&TLS13]).is_err(), "the sender does not trust the listener");
    setup.refused("handshake", 4.0);
    let mut plain = TcpStream::connect(setup.addr).expect("connects");
    plain.write_all(b"<13>in the clear\n").expect("writes");
    setup.refused("handshake", 5.0);
    let silent = TcpStream::connect(setup.addr).expect("connects");
    setup.refused("handshake", 6.0);
    let log = setup.story.host.log();
    assert!(log.contains("longer than 300ms (handshake_timeout)"), "{log}");
    assert!(!log.contains("in the clear"), "no content in the log");
    drop(silent);
    // None of it hurt the others.
    let mut stream = setup.sender("fw-1.example");
    stream.write_all(counted("<13>1 - host app - - - here").as_bytes()).expect("writes");
    let records = arrived(&setup.story, 1, "syslog-tls");
    assert_eq!((records.len(), &records[0]["data"]["message"]), (1, &"here".into()));
}

#[test]
fn what_was_cut_off_is_no_message() {
    let setup = Setup::new(", framing: newline");
    let mut stream = setup.sender("fw-1.example");
    stream.write_all(b"<13>whole\n<13>wire $1000 to ada").expect("writes");
    stream.flush().expect("flushes");
    // The connection goes without a close_notify: the rest of the line may be missing.
    stream.sock.shutdown(std::net::Shutdown::Both).expect("cut");
    setup.refused("connection", 1.0);
    let records = arrived(&setup.story, 1, "syslog-tls");
    assert_eq!((records.len(), &records[0]["data"]["message"]), (1, &"whole".into()));
    assert!(setup.story.host.log().contains("without saying so"), "{}", setup.story.host.log());
}

#[test]
fn renewed_certificates_count_for_new_connections_and_cut_none() {
    let setup = Setup::new("");
    let mut old = setup.sender("fw-1.example");
    old.write_all(counted("<13>1 - - - - - - before").as_bytes()).expect("writes");
    arrived(&setup.story, 1, "syslog-tls");

    // A pair that does not fit changes nothing.
    let next = Authority::new("next");
    let server = next.server(&["localhost"]);
    pki::write(setup.pki.path(), "server.pem", &server.cert);
    setup.story.host.signal(Signal::HUP).expect("signalled");
    wait::until("the reload is refused", PATIENCE, || Ok(setup.story.host.log().contains("is not the key of the certificate").then_some(()))).expect("refused");
    setup.sender("fw-1.example");

    server.write(setup.pki.path(), "server");
    pki::write(setup.pki.path(), "ca.pem", next.pem());
    setup.story.host.signal(Signal::HUP).expect("signalled");
    wait::until("the reload is done", PATIENCE, || Ok(setup.story.host.log().contains("TLS of the syslog listener renewed").then_some(()))).expect("renewed");
    assert!(!setup.story.host.log().contains("wait for a restart"));

    old.write_all(counted("<13>1 - - - - - - after").as_bytes()).expect("the old connection stands");
    let mut new = connect(setup.addr, &next, Some(&next.client("fw-2.example")), &[&TLS13]).expect("the new authority gets in");
    new.write_all(counted("<13>1 - - - - - - new").as_bytes()).expect("writes");
    let records = arrived(&setup.story, 3, "syslog-tls");
    let mut said: Vec<_> = records.iter().map(|record| record["data"]["message"].as_str().expect("text")).collect();
    said.sort_unstable();
    assert_eq!(said, ["after", "before", "new"]);
    let shown = setup.authority.client("fw-1.example");
    let stranger = connect(setup.addr, &next, Some(&shown), &[&TLS13]).and_then(|mut stream| stream.read(&mut [0; 1]));
    assert!(stranger.is_err(), "the old authority does not get in any more");
}

#[test]
fn validate_names_what_is_wrong_with_a_listener() {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("ours");
    authority.server(&["localhost"]).write(dir.path(), "one");
    authority.server(&["localhost"]).write(dir.path(), "two");
    let at = dir.path().display();
    let check = |listener: &str, says: &[&str]| {
        let path = pki::write(dir.path(), "bulkhead.yaml", &format!("data_dir: {at}/data\nlisten: {{syslog: [{listener}]}}\n"));
        let output = Command::new(binary()).args(["validate", "--config"]).arg(path).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        says.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
    };
    check(&format!("{{proto: tls, addr: 127.0.0.1:0, cert: {at}/one.pem, key: {at}/two.key}}"), &["listen.syslog[0].key: is not the key of the certificate"]);
    check(&format!("{{proto: tls, addr: 127.0.0.1:0, cert: {at}/one.key, key: {at}/one.key}}"), &["listen.syslog[0].cert: has no certificate"]);
    check(
        &format!("{{proto: tls, addr: 127.0.0.1:0, cert: {at}/one.pem, key: {at}/one.key, client_ca: {at}/none.pem}}"),
        &["listen.syslog[0].client_ca: names", "none.pem, which cannot be read"],
    );
    check("{proto: tls, addr: 127.0.0.1:0}", &["`tls` needs `cert` and `key`"]);
    check(&format!("{{proto: tcp, addr: 127.0.0.1:0, cert: {at}/one.pem, key: {at}/one.key}}"), &["listen.syslog[0].cert: has no meaning with `proto: tcp`"]);
    check(&format!("{{proto: tls, addr: 0.0.0.0:0, cert: {at}/one.pem, key: {at}/one.key}}"), &["needs `allow` or `client_ca`"]);
}

#[test]
fn openssl_is_a_sender() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("syslog_tls::openssl_is_a_sender", "there is no openssl");
    }
    let setup = Setup::new(", framing: octet_counting");
    setup.authority.client("from-openssl").write(setup.pki.path(), "client");
    // The suite that RFC 9662 §4 wants beside TLS 1.3, and TLS 1.3.
    for version in [&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"][..], &["-tls1_3"]] {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-connect", &setup.addr.to_string(), "-servername", "localhost"])
            .arg("-CAfile")
            .arg(setup.path("ca.pem"))
            .arg("-cert")
            .arg(setup.path("client.pem"))
            .arg("-key")
            .arg(setup.path("client.key"))
            .args(version)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        write!(stdin, "{}{}", counted("<13>1 - h a - - - one"), counted("<13>1 - h a - - - two")).expect("writes");
        drop(stdin);
        assert!(child.wait().expect("ends").success());
    }
    let records = arrived(&setup.story, 4, "syslog-tls");
    assert!(records.iter().all(|record| record["data"]["peer_name"] == "from-openssl"), "{records:?}");
}

/// rsyslog with a socket of its own, sending to the listener.
struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rsyslog(setup: &Setup, driver: &str) -> (Rsyslog, PathBuf) {
    let (dir, socket) = (setup.pki.path().display(), setup.path(&format!("{driver}.sock")));
    let config = pki::write(
        setup.pki.path(),
        &format!("{driver}.conf"),
        &format!(
            "global(workDirectory=\"{dir}\" defaultNetstreamDriverCAFile=\"{dir}/ca.pem\" defaultNetstreamDriverCertFile=\"{dir}/client.pem\" \
             defaultNetstreamDriverKeyFile=\"{dir}/client.key\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{}\" UseSysTimeStamp=\"off\" RateLimit.Interval=\"0\")\n\
             *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\" \
             StreamDriver=\"{driver}\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" StreamDriverPermittedPeers=\"localhost\" \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
            socket.display(),
            setup.addr.port()
        ),
    );
    let child = Command::new("rsyslogd")
        .args(["-n", "-iNONE", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("rsyslogd starts");
    (Rsyslog(child), socket)
}

#[test]
fn rsyslog_is_a_sender() {
    let drivers = [("gtls", "lmnsd_gtls.so"), ("ossl", "lmnsd_ossl.so")];
    let lib = |name: &str| {
        ["/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib/rsyslog", "/usr/lib64/rsyslog"]
            .iter()
            .any(|dir| std::path::Path::new(dir).join(name).is_file())
    };
    if Command::new("rsyslogd").arg("-v").output().is_err() || !drivers.iter().all(|(_, file)| lib(file)) {
        return skip("syslog_tls::rsyslog_is_a_sender", "no rsyslogd with rsyslog-gnutls and rsyslog-openssl");
    }
    let setup = Setup::new("");
    setup.authority.client("from-rsyslog").write(setup.pki.path(), "client");
    for (driver, _) in drivers {
        let (running, socket) = rsyslog(&setup, driver);
        let local = UnixDatagram::unbound().expect("a socket");
        wait::until("rsyslogd listens", PATIENCE, || Ok(local.connect(&socket).ok())).expect("listens");
        for n in 0..200 {
            local.send(format!("<86>Nov  2 08:00:00 app[{n}]: {driver} message {n}").as_bytes()).expect("sends");
        }
        // Where its connection was slow, rsyslog has something to say of its own.
        let own = || -> Vec<Value> {
            let records = setup.story.records("archive.ndjson").into_iter();
            records.filter(|record| record["data"]["message"].as_str().is_some_and(|text| text.trim().starts_with(driver))).collect()
        };
        let own = wait::until("all of them arrive", PATIENCE, || Ok(Some(own()).filter(|own| own.len() >= 200)))
            .unwrap_or_else(|error| panic!("{error:#}\n{} of them\n{}", own().len(), setup.story.host.log()));
        drop(running);
        assert_eq!(own.len(), 200);
        assert_eq!(
            (&own[7]["data"]["peer_name"], &own[7]["data"]["version"], &own[7]["data"]["app_name"]),
            (&"from-rsyslog".into(), &"rfc5424".into(), &"app".into())
        );
    }
}

#[test]
fn a_flood_of_silent_connections_does_not_keep_others_out() {
    let setup = Setup::new(", handshake_timeout: 5s");
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(setup.addr).expect("connects")).collect();
    let mut stream = setup.sender("fw-1.example");
    stream.write_all(counted("<13>1 - - - - - - through").as_bytes()).expect("writes");
    assert_eq!(arrived(&setup.story, 1, "syslog-tls").len(), 1);
    setup.refused("handshake", 200.0);
    drop(silent);
}
