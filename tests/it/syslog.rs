//! Syslog intake: what devices send over TCP and UDP arrives as events, with the bytes kept.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use serde_json::Value;

use crate::story::{Story, file};

pub const ARCHIVE: &str = "default_route: [{instance: archive, format: jsonl}]\n";

fn story(listener: &str) -> (Story, SocketAddr) {
    let listen = format!(r#"{{api: "127.0.0.1:0", http: "127.0.0.1:0", syslog: [{listener}]}}"#);
    let story = Story::listening(&listen, &format!("instances:\n{}{ARCHIVE}", file("archive")));
    let addr = addr(&story);
    (story, addr)
}

/// Where the first syslog listener listens.
pub fn addr(story: &Story) -> SocketAddr {
    let listening = std::fs::read(story.host.spec.data_dir.join("listening.json")).expect("listening.json");
    let listening: Value = serde_json::from_slice(&listening).expect("JSON");
    listening["syslog"][0].as_str().expect("a syslog address").parse().expect("an address")
}

#[track_caller]
pub fn arrived(story: &Story, count: u64, listener: &str) -> Vec<Value> {
    story.when("the messages are accepted", |scrape| scrape.sum("bulkhead_events_accepted_total", &[("listener", listener)]) >= count as f64);
    story.settled();
    story.records("archive.ndjson")
}

#[test]
fn tcp_with_both_framings_on_one_connection() {
    let (story, addr) = story("{proto: tcp, addr: 127.0.0.1:0}");
    let first = r#"<165>1 2026-01-02T03:04:05.123456789Z fw.example app 123 AUDIT [x@32473 user="m\"w"] said "hi""#;
    let mut stream = TcpStream::connect(addr).expect("connects");
    write!(stream, "{} {first}<34>Oct  1 22:14:15 host su[7]: failed\nplain text\n", first.len()).expect("writes");
    drop(stream);
    let records = arrived(&story, 3, "syslog-tcp");
    assert_eq!(records[0]["time"], "2026-01-02T03:04:05.123456789Z");
    assert_eq!(records[0]["source"], "syslog://fw.example/app");
    assert_eq!((&records[0]["severity"], &records[0]["process"]), (&"low".into(), &"123".into()));
    assert_eq!(records[0]["data"]["structured_data"]["x@32473"]["user"], "m\"w");
    assert_eq!(records[1]["data"]["message"], "failed");
    assert_eq!((&records[1]["host"], &records[1]["severity"]), (&"host".into(), &"critical".into()));
    assert_eq!((&records[2]["data"]["message"], &records[2]["timesource"]), (&"plain text".into(), &"receipt".into()));
}

#[test]
fn udp_takes_a_message_a_datagram() {
    let (story, addr) = story("{proto: udp, addr: 127.0.0.1:0}");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    for n in 0..20 {
        socket.send_to(format!("<13>1 - host app - - - message {n}\n").as_bytes(), addr).expect("sends");
    }
    let mut records = arrived(&story, 20, "syslog-udp");
    records.sort_by_key(|record| record["data"]["message"].as_str().map(str::len));
    assert_eq!(records.len(), 20);
    assert_eq!(records[0]["data"]["peer"], "127.0.0.1");
}

#[test]
fn a_message_beyond_the_limit_ends_the_connection_and_keeps_what_came_before() {
    let (story, addr) = story("{addr: 127.0.0.1:0, max_message: 480}");
    let mut stream = TcpStream::connect(addr).expect("connects");
    stream.write_all(format!("<13>before\n{}\n", "x".repeat(1_000)).as_bytes()).expect("writes");
    // The host closes: reading ends.
    let _ = std::io::Read::read(&mut stream, &mut [0; 16]);
    let records = arrived(&story, 1, "syslog-tcp");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["data"]["message"], "before");
    let log = std::fs::read_to_string(&story.host.spec.log).expect("log");
    assert!(log.contains("longer than the limit of 480"), "{log}");
    assert!(!log.contains("xxxx"), "no content in the log");
}

#[test]
fn senders_outside_the_allowed_networks_are_turned_away() {
    let (story, addr) = story("{addr: 127.0.0.1:0, allow: [192.0.2.0/24]}");
    let mut stream = TcpStream::connect(addr).expect("connects");
    let _ = stream.write_all(b"<13>nobody asked\n");
    story
        .when("the sender is refused", |scrape| scrape.sum("bulkhead_requests_refused_total", &[("listener", "syslog-tcp"), ("reason", "not_allowed")]) >= 1.0);
    assert_eq!(story.lines("archive.ndjson").len(), 0);
}
