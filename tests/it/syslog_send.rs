//! The connectors `syslog` and `syslog-udp` against receivers that others wrote: rsyslog and syslog-ng, over TCP,
//! TLS and UDP.

use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bulkhead_tests::{host, port, skip::skip, wait};
use serde_json::Value;

use crate::pki::{self, Authority};
use crate::story::{PATIENCE, Story, copybook, ids};

/// A receiver in a folder of its own, which writes what it understood as lines of JSON.
pub struct Receiver {
    child: Option<Child>,
    dir: tempfile::TempDir,
    command: Box<dyn Fn(&Path) -> Command>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Receiver {
    fn start(config: impl Fn(&Path) -> String, command: impl Fn(&Path) -> Command + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        pki::write(dir.path(), "receiver.conf", &config(dir.path()));
        let mut receiver = Self { child: None, dir, command: Box::new(command) };
        receiver.run();
        receiver
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("receiver.log")).expect("a file");
        let mut command = (self.command)(self.dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("clones")).stderr(log);
        self.child = Some(command.spawn().expect("the receiver starts"));
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("out.ndjson")).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Waits for `n` records.
    #[track_caller]
    pub fn heard(&self, story: &Story, n: usize) -> Vec<Value> {
        wait::until("the receiver has it all", PATIENCE, || Ok(Some(self.records()).filter(|records| records.len() >= n))).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.dir.path().join("receiver.log")).unwrap_or_default();
            panic!("{error:#}\n{} records\n{log}\n{}", self.records().len(), story.host.log())
        })
    }
}

pub fn listens(port: u16) {
    wait::until("the receiver listens", PATIENCE, || Ok(TcpStream::connect(("127.0.0.1", port)).ok())).expect("listens");
}

fn listens_for_datagrams(port: u16) {
    wait::until("the receiver has its socket", PATIENCE, || Ok(UdpSocket::bind(("127.0.0.1", port)).is_err().then_some(()))).expect("listens");
}

/// rsyslog with these inputs.
pub fn rsyslog(inputs: impl Fn(&Path) -> String) -> Receiver {
    let config = move |dir: &Path| {
        let at = dir.display();
        let property = |name: &str, of: &str, more: &str| format!("property(outname=\"{name}\" name=\"{of}\" format=\"jsonf\"{more})");
        let fields = [
            property("pri", "pri", ""),
            property("time", "timereported", " dateFormat=\"rfc3339\""),
            property("host", "hostname", ""),
            property("tag", "syslogtag", ""),
            property("app", "app-name", ""),
            property("pid", "procid", ""),
            property("msgid", "msgid", ""),
            property("sd", "structured-data", ""),
            property("msg", "msg", ""),
            property("raw", "rawmsg", ""),
        ];
        format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" parser.escapeControlCharacterTab=\"off\")\n\
             template(name=\"json\" type=\"list\" option.jsonf=\"on\") {{\n{}\n}}\n{}\n\
             action(type=\"omfile\" file=\"{at}/out.ndjson\" template=\"json\")\n",
            fields.join("\n"),
            inputs(dir)
        )
    };
    Receiver::start(config, |dir| {
        let mut command = Command::new("rsyslogd");
        command.args(["-n", "-i"]).arg(dir.join("pid")).arg("-f").arg(dir.join("receiver.conf"));
        command
    })
}

pub fn no_rsyslog(test: &str) -> bool {
    let missing = Command::new("rsyslogd").arg("-v").output().is_err();
    if missing {
        skip(test, "no rsyslogd");
    }
    missing
}

/// syslog-ng as `.ci/run` unpacks it.
fn syslog_ng_root() -> PathBuf {
    host::root().join("target/syslog-ng")
}

fn no_syslog_ng(test: &str) -> bool {
    let missing = !syslog_ng_root().join("usr/sbin/syslog-ng").is_file();
    if missing {
        skip(test, "no syslog-ng in target/syslog-ng; .ci/run unpacks it there");
    }
    missing
}

