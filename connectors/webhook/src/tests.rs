use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText};

use super::*;

type Requests = Rc<RefCell<Vec<http::Request>>>;

fn status(status: u16) -> Result<http::Response, http::Error> {
    Ok(http::Response { status, ..http::Response::default() })
}

/// Delivers three events and answers the requests with the given statuses in turn.
fn run(
    config: &str,
    format: &RecordFormat,
    answers: &[Result<http::Response, http::Error>],
    batch: &[(&str, &str)],
) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let requests = Requests::default();
    let (seen, mut answers) = (Rc::clone(&requests), Vec::from(answers).into_iter());
    native::on_http(move |request| {
        seen.borrow_mut().push(request);
        answers.next().expect("no more requests than answers")
    });
    let mut webhook = native::connector::<Webhook>(config, format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(id, record)| (*record, EventText::new(&format!(r#"{{"id":{id},"source":"s"}}"#)))).collect();
    let result = webhook.deliver_texts(&batch);
    native::reset();
    (result, requests.take())
}

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn header<'a>(request: &'a http::Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| std::str::from_utf8(value).unwrap())
}

const UUID: &str = "\"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11\"";

#[test]
fn one_event_is_one_request() {
    let config = r#"{"path":"/hooks/a","webhook_id":"wh-1","headers":{"x-team":"blue"},"gzip":true}"#;
    let (result, requests) = run(config, &json(), &[status(200)], &[(UUID, "{\"a\":1}")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.destination.as_str(), request.path.as_str()), ("POST", "primary", "/hooks/a"));
    assert_eq!((request.body.as_slice(), request.gzip, request.message_id.as_str()), (&b"{\"a\":1}"[..], true, UUID.trim_matches('"')));
    let names: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(names, [("content-type", "application/json"), ("x-webhook-id", "wh-1"), ("x-team", "blue"), ("x-event-id", UUID.trim_matches('"'))]);
}

#[test]
fn each_event_has_its_outcome() {
    let batch = [("\"1\"", "a"), ("\"2\"", "b"), ("\"3\"", "c")];
    let busy = Ok(http::Response { status: 503, retry_after: Some(Duration::from_secs(9)), ..http::Response::default() });
    let rejected = Outcome::Rejected("the receiver answered 400".into());
    let large = Outcome::Rejected("the receiver answered 413".into());
    let (retry, wait) = (Outcome::Retry(None), Outcome::Retry(Some(Duration::from_secs(9))));
    let accepted = Outcome::Accepted(None);
    for (answers, want, sent) in [
        (vec![status(200), status(400), status(202)], vec![accepted.clone(), rejected.clone(), accepted.clone()], 3),
        (vec![status(413), status(200), status(200)], vec![large, accepted.clone(), accepted.clone()], 3),
        (vec![status(200), busy, status(200)], vec![accepted.clone(), wait.clone(), wait], 2),
        (vec![status(200), status(401)], vec![accepted.clone(), retry.clone(), retry.clone()], 2),
        (vec![status(400), Err(http::Error::Timeout)], vec![rejected, retry.clone(), retry], 2),
    ] {
        let (result, requests) = run("{}", &json(), &answers, &batch);
        assert_eq!((result, requests.len()), (Ok(Delivery::Each(want)), sent));
    }
}

#[test]
fn a_first_failure_is_the_calls_own() {
    for (answer, want) in [
        (status(401), "Unauthorized"),
        (status(404), "Configuration"),
        (status(410), "Configuration"),
        (status(302), "Configuration"),
        (status(429), "Unavailable"),
        (status(500), "Unavailable"),
        (Err(http::Error::Connect("refused".into())), "Unavailable"),
        (Err(http::Error::Denied("rule".into())), "Configuration"),
    ] {
        for config in [r#"{"mode":"each"}"#, r#"{"mode":"array"}"#] {
            let (result, requests) = run(config, &json(), std::slice::from_ref(&answer), &[("\"1\"", "{}"), ("\"2\"", "{}")]);
            assert!(format!("{result:?}").starts_with(&format!("Err({want}")), "{result:?}");
            assert_eq!(requests.len(), 1);
        }
    }
}

#[test]
fn batches() {
    let batch = [("\"1\"", "{\"a\":\n1}"), ("\"2\"", "{}\n")];
    for (config, format, body, content_type) in [
        (r#"{"mode":"array"}"#, json(), "[{\"a\":\n1},{}\n]", "application/json"),
        (r#"{"mode":"ndjson"}"#, json(), "{\"a\": 1}\n{}\n", "application/x-ndjson"),
        (
            r#"{"mode":"array"}"#,
            RecordFormat::new("cloudevents", "application/cloudevents+json; charset=utf-8"),
            "[{\"a\":\n1},{}\n]",
            "application/cloudevents-batch+json; charset=utf-8",
        ),
        (r#"{"mode":"ndjson"}"#, RecordFormat::new("cef", "text/plain"), "{\"a\":\n1}\n{}\n", "text/plain"),
        (r#"{"mode":"ndjson","content_type":"text/x"}"#, json(), "{\"a\": 1}\n{}\n", "text/x"),
    ] {
        let (result, requests) = run(config, &format, &[status(204)], &batch);
        assert_eq!(result, Ok(Delivery::All(Outcome::Accepted(None))));
        assert_eq!(std::str::from_utf8(&requests[0].body).unwrap(), body);
        assert_eq!(header(&requests[0], "content-type"), Some(content_type));
        assert!(requests[0].message_id.starts_with("batch_2_"));
    }
}

#[test]
fn a_refused_batch_is_halved_and_a_refused_event_rejected() {
    let config = r#"{"mode":"array"}"#;
    let (result, _) = run(config, &json(), &[status(422)], &[("\"1\"", "{}"), ("\"2\"", "{}")]);
    assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
    for refused in [413, 422] {
        let (result, _) = run(config, &json(), &[status(refused)], &[("\"1\"", "{}")]);
        assert!(matches!(result, Ok(Delivery::All(Outcome::Rejected(_)))), "{result:?}");
    }
}

#[test]
fn hostile_ids_never_break_a_request() {
    let evil = r#""a.b\r\nx-admin: 1\u0000é%""#;
    let (result, requests) = run("{}", &json(), &[status(200)], &[(evil, "{}")]);
    assert!(result.is_ok());
    assert_eq!(header(&requests[0], "x-event-id"), Some("a.b%0D%0Ax-admin:%201%00%C3%A9%25"));
    let id = &requests[0].message_id;
    assert!(id.starts_with("evt_") && id.len() == 36, "{id}");
    let long = format!("\"{}\"", "é".repeat(5000));
    let (_, requests) = run("{}", &json(), &[status(200)], &[(&long, "{}")]);
    assert!(header(&requests[0], "x-event-id").unwrap().len() <= HEADER_BYTES);
    // Missing ids are text too.
    let (_, requests) = run("{}", &json(), &[status(200)], &[("null", "{}")]);
    assert_eq!(header(&requests[0], "x-event-id"), Some(""));
}

#[test]
fn message_ids_are_stable_and_tell_sources_apart() {
    let of = |source: &str, id: &str| message_id::of_event(source.as_bytes(), id.as_bytes());
    assert_eq!(of("a", "1"), of("a", "1"));
    assert_ne!(of("a", "1"), of("b", "1"));
    assert_ne!(of("a", "x.1"), of("b", "x.1"));
    assert!(!of("a", "x.1").contains('.'));
    let batch = |ids: &[(&str, &str)]| message_id::of_batch(ids.iter().map(|(source, id)| (source.as_bytes(), id.as_bytes())));
    assert_ne!(batch(&[("a", "1"), ("a", "2")]), batch(&[("a", "2"), ("a", "1")]));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let text = RecordFormat::new("cef", "text/plain");
    for (config, words) in [
        (r#"{"path":"x"}"#, "begins with `/`"),
        (r#"{"mode":"array"}"#, "needs a format whose records are JSON; this lane's is cef"),
        (r#"{"mode":"all"}"#, "`mode` must be one of each, array, ndjson, cloudevents-binary"),
        (r#"{"mode":"cloudevents-binary"}"#, "needs the format cloudevents; this lane's is cef"),
        (r#"{"mode":"cloudevents-binary","headers":{"ce-x":"1"}}"#, "which `mode: cloudevents-binary` sets"),
        (r#"{"mode":"cloudevents-binary","content_type":"a/b"}"#, "`content_type` is the event's own"),
        (r#"{"origin":"https://a/b"}"#, "`origin` is \"https://a/b\"; it is a name"),
        (r#"{"request_rate":5}"#, "`request_rate` is asked for with `origin`"),
        (r#"{"headers":{"X-Up":"1"}}"#, "a header name is lower case"),
        (r#"{"headers":{"x":"a\nb"}}"#, "`headers.x` contains a character"),
    ] {
        let error = native::connector::<Webhook>(config, &text).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_cloudevent_in_binary_mode() {
    let format = RecordFormat::new("cloudevents", "application/cloudevents+json; charset=utf-8");
    let config = r#"{"mode":"cloudevents-binary","path":"/in","webhook_id":"wh-1","headers":{"x-team":"blue"}}"#;
    let record = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#;
    let (result, requests) = run(config, &format, &[status(202)], &[(UUID, record)]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    let names: Vec<_> = requests[0].headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(
        names,
        [
            ("x-webhook-id", "wh-1"),
            ("x-team", "blue"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("content-type", "application/json")
        ]
    );
    assert_eq!((requests[0].body.as_slice(), requests[0].message_id.as_str()), (&b"{\"a\":1}"[..], UUID.trim_matches('"')));
    let (result, requests) = run(config, &format, &[], &[(UUID, "no JSON")]);
    assert!(matches!(result, Ok(Delivery::Each(outcomes)) if matches!(outcomes[..], [Outcome::Rejected(_)])));
    assert!(requests.is_empty());
}

#[test]
fn nothing_goes_to_a_receiver_that_has_not_agreed() {
    let config = r#"{"path":"/in","origin":"audit.acme.example","request_rate":120}"#;
    let allowed = |status: u16, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Ok(http::Response { status, headers, ..http::Response::default() })
    };
    let (result, requests) = run(config, &json(), &[allowed(200, &[("webhook-allowed-origin", "audit.acme.example")]), status(200)], &[(UUID, "{}")]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str(), requests[0].body.len()), ("OPTIONS", "/in", 0));
    assert_eq!((header(&requests[0], "webhook-request-origin"), header(&requests[0], "webhook-request-rate")), (Some("audit.acme.example"), Some("120")));
    assert_eq!((requests[1].method.as_str(), header(&requests[1], "webhook-request-origin")), ("POST", Some("audit.acme.example")));
    for (answer, want) in [
        (allowed(200, &[]), "Err(Configuration"),
        (allowed(204, &[("webhook-allowed-origin", "other.example")]), "Err(Configuration"),
        (allowed(400, &[]), "Err(Configuration"),
        (allowed(405, &[]), "Err(Configuration"),
        (allowed(401, &[]), "Err(Unauthorized"),
        (allowed(429, &[]), "Err(Unavailable"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
        (Err(http::Error::Denied("the method OPTIONS".into())), "Err(Configuration"),
    ] {
        let (result, requests) = run(config, &json(), std::slice::from_ref(&answer), &[(UUID, "{}")]);
        assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
        assert_eq!(requests.len(), 1, "no event was sent");
    }
    // Once agreed is enough for this guest, and the check asks the same.
    native::on_http(move |request| match request.method.as_str() {
        "OPTIONS" => allowed(200, &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "100")]),
        _ => status(200),
    });
    let mut webhook = native::connector::<Webhook>(config, &json()).unwrap();
    assert_eq!(webhook.connector.check(), Ok("the receiver agrees to deliveries from audit.acme.example, at most 100 requests a minute".into()));
    assert!(webhook.deliver_texts(&[("{}", EventText::new("{}"))]).is_ok());
    native::on_http(move |request| {
        assert_eq!(request.method, "POST");
        status(200)
    });
    assert!(webhook.deliver_texts(&[("{}", EventText::new("{}"))]).is_ok());
    assert_eq!(native::connector::<Webhook>("{}", &json()).unwrap().connector.check(), Err(Failure::Unsupported));
    native::reset();
}
