use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText};
use bulkhead_sdk::protobuf::{Fields, Wire};

use super::*;

fn answer(status: u16, content_type: &str, body: &[u8]) -> Result<http::Response, http::Error> {
    let headers = vec![("content-type".to_owned(), content_type.as_bytes().to_vec())];
    Ok(http::Response { status, headers, body: body.to_vec(), ..http::Response::default() })
}

fn json(status: u16, body: &str) -> Result<http::Response, http::Error> {
    answer(status, "application/json", body.as_bytes())
}

fn otlp(content_type: &str) -> RecordFormat {
    RecordFormat::new("otlp", content_type)
}

fn cef() -> RecordFormat {
    RecordFormat::new("cef", "text/plain")
}

fn run(config: &str, format: &RecordFormat, reply: Result<http::Response, http::Error>, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, http::Request) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<Otlp>(config, format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    let request = seen.borrow_mut().pop().expect("one request");
    (result, request)
}

const BATCH: [(&str, &str); 3] = [
    (r#"{"id":"1","host":"h1","time":"2026-01-02T03:04:05Z","severity":"high","type":"t"}"#, r#"{"timeUnixNano":"1"}"#),
    (r#"{"id":"2","host":"h2"}"#, r#"{"timeUnixNano":"2"}"#),
    (r#"{"id":"3","host":"h1"}"#, r#"{"timeUnixNano":"3"}"#),
];

#[test]
fn records_of_one_resource_stand_together() {
    let config = r#"{"resource":{"service.name":"audit","a\"b":"c"},"resource_fields":{"host.name":"/host"},"headers":{"x-scope-orgid":"t1"},"gzip":true}"#;
    let (result, request) = run(config, &otlp("application/json"), json(200, "{}"), &BATCH);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!((request.method.as_str(), request.path.as_str(), request.gzip), ("POST", "/v1/logs", true));
    assert_eq!(request.headers, [("content-type".to_owned(), b"application/json".to_vec()), ("x-scope-orgid".to_owned(), b"t1".to_vec())]);
    let host = |name: &str| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"a\"b","value":{{"stringValue":"c"}}}},{{"key":"service.name","value":{{"stringValue":"audit"}}}},{{"key":"host.name","value":{{"stringValue":"{name}"}}}}]}},"scopeLogs":[{{"scope":{{"name":"bulkhead"}},"logRecords":"#
        )
    };
    let want =
        format!(r#"{{"resourceLogs":[{}[{{"timeUnixNano":"1"}},{{"timeUnixNano":"3"}}]}}]}},{}[{{"timeUnixNano":"2"}}]}}]}}]}}"#, host("h1"), host("h2"));
    assert_eq!(String::from_utf8(request.body).unwrap(), want);
}

#[test]
fn the_service_has_a_name() {
    let (_, request) = run("{}", &otlp("application/json"), json(200, ""), &BATCH);
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"bulkhead"}}]},"scopeLogs":[{"scope":{"name":"bulkhead"},"logRecords":[{"timeUnixNano":"1"},{"timeUnixNano":"2"},{"timeUnixNano":"3"}]}]}]}"#
    );
    // From the event where it has one.
    let (_, request) = run(r#"{"resource_fields":{"service.name":"/type"}}"#, &otlp("application/json"), json(200, ""), &BATCH);
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains(r#"{"stringValue":"t"}"#) && body.matches(r#"{"stringValue":"bulkhead"}"#).count() == 1, "{body}");
}

#[test]
fn records_of_other_formats_are_bodies() {
    let (result, request) = run("{}", &cef(), json(200, "{}"), &[(BATCH[0].0, "CEF:0|a\"b\n")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0],
        serde_json::json!({
            "timeUnixNano": "1767323045000000000", "observedTimeUnixNano": "0", "severityNumber": 17, "severityText": "high", "eventName": "t",
            "body": {"stringValue": "CEF:0|a\"b"}, "attributes": [{"key": "log.record.uid", "value": {"stringValue": "1"}}],
        })
    );
}

fn inside(message: &[u8], field: u32) -> Vec<&[u8]> {
    Fields::new(message).filter_map(|(own, value)| if let Wire::Len(bytes) = value { (own == field).then_some(bytes) } else { None }).collect()
}

#[test]
fn a_request_in_protobuf() {
    let records = [("{}", "\u{9}12345678"), ("{}", "\u{9}abcdefgh")];
    let (result, request) = run("{}", &otlp("application/x-protobuf"), answer(200, "application/x-protobuf", b""), &records);
    assert_eq!((result, request.headers[0].1.as_slice()), (Ok(Delivery::accepted()), &b"application/x-protobuf"[..]));
    let logs = inside(&request.body, 1);
    let scopes = inside(logs[0], 2);
    assert_eq!((logs.len(), scopes.len()), (1, 1));
    assert_eq!(inside(scopes[0], 2), [b"\x0912345678", b"\x09abcdefgh"]);
    assert_eq!(inside(inside(scopes[0], 1)[0], 1), [b"bulkhead"]);
    assert_eq!(inside(inside(logs[0], 1)[0], 1), [b"\x0a\x0cservice.name\x12\x0a\x0a\x08bulkhead"]);
    let (_, request) = run(r#"{"encoding":"protobuf"}"#, &cef(), json(200, "{}"), &[("{}", "line")]);
    let logs = inside(&request.body, 1);
    assert_eq!(inside(inside(inside(logs[0], 2)[0], 2)[0], 5), [b"\x0a\x04line"]);
}

#[test]
fn the_encoding_is_that_of_the_format() {
    let configure = |config: &str, format: &RecordFormat| native::connector::<Otlp>(config, format).map(|made| made.connector.encoding);
    assert_eq!(configure("{}", &cef()), Ok(Encoding::Json));
    assert_eq!(configure(r#"{"encoding":"protobuf"}"#, &cef()), Ok(Encoding::Protobuf));
    assert_eq!(configure("{}", &otlp("application/x-protobuf")), Ok(Encoding::Protobuf));
    assert_eq!(configure(r#"{"encoding":"json"}"#, &otlp("application/json")), Ok(Encoding::Json));
    let error = configure(r#"{"encoding":"protobuf"}"#, &otlp("application/json")).unwrap_err();
    assert!(error.contains("`encoding` asks for application/x-protobuf, and this lane's format writes application/json"), "{error}");
    for (config, words) in [
        (r#"{"resource":{"":"x"}}"#, "`resource` names an attribute without a name"),
        (r#"{"resource":{"a":"x"},"resource_fields":{"a":"/b"}}"#, "`resource_fields` names \"a\""),
        (r#"{"resource_fields":{"a":"b"}}"#, "`resource_fields.a` is \"b\"; it is a pointer"),
        (r#"{"headers":{"X-A":"x"}}"#, "`headers` names \"X-A\""),
        (r#"{"headers":{"x-a":"\n"}}"#, "`headers.x-a` contains a character"),
    ] {
        let error = configure(config, &cef()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

fn rejected(reason: &str) -> Result<Delivery, Failure> {
    Ok(Delivery::All(Outcome::Rejected(reason.to_owned())))
}

#[test]
fn partial_success_names_no_record() {
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no room"}}"#;
    let words = "the receiver rejected 2 of 3 log records, it does not say which: no room";
    let format = otlp("application/json");
    assert_eq!(run("{}", &format, json(200, partial), &BATCH).0, rejected(words));
    assert_eq!(run(r#"{"partial_success":"accept"}"#, &format, json(200, partial), &BATCH).0, Ok(Delivery::accepted()));
    // As a number, in Protocol Buffers, and all of them.
    let number = r#"{"partialSuccess":{"rejectedLogRecords":2,"errorMessage":"no room"}}"#;
    assert_eq!(run("{}", &format, json(200, number), &BATCH).0, rejected(words));
    let message = answer(200, "application/x-protobuf", b"\x0a\x0b\x08\x02\x12\x07no room");
    assert_eq!(run("{}", &otlp("application/x-protobuf"), message, &BATCH).0, rejected(words));
    let all = r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#;
    let words = "the receiver rejected 3 of 3 log records, it does not say which: ";
    assert_eq!(run(r#"{"partial_success":"accept"}"#, &format, json(200, all), &BATCH).0, rejected(words));
    let one = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"bad"}}"#;
    assert_eq!(run("{}", &format, json(200, one), &BATCH[..1]).0, rejected("the receiver rejected 1 of 1 log records: bad"));
    // A warning.
    let warning = r#"{"partialSuccess":{"errorMessage":"use HTTP/2"}}"#;
    assert_eq!(run("{}", &format, json(200, warning), &BATCH).0, Ok(Delivery::accepted()));
}

#[test]
fn answers() {
    let status = b"\x08\x03\x12\x03bad";
    for (reply, want) in [
        (answer(400, "application/x-protobuf", status), "Err(TooLarge"),
        (json(401, ""), "Err(Unauthorized"),
        (json(404, ""), "Err(Configuration"),
        (json(413, ""), "Err(TooLarge"),
        (json(415, r#"{"code":3,"message":"no gzip"}"#), "Err(Configuration(\"the receiver answered 415: no gzip"),
        (json(429, ""), "Err(Unavailable"),
        (json(500, ""), "Err(Unavailable"),
        (json(200, "<html>welcome</html>"), "Err(Other"),
        (json(200, "{"), "Err(Other"),
        (answer(200, "application/x-protobuf", b"\x0a\x7f"), "Err(Other"),
        (answer(200, "application/x-protobuf", b"\x0a\x02\x08\x80"), "Err(Other"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
    ] {
        let (result, _) = run("{}", &cef(), reply, &BATCH);
        assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
    }
    assert_eq!(run("{}", &cef(), answer(400, "application/x-protobuf", status), &BATCH[..1]).0, rejected("the receiver answered 400: bad"));
    assert_eq!(run("{}", &cef(), json(400, "plain words"), &BATCH[..1]).0, rejected("the receiver answered 400: plain words"));
    let strict = r#"{"strict_statuses":true}"#;
    for status in [408, 500, 505] {
        assert_eq!(run(strict, &cef(), json(status, r#"{"message":"no"}"#), &BATCH).0, rejected(&format!("the receiver answered {status}: no")));
    }
    for status in [429, 502, 503, 504] {
        assert!(matches!(run(strict, &cef(), json(status, ""), &BATCH).0, Err(Failure::Unavailable { .. })), "{status}");
    }
}

#[test]
fn the_check_sends_an_empty_request() {
    for (encoding, body) in [("json", &b"{}"[..]), ("protobuf", b"")] {
        for (reply, want) in [
            (json(200, "{}"), "Ok("),
            (json(200, "<html>"), "Err(Other"),
            (json(400, r#"{"message":"empty"}"#), "Err(Configuration(\"an empty request was refused: the receiver answered 400: empty"),
            (json(401, ""), "Err(Unauthorized"),
            (json(404, ""), "Err(Configuration"),
            (json(415, ""), "Err(Configuration"),
            (json(503, ""), "Err(Unavailable"),
        ] {
            native::on_http(move |request| {
                assert_eq!(request.body, body);
                reply.clone()
            });
            let mut otlp = native::connector::<Otlp>(&format!(r#"{{"encoding":"{encoding}"}}"#), &cef()).unwrap();
            let heard = otlp.connector.check();
            assert!(format!("{heard:?}").starts_with(want), "{heard:?}, wanted {want}");
        }
    }
    native::reset();
}