/// syslog-ng with these sources, each called `in`.
fn syslog_ng(sources: impl Fn(&Path) -> String) -> Receiver {
    let config = move |dir: &Path| {
        format!(
            "@version: 3.38\noptions {{ use-dns(no); keep-hostname(yes); log-msg-size(65536); stats-freq(0); }};\nsource in {{ {} }};\n\
             destination out {{ file(\"{}/out.ndjson\" template(\"$(format-json pri=$PRI time=$ISODATE host=$HOST app=$PROGRAM pid=$PID msgid=$MSGID \
             sd=$SDATA msg=$MSG)\\n\")); }};\nlog {{ source(in); destination(out); }};\n",
            sources(dir),
            dir.display()
        )
    };
    Receiver::start(config, |dir| {
        let root = syslog_ng_root();
        let libraries = ["usr/lib/syslog-ng", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"];
        let libraries: Vec<_> = libraries.iter().map(|part| root.join(part).display().to_string()).collect();
        let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
        command.env("LD_LIBRARY_PATH", libraries.join(":")).args(["--foreground", "--no-caps", "--module-path"]).arg(root.join("usr/lib/syslog-ng/3.38"));
        command.arg("--cfgfile").arg(dir.join("receiver.conf")).arg("--persist-file").arg(dir.join("persist"));
        command.arg("--pidfile").arg(dir.join("pid")).arg("--control").arg(dir.join("control"));
        command
    })
}

/// An instance of a connector with this configuration.
pub fn instance(connector: &str, config: &str, destination: &str, format: &str) -> String {
    format!(
        "instances:\n  out:\n    connector: {connector}\n    config: {config}\n    concurrency: 1\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations: {{primary: {destination}}}\ndefault_route: [{{instance: out, format: {format}}}]\n"
    )
}

/// Each of `n` events exactly once.
#[track_caller]
fn exactly(records: &[Value], n: usize) {
    let text: Vec<_> = records.iter().filter_map(|record| record["msg"].as_str()).collect();
    assert_eq!(ids(text.join("\n").as_bytes(), "e", n).len(), n, "{text:?}");
    assert_eq!(records.len(), n, "each once");
}

pub fn imtcp(port: u16) -> String {
    format!("module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")")
}

#[test]
fn rsyslog_reads_both_framings_and_both_headers() {
    if no_rsyslog("syslog_send::rsyslog_reads_both_framings_and_both_headers") {
        return;
    }
    for (framing, header) in [("octet_counting", "rfc5424"), ("newline", "rfc5424"), ("octet_counting", "rfc3164"), ("newline", "rfc3164")] {
        let port = port::free().expect("a port").port();
        let receiver = rsyslog(|_| imtcp(port));
        listens(port);
        let config = format!("{{framing: {framing}, header: {header}, app_name: audit}}");
        let story = Story::start(&instance("syslog", &config, &format!("\"tcp://127.0.0.1:{port}\""), "json"));
        story.accept("application/x-ndjson", &copybook("e", 300));
        let records = receiver.heard(&story, 300);
        exactly(&records, 300);
        let first = &records[0];
        // 13 × 8 + 3: log audit, error.
        assert_eq!((&first["pri"], &first["host"], &first["app"], &first["pid"]), (&"107".into(), &"h1".into(), &"audit".into(), &"7".into()), "{first}");
        let message: Value = serde_json::from_str(first["msg"].as_str().expect("text").trim()).expect("the record");
        assert_eq!(message["id"], "e-0");
        if header == "rfc5424" {
            assert_eq!((&first["time"], &first["sd"]), (&"2026-11-02T08:00:00.123Z".into(), &"-".into()), "{first}");
            assert_eq!(first["msgid"], message["type"]);
        } else {
            assert_eq!(first["tag"], "audit[7]:");
        }
        let scrape = story.settled();
        assert_eq!(scrape.sum("bulkhead_egress_connections_total", &[("instance", "out"), ("result", "connected")]), 1.0, "one connection");
    }
}

#[test]
fn qradar_gets_leef_behind_the_header_that_it_reads() {
    if no_rsyslog("syslog_send::qradar_gets_leef_behind_the_header_that_it_reads") {
        return;
    }
    let port = port::free().expect("a port").port();
    let receiver = rsyslog(|_| imtcp(port));
    listens(port);
    let config = "{framing: newline, header: rfc3164, hostname: bulkhead-1, max_bytes: 4096}";
    let instance = instance("syslog", config, &format!("\"tcp://127.0.0.1:{port}\""), "qradar-leef");
    let story = Story::start(&format!("formatters:\n  qradar-leef: {{formatter: leef, config: {{device_vendor: Acme, device_product: Audit}}}}\n{instance}"));
    story.accept("application/x-ndjson", &copybook("e", 30));
    let records = receiver.heard(&story, 30);
    assert_eq!(records.len(), 30);
    for (n, record) in records.iter().enumerate() {
        assert_eq!((&record["pri"], &record["host"]), (&"107".into(), &"bulkhead-1".into()), "{record}");
        // A receiver that knows nothing of LEEF takes its first word for the tag.
        let line = format!("{}{}", record["tag"].as_str().expect("text"), record["msg"].as_str().expect("text"));
        assert!(line.starts_with("LEEF:2.0|Acme|Audit|1.0|"), "{line}");
        assert!(line.contains(&format!("\teventId=e-{n}\t")) || line.ends_with(&format!("\teventId=e-{n}")), "{line}");
    }
}

#[test]
fn a_receiver_that_restarts_between_batches_loses_nothing() {
    if no_rsyslog("syslog_send::a_receiver_that_restarts_between_batches_loses_nothing") {
        return;
    }
    let port = port::free().expect("a port").port();
    let mut receiver = rsyslog(|_| imtcp(port));
    listens(port);
    let story = Story::start(&instance("syslog", "{}", &format!("\"tcp://127.0.0.1:{port}\""), "json"));
    let mut n = 0;
    for round in 0..4 {
        n += 25;
        story.accept("application/x-ndjson", &copybook("e", n).lines().skip(n - 25).map(|line| format!("{line}\n")).collect::<String>());
        receiver.heard(&story, n);
        story.settled();
        // Killed, so that nothing is said but what the kernel says; and sometimes nobody is there for a while.
        receiver.stop();
        if round % 2 == 0 {
            receiver.run();
            listens(port);
        } else {
            n += 1;
            story.accept("application/x-ndjson", &format!("{}\n", copybook("e", n).lines().last().expect("a line")));
            story.when("an attempt fails", |scrape| scrape.sum("bulkhead_egress_connections_total", &[("instance", "out"), ("result", "connect")]) >= 1.0);
            receiver.run();
            receiver.heard(&story, n);
        }
    }
    exactly(&receiver.records(), n);
}

/// Inputs of rsyslog under TLS that let in who shows a certificate of this name.
fn imtcp_tls(port: u16, driver: &str, pki: &Path) -> String {
    let pki = pki.display();
    format!(
        "global(defaultNetstreamDriverCAFile=\"{pki}/ca.pem\" defaultNetstreamDriverCertFile=\"{pki}/server.pem\" defaultNetstreamDriverKeyFile=\"{pki}/server.key\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"{driver}\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/name\" PermittedPeer=[\"bulkhead\"])\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
    )
}

/// Certificates of a receiver and of both a sender that it knows and one that it does not.
fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    ours.server(&["localhost"]).write(dir.path(), "server");
    ours.client("bulkhead").write(dir.path(), "client");
    others.client("bulkhead").write(dir.path(), "stranger");
    pki::write(dir.path(), "ca.pem", ours.pem());
    dir
}

