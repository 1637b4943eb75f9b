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

/// Delivers as often as asked; replies are given in turn, the last one again and again.
fn run(more: &str, replies: &[Reply], batch: &[(&str, &str)], times: usize) -> (Vec<Result<Delivery, Failure>>, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    let replies = replies.to_vec();
    native::on_http(move |request| {
        let mut requests = requests.borrow_mut();
        requests.push(request);
        replies[(requests.len() - 1).min(replies.len() - 1)].clone()
    });
    let mut connector = native::connector::<AppDynamics>(&format!(r#"{{"account_name":"acme_1a2b"{more}}}"#), &format()).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let results = (0..times).map(|_| connector.deliver_texts(&batch)).collect();
    native::reset();
    (results, seen.take())
}

fn body(request: &http::Request) -> Value {
    for (name, value) in [("content-type", MEDIA), ("accept", MEDIA), ("x-events-api-accountname", "acme_1a2b")] {
        assert!(request.headers.contains(&(name.to_owned(), value.as_bytes().to_vec())), "{name}");
    }
    if request.body.is_empty() { Value::Null } else { serde_json::from_slice(&request.body).unwrap() }
}

fn steps(requests: &[http::Request]) -> Vec<(&str, &str)> {
    requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect()
}

const EVENT: &str = r#"{"id":"e-1","time":"2026-01-02T03:04:05.123Z","type":"login","severity":"high","user":"ada","compliance":["sox","gdpr"],"dstport":443,"metadata":{"team":"a","score":1.50,"ok":true,"at":"2026-01-02T00:00:00Z","n":"7"}}"#;

#[test]
fn the_schema_is_created_once_where_there_is_none() {
    let (results, requests) = run("", &[answer(404, ""), answer(201, ""), answer(200, "")], &[(EVENT, "x")], 2);
    assert_eq!(results, [Ok(Delivery::accepted()), Ok(Delivery::accepted())]);
    let publish = ("POST", "/events/publish/bulkhead_audit");
    assert_eq!(steps(&requests), [("GET", "/events/schema/bulkhead_audit"), ("POST", "/events/schema/bulkhead_audit"), publish, publish]);
    let schema = body(&requests[1]);
    assert_eq!(
        (&schema["schema"]["id"], &schema["schema"]["dstport"], schema["schema"].as_object().map(|fields| fields.len())),
        (&json!("string"), &json!("integer"), Some(20))
    );
    // There already, and created by another meanwhile.
    let (_, requests) = run("", &[answer(200, "{}")], &[(EVENT, "x")], 1);
    assert_eq!(requests.len(), 2);
    let (results, requests) = run("", &[answer(404, ""), answer(409, ""), answer(200, "")], &[(EVENT, "x")], 1);
    assert_eq!((results, requests.len()), (vec![Ok(Delivery::accepted())], 3));
    // Not asked for.
    let (_, requests) = run(r#","create_schema":false,"schema":"own""#, &[answer(200, "")], &[(EVENT, "x")], 1);
    assert_eq!(steps(&requests), [("POST", "/events/publish/own")]);
}

#[test]
fn without_a_schema_no_event_goes_out() {
    for (replies, want) in [
        (vec![answer(401, "")], "Err(Unauthorized"),
        (vec![answer(404, ""), answer(400, "bad schema")], "Err(Configuration(\"schema: the receiver answered 400: bad schema"),
        (vec![answer(404, ""), answer(503, "")], "Err(Unavailable"),
        (vec![Err(http::Error::Timeout)], "Err(Unavailable"),
    ] {
        let (results, requests) = run("", &replies, &[(EVENT, "x")], 1);
        assert!(format!("{:?}", results[0]).starts_with(want), "{results:?}");
        assert!(steps(&requests).iter().all(|(_, path)| path.starts_with("/events/schema/")));
    }
    // Deleted behind our back: seen to again at the next attempt.
    let (results, requests) = run("", &[answer(200, ""), answer(404, ""), answer(404, ""), answer(201, ""), answer(200, "")], &[(EVENT, "x")], 2);
    assert!(matches!(&results[0], Err(Failure::Configuration(words)) if words.contains("is there a schema bulkhead_audit?")), "{results:?}");
    assert_eq!((&results[1], requests.len()), (&Ok(Delivery::accepted()), 5));
}

#[test]
fn events_are_flat_and_of_the_types_that_the_schema_says() {
    let more = r#","record":true,"fields":{"team":"/metadata/team","score":"/metadata/score","ok":"/metadata/ok","at":"/metadata/at","n":"/metadata/n","wrong":"/metadata/team","user":"/metadata"},"types":{"score":"float","ok":"boolean","at":"date","n":"integer","wrong":"integer"}"#;
    let (_, requests) = run(more, &[answer(404, ""), answer(201, ""), answer(200, "")], &[(EVENT, "{\"a\":1}\n"), ("{}", "x")], 1);
    let schema = body(&requests[1])["schema"].clone();
    assert_eq!(
        (&schema["score"], &schema["ok"], &schema["at"], &schema["team"], &schema["record"]),
        (&json!("float"), &json!("boolean"), &json!("date"), &json!("string"), &json!("string"))
    );
    assert_eq!(
        body(&requests[2]),
        json!([
            {"eventTimestamp": 1_767_323_045_123_u64, "id": "e-1", "type": "login", "severity": "high", "compliance": "sox,gdpr", "dstport": 443, "team": "a", "score": 1.5, "ok": true, "at": 1_767_312_000_000_u64, "n": 7,
             "user": r#"{"team":"a","score":1.5,"ok":true,"at":"2026-01-02T00:00:00Z","n":"7"}"#, "record": "{\"a\":1}"},
            {"record": "x"},
        ])
    );
    let long = format!(r#"{{"user":"{}"}}"#, "é".repeat(3000));
    let (_, requests) = run(r#","record":true"#, &[answer(200, "")], &[(&long, &"r".repeat(5000))], 1);
    let event = &body(&requests[1])[0];
    assert_eq!((event["user"].as_str().map(str::len), event["record"].as_str().map(str::len)), (Some(4096), Some(4096)));
    let (_, requests) = run("", &[answer(200, "")], &[("{}", "x")], 1);
    assert_eq!(body(&requests[1]), json!([{}]));
}

#[test]
fn answers() {
    for (status, want) in [
        (200, "Ok(All(Accepted"),
        (400, "Err(TooLarge"),
        (401, "Err(Unauthorized"),
        (404, "Err(Configuration"),
        (406, "Err(Configuration"),
        (413, "Err(TooLarge"),
        (415, "Err(Configuration"),
        (429, "Err(Unavailable"),
        (503, "Err(Unavailable"),
    ] {
        let (results, _) = run("", &[answer(200, "{}"), answer(status, "{}")], &[(EVENT, "x"), (EVENT, "y")], 1);
        assert!(format!("{:?}", results[0]).starts_with(want), "{status}: {results:?}");
    }
    let (results, _) = run("", &[answer(200, "{}"), answer(400, "no")], &[(EVENT, "x")], 1);
    assert!(matches!(&results[0], Ok(Delivery::All(Outcome::Rejected(_)))), "{results:?}");
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{}"#, "`account_name` is missing"),
        (r#"{"account_name":"a b"}"#, "`account_name` is printable ASCII"),
        (r#"{"account_name":"a","schema":"1a"}"#, "`schema` is \"1a\""),
        (r#"{"account_name":"a","schema":"a/b"}"#, "`schema` is \"a/b\""),
        (r#"{"account_name":"a","fields":{"a-b":"/c"}}"#, "`fields` names \"a-b\""),
        (r#"{"account_name":"a","fields":{"eventTimestamp":"/c"}}"#, "is none of eventTimestamp"),
        (r#"{"account_name":"a","fields":{"a":"c"}}"#, "it is a pointer"),
        (r#"{"account_name":"a","types":{"a":"float"}}"#, "`types.a` is the type of no field"),
        (r#"{"account_name":"a","fields":{"a":"/c"},"types":{"a":"text"}}"#, "one of string, integer, float, boolean, date"),
    ] {
        let error = native::connector::<AppDynamics>(config, &format()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn the_check_sees_to_the_schema() {
    let check = |more: &str, replies: Vec<Reply>| {
        let mut replies: std::collections::VecDeque<Reply> = replies.into();
        native::on_http(move |_| replies.pop_front().unwrap());
        let heard = native::connector::<AppDynamics>(&format!(r#"{{"account_name":"a"{more}}}"#), &format()).unwrap().connector.check();
        native::reset();
        format!("{heard:?}")
    };
    assert!(check("", vec![answer(200, "{}")]).starts_with("Ok("));
    assert!(check("", vec![answer(404, ""), answer(201, "")]).starts_with("Ok("));
    assert!(check("", vec![answer(401, "")]).starts_with("Err(Unauthorized"));
    assert!(check(r#","create_schema":false"#, vec![answer(200, "{}")]).starts_with("Ok("));
    assert!(check(r#","create_schema":false"#, vec![answer(404, "")]).contains("has no schema bulkhead_audit"));
}
