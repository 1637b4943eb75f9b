use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText, answer};
use serde_json::{Value, json};

use super::*;

type Reply = Result<http::Response, http::Error>;

fn format() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

/// Delivers events, each with its record; gives the requests.
fn run(config: &str, reply: Reply, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<NewRelic>(config, &format()).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

fn body(request: &http::Request) -> Value {
    assert!(request.headers.contains(&("content-type".to_owned(), b"application/json".to_vec())));
    serde_json::from_slice(&request.body).unwrap()
}

/// The native clock stands at 2026-01-02T03:04:05Z.
const FRESH: &str = r#"{"id":"e-1","time":"2026-01-02T03:04:04.250Z","type":"login","severity":"high","host":"h1","user":"ada","source":"s","compliance":["sox","gdpr"],"dstport":443,"metadata":{"team":"a"}}"#;
const YESTERDAY: &str = r#"{"id":"e-2","time":"2026-01-01T02:04:05Z","type":"logout"}"#;
const OLD: &str = r#"{"id":"e-3","time":"2025-12-31T03:04:05Z"}"#;
const FUTURE: &str = r#"{"id":"e-4","time":"2026-01-03T03:04:05Z"}"#;

const EVENTS: &str =
    r#"{"mode":"events","account_id":1234567,"event_type":"Audit:x","attributes":{"environment":"prod"},"attribute_fields":{"team":"/metadata/team"}}"#;

#[test]
fn logs() {
    let config =
        r#"{"attributes":{"environment":"prod","logtype":"audit"},"attribute_fields":{"team":"/metadata/team","port":"/dstport","profiles":"/compliance"}}"#;
    let (result, requests) = run(config, answer(202, r#"{"requestId":"r"}"#), &[(FRESH, "{\"a\":\"b\"}\n"), (YESTERDAY, "two"), (OLD, "three")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.path.as_str(), request.gzip), ("POST", "/log/v1", true));
    assert_eq!(
        body(request),
        json!([{"common": {"attributes": {"environment": "prod", "logtype": "audit"}}, "logs": [
            {"timestamp": 1_767_323_044_250_u64, "message": "{\"a\":\"b\"}", "attributes": {"event.id": "e-1", "hostname": "h1", "level": "high", "port": 443, "profiles": "sox,gdpr", "team": "a"}},
            {"timestamp": 1_767_233_045_000_u64, "message": "two", "attributes": {"event.id": "e-2"}},
            // Older than New Relic keeps: the time of receipt is taken.
            {"message": "three", "attributes": {"event.id": "e-3"}},
        ]}])
    );
    let (_, requests) = run(r#"{"attributes":{"hostname":"fixed"},"gzip":false}"#, answer(202, ""), &[(FRESH, "x")]);
    assert_eq!(body(&requests[0])[0]["logs"][0]["attributes"], json!({"event.id": "e-1", "level": "high"}));
    assert!(!requests[0].gzip);
    let (_, requests) = run("{}", answer(202, ""), &[("{}", "x")]);
    assert_eq!(body(&requests[0]), json!([{"common": {"attributes": {}}, "logs": [{"message": "x", "attributes": {}}]}]));
}

#[test]
fn events_are_flat() {
    let (result, requests) = run(EVENTS, answer(200, r#"{"success":true,"uuid":"u"}"#), &[(FRESH, "x"), (YESTERDAY, "x"), (FUTURE, "x")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(requests[0].path, "/v1/accounts/1234567/events");
    assert_eq!(
        body(&requests[0]),
        json!([
            {"timestamp": 1_767_323_044_250_u64, "eventType": "Audit:x", "environment": "prod", "id": "e-1", "source": "s", "type": "login", "severity": "high", "compliance": "sox,gdpr", "user": "ada", "host": "h1", "dstport": 443, "team": "a"},
            {"eventType": "Audit:x", "environment": "prod", "id": "e-2", "type": "logout"},
            {"eventType": "Audit:x", "environment": "prod", "id": "e-4"},
        ])
    );
    // Names of the configuration go before those of the event; nested values and long ones become texts that fit.
    let config = r#"{"mode":"events","account_id":1,"attribute_fields":{"user":"/metadata","huge":"/n"},"attributes":{"host":"h9"}}"#;
    let event = format!(r#"{{"host":"h1","user":"ada","metadata":{{"team":"{}"}},"n":"{}"}}"#, "a", "é".repeat(4000));
    let (_, requests) = run(config, answer(200, ""), &[(&event, "x")]);
    assert_eq!(body(&requests[0])[0], json!({"eventType": "BulkheadAudit", "host": "h9", "huge": "é".repeat(2047), "user": "{\"team\":\"a\"}"}));
}

const MEASURED: &str = r#"{"time":"2026-01-02T03:04:04Z","type":"copybook.performance_measurement","severity":"info","host":"h1","user":"ada","data":{"event_type":"PerformanceMeasurement","payload":{"operation_name":"decode","cpu_usage_percent":80.25}}}"#;

#[test]
fn metrics() {
    let config = r#"{"mode":"metrics","attributes":{"environment":"prod"}}"#;
    let (result, requests) = run(config, answer(202, r#"{"requestId":"r"}"#), &[(MEASURED, "x"), (MEASURED, "y")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(requests[0].path, "/metric/v1");
    let attributes = json!({"event_type": "PerformanceMeasurement", "severity": "info", "operation": "decode", "user": "ada", "host.name": "h1"});
    assert_eq!(
        body(&requests[0]),
        json!([{"common": {"attributes": {"environment": "prod"}}, "metrics": [
            {"name": "copybook.audit.events", "type": "count", "interval.ms": 1000, "value": 2, "timestamp": 1_767_323_044_000_u64, "attributes": attributes},
            {"name": "copybook.performance.cpu_percent", "type": "gauge", "value": 80.25, "timestamp": 1_767_323_044_000_u64, "attributes": attributes},
        ]}])
    );
    let config = r#"{"mode":"metrics","metrics":{"prefix":"acme","tags":[]}}"#;
    for event in [OLD, FUTURE] {
        let (_, requests) = run(config, answer(202, ""), &[(event, "x")]);
        let metric = &body(&requests[0])[0]["metrics"][0];
        assert_eq!((&metric["name"], &metric["timestamp"], &metric["attributes"]), (&json!("acme.audit.events"), &json!(1_767_323_045_000_u64), &json!({})));
    }
}

/// A megabyte, whether compressed or not.
#[test]
fn what_does_not_fit_a_request() {
    let long = "x".repeat(1_000_000);
    let (result, requests) = run("{}", answer(202, ""), &[(FRESH, "a"), (FRESH, &long)]);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert_eq!(outcomes[0], Outcome::Accepted(None));
    assert!(matches!(&outcomes[1], Outcome::Rejected(reason) if reason.contains("the receiver takes at most 9999")), "{:?}", outcomes[1]);
    assert!(requests[0].body.len() < 1000);
    let half = "x".repeat(600_000);
    let (result, requests) = run("{}", answer(202, ""), &[(FRESH, &half), (FRESH, &half)]);
    assert!(matches!(result, Err(Failure::TooLarge(_))) && requests.is_empty(), "{result:?}");
    let events: Vec<String> = (0..6000).map(|i| format!(r#"{{"type":"t{i}","host":"{}"}}"#, "h".repeat(200))).collect();
    let batch: Vec<(&str, &str)> = events.iter().map(|event| (event.as_str(), "x")).collect();
    let (result, requests) = run(r#"{"mode":"metrics"}"#, answer(202, ""), &batch);
    assert!(matches!(result, Err(Failure::TooLarge(_))) && requests.is_empty(), "{result:?}");
}

#[test]
fn answers() {
    for config in ["{}", EVENTS, r#"{"mode":"metrics"}"#] {
        for (reply, want) in [
            (answer(202, ""), "Ok(All(Accepted"),
            (answer(400, "{}"), "Err(TooLarge"),
            (answer(403, ""), "Err(Unauthorized"),
            (answer(404, ""), "Err(Configuration"),
            (answer(408, ""), "Err(Unavailable"),
            (answer(413, ""), "Err(TooLarge"),
            (answer(415, ""), "Err(Configuration"),
            (answer(429, ""), "Err(Unavailable"),
            (answer(503, ""), "Err(Unavailable"),
            (Err(http::Error::Timeout), "Err(Unavailable"),
        ] {
            let (result, _) = run(config, reply, &[(FRESH, "x"), (OLD, "y")]);
            assert!(format!("{result:?}").starts_with(want), "{config} {result:?}, wanted {want}");
        }
        for status in [400, 413] {
            let (result, _) = run(config, answer(status, "no"), &[(FRESH, "x")]);
            assert!(matches!(result, Ok(Delivery::All(Outcome::Rejected(_)))), "{result:?}");
        }
    }
}

#[test]
fn configuration() {
    let many: Vec<String> = (0..98).map(|i| format!("\"a{i}\":\"x\"")).collect();
    for (config, words) in [
        (r#"{"mode":"events"}"#.to_owned(), "`account_id` is missing"),
        (r#"{"account_id":1}"#.to_owned(), "`account_id` is for `mode: events`"),
        (r#"{"event_type":"A"}"#.to_owned(), "`event_type` is for"),
        (r#"{"mode":"events","account_id":1,"event_type":"a b"}"#.to_owned(), "`event_type` is \"a b\""),
        (r#"{"mode":"metrics","attribute_fields":{}}"#.to_owned(), "`attribute_fields` is for `mode: logs` or `mode: events`"),
        (r#"{"metrics":{}}"#.to_owned(), "`metrics` is for"),
        (r#"{"attributes":{"timestamp":"x"}}"#.to_owned(), "`attributes` names \"timestamp\""),
        (r#"{"attribute_fields":{"a":"b"}}"#.to_owned(), "it is a pointer"),
        (r#"{"attributes":{"a":"x"},"attribute_fields":{"a":"/b"}}"#.to_owned(), "is in `attributes` and in `attribute_fields`"),
        (format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "x".repeat(4095)), "`attributes.a` has 4095 bytes"),
        (format!("{{\"attributes\":{{{}}}}}", many.join(",")), "101 attributes"),
        (r#"{"mode":"metrics","metrics":{"prefix":"a b"}}"#.to_owned(), "`metrics.prefix` is \"a b\""),
    ] {
        let error = native::connector::<NewRelic>(&config, &format()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn the_check_sends_nothing() {
    for (config, want) in [
        ("{}", json!([{"common": {"attributes": {}}, "logs": []}])),
        (EVENTS, json!([])),
        (r#"{"mode":"metrics"}"#, json!([{"common": {"attributes": {}}, "metrics": []}])),
    ] {
        for (status, verdict) in [(202, "Ok("), (400, "Ok("), (403, "Err(Unauthorized"), (404, "Err(Configuration"), (415, "Err(Configuration")] {
            let want = want.clone();
            native::on_http(move |request| {
                assert_eq!(body(&request), want);
                answer(status, "")
            });
            let heard = native::connector::<NewRelic>(config, &format()).unwrap().connector.check();
            assert!(format!("{heard:?}").starts_with(verdict), "{config} {status}: {heard:?}");
        }
    }
    native::reset();
}
