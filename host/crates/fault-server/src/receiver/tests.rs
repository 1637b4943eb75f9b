use std::time::Duration;

use super::*;
use crate::http::Client;

fn receiver(script: &str, options: Options) -> (Receiver, Client) {
    let receiver = Receiver::start(options, Script::parse(script).expect("script")).expect("starts");
    let client = Client::new(receiver.addr()).limit(Duration::from_secs(5));
    (receiver, client)
}

fn envelopes(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| format!(r#"{{"event":{{"id":"{}"}}}}"#, Marker { run: 1, number, nanos: marker::now() })).collect()
}

#[test]
fn counts_events_and_duplicates() {
    let (receiver, mut client) = receiver("", Options { keep: 10, ..Options::default() });
    for body in [envelopes(0..5), envelopes(3..8)] {
        let response = client.send("POST", "/services/collector/event", &[], body.as_bytes()).expect("answers");
        assert_eq!((response.status, response.text().as_str()), (200, r#"{"text":"Success","code":0}"#));
    }
    let stats = client.get("/-/stats").expect("answers").json().expect("json");
    assert_eq!((stats["events"].as_u64(), stats["duplicates"].as_u64()), (Some(8), Some(2)));
    assert_eq!(client.get("/-/taken?run=1").expect("answers").text(), "0-7\n");
    assert_eq!(receiver.kept().len(), 2);
}

#[test]
fn plays_faults() {
    let (receiver, mut client) = receiver("429:retry-after=7;reset;garbage;hang=10ms;invalid=2", Options::default());
    let body = envelopes(0..5);
    let mut post = || client.send("POST", "/services/collector/event", &[], body.as_bytes());
    let response = post().expect("answers");
    assert_eq!((response.status, response.headers.get("retry-after")), (429, Some("7")));
    for fault in ["reset", "garbage", "hang"] {
        assert!(post().is_err(), "{fault} is no answer");
    }
    let response = post().expect("answers");
    assert_eq!((response.status, response.json().expect("json")["invalid-event-number"].as_u64()), (400, Some(2)));
    assert_eq!(receiver.stats(|stats| (stats.events.unique(), stats.events.refused)), (2, 23));
    assert_eq!(post().expect("answers").status, 200);
    assert_eq!(receiver.stats(|stats| (stats.events.unique(), stats.events.duplicates)), (5, 2));
}

#[test]
fn takes_events_and_loses_the_answer() {
    let (receiver, mut client) = receiver("lose;503", Options::default());
    let body = envelopes(0..4);
    let mut post = || client.send("POST", "/services/collector/event", &[], body.as_bytes());
    assert!(post().is_err());
    assert_eq!(receiver.stats(|stats| (stats.events.count(1), stats.events.unanswered)), (4, 4));
    assert_eq!(post().expect("answers").status, 503);
    assert_eq!(post().expect("answers").status, 200);
    assert_eq!(receiver.stats(|stats| (stats.events.count(1), stats.events.duplicates, stats.events.unanswered)), (4, 4, 4));
}

#[test]
fn is_strict_where_asked() {
    let (_receiver, mut client) = receiver("", Options { token: Some("t0ken".to_owned()), strict: true, ..Options::default() });
    let mut post = |headers: &[(&str, &str)], body: &str| client.send("POST", "/services/collector/event", headers, body.as_bytes()).expect("answers").status;
    assert_eq!(post(&[], r#"{"event":1}"#), 401);
    assert_eq!(post(&[("Authorization", "Splunk wrong")], r#"{"event":1}"#), 403);
    assert_eq!(post(&[("Authorization", "Splunk t0ken")], r#"{"event":""}"#), 400);
    assert_eq!(post(&[("Authorization", "Splunk t0ken")], r#"{"event":1}"#), 200);
}

#[test]
fn understands_gzip_and_bulk() {
    let (receiver, mut client) = receiver("", Options::default());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(envelopes(0..3).as_bytes()).expect("deflates");
    let body = gzip.finish().expect("deflates");
    assert_eq!(client.send("POST", "/hook", &[("Content-Encoding", "gzip")], &body).expect("answers").status, 200);
    assert_eq!(receiver.stats(|stats| stats.events.unique()), 3);
    let bulk = client.send("POST", "/_bulk", &[], b"{\"create\":{}}\n{}\n{\"create\":{}}\n{}\n").expect("answers").json().expect("json");
    assert_eq!(bulk["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn frees_its_port_when_dropped() {
    let (receiver, mut client) = receiver("", Options::default());
    assert_eq!(client.send("POST", "/", &[], b"x").expect("answers").status, 200);
    let addr = receiver.addr();
    drop(receiver);
    assert!(client.send("POST", "/", &[], b"x").is_err());
    let (_again, mut client) = self::receiver("", Options { bind: addr, ..Options::default() });
    assert_eq!(client.send("POST", "/", &[], b"x").expect("answers").status, 200);
}
