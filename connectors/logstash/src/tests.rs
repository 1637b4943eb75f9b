use std::io::Read as _;

use bulkhead_sdk::native::{self, EventText, NativeConnector, Peer};

use super::*;

const EVENT: &str = r#"{"id":"1","time":"2026-01-02T04:04:05.5+01:00"}"#;

fn connector(config: &str, content_type: &str) -> NativeConnector<Logstash> {
    native::connector(config, &RecordFormat::new("f", content_type)).expect("configured")
}

/// What a receiver with these words hears of these records, and what comes of them.
fn deliver(config: &str, content_type: &str, says: &'static [u8], records: &[&str]) -> (Vec<u8>, Result<Delivery, Failure>) {
    let heard = native::on_tcp(move |_, _| Ok(Peer::new(says, false)));
    let batch: Vec<_> = records.iter().map(|record| (*record, EventText::new(EVENT))).collect();
    let delivery = connector(config, content_type).deliver_texts(&batch);
    let bytes = heard.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    (bytes, delivery)
}

#[track_caller]
fn event(content_type: &str, record: &str, want: &str) {
    let (bytes, delivery) = deliver(r#"{"compress":false}"#, content_type, b"2A\0\0\0\x01", &[record]);
    assert_eq!(delivery, Ok(Delivery::accepted()));
    assert_eq!(bytes.get(..12), Some(&b"2W\0\0\0\x012J\0\0\0\x01"[..]));
    assert_eq!(bytes.get(12..16), Some(&(want.len() as u32).to_be_bytes()[..]));
    assert_eq!(String::from_utf8_lossy(&bytes[16..]), want);
}

#[test]
fn events_carry_what_pipelines_expect() {
    let head = r#""@timestamp":"2026-01-02T03:04:05.5Z","@metadata":{"beat":"bulkhead","version":"0.1.0"}"#;
    event("application/json", "{ \"a\":\n1}", &format!("{{{head},\"a\":\n1}}"));
    event("application/json", "{}", &format!("{{{head}}}"));
    event("application/json", "{ }\n", &format!("{{{head}}}"));
    event("application/json", "[1]", &format!("{{{head},\"message\":\"[1]\"}}"));
    event("text/plain", "CEF:0|\"é\n", &format!("{{{head},\"message\":\"CEF:0|\\\"é\"}}"));
    let own = r#"{"@timestamp":"2020-01-01T00:00:00Z","@metadata":{}}"#;
    event("application/json", own, own);
    // What Logstash could not read there gives way.
    event("application/json", r#"{"a":"é","@metadata":"x","b":[1]}"#, &format!("{{{head},\"a\":\"é\",\"b\":[1]}}"));
    event("application/json", r#"{"@metadata":null}"#, &format!("{{{head}}}"));
}

#[test]
fn windows_are_counted_and_compressed() {
    let acks = b"2A\0\0\0\x03";
    let (plain, delivery) = deliver(r#"{"compress":false,"beat":"audit"}"#, "text/plain", acks, &["a", "b", "c"]);
    assert_eq!(delivery, Ok(Delivery::accepted()));
    let (bytes, delivery) = deliver(r#"{"beat":"audit"}"#, "text/plain", acks, &["a", "b", "c"]);
    assert_eq!(delivery, Ok(Delivery::accepted()));
    assert_eq!((bytes.get(..6), bytes.get(6..8)), (Some(&b"2W\0\0\0\x03"[..]), Some(&b"2C"[..])));
    assert_eq!(bytes.get(8..12), Some(&(bytes.len() as u32 - 12).to_be_bytes()[..]));
    let mut frames = Vec::new();
    flate2::read::ZlibDecoder::new(&bytes[12..]).read_to_end(&mut frames).expect("zlib");
    assert_eq!(frames, plain[6..]);
    let sequences: Vec<_> = frames.windows(6).filter(|six| six.starts_with(b"2J")).map(|six| six[5]).collect();
    assert_eq!(sequences, [1, 2, 3]);
}

#[test]
fn partial_acknowledgements_are_waited_through_and_kept() {
    let records = ["a", "b", "c"];
    let of = |says| deliver("{}", "text/plain", says, &records).1;
    let each = |done: usize| Ok(Delivery::Each((0..3).map(|at| if at < done { Outcome::Accepted(None) } else { Outcome::Retry(None) }).collect()));
    // Signs of life, parts, an older one, all.
    assert_eq!(of(b"2A\0\0\0\x002A\0\0\0\x012A\0\0\0\x002A\0\0\0\x022A\0\0\0\x012A\0\0\0\x03"), Ok(Delivery::accepted()));
    assert_eq!(of(b"2A\0\0\0\x02"), each(2));
    assert_eq!(of(b"2A\0\0\0\x012A\0\0"), each(1));
    let failed = |says, words: &str| match of(says) {
        Err(Failure::Unavailable { reason, .. }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?}"),
    };
    failed(b"", "closed the stream");
    failed(b"2A\0\0\0\0", "closed the stream");
    failed(b"2A\0\0\0\x04", "event 4 of a window of 3");
    failed(b"HTTP/1.1 400", "does not speak Lumberjack 2");
    // What was acknowledged before nonsense stays so.
    assert_eq!(of(b"2A\0\0\0\x01garbage"), each(1));
}

#[test]
fn a_connection_with_a_part_open_is_let_go_of() {
    let mut says = vec![&b"2A\0\0\0\x01"[..], b"2A\0\0\0\x01"].into_iter();
    let heard = native::on_tcp(move |_, _| Ok(Peer::new(says.next().unwrap_or_default(), false)));
    let mut connector = connector("{}", "text/plain");
    let delivery = connector.deliver_texts(&[("a", EventText::new(EVENT)), ("b", EventText::new(EVENT))]).expect("a part");
    assert_eq!(delivery, Delivery::Each(vec![Outcome::Accepted(None), Outcome::Retry(None)]));
    assert_eq!(connector.deliver_texts(&[("b", EventText::new(EVENT))]), Ok(Delivery::accepted()));
    assert_eq!(heard.borrow().len(), 2);
    assert!(connector.connector.check().expect("connects").contains("whether it takes events"));
}
