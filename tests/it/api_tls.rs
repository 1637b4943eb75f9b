//! TLS of the API listener, and what an address beyond this machine takes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use rustix::process::Signal;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::access::{Guarded, HEALTH, err, out};
use crate::pki::{self, Authority, Pair};
use crate::story::{PATIENCE, binary};
use crate::syslog_tls::connect;

/// TLS of the API: the command line trusts its authority by name, clear text gets nothing, a renewed certificate counts
/// after SIGHUP, and a client that says nothing keeps nobody out.
#[test]
fn the_api_speaks_tls_and_takes_renewed_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    first.server(&["localhost"]).write(folder.path(), "server");
    let (one, two) = (pki::write(folder.path(), "one.pem", first.pem()), pki::write(folder.path(), "two.pem", second.pem()));
    let dir = folder.path().display();
    let listen = format!(r#"{{api: {{addr: "127.0.0.1:0", auth: keys, tls: {{cert: {dir}/server.pem, key: {dir}/server.key}}}}, http: "127.0.0.1:0"}}"#);
    let guarded = Guarded::listening(&listen);
    let port = guarded.story.host.api.port();
    let ask = |authority: &PathBuf| {
        let mut command = Command::new(binary());
        command
            .args(["key", "list", "--api", &format!("https://localhost:{port}")])
            .env("BULKHEAD_API_CA", authority)
            .env("BULKHEAD_API_TOKEN", &guarded.first);
        command.stdin(Stdio::null()).output().expect("runs")
    };
    let silent = std::net::TcpStream::connect(guarded.story.host.api).expect("connects");
    let listed = ask(&one);
    assert!(listed.status.success() && out(&listed).contains("first"), "{}", err(&listed));
    assert_eq!(ask(&two).status.code(), Some(6), "another authority");
    let clear = Client::new(guarded.story.host.api).limit(Duration::from_secs(5)).send("GET", "/readyz", &[], b"");
    assert!(clear.as_ref().map_or(true, |answer| answer.status >= 400), "{clear:?}");

    second.server(&["localhost"]).write(folder.path(), "server");
    guarded.story.host.signal(Signal::HUP).expect("told");
    wait::until("the new certificate is shown", PATIENCE, || Ok(ask(&two).status.success().then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
    assert!(!ask(&one).status.success());
    assert!(!guarded.story.host.log().contains("wait for a restart"), "{}", guarded.story.host.log());
    drop(silent);
}

/// With `client_ca` a key alone is not enough, with `min_version` an old client is none.
#[test]
fn certificates_of_clients_and_new_versions_are_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    ours.server(&["localhost"]).write(folder.path(), "server");
    pki::write(folder.path(), "ca.pem", ours.pem());
    let dir = folder.path().display();
    let tls = format!("{{cert: {dir}/server.pem, key: {dir}/server.key, client_ca: {dir}/ca.pem, min_version: \"1.3\"}}");
    let guarded = Guarded::listening(&format!(r#"{{api: {{addr: "127.0.0.1:0", auth: keys, tls: {tls}}}, http: "127.0.0.1:0"}}"#));
    let ask = |shows: Option<&Pair>, version: &'static SupportedProtocolVersion, key: &str| -> std::io::Result<String> {
        let mut stream = connect(guarded.story.host.api, &ours, shows, &[version])?;
        write!(stream, "GET {HEALTH} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let (good, stranger) = (ours.client("console"), others.client("console"));
    assert!(ask(Some(&good), &TLS13, &guarded.first).expect("answers").starts_with("HTTP/1.1 200"));
    assert!(ask(Some(&good), &TLS13, "no-key").expect("answers").starts_with("HTTP/1.1 401"), "a certificate alone is not enough either");
    for (shows, version) in [(None, &TLS13), (Some(&stranger), &TLS13), (Some(&good), &TLS12)] {
        assert!(ask(shows, version, &guarded.first).is_err());
    }
}

#[test]
fn an_address_beyond_this_machine_is_refused_without_keys_or_without_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bulkhead.yaml");
    for (api, says) in [
        ("\"0.0.0.0:0\"", "needs `auth: keys` or `tokens`"),
        ("{addr: \"0.0.0.0:0\", auth: keys}", "needs `tls`"),
        ("{addr: \"0.0.0.0:0\", tokens: [a-static-token]}", "needs `tls`"),
    ] {
        fs::write(&path, format!("listen: {{api: {api}}}\n")).expect("written");
        let output = Command::new(binary()).args(["validate", "--config"]).arg(&path).current_dir(folder.path()).output().expect("runs");
        assert!(output.status.code() == Some(78) && format!("{}{}", out(&output), err(&output)).contains(says), "{api}: {}{}", out(&output), err(&output));
    }
}