fn tls_destination(port: u16, pki: &Path, client: &str) -> String {
    let pki = pki.display();
    format!("{{url: \"tls://localhost:{port}\", tls: {{ca: {pki}/ca.pem, client_cert: {pki}/{client}.pem, client_key: {pki}/{client}.key}}}}")
}

#[test]
fn rsyslog_takes_tls_with_a_client_certificate() {
    let drivers = [("gtls", "lmnsd_gtls.so"), ("ossl", "lmnsd_ossl.so")];
    let lib = |name: &str| {
        ["/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib/rsyslog", "/usr/lib64/rsyslog"]
            .iter()
            .any(|dir| Path::new(dir).join(name).is_file())
    };
    if !drivers.iter().all(|(_, file)| lib(file)) {
        return skip("syslog_send::rsyslog_takes_tls_with_a_client_certificate", "no rsyslogd with rsyslog-gnutls and rsyslog-openssl");
    }
    let pki = certificates();
    for (driver, _) in drivers {
        let port = port::free().expect("a port").port();
        let receiver = rsyslog(|_| imtcp_tls(port, driver, pki.path()));
        listens(port);
        let story = Story::start(&instance("syslog", "{}", &tls_destination(port, pki.path(), "client"), "json"));
        story.accept("application/x-ndjson", &copybook("e", 100));
        exactly(&receiver.heard(&story, 100), 100);
        drop(story);
        // A sender that the receiver does not know learns of it, and does not take its events for delivered.
        let story = Story::start(&instance("syslog", "{}", &tls_destination(port, pki.path(), "stranger"), "json"));
        story.accept("application/x-ndjson", &copybook("e", 5));
        story.when("an attempt fails", |scrape| scrape.sum("bulkhead_egress_connections_total", &[("instance", "out")]) >= 1.0);
        wait::until("the lane says why", PATIENCE, || Ok((!story.lane("out")["last_error"].is_null()).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("out")));
        let scrape = story.host.metrics().expect("metrics");
        assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 0.0, "{driver}: {}", story.host.log());
        assert_eq!(receiver.records().len(), 100);
    }
}

