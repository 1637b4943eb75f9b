use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText, answer};
use serde_json::{Value, json};

use super::*;

type Reply = Result<http::Response, http::Error>;
type Result_ = Result<Delivery, Failure>;

fn format() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

/// Delivers events, each with its record; gives the requests.
fn run(config: &str, reply: Reply, batch: &[(&str, &str)]) -> (Result_, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<Datadog>(config, &format()).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

fn body(request: &http::Request) -> Value {
    assert!(request.headers.contains(&("content-type".to_owned(), b"application/json".to_vec())));
    serde_json::from_slice(&request.body).unwrap()
}

/// The native clock stands at 03:04:05; this one is fresh, the next one 18 hours old.
const FRESH: &str =
    r#"{"id":"e-1","time":"2026-01-02T03:04:04.250Z","type":"login","severity":"high","host":"h1","user":"a,d\ta","source":"s","roles":["x","y"]}"#;
const OLD: &str = r#"{"id":"e-2","time":"2026-01-01T09:04:05Z","type":"logout"}"#;

#[test]
fn logs() {
    let config =
        r#"{"source":"acme","service":"audit","service_field":"/svc","tags":{"env":"prod"},"tag_fields":{"user":"/user","role":"/roles","none":"/none"}}"#;
    let (result, requests) = run(config, answer(202, "{}"), &[(FRESH, "{\"a\":\"b\"}\n"), (OLD, "old")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.path.as_str(), request.gzip), ("POST", "/api/v2/logs", true));
    assert_eq!(
        body(request),
        json!([
            {"ddsource": "acme", "ddtags": "env:prod,role:x,role:y,user:a_d_a", "hostname": "h1", "service": "audit", "status": "error", "timestamp": 1_767_323_044_250_u64, "event_id": "e-1", "message": "{\"a\":\"b\"}"},
            // Too old for Datadog to keep: the time of receipt is taken.
            {"ddsource": "acme", "ddtags": "env:prod", "service": "audit", "status": "info", "event_id": "e-2", "message": "old"},
        ])
    );
    let (_, requests) = run(r#"{"hostname":"h9","gzip":false,"service_field":"/user"}"#, answer(202, "{}"), &[(FRESH, "x")]);
    assert!(!requests[0].gzip);
    let entry = &body(&requests[0])[0];
    assert_eq!(
        (&entry["ddsource"], &entry["hostname"], &entry["service"], &entry["ddtags"]),
        (&json!("bulkhead"), &json!("h9"), &json!("a,d\ta"), &Value::Null)
    );
}

#[test]
fn every_severity_has_a_status() {
    for (severity, status) in [("info", "info"), ("low", "notice"), ("medium", "warning"), ("high", "error"), ("critical", "critical"), ("", "info")] {
        let event = format!(r#"{{"severity":"{severity}"}}"#);
        let (_, requests) = run("{}", answer(202, "{}"), &[(&event, "x")]);
        assert_eq!(body(&requests[0])[0]["status"], status);
    }
}

/// Datadog would cut it and say 202.
#[test]
fn a_log_beyond_a_megabyte_is_rejected_alone() {
    let long = "\"".repeat(600_000);
    let (result, requests) = run("{}", answer(202, "{}"), &[(FRESH, "a"), (FRESH, &long), (FRESH, "b")]);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert!(matches!(&outcomes[1], Outcome::Rejected(reason) if reason.contains("the receiver takes at most 1000000")), "{:?}", outcomes[1]);
    assert_eq!((outcomes.len(), body(&requests[0]).as_array().map(Vec::len)), (3, Some(2)));
    // More than five megabytes together: halves.
    let large = "x".repeat(999_000);
    let (result, requests) = run("{}", answer(202, "{}"), &[(FRESH, large.as_str()); 6]);
    assert!(matches!(result, Err(Failure::TooLarge(_))) && requests.is_empty(), "{result:?}");
}

#[test]
fn answers() {
    let forbidden = r#"{"errors":[{"detail":"Forbidden","status":"403","title":"Forbidden"}]}"#;
    for config in ["{}", r#"{"mode":"metrics"}"#] {
        for (reply, want) in [
            (answer(202, ""), "Ok(All(Accepted"),
            (answer(400, "{}"), "Err(TooLarge"),
            (answer(401, "{}"), "Err(Unauthorized"),
            (answer(403, forbidden), "Err(Unauthorized"),
            (answer(404, ""), "Err(Configuration"),
            (answer(408, ""), "Err(Unavailable"),
            (answer(413, ""), "Err(TooLarge"),
            (answer(429, ""), "Err(Unavailable"),
            (answer(500, ""), "Err(Unavailable"),
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
fn events_of_the_stream() {
    let config = r#"{"mode":"events","source":"my_apps","tags":{"env":"prod"},"tag_fields":{"user":"/user"},"events":{"title_field":"/title","aggregation_field":"/id"}}"#;
    let long = "é".repeat(3000);
    let (result, requests) =
        run(config, answer(202, r#"{"status":"ok","event":{"id":1234567890123456789,"url":"https://app.datadoghq.com/event/event?id=1"}}"#), &[(FRESH, &long)]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(Some("1234567890123456789".to_owned()))])));
    assert_eq!((requests[0].path.as_str(), requests.len()), ("/api/v1/events", 1));
    assert_eq!(
        body(&requests[0]),
        json!({"title": "login", "text": "é".repeat(2000), "host": "h1", "tags": ["env:prod", "user:a_d_a"], "aggregation_key": "e-1", "alert_type": "error", "priority": "normal", "date_happened": 1_767_323_044, "source_type_name": "my_apps"})
    );
    let (result, requests) = run(r#"{"mode":"events"}"#, answer(202, "<html>"), &[(OLD, " ")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    assert_eq!(body(&requests[0]), json!({"title": "logout", "text": "-", "alert_type": "info", "priority": "low"}));
    let titled = format!(r#"{{"title":"{}"}}"#, "t".repeat(200));
    let (_, requests) = run(config, answer(202, ""), &[(&titled, "x")]);
    assert_eq!(body(&requests[0])["title"], "t".repeat(100));
    assert_eq!(body(&requests[0])["date_happened"], Value::Null);
}

#[test]
fn alerts_of_event_management() {
    let config = r#"{"mode":"events","events":{"version":"v2"},"tags":{"env":"prod"}}"#;
    let (result, requests) = run(config, answer(202, "{}"), &[(FRESH, "text"), (OLD, "x")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None); 2])));
    assert_eq!(requests[0].path, "/api/v2/events");
    assert_eq!(
        body(&requests[0]),
        json!({"data": {"type": "event", "attributes": {"category": "alert", "integration_id": "custom-events", "title": "login", "message": "text", "host": "h1", "tags": ["env:prod"], "timestamp": "2026-01-02T03:04:04.250Z",
            "attributes": {"status": "error", "priority": "2", "custom": {"event_id": "e-1", "event_type": "login", "event_source": "s"}}}}})
    );
    assert_eq!(
        body(&requests[1])["data"]["attributes"]["attributes"],
        json!({"status": "ok", "priority": "5", "custom": {"event_id": "e-2", "event_type": "logout"}})
    );
    let (_, requests) = run(config, answer(202, "{}"), &[("{}", "x")]);
    assert_eq!(body(&requests[0])["data"]["attributes"]["attributes"]["custom"], json!({}));
}

const MEASURED: &str = r#"{"time":"2026-01-02T03:04:04Z","type":"copybook.performance_measurement","severity":"info","host":"h1","user":"ada","data":{"event_type":"PerformanceMeasurement","payload":{"operation_name":"decode","throughput_mbps":80.25}}}"#;

#[test]
fn metrics() {
    let (result, requests) = run(r#"{"mode":"metrics","tags":{"env":"prod"}}"#, answer(202, r#"{"errors":[]}"#), &[(MEASURED, "x"), (MEASURED, "y")]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(requests[0].path, "/api/v2/series");
    let tags = json!(["env:prod", "event_type:PerformanceMeasurement", "severity:info", "operation:decode", "user:ada"]);
    let host = json!([{"name": "h1", "type": "host"}]);
    assert_eq!(
        body(&requests[0]),
        json!({"series": [
            {"metric": "copybook.audit.events", "type": 1, "interval": 1, "points": [{"timestamp": 1_767_323_044, "value": 2}], "resources": host, "tags": tags},
            {"metric": "copybook.performance.throughput_mbps", "type": 3, "points": [{"timestamp": 1_767_323_044, "value": 80.25}], "resources": host, "tags": tags},
        ]})
    );
    // Beyond what Datadog takes: the time of delivery.
    let config = r#"{"mode":"metrics","metrics":{"prefix":"acme","tags":["severity"]},"hostname":"h9"}"#;
    for time in ["2026-01-02T02:04:05Z", "2026-01-02T03:20:00Z"] {
        let (_, requests) = run(config, answer(202, ""), &[(&format!(r#"{{"time":"{time}","severity":"low"}}"#), "x")]);
        let series = &body(&requests[0])["series"][0];
        assert_eq!(
            (&series["metric"], &series["points"][0]["timestamp"], &series["tags"]),
            (&json!("acme.audit.events"), &json!(1_767_323_045), &json!(["severity:low"]))
        );
        assert_eq!(series["resources"][0]["name"], "h9");
    }
    let (result, _) = run(config, answer(202, r#"{"errors":["metric name too long"]}"#), &[("{}", "x"), ("{}", "y")]);
    assert_eq!(result, Ok(Delivery::All(Outcome::Rejected("Datadog took the request and reported: [\"metric name too long\"]".to_owned()))));
}

#[test]
fn configuration() {
    let many: Vec<String> = (0..101).map(|i| format!("\"t{i}\":\"x\"")).collect();
    for (config, words) in [
        (r#"{"mode":"metrics","service":"a"}"#.to_owned(), "`service` is for `mode: logs`"),
        (r#"{"mode":"metrics","source":"a"}"#.to_owned(), "`source` is for `mode: logs` or `mode: events`"),
        (r#"{"mode":"events","service_field":"/a"}"#.to_owned(), "`service_field` is for"),
        (r#"{"events":{}}"#.to_owned(), "`events` is for `mode: events`"),
        (r#"{"mode":"events","metrics":{}}"#.to_owned(), "`metrics` is for `mode: metrics`"),
        (r#"{"mode":"events","source":"a","events":{"version":"v2"}}"#.to_owned(), "events of v2 have none"),
        (r#"{"tags":{"1a":"x"}}"#.to_owned(), "`tags` names \"1a\""),
        (r#"{"tags":{"a":""}}"#.to_owned(), "`tags.a` has 0 bytes"),
        (r#"{"tags":{"a":"x"},"tag_fields":{"a":"/b"}}"#.to_owned(), "is in `tags` and in `tag_fields`"),
        (r#"{"tag_fields":{"a":"b"}}"#.to_owned(), "it is a pointer"),
        (format!("{{\"tags\":{{{}}}}}", many.join(",")), "Datadog takes at most 100"),
        (r#"{"mode":"metrics","metrics":{"prefix":"1x"}}"#.to_owned(), "`metrics.prefix` is \"1x\""),
        (r#"{"mode":"metrics","tags":{"a":""}}"#.to_owned(), "`tags.a` has 1 bytes"),
        (r#"{"mode":"traces"}"#.to_owned(), "one of logs, events, metrics"),
    ] {
        let error = native::connector::<Datadog>(&config, &format()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn checks_send_no_event() {
    for (config, status, want) in [
        ("{}", 202, "Ok("),
        ("{}", 400, "Ok("),
        ("{}", 403, "Err(Unauthorized"),
        ("{}", 404, "Err(Configuration"),
        ("{}", 415, "Err(Configuration"),
        (r#"{"mode":"metrics"}"#, 200, "Ok("),
        (r#"{"mode":"metrics"}"#, 403, "Err(Unauthorized"),
        (r#"{"mode":"metrics"}"#, 400, "Err(Configuration"),
        (r#"{"mode":"events"}"#, 403, "Err(Unauthorized"),
        (r#"{"mode":"events","events":{"version":"v2"}}"#, 200, "Err(Unsupported"),
    ] {
        let logs = config == "{}";
        native::on_http(move |request| {
            let asked = (request.method.as_str(), request.path.as_str(), request.body.as_slice());
            assert_eq!(asked, if logs { ("POST", "/api/v2/logs", &b"[]"[..]) } else { ("GET", "/api/v1/validate", &b""[..]) });
            answer(status, "{}")
        });
        let heard = native::connector::<Datadog>(config, &format()).unwrap().connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{config} {status}: {heard:?}");
    }
    native::reset();
}
