use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};
use serde_json::{Value, json};

use super::*;

type Reply = Result<http::Response, http::Error>;

fn format() -> RecordFormat {
    RecordFormat::new("cef", "text/plain")
}

fn run(config: &str, reply: Reply, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<Annotations>(config, &format()).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

fn body(request: &http::Request) -> Value {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/annotations"));
    serde_json::from_slice(&request.body).unwrap()
}

const ADDED: &str = r#"{"message":"Annotation added","id":17}"#;
const EVENT: &str = r#"{"time":"2026-01-02T03:04:05.123Z","type":"deploy","severity":"high","roles":["a","b"],"data":{"message":"two\nlines \"x\""}}"#;

#[test]
fn annotations() {
    let config = r#"{"dashboard_uid":"abc-1","panel_id":2,"org_id":3,"tags":["audit"],"tag_fields":{"severity":"/severity","roles":"/roles","none":"/none"},"text_field":"/data/message"}"#;
    let (result, requests) = run(config, answer(200, ADDED), &[(EVENT, "record")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(Some("17".to_owned()))])));
    assert!(requests[0].headers.contains(&("x-grafana-org-id".to_owned(), b"3".to_vec())));
    assert_eq!(
        body(&requests[0]),
        json!({"dashboardUID": "abc-1", "panelId": 2, "time": 1_767_323_045_123_u64, "tags": ["audit", "roles:[\"a\",\"b\"]", "severity:high"], "text": "two\nlines \"x\""})
    );
    let (result, requests) = run("{}", answer(200, "strange"), &[(EVENT, " record\n")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    assert_eq!(body(&requests[0]), json!({"time": 1_767_323_045_123_u64, "tags": ["bulkhead"], "text": "record"}));
    let (_, requests) = run(r#"{"tags":[],"text_field":"/none"}"#, answer(200, ADDED), &[("{}", "\n")]);
    assert_eq!(body(&requests[0]), json!({"tags": [], "text": "-"}));
}

#[test]
fn text_and_tags_stay_within_their_lengths() {
    let event = format!(r#"{{"a":"{0}","b":"{0}","c":"{0}","d":"short"}}"#, "é".repeat(400));
    let (_, requests) = run(r#"{"tags":["audit"],"tag_fields":{"a":"/a","b":"/b","c":"/c","d":"/d"}}"#, answer(200, ADDED), &[(&event, &"é".repeat(3000))]);
    let body = body(&requests[0]);
    let tags: Vec<usize> = body["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().len()).collect();
    // A hundred characters each; the third long one does not fit any more, the short one behind it does.
    assert_eq!((tags, body["text"].as_str().map(str::len)), (vec![5, 202, 202, 7], Some(4096)));
}

#[test]
fn answers() {
    for (reply, want) in [
        (answer(400, r#"{"message":"bad request data"}"#), "Ok(Each([Rejected(\"the receiver answered 400"),
        (answer(401, r#"{"message":"Invalid API key"}"#), "Err(Unauthorized"),
        (answer(403, r#"{"message":"You'll need additional permissions to perform this action. Permissions needed: annotations:create"}"#), "Err(Unauthorized"),
        (answer(404, r#"{"message":"Dashboard not found"}"#), "Err(Configuration"),
        (answer(422, ""), "Ok(Each([Rejected"),
        (answer(429, ""), "Err(Unavailable"),
        (answer(500, r#"{"message":"Failed to save annotation"}"#), "Err(Unavailable"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
    ] {
        let (result, _) = run("{}", reply, &[(EVENT, "x")]);
        assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
    }
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"panel_id":2}"#.to_owned(), "`panel_id` needs `dashboard_uid`"),
        (r#"{"dashboard_uid":"a b"}"#.to_owned(), "`dashboard_uid` is \"a b\""),
        (r#"{"tags":[""]}"#.to_owned(), "no tag is empty"),
        (format!(r#"{{"tags":["{}"]}}"#, "x".repeat(501)), "`tags` has 501 bytes"),
        (format!(r#"{{"tags":["{}"]}}"#, "x".repeat(101)), "Grafana keeps 100 characters"),
        (format!(r#"{{"tags":["a:{}"]}}"#, "x".repeat(101)), "Grafana keeps 100 characters"),
        (r#"{"tag_fields":{"":"/a"}}"#.to_owned(), "`tag_fields` names \"\""),
        (r#"{"tag_fields":{"a":"b"}}"#.to_owned(), "it is a pointer"),
        (r#"{"text_field":"b"}"#.to_owned(), "`text_field` is \"b\""),
    ] {
        let error = native::connector::<Annotations>(&config, &format()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn the_check_tells_health_and_token_apart() {
    for (health, org, want) in
        [(200, 200, "Ok("), (503, 200, "Err(Unavailable"), (200, 401, "Err(Unauthorized"), (200, 403, "Ok("), (404, 200, "Err(Configuration")]
    {
        native::on_http(move |request| answer(if request.path == "/api/health" { health } else { org }, "{}"));
        let heard = native::connector::<Annotations>("{}", &format()).unwrap().connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}");
    }
    native::reset();
}