#[test]
fn rsyslog_takes_datagrams() {
    if no_rsyslog("syslog_send::rsyslog_takes_datagrams") {
        return;
    }
    let port = port::free().expect("a port").port();
    let receiver = rsyslog(|_| format!("module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")"));
    listens_for_datagrams(port);
    let story = Story::start(&instance("syslog-udp", "{app_name: audit, max_bytes: 600}", &format!("\"udp://127.0.0.1:{port}\""), "cef"));
    story.accept("application/x-ndjson", &copybook("e", 50));
    let records = receiver.heard(&story, 50);
    exactly(&records, 50);
    assert!(records.iter().all(|record| record["msg"].as_str().is_some_and(|text| text.trim().starts_with("CEF:0|"))), "{records:?}");
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_egress_datagrams_total", &[("instance", "out"), ("result", "sent")]), 50.0);
}

#[test]
fn syslog_ng_reads_octets_lines_tls_and_datagrams() {
    if no_syslog_ng("syslog_send::syslog_ng_reads_octets_lines_tls_and_datagrams") {
        return;
    }
    let pki = certificates();
    for (transport, connector, config, source) in [
        ("tcp", "syslog", "{}", "syslog(ip(127.0.0.1) port(PORT) transport(\"tcp\"));"),
        ("tcp", "syslog", "{framing: newline}", "network(ip(127.0.0.1) port(PORT) transport(\"tcp\") flags(syslog-protocol));"),
        ("tcp", "syslog", "{framing: newline, header: rfc3164}", "network(ip(127.0.0.1) port(PORT) transport(\"tcp\"));"),
        (
            "tls",
            "syslog",
            "{}",
            "syslog(ip(127.0.0.1) port(PORT) transport(\"tls\") tls(key-file(\"PKI/server.key\") cert-file(\"PKI/server.pem\") ca-file(\"PKI/ca.pem\") \
             peer-verify(required-trusted)));",
        ),
        ("udp", "syslog-udp", "{}", "network(ip(127.0.0.1) port(PORT) transport(\"udp\") flags(syslog-protocol));"),
    ] {
        let port = port::free().expect("a port").port();
        let source = source.replace("PORT", &port.to_string()).replace("PKI", &pki.path().display().to_string());
        let receiver = syslog_ng(|_| source.clone());
        if transport == "udp" {
            listens_for_datagrams(port)
        } else {
            listens(port)
        }
        let destination = if transport == "tls" { tls_destination(port, pki.path(), "client") } else { format!("\"{transport}://127.0.0.1:{port}\"") };
        let story = Story::start(&instance(connector, config, &destination, "json"));
        story.accept("application/x-ndjson", &copybook("e", 50));
        let records = receiver.heard(&story, 50);
        exactly(&records, 50);
        let first = &records[0];
        assert_eq!((&first["pri"], &first["host"]), (&"107".into(), &"h1".into()), "{first}");
        let message: Value = serde_json::from_str(first["msg"].as_str().expect("text").trim()).expect("the record");
        assert!(config.contains("rfc3164") || first["msgid"] == message["type"], "{first}");
        if transport == "tls" {
            drop(story);
            let story = Story::start(&instance(connector, config, &tls_destination(port, pki.path(), "stranger"), "json"));
            story.accept("application/x-ndjson", &copybook("e", 5));
            wait::until("people are asked for a certificate", PATIENCE, || Ok((story.lane("out")["held"] == "unauthorized").then_some(())))
                .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("out")));
            assert_eq!(receiver.records().len(), 50);
        }
    }
}
