use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText, answer};

use super::*;

fn run(config: &str, reply: Result<http::Response, http::Error>, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, http::Request) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<Loki>(config, &RecordFormat::new("cef", "text/plain")).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    let request = seen.borrow_mut().pop().expect("one request");
    (result, request)
}

const BATCH: [(&str, &str); 3] = [
    (r#"{"time":"2026-01-02T03:04:05.123456789Z","severity":"high","user":"ada","dstport":443}"#, "one \"quoted\"\n"),
    (r#"{"time":"2026-01-02T03:04:06Z","severity":"low"}"#, "two\nlines"),
    (r#"{"received":"2026-01-02T03:04:07Z","severity":"high"}"#, "three"),
];

#[test]
fn events_with_the_same_labels_are_one_stream() {
    let config = r#"{"labels":{"app":"a\"b"},"label_fields":{"severity":"/severity"},"metadata":{"user":"/user","port":"/dstport"},"tenant":"t1","gzip":true}"#;
    let (result, request) = run(config, answer(204, ""), &BATCH);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert!(request.gzip);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/loki/api/v1/push"));
    assert!(request.headers.contains(&("x-scope-orgid".to_owned(), b"t1".to_vec())));
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        r#"{"streams":[{"stream":{"app":"a\"b","severity":"high"},"values":[["1767323045123456789","one \"quoted\"",{"port":"443","user":"ada"}],["1767323047000000000","three"]]},{"stream":{"app":"a\"b","severity":"low"},"values":[["1767323046000000000","two\nlines"]]}]}"#
    );
    let (_, request) = run("{}", answer(204, ""), &BATCH[1..2]);
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        r#"{"streams":[{"stream":{"service_name":"bulkhead"},"values":[["1767323046000000000","two\nlines"]]}]}"#
    );
}

#[test]
fn long_and_strange_label_values() {
    let event = format!(r#"{{"time":"2026-01-02T03:04:05Z","severity":"{}","user":{{"a":"b"}}}}"#, "é".repeat(2000));
    let (_, request) = run(r#"{"label_fields":{"severity":"/severity","user":"/user"}}"#, answer(204, ""), &[(&event, "x")]);
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains(&format!("\"{}\"", "é".repeat(1024))) && body.contains(r#""user":"{\"a\":\"b\"}""#), "{body}");
}

#[test]
fn answers() {
    for (reply, want) in [
        (answer(400, "entry too far behind"), "Err(TooLarge"),
        (answer(260, ""), "Err(Configuration"),
        (answer(401, "no org id"), "Err(Unauthorized"),
        (answer(413, ""), "Err(TooLarge"),
        (answer(429, ""), "Err(Unavailable"),
        (answer(500, ""), "Err(Unavailable"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
    ] {
        let (result, _) = run("{}", reply, &BATCH);
        assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
    }
    for status in [400, 413] {
        let (result, _) = run("{}", answer(status, "max entry size exceeded"), &BATCH[..1]);
        assert_eq!(result, Ok(Delivery::All(Outcome::Rejected(format!("the receiver answered {status}: max entry size exceeded")))));
    }
}

#[test]
fn configuration() {
    let many: Vec<String> = (0..16).map(|i| format!("\"l{i}\":\"x\"")).collect();
    for (config, words) in [
        (r#"{"labels":{"1a":"x"}}"#.to_owned(), "`labels` names \"1a\""),
        (r#"{"labels":{}}"#.to_owned(), "at least one label"),
        (r#"{"labels":{"a":""}}"#.to_owned(), "`labels.a` has 0 bytes"),
        (r#"{"label_fields":{"a":"severity"}}"#.to_owned(), "it is a pointer"),
        (r#"{"labels":{"a":"x"},"label_fields":{"a":"/b"}}"#.to_owned(), "is in `labels` and in `label_fields`"),
        (r#"{"metadata":{"a-b":"/c"}}"#.to_owned(), "`metadata` names \"a-b\""),
        (format!("{{\"labels\":{{{}}}}}", many.join(",")), "Loki takes at most 15"),
        (r#"{"tenant":"a b"}"#.to_owned(), "`tenant` is printable ASCII"),
    ] {
        let error = native::connector::<Loki>(&config, &RecordFormat::new("json", "application/json")).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_check_asks_whether_it_is_ready() {
    for (status, want) in [(200, "Ok("), (503, "Err(Unavailable"), (401, "Err(Unauthorized"), (404, "Err(Configuration"), (400, "Err(Configuration")] {
        native::on_http(move |request| {
            assert_eq!(request.path, "/ready");
            answer(status, "")
        });
        let mut loki = Loki::configure(
            Settings { labels: None, label_fields: None, metadata: None, tenant: None, gzip: false },
            &RecordFormat::new("json", "application/json"),
        )
        .unwrap();
        let heard = loki.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}");
    }
    native::reset();
}
