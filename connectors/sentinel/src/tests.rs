use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};
use serde_json::{Value, json};

use super::*;

type Reply = Result<http::Response, http::Error>;

const RULE: &str = r#""rule":"dcr-0123456789abcdef0123456789ABCDEF","stream":"Custom-Audit_CL""#;
const PATH: &str = "/dataCollectionRules/dcr-0123456789abcdef0123456789ABCDEF/streams/Custom-Audit_CL?api-version=2023-01-01";

fn json_format() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

/// Delivers events, each with its record. Replies are given in turn, the last one again and again.
fn run(more: &str, format: &RecordFormat, replies: &[Reply], batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    let replies = replies.to_vec();
    native::on_http(move |request| {
        let mut requests = requests.borrow_mut();
        requests.push(request);
        replies[(requests.len() - 1).min(replies.len() - 1)].clone()
    });
    let mut connector = native::connector::<Sentinel>(&format!("{{{RULE}{more}}}"), format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

fn body(request: &http::Request) -> Value {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", PATH));
    assert!(request.headers.contains(&("content-type".to_owned(), b"application/json".to_vec())));
    serde_json::from_slice(&request.body).unwrap()
}

const EVENT: &str = r#"{"id":"e-1","time":"2026-01-02T03:04:05.123456789+01:00","type":"login","user":"ada","dstport":443,"compliance":["sox"],"none":null}"#;
const RECEIVED: &str = r#"{"id":"e-2","received":"2026-01-02T03:04:05Z","user":"a\"b"}"#;

#[test]
fn records_are_rows_with_their_time() {
    let batch = [(EVENT, "{\"a\":\"b\"}\n"), (RECEIVED, " { } "), (EVENT, r#"{"TimeGenerated":"own","x":1}"#)];
    let (result, requests) = run("", &json_format(), &[answer(204, "")], &batch);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert!(requests[0].gzip);
    assert_eq!(
        body(&requests[0]),
        json!([{"TimeGenerated": "2026-01-02T02:04:05.1234567Z", "a": "b"}, {"TimeGenerated": "2026-01-02T03:04:05Z"}, {"TimeGenerated": "own", "x": 1}])
    );
    let (_, requests) = run(r#","time_column":"EventTime","gzip":false"#, &json_format(), &[answer(204, "")], &[(RECEIVED, "{\"TimeGenerated\":\"own\"}")]);
    assert_eq!(body(&requests[0]), json!([{"EventTime": "2026-01-02T03:04:05Z", "TimeGenerated": "own"}]));
    assert!(!requests[0].gzip);
    // An event without any time, which intake never leaves, gives a row all the same.
    let (_, requests) = run("", &json_format(), &[answer(204, "")], &[("{}", "{}"), ("{}", "{\"a\":1}")]);
    assert_eq!(body(&requests[0]), json!([{}, {"a": 1}]));
}

#[test]
fn columns_by_pointer() {
    let more = r#","columns":{"EventId":"/id","Actor":"/user","Port":"/dstport","Profiles":"/compliance","None":"/none"},"record_column":"Raw""#;
    let (_, requests) = run(more, &json_format(), &[answer(204, "")], &[(EVENT, "{\"a\":1}"), (RECEIVED, "{}")]);
    assert_eq!(
        body(&requests[0]),
        json!([
            {"TimeGenerated": "2026-01-02T02:04:05.1234567Z", "EventId": "e-1", "Actor": "ada", "Port": 443, "Profiles": ["sox"], "Raw": {"a": 1}},
            {"TimeGenerated": "2026-01-02T03:04:05Z", "EventId": "e-2", "Actor": "a\"b", "Raw": {}},
        ])
    );
    // A format that is no JSON goes in as text; the time may be a column of one's own.
    let cef = RecordFormat::new("cef", "text/plain");
    let (_, requests) =
        run(r#","columns":{"TimeGenerated":"/received"},"record_column":"Raw""#, &cef, &[answer(204, "")], &[(RECEIVED, "CEF:0|\"x\""), (EVENT, "y")]);
    assert_eq!(
        body(&requests[0]),
        json!([{"TimeGenerated": "2026-01-02T03:04:05Z", "Raw": "CEF:0|\"x\""}, {"TimeGenerated": "2026-01-02T02:04:05.1234567Z", "Raw": "y"}])
    );
}

/// Azure would cut a long field and say 204.
#[test]
fn what_azure_would_cut_or_not_take_is_rejected_alone() {
    let long = format!(r#"{{"data":"{}"}}"#, "x".repeat(65_537));
    let batch = [(EVENT, "{}"), (EVENT, long.as_str()), (EVENT, "[1]"), (EVENT, "nonsense"), (EVENT, "{}")];
    let (result, requests) = run("", &json_format(), &[answer(204, "")], &batch);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    let reason = |place: usize| if let Outcome::Rejected(reason) = &outcomes[place] { reason.as_str() } else { "" };
    assert_eq!(reason(1), "the column data has 65537 bytes, Azure keeps 65536");
    assert!(reason(2).contains("no JSON object") && reason(3).contains("no JSON object"), "{outcomes:?}");
    assert_eq!((&outcomes[0], &outcomes[4], body(&requests[0]).as_array().map(Vec::len)), (&Outcome::Accepted(None), &Outcome::Accepted(None), Some(2)));
    for (more, event, words) in [
        (r#","columns":{"Actor":"/user"}"#, format!(r#"{{"user":"{}"}}"#, "x".repeat(70_000)), "the column Actor has 70000 bytes"),
        (r#","record_column":"Raw""#, EVENT.to_owned(), "the column Raw has 65548 bytes"),
    ] {
        let (result, requests) = run(more, &json_format(), &[answer(204, "")], &[(&event, &long)]);
        assert!(format!("{result:?}").contains(words) && requests.is_empty(), "{result:?}");
    }
    let half = format!(r#"{{{}}}"#, (0..10).map(|i| format!(r#""c{i}":"{}""#, "x".repeat(60_000))).collect::<Vec<_>>().join(","));
    let (result, requests) = run("", &json_format(), &[answer(204, "")], &[(EVENT, &half), (EVENT, &half)]);
    assert!(matches!(result, Err(Failure::TooLarge(_))) && requests.is_empty(), "{result:?}");
}

const FORBIDDEN: &str = r#"{"error":{"code":"OperationFailed","message":"The authentication token provided does not have access to ingest data for the data collection rule with immutable Id 'dcr-0'."}}"#;

#[test]
fn answers() {
    for (status, body, want) in [
        (204, "", "Ok(All(Accepted"),
        (400, "{}", "Err(TooLarge"),
        (401, "{}", "Err(Unauthorized(\"the receiver answered 401: {}; check scope"),
        (403, FORBIDDEN, "Err(Unauthorized(\"the receiver answered 403: {\\\"error\\\""),
        (404, "{}", "Err(Configuration"),
        (413, "", "Err(TooLarge"),
        (429, "", "Err(Unavailable"),
        (503, "", "Err(Unavailable"),
    ] {
        let (result, _) = run("", &json_format(), &[answer(status, body)], &[(EVENT, "{}"), (EVENT, "{}")]);
        assert!(format!("{result:?}").starts_with(want), "{status}: {result:?}");
    }
    let (result, _) = run("", &json_format(), &[Err(http::Error::Timeout)], &[(EVENT, "{}")]);
    assert!(matches!(result, Err(Failure::Unavailable { .. })), "{result:?}");
    let (result, _) = run("", &json_format(), &[answer(403, FORBIDDEN)], &[(EVENT, "{}")]);
    assert!(format!("{result:?}").contains("Monitoring Metrics Publisher"), "{result:?}");
}

#[test]
fn a_refusal_that_an_empty_call_meets_too_is_not_the_events_fault() {
    let refused = answer(400, r#"{"error":{"code":"InvalidRecord","message":"no"}}"#);
    let (result, requests) = run("", &json_format(), &[refused.clone(), answer(204, "")], &[(EVENT, "{}")]);
    assert!(matches!(&result, Ok(Delivery::All(Outcome::Rejected(reason))) if reason.contains("InvalidRecord")), "{result:?}");
    assert_eq!((requests.len(), requests[1].body.as_slice()), (2, &b"[]"[..]));
    let (result, _) = run("", &json_format(), std::slice::from_ref(&refused), &[(EVENT, "{}")]);
    assert!(matches!(&result, Err(Failure::Configuration(words)) if words.contains("check `rule` and `stream`")), "{result:?}");
    let (result, _) = run("", &json_format(), &[refused, Err(http::Error::Timeout)], &[(EVENT, "{}")]);
    assert!(matches!(result, Err(Failure::Unavailable { .. })), "{result:?}");
}

#[test]
fn configuration() {
    for (config, format, words) in [
        (r#"{"rule":"dcr-1","stream":"Custom-a"}"#, json_format(), "`rule` is \"dcr-1\""),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Audit_CL"}"#, json_format(), "`stream` is \"Audit_CL\""),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-"}"#, json_format(), "`stream` is \"Custom-\""),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a/b"}"#, json_format(), "`stream` is"),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a","api_version":"2023-01-01&x"}"#, json_format(), "`api_version` is"),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a"}"#, RecordFormat::new("cef", "text/plain"), "rows are JSON"),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a","columns":{"1a":"/id"}}"#, json_format(), "names the column \"1a\""),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a","columns":{"A":"id"}}"#, json_format(), "it is a pointer"),
        (
            r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a","columns":{"A":"/id"},"record_column":"A"}"#,
            json_format(),
            "which is a column already",
        ),
        (r#"{"rule":"dcr-00000000000000000000000000000000","stream":"Custom-a","time_column":""}"#, json_format(), "`time_column` names"),
        (r#"{"stream":"Custom-a"}"#, json_format(), "`rule` is missing"),
    ] {
        let error = native::connector::<Sentinel>(config, &format).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn the_check_is_an_empty_call() {
    for (status, want) in
        [(204, "Ok("), (400, "Err(Configuration"), (401, "Err(Unauthorized"), (403, "Err(Unauthorized"), (404, "Err(Configuration"), (503, "Err(Unavailable")]
    {
        native::on_http(move |request| {
            assert_eq!(body(&request), json!([]));
            answer(status, "")
        });
        let heard = native::connector::<Sentinel>(&format!("{{{RULE}}}"), &json_format()).unwrap().connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{status}: {heard:?}");
    }
    native::reset();
}
