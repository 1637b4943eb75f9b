use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};
use serde_json::{Value, json};

use super::*;

type Reply = Result<http::Response, http::Error>;

const BASE: &str = r#""api":"retired","log_type":"Audit""#;
const EVENT: &str = r#"{"id":"e-1","time":"2026-01-02T03:04:05.123456789+01:00","type":"login","user":"ada"}"#;

fn json_format() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn run(more: &str, format: &RecordFormat, reply: &Reply, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (requests, reply) = (Rc::clone(&seen), reply.clone());
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<DataCollector>(&format!("{{{BASE}{more}}}"), format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

fn body(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn rows_with_their_time_and_its_name() {
    let (result, requests) =
        run(r#","resource_id":"/subscriptions/1""#, &json_format(), &answer(200, ""), &[(EVENT, "{\"a\":{\"b\":1}}"), (EVENT, r#"{"EventTime":"own"}"#)]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(body(&requests[0]), json!([{"EventTime": "2026-01-02T02:04:05Z", "a": {"b": 1}}, {"EventTime": "own"}]));
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str(), requests[0].gzip), ("POST", "/api/logs?api-version=2016-04-01", false));
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(
        requests[0].headers,
        [
            header("content-type", "application/json"),
            header("log-type", "Audit"),
            header("time-generated-field", "EventTime"),
            header("x-ms-azureresourceid", "/subscriptions/1"),
        ]
    );
    let more = r#","columns":{"EventId":"/id"},"record_column":"Cef","time_column":"At""#;
    let (_, requests) = run(more, &RecordFormat::new("cef", "text/plain"), &answer(200, ""), &[(EVENT, "CEF:0|x")]);
    assert_eq!(body(&requests[0]), json!([{"At": "2026-01-02T02:04:05Z", "EventId": "e-1", "Cef": "CEF:0|x"}]));
    assert!(requests[0].headers.contains(&header("time-generated-field", "At")));
}

#[test]
fn what_would_be_cut_or_overwritten_is_rejected_alone() {
    let long = format!(r#"{{"data":"{}"}}"#, "x".repeat(32_769));
    let batch = [(EVENT, "{}"), (EVENT, long.as_str()), (EVENT, r#"{"TimeGenerated":"x"}"#), (EVENT, r#"{"t\u0065nant":1}"#), (EVENT, "[1]")];
    let (result, requests) = run("", &json_format(), &answer(200, ""), &batch);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    let reason = |place: usize| if let Outcome::Rejected(reason) = &outcomes[place] { reason.as_str() } else { "" };
    assert_eq!(reason(1), "the column data has 32769 bytes, Azure keeps 32768");
    assert_eq!((reason(2), reason(3)), ("the column TimeGenerated is one that Azure fills itself", "the column tenant is one that Azure fills itself"));
    assert!(reason(4).contains("no JSON object"), "{outcomes:?}");
    assert_eq!((&outcomes[0], body(&requests[0]).as_array().map(Vec::len)), (&Outcome::Accepted(None), Some(1)));
}

#[test]
fn answers() {
    let error = |code: &str| json!({"Error": code, "Message": "words"}).to_string();
    for (status, body, one, want) in [
        (200, String::new(), false, "Ok(All(Accepted"),
        (400, error("InvalidDataFormat"), false, "Err(TooLarge"),
        (400, error("InvalidDataFormat"), true, "Ok(All(Rejected"),
        (400, error("InvalidLogType"), true, "Err(Configuration"),
        (400, error("InvalidCustomerId"), true, "Err(Configuration"),
        (403, error("InvalidAuthorization"), true, "Err(Unauthorized"),
        (404, String::new(), true, "Err(Configuration"),
        (429, String::new(), true, "Err(Unavailable"),
        (500, error("UnspecifiedError"), true, "Err(Unavailable"),
        (503, error("ServiceUnavailable"), true, "Err(Unavailable"),
    ] {
        let batch: &[(&str, &str)] = if one { &[(EVENT, "{}")] } else { &[(EVENT, "{}"), (EVENT, "{}")] };
        let (result, _) = run("", &json_format(), &answer(status, &body), batch);
        assert!(format!("{result:?}").starts_with(want), "{status} {body}: {result:?}");
    }
}

#[test]
fn the_check_is_an_empty_post() {
    for (status, body, want) in [
        (200, "", "Ok(\"the endpoint takes the signature and"),
        (400, r#"{"Error":"InvalidDataFormat"}"#, "Ok(\"the endpoint takes the signature\""),
        (400, r#"{"Error":"InvalidLogType"}"#, "Err(Configuration"),
        (400, "", "Err(Configuration"),
        (403, "", "Err(Unauthorized"),
        (404, "", "Err(Configuration(\"the receiver answered 404; Microsoft's own endpoints are gone"),
        (503, "", "Err(Unavailable"),
    ] {
        native::on_http(move |request| {
            assert_eq!(request.body, b"[]");
            answer(status, body)
        });
        let heard = native::connector::<DataCollector>(&format!("{{{BASE}}}"), &json_format()).unwrap().connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{status}: {heard:?}");
    }
    native::reset();
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"log_type":"Audit"}"#, "`api` is missing"),
        (r#"{"api":"current","log_type":"Audit"}"#, "`api`"),
        (r#"{"api":"retired","log_type":"Audit-1"}"#, "`log_type` is \"Audit-1\""),
        (r#"{"api":"retired","log_type":"Audit","time_column":"TimeGenerated"}"#, "which Azure fills itself"),
        (r#"{"api":"retired","log_type":"Audit","columns":{"RawData":"/id"}}"#, "which Azure fills itself"),
        (r#"{"api":"retired","log_type":"Audit","resource_id":"a b"}"#, "`resource_id`"),
    ] {
        let error = native::connector::<DataCollector>(config, &json_format()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}
